"""The calls that arms make."""

from types import ModuleType
from typing import Any

import numpy as np
from numpy import ndarray

from bench.calls import backend_call, problem, wrong
from bench.workloads import find
from impls import im2col
from impls.backend import Backend


def test_a_pool_s_gradient_is_timed_without_its_forward_pass() -> None:
    forward_calls = 0

    def counting(*arrays: Any, **params: Any) -> tuple[ndarray, ndarray]:
        nonlocal forward_calls
        forward_calls += 1
        return im2col.max_pool(*arrays, **params)

    module = ModuleType("counting")
    vars(module).update(max_pool=counting, max_pool_grad_input=im2col.max_pool_grad_input)
    given = problem(find("resnet50:maxpool@1/4"), "grad_input", "float32")
    call = backend_call(Backend("counting", module), given)
    before = forward_calls
    result = call()
    assert forward_calls == before
    assert np.any(result)
    assert wrong(given, result, "direct")[0] == ""

"""The machine's ceilings are ceilings."""

import re

import numpy as np
import pytest

from bench import fma
from bench.machine import ceilings


def test_the_loop_of_multiply_adds_computes_what_it_says() -> None:
    steps = 40
    starts = fma.FIRST + np.arange(fma.ACCUMULATORS, dtype=np.float32)
    x = np.repeat(starts, fma.LANES)
    for _ in range(steps):
        x = x * np.float32(0.999) + np.float32(0.001)
    np.testing.assert_allclose(fma.fused(steps), x.sum(), rtol=1e-5)
    assert fma.flops_of(steps) == 2 * steps * x.size


def test_the_loop_stays_in_vector_registers() -> None:
    """A peak that was not compiled to vectors, or that spills, would be none."""
    blocks = re.split(r"^\.\w+:", fma.assembly(), flags=re.MULTILINE)
    loops = [
        [line for line in block.splitlines() if re.search("fmadd|fmla", line)] for block in blocks
    ]
    fused = max(loops, key=len)
    # Unrolled, a loop says again what is done to each accumulator.
    assert len(set(fused)) >= fma.ACCUMULATORS
    assert not any("rsp" in line or "[sp" in line for line in fused)


@pytest.mark.parametrize("threads", [1, 3])
def test_ceilings_are_positive_numbers(threads: int) -> None:
    found = ceilings(threads)
    assert sorted(found) == ["gbytes_per_s", "gflops_per_s"]
    assert all(value > 0 for value in found.values())

"""The document and PyTorch answer differently where it is said, alike where that is said; and we as
PyTorch.
"""

import numpy as np
import pytest

import impls
from conformance.differences import DIFFERENCES, Answer, Difference

every_difference = pytest.mark.parametrize("line", DIFFERENCES, ids=lambda line: line.document)
every_backend = pytest.mark.parametrize("backend", impls.names())


def is_same(one: Answer, other: Answer) -> bool:
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        return np.array_equal(one, other)
    return type(one) is type(other) and one == other


@every_difference
def test_the_document_and_pytorch_answer_differently(line: Difference) -> None:
    assert not is_same(line.documents(), line.pytorchs())


@every_backend
@every_difference
def test_we_answer_as_pytorch(line: Difference, backend: str) -> None:
    assert is_same(line.ours(backend), line.pytorchs())


@every_backend
@every_difference
def test_they_agree_where_it_is_said(line: Difference, backend: str) -> None:
    assert is_same(*line.agreement(backend))

"""Status and Verdict of a check, comparison of arrays, and how a failure is told."""

from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
from numpy import ndarray


class Status(StrEnum):
    """What came of a check.

    untrusted: actual and expected agree, but expected is constant or almost all zero, so that
    agreement proves little. missing: the backend has no such kernel. unsupported: it declares that
    it does not compute this call. unjudged: promised, but the run ended without a verdict.
    """

    PASSED = "passed"
    FAILED = "failed"
    ERROR = "error"
    MISSING = "missing"
    UNSUPPORTED = "unsupported"
    UNTRUSTED = "untrusted"
    UNJUDGED = "unjudged"


# What is wrong with a backend; a run with one of these, or with an unjudged check, exits non-zero.
BAD = (Status.FAILED, Status.ERROR, Status.UNTRUSTED)
# Below this share of elements other than zero, agreement proves little.
TRUSTED_SHARE = 0.02


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """A result beside what it should be.

    filling: what the operands were filled with. what: the result's name. The rest is what
    `differences` takes.
    """

    filling: str
    what: str
    actual: ndarray
    expected: ndarray
    limit: ndarray | None = None
    signed_zero: bool = False

    @property
    def message(self) -> str:
        """How the result differs, or ""."""
        compared = (self.what, self.actual, self.expected, self.limit)
        return differences(*compared, signed_zero=self.signed_zero)

    @property
    def wrong(self) -> ndarray:
        """Which elements differ."""
        return ~equal(self.actual, self.expected, self.limit, signed_zero=self.signed_zero)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Outcome of one check on one backend.

    message: why it did not pass. grade: largest error in units of sqrt(n) * u * S, of sums of real
    values only (tolerance.py). evidence: the wrong result, where one was compared. explanation:
    what else can be said of the first failures (explain.py).
    """

    status: Status
    message: str = ""
    grade: float | None = None
    evidence: Evidence | None = field(default=None, compare=False)
    explanation: str = ""


PASSED = Verdict(Status.PASSED)


def equal(
    actual: ndarray, expected: ndarray, limit: ndarray | None = None, *, signed_zero: bool = False
) -> ndarray:
    """Which elements of two arrays of one shape are equal.

    limit: the largest error of each element, expected being float64; None = no error at all. NaN
    equals NaN.
    """
    same = (actual == expected) | (np.isnan(actual) & np.isnan(expected))
    if limit is not None:
        with np.errstate(invalid="ignore"):  # inf - inf is judged by equality
            same |= np.abs(actual.astype(np.float64) - expected) <= limit
    if signed_zero:
        same &= (np.signbit(actual) == np.signbit(expected)) | np.isnan(expected)
    return same


def differences(
    what: str, actual: ndarray, expected: ndarray, limit: ndarray | None = None, *,
    signed_zero: bool = False,
) -> str:  # fmt: skip
    """How actual differs from expected, or ""; limit and signed_zero as `equal` takes them."""
    if actual.shape != expected.shape:
        return f"{what}.shape={actual.shape}, but should be {expected.shape}"
    if limit is None and actual.dtype != expected.dtype:
        return f"{what}.dtype={actual.dtype}, but should be {expected.dtype}"
    same = equal(actual, expected, limit, signed_zero=signed_zero)
    if same.all():
        return ""
    first = tuple(int(i) for i in np.argwhere(~same)[0])
    place = f"[{', '.join(map(str, first))}]" if first else ""
    allowed = "" if limit is None else f" within {limit[first]:.2g}"
    return (
        f"{what}{place}={actual[first]}, but should be {expected[first]}{allowed};"
        f" {np.count_nonzero(~same)} of {same.size} differ"
    )


def why_untrusted(what: str, expected: ndarray) -> str:
    """Why agreement with `expected` would prove little, or ""."""
    if expected.size == 0:
        return f"{what} is empty"
    if expected.size > 1 and (expected == expected.flat[0]).all():
        return f"{what} is {expected.flat[0]} everywhere"
    share = np.count_nonzero(expected) / expected.size
    if share < TRUSTED_SHARE:
        return f"{what} is almost all zero: {share:.1%} of it is not"
    return ""

"""Which fault of the zoo (meta/faults.py) answers as a failed backend does."""

import warnings
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from conformance.checks import Check, up_to
from conformance.judge import call, compared, given, judge
from conformance.verdict import Evidence, Status, Verdict, equal
from impls.backend import Backend
from impls.spec.case import LEVELS

if TYPE_CHECKING:
    from conformance.meta.faults import Fault

# Calls that both must answer alike, the failed one included; they are sought among so many.
CALLS, SOUGHT = 24, 96
# More names than these tell nothing.
MOST = 3


def lookalikes(backend: Backend, check: Check, verdict: Verdict) -> list[str]:
    """A line that names the faults whose answers are the backend's; none if there is none."""
    # No right backend pays for the zoo.
    from conformance.meta.faults import FAULTS

    kernels = {check.kernel}
    if check.op.returns_indices:
        # The gate finds the indices of a gradient, and may ask for values alone.
        kernels |= {check.op.kernel, f"{check.op.kernel}_values"}
    faults = [fault for fault in FAULTS if fault.kernel in kernels]
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        # The sides of an axiom are answers to several calls, which its message sums up.
        if verdict.evidence is not None and check.kind != "axioms":
            return _by_answers(backend, check, verdict.evidence, faults)
        if verdict.status is Status.FAILED:
            return _by_words(backend, check, verdict, faults)
        return _by_other_calls(backend, check, faults)


def _by_other_calls(backend: Backend, check: Check, faults: Iterable["Fault"]) -> list[str]:
    """Of a kernel that crashes, what it gets wrong where it answers."""
    for other in _like(check):
        verdict = judge(backend, other)
        if verdict.evidence is not None:
            return _by_answers(backend, other, verdict.evidence, faults)
    return []


def _by_words(
    backend: Backend, check: Check, verdict: Verdict, faults: Iterable["Fault"]
) -> list[str]:
    """Faults that fail the check with the same message."""
    alike = []
    for fault in faults:
        faulty = fault.backend()
        faulty.name = backend.name
        if judge(faulty, check).message == verdict.message:
            alike.append(fault)
    return [f"looks like: {_told(alike)}; the same message"] if alike else []


def _by_answers(
    backend: Backend, check: Check, evidence: Evidence, faults: Iterable["Fault"]
) -> list[str]:
    """Faults with the same wrong answer, else faults that are wrong at the same places."""
    answers = {
        fault: theirs
        for fault in faults
        if (theirs := _evidence(fault.backend(), check, evidence.filling).get(evidence.what))
    }
    same = [fault for fault, theirs in answers.items() if _same_answer(evidence, theirs)]
    if same:
        counts, tried, failed = _agreement(backend, check, evidence.filling, same)
        most = max(counts.values())
        best = [fault for fault in same if counts[fault] == most]
        share = f"{most} of {tried} calls answered alike, {failed} of them wrong"
        return [f"looks like: {_told(best)}; {share}"]
    wrong = evidence.wrong
    if 2 * np.count_nonzero(wrong) > wrong.size:
        return []  # many are wrong almost everywhere
    same = [fault for fault, theirs in answers.items() if np.array_equal(theirs.wrong, wrong)]
    return [f"wrong at the same places as: {_told(same)}"] if same else []


def _agreement(
    backend: Backend, check: Check, filling: str, faults: list["Fault"]
) -> tuple[dict["Fault", int], int, int]:
    """How many calls each fault answers as the backend does; of how many, and how many wrong.

    What the backend gets wrong comes first: there it differs from the right ones.
    """
    found = [(other, _evidence(backend, other, filling)) for other in _like(check)]
    is_wrong = [any(each.message for each in ours.values()) for _, ours in found]
    order = sorted(range(len(found)), key=lambda i: not is_wrong[i])
    tried = [i for i in order if found[i][1]][:CALLS]
    counts = dict.fromkeys(faults, 0)
    for other, ours in (found[i] for i in tried):
        for fault in faults:
            theirs = _evidence(fault.backend(), other, filling)
            counts[fault] += all(
                what in theirs and _same_answer(ours[what], theirs[what]) for what in ours
            )
    return counts, len(tried), sum(is_wrong[i] for i in tried)


def _like(check: Check) -> list[Check]:
    """The check itself, and others that ask the same of other cases."""
    asked = (check.kind, check.kernel, check.dtype)
    others = [c for c in up_to(LEVELS[-1]) if (c.kind, c.kernel, c.dtype) == asked and c != check]
    return [check, *others[:: -(-len(others) // SOUGHT) or 1]]


def _evidence(backend: Backend, check: Check, filling: str) -> dict[str, Evidence]:
    """The results of a call, beside what they should be; none where it raises."""
    try:
        results = call(backend, check, *given(check, filling))
    except Exception:  # faults may crash: then they answer nothing
        return {}
    return {each.what: each for each in compared(backend, check, filling, results)}


def _same_answer(ours: Evidence, theirs: Evidence) -> bool:
    """Equal to the bit where sums are exact, within the limit where they are not."""
    # On real data the limit says who is right, not who is alike.
    limit = None if ours.filling == "real" else ours.limit
    if ours.actual.shape != theirs.actual.shape:
        return False
    return bool(equal(ours.actual, theirs.actual, limit, signed_zero=ours.signed_zero).all())


def _told(faults: list["Fault"]) -> str:
    """The names of the first few, with the issues that they are modeled on."""
    names = [f"{fault.name} ({fault.like})" if fault.like else fault.name for fault in faults]
    more = f" or {len(names) - MOST} more" if len(names) > MOST else ""
    return " or ".join(names[:MOST]) + more

"""Runs one check on one backend and returns its verdict."""

import hashlib
import inspect
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache
from math import prod
from time import perf_counter
from types import EllipsisType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy import ndarray
from threadpoolctl import threadpool_limits

from conformance import axioms, inputs, tolerance
from conformance.checks import Check
from conformance.covering import Made
from conformance.verdict import BAD, PASSED, Evidence, Status, Verdict, differences, why_untrusted
from impls.backend import Backend, KernelError
from impls.spec.case import Array, Case, ErrorCase, seed
from impls.spec.interface import KERNELS
from impls.spec.op import FORWARD, OpSpec
from impls.spec.plan import Shape

if TYPE_CHECKING:  # what needs PyTorch imports it when asked: `--oracle none` does without
    from conformance import oracle

CALLERS = 16
# Where a call takes longer than this, in seconds, so few: loops in Python take turns every 5 ms.
PATIENCE_S, SLOW_CALLERS = 0.1, 4
FILLINGS = ("exact", "wide", "real")
# Of what is not summed: PyTorch's answer is exact.
SPECIALS = ("special", "minus")
# Exact data with one NaN or infinity, in the input or in grad_output.
DYES = {"dyed": np.nan, "dyed with infinity": np.inf}
# Exact data times the power of two that makes sums of as many factors subnormal in float32.
SUBNORMAL = "subnormal"
SCALES = {1: 2.0**-135, 2: 2.0**-70}
# Thread counts that are compared with one thread, where the pools have as many.
THREADS = (2, 3, 4)
# The direction of a call for all gradients at once.
ALL_GRADIENTS = "grad_*"
# Aspects of purity that ask for equal bits of work that is divided otherwise.
SPLITTING = ("same_bits_in_any_batch", "same_bits_for_any_threads")

# Result arrays by name: "output" (and of a pool "indices" and "output alone"), or the gradient's.
Results = dict[str, ndarray]


def judge(backend: Backend, check: Check) -> Verdict:
    """The verdict of one check; whatever the backend raises becomes a verdict too."""
    if reason := _missing(backend, check):
        return Verdict(Status.MISSING, reason)
    try:
        with warnings.catch_warnings():
            # A backend may warn about NaN or about itself; only its answers are judged.
            warnings.simplefilter("ignore")
            if reason := _unsupported(backend, check):
                return _judge_limit(backend, check, reason)
            return _JUDGES[check.kind](backend, check)
    except KernelError as error:
        return _failed(backend, check, str(error))
    except NotImplementedError as error:
        message = f"{error!r} is raised, but not declared: unsupported(kernel, params) must say why"
        return _failed(backend, check, message)
    except Exception as error:  # any crash of a backend is a verdict, not the end of the run
        trace = "".join(traceback.format_exception(error)).rstrip()
        return Verdict(Status.ERROR, _told(backend, check, f"{error!r}\n{trace}"))


def _missing(backend: Backend, check: Check) -> str:
    """Which kernel the check needs and the backend lacks, or ""."""
    needed = [check.kernel]
    if check.direction == "grad_bias":
        # Optional: the gate sums it for a backend that has gradients.
        needed = [check.kernel.replace("grad_bias", "grad_weight")]
    if check.op.returns_indices and check.kind != "interface":
        needed.append(check.op.kernel)
    lacking = [kernel for kernel in needed if not backend.has(kernel)]
    return f"no kernel {lacking[0]}" if lacking else ""


def _unsupported(backend: Backend, check: Check) -> str:
    """Why the backend declares not to compute the check's call, or ""."""
    if not isinstance(check.case, Case):
        return ""
    params = check.op.plan_case(check.case).params
    # The gradient of a pool with indices is also asked without them: the gate finds them then.
    asked = (check.kernel, check.op.kernel) if check.op.returns_indices else (check.kernel,)
    reasons = [backend.unsupported(kernel, params) for kernel in asked if backend.has(kernel)]
    for reason in reasons:
        if not isinstance(reason, str):
            raise KernelError(f"unsupported returned {reason!r}, but should say why in a str")
    return next(filter(None, reasons), "")


def _judge_limit(backend: Backend, check: Check, reason: str) -> Verdict:
    """A declared limit must hold: the call raises NotImplementedError."""
    try:
        call(backend, check, *given(check, "exact"))
    except NotImplementedError:
        return Verdict(Status.UNSUPPORTED, reason)
    return _failed(backend, check, f"is declared unsupported ({reason}), but answers")


def _judge_interface(backend: Backend, check: Check) -> Verdict:
    """A kernel takes the arguments of the contract."""
    if not backend.has(check.kernel):
        return PASSED  # a bias gradient, which the gate sums
    try:
        actual = inspect.signature(getattr(backend.module, check.kernel))
    except (TypeError, ValueError):
        return PASSED  # compiled functions may hide their signature; calls will tell
    contract = KERNELS[check.kernel]
    positional = [p for p in contract.parameters.values() if p.kind is not p.KEYWORD_ONLY]
    keywords = [name for name, p in contract.parameters.items() if p.kind is p.KEYWORD_ONLY]
    try:
        actual.bind(*positional, **dict.fromkeys(keywords))
    except TypeError as error:
        message = f"takes {actual}, but should take {contract}: {error}"
        return _failed(backend, check, message)
    return PASSED


def _judge_shapes(backend: Backend, check: Check) -> Verdict:
    """Type, dtype and memory order are the gate's to check; the shape is PyTorch's to say."""
    from conformance import oracle

    case = _case(check)
    operands, grad_output = given(check, "exact")
    if check.direction == FORWARD:
        expected = oracle.output_shape(check.op, operands, case.params)
    else:
        expected = case.shapes[check.op.directions.index(check.direction) - 1]
    for what, actual in call(backend, check, operands, grad_output).items():
        if actual.shape != expected:
            return _failed(backend, check, f"{what}.shape={actual.shape}, but should be {expected}")
    return PASSED


def _judge_sums(backend: Backend, check: Check, fillings: tuple[str, ...] = FILLINGS) -> Verdict:
    """Outputs or gradients on exact, wide and real data; the first that fails is told."""
    grade = None
    for filling in fillings:
        expected = _answer(check, filling)
        results = call(backend, check, *given(check, filling))
        if evidence := _wrong(backend, check, filling, results):
            return _failed(backend, check, evidence.message, filling, evidence)
        if filling == "real" and check.direction not in check.op.exact:
            grade = _grade(check, expected, results)
            if grade > tolerance.GRADE_LIMIT and _is_direct(backend, check):
                message = f"grade={grade:.3g}, but should be at most {tolerance.GRADE_LIMIT:g}"
                evidence = _graded(check, expected, results)
                told = f"{check.direction} has {message}"
                return _failed(backend, check, told, filling, evidence)
        reason = why_untrusted("what is expected", expected.results[check.direction])
        if reason and not _case(check).vacuous:
            return Verdict(Status.UNTRUSTED, _told(backend, check, reason, filling))
    return Verdict(Status.PASSED, grade=grade)


def _judge_random(backend: Backend, check: Check) -> Verdict:
    """Results of random calls, or of one of them; the smallest wrong one is told, for a table."""

    def judged(drawn: Made) -> Verdict:
        verdicts = (
            judge(
                backend,
                replace(check, direction=direction, case=drawn.case, dtype=drawn.dtype),
            )
            for direction in check.op.directions[: 1 + len(drawn.case.shapes)]
        )
        return next((verdict for verdict in verdicts if verdict.status in BAD), PASSED)

    if check.case is not None:
        return _judge_sums(backend, check, ("exact",))
    # Here, as nothing else needs Hypothesis, which is slow to import.
    from conformance.random_calls import as_line, smallest_failure

    if (found := smallest_failure(check.op, judged)) is None:
        return PASSED
    drawn, verdict = found
    told = f"{verdict.message}\nto keep it, add to impls/spec/ops/{check.op.name}.py:"
    return replace(verdict, message=f"{told}\n    {as_line(drawn.case)}")


def _judge_specials(backend: Backend, check: Check) -> Verdict:
    """NaN, infinities, zeros of both signs and ties where PyTorch's answer is exact; of what is
    linear, sums so small that every one is subnormal, and still exact in any order.
    """
    if check.op.linear and not _is_direct(backend, check):
        return PASSED  # a transform is bounded by the largest sum, not by each
    for filling in (SUBNORMAL,) if check.op.linear else SPECIALS:
        results = call(backend, check, *given(check, filling))
        if evidence := _wrong(backend, check, filling, results):
            return _failed(backend, check, evidence.message, filling, evidence)
    return PASSED


def _judge_dye(backend: Backend, check: Check) -> Verdict:
    """One NaN, or infinity, colors exactly what it reaches; by a transform, its image at most.

    The dyed element never meets a structural zero, so PyTorch decides every result.
    """
    for dye in DYES:
        results = call(backend, check, *given(check, dye))
        if not _is_direct(backend, check):
            op, summed = check.op, check.direction == "grad_weight"
            if summed or op.batch_axes is None or op.batch_axes(len(_case(check).shapes[0])) != 1:
                return PASSED  # there is no other image
            image, *_ = dyed_place(check)
            for what, actual in results.items():
                results[what] = actual.copy()
                results[what][image] = _answer(check, dye).results[check.direction][image]
        if evidence := _wrong(backend, check, dye, results):
            return _failed(backend, check, evidence.message, dye, evidence)
    return PASSED


def _judge_error(backend: Backend, check: Check) -> Verdict:
    """A wrong call is refused, in words that name the argument, its value and the rule."""
    case = check.case
    assert isinstance(case, ErrorCase)
    arguments = {name: _made(value) for name, value in case.arguments.items()}
    try:
        getattr(backend, case.method)(**arguments)
    except case.raises as error:
        if case.says in str(error):
            return PASSED
        return _failed(backend, check, f"says {str(error)!r}, but should say {case.says!r}")
    except (ValueError, TypeError) as error:
        message = f"raises {error!r}, but should raise {case.raises.__name__}"
        return _failed(backend, check, message)
    return _failed(backend, check, f"answers, but should raise {case.raises.__name__}: {case.says}")


def _judge_axiom(backend: Backend, check: Check) -> Verdict:
    """What holds of every right backend, whatever PyTorch says."""
    asked = (check.op, _case(check), check.direction, check.dtype, check.aspect)
    try:
        found = axioms.broken(backend, *asked)
    except axioms.Undecided as undecided:
        return Verdict(undecided.status, str(undecided))
    if found is None:
        return PASSED
    axiom, evidence = found
    message = f"{evidence.message}, by {axiom.name}: {axiom.equation}"
    return _failed(backend, check, message, evidence=evidence)


def _judge_purity(backend: Backend, check: Check) -> Verdict:
    """One property of a call besides its values, on exact data."""
    if check.aspect in SPLITTING and not _is_direct(backend, check):
        return PASSED  # a transform rounds, and may round otherwise when split otherwise
    operands, grad_output = given(check, "exact")

    def called(images: slice | EllipsisType = ..., direction: str = check.direction) -> Results:
        """The call, on some images of the batch only, or for another direction."""
        batch, *rest = operands
        asked = replace(check, direction=direction)
        return call(backend, asked, [batch[images], *rest], grad_output[images])

    message = _IMPURITIES[check.aspect](called, [*operands, grad_output], check)
    return _failed(backend, check, message) if message else PASSED


def _changed_input(call: Callable[..., Results], given: list[ndarray], check: Check) -> str:
    """Bit by bit, with what lies between the elements of a view."""
    owners = [array if array.base is None else array.base for array in given]
    before = [_digest(owner) for owner in owners]
    call()
    names = [*(operand.name for operand in check.op.operands[: len(given) - 1]), "grad_output"]
    for name, owner, digest in zip(names, owners, before, strict=True):
        if _digest(owner) != digest:
            return f"the call changed its input {name}"
    return ""


def _digest(array: ndarray) -> bytes:
    return hashlib.sha256(array.tobytes()).digest()


def _shared_memory(call: Callable[..., Results], given: list[ndarray], check: Check) -> str:
    for absolute in (False, True):
        if absolute and given[0].flags.writeable:
            # Where nothing is negative, relu has nothing to compute.
            np.abs(given[0], out=given[0])
        results = call()
        for what, actual in results.items():
            if any(np.may_share_memory(actual, array) for array in given):
                return f"{what} shares memory with an input"
            if any(np.may_share_memory(actual, other) for other in call().values()):
                return f"{what} shares memory with the result of another call"
    return ""


def _changed_result(call: Callable[..., Results], given: list[ndarray], check: Check) -> str:
    return _unlike(call(), call(), "the second call")


def _changed_by_neighbors(call: Callable[..., Results], given: list[ndarray], check: Check) -> str:
    """Images do not know of each other; the weights' gradients, which sum them, add up instead."""
    if check.op.batch_axes is None:
        return ""
    whole, head, tail = call(), call(slice(0, 1)), call(slice(1, None))
    for what, actual in whole.items():
        summed = check.direction in ("grad_weight", "grad_bias")
        parts = head[what] + tail[what] if summed else np.concatenate([head[what], tail[what]])
        if message := differences(what, parts, actual):
            return f"{message}, when the batch is split"
    return ""


def _changed_by_threads(call: Callable[..., Results], given: list[ndarray], check: Check) -> str:
    with _threads(1):
        alone = call()
    for count in THREADS:
        with _threads(count):
            if message := _unlike(call(), alone, f"one thread, on {count} threads"):
                return message
    return _unlike(call(), alone, "one thread")


def _changed_by_company(call: Callable[..., Results], given: list[ndarray], check: Check) -> str:
    """Each gradient alone, and all of them asked at once."""
    for direction, array in call(direction=ALL_GRADIENTS).items():
        alone = call(direction=direction)
        if message := _unlike({direction: array}, alone, "the same gradient alone"):
            return message
    return ""


def _changed_by_callers(call: Callable[..., Results], given: list[ndarray], check: Check) -> str:
    orders = (slice(None), slice(None, None, -1))
    begin = perf_counter()
    alone = [call(order) for order in orders]
    is_slow = perf_counter() - begin > len(orders) * PATIENCE_S
    callers = SLOW_CALLERS if is_slow else CALLERS
    with ThreadPoolExecutor(callers) as pool:
        found = pool.map(lambda number: call(orders[number % 2]), range(callers))
        for number, results in enumerate(found):
            if message := _unlike(results, alone[number % 2], f"{callers} callers at once"):
                return message
    return ""


_IMPURITIES = {
    "inputs_unchanged": _changed_input,
    "no_aliasing": _shared_memory,
    "same_bits_together": _changed_by_company,
    "same_bits_twice": _changed_result,
    "same_bits_in_any_batch": _changed_by_neighbors,
    "same_bits_for_any_threads": _changed_by_threads,
    "same_bits_for_16_callers": _changed_by_callers,
}

_JUDGES: dict[str, Callable[[Backend, Check], Verdict]] = {
    "interface": _judge_interface,
    "shapes": _judge_shapes,
    "values": _judge_sums,
    "gradients": _judge_sums,
    "random": _judge_random,
    "specials": _judge_specials,
    "dye": _judge_dye,
    "errors": _judge_error,
    "purity": _judge_purity,
    "axioms": _judge_axiom,
}


def _unlike(actual: Results, expected: Results, why: str) -> str:
    for what, array in actual.items():
        if message := differences(what, array, expected[what]):
            return f"{message}, by {why}"
    return ""


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """That many threads for every pool that can be told: BLAS, OpenMP and Numba's, which has at
    most as many as it was started with.
    """
    numba = sys.modules.get("numba")
    threads = numba.get_num_threads() if numba else 1
    with threadpool_limits(count):
        if numba:
            numba.set_num_threads(min(count, numba.config.NUMBA_NUM_THREADS))
        try:
            yield
        finally:
            if numba:
                numba.set_num_threads(threads)


# ------------------------------------------------------------------------ calls and their answers


def _case(check: Check) -> Case:
    assert isinstance(check.case, Case)
    return check.case


def given(check: Check, filling: str) -> tuple[list[ndarray], ndarray]:
    """Fresh operands and a fresh random grad_output, laid out as the case says."""
    if filling in DYES:
        operands, grad_output = given(check, "exact")
        dyed = operands[0] if dyes_input(check) else grad_output
        dyed[dyed_place(check)] = DYES[filling]
        return operands, grad_output
    if filling == SUBNORMAL:
        operands, grad_output = given(check, "exact")
        factors = min(2, len(operands))
        # A bias is added to products.
        scales = (SCALES[factors],) * factors + (SCALES[factors] ** factors,)
        scaled = [array * np.float32(s) for array, s in zip(operands, scales, strict=False)]
        return scaled, grad_output * np.float32(scales[0])
    case = _case(check)
    made = _contiguous(check.op, case, filling, check.dtype, check.direction)
    operands = [inputs.laid_out(array, case.layout) for array in made]
    return operands, _grad_output(check, filling)


def dyes_input(check: Check) -> bool:
    """Whether the dye lies in the input; else it lies in grad_output.

    It lies where windows are looked at: a weight's gradient has them in the input, in grad_output
    that of a transposed convolution.
    """
    transposes = check.op.kernel == "conv_transpose"
    return check.direction == FORWARD or (check.direction == "grad_weight" and not transposes)


def filling_of_grad_output(check: Check, filling: str) -> str:
    """Special where it is not summed."""
    return "exact" if filling in SPECIALS and check.direction not in check.op.exact else filling


def dyed_place(check: Check) -> tuple[int, ...]:
    """Where the dye lies, in the input or in grad_output."""
    shape = _case(check).shapes[0] if dyes_input(check) else _output_shape(check)
    place = np.random.default_rng(seed(_case(check).id)).integers(prod(shape))
    return tuple(int(i) for i in np.unravel_index(place, shape))


def _output_shape(check: Check) -> Shape:
    """Shape of the output, and of grad_output, as a caller sees it."""
    case, op = _case(check), check.op
    return op.unbatched(case.shapes[0], op.plan_case(case).output)


def _grad_output(check: Check, filling: str) -> ndarray:
    """A random grad_output, laid out as the case says."""
    case = _case(check)
    most = width(check.op, case, check.dtype, check.direction)
    asked, shapes = filling_of_grad_output(check, filling), (_output_shape(check),)
    (made,) = inputs.arrays(asked, shapes, check.dtype, f"grad_output {case.id}", most)
    return inputs.laid_out(made, case.layout)


@lru_cache(maxsize=4096)
def _contiguous(
    op: OpSpec, case: Case, filling: str, dtype: str, direction: str
) -> tuple[ndarray, ...]:
    most = width(op, case, dtype, direction)
    made = inputs.arrays(filling, case.shapes, dtype, case.id, most)
    return tuple(inputs.laid_out(array, case.layout).copy(order="C") for array in made)


def width(op: OpSpec, case: Case, dtype: str, direction: str) -> int:
    """Largest integer of the "wide" filling."""
    terms = op.terms(op.plan_case(case))[direction]
    return inputs.widest(terms, dtype, products=len(op.operands) > 1)


@lru_cache(maxsize=4096)
def _answer(check: Check, filling: str) -> "oracle.Answer":
    """PyTorch's answer to the check's call; the same for every backend."""
    from conformance import oracle

    operands, grad_output = given(check, filling)
    found = oracle.answer(check.op, operands, grad_output, _case(check).params, check.direction)
    if filling in DYES:
        # NaN has no magnitude.
        return replace(found, magnitudes=_answer(check, "exact").magnitudes)
    return found


def call(backend: Backend, check: Check, operands: list[ndarray], grad_output: ndarray) -> Results:
    """The results of the check's call, by name."""
    op, params = check.op, _case(check).params
    if check.direction == FORWARD:
        method = getattr(backend, op.name)
        if not op.returns_indices:
            return {"output": method(*operands, **params)}
        output, indices = method(*operands, **params, return_indices=True)
        return {
            "output": output,
            "indices": indices,
            "output alone": method(*operands, **params),
        }
    method = getattr(backend, f"{op.name}_backward")
    given = [x for x, operand in zip(operands, op.operands, strict=False) if not operand.optional]
    if op.returns_indices:
        # As PyTorch's own gradient kernel: scattered to the caller's indices, whatever the input.
        plan = op.plan(op.batched(given[0].shape), **params)
        places = inputs.smallest_places(plan, given[0])
        layout = _case(check).layout
        # A column of indices repeated would be other indices.
        indices = inputs.laid_out(places, "transposed" if layout == "broadcast" else layout)
        results = {
            check.direction: method(grad_output, *given, **params),
            f"{check.direction} of other indices": method(
                grad_output, *given, **params, indices=indices
            ),
        }
        if (indices != places).any():
            raise KernelError(f"{check.kernel} changed the indices that it was given")
        return results
    if len(op.operands) == 1:
        return {check.direction: method(grad_output, *given, **params)}
    names = op.directions[1:]
    mask = tuple(check.direction in (name, ALL_GRADIENTS) for name in names)
    gradients = method(grad_output, *given, **params, output_mask=mask)
    if [gradient is not None for gradient in gradients] != list(mask):
        raise KernelError(f"output_mask={mask} must say which gradients are None")
    return {name: x for name, x in zip(names, gradients, strict=True) if x is not None}


def _made(value: Any) -> Any:
    """An argument of an error case."""
    if not isinstance(value, Array):
        return value
    return np.full(value.shape, value.fill, dtype=value.dtype)


# ---------------------------------------------------------------------------------- comparison


def compared(backend: Backend, check: Check, filling: str, results: Results) -> Iterator[Evidence]:
    """Each result beside what is expected."""
    expected = _answer(check, filling)
    is_exact = _is_exact(backend, check, filling)
    for what, actual in results.items():
        signed = check.op.signed_zero and what.startswith("output")
        if what == "indices":
            yield Evidence(filling, what, actual, _indices(expected))
            continue
        # Of a gradient by other indices the answer is its own, of an output alone the output.
        name = what if what in expected.results else check.direction
        limit = None if is_exact else _limit(backend, check, expected.magnitudes[name])
        want = expected.results[name].astype(check.dtype if is_exact else None)
        yield Evidence(filling, what, actual, want, limit, signed)


def _wrong(backend: Backend, check: Check, filling: str, results: Results) -> Evidence | None:
    """The first result that differs from what is expected."""
    found = compared(backend, check, filling, results)
    return next((evidence for evidence in found if evidence.message), None)


def _indices(expected: "oracle.Answer") -> ndarray:
    assert expected.indices is not None
    return expected.indices


def _is_exact(backend: Backend, check: Check, filling: str) -> bool:
    """Whether every right backend of this accuracy gives the same bits."""
    op = check.op
    if check.direction in op.exact or filling in SPECIALS:
        return True
    if filling == "real" or not _is_direct(backend, check):
        return False
    if op.divisors is None:
        return True
    divisors = np.abs(op.divisors(op.plan_case(_case(check))))
    return bool(((divisors & (divisors - 1)) == 0).all())


def _is_direct(backend: Backend, check: Check) -> bool:
    return backend.accuracy == "direct" or not check.op.linear


def _limit(backend: Backend, check: Check, magnitude: ndarray) -> ndarray:
    if not _is_direct(backend, check):
        return tolerance.transform_limit(magnitude, check.dtype)
    return tolerance.limit(magnitude, _terms(check), check.dtype)


def _grade(check: Check, expected: "oracle.Answer", results: Results) -> float:
    actual = next(iter(results.values()))
    error = np.abs(actual.astype(np.float64) - expected.results[check.direction])
    return tolerance.grade(error, expected.magnitudes[check.direction], _terms(check), check.dtype)


def _graded(check: Check, expected: "oracle.Answer", results: Results) -> Evidence:
    """The result beside what is expected, to be no further from it than its grade allows."""
    what, actual = next(iter(results.items()))
    limit = tolerance.graded_limit(expected.magnitudes[check.direction], _terms(check), check.dtype)
    return Evidence("real", what, actual, expected.results[check.direction], limit)


def _terms(check: Check) -> int:
    return check.op.terms(check.op.plan_case(_case(check)))[check.direction]


# -------------------------------------------------------------------------------------- telling


def _failed(
    backend: Backend,
    check: Check,
    message: str,
    filling: str = "",
    evidence: Evidence | None = None,
) -> Verdict:
    return Verdict(Status.FAILED, _told(backend, check, message, filling), evidence=evidence)


def _told(backend: Backend, check: Check, message: str, filling: str = "") -> str:
    """What is wrong, and in which call: `message [conv2d i2x3x5x6-w4x3x3x2: all sizes differ]`."""
    call = check.op.name
    if check.case is not None:
        call += f" {check.case.id}: {check.case.why}"
    data = ", ".join(word for word in (check.dtype, f"{filling} data" if filling else "") if word)
    return f"{backend.name}: {message} [{call}]{f' ({data})' if data else ''}"

"""A failed check as a script that stands alone: NumPy, the backend and what it should answer."""

import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from conformance.checks import Check
from conformance.inputs import NARROW, SPECIAL, filling_seed
from conformance.judge import (
    DYES,
    SCALES,
    SPECIALS,
    SUBNORMAL,
    dyed_place,
    dyes_input,
    filling_of_grad_output,
    width,
)
from conformance.verdict import Evidence, Verdict
from impls.backend import Backend
from impls.spec.case import Case
from impls.spec.interface import kernel_arrays
from impls.spec.op import FORWARD
from impls.spec.plan import Shape

ROOT = Path(__file__).resolve().parents[1]
# So many wrong elements are written down, with what they should be.
ELEMENTS = 4
# How inputs.py fills an array of a shape; rng runs on from array to array.
INTEGERS = """\
def exact(shape):
    values = rng.integers(-{width}, {width}, shape, endpoint=True).astype(float)
    return np.where((values == 0) & (rng.random(shape) < 0.5), -0.0, values).astype({dtype!r})
"""
FILLINGS = {
    "exact": INTEGERS,
    "wide": INTEGERS.replace("exact", "wide"),
    "real": """\
def real(shape):
    return rng.standard_normal(shape).astype({dtype!r})
""",
    "special": f"""\
def special(shape):
    return rng.choice({list(SPECIAL)}, shape).astype({{dtype!r}})
""",
    "minus": INTEGERS
    + """\
def minus(shape):
    return np.where(rng.random(shape) < 0.1, exact(shape), -inf).astype({dtype!r})
""",
}
# What purity asks, of `answer(images)` and the arrays it is given.
IMPURITIES = {
    "inputs_unchanged": """\
before = [array.copy() for array in arrays]
answer()
wrong = [not np.array_equal(*pair) for pair in zip(arrays, before)]
print(f"arrays that the call changed: {sum(wrong)} of {len(arrays)}")
sys.exit(any(wrong))
""",
    "no_aliasing": """\
np.abs(arrays[0], out=arrays[0])
result = answer()
wrong = [np.may_share_memory(result, array) for array in (*arrays, answer())]
print(f"arrays and results of other calls that share memory with the result: {sum(wrong)}")
sys.exit(any(wrong))
""",
    "same_bits_twice": """\
first, second = answer().copy(), answer()
print(f"elements that differ in the second call: {np.count_nonzero(first != second)}")
sys.exit(not np.array_equal(first, second))
""",
    "same_bits_in_any_batch": """\
whole, head, tail = answer(), answer(slice(0, 1)), answer(slice(1, None))
parts = np.concatenate([head, tail]) if len(head) + len(tail) == len(whole) else head + tail
print(f"elements that differ when the batch is split: {np.count_nonzero(whole != parts)}")
sys.exit(not np.array_equal(whole, parts))
""",
    "same_bits_for_16_callers": """\
orders = slice(None), slice(None, None, -1)
alone = [answer(order) for order in orders]
with ThreadPoolExecutor(16) as pool:
    found = pool.map(lambda number: answer(orders[number % 2]), range(160))
    wrong = [not np.array_equal(result, alone[i % 2]) for i, result in enumerate(found)]
print(f"wrong answers to callers at the same time: {sum(wrong)} of {len(wrong)}")
sys.exit(any(wrong))
""",
}


def script(backend: Backend, spec: str, check: Check, verdict: Verdict, here: Path) -> str:
    """Source that exits with 1 as long as the backend fails the check; "" if a gate is needed.

    spec: of the backend. here: folder in which it was given.
    """
    purity = IMPURITIES.get(check.aspect, "")
    if not isinstance(check.case, Case) or not backend.has(check.kernel):
        return ""
    if check.kind == "axioms":
        return ""  # it asks several calls, and has no result that is known
    if check.kind == "purity" and not purity:
        return ""
    what = verdict.evidence.what if verdict.evidence else _what(backend, check, verdict)
    body = [
        *recipe(check, verdict.evidence.filling if verdict.evidence else _filling(check)),
        *_call(backend, check, what),
        *(purity or _comparison(check, what, verdict.evidence)).splitlines(),
    ]
    names = [name for name in ("inf", "nan") if re.search(rf"\b{name}\b", "\n".join(body))]
    lines = [
        '"""' + textwrap.fill(verdict.message.split("\n")[0], 98) + '\n"""',
        f"import {'runpy, ' if _is_file(spec) else ''}sys",
        *(["from concurrent.futures import ThreadPoolExecutor"] if "ThreadPool" in purity else []),
        "import numpy as np",
        *([f"from numpy import {', '.join(names)}"] if names else []),
        "",
        f"sys.path += {list(dict.fromkeys(map(str, (here, ROOT))))}",
        *_loading(backend, spec, check, what),
        "",
        *body,
    ]
    return "\n".join(lines) + "\n"


def _what(backend: Backend, check: Check, verdict: Verdict) -> str:
    """The result that a message is about."""
    if check.direction != FORWARD:
        return check.direction
    told = verdict.message.removeprefix(f"{backend.name}: ")
    if told.startswith(f"{check.op.kernel}_values "):
        return "output alone"
    return "indices" if told.startswith(("indices", f"{check.op.kernel}'s indices")) else "output"


def _filling(check: Check) -> str:
    """What a check fills arrays with first."""
    first = {"dye": next(iter(DYES)), "specials": SUBNORMAL if check.op.linear else SPECIALS[0]}
    return first.get(check.kind, "exact")


def _is_file(spec: str) -> bool:
    return Path(spec).suffix == ".py"


def _loading(backend: Backend, spec: str, check: Check, what: str) -> Iterator[str]:
    """The kernels that are called, as functions of their names."""
    used = [_kernel(backend, check, what)]
    if check.op.returns_indices and check.direction != FORWARD:
        used.append(check.op.kernel)
    if not _is_file(spec):
        yield f"from {backend.module.__name__} import {', '.join(used)}"
        return
    yield f"backend = runpy.run_path({backend.module.__file__!r})"
    yield from (f"{name} = backend[{name!r}]" for name in used)


def _kernel(backend: Backend, check: Check, what: str) -> str:
    values = f"{check.op.kernel}_values"
    return values if what == "output alone" and backend.has(values) else check.kernel


def recipe(check: Check, filling: str) -> Iterator[str]:
    """The kernel's arrays, as the suite fills them."""
    assert isinstance(check.case, Case)
    case, plan = check.case, check.op.plan_case(check.case)
    asked = filling if filling in FILLINGS else "exact"
    asked_of_grad = filling_of_grad_output(check, asked)
    for each in dict.fromkeys((asked, asked_of_grad)):
        most = width(check.op, case, check.dtype, check.direction) if each == "wide" else NARROW
        yield from FILLINGS[each].format(width=most, dtype=check.dtype).splitlines()
    yield f"rng = np.random.default_rng({filling_seed(asked, case.id)})"
    operands = {name: shape for name, shape in plan.inputs.items() if shape is not None}
    for name, shape in operands.items():
        yield f"{name} = {asked}({shape})"
    arrays = list(operands)
    if check.direction != FORWARD:
        start = filling_seed(asked_of_grad, f"grad_output {case.id}")
        yield f"rng = np.random.default_rng({start})"
        yield f"grad_output = {asked_of_grad}({plan.output})"
        arrays.append("grad_output")
    if check.kind == "purity" or case.layout in ("broadcast", "readonly"):
        yield f"arrays = [{', '.join(arrays)}]"
    if case.layout == "broadcast":
        yield "for array in arrays:"
        yield "    array[...] = array[..., :1]"
    if filling in DYES:
        dyed, shape = check.op.operands[0].name, case.shapes[0]
        if not dyes_input(check):
            dyed, shape = "grad_output", check.op.unbatched(shape, plan.output)
        place = np.ravel_multi_index(dyed_place(check), shape)
        yield f"{dyed}.flat[{place}] = {DYES[filling]}"
    if filling == SUBNORMAL:
        factors = min(2, len(operands))
        scale = SCALES[factors]
        for name in arrays:
            yield f"{name} *= {scale**factors if name == 'bias' else scale}"
    if case.layout == "readonly":
        yield "for array in arrays:"
        yield "    array.flags.writeable = False"


def _call(backend: Backend, check: Check, what: str) -> Iterator[str]:
    """The kernel's result; of purity's calls as `answer(images)`, for some images of the batch."""
    assert isinstance(check.case, Case)
    op, plan = check.op, check.op.plan_case(check.case)
    first = op.operands[0].name
    images = "[images]" if check.kind == "purity" else ""
    chosen = {name: name + images for name in ("grad_output", first) if op.batch_axes}
    sign = "-" if what.endswith("other indices") else ""
    chosen["indices"] = f"{op.kernel}({sign}{chosen.get(first, first)}, **params)[1]"
    absent = {name: "None" for name, shape in plan.inputs.items() if shape is None}
    arrays = ({**chosen, **absent}.get(each, each) for each in kernel_arrays(op, check.direction))
    kernel = _kernel(backend, check, what)
    call = f"{kernel}({', '.join(arrays)}, **params)"
    if op.returns_indices and kernel == op.kernel:
        call += "[1]" if what == "indices" else "[0]"
    yield textwrap.fill(f"params = {plan.params}", 98, subsequent_indent="    ")
    if images:
        yield f"def answer(images=slice(None)):\n    return {call}"
    else:
        yield f"{what.split()[0]} = {call}"


def _comparison(check: Check, what: str, evidence: Evidence | None) -> str:
    """Lines that compare the answer with what it should be."""
    name, shape = what.split()[0], _shape(check)
    if evidence is None:
        dtype = np.dtype("int64" if name == "indices" else check.dtype).str
        return f"""\
array = np.asarray({name})
found = type({name}), array.shape, array.dtype.str, array.flags.c_contiguous
should = np.ndarray, {shape}, {dtype!r}, True
print(f"type, shape, dtype, C-contiguous: {{found}}, but should be {{should}}")
sys.exit(found != should)
"""
    wrong = np.argwhere(evidence.wrong.reshape(shape))
    places = [tuple(place) for place in wrong[:: -(-len(wrong) // ELEMENTS)].tolist()]
    values = {place: evidence.expected.reshape(shape)[place].item() for place in places}
    which = f"{len(places)} of the {len(wrong)} wrong elements"
    if evidence.limit is None:
        table = [f"    {place}: {value!r}," for place, value in values.items()]
        targets, equal = "should", f"np.array_equal({name}[at], should, equal_nan=True)"
        if evidence.signed_zero:
            equal = f"repr({name}[at].item()) == repr(should)"
    else:
        limit = evidence.limit.reshape(shape)
        table = [f"    {place}: ({values[place]!r}, {limit[place]:.3g})," for place in places]
        which += ", each with its largest error"
        targets = "(should, limit)"
        equal = f"np.isclose({name}[at], should, rtol=0, atol=limit, equal_nan=True)"
    return f"""\
expected = {{  # {which}
{chr(10).join(table)}
}}
wrong = {{at: should for at, {targets} in expected.items()
         if not {equal}}}
for at, should in wrong.items():
    print(f"{name}{{list(at)}}={{{name}[at]}}, but should be {{should}}")
print(f"{{len(wrong)}} of these {{len(expected)}} elements are wrong")
sys.exit(len(wrong) > 0)
"""


def _shape(check: Check) -> Shape:
    """Shape of the kernel's result."""
    assert isinstance(check.case, Case)
    plan = check.op.plan_case(check.case)
    if check.direction == FORWARD:
        return plan.output
    operand = check.direction.removeprefix("grad_")
    return (plan.output[1],) if operand == "bias" else plan.shape(operand)

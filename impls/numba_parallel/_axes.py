"""How windows look at their source, axis by axis: which taps they have, and where these read."""

from itertools import pairwise
from typing import NamedTuple

from impls.numba_parallel._tile import ISA
from impls.spec.params import PaddingPairs, Pair
from impls.spec.plan import Shape


class Call(NamedTuple):
    """A convolution, forward or backward, by what its tables depend on.

    input, weight, output: shapes of the convolution, (N, C, H, W), (O, C // groups, R, S) and
    (N, O, P, Q), whichever of them is computed.
    """

    input: Shape
    weight: Shape
    output: Shape
    stride: Pair
    padding: PaddingPairs
    dilation: Pair
    groups: int
    itemsize: int
    threads: int

    @property
    def lanes(self) -> int:
        """Elements of a vector."""
        return ISA.vector_bytes // self.itemsize


class Tap(NamedTuple):
    """One tap of an axis: its number, the source phase it reads, places after the window's."""

    number: int
    phase: int
    shift: int


class OutPhase(NamedTuple):
    """Output places first, first + out_step, ... of an axis, and the taps that reach them."""

    first: int
    places: int
    taps: list[Tap]


class TapPart(NamedTuple):
    """Places of an axis that have one tap in the source, and how far from them it reads."""

    first: int
    places: int
    shift: int


class Axis(NamedTuple):
    """How the windows of one axis look at the source.

    step: source places from window to window. phases: remainders modulo step that any tap reads,
    each a plane of the copy. before: zeros before the source. halo: places that the last window
    reaches beyond its own. out_step: output places from one window's to the next's.
    """

    step: int
    phases: list[int]
    before: int
    halo: int
    out_step: int
    out_phases: list[OutPhase]


def forward_axes(call: Call) -> tuple[Axis, Axis]:
    """Tap r of window p reads p * stride + r * dilation - before."""
    made = []
    for kernel, stride, (before, _), dilation, count in zip(
        call.weight[2:], call.stride, call.padding, call.dilation, call.output[2:], strict=True
    ):
        reach = [r * dilation for r in range(kernel)]
        phases = sorted({far % stride for far in reach})
        taps = [
            Tap(r, phases.index(far % stride), far // stride) for r, far in enumerate(reach)
        ]  # fmt: skip
        made.append(Axis(stride, phases, before, taps[-1].shift, 1, [OutPhase(0, count, taps)]))
    return made[0], made[1]


def backward_axes(call: Call) -> tuple[Axis, Axis]:
    """Place i gathers tap r from window p where p * stride + r * dilation = i + before.

    The places with one remainder of i + before modulo stride share their taps: a phase.
    """
    made = []
    for kernel, stride, (before, _), dilation, size in zip(
        call.weight[2:], call.stride, call.padding, call.dilation, call.input[2:], strict=True
    ):
        out_phases = []
        for phase in range(stride):
            first = (phase - before) % stride
            window = (first + before) // stride
            taps = [
                Tap(r, 0, window - r * dilation // stride)
                for r in range(kernel)
                if r * dilation % stride == phase
            ]
            out_phases.append(OutPhase(first, max(0, ceil(size - first, stride)), taps))
        shifts = [tap.shift for out_phase in out_phases for tap in out_phase.taps]
        low = min(shifts)
        moved = [
            each._replace(taps=[tap._replace(shift=tap.shift - low) for tap in each.taps])
            for each in out_phases
        ]
        made.append(Axis(1, [0], -low, max(shifts) - low, stride, moved))
    return made[0], made[1]


def live_phases(axis: Axis, size: int) -> list[OutPhase]:
    """Places that the same taps reach within a source of that size, phase by phase.

    A tap's shift is the place of the source that it reads from the first of them.
    """
    found = []
    for phase in axis.out_phases:
        reads = [place - axis.before for place in source_places(axis, phase.taps)]
        edges = {ceil(edge - at, axis.step) for at in reads for edge in (0, size)}
        inner = sorted(edge for edge in edges if 0 < edge < phase.places)
        for first, end in pairwise([0, *inner, phase.places]):
            starts = [at + first * axis.step for at in reads]
            taps = [
                Tap(tap.number, 0, start)
                for tap, start in zip(phase.taps, starts, strict=True)
                if 0 <= start < size
            ]
            found.append(OutPhase(phase.first + first * axis.out_step, end - first, taps))
    return found


def tap_part(tap: Tap, axis: Axis, size: int) -> TapPart:
    """The places that a tap reaches within a source of that size; of a stride of 1."""
    shift = tap.shift - axis.before
    first, end = max(0, -shift), min(axis.out_phases[0].places, size - shift)
    return TapPart(first, max(0, end - first), shift)


def source_places(axis: Axis, taps: list[Tap]) -> list[int]:
    """Where taps read from their window's place on, of a source not taken apart into phases."""
    return [tap.shift * axis.step + axis.phases[tap.phase] for tap in taps]


def ceil(size: int, step: int) -> int:
    return -(-size // step)

"""Where operands stand and how work is divided, as tables that compiled code reads.

Everything depends on shapes and parameters alone: repeated calls share one set of tables.
"""

from itertools import pairwise, product
from math import prod
from typing import NamedTuple

import numpy as np
from numpy import ndarray

from impls.numba_parallel._axes import (
    Axis,
    Call,
    OutPhase,
    Tap,
    TapPart,
    backward_axes,
    ceil,
    forward_axes,
    live_phases,
    source_places,
    tap_part,
)
from impls.numba_parallel._tile import (
    CACHE_LINE,
    ISA,
    PACKING_BYTES,
    SWEPT_HEIGHTS,
    TAKEN_PHASES,
    WIDE_ROWS,
    WIDE_VECTORS,
)
from impls.spec.params import Pair
from impls.spec.plan import Shape

# Taps of a block whose panel (24 KiB of AVX-512 vectors) stays in L1 while it is filled and read.
# With 192 rows filling took 10 cycles a row, with 128 it took 4.
PANEL_BLOCK = 128
# Taps of a block. Where a tile takes 24 cycles for a tap, its panel comes from L2 in time, and sums
# are moved less often: 0.96 to 0.98 of the time on Zen 4. But what itself comes from afar, pixels
# or the weight of few, did so 1.02 to 1.2 times as long.
BLOCK = PANEL_BLOCK if ISA.fused_cycles < 1 else 3 * PANEL_BLOCK
# The same of a correlation turned around, and of a weight's gradient, pixels: 0.98 and 0.987 of the
# time that half as many took with eight images, 0.995 with one.
LONG_BLOCK = BLOCK if ISA.fused_cycles < 1 else 2 * BLOCK
# Pixels of a run, in the mean, from which on panels count as packed by their first tile: a vector
# of shorter ones often does not lie in what two loads read.
SHORT_RUN = 4
# Pixels of one image whose last, beyond whole vectors, are summed apart (_rest.py): at most
# REST_PIXELS of them.
FEW_PIXELS = 256
REST_PIXELS = 4
# Taps of a block of such pixels that one tap sees, side by side, so that nothing is packed: the
# weight, used once, comes in longer pieces. 1.2 times as fast as with 128.
FEW_PIXELS_BLOCK = 512
# Pages that the taps of a shorter one lie in, where a weight's rows lie side by side and its taps
# apart: a core's own table of pages has 64 entries and more. Input gradients of 1024 and 2048
# channels took 0.57 to 0.93 of the time that 512 taps took, on Intel.
FEW_PIXELS_PAGES = 64
PAGE_BYTES = 4096
# Taps of a block that is read in place, across the gaps between lines, where taps share cache
# lines: 1.02 to 1.05 times as fast as with 128.
GAPPED_BLOCK = 384
# Taps of a block whose rows are those of a linear layer, often a power of two apart: so many fewer
# stay in L1. 1.1 times as fast as with 128.
LINEAR_BLOCK = 64
# Bytes of an image that is read where it stands. What is far larger than L2 comes faster in whole
# rows, as it is copied, than by the 48 pixels of a panel: 1.4 times for 64 channels at 388 x 388;
# 256 channels at 56 x 56 took 0.9 of the time where they stand. Rows of one pixel, as linear layers
# have, are never copied: that took 50 times as long.
DIRECT_BYTES = 1 << 22
# Bytes of a source, read where it stands, whose blocks have PANEL_BLOCK taps: it comes from memory.
FAR_BYTES = 6 << 20
# Bytes of a source, read where it stands, whose pixels tiles ask for early, which costs next to
# nothing: 1 x 1 layers at 28 x 28 and 56 x 56 took 0.87 to 0.98 of the time on Intel, whose L3 is
# far too. A weight's gradient asks from twice as many on, of both that it reads: 0.58 to 0.98.
FETCHED_BYTES = 1 << 19
# The same of few rows, whose panels have few tiles: 0.8 to 0.95 with eight images.
FETCHED_FEW_ROWS_BYTES = 1 << 21
# Bytes of a weight that comes from L3 or memory: while tiles go over the first panel of a block,
# each asks for the next one's rows, if a row's taps lie side by side. 3 x 3 layers of 512 channels
# took 0.83 to 0.95 of the time on Intel; where no panel is packed it was 0.97 to 1.05. Turned
# around all tiles ask for what is packed next: layers of 512 channels took 0.89 to 1.0 on Zen 5.
FAR_WEIGHT_BYTES = 1 << 20
# Bytes of a strip's copy: it stays in L2 beside the part of the weight that one block reads. But a
# strip has STRIP_PIXELS, since each reads the whole weight again: 1024 channels at 56 x 56 took 1.6
# times as long with strips of a single row. A block reads its own channels of the copy alone. On
# Zen 4 layers took 0.95 to 1.0 of the time that they took with half the bytes and pixels.
STRIP_BYTES = 1 << 20
# Rows of a task whose pixels stand apart: the sums of a panel, 24 KiB a column phase, stay in L2.
SPREAD_ROWS = 128
# The same of a 1 x 1 weight, of which one phase reads all.
PLAIN_SPREAD_ROWS = 512
# Bytes of the weight that such a task packs, if each value then meets this many pixels: with 49,
# 512 rows of 512 channels took 1.37 times as long, with half the bytes 256 rows of 256 1.03 times.
PACKED_BYTES = 1 << 21
PACKED_PIXELS = 192
# The same where no more rows than these could be read at once: dcgan:conv2 took 0.6 to 0.67 of the
# time with eight images, 0.7 with four.
LONG_PACKED_PIXELS = 64
LONG_READ_ROWS = 16
# Bytes of such a weight that is not packed, of rows that are summed before others: it is read once
# by each phase, from L2.
READ_BYTES = 1 << 19
# Rows of sums from which a panel is worth packing, though it could be read where it stands: there
# its vectors begin within cache lines and its taps lie in many pages. The products alone reached 83
# to 92 % of the peak instead of 66 to 83 (64 and 128 rows, 56 x 56 and 28 x 28); with 16, less.
PACKED_ROWS = 64
# The same where windows are summed across the gaps between lines: a channel's taps lie in few pages
# of a copy. 64 rows were 1.02 to 1.04 times as fast read in place.
GAPPED_PACKED_ROWS = 128
# Rows of a group that has too few for a tile, as in depthwise layers: these are swept.
THIN_ROWS = 3
# The same of a weight's gradient: four, of ResNeXt's first layers, took 0.63 to 0.69 of the time.
THIN_PRODUCT_ROWS = 5
# Pixels of a plane of a depthwise layer whose channels are put into the lanes: 14 x 14 planes with
# a stride took a third of the time, their weight's gradient 0.35 to 0.9.
LANES_PIXELS = 256
# The same where rows could be swept together: 7 x 7 planes took 0.53 to 0.62 of the time, but those
# of 14 x 14 1.03 to 1.09.
SWEPT_LANES_PIXELS = 64
# The same of a plane with its padding: so many times as many.
PADDED = 4
# Rows of a 1 x 1 weight's gradient that are dot products of planes, as packing would be most of the
# work: one took 0.38 of the time, two 0.48 to 0.59, three 0.8, but six 0.9 to 1.1.
DOTS_ROWS = 3
# Share of the work below which rows and columns of a weight's gradient are exchanged: layers with
# 16 to 144 rows took 0.74 to 0.98 of the time, linear ones of 16 to 64 images 0.54 to 0.93.
SWAPPED = 0.97
# Cycles that transposing a value of the result then takes.
TRANSPOSED_CYCLES = 0.3
# Small images are put together for so many, so that few vectors are partly empty.
STRIP_PIXELS = 768
# Cycles that moving a vector of sums takes, in which five taps are summed.
MOVE_CYCLES = 2.5
# Share of the work below which taps that lie in the padding are left out, part by part of an image:
# 3 x 3 layers took 0.95 of the time with a dilation of 2 at 28 x 28, 0.84 with 4, 0.46 with 12.
LIVE = 0.95
# The same of a weight's gradient, tap by tap: 0.95, 0.81 and 0.47; 0.84 to 0.98 for eight images of
# 7 x 7 to 14 x 14 without dilation.
LIVE_PIXELS = 0.93
# Pixels from which on a task of a weight's gradient keeps its sums until the end: two that add to
# halves of short rows at once share cache lines, and took up to 1.9 times as long. They start a
# cache line, too: 0.95 to 1.0 of the time on one thread. With 196 pixels copying them took 1.1.
KEPT_PIXELS = 1024
# Parts at most, each of which has tables of its own: those of a 5 x 5 kernel.
MOST_PARTS = 25
# Pixels that a weight's gradient sums over in the time that putting its taps side by side takes.
INTERLEAVED_PIXELS = 16
# Bytes of their sums, which a task keeps beside one another, so many rows at once: writing each
# panel of 48 pixels to two images, tap block by tap block, took twice as long in all.
TOGETHER_BYTES = 1 << 21
# Bytes of what tiles of a correlation turned around go over, so that it stays in L2: the sums of
# some images, and a block's channels of their source.
TURNED_BYTES = 1 << 20
# Cycles that packing a value of its weight takes, and moving one of its sums.
TURNED_PACK_CYCLES = 0.7
TURNED_MOVE_CYCLES = 1.5
# Cycles that putting together a value of a stride's gradient takes elsewhere, and reading one of
# its weight by each phase.
SPREAD_CYCLES, SPREAD_WEIGHT_CYCLES = 1.0, 1.4
# Cycles that each part of an image takes for a cache line of the weight, of which it reads its own
# taps: dcgan:conv1, whose parts are a pixel of one tap, took 0.2 to 0.3 of the time turned around.
LINE_CYCLES = 4
# Share of the work below which a correlation is turned around.
TURNED_SHARE = 0.99


def _record(*names: str) -> np.dtype[np.void]:
    return np.dtype([(name, np.int64) for name in names])


# Of a source (what windows look at): its extents and strides; how a strip of it is copied; where
# pixels of the other side stand. From is_spread on: where they stand apart, or are few.
PLAN = _record(
    "height", "width", "step_h", "step_w", "top", "left", "channels", "source_image",
    "source_channel", "is_direct", "copy_image", "copy_channel", "copy_plane", "copy_columns",
    "taken_phases", "shared_columns", "copy_size", "halo", "taps", "block", "out_image",
    "out_row", "out_column", "out_columns", "is_spread", "is_packed", "strip_rows", "out_width",
    "is_thin", "group_rows", "rest", "is_gapped", "packed_rows", "rows_at_once", "is_far",
    "side_taps", "vectors", "is_swapped", "is_apart", "swept_height", "in_lanes",
    "is_weight_far",
)  # fmt: skip
STRIP = _record("first_image", "end_image", "first_row", "end_row")
CORRELATION = _record("group", "first_m", "end_m", *STRIP.names or ())
PRODUCT = _record("group", "first_m", "end_m", "first_column", "end_column")
OUT_PHASE = _record("first_tap", "end_tap", "block", "rows", "columns", "row_at", "column_at")
# Of a correlation turned around: of its source, its weight and its sums.
TURNED = _record(
    "channels", "source_image", "source_channel", "step_row", "step_column", "a_group", "a_column",
    "a_channel", "taps", "block", "group_columns", "out_image", "out_row", "out_column", "pixels",
    "images", "places", "is_weight_far",
)  # fmt: skip
TURNED_TASK = _record("group", "first_column", "end_column", "first_image", "end_image")
# Pixels that have the same taps: where the first has its sums, among those of its image.
TURNED_PART = _record("first_pixel", "rows", "columns", "place", "first_tap", "taps")
# Pixels of the output that a weight's gradient sums over, and what windows see of the source there.
PART = _record("first_pixel", "rows", "columns", "seen_at")


def is_thin(rows: int, groups: int, fewest: int = THIN_ROWS) -> bool:
    """Whether a group has so few of all rows that a tile would be mostly empty."""
    return groups > 1 and rows // groups < fewest


class CorrelationTables(NamedTuple):
    """The arguments of _dense.correlate after its arrays."""

    plans: ndarray
    tasks: ndarray
    a_rows: ndarray
    out_rows: ndarray
    a_taps: ndarray
    source_taps: ndarray
    out_phases: ndarray
    phases: ndarray


class TurnedTables(NamedTuple):
    """The arguments of _turned.correlate after its arrays."""

    plans: ndarray
    tasks: ndarray
    source_taps: ndarray
    panel_taps: ndarray
    parts: ndarray


def forward_tables(call: Call) -> CorrelationTables | TurnedTables:
    """Rows are output channels, their sums run over input channels and taps."""
    _, in_group, kernel_h, kernel_w = call.weight
    taps = kernel_h * kernel_w
    return _correlation(
        call, call.input, call.output, forward_axes(call),
        group=call.output[1] // call.groups * in_group * taps, row=in_group * taps, channel=taps,
    )  # fmt: skip


def grad_input_tables(call: Call) -> CorrelationTables | TurnedTables:
    """Rows are input channels, their sums run over output channels and taps."""
    out_channels, in_group, kernel_h, kernel_w = call.weight
    taps = kernel_h * kernel_w
    return _correlation(
        call, call.output, call.input, backward_axes(call),
        group=out_channels // call.groups * in_group * taps, row=taps, channel=in_group * taps,
    )  # fmt: skip


def _correlation(
    call: Call, source: Shape, out: Shape, axes: tuple[Axis, Axis], *,
    group: int, row: int, channel: int,
) -> CorrelationTables | TurnedTables:  # fmt: skip
    """group, row, channel: strides of the weight by group, row and source channel."""
    vertical, horizontal = axes
    channels, n_rows = source[1] // call.groups, out[1] // call.groups
    lines = max(phase.places for phase in vertical.out_phases)
    columns = max(phase.places for phase in horizontal.out_phases)
    thin = is_thin(out[1], call.groups)
    parts = [] if thin else _live_parts(call, source, axes, n_rows)
    turned = _turned(call, source, out, axes, parts, group=group, row=row, channel=channel)
    if turned:
        return turned
    copy_columns = source[3] if parts else columns + horizontal.halo
    is_near = source[3] == 1 or prod(source[1:]) * call.itemsize <= DIRECT_BYTES
    source_bytes = prod(source) * call.itemsize
    far_bytes = FETCHED_BYTES if n_rows >= PACKED_ROWS else FETCHED_FEW_ROWS_BYTES
    is_direct = bool(parts) or (is_near and not thin and _is_direct(axes, source, (lines, columns)))
    planes = len(vertical.phases) * len(horizontal.phases)
    line_bytes = 0 if is_direct else channels * planes * copy_columns * call.itemsize
    together = 1 if thin else source[0]
    images, strips = _strips(together, lines, columns, line_bytes, vertical.halo)
    kernel_taps = prod(call.weight[2:])
    sum_taps = channels * kernel_taps
    if images > 1 and not parts:
        images = _together(call, source[0], images, lines * columns, sum_taps)
    strip_rows = ceil(lines, strips)
    is_spread = vertical.out_step * horizontal.out_step > 1 and not thin
    # Of the weight, taps lie side by side: as forward reads it, all of a row.
    side_taps = sum_taps if channel == kernel_taps else kernel_taps
    if row == 1 < channel:
        side_taps = 0  # rows do
    rest = 0
    if source[0] == strips == 1 and not (is_spread or thin or parts):
        rest = _rest(call, lines * columns, n_rows, is_by_rows=side_taps == 0)
    is_packed, fewest, rows_at_once = False, 1, n_rows
    if is_spread:
        is_packed, rows_at_once = _spread_rows(
            n_rows, images * lines * columns, sum_taps * call.itemsize, kernel_taps
        )
        strips = 1
        if is_packed:
            # A task goes over all strips: it packs its rows of the weight once.
            fewest = ceil(n_rows, rows_at_once)
    shared = _shared(axes, source)
    is_gapped = horizontal.halo > 0 and not (thin or parts) and _is_gapped(
        call, (images, strip_rows, columns), strip_rows + vertical.halo - shared[0],
        copy_columns - shared[1], rows_at_once, rest, 0 if is_spread else sum_taps,
    )  # fmt: skip
    if is_gapped:
        rest = 0
        copy_columns -= shared[1]
    else:
        # A panel leaves the gaps out: nothing is gained.
        shared = 0, 0
    if not is_spread and (images > 1 or is_gapped or parts):
        line = copy_columns if is_gapped else columns
        rows_at_once = TOGETHER_BYTES // (images * strip_rows * line * call.itemsize)
    rows_at_once = max(1, ceil(rows_at_once, ISA.rows)) * ISA.rows
    is_one_run = is_gapped or (images == 1 and not horizontal.halo and not parts)
    vectors = WIDE_VECTORS if n_rows <= WIDE_ROWS and is_one_run else ISA.vectors
    if thin:
        cut_rows = [(0, *cut) for cut in _cut_groups(call, n_rows)]
    else:
        # Images in parts are not cut into lines.
        shape = (1, lines * columns) if parts else (lines, columns)
        images, strips, pieces = _division(
            call, source[0], images, strips, *shape, n_rows, fewest, rest
        )
        # Whole vectors of rows, where they are read.
        unit = call.lanes if rest and side_taps == 0 else ISA.rows
        cut_rows = [
            (g, g * n_rows + m, g * n_rows + end_m)
            for g in range(call.groups)
            for m, end_m in pairwise(_cuts(n_rows, pieces, unit))
        ]
    tasks = [
        {"group": g, "first_m": m, "end_m": end_m, **strip}
        for g, m, end_m in cut_rows
        for strip in _cut(source[0], images, lines, strips)
    ]
    copy_lines = min(strip_rows, ceil(lines, strips)) + vertical.halo
    plan, seen_channel = _source(
        call, source, axes, is_direct, channels, images, copy_lines, copy_columns,
        (shared[0] if strips == 1 else 0, shared[1]),
    )  # fmt: skip
    plan |= {
        "out_image": prod(out[1:]), "out_row": vertical.out_step * out[3],
        "out_column": horizontal.out_step, "out_columns": columns, "taps": kernel_taps,
        "is_spread": int(is_spread), "is_packed": int(is_packed), "strip_rows": strip_rows,
        "out_width": out[3], "is_thin": int(thin), "group_rows": n_rows, "rest": rest,
        "is_gapped": int(is_gapped), "rows_at_once": rows_at_once,
        "packed_rows": GAPPED_PACKED_ROWS if is_gapped else PACKED_ROWS, "side_taps": side_taps,
        "vectors": vectors, "is_swapped": 0, "is_apart": 0,
        "swept_height": _swept_height(call, channels) if thin else 0,
        "in_lanes": 0, "is_far": int(is_direct and source_bytes >= far_bytes),
        "is_weight_far": int(
            _is_weight_far(call) and side_taps == sum_taps and not (is_spread or parts)
        ),
    }  # fmt: skip
    if thin and strips == 1:
        plan |= _lanes(
            call, source, axes, SWEPT_LANES_PIXELS if plan["swept_height"] else LANES_PIXELS
        )
    phases = parts or list(product(vertical.out_phases, horizontal.out_phases))
    a_taps, source_taps, out_phases = [], [], []
    first_tap = 0
    order = np.arange(channels)[:, None]
    for down, across in phases:
        a_at = [r.number * call.weight[3] + s.number for r in down.taps for s in across.taps]
        seen_at = _offsets(down.taps, across.taps, axes, plan, call.lanes)
        a_taps.append((order * channel + np.array(a_at, np.int64)).ravel())
        source_taps.append((order * seen_channel + np.array(seen_at, np.int64)).ravel())
        end_tap = first_tap + channels * len(a_at)
        out_phases.append(
            {
                "first_tap": first_tap, "end_tap": end_tap, "rows": down.places,
                "columns": across.places, "row_at": down.first * out[3],
                "column_at": across.first,
            }
        )  # fmt: skip
        first_tap = end_tap
    most_taps = BLOCK
    if rest and kernel_taps == 1:
        most_taps = FEW_PIXELS_BLOCK
        if side_taps == 0:
            in_page = max(1, PAGE_BYTES // (channel * call.itemsize))
            most_taps = min(PANEL_BLOCK, FEW_PIXELS_PAGES * in_page)
    elif is_gapped and min(n_rows, rows_at_once) < GAPPED_PACKED_ROWS:
        most_taps = GAPPED_BLOCK
    elif is_direct and source[3] == 1:
        most_taps = LINEAR_BLOCK
    elif (is_direct and source_bytes >= FAR_BYTES) or (rest and 1 < side_taps < sum_taps):
        most_taps = PANEL_BLOCK
    counts = [len(down.taps) * len(across.taps) for down, across in phases]
    if parts:
        # Whole channels, the same of each part.
        at_once = _even(channels, max(1, BLOCK * lines * columns // _live_taps(parts)))
        blocks = [at_once * count for count in counts]
    elif rest and 1 < side_taps < sum_taps:
        blocks = [side_taps * _even(channels, max(1, most_taps // side_taps))]
    else:
        blocks = [_even(channels * max(counts), most_taps)] * len(phases)
    plan["block"] = max(blocks)
    a_rows = [g * group + m * row for g in range(call.groups) for m in range(n_rows)]
    return CorrelationTables(
        plans=_filled(PLAN, [plan]),
        tasks=_filled(CORRELATION, tasks),
        a_rows=_rows(a_rows),
        out_rows=_rows([m * out[2] * out[3] for m in range(out[1])]),
        a_taps=_taps(a_taps),
        source_taps=_taps(source_taps),
        out_phases=_filled(
            OUT_PHASE,
            [phase | {"block": block} for phase, block in zip(out_phases, blocks, strict=True)],
        ),
        phases=np.array([(y, x) for y in vertical.phases for x in horizontal.phases]),
    )


def _is_weight_far(call: Call) -> bool:
    """Whether a group's weight comes from L3 or memory."""
    return prod(call.weight) // call.groups * call.itemsize >= FAR_WEIGHT_BYTES


def _turned(
    call: Call, source: Shape, out: Shape, axes: tuple[Axis, Axis],
    parts: list[tuple[OutPhase, OutPhase]], *, group: int, row: int, channel: int,
) -> TurnedTables | None:  # fmt: skip
    """The tables of a correlation turned around, if that is less work.

    parts: of an image, in which it would be summed otherwise, if any.
    """
    n_images, plane = source[0], prod(out[2:])
    channels, n_columns = source[1] // call.groups, out[1] // call.groups
    live = [
        (rows, columns)
        for rows, columns in product(*map(live_phases, axes, source[2:]))
        if rows.taps and columns.taps and rows.places and columns.places
    ]
    block = _even(channels, max(1, LONG_BLOCK // prod(call.weight[2:])))
    image_bytes = (plane * ISA.vectors * call.lanes + block * prod(source[2:])) * call.itemsize
    most_images = TURNED_BYTES // image_bytes
    if len(live) > MOST_PARTS or not live or n_columns < call.lanes or not most_images:
        return None
    is_for_all = call.groups * n_images * ceil(n_columns, call.lanes) >= call.threads
    whole = _turned_cycles(call, live, n_images, most_images, channels, n_columns, plane)
    is_strewn = channel > prod(call.weight[2:])
    straight = _straight_cycles(call, n_images, axes, n_columns, channels, parts, is_strewn)
    if not is_for_all or whole > TURNED_SHARE * straight:
        return None

    def cost(choice: Pair) -> float:
        """What the busiest thread takes."""
        apart, pieces = choice
        images, columns = ceil(n_images, apart), ceil(ceil(n_columns, call.lanes), pieces)
        rounds = ceil(call.groups * apart * pieces, call.threads)
        columns *= call.lanes
        return rounds * _turned_cycles(call, live, images, most_images, channels, columns, plane)

    choices = product(
        range(1, 1 + min(call.threads, n_images)),
        range(1, 1 + min(call.threads, ceil(n_columns, call.lanes))),
    )
    apart, pieces = min(choices, key=cost)
    images = _even(ceil(n_images, apart), most_images)
    source_taps, panel_taps, records = _turned_parts(call, source, out, live, images, block)
    vertical, horizontal = axes
    plan = {
        "channels": channels, "source_image": prod(source[1:]), "source_channel": prod(source[2:]),
        "step_row": vertical.step * source[3], "step_column": horizontal.step, "a_group": group,
        "a_column": row, "a_channel": channel, "taps": prod(call.weight[2:]), "block": block,
        "group_columns": n_columns, "out_image": prod(out[1:]),
        "out_row": vertical.out_step * out[3], "out_column": horizontal.out_step, "pixels": plane,
        "images": images,
        "is_weight_far": int(_is_weight_far(call)),
        "places": sum(images * part["rows"] * part["columns"] + ISA.rows for part in records),
    }  # fmt: skip
    tasks = [
        {
            "group": g, "first_column": first, "end_column": end, "first_image": n,
            "end_image": end_n,
        }
        for g in range(call.groups)
        for first, end in pairwise(_cuts(n_columns, pieces, call.lanes))
        for n, end_n in pairwise(_cuts(n_images, apart, 1))
    ]  # fmt: skip
    return TurnedTables(
        plans=_filled(TURNED, [plan]),
        tasks=_filled(TURNED_TASK, tasks),
        source_taps=_taps(source_taps),
        panel_taps=_taps(panel_taps),
        parts=_filled(TURNED_PART, records),
    )


def _turned_parts(
    call: Call, source: Shape, out: Shape, live: list[tuple[OutPhase, OutPhase]], images: int,
    block: int,
) -> tuple[list[ndarray], list[ndarray], list[dict[str, int]]]:  # fmt: skip
    """Of each part: where the taps of a block's channels read the source and the panel; its record.

    A tile's last rows may be beyond a part's pixels, of which there is room for so many more.
    """
    order = np.arange(block)[:, None]
    pitch = ISA.vectors * call.lanes
    source_taps, panel_taps, records = [], [], []
    first_pixel = first_tap = 0
    for rows, columns in live:
        taps = list(product(rows.taps, columns.taps))
        seen = [r.shift * source[3] + c.shift for r, c in taps]
        numbers = [r.number * call.weight[3] + c.number for r, c in taps]
        source_taps.append((order * prod(source[2:]) + np.array(seen)).ravel())
        panel_taps.append(((order * prod(call.weight[2:]) + np.array(numbers)) * pitch).ravel())
        records.append(
            {
                "first_pixel": first_pixel, "rows": rows.places, "columns": columns.places,
                "place": rows.first * out[3] + columns.first, "first_tap": first_tap,
                "taps": len(taps),
            }
        )  # fmt: skip
        first_pixel += images * rows.places * columns.places + ISA.rows
        first_tap += block * len(taps)
    return source_taps, panel_taps, records


def _turned_cycles(
    call: Call, live: list[tuple[OutPhase, OutPhase]], n_images: int, most_images: int,
    channels: int, n_columns: int, plane: int,
) -> float:  # fmt: skip
    """What a source channel takes in a correlation turned around, most_images at once."""
    images = _even(n_images, most_images)
    rows = 0
    for down, across in live:
        pixels = images * down.places * across.places
        rest = pixels % ISA.rows
        filled = 0 if rest == 0 else ISA.few_rows if rest <= ISA.few_rows else ISA.rows
        rows += (pixels - rest + filled) * len(down.taps) * len(across.taps)
    fused = rows * _vectors(n_columns, call) * ISA.fused_cycles
    packing = TURNED_PACK_CYCLES * prod(call.weight[2:]) * n_columns
    moving = TURNED_MOVE_CYCLES * images * plane * n_columns / channels
    return ceil(n_images, images) * (fused + packing + moving)


def _straight_cycles(
    call: Call, n_images: int, axes: tuple[Axis, Axis], n_rows: int, channels: int,
    parts: list[tuple[OutPhase, OutPhase]], is_strewn: bool,
) -> float:  # fmt: skip
    """The same of other correlations; of an image in parts, if there are any.

    is_strewn: a row's taps of the next channel do not follow this one's. Each part then reads all
    cache lines of the weight, for its own taps alone.
    """
    vertical, horizontal = axes
    is_spread = vertical.out_step * horizontal.out_step > 1
    weight_bytes = prod(call.weight[2:]) * n_rows * call.itemsize
    lines_cycles = LINE_CYCLES * weight_bytes / CACHE_LINE if parts and is_strewn else 0
    cycles = 0.0
    for down, across in parts or product(vertical.out_phases, horizontal.out_phases):
        pixels, lines = down.places * across.places, n_images * down.places
        rest = 0
        if n_images == 1 and not (is_spread or parts):
            rest = _rest(call, pixels, n_rows, is_by_rows=False)
        one = _apart_cycles(call, n_images * pixels - rest, lines, n_rows)
        fused = len(down.taps) * len(across.taps) * (one + _rest_cycles(rest, n_rows))
        cycles += max(fused, lines_cycles)
        if is_spread:
            cycles += SPREAD_CYCLES * n_images * pixels * n_rows / channels
    if is_spread:
        cycles += SPREAD_WEIGHT_CYCLES * prod(call.weight[2:]) * n_rows
    return cycles


class ProductTables(NamedTuple):
    """The arguments of _dense.multiply after its arrays."""

    plans: ndarray
    tasks: ndarray
    strips: ndarray
    a_rows: ndarray
    out_rows: ndarray
    a_taps: ndarray
    columns: ndarray
    phases: ndarray
    parts: ndarray


def grad_weight_tables(call: Call) -> ProductTables:
    """Rows are output channels, columns input channels and taps; sums run over pixels.

    Where it is less work, of a 1 x 1 weight, rows are input channels and columns output channels;
    of others each tap is a part, with input channels for columns and the pixels that have it.
    """
    is_few = call.output[1] <= DOTS_ROWS and _is_plain(call)
    is_swapped = not is_few and _is_swapped(call)
    if is_swapped:
        call = call._replace(
            input=call.output, weight=(call.weight[1], call.weight[0], 1, 1), output=call.input
        )
    all_rows, channels = call.weight[:2]
    taps = prod(call.weight[2:])
    lines, columns = call.output[2:]
    axes = vertical, horizontal = forward_axes(call)
    thin = is_few or is_thin(all_rows, call.groups, THIN_PRODUCT_ROWS)
    n_rows = all_rows // call.groups
    parts = [] if thin else _tap_parts(call, axes)
    is_apart = is_swapped or bool(parts) or call.input[0] * lines * columns >= KEPT_PIXELS
    copy_columns = call.input[3] if parts else columns + horizontal.halo
    is_direct = bool(parts) or (
        (is_few or not thin) and _is_direct(axes, call.input, (lines, columns))
    )
    sum_taps = 1 if parts else taps
    n_columns = channels * sum_taps
    if thin and not is_few:
        tasks = [
            {"group": 0, "first_m": m, "end_m": end_m, "first_column": 0, "end_column": n_columns}
            for m, end_m in _cut_groups(call, n_rows)
        ]
        seen_channels = channels
    else:
        most = n_columns
        if is_apart:
            column_bytes = n_rows * (taps if parts else 1) * call.itemsize
            most = max(call.lanes, TOGETHER_BYTES // column_bytes)
        tasks, seen_channels = _product_tasks(call, n_rows, n_columns, sum_taps, most)
    planes = len(vertical.phases) * len(horizontal.phases)
    line_bytes = max(seen_channels * planes * copy_columns, n_rows * columns) * call.itemsize
    together = 1 if thin else call.input[0]
    images, cuts = _strips(together, lines, columns, 0 if parts else line_bytes, vertical.halo)
    tallest = ceil(lines, cuts)
    plan, seen_channel = _source(
        call, call.input, axes, is_direct, seen_channels, images, tallest + vertical.halo,
        copy_columns, (0, 0),
    )  # fmt: skip
    plane = lines * columns
    pixels = np.arange(images * tallest * columns)
    a_taps = [pixels // plane * all_rows * plane + pixels % plane]
    seen = [{"first_pixel": 0, "rows": lines, "columns": columns, "seen_at": 0}]
    if parts:
        a_taps, seen = _part_pixels(parts, images, all_rows * plane, columns, call.input[3])
    # Of a vector of columns as many pixels as fill a panel: 0.84 to 0.99 of the time.
    most_pixels = LONG_BLOCK * max(1, ISA.vectors // ceil(n_columns, call.lanes))
    plan |= {
        "channels": channels, "out_image": all_rows * plane, "out_row": columns, "out_column": 1,
        "out_columns": columns, "taps": sum_taps, "block": _even(len(pixels), most_pixels),
        "is_spread": 0, "is_packed": 0, "strip_rows": 0, "out_width": 0, "is_thin": int(thin),
        "group_rows": n_rows, "rest": 0, "is_gapped": 0, "packed_rows": 0, "rows_at_once": 0,
        "side_taps": 0, "vectors": ISA.vectors, "is_swapped": int(is_swapped),
        "is_apart": int(is_apart), "swept_height": 0, "in_lanes": 0, "is_weight_far": 0,
        "is_far": int((prod(call.input) + prod(call.output)) * call.itemsize >= 2 * FETCHED_BYTES),
    }  # fmt: skip
    (down,), (across,) = vertical.out_phases, horizontal.out_phases
    if thin and cuts == 1:
        plan |= _lanes(call, call.input, axes, LANES_PIXELS)
    seen_at = [0] if parts else _offsets(down.taps, across.taps, axes, plan, call.lanes)
    return ProductTables(
        plans=_filled(PLAN, [plan]),
        tasks=_filled(PRODUCT, tasks),
        strips=_filled(STRIP, _cut(call.input[0], images, lines, cuts)),
        a_rows=_rows([m * plane for m in range(all_rows)]),
        out_rows=_rows([m * channels * taps for m in range(all_rows)]),
        a_taps=_taps(a_taps),
        columns=(np.arange(channels)[:, None] * seen_channel + np.array(seen_at)).ravel(),
        phases=np.array([(y, x) for y in vertical.phases for x in horizontal.phases]),
        parts=_filled(PART, seen),
    )


def _tap_parts(call: Call, axes: tuple[Axis, Axis]) -> list[tuple[TapPart, TapPart]]:
    """For each tap the rectangle of windows that have it in the input, if worth it."""
    taps = prod(call.weight[2:])
    if call.stride != (1, 1) or not 1 < taps <= MOST_PARTS:
        return []
    down, across = (
        [tap_part(tap, axis, size) for tap in axis.out_phases[0].taps]
        for axis, size in zip(axes, call.input[2:], strict=True)
    )
    parts = list(product(down, across))
    live = sum(rows.places * columns.places for rows, columns in parts)
    images, pixels, channels = call.input[0], prod(call.output[2:]), call.weight[1]
    live_cycles = (images * live + INTERLEAVED_PIXELS * taps) * _vectors(channels, call)
    cycles = images * pixels * _vectors(channels * taps, call)
    return parts if live_cycles < LIVE_PIXELS * cycles else []


def _part_pixels(
    parts: list[tuple[TapPart, TapPart]], images: int, image: int, columns: int, width: int
) -> tuple[list[ndarray], list[dict[str, int]]]:
    """Where the pixels of each part are in grad_output, and records of the parts."""
    offsets, records = [], []
    first_pixel = 0
    for down, across in parts:
        lines = (down.first + np.arange(down.places)) * columns
        plane = lines[:, None] + across.first + np.arange(across.places)
        offsets.append((np.arange(images)[:, None, None] * image + plane).ravel())
        records.append(
            {
                "first_pixel": first_pixel, "rows": down.places, "columns": across.places,
                "seen_at": (down.first + down.shift) * width + across.first + across.shift,
            }
        )  # fmt: skip
        first_pixel += offsets[-1].size
    return offsets, records


def _is_swapped(call: Call) -> bool:
    """Whether packing pixels of the output is less work than of the input, in 1 x 1 layers."""
    if not _is_plain(call):
        return False
    rows, channels = call.weight[:2]
    pixels = call.input[0] * prod(call.input[2:])
    swapped = _product_cycles(call, channels, rows) + TRANSPOSED_CYCLES * rows * channels / pixels
    return swapped < SWAPPED * _product_cycles(call, rows, channels)


def _is_plain(call: Call) -> bool:
    """Whether it is a 1 x 1 layer, without groups, whose output's pixels are the input's."""
    _, _, height, width = call.output
    return call.groups == 1 and _is_direct(forward_axes(call), call.input, (height, width))


def _product_cycles(call: Call, rows: int, columns: int) -> float:
    """Of a pixel, what a vector takes: its multiply-adds, and packing it about six."""
    return _vectors(columns, call) * (_fused_cycles(rows) + 6)


# ------------------------------------------------------------------------------------- sources


def _is_direct(axes: tuple[Axis, Axis], source: Shape, places: Pair) -> bool:
    """Whether windows are the source's own pixels, so that nothing needs copying."""
    is_plain = all(
        axis.step == 1 and axis.phases == [0] and not axis.before and not axis.halo for axis in axes
    )
    return is_plain and source[2:] == places


def _source(
    call: Call, source: Shape, axes: tuple[Axis, Axis], is_direct: bool, channels: int,
    images: int, copy_lines: int, copy_columns: int, shared: Pair,
) -> tuple[dict[str, int], int]:  # fmt: skip
    """The plan's part about the source, and the distance of its channels as tiles see them.

    shared: rows and columns of zeros that an image and the next, a line and the next have in
    common.
    """
    vertical, horizontal = axes
    image = (copy_lines - shared[0]) * copy_columns
    plane = images * image + shared[0] * copy_columns + shared[1]
    across = len(horizontal.phases)
    copy_channel = len(vertical.phases) * across * plane
    is_taken = (horizontal.step, across) in TAKEN_PHASES
    plan = {
        "height": source[2], "width": source[3], "step_h": vertical.step,
        "step_w": horizontal.step, "top": vertical.before, "left": horizontal.before,
        "channels": channels, "source_image": prod(source[1:]),
        "source_channel": source[2] * source[3], "is_direct": int(is_direct),
        "copy_image": image, "copy_channel": copy_channel, "copy_plane": plane,
        "copy_columns": copy_columns, "taken_phases": across if is_taken else 1,
        "shared_columns": shared[1], "halo": vertical.halo,
        "copy_size": 0 if is_direct else channels * copy_channel,
    }  # fmt: skip
    return plan, plan["source_channel"] if is_direct else copy_channel


def _shared(axes: tuple[Axis, Axis], source: Shape) -> Pair:
    """How many rows and columns of zeros after an image and a line may be those before the next.

    Windows that would begin in a halo are fewer then: of lines of 7 one where there were two. With
    a stride, which parts a source into planes, nothing is shared.
    """
    if any(axis.step > 1 for axis in axes):
        return 0, 0
    found = []
    for axis, size in zip(axes, source[2:], strict=True):
        places = max(phase.places for phase in axis.out_phases)
        after = places + axis.halo - axis.before - size
        found.append(max(0, min(axis.before, after, axis.halo)))
    return found[0], found[1]


def _live_parts(
    call: Call, source: Shape, axes: tuple[Axis, Axis], n_rows: int
) -> list[tuple[OutPhase, OutPhase]]:
    """Parts of an image that the same taps reach, where others lie in the padding, if worth it.

    A part's windows lie in the source: nothing is copied.
    """
    if call.stride != (1, 1):
        return []
    down, across = (live_phases(axis, size) for axis, size in zip(axes, source[2:], strict=True))
    parts = list(product(down, across)) if len(down) * len(across) <= MOST_PARTS else []
    if not all(rows.taps and columns.taps for rows, columns in parts):
        return []
    lines, width = (axis.out_phases[0].places for axis in axes)
    images, _ = _strips(source[0], lines, width, 0, 0)
    live = sum(
        len(rows.taps) * len(columns.taps)
        * _apart_cycles(call, images * rows.places * columns.places, images * rows.places, n_rows)
        for rows, columns in parts
    )  # fmt: skip
    whole = _apart_cycles(call, images * lines * width, images * lines, n_rows)
    return parts if live < LIVE * prod(call.weight[2:]) * whole else []


def _live_taps(parts: list[tuple[OutPhase, OutPhase]]) -> int:
    """How many taps the windows of an image have in the source."""
    return sum(
        rows.places * len(rows.taps) * columns.places * len(columns.taps) for rows, columns in parts
    )


def _apart_cycles(call: Call, pixels: int, runs: int, n_rows: int) -> float:
    """What a tap of so many pixels takes, packed from so many runs.

    Of a vector its multiply-adds, of a run that is packed 2.4, of a panel 4; of a panel that its
    first tile packs 5, of short runs 10.
    """
    vectors = _vectors(pixels, call)
    panels = vectors / ISA.vectors
    packing = 4 * panels + 2.4 * (panels + runs)
    if ISA.vector_bytes == PACKING_BYTES and n_rows > ISA.few_rows and runs * SHORT_RUN <= pixels:
        packing = (5 if runs * call.lanes <= pixels else 10) * panels
    return vectors * _fused_cycles(n_rows) + packing


def _swept_height(call: Call, channels: int) -> int:
    """The height of a depthwise kernel whose rows are swept together; 0 where they are not."""
    height = call.weight[2]
    is_dense = call.stride == (1, 1) and call.dilation[0] == 1 and channels == 1
    return height if is_dense and height in SWEPT_HEIGHTS else 0


def _together(call: Call, n_images: int, images: int, pixels: int, taps: int) -> int:
    """How many images of so many pixels are summed together, `images` or more, or one.

    One, whose sums need not be moved, or so many that fewest vectors are partly empty.
    """

    def cost(count: int) -> float:
        moved = MOVE_CYCLES if count > 1 else 0
        return _vectors(count * pixels, call) / count * (taps * ISA.fused_cycles + moved)

    return min((1, *range(images, 1 + min(2 * images, n_images))), key=cost)


def _spread_rows(n_rows: int, pixels: int, row_bytes: int, kernel_taps: int) -> tuple[bool, int]:
    """Of a weight whose taps belong to phases: whether it is packed, and how many rows at once."""
    if kernel_taps == 1:
        return False, min(n_rows, max(ISA.rows, PLAIN_SPREAD_ROWS))
    read_rows = READ_BYTES // row_bytes
    is_packed = pixels >= (LONG_PACKED_PIXELS if read_rows <= LONG_READ_ROWS else PACKED_PIXELS)
    most = min(SPREAD_ROWS, PACKED_BYTES // row_bytes if is_packed else read_rows)
    return is_packed, min(n_rows, max(ISA.rows, most))


def _rest(call: Call, pixels: int, n_rows: int, is_by_rows: bool) -> int:
    """How many of an image's pixels, the last beyond whole vectors, are summed apart.

    is_by_rows: with rows in the lanes.
    """
    rest = pixels % call.lanes
    tiles = ceil(n_rows, ISA.rows)
    # An image with a rest is cut by rows alone, and there is no half of three tiles.
    has_halves = pixels < 64 or tiles % 2 == 0 or tiles > 16
    has_vectors = not is_by_rows or n_rows % call.lanes == 0
    is_worth_it = pixels < FEW_PIXELS and rest <= REST_PIXELS and has_halves and has_vectors
    return rest if is_worth_it else 0


def _rest_cycles(rest: int, n_rows: int) -> float:
    """What a tap of pixels apart takes: 2 cycles to gather each, and a seventh of a vector."""
    return rest * (0.14 * _fused_cycles(n_rows) + 2)


def _is_gapped(
    call: Call, strip: tuple[int, int, int], copy_lines: int, copy_columns: int, n_rows: int,
    rest: int, taps: int,
) -> bool:  # fmt: skip
    """Whether the windows that would begin in a line's halo are summed too, and left out later.

    Then 48 successive windows are one run, which few rows read where it stands; but there are more.
    strip: its images, lines and columns; copy_lines, copy_columns: of an image, halos included.
    rest: pixels that are summed apart. taps: of a sum that is moved at the end, 0 where it is moved
    anyway.
    """
    images, lines, columns = strip
    fused = _fused_cycles(n_rows)
    apart_cycles = _apart_cycles(call, images * lines * columns - rest, images * lines, n_rows)
    apart_cycles += _rest_cycles(rest, n_rows)
    gapped = _vectors(((images - 1) * copy_lines + lines) * copy_columns, call)
    panel = 6.5 if n_rows >= GAPPED_PACKED_ROWS else 1
    moved = MOVE_CYCLES * n_rows / taps if taps else 0
    return gapped * (fused + panel / ISA.vectors + moved) < apart_cycles


def _lanes(call: Call, source: Shape, axes: tuple[Axis, Axis], most_pixels: int) -> dict[str, int]:
    """The plan's part about a depthwise layer's planes in lanes.

    It is empty if they are not: planes are larger, channels too few, or places have no tap.
    """
    is_depthwise = call.groups == call.input[1] == call.output[1] >= call.lanes // 2
    phases = [phase for axis in axes for phase in axis.out_phases]
    if not is_depthwise or not all(phase.taps and phase.places for phase in phases):
        return {}
    rows, columns = (
        max((phase.places - 1) * axis.step + max(source_places(axis, phase.taps)) + 1
            for phase in axis.out_phases)
        for axis in axes
    )  # fmt: skip
    if prod(source[2:]) > most_pixels or rows * columns > PADDED * most_pixels:
        return {}
    return {"in_lanes": 1, "copy_columns": columns, "copy_size": rows * columns * call.lanes}


def _offsets(
    down: list[Tap], across: list[Tap], axes: tuple[Axis, Axis], plan: dict[str, int], lanes: int
) -> list[int]:
    """Where each tap reads, from where its window stands in the copy."""
    vertical, horizontal = axes
    if plan["in_lanes"]:
        places = product(source_places(vertical, down), source_places(horizontal, across))
        return [(r * plan["copy_columns"] + s) * lanes for r, s in places]
    return [
        (r.phase * len(horizontal.phases) + s.phase) * plan["copy_plane"]
        + r.shift * plan["copy_columns"]
        + s.shift
        for r in down
        for s in across
    ]


# ------------------------------------------------------------------------------------ division


def _strips(n_images: int, lines: int, columns: int, line_bytes: int, halo: int) -> Pair:
    """(images put together in one strip, strips that one image is cut into)."""
    pixels = lines * columns
    if pixels < STRIP_PIXELS:
        return min(n_images, ceil(STRIP_PIXELS, pixels)), 1
    if not line_bytes:
        return 1, 1
    room = max(ceil(STRIP_PIXELS, columns), STRIP_BYTES // line_bytes - halo)
    return 1, ceil(lines, room)


def _division(
    call: Call, n_images: int, images: int, strips: int, lines: int, columns: int, n_rows: int,
    fewest: int, rest: int,
) -> tuple[int, int, int]:  # fmt: skip
    """(images, strips, parts of the rows) for which the busiest thread has least to do.

    fewest: parts of the rows at least. rest: pixels that need no vector. Where
    there are such, an image is not cut: no sum may depend on the number of threads.
    """
    tiles = ceil(n_rows, ISA.rows)

    def cost(choice: tuple[int, int, int]) -> float:
        images, strips, parts = choice
        count = call.groups * ceil(n_images, images) * strips * parts
        # Of one strip a thread the tallest counts, of many all.
        height = lines / strips if strips > call.threads else ceil(lines, strips)
        pixels = int(images * height * columns)
        vectors = _vectors(max(1, pixels - rest), call)
        # Of a tap, a vector takes its multiply-adds, and packing it about two.
        rows = ceil(tiles, parts) * ISA.rows
        return ceil(count, call.threads) * vectors * (_fused_cycles(rows) + 2)

    choices = [
        (each, more, parts)
        for each in sorted({images, max(1, min(images, n_images // call.threads))})
        for more in sorted(
            {strips, strips if rest else min(lines, ceil(strips, call.threads) * call.threads)}
        )
        for parts in range(fewest, 1 + min(fewest + call.threads - 1, tiles))
    ]
    return min(choices, key=cost)


def _product_tasks(
    call: Call, n_rows: int, n_columns: int, taps: int, most: int
) -> tuple[list[dict[str, int]], int]:
    """Tasks for which the busiest thread has least to do; the most channels that one sees.

    most: columns of a task at most.
    """
    tiles, vectors = ceil(n_rows, ISA.rows), ceil(n_columns, call.lanes)
    fewest = ceil(vectors, max(1, most // call.lanes))

    def cost(choice: Pair) -> float:
        across, down = choice
        count = call.groups * across * down
        # As in _product_cycles, of the busiest thread.
        return (
            ceil(count, call.threads)
            * _vectors(ceil(vectors, across) * call.lanes, call)
            * (_fused_cycles(ceil(tiles, down) * ISA.rows) + 6)
        )

    choices = [
        (across, down)
        for across in range(fewest, 1 + min(fewest + call.threads - 1, vectors))
        for down in range(1, 1 + min(call.threads, tiles))
    ]
    across, down = min(choices, key=cost)
    tasks = [
        {
            "group": g, "first_m": g * n_rows + m, "end_m": g * n_rows + end_m,
            "first_column": first, "end_column": end,
        }
        for g in range(call.groups)
        for first, end in pairwise(_cuts(n_columns, across, call.lanes))
        for m, end_m in pairwise(_cuts(n_rows, down, ISA.rows))
    ]  # fmt: skip
    seen = max(
        ceil(task["end_column"], taps) - task["first_column"] // taps for task in tasks
    )  # fmt: skip
    return tasks, seen


def _fused_cycles(rows: int) -> float:
    """What a vector's multiply-adds with so many rows take, of which tiles are filled up."""
    return ceil(rows, ISA.rows) * ISA.rows * ISA.fused_cycles


def _vectors(pixels: int, call: Call) -> float:
    """How many vectors are summed; fewer than a tile has take a little longer each, one by half."""
    vectors = ceil(pixels, call.lanes)
    return vectors + (0.5 if vectors == 1 else 0.15 if vectors % ISA.vectors else 0)


def _cut(n_images: int, images: int, lines: int, strips: int) -> list[dict[str, int]]:
    return [
        {"first_image": n, "end_image": min(n_images, n + images), "first_row": p, "end_row": end}
        for n in range(0, n_images, images)
        for p, end in pairwise(_cuts(lines, strips, 1))
    ]


def _cut_groups(call: Call, n_rows: int) -> list[Pair]:
    """First and end rows of each thread's groups, which are too small for tasks of their own."""
    return list(pairwise(_cuts(call.groups * n_rows, min(call.groups, call.threads), n_rows)))


def _cuts(size: int, parts: int, unit: int) -> list[int]:
    """Where `size` is cut into parts of whole units; the largest has ceil(units / parts)."""
    units = ceil(size, unit)
    return [min(size, ceil(units * i, parts) * unit) for i in range(parts + 1)]


def _even(size: int, limit: int) -> int:
    """The size of equal blocks, none above the limit."""
    return max(1, ceil(size, max(1, ceil(size, limit))))


def _rows(offsets: list[int]) -> ndarray:
    """A table of rows, for tiles that reach beyond the last: it is repeated."""
    return np.array(offsets + offsets[-1:] * ISA.rows)


def _taps(offsets: list[ndarray]) -> ndarray:
    """A table of taps, and an entry more: tiles read where the next tap is, even after the last."""
    return np.concatenate([*offsets, [0]])


def _filled(kind: np.dtype[np.void], records: list[dict[str, int]]) -> ndarray:
    names = kind.names or ()
    return np.array([tuple(record[name] for name in names) for record in records], kind)

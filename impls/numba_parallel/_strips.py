"""What every driver needs of a source: strips of it, runs of their pixels, panels of their taps."""

import numpy as np

from impls.numba_parallel._jit import inner, lean
from impls.numba_parallel._tile import (
    CACHE_LINE,
    ISA,
    PACKING_BYTES,
    count_up,
    find_ends,
    pack_rows,
    pack_tile,
    take_rows,
    tile,
)

ROWS, VECTORS, VECTOR_BYTES = ISA.rows, ISA.vectors, ISA.vector_bytes
# Entries at the end of a panel's seams, whose places are written in whole vectors.
SPARE = VECTOR_BYTES // 8


@inner
def aligned(size, like):
    """An empty array that starts a cache line, as long vectors want it."""
    array = np.empty(size + CACHE_LINE // like.itemsize, like.dtype)
    return array[-array.ctypes.data % CACHE_LINE // like.itemsize :][:size]


@inner
def steps(count, step):
    """0, step, 2 * step, ...: `count` offsets, the last repeated for a tile's rows."""
    table = np.empty(count + ISA.rows, np.int64)
    for i in range(count + ISA.rows):
        table[i] = min(i, count - 1) * step
    return table


@lean
def copy(copied, source, source_at, plan, phases, images, channels, first, rows):
    """Copy what a strip's windows see, with zeros for the padding.

    copied: (channels, phases, images, rows, plan.copy_columns); of each image `rows` rows are
    filled, of which the last may be the next image's first. Row i of a phase is the source's row
    (first + i) * step_h + phase_h - top.
    """
    for n in range(images):
        for c in range(channels):
            for f in range(0, len(phases), plan.taken_phases):
                take_rows(
                    copied, n * plan.copy_image + c * plan.copy_channel + f * plan.copy_plane,
                    plan.taken_phases, plan.copy_plane,
                    source, source_at + n * plan.source_image + c * plan.source_channel,
                    first * plan.step_h + phases[f, 0] - plan.top, plan.step_h, plan.height,
                    phases[f, 1] - plan.left, plan.step_w, plan.width, rows, plan.copy_columns,
                )  # fmt: skip
    # After an image's last line there may be no other whose first zeros are this one's last.
    for i in range(plan.shared_columns):
        for c in range(channels):
            for n in range(images):
                at = c * plan.copy_channel + n * plan.copy_image + rows * plan.copy_columns
                copied[at + i] = 0


@inner
def strip(copied, source, plan, phases, first_image, images, first_channel, channels, first, rows):
    """(array, where its first window stands, places from image to image) of some rows of windows.

    The array is the source where nothing must be copied, else copied, filled.
    """
    source_at = first_image * plan.source_image + first_channel * plan.source_channel
    if plan.is_direct:
        return source, source_at + first * plan.copy_columns, plan.source_image
    copy(copied, source, source_at, plan, phases, images, channels, first, rows + plan.halo)
    return copied, np.int64(0), plan.copy_image


@lean
def find_runs(found, first, count, rows, columns, image, row):
    """Runs of contiguous pixels among the pixels first to first + count of a strip.

    Fills found with (image, row, column, length, offset) of each; returns how many there are.
    """
    line, q = divmod(first, columns)
    n, p = divmod(line, rows)
    n_found = 0
    while count > 0:
        length = min(columns - q, count)
        found[n_found, 0] = n
        found[n_found, 1] = p
        found[n_found, 2] = q
        found[n_found, 3] = length
        found[n_found, 4] = n * image + p * row + q
        n_found += 1
        count -= length
        q, p = 0, p + 1
        if p == rows:
            p, n = 0, n + 1
    return n_found


@lean
def panel_width(left, lanes, vectors):
    """How many of so many pixels or columns the next panel has: `vectors` where there are as many.

    Of four vectors two: one that is alone in its tile takes half as long again.
    """
    pitch = VECTORS * lanes
    if VECTORS > 2 and pitch < left <= pitch + lanes:
        return pitch - lanes
    return vectors * lanes if left >= vectors * lanes else min(pitch, left)


@lean
def find_seams(like, seams, runs, n_runs):
    """Where the vectors of a panel stand, whose runs fill it; returns whether they can be so read.

    Of each vector the elements from its first on are read, and those up to its last: others of it
    may not lie between the two. Fills seams with where each vector's first elements start, where
    its last do, how many runs vectors have at most (3 for more), and where all elements stand.
    """
    if n_runs == 1:
        for v in range(VECTORS):
            seams[v] = runs[0, 4] + v * (VECTOR_BYTES // like.itemsize)
        seams[2 * VECTORS] = 1  # of one run nothing else is read
        return True
    column = np.int64(2 * VECTORS + 1)
    for r in range(n_runs):
        count_up(seams, column, runs[r, 4], runs[r, 3])
        column += runs[r, 3]
    return find_ends(like, seams) > 0


@lean
def find_lines(found, starts, count, itemsize):
    """Fill found with cache lines after `count` starts: the first of each before the second."""
    start, line = np.int64(0), np.int64(0)
    for i in range(len(found)):
        found[i] = starts[start] + line
        start += 1
        if start == count:
            start, line = np.int64(0), line + CACHE_LINE // itemsize


@lean
def sum_panel(
    to, to_rows, panel, panel_taps, seams, runs, n_runs, width, seen, seen_at, source_taps, tap,
    taps, is_packed, ahead, a, a_rows, a_taps, next_lines, asks_for_weights, bias, n_rows,
    is_first,
):  # fmt: skip
    """Add what `taps` taps, from tap on, see at runs of `width` pixels in all to rows of sums.

    to, a: addresses, of sums and weight; to_rows, a_rows: where rows stand there. is_packed:
    whether pixels go through the panel even where they could be read in place. ahead: how many
    pixels after these are asked for early. asks_for_weights: whether tiles ask for the next one's
    rows, whose lines are next_lines after where the first has its taps.
    """
    lanes = VECTOR_BYTES // seen.itemsize
    b, b_taps, b_tap = panel.ctypes.data, panel_taps, 0
    seen_from = seen.ctypes.data + seen_at * seen.itemsize
    next_from = seen_from + (runs[0, 4] + width) * seen.itemsize
    is_whole = width == VECTORS * lanes
    is_read = (
        is_whole
        and VECTOR_BYTES == PACKING_BYTES
        and (is_packed or (n_runs > 1 and n_rows > ISA.few_rows))
        and find_seams(seen, seams, runs, n_runs)
    )
    if n_runs == 1 and width % lanes == 0 and not is_packed:
        # One run of whole vectors is read where it stands.
        b, b_taps, b_tap = seen_from + runs[0, 4] * seen.itemsize, source_taps, tap
        asks_for_weights = 0
    elif not is_read:
        column = np.int64(0)
        for r in range(n_runs):
            pack_rows(
                panel, column, VECTORS * lanes, seen, seen_at + runs[r, 4], source_taps, tap, taps,
                runs[r, 3],
            )  # fmt: skip
            column += runs[r, 3]
    # Tiles ask for what is packed next, each for a line of every tap, then for weights.
    lines, step, next_rows = np.int64(0), np.int64(0), np.int64(0)
    if is_whole and ahead > 0:
        lines += (ahead * seen.itemsize - 1) // CACHE_LINE + 2
    if asks_for_weights:
        step = (a_rows[1] - a_rows[0]) * seen.itemsize
        next_rows = a + (a_rows[0] + a_taps[tap]) * seen.itemsize + ROWS * step
    for m in range(0, n_rows, ROWS):
        if is_read and m == 0:
            # The first tile packs the panel for the others.
            pack_tile(
                panel, b, seen_from, source_taps, tap, seams, a, a_rows, m, a_taps, tap, taps, to,
                to_rows, bias, m, is_first, min(ROWS, n_rows),
            )  # fmt: skip
            continue
        fetched, fetched_taps, fetched_tap = next_rows + m * step, next_lines, 0
        if lines > 0:
            lines -= 1
            fetched, fetched_taps, fetched_tap = next_from + lines * CACHE_LINE, source_taps, tap
        tile(
            panel, b, b_taps, b_tap, a, a_rows, m, a_taps, tap, taps, to, to_rows, bias, m,
            is_first, min(ROWS, n_rows - m), width, fetched, fetched_taps, fetched_tap,
        )  # fmt: skip

"""Correlation whose pixels stand apart in out: a stride's input gradient, transposed convolution.

Places with one remainder modulo the stride, a phase, share their taps. The column phases of 48
windows are summed beside one another and written together, so that each line of out is visited
once.
"""

import numpy as np

from impls.numba_parallel._jit import inner
from impls.numba_parallel._strips import PACKED_ROWS, aligned, find_runs, operand, steps, strip
from impls.numba_parallel._tile import ISA, tile, write_pairs

ROWS, VECTORS, VECTOR_BYTES = ISA.rows, ISA.vectors, ISA.vector_bytes


@inner
def _pack_weight(packed, a, a_rows, a_taps, n_rows):
    """packed[k, i] = a[i, k]: a phase reads few taps of many, each in a cache line of its own."""
    for k in range(len(a_taps)):
        row = packed[k * n_rows : (k + 1) * n_rows]
        for i in range(n_rows):
            row[i] = a[a_rows[i] + a_taps[k]]


@inner
def _write_phases(out, place, sums, column, pitch, phases, first, length):
    """Write `length` windows of the column phases, from the first on, into the row at a place.

    The sums of phase g start at sums[column + g * pitch].
    """
    step = len(phases)
    if step == 2:
        even, odd = 0, 1
        if phases[even].column_at:
            even, odd = odd, even
        count = min(length, phases[even].columns - first) + min(length, phases[odd].columns - first)
        write_pairs(
            out, place + 2 * first, sums, column + even * pitch, column + odd * pitch, count
        )
        return
    for g in range(step):
        values = sums[column + g * pitch :][:length]
        row = out[place + phases[g].column_at + first * step :]
        for j in range(min(length, phases[g].columns - first)):
            row[j * step] = values[j]


@inner
def _fill_empty(out, bias, plan, phases, sums, n_rows, n_images, rows, out_rows, strip_at):
    """Fill what no tap reaches with the bias: sums of such phases, or out where all are such.

    Returns whether out is filled.
    """
    pitch = VECTORS * (VECTOR_BYTES // out.itemsize)
    n_empty = 0
    for g in range(len(phases)):
        if phases[g].first_tap == phases[g].end_tap:
            n_empty += 1
            for i in range(n_rows):
                sums[(g * n_rows + i) * pitch :][:pitch] = bias[i]
    if n_empty < len(phases):
        return False
    for i in range(n_rows):
        for n in range(n_images):
            for p in range(rows):
                at = strip_at + out_rows[i] + phases[0].row_at + n * plan.out_image
                at += p * plan.out_row
                out[at : at + plan.out_width] = bias[i]
    return True


@inner
def spread(out, source, a, bias, plan, task, tables, work):
    """Fill a task's pixels and rows, strip by strip."""
    a_rows, out_rows, a_taps, source_taps, out_phases, phases = tables
    copied, panel, panel_taps, runs = work
    size = out.itemsize
    pitch = VECTORS * (VECTOR_BYTES // size)
    step = plan.out_column
    n_rows, n_images = task.end_m - task.first_m, task.end_image - task.first_image
    columns = plan.out_columns
    # One panel more: write_pairs reads whole vectors.
    sums = aligned((step * n_rows + 1) * pitch, out)
    # Tiles reach beyond the last row: they see it again.
    sums_rows = steps(n_rows, pitch)
    bias, out_rows, a_rows = bias[task.first_m :], out_rows[task.first_m :], a_rows[task.first_m :]
    weight = a.ctypes.data
    packed = aligned(plan.is_packed * len(a_taps) * n_rows, out)
    if plan.is_packed:
        _pack_weight(packed, a, a_rows, a_taps, n_rows)
        weight = packed.ctypes.data
        a_rows, a_taps = steps(n_rows, np.int64(1)), steps(len(a_taps), n_rows)
    seen_runs = np.empty((pitch, 5), np.int64)
    for first_row in range(task.first_row, task.end_row, plan.strip_rows):
        end_row = min(task.end_row, first_row + plan.strip_rows)
        seen, seen_at, image = strip(
            copied, source, plan, phases, task.first_image, n_images, task.group * plan.channels,
            plan.channels, first_row, end_row - first_row,
        )  # fmt: skip
        strip_at = task.first_image * plan.out_image + first_row * plan.out_row
        for f in range(0, len(out_phases), step):
            across = out_phases[f : f + step]
            rows = min(end_row, across[0].rows) - first_row
            if rows <= 0 or _fill_empty(
                out, bias, plan, across, sums, n_rows, n_images, rows, out_rows, strip_at
            ):
                continue
            seen_rows, seen_columns = rows, columns
            if plan.copy_columns == columns:
                seen_rows, seen_columns = 1, rows * columns
            for x in range(0, n_images * rows * columns, pitch):
                width = min(pitch, n_images * rows * columns - x)
                n_seen = find_runs(
                    seen_runs, x, width, seen_rows, seen_columns, image, plan.copy_columns
                )
                for g in range(step):
                    to = sums.ctypes.data + g * n_rows * pitch * size
                    first_tap, end_tap = across[g].first_tap, across[g].end_tap
                    for tap in range(first_tap, end_tap, plan.block):
                        taps = min(plan.block, end_tap - tap)
                        b, b_taps, b_tap = operand(
                            panel, panel_taps, seen_runs, n_seen, width, seen, seen_at,
                            source_taps, tap, taps, n_rows >= PACKED_ROWS,
                        )  # fmt: skip
                        for i in range(0, n_rows, ROWS):
                            tile(
                                out, b, b_taps, b_tap, weight, a_rows, i, a_taps, tap, taps,
                                to, sums_rows, bias, i, tap == first_tap, min(ROWS, n_rows - i),
                                width,
                            )  # fmt: skip
                n_runs = find_runs(runs, x, width, rows, columns, plan.out_image, plan.out_row)
                for i in range(n_rows):
                    column = i * pitch
                    for r in range(n_runs):
                        place = strip_at + out_rows[i] + across[0].row_at + runs[r, 4] - runs[r, 2]
                        _write_phases(
                            out, place, sums, column, n_rows * pitch, across, runs[r, 2], runs[r, 3]
                        )
                        column += runs[r, 3]
    # Numba would let go of it as soon as its address is known.
    packed[:0] = 0

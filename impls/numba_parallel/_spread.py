"""Correlation whose pixels stand apart in out: a stride's input gradient, transposed convolution.

Places with one remainder modulo the stride, a phase, share their taps. The column phases of 48
windows are summed beside one another and written together, so that each line of out is visited
once.
"""

import numpy as np

from impls.numba_parallel._jit import inner, lean
from impls.numba_parallel._strips import aligned, find_runs, panel_width, steps, strip, sum_panel
from impls.numba_parallel._tile import ISA, pack_columns, write_pairs

VECTOR_BYTES = ISA.vector_bytes


@inner
def _pack_weight(packed, a, a_rows, a_taps, n_rows, plan, phases):
    """packed[k, i] = a[i, k]: a phase reads few taps of many, each in a cache line of its own.

    A channel's taps lie side by side, and belong to one phase each: a vector of them is read from
    each of as many rows.
    """
    lanes = VECTOR_BYTES // a.itemsize
    kernel_taps, channels = plan.taps, plan.channels
    first_lines, line_steps = np.empty(kernel_taps, np.int64), np.empty(kernel_taps, np.int64)
    for phase in phases:
        count = (phase.end_tap - phase.first_tap) // channels
        for k in range(phase.first_tap, phase.first_tap + count):
            first_lines[a_taps[k]], line_steps[a_taps[k]] = k * n_rows, count * n_rows
    lines = np.empty(kernel_taps, np.int64)
    whole = n_rows // lanes * lanes
    for c in range(channels):
        channel_at = c * plan.group_rows * kernel_taps
        for t in range(kernel_taps):
            lines[t] = first_lines[t] + c * line_steps[t]
        for m in range(0, whole, lanes):
            for t in range(0, kernel_taps, lanes):
                pack_columns(
                    packed, m, lines, t, a, channel_at + t, a_rows, m, min(lanes, kernel_taps - t)
                )
        for t in range(kernel_taps):
            for m in range(whole, n_rows):
                packed[lines[t] + m] = a[channel_at + t + a_rows[m]]


@lean
def _sum_phases(
    sums, sums_rows, panel, panel_taps, seams, runs, n_runs, width, seen, seen_at, source_taps,
    weight, a_rows, a_taps, bias, n_rows, phases, plan,
):  # fmt: skip
    """Sum a panel of windows for each column phase: row i of phase g in panel g * n_rows + i."""
    pitch = plan.vectors * (VECTOR_BYTES // sums.itemsize)
    for g in range(len(phases)):
        to = sums.ctypes.data + g * n_rows * pitch * sums.itemsize
        first_tap, end_tap = phases[g].first_tap, phases[g].end_tap
        for tap in range(first_tap, end_tap, plan.block):
            taps = min(plan.block, end_tap - tap)
            sum_panel(
                to, sums_rows, panel, panel_taps, seams, runs, n_runs, width, seen, seen_at,
                source_taps, tap, taps, n_rows >= plan.packed_rows, 0, weight, a_rows, a_taps,
                panel_taps, 0, bias, n_rows, tap == first_tap,
            )  # fmt: skip


@lean
def _find_places(found, x, width, lines, line, rows, columns, plan):
    """Runs of a panel's windows that are in out, as find_runs has them; returns how many.

    lines, line: of an image as it is summed, gaps included. rows, columns: without them. Instead of
    the image, where the run stands in the panel.
    """
    n_found, column = 0, np.int64(0)
    for r in range(find_runs(found, x, width, lines, line, plan.out_image, plan.out_row)):
        length = found[r, 3]
        if found[r, 1] < rows and found[r, 2] < columns:
            found[n_found, 0] = column
            found[n_found, 1] = found[r, 1]
            found[n_found, 2] = found[r, 2]
            found[n_found, 3] = min(length, columns - found[r, 2])
            found[n_found, 4] = found[r, 4]
            n_found += 1
        column += length
    return n_found


@lean
def _write_phases(out, place, out_rows, sums, column, pitch, n_rows, phases, first, length):
    """Write `length` windows of the column phases, from the first on, into each row's line.

    Row i's line starts at place + out_rows[i], its sums of phase g at panel g * n_rows + i, whose
    columns are pitch.
    """
    step = len(phases)
    if step == 2:
        even, odd = 0, 1
        if phases[even].column_at:
            even, odd = odd, even
        count = min(length, phases[even].columns - first) + min(length, phases[odd].columns - first)
        write_pairs(
            out, place + 2 * first, out_rows, sums, column + even * n_rows * pitch,
            column + odd * n_rows * pitch, pitch, n_rows, count,
        )  # fmt: skip
        return
    for i in range(n_rows):
        for g in range(step):
            values = sums[column + (g * n_rows + i) * pitch :][:length]
            row = out[place + out_rows[i] + phases[g].column_at + first * step :]
            for j in range(min(length, phases[g].columns - first)):
                row[j * step] = values[j]


@lean
def _fill_empty(out, bias, plan, phases, sums, pitch, n_rows, n_images, rows, out_rows, strip_at):
    """Fill what no tap reaches with the bias: sums of such phases, or out where all are such.

    Returns whether out is filled.
    """
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
    copied, panel, panel_taps, seams, runs, _ = work
    lanes = VECTOR_BYTES // out.itemsize
    pitch = plan.vectors * lanes
    step = plan.out_column
    all_rows, n_images = task.end_m - task.first_m, task.end_image - task.first_image
    columns, line = plan.out_columns, plan.out_columns
    if plan.is_gapped:
        line = plan.copy_columns
    # One panel more: write_pairs reads whole vectors.
    sums = aligned((step * min(all_rows, plan.rows_at_once) + 1) * pitch, out)
    all_a_rows, weight = a_rows[task.first_m :], a.ctypes.data
    n_taps = plan.channels * plan.taps
    packed = aligned(plan.is_packed * n_taps * all_rows, out)
    if plan.is_packed:
        _pack_weight(packed, a, all_a_rows, a_taps, all_rows, plan, out_phases)
        weight = packed.ctypes.data
        all_a_rows, a_taps = steps(all_rows, np.int64(1)), steps(n_taps, all_rows)
    seen_runs = np.empty((pitch, 5), np.int64)
    for first_row in range(task.first_row, task.end_row, plan.strip_rows):
        end_row = min(task.end_row, first_row + plan.strip_rows)
        seen, seen_at, image = strip(
            copied, source, plan, phases, task.first_image, n_images, task.group * plan.channels,
            plan.channels, first_row, end_row - first_row,
        )  # fmt: skip
        strip_at = task.first_image * plan.out_image + first_row * plan.out_row
        for first_m in range(0, all_rows, plan.rows_at_once):
            n_rows = min(plan.rows_at_once, all_rows - first_m)
            sums_rows = steps(n_rows, pitch)  # tiles see the last again, beyond it
            m_bias, m_out_rows = bias[task.first_m + first_m :], out_rows[task.first_m + first_m :]
            m_a_rows = all_a_rows[first_m:]
            for f in range(0, len(out_phases), step):
                across = out_phases[f : f + step]
                rows = min(end_row, across[0].rows) - first_row
                if rows <= 0 or _fill_empty(
                    out, m_bias, plan, across, sums, pitch, n_rows, n_images, rows, m_out_rows,
                    strip_at,
                ):  # fmt: skip
                    continue
                # Of the source as windows see it: lines, and how long they are.
                pixels, out_lines = n_images * rows * columns, rows
                seen_rows, seen_columns = rows, columns
                if plan.is_gapped:
                    pixels = (n_images - 1) * image + (rows - 1) * line + columns
                    seen_rows, seen_columns, out_lines = 1, pixels, image // line
                elif plan.copy_columns == columns:
                    seen_rows, seen_columns = 1, rows * columns
                x = np.int64(0)
                while x < pixels:
                    width = panel_width(pixels - x, lanes, plan.vectors)
                    n_seen = find_runs(
                        seen_runs, x, width, seen_rows, seen_columns, image, plan.copy_columns
                    )
                    _sum_phases(
                        sums, sums_rows, panel, panel_taps, seams, seen_runs, n_seen, width, seen,
                        seen_at, source_taps, weight, m_a_rows, a_taps, m_bias, n_rows, across,
                        plan,
                    )  # fmt: skip
                    n_runs = _find_places(runs, x, width, out_lines, line, rows, columns, plan)
                    for r in range(n_runs):
                        _write_phases(
                            out, strip_at + across[0].row_at + runs[r, 4] - runs[r, 2], m_out_rows,
                            sums, runs[r, 0], pitch, n_rows, across, runs[r, 2], runs[r, 3],
                        )  # fmt: skip
                    x += width
    # Numba would let go of it as soon as its address is known.
    packed[:0] = 0

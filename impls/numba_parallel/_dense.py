"""Dense convolution, its gradients and linear in compiled code: strips, panels, tiles.

correlate serves everything whose sums run over channels and taps (forward, grad_input, transposed
convolution, linear and its grad_input), multiply what runs over pixels (grad_weight). Where things
stand is in the plan (_plan.py); see the package's page for a drawing.
"""

import numpy as np
from numba import prange

from impls.numba_parallel._jit import inlined, inner, moving
from impls.numba_parallel._rest import TAPS, add_rest, rest_runs, write_rest
from impls.numba_parallel._spread import spread
from impls.numba_parallel._strips import aligned, find_runs, operand, panel_width, steps, strip
from impls.numba_parallel._thin import dots_task, sweep_task
from impls.numba_parallel._tile import ISA, fetch_rows, move_rows, pack_columns, tile

ROWS, VECTORS, VECTOR_BYTES = ISA.rows, ISA.vectors, ISA.vector_bytes


@inlined
def _has_no_panel(plan):
    """Whether pixels, too few to fill a panel, stand side by side: they are read from there."""
    return plan.rest > 0 and plan.taps == 1


@inner
def _correlate_strip(out, source, a, bias, plan, task, tables, work):
    """Fill a task's pixels, which lie side by side in out or in images one after the other."""
    a_rows, out_rows, a_taps, source_taps, _, phases = tables
    copied, panel, panel_taps, runs = work
    size = out.itemsize
    lanes = VECTOR_BYTES // size
    n_images = task.end_image - task.first_image
    lines, columns = task.end_row - task.first_row, plan.out_columns
    image_pixels = lines * columns
    seen, seen_at, image = strip(
        copied, source, plan, phases, task.first_image, n_images, task.group * plan.channels,
        plan.channels, task.first_row, lines,
    )  # fmt: skip
    strip_at = task.first_image * plan.out_image + task.first_row * plan.out_row
    rows = lines
    if plan.is_gapped:
        rows, columns = 1, (n_images - 1) * image + (lines - 1) * plan.copy_columns + columns
    elif plan.copy_columns == columns:
        rows, columns = 1, lines * columns
    pixels = columns if plan.is_gapped else n_images * rows * columns - plan.rest
    last_runs = rest_runs(pixels, plan.rest, rows, columns, image, plan.copy_columns)
    values = np.empty(plan.rest * (TAPS + plan.block), out.dtype)
    # Pixels with gaps or of several images are summed side by side, and taken apart at the end.
    is_apart = plan.is_gapped or n_images > 1
    together = aligned(is_apart * min(plan.rows_at_once, task.end_m - task.first_m) * pixels, out)
    for first_m in range(task.first_m, task.end_m, plan.rows_at_once):
        n_rows = min(plan.rows_at_once, task.end_m - first_m)
        m_bias, m_out_rows, m_a_rows = bias[first_m:], out_rows[first_m:], a_rows[first_m:]
        rest_sums = np.zeros(plan.rest * n_rows, out.dtype)
        rest_tap = np.int64(0)
        if is_apart:
            to, to_rows = together.ctypes.data, steps(n_rows, pixels)
        else:
            to, to_rows = out.ctypes.data + strip_at * size, m_out_rows
        is_packed = n_rows >= plan.packed_rows and not _has_no_panel(plan)
        for tap in range(0, len(a_taps), plan.block):
            taps = min(plan.block, len(a_taps) - tap)
            x = np.int64(0)
            while x < pixels:
                width = panel_width(pixels - x, lanes, plan.vectors)
                n_runs = find_runs(runs, x, width, rows, columns, image, plan.copy_columns)
                b, b_taps, b_tap = operand(
                    panel, panel_taps, runs, n_runs, width, seen, seen_at, source_taps, tap, taps,
                    is_packed,
                )  # fmt: skip
                if plan.is_far and is_packed and x + width < pixels:
                    fetch_rows(
                        seen, seen_at + runs[0, 4] + width, source_taps, tap, taps,
                        min(VECTORS * lanes, pixels - x - width),
                    )  # fmt: skip
                for m in range(0, n_rows, ROWS):
                    tile(
                        out, b, b_taps, b_tap, a.ctypes.data, m_a_rows, m, a_taps, tap, taps,
                        to + x * size, to_rows, m_bias, m, tap == 0, min(ROWS, n_rows - m), width,
                    )  # fmt: skip
                x += width
            end_tap = tap + taps
            if plan.rest and (end_tap - rest_tap >= TAPS or end_tap == len(a_taps)):
                add_rest(
                    rest_sums, values, seen, seen_at, last_runs, a, m_a_rows, n_rows, a_taps,
                    source_taps, rest_tap, end_tap, plan,
                )  # fmt: skip
                rest_tap = end_tap
        write_rest(out, strip_at, rest_sums, last_runs, n_rows, m_out_rows, m_bias, plan)
        if plan.is_gapped:
            for m in range(n_rows):
                for n in range(n_images):
                    move_rows(
                        out, strip_at + m_out_rows[m] + n * plan.out_image, plan.out_row, together,
                        m * pixels + n * image, plan.copy_columns, lines, plan.out_columns,
                    )  # fmt: skip
        elif n_images > 1:
            for m in range(n_rows):
                move_rows(
                    out, strip_at + m_out_rows[m], plan.out_image, together, m * pixels,
                    image_pixels, n_images, image_pixels,
                )  # fmt: skip


@inlined
def _correlate_task(out, source, a, bias, plan, task, tables):
    if plan.is_thin:
        sweep_task(out, source, a, bias, plan, task, tables)
        return
    lanes = VECTOR_BYTES // out.itemsize
    pitch = VECTORS * lanes
    copied = aligned(plan.copy_size, out)
    panel = aligned(0 if _has_no_panel(plan) else plan.block * pitch, out)
    panel[:] = 0  # lanes without a pixel: denormal garbage there would cost 100 cycles each
    panel_taps = steps(plan.block, pitch)
    runs = np.empty((plan.vectors * lanes, 5), np.int64)
    work = copied, panel, panel_taps, runs
    if plan.is_spread:
        spread(out, source, a, bias, plan, task, tables, work)
    else:
        _correlate_strip(out, source, a, bias, plan, task, tables, work)


@moving
def correlate(
    out, source, a, bias, plans, tasks, a_rows, out_rows, a_taps, source_taps, out_phases, phases
):
    """Fill out: every task a strip of pixels and a part of the rows."""
    out, source, a, bias = out.ravel(), source.ravel(), a.ravel(), bias.ravel()
    for t in prange(len(tasks)):
        _correlate_task(
            out, source, a, bias, plans[0], tasks[np.int64(t)],
            (a_rows, out_rows, a_taps, source_taps, out_phases, phases),
        )  # fmt: skip


@inner
def _multiply_strip(out, to, source, a, plan, task, where, is_first, tables, work):
    """Add one strip's products to a task's part of out, which begins at an address."""
    a_rows, out_rows, a_taps, columns, phases = tables
    copied, panel, panel_taps, offsets, zeros, runs = work
    size = out.itemsize
    lanes = VECTOR_BYTES // size
    pitch = VECTORS * lanes
    # Channels are counted from the first that the task's columns touch.
    first_channel = task.first_column // plan.taps
    end_channel = (task.end_column - 1) // plan.taps + 1
    skipped = first_channel * plan.taps
    images = where.end_image - where.first_image
    rows = where.end_row - where.first_row
    width = plan.out_columns
    seen, seen_at, image = strip(
        copied, source, plan, phases, where.first_image, images,
        task.group * plan.channels + first_channel, end_channel - first_channel, where.first_row,
        rows,
    )  # fmt: skip
    if width == plan.copy_columns:
        width *= rows
        rows = 1
    pixels = images * rows * width
    a_at = (
        a.ctypes.data + (where.first_image * plan.out_image + where.first_row * plan.out_row) * size
    )
    column = task.first_column
    while column < task.end_column:
        n_columns = panel_width(task.end_column - column, lanes, plan.vectors)
        for i in range(pitch):
            # Vectors have lanes beyond the last column: they read it again.
            offsets[i] = columns[min(column + i, task.end_column - 1) - skipped]
        for x in range(0, pixels, plan.block):
            count = min(plan.block, pixels - x)
            n_runs = find_runs(runs, x, count, rows, width, image, plan.copy_columns)
            for i in range(0, n_columns, lanes):
                k = np.int64(0)
                for r in range(n_runs):
                    for j in range(0, runs[r, 3], lanes):
                        pack_columns(
                            panel, i, panel_taps, k, seen, seen_at + runs[r, 4] + j, offsets, i,
                            min(lanes, runs[r, 3] - j),
                        )  # fmt: skip
                        k += min(lanes, runs[r, 3] - j)
            if plan.is_far and x + count < pixels:
                fetch_rows(seen, seen_at + runs[0, 4] + count, offsets, 0, n_columns, plan.block)
            for m in range(task.first_m, task.end_m, ROWS):
                tile(
                    out, panel.ctypes.data, panel_taps, 0, a_at, a_rows, m, a_taps, x, count,
                    to + column * size, out_rows, zeros, m, is_first and x == 0,
                    min(ROWS, task.end_m - m), n_columns,
                )  # fmt: skip
        column += n_columns


@inner
def _transpose(out, sums, first_at, sums_rows, rows, task):
    """out[column, m] = sums[m, column] of a task; row m of sums is at sums_rows[m] - first_at."""
    lanes = VECTOR_BYTES // out.itemsize
    lines = steps(task.end_column, rows)
    whole = task.first_m + (task.end_m - task.first_m) // lanes * lanes
    for m in range(task.first_m, whole, lanes):
        for column in range(task.first_column, task.end_column, lanes):
            pack_columns(
                out, m, lines, column, sums, column - first_at, sums_rows, m,
                min(lanes, task.end_column - column),
            )  # fmt: skip
    for m in range(whole, task.end_m):
        for column in range(task.first_column, task.end_column):
            out[lines[column] + m] = sums[sums_rows[m] - first_at + column]


@inlined
def _multiply_task(out, a, source, plan, task, strips, tables):
    if plan.is_thin:
        dots_task(out, a, source, plan, task, strips, tables)
        return
    lanes = VECTOR_BYTES // out.itemsize
    pitch = VECTORS * lanes
    copied = aligned(plan.copy_size, out)
    panel = aligned(plan.block * pitch, out)
    work = (
        copied, panel, steps(plan.block, pitch), np.empty(pitch, np.int64),
        np.zeros(len(tables[1]), out.dtype), np.empty((plan.block, 5), np.int64),
    )  # fmt: skip
    out_rows = tables[1]
    first_at, end_at = out_rows[task.first_m], out_rows[task.end_m - 1] + plan.channels * plan.taps
    swapped = aligned(plan.is_swapped * (end_at - first_at), out)
    to = out.ctypes.data
    if plan.is_swapped:
        to = swapped.ctypes.data - first_at * out.itemsize
    for s in range(len(strips)):
        _multiply_strip(out, to, source, a, plan, task, strips[s], s == 0, tables, work)
    if plan.is_swapped:
        _transpose(out, swapped, first_at, out_rows, plan.group_rows, task)


@moving
def multiply(out, a, source, plans, tasks, strips, a_rows, out_rows, a_taps, columns, phases):
    """Fill out: every task a part of its rows and columns, summed over all strips.

    If the plan is swapped, its rows are out's columns.
    """
    out, a, source = out.ravel(), a.ravel(), source.ravel()
    if plans[0].is_swapped:
        a, source = source, a
    for t in prange(len(tasks)):
        _multiply_task(
            out, a, source, plans[0], tasks[np.int64(t)], strips,
            (a_rows, out_rows, a_taps, columns, phases),
        )  # fmt: skip

"""Dense convolution, its gradients and linear in compiled code: strips, panels, tiles.

correlate serves everything whose sums run over channels and taps (forward, grad_input, transposed
convolution, linear and its grad_input), multiply what runs over pixels (grad_weight). Where things
stand is in the plan (_plan.py); see the package's page for a drawing.
"""

import numpy as np

from impls.numba_parallel._jit import inlined, inner, tasked
from impls.numba_parallel._rest import TAPS, add_rest, rest_runs, write_rest
from impls.numba_parallel._spread import spread
from impls.numba_parallel._strips import (
    SPARE,
    aligned,
    find_lines,
    find_runs,
    panel_width,
    steps,
    strip,
    sum_panel,
)
from impls.numba_parallel._thin import dot_rows, dots_task, sweep_task
from impls.numba_parallel._tile import CACHE_LINE, ISA, move_rows, pack_columns, tile

ROWS, VECTORS, VECTOR_BYTES = ISA.rows, ISA.vectors, ISA.vector_bytes


@inlined
def _has_no_panel(plan):
    """Whether pixels, too few to fill a panel, stand side by side: they are read from there."""
    return plan.rest > 0 and plan.taps == 1


@inner
def _correlate_strip(out, source, a, bias, plan, task, tables, work):
    """Fill a task's pixels, which lie side by side in out or in images one after the other."""
    a_rows, out_rows, a_taps, source_taps, parts, phases = tables
    copied, panel, panel_taps, seams, runs, next_lines = work
    size = out.itemsize
    lanes = VECTOR_BYTES // size
    n_images = task.end_image - task.first_image
    lines, columns = task.end_row - task.first_row, plan.out_columns
    seen, seen_at, image = strip(
        copied, source, plan, phases, task.first_image, n_images, task.group * plan.channels,
        plan.channels, task.first_row, lines,
    )  # fmt: skip
    strip_at = task.first_image * plan.out_image + task.first_row * plan.out_row
    # Of sums: from line to line, and from image to image.
    sums_line, sums_image = columns, lines * columns
    if plan.is_gapped:
        sums_line, sums_image = plan.copy_columns, image
    pixels = (n_images - 1) * sums_image + (lines - 1) * sums_line + columns - plan.rest
    last_runs = rest_runs(pixels, plan.rest, lines, columns, image, plan.copy_columns)
    values = np.empty(plan.rest * (TAPS + plan.block), out.dtype)
    # Pixels with gaps, of several images or in parts are summed side by side, and taken apart at
    # the end.
    is_apart = plan.is_gapped or n_images > 1 or len(parts) > 1
    together = aligned(is_apart * min(plan.rows_at_once, task.end_m - task.first_m) * pixels, out)
    n_blocks = -(-(parts[0].end_tap - parts[0].first_tap) // parts[0].block)
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
        for block in range(n_blocks):
            end_x = np.int64(0)
            for p in range(len(parts)):
                part = parts[p]
                tap = part.first_tap + block * part.block
                taps = min(part.block, part.end_tap - tap)
                rows, columns = min(lines, part.rows), part.columns
                first_x, end_x = end_x, end_x + n_images * rows * columns
                if len(parts) == 1:
                    end_x = pixels
                if plan.is_gapped:
                    rows, columns = 1, pixels
                elif plan.copy_columns == columns:
                    rows, columns = 1, rows * columns
                x = first_x
                while x < end_x:
                    width = panel_width(end_x - x, lanes, plan.vectors)
                    n_runs = find_runs(
                        runs, x - first_x, width, rows, columns, image, plan.copy_columns
                    )
                    # No branch stands here: Numba would count references to arrays, panel by panel.
                    ahead = plan.is_far * min(VECTORS * lanes, end_x - x - width)
                    sum_panel(
                        to + x * size, to_rows, panel, panel_taps, seams, runs, n_runs, width,
                        seen, seen_at, source_taps, tap, taps, is_packed, ahead, a.ctypes.data,
                        m_a_rows, a_taps, next_lines, plan.is_weight_far * (x == 0),
                        m_bias, n_rows, block == 0,
                    )  # fmt: skip
                    x += width
            end_tap = min((block + 1) * plan.block, parts[0].end_tap)
            if plan.rest and (end_tap - rest_tap >= TAPS or block == n_blocks - 1):
                add_rest(
                    rest_sums, values, seen, seen_at, last_runs, a, m_a_rows, n_rows, a_taps,
                    source_taps, rest_tap, end_tap, plan,
                )  # fmt: skip
                rest_tap = end_tap
        write_rest(out, strip_at, rest_sums, last_runs, n_rows, m_out_rows, m_bias, plan)
        if plan.is_gapped or len(parts) > 1:
            for m in range(n_rows):
                x = m * pixels
                for p in range(len(parts)):
                    part = parts[p]
                    rows, columns = min(lines, part.rows), part.columns
                    if len(parts) > 1:
                        sums_line, sums_image = columns, rows * columns
                    at = strip_at + m_out_rows[m] + part.row_at + part.column_at
                    for n in range(n_images):
                        move_rows(
                            out, at + n * plan.out_image, plan.out_row, together, x, sums_line,
                            rows, columns,
                        )  # fmt: skip
                        x += sums_image
        elif n_images > 1:
            for m in range(n_rows):
                move_rows(
                    out, strip_at + m_out_rows[m], plan.out_image, together, m * pixels, sums_image,
                    n_images, sums_image,
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
    seams = np.empty(2 * VECTORS + 1 + pitch + SPARE, np.int64)
    runs = np.empty((plan.vectors * lanes, 5), np.int64)
    next_lines = np.empty(plan.is_weight_far * plan.block, np.int64)
    find_lines(next_lines, tables[0], ROWS, out.itemsize)
    work = copied, panel, panel_taps, seams, runs, next_lines
    if plan.is_spread:
        spread(out, source, a, bias, plan, task, tables, work)
    else:
        _correlate_strip(out, source, a, bias, plan, task, tables, work)


@tasked
def correlate(
    out, source, a, bias, plans, tasks, a_rows, out_rows, a_taps, source_taps, out_phases, phases,
    first, end,
):  # fmt: skip
    """Fill out: every task a strip of pixels and a part of the rows."""
    out, source, a, bias = out.ravel(), source.ravel(), a.ravel(), bias.ravel()
    for t in range(first, end):
        _correlate_task(
            out, source, a, bias, plans[0], tasks[t],
            (a_rows, out_rows, a_taps, source_taps, out_phases, phases),
        )  # fmt: skip


@inner
def _multiply_strip(to, to_rows, source, a, plan, task, where, part, is_first, tables, work):
    """Add the products of one strip, or a part of it, to a task's sums.

    Row m of the task is at the address to, to_rows[m] elements later, with its first column.
    """
    a_rows, a_taps, columns, phases = tables
    copied, panel, panel_taps, offsets, zeros, runs, next_lines = work
    size = source.itemsize
    lanes = VECTOR_BYTES // size
    pitch = VECTORS * lanes
    # Channels are counted from the first that the task's columns touch.
    first_channel = task.first_column // plan.taps
    end_channel = (task.end_column - 1) // plan.taps + 1
    skipped = first_channel * plan.taps
    images = where.end_image - where.first_image
    rows = min(where.end_row, part.rows) - where.first_row
    width = part.columns
    seen, seen_at, image = strip(
        copied, source, plan, phases, where.first_image, images,
        task.group * plan.channels + first_channel, end_channel - first_channel, where.first_row,
        rows,
    )  # fmt: skip
    seen_at += part.seen_at
    seen_from = seen.ctypes.data + seen_at * size
    if width == plan.copy_columns:
        width *= rows
        rows = 1
    pixels = images * rows * width
    a_at = (
        a.ctypes.data + (where.first_image * plan.out_image + where.first_row * plan.out_row) * size
    )
    m_a_rows, n_rows = a_rows[task.first_m :], task.end_m - task.first_m
    # What follows a block's pixels may come from afar. Tiles ask for it: the first half for rows of
    # a, two tiles' each, while they go over the first columns, the others for what is packed.
    is_fetched = plan.is_far * (images == 1)
    is_seen_fetched = is_fetched * plan.is_direct * (rows == 1)
    seen_lines = next_lines[plan.block :]
    a_step = is_fetched * 2 * ROWS * (a_rows[1] - a_rows[0]) * size
    tiles = -(-n_rows // ROWS)
    middle, last_line = -(-tiles // 2), len(next_lines) - plan.block
    column = task.first_column
    while column < task.end_column:
        n_columns = panel_width(task.end_column - column, lanes, plan.vectors)
        for i in range(pitch):
            # Vectors have lanes beyond the last column: they read it again.
            offsets[i] = columns[min(column + i, task.end_column - 1) - skipped]
        if is_seen_fetched:
            find_lines(seen_lines, offsets, n_columns, size)
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
            pixel = part.first_pixel + x
            a_asked = is_fetched * (column == task.first_column)
            next_a = a_at + (m_a_rows[0] + a_taps[pixel] + count) * size
            next_seen = seen_from + (runs[0, 4] + count) * size
            for half in range(2):
                # No branch stands here: Numba would count references to arrays, tile by tile, which
                # took 0.05 to 0.4 of the time.
                first, end = half * middle, middle + half * (tiles - middle)
                fetched = (1 - half) * a_asked * next_a + half * is_seen_fetched * next_seen
                step = (1 - half) * a_asked * a_step
                for t in range(first, end):
                    m = t * ROWS
                    tile(
                        source, panel.ctypes.data, panel_taps, 0, a_at, m_a_rows, m, a_taps, pixel,
                        count, to + (column - task.first_column) * size, to_rows, zeros, m,
                        is_first & (x == 0), min(ROWS, n_rows - m), n_columns,
                        fetched + (t - first) * step, next_lines,
                        min(half * (1 + t - first) * plan.block, last_line),
                    )  # fmt: skip
        column += n_columns


@inner
def _transpose(out, sums, sums_rows, rows, task):
    """out[column, m] = sums[m, column] of a task."""
    lanes = VECTOR_BYTES // out.itemsize
    width, n_rows = task.end_column - task.first_column, task.end_m - task.first_m
    lines = steps(width, rows)
    out_at = task.first_column * rows + task.first_m
    whole = n_rows // lanes * lanes
    for m in range(0, whole, lanes):
        for column in range(0, width, lanes):
            pack_columns(
                out, out_at + m, lines, column, sums, column, sums_rows, m,
                min(lanes, width - column),
            )  # fmt: skip
    for m in range(whole, n_rows):
        for column in range(width):
            out[out_at + lines[column] + m] = sums[sums_rows[m] + column]


@inner
def _interleave(out, out_rows, sums, sums_rows, taps, task):
    """out[m, column, tap] = sums[tap, m, column] of a task."""
    lanes = VECTOR_BYTES // out.itemsize
    width, n_rows = task.end_column - task.first_column, task.end_m - task.first_m
    part = n_rows * width
    lines, parts = steps(width, taps), np.empty(lanes, np.int64)
    for i in range(lanes):
        parts[i] = min(i, taps - 1) * part
    # Of few taps whole vectors are written: columns go upward, and the last are written one by one.
    whole = max(0, width + -lanes // taps) if taps <= lanes else 0
    for m in range(n_rows):
        out_at = out_rows[task.first_m + m] + task.first_column * taps
        for column in range(0, whole, lanes):
            pack_columns(
                out, out_at, lines, column, sums, sums_rows[m] + column, parts, 0,
                min(lanes, whole - column),
            )  # fmt: skip
        for column in range(whole, width):
            for tap in range(taps):
                out[out_at + lines[column] + tap] = sums[tap * part + sums_rows[m] + column]


@inlined
def _multiply_task(out, a, source, plan, task, strips, tables):
    a_rows, out_rows, a_taps, columns, phases, parts = tables
    if plan.is_thin and plan.is_direct:
        dot_rows(out, a, source, plan, task, strips, tables)
        return
    if plan.is_thin:
        dots_task(out, a, source, plan, task, strips, tables)
        return
    lanes = VECTOR_BYTES // out.itemsize
    pitch = VECTORS * lanes
    copied = aligned(plan.copy_size, out)
    panel = aligned(plan.block * pitch, out)
    n_rows, width, n_parts = (
        task.end_m - task.first_m,
        task.end_column - task.first_column,
        len(parts),
    )
    # Tiles that ask for a line of the next block with each pixel, until they have for all columns.
    tiles = -(-pitch * (plan.block * out.itemsize // CACHE_LINE + 1) // plan.block)
    next_lines = np.empty(plan.is_far * (1 + tiles) * plan.block, np.int64)
    find_lines(next_lines[: plan.block], a_rows, 2 * ROWS, out.itemsize)
    work = (
        copied, panel, steps(plan.block, pitch), np.empty(pitch, np.int64),
        np.zeros(n_rows + ROWS, out.dtype), np.empty((plan.block, 5), np.int64),
        next_lines,
    )  # fmt: skip
    sums = aligned(plan.is_apart * n_parts * n_rows * width, out)
    if n_parts > 1:
        sums[:] = 0  # of taps that no window has in the input
    to, to_rows = out.ctypes.data + task.first_column * out.itemsize, out_rows[task.first_m :]
    if plan.is_apart:
        to, to_rows = sums.ctypes.data, steps(n_rows, width)
    for s in range(len(strips)):
        for p in range(n_parts):
            _multiply_strip(
                to + p * n_rows * width * out.itemsize, to_rows, source, a, plan, task, strips[s],
                parts[p], s == 0 and n_parts == 1, (a_rows, a_taps, columns, phases), work,
            )  # fmt: skip
    if plan.is_swapped:
        _transpose(out, sums, to_rows, plan.group_rows, task)
    elif n_parts > 1:
        _interleave(out, out_rows, sums, to_rows, n_parts, task)
    elif plan.is_apart:
        move_rows(
            out, out_rows[task.first_m] + task.first_column, out_rows[1] - out_rows[0], sums,
            np.int64(0), width, n_rows, width,
        )  # fmt: skip


@tasked
def multiply(
    out, a, source, plans, tasks, strips, a_rows, out_rows, a_taps, columns, phases, parts, first,
    end,
):  # fmt: skip
    """Fill out: every task a part of its rows and columns, summed over all strips.

    If the plan is swapped, its rows are out's columns.
    """
    out, a, source = out.ravel(), a.ravel(), source.ravel()
    if plans[0].is_swapped:
        a, source = source, a
    for t in range(first, end):
        _multiply_task(
            out, a, source, plans[0], tasks[t], strips,
            (a_rows, out_rows, a_taps, columns, phases, parts),
        )  # fmt: skip

"""Where a tile would be mostly empty: groups of a channel or two, linear layers of few rows.

A depthwise convolution sums few products for each pixel, so that packing panels would cost more
than it saves. A plane is copied with its padding as for a tile. Where a depthwise kernel has 3, 5
or 7 rows, eight lines of the output are summed together; else all windows of a strip at once, the
gaps between its lines included, which are then written without them.
"""

import numpy as np
from numba import prange

from impls.numba_parallel._jit import inner, lean, summing
from impls.numba_parallel._strips import aligned, copy, steps
from impls.numba_parallel._tile import (
    ISA,
    SWEPT_ROWS,
    SWEPT_VECTORS,
    dots,
    move_rows,
    sweep,
    sweep_rows,
    write_pairs,
)

# Features of a task of linear_grad_input: their sums stay in L1 while the weight passes once.
FEATURES = 2048


@lean
def _see(copied, source, plan, phases, image, channel, channels, first_row, rows):
    """Copy what rows of windows see of some channels; where that is padding, copied is 0 before.

    copy would do, but copies the zeros again for every plane: 0.85 to 0.95 as fast.
    """
    if plan.step_h > 1 or plan.step_w > 1:
        source_at = image * plan.source_image + channel * plan.source_channel
        copy(
            copied, source, source_at, plan, phases, np.int64(1), channels, first_row,
            rows + plan.halo,
        )  # fmt: skip
        return
    top, left = plan.top - first_row, plan.left
    first, end = max(0, top), min(rows + plan.halo, plan.height + top)
    begin, columns = max(0, left), min(plan.copy_columns, plan.width + left) - max(0, left)
    if columns <= 0 or end <= first:
        return
    for c in range(channels):
        move_rows(
            copied, c * plan.copy_channel + first * plan.copy_columns + begin, plan.copy_columns,
            source, image * plan.source_image + (channel + c) * plan.source_channel
            + (first - top) * plan.width + begin - left, plan.width, end - first, columns,
        )  # fmt: skip


@inner
def sweep_task(out, source, a, bias, plan, task, tables):
    """Fill a task's rows of windows: of each phase of out, and each row of the weight."""
    a_rows, out_rows, a_taps, source_taps, out_phases, phases = tables
    lanes = ISA.vector_bytes // out.itemsize
    rows, pitch = task.end_row - task.first_row, plan.copy_columns
    more, width, dilation = lanes, np.int64(1), np.int64(1)
    if plan.swept_height:
        more = SWEPT_ROWS * pitch + SWEPT_VECTORS * lanes
        width = plan.taps // plan.swept_height
        dilation = (pitch - plan.out_columns) // max(1, width - 1)
    # A gradient's taps go from the last to the first.
    tap, tap_step = np.int64(0), np.int64(1)
    if source_taps[0]:
        tap, tap_step = plan.taps - 1, np.int64(-1)
    copied = aligned(plan.copy_size + more, out)
    copied[:] = 0
    # Of stride 2, both column phases of a line are written together.
    is_paired = plan.out_column == 2
    size = rows * pitch + lanes
    sums, lines_at = aligned((1 + is_paired) * size, out), steps(rows, plan.out_row)
    for n in range(task.first_image, task.end_image):
        for m in range(task.first_m, task.end_m):
            group, place = divmod(m, plan.group_rows)
            if place == 0:
                _see(
                    copied, source, plan, phases, n, group * plan.channels, plan.channels,
                    task.first_row, rows,
                )  # fmt: skip
            for f in range(len(out_phases)):
                phase = out_phases[f]
                lines, columns = min(task.end_row, phase.rows) - task.first_row, phase.columns
                if lines <= 0 or (columns == 0 and not is_paired):
                    continue
                at = n * plan.out_image + out_rows[m] + task.first_row * plan.out_row
                at += phase.row_at
                if plan.swept_height:
                    sweep_rows(
                        out, at, plan.out_row, copied, 0, pitch, a, a_rows[m], a_taps, tap,
                        tap_step, plan.swept_height, width, dilation, bias[m], lines, columns,
                    )  # fmt: skip
                    continue
                length, sums_at = max(1, (lines - 1) * pitch + columns), is_paired * (f % 2) * size
                count = phase.end_tap - phase.first_tap
                if count:
                    sweep(
                        sums, sums_at, copied, 0, source_taps, a, a_rows[m], a_taps,
                        phase.first_tap, count, bias[m], length,
                    )  # fmt: skip
                else:
                    sums[sums_at : sums_at + length] = bias[m]
                if plan.out_column == 1:
                    move_rows(out, at, plan.out_row, sums, 0, pitch, lines, columns)
                    continue
                if is_paired:
                    if f % 2 == 1:
                        even = size * (phase.column_at == 0)
                        columns += out_phases[f - 1].columns
                        write_pairs(
                            out, at, lines_at, sums, even, size - even, pitch, lines, columns
                        )  # fmt: skip
                    continue
                at += phase.column_at
                for p in range(lines):
                    line = sums[p * pitch : p * pitch + columns]
                    places = out[at : at + (columns - 1) * plan.out_column + 1]
                    for q in range(columns):
                        places[q * plan.out_column] = line[q]
                    at += plan.out_row


@inner
def dots_task(out, a, source, plan, task, strips, tables):
    """Fill a task's rows of a weight's gradient, summed over all strips."""
    a_rows, out_rows, _, columns, phases, _ = tables
    copied = aligned(plan.copy_size, out)
    count = task.end_column
    for m in range(task.first_m, task.end_m):
        out[out_rows[m] : out_rows[m] + count] = 0
    for s in range(len(strips)):
        where = strips[s]
        rows = where.end_row - where.first_row
        copied[:] = 0
        for n in range(where.first_image, where.end_image):
            a_at = n * plan.out_image + where.first_row * plan.out_row
            for m in range(task.first_m, task.end_m):
                group, place = divmod(m, plan.group_rows)
                if place == 0:
                    _see(
                        copied, source, plan, phases, n, group * plan.channels, plan.channels,
                        where.first_row, rows,
                    )  # fmt: skip
                dots(
                    out, out_rows[m], 0, a, a_at + a_rows[m], 0, plan.out_row, copied, 0, columns,
                    0, plan.copy_columns, 1, count, rows, plan.out_columns,
                )  # fmt: skip


@lean
def dot_rows(out, a, source, plan, task, strips, tables):
    """Fill a task's columns of a 1 x 1 weight's gradient of few rows, summed over all strips."""
    a_rows, out_rows, _, columns, _, _ = tables
    first, count = task.first_column, task.end_column - task.first_column
    for m in range(task.first_m, task.end_m):
        out[out_rows[m] + first : out_rows[m] + first + count] = 0
    for s in range(len(strips)):
        where = strips[s]
        pixels = (where.end_row - where.first_row) * plan.out_columns
        for n in range(where.first_image, where.end_image):
            at = where.first_row * plan.out_columns
            for m in range(task.first_m, task.end_m):
                dots(
                    out, out_rows[m] + first, 0, a, n * plan.out_image + at + a_rows[m], 0, 0,
                    source, n * plan.source_image + at, columns, first, 0, 1, count, 1, pixels,
                )  # fmt: skip


@summing
def linear(output, input, weight, bias):
    """Fill output (N, O): a dot product each."""
    for o in prange(len(weight)):
        row = weight[o]
        for n in range(len(input)):
            features = input[n]
            total = output.dtype.type(0)
            for k in range(len(row)):
                total += features[k] * row[k]
            output[n, o] = total + bias[o]


@summing
def linear_grad_input(grad_input, grad_output, weight):
    """Fill grad_input (N, in): a sum of the weight's rows each."""
    features = weight.shape[1]
    for t in prange(-(-features // FEATURES)):
        first = np.int64(t) * FEATURES
        end = min(features, first + FEATURES)
        grad_input[:, first:end] = 0
        # Four rows at a time: four streams from memory, and the sums are touched a fourth as often.
        whole = len(weight) // 4 * 4
        for o in range(0, whole, 4):
            a, b = weight[o, first:end], weight[o + 1, first:end]
            c, d = weight[o + 2, first:end], weight[o + 3, first:end]
            for n in range(len(grad_output)):
                by_a, by_b = grad_output[n, o], grad_output[n, o + 1]
                by_c, by_d = grad_output[n, o + 2], grad_output[n, o + 3]
                sums = grad_input[n, first:end]
                for k in range(len(sums)):
                    sums[k] += (by_a * a[k] + by_b * b[k]) + (by_c * c[k] + by_d * d[k])
        for o in range(whole, len(weight)):
            for n in range(len(grad_output)):
                for k in range(first, end):
                    grad_input[n, k] += grad_output[n, o] * weight[o, k]

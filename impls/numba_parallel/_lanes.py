"""Depthwise layers of small planes: a channel in each lane, one pixel after the other.

A plane of 7 x 7 pixels is three vectors and a bit, and copying it with its padding takes as long as
its sums. Here the planes of as many channels as there are lanes are transposed together, with their
padding; windows are summed from there, whatever their stride, and the sums transposed back. The
phases of a stride's input gradient are put together in lanes, where a step costs nothing.
"""

import numpy as np

from impls.numba_parallel._jit import inner, lean, tasked
from impls.numba_parallel._strips import VECTOR_BYTES, aligned, steps
from impls.numba_parallel._tile import dot_lanes, pack_columns, sum_lanes


@inner
def _places(plan, lanes):
    """Where each pixel of a plane stands in lanes; what no window sees, behind the others."""
    pitch, end = plan.copy_columns, plan.copy_size
    places = np.empty(plan.height * plan.width, np.int64)
    for i in range(plan.height):
        for j in range(plan.width):
            row, column = i + plan.top, j + plan.left
            place = (row * pitch + column) * lanes
            is_seen = 0 <= column < pitch and 0 <= place < end
            places[i * plan.width + j] = place if is_seen else end
    return places


@lean
def _find_channels(channels, rows, m, end_m):
    """Where the planes of rows from m on stand, one a lane; beyond the last it is repeated."""
    for i in range(len(channels)):
        channels[i] = rows[min(m + i, end_m - 1)]


@lean
def to_lanes(values, places, source, at, channels, count):
    """values[places[j] + lane] = source[at + channels[lane] + j], for j < count."""
    lanes = len(channels)
    for j in range(0, count, lanes):
        pack_columns(values, 0, places, j, source, at + j, channels, 0, min(lanes, count - j))


@lean
def from_lanes(out, at, channels, n_channels, values, pixels, count):
    """out[at + channels[lane] + j] = values[pixels[j] + lane], for j < count and some lanes."""
    lanes = len(channels)
    if count < lanes:
        for i in range(n_channels):
            for j in range(count):
                out[at + channels[i] + j] = values[pixels[j] + i]
        return
    for j in range(0, count, lanes):
        # Whole vectors are written: the last begins where it ends with the pixels.
        first = min(j, count - lanes)
        pack_columns(out, at + first, channels, 0, values, 0, pixels, first, n_channels)


@inner
def _sum_task(out, source, a, bias, plan, task, tables):
    """Fill a task's planes of out."""
    a_rows, out_rows, a_taps, source_taps, parts = tables
    lanes, taps = VECTOR_BYTES // out.itemsize, plan.taps
    windows = out_rows[1]  # a plane after the first: there are two channels and more
    ordered = np.empty(taps, np.int64)
    for k in range(taps):
        ordered[a_taps[k]] = k * lanes
    values = aligned(plan.copy_size + lanes, out)
    values[:] = 0
    _sum_planes(
        out, source, a, bias, plan, task, a_rows, out_rows, source_taps, parts,
        _places(plan, lanes), ordered, steps(windows, lanes), windows, np.empty(lanes, np.int64),
        values, aligned(taps * lanes, out), aligned(windows * lanes, out), aligned(lanes, out),
    )  # fmt: skip


@lean
def _sum_planes(
    out, source, a, bias, plan, task, a_rows, out_rows, source_taps, parts, places, ordered, pixels,
    windows, channels, values, weights, sums, starts,
):  # fmt: skip
    """Fill a task's planes of so many windows; the last four are room for what is in lanes.

    Where values stand in lanes: places of the source, ordered of the weight, pixels of the sums.
    """
    lanes = len(channels)
    for m in range(task.first_m, task.end_m, lanes):
        count = min(lanes, task.end_m - m)
        _find_channels(channels, a_rows, m, task.end_m)
        to_lanes(weights, ordered, a, 0, channels, len(ordered))
        for i in range(lanes):
            starts[i] = bias[min(m + i, task.end_m - 1)]
        for n in range(task.first_image, task.end_image):
            for i in range(lanes):
                channels[i] = min(m + i, task.end_m - 1) * plan.source_channel
            to_lanes(values, places, source, n * plan.source_image, channels, len(places))
            for p in range(len(parts)):
                part = parts[p]
                sum_lanes(
                    sums, (part.row_at + part.column_at) * lanes, plan.out_row * lanes,
                    plan.out_column * lanes, values, plan.step_h * plan.copy_columns * lanes,
                    plan.step_w * lanes, source_taps, weights, part.first_tap, starts,
                    part.end_tap - part.first_tap, part.rows, part.columns,
                )  # fmt: skip
            _find_channels(channels, out_rows, m, task.end_m)
            from_lanes(out, n * plan.out_image, channels, count, sums, pixels, windows)


@tasked
def correlate(
    out, source, a, bias, plans, tasks, a_rows, out_rows, a_taps, source_taps, out_phases, phases,
    first, end,
):  # fmt: skip
    """Fill out, as _dense.correlate would."""
    out, source, a, bias = out.ravel(), source.ravel(), a.ravel(), bias.ravel()
    for t in range(first, end):
        _sum_task(
            out, source, a, bias, plans[0], tasks[t],
            (a_rows, out_rows, a_taps, source_taps, out_phases),
        )  # fmt: skip


@inner
def _dot_task(out, a, source, plan, task, strips, a_rows, out_rows, source_taps):
    """Fill a task's rows of a weight's gradient, summed over all strips, of whole images."""
    lanes, windows = VECTOR_BYTES // out.itemsize, strips[0].end_row * plan.out_columns
    taps = len(source_taps)
    values = aligned(plan.copy_size + lanes, out)
    values[:] = 0
    _dot_planes(
        out, a, source, plan, task, strips, a_rows, out_rows, source_taps, _places(plan, lanes),
        np.empty(lanes, np.int64), steps(max(windows, taps), lanes), values,
        aligned(windows * lanes, out), aligned(taps * lanes, out),
    )  # fmt: skip


@lean
def _dot_planes(
    out, a, source, plan, task, strips, a_rows, out_rows, source_taps, places, channels, pixels,
    values, grads, sums,
):  # fmt: skip
    """Fill a task's rows; the last three are room for what is in lanes."""
    lanes, taps, rows = len(channels), len(source_taps), strips[0].end_row
    for m in range(task.first_m, task.end_m, lanes):
        sums[:] = 0
        for n in range(strips[0].first_image, strips[len(strips) - 1].end_image):
            for i in range(lanes):
                channels[i] = min(m + i, task.end_m - 1) * plan.source_channel
            to_lanes(values, places, source, n * plan.source_image, channels, len(places))
            _find_channels(channels, a_rows, m, task.end_m)
            to_lanes(grads, pixels, a, n * plan.out_image, channels, rows * plan.out_columns)
            dot_lanes(
                sums, values, plan.step_h * plan.copy_columns * lanes, plan.step_w * lanes,
                source_taps, taps, grads, rows, plan.out_columns,
            )  # fmt: skip
        _find_channels(channels, out_rows, m, task.end_m)
        from_lanes(out, 0, channels, min(lanes, task.end_m - m), sums, pixels, taps)


@tasked
def multiply(
    out, a, source, plans, tasks, strips, a_rows, out_rows, a_taps, columns, phases, parts, first,
    end,
):  # fmt: skip
    """Fill out, a weight's gradient, as _dense.multiply would."""
    out, a, source = out.ravel(), a.ravel(), source.ravel()
    for t in range(first, end):
        _dot_task(out, a, source, plans[0], tasks[t], strips, a_rows, out_rows, columns)

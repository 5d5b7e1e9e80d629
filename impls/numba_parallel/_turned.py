"""Correlation turned around: a tile's rows are pixels, and its vectors hold output channels.

    source (N, C, H, W)          read where it stands, a pixel's taps value by value
    weight                       a panel: for each tap, what 48 output channels multiply it with
      |  tile, per 8 pixels      sums[8 pixels, 48 channels] += source[8 pixels, taps] @ panel
      v
    sums (pixels, 48 channels)   transposed into the planes of out when all taps are summed

Any 8 pixels that have the same taps within the source share a tile. So taps that lie in the padding
are left out without a vector that is partly empty, nothing is copied, and a stride's phases, whose
pixels stand apart in the result, need not be put together. What it costs is packing the weight once
for all pixels of some images, and transposing the sums.
"""

import numpy as np

from impls.numba_parallel._jit import inlined, inner, lean, tasked
from impls.numba_parallel._lanes import from_lanes, to_lanes
from impls.numba_parallel._strips import (
    ROWS,
    VECTOR_BYTES,
    VECTORS,
    aligned,
    find_lines,
    panel_width,
    steps,
)
from impls.numba_parallel._tile import CACHE_LINE, pack_rows, tile


@lean
def _find_pixels(seen_at, sums_at, parts, n_images, pitch, plan):
    """Where the pixels of each part, from its first_pixel on, see the source and have their sums.

    A part's last pixel is repeated: tiles read beyond it.
    """
    for p in range(len(parts)):
        part = parts[p]
        x = part.first_pixel
        for n in range(n_images):
            for i in range(part.rows):
                for j in range(part.columns):
                    seen_at[x] = n * plan.source_image + i * plan.step_row + j * plan.step_column
                    place = part.place + i * plan.out_row + j * plan.out_column
                    sums_at[x] = (n * plan.pixels + place) * pitch
                    x += 1
        for i in range(ROWS):
            seen_at[x + i], sums_at[x + i] = seen_at[x - 1], sums_at[x - 1]


@lean
def _pack_weight(panel, panel_lines, a, a_at, a_columns, a_channels, n_columns, n_channels, plan):
    """panel[channel, tap, column] = a[column, channel, tap] for some channels and columns.

    a_columns, a_channels: where each column's weight starts after a_at, and each channel's.
    """
    lanes = VECTOR_BYTES // a.itemsize
    if plan.a_column == 1:  # columns lie side by side
        pack_rows(panel, 0, VECTORS * lanes, a, a_at, a_channels, 0, n_channels, n_columns)
        return
    # A channel's taps lie side by side, and the next channel's after them or apart.
    runs, length = np.int64(1), n_channels * plan.taps
    if plan.a_channel != plan.taps:
        runs, length = n_channels, plan.taps
    for v in range(0, n_columns, lanes):
        for r in range(runs):
            to_lanes(
                panel[v:], panel_lines[r * length :], a, a_at + a_channels[r],
                a_columns[v : v + lanes], length,
            )  # fmt: skip


@inner
def _sum_panel(
    sums, sums_at, source, source_at, seen_at, panel, bias, n_columns, n_images, n_channels, tables,
    fetched, next_lines,
):  # fmt: skip
    """Add the products of some channels to the sums of a panel's columns.

    Tiles ask for next_lines after fetched, an address or 0: the weight of the next channels.
    """
    source_taps, panel_taps, parts = tables
    seen, to = source.ctypes.data + source_at * source.itemsize, sums.ctypes.data
    line = np.int64(0)
    for p in range(len(parts)):
        part = parts[p]
        tap, n_taps = part.first_tap, n_channels * part.taps
        n_pixels = n_images * part.rows * part.columns
        for x in range(0, n_pixels, ROWS):
            pixel = part.first_pixel + x
            tile(
                sums, panel.ctypes.data, panel_taps, tap, seen, seen_at, pixel, source_taps, tap,
                n_taps, to, sums_at, bias, pixel, False, min(ROWS, n_pixels - x), n_columns,
                fetched, next_lines, min(line, len(next_lines) - n_taps),
            )  # fmt: skip
            line += n_taps


@inlined
def _correlate_task(out, source, a, bias, plan, task, tables):
    parts = tables[2]
    lanes = VECTOR_BYTES // out.itemsize
    pitch = VECTORS * lanes
    panel = aligned(plan.block * plan.taps * pitch, out)
    panel[:] = 0  # lanes without a channel: denormal garbage there would cost 100 cycles each
    sums = aligned(plan.images * plan.pixels * pitch, out)
    panel_lines = steps(plan.block * plan.taps, pitch)
    pixel_lines, planes = steps(plan.pixels, pitch), steps(pitch, plan.pixels)
    a_columns, a_channels = np.empty(pitch, np.int64), steps(plan.block, plan.a_channel)
    # The next block's weight lies in lines of some channels, or of some columns.
    starts, run = a_channels[: plan.block], pitch * plan.a_column
    if plan.a_channel < plan.a_column:
        starts, run = steps(pitch, plan.a_column)[:pitch], plan.block * plan.a_channel
    n_lines = len(starts) * (run * out.itemsize // CACHE_LINE + 1) + plan.block * plan.taps
    next_lines = np.empty(plan.is_weight_far * n_lines, np.int64)
    find_lines(next_lines, starts, len(starts), out.itemsize)
    seen_at, sums_at = np.empty(plan.places, np.int64), np.empty(plan.places, np.int64)
    for first_image in range(task.first_image, task.end_image, plan.images):
        n_images = min(plan.images, task.end_image - first_image)
        _find_pixels(seen_at, sums_at, parts, n_images, pitch, plan)
        source_at = (
            first_image * plan.source_image + task.group * plan.channels * plan.source_channel
        )
        column = task.first_column
        while column < task.end_column:
            n_columns = panel_width(task.end_column - column, lanes, VECTORS)
            first = task.group * plan.group_columns + column
            for i in range(pitch):
                a_columns[i] = min(i, n_columns - 1) * plan.a_column
            for x in range(n_images * plan.pixels):
                sums[x * pitch : x * pitch + n_columns] = bias[first : first + n_columns]
            for channel in range(0, plan.channels, plan.block):
                n_channels = min(plan.block, plan.channels - channel)
                a_at = task.group * plan.a_group + column * plan.a_column + channel * plan.a_channel
                _pack_weight(
                    panel, panel_lines, a, a_at, a_columns, a_channels, n_columns, n_channels, plan
                )
                _sum_panel(
                    sums, sums_at, source, source_at + channel * plan.source_channel, seen_at,
                    panel, bias, n_columns, n_images, n_channels, tables,
                    plan.is_weight_far
                    * (a.ctypes.data + (a_at + plan.block * plan.a_channel) * out.itemsize),
                    next_lines,
                )  # fmt: skip
            for n in range(n_images):
                out_at = (first_image + n) * plan.out_image + first * plan.pixels
                for v in range(0, n_columns, lanes):
                    from_lanes(
                        out, out_at + planes[v], planes[:lanes], min(lanes, n_columns - v),
                        sums[n * plan.pixels * pitch + v :], pixel_lines, plan.pixels,
                    )  # fmt: skip
            column += n_columns


@tasked
def correlate(
    out, source, a, bias, plans, tasks, source_taps, panel_taps, parts, first, end
):  # fmt: skip
    """Fill out: every task some images and a part of a group's output channels."""
    out, source, a, bias = out.ravel(), source.ravel(), a.ravel(), bias.ravel()
    for t in range(first, end):
        _correlate_task(
            out, source, a, bias, plans[0], tasks[t], (source_taps, panel_taps, parts)
        )  # fmt: skip

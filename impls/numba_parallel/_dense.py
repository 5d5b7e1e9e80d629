"""Dense convolution, its gradients and linear in compiled code: strips, panels, tiles.

correlate_tasks serves everything whose sums run over channels and taps (forward, grad_input,
transposed convolution, linear and its grad_input), product_tasks those that run over pixels
(grad_weight). Where things stand is in the plan (_plan.py); see the package's page for a drawing.
"""

import numpy as np
from numba import prange

from impls.numba_parallel._jit import inner, moving
from impls.numba_parallel._plan import CACHE_LINE
from impls.numba_parallel._tile import ISA, pack_columns, pack_rows, tile

ROWS, VECTORS, VECTOR_BYTES = ISA.rows, ISA.vectors, ISA.vector_bytes


@inner
def _copy(copied, source, source_at, plan, phases, images, channels, first, rows):
    """Copy what a strip's windows see, with zeros for the padding.

    copied: (images, channels, phases, plan.copy_rows, plan.copy_columns), of which `rows` rows are
    filled. Row i of a phase is the source's row (first + i) * step_h + phase_h - top.
    """
    width, step = plan.width, plan.step_w
    for n in range(images):
        for c in range(channels):
            plane = source_at + n * plan.source_image + c * plan.source_channel
            for f in range(len(phases)):
                target = n * plan.copy_image + c * plan.copy_channel + f * plan.copy_plane
                left = phases[f, 1] - plan.left
                begin = min(plan.copy_columns, max(0, -(left // step)))
                end = max(begin, min(plan.copy_columns, (width - 1 - left) // step + 1))
                for i in range(rows):
                    y = (first + i) * plan.step_h + phases[f, 0] - plan.top
                    row = copied[target : target + plan.copy_columns]
                    target += plan.copy_columns
                    if y < 0 or y >= plan.height:
                        row[:] = 0
                        continue
                    row[:begin] = 0
                    row[end:] = 0
                    inside = row[begin:end]
                    x = plane + y * width + begin * step + left
                    if step == 1:
                        pixels = source[x : x + len(inside)]
                        for j in range(len(inside)):
                            inside[j] = pixels[j]
                    else:
                        pixels = source[x::step]
                        for j in range(len(inside)):
                            inside[j] = pixels[j]


@inner
def _runs(found, first, count, rows, columns, image, row):
    """Runs of contiguous pixels among the pixels first to first + count of a strip.

    Fills found with (image, row, column, length, offset) of each; returns how many there are.
    """
    n_found = 0
    while count > 0:
        line, q = divmod(first, columns)
        n, p = divmod(line, rows)
        length = min(columns - q, count)
        found[n_found, 0] = n
        found[n_found, 1] = p
        found[n_found, 2] = q
        found[n_found, 3] = length
        found[n_found, 4] = n * image + p * row + q
        n_found += 1
        first += length
        count -= length
    return n_found


@inner
def _aligned(size, like):
    """An empty array that starts a cache line, as long vectors want it."""
    array = np.empty(size + CACHE_LINE // like.itemsize, like.dtype)
    return array[-array.ctypes.data % CACHE_LINE // like.itemsize :]


@inner
def _correlate_strip(out, source, a, bias, plan, task, tables, work):
    a_rows, out_rows, a_taps, source_taps, out_phases, phases = tables
    copied, panel, panel_taps, block, block_rows, zeros, runs = work
    size = out.itemsize
    lanes = VECTOR_BYTES // size
    pitch = VECTORS * lanes
    first_channel = task.group * plan.channels
    source_at = task.first_image * plan.source_image + first_channel * plan.source_channel
    n_images = task.end_image - task.first_image
    if plan.is_direct:
        seen = source
        seen_at = source_at + task.first_row * plan.copy_columns
        image, row_pitch = plan.source_image, plan.copy_columns
    else:
        height = task.end_row - task.first_row + plan.halo
        _copy(
            copied, source, source_at, plan, phases, n_images, plan.channels, task.first_row, height
        )
        seen = copied
        seen_at = np.int64(0)
        image, row_pitch = plan.copy_image, plan.copy_columns
    for f in range(len(out_phases)):
        phase = out_phases[f]
        rows = min(task.end_row, phase.rows) - task.first_row
        columns = phase.columns
        if rows <= 0:
            continue
        strip_at = phase.out_at + task.first_image * plan.out_image + task.first_row * plan.out_row
        is_dense = plan.out_column == 1 and plan.out_row == columns
        if is_dense and row_pitch == columns:
            columns *= rows
            rows = 1
        pixels = n_images * rows * columns
        if phase.first_tap == phase.end_tap:
            # No tap reaches these pixels.
            for m in range(task.first_m, task.end_m):
                for n in range(n_images):
                    for p in range(rows):
                        at = strip_at + out_rows[m] + n * plan.out_image + p * plan.out_row
                        for q in range(columns):
                            out[at + q * plan.out_column] = bias[m]
            continue
        for tap in range(phase.first_tap, phase.end_tap, plan.block):
            taps = min(plan.block, phase.end_tap - tap)
            is_first = tap == phase.first_tap
            for x in range(0, pixels, pitch):
                width = min(pitch, pixels - x)
                n_runs = _runs(runs, x, width, rows, columns, image, row_pitch)
                if n_runs == 1 and width % lanes == 0:
                    # One run of whole vectors is read where it stands.
                    b = seen.ctypes.data + (seen_at + runs[0, 4]) * size
                    b_taps, b_tap = source_taps, tap
                else:
                    column = np.int64(0)
                    for i in range(n_runs):
                        pack_rows(
                            panel, column, pitch, seen, seen_at + runs[i, 4], source_taps, tap,
                            taps, runs[i, 3],
                        )  # fmt: skip
                        column += runs[i, 3]
                    b, b_taps, b_tap = panel.ctypes.data, panel_taps, 0
                is_whole = is_dense and runs[0, 0] == runs[n_runs - 1, 0]
                out_at = (
                    strip_at + runs[0, 0] * plan.out_image + runs[0, 1] * plan.out_row
                    + runs[0, 2] * plan.out_column
                )  # fmt: skip
                for m in range(task.first_m, task.end_m, ROWS):
                    height = min(ROWS, task.end_m - m)
                    if is_whole:
                        to, to_rows, begin, row = out.ctypes.data + out_at * size, out_rows, bias, m
                    else:
                        to, to_rows, begin, row = block.ctypes.data, block_rows, zeros, 0
                    tile(
                        out.dtype, b, b_taps, b_tap, a.ctypes.data, a_rows, m, a_taps, tap, taps,
                        to, to_rows, begin, row, is_first or not is_whole, height, width,
                    )  # fmt: skip
                    if is_whole:
                        continue
                    for i in range(height):
                        column = i * pitch
                        for r in range(n_runs):
                            at = (
                                strip_at + out_rows[m + i] + runs[r, 0] * plan.out_image
                                + runs[r, 1] * plan.out_row + runs[r, 2] * plan.out_column
                            )  # fmt: skip
                            for q in range(runs[r, 3]):
                                place = at + q * plan.out_column
                                held = bias[m + i] if is_first else out[place]
                                out[place] = held + block[column + q]
                            column += runs[r, 3]


@moving
def correlate(
    out, source, a, bias, plans, tasks, a_rows, out_rows, a_taps, source_taps, out_phases, phases
):
    """Fill out: every task a strip of pixels and a part of the rows."""
    for t in prange(len(tasks)):
        plan, task = plans[0], tasks[np.int64(t)]
        pitch = VECTORS * (VECTOR_BYTES // out.itemsize)
        copied = _aligned(plan.copy_size, out)
        panel = _aligned(plan.block * pitch, out)
        panel[:] = 0  # lanes without a pixel: denormal garbage there would cost 100 cycles each
        panel_taps = np.arange(plan.block) * pitch
        block = _aligned(ROWS * pitch, out)
        block_rows = np.arange(ROWS) * pitch
        zeros = np.zeros(ROWS, out.dtype)
        runs = np.empty((pitch, 5), np.int64)
        _correlate_strip(
            out, source, a, bias, plan, task,
            (a_rows, out_rows, a_taps, source_taps, out_phases, phases),
            (copied, panel, panel_taps, block, block_rows, zeros, runs),
        )  # fmt: skip


@inner
def _multiply_strip(out, source, a, plan, task, strip, is_first, tables, work):
    """Add one strip's products to a task's part of out."""
    a_rows, out_rows, a_taps, columns, phases = tables
    copied, panel, panel_taps, offsets, zeros, runs = work
    size = out.itemsize
    lanes = VECTOR_BYTES // size
    pitch = VECTORS * lanes
    # Channels are counted from the first that the task's columns touch.
    first_channel = task.first_column // plan.taps
    end_channel = (task.end_column - 1) // plan.taps + 1
    skipped = first_channel * plan.taps
    images = strip.end_image - strip.first_image
    rows = strip.end_row - strip.first_row
    source_at = (
        strip.first_image * plan.source_image
        + (task.group * plan.channels + first_channel) * plan.source_channel
    )  # fmt: skip
    width = plan.out_columns
    if plan.is_direct:
        seen, seen_at = source, source_at + strip.first_row * plan.copy_columns
        image = plan.source_image
    else:
        _copy(
            copied, source, source_at, plan, phases, images, end_channel - first_channel,
            strip.first_row, rows + plan.halo,
        )  # fmt: skip
        seen, seen_at = copied, np.int64(0)
        image = plan.copy_image
    if width == plan.copy_columns:
        width *= rows
        rows = 1
    pixels = images * rows * width
    a_at = (
        a.ctypes.data + (strip.first_image * plan.out_image + strip.first_row * plan.out_row) * size
    )
    for column in range(task.first_column, task.end_column, pitch):
        n_columns = min(pitch, task.end_column - column)
        for i in range(pitch):
            # Vectors have lanes beyond the last column: they read it again.
            offsets[i] = columns[min(column + i, task.end_column - 1) - skipped]
        for x in range(0, pixels, plan.block):
            count = min(plan.block, pixels - x)
            n_runs = _runs(runs, x, count, rows, width, image, plan.copy_columns)
            for i in range(0, n_columns, lanes):
                k = np.int64(0)
                for r in range(n_runs):
                    for j in range(0, runs[r, 3], lanes):
                        pack_columns(
                            panel, k * pitch + i, pitch, seen, seen_at + runs[r, 4] + j, offsets,
                            i, min(lanes, runs[r, 3] - j),
                        )  # fmt: skip
                        k += min(lanes, runs[r, 3] - j)
            for m in range(task.first_m, task.end_m, ROWS):
                tile(
                    out.dtype, panel.ctypes.data, panel_taps, 0, a_at, a_rows, m, a_taps, x, count,
                    out.ctypes.data + column * size, out_rows, zeros, m, is_first and x == 0,
                    min(ROWS, task.end_m - m), n_columns,
                )  # fmt: skip


@moving
def multiply(out, a, source, plans, tasks, strips, a_rows, out_rows, a_taps, columns, phases):
    """Fill out: every task a part of its rows and columns, summed over all strips."""
    for t in prange(len(tasks)):
        plan, task = plans[0], tasks[np.int64(t)]
        lanes = VECTOR_BYTES // out.itemsize
        pitch = VECTORS * lanes
        copied = _aligned(plan.copy_size, out)
        # pack_columns writes whole squares.
        panel = _aligned((plan.block + lanes) * pitch, out)
        panel_taps = np.arange(plan.block) * pitch
        offsets = np.empty(pitch, np.int64)
        zeros = np.zeros(len(out_rows), out.dtype)
        runs = np.empty((plan.block, 5), np.int64)
        for s in range(len(strips)):
            _multiply_strip(
                out, source, a, plan, task, strips[s], s == 0,
                (a_rows, out_rows, a_taps, columns, phases),
                (copied, panel, panel_taps, offsets, zeros, runs),
            )  # fmt: skip

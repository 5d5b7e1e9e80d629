"""The last pixels of an image, where they are too few for a vector: something else is in the lanes.

49 pixels (7 x 7) are three vectors of 16 and one pixel, which a tile would give a fourth; 196 (14 x
14) are twelve and four. What their windows see is gathered. Then their sums are dot products with
the rows of the weight, of all taps (forward) or of a kernel's for each channel (grad_input); of a
1 x 1 weight, whose rows lie side by side for grad_input, a tile sums them, pixels for rows and rows
for pixels.
"""

import numpy as np

from impls.numba_parallel._jit import inner, lean
from impls.numba_parallel._strips import VECTOR_BYTES, VECTORS, find_runs, steps
from impls.numba_parallel._tile import dots, tile

# Taps that are summed at once: so much of a weight of 512 rows stays in L2 from the tile before,
# and adding up the lanes costs little.
TAPS = 512


@inner
def rest_runs(first, count, rows, columns, image, row):
    """The runs of a strip's last `count` pixels, as find_runs has them."""
    runs = np.empty((count, 5), np.int64)
    return runs[: find_runs(runs, first, count, rows, columns, image, row)]


@inner
def add_rest(
    sums, values, seen, seen_at, runs, a, a_rows, n_rows, a_taps, source_taps, first_tap, end_tap,
    plan,
):  # fmt: skip
    """Add products of some taps to sums (pixels, n_rows): of all, or of whole channels.

    values: room for so many of each pixel.
    """
    taps = end_tap - first_tap
    i = 0
    for r in range(len(runs)):
        for q in range(runs[r, 3]):
            for k in range(taps):
                values[i * taps + k] = seen[seen_at + runs[r, 4] + q + source_taps[first_tap + k]]
            i += 1
    if plan.side_taps == 0:
        lanes = VECTOR_BYTES // sums.itemsize
        by_pixel, by_tap, to = steps(i, taps), steps(taps, np.int64(1)), steps(i, n_rows)
        first = a.ctypes.data + a_rows[0] * a.itemsize
        for m in range(0, n_rows, VECTORS * lanes):
            tile(
                sums, first + m * a.itemsize, a_taps, first_tap, values.ctypes.data, by_pixel, 0,
                by_tap, 0, taps, sums.ctypes.data + m * sums.itemsize, to, sums, 0, False, i,
                min(VECTORS * lanes, n_rows - m), 0, a_taps, 0,
            )  # fmt: skip
        return
    columns = min(plan.side_taps, taps)
    rows = taps // columns
    dots(
        sums, 0, n_rows, values, 0, taps, columns, a, a_taps[first_tap], a_rows, 0,
        plan.group_rows * plan.taps, i, n_rows, rows, columns,
    )  # fmt: skip


@lean
def write_rest(out, strip_at, sums, runs, n_rows, out_rows, bias, plan):
    """Write the sums, with the bias."""
    i = 0
    for r in range(len(runs)):
        at = strip_at + runs[r, 0] * plan.out_image + runs[r, 1] * plan.out_row + runs[r, 2]
        for q in range(runs[r, 3]):
            for m in range(n_rows):
                out[at + q + out_rows[m]] = bias[m] + sums[i]
                i += 1

"""The last pixels of a strip, where they are too few for a vector: taps are in the lanes instead.

49 pixels (7 x 7) are three vectors of 16 and one pixel, which a tile would give a fourth. Its sums
are dot products of a row of the weight with what its window sees, gathered.
"""

import numpy as np

from impls.numba_parallel._jit import inner
from impls.numba_parallel._strips import find_runs
from impls.numba_parallel._tile import dots

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
    sums, values, seen, seen_at, runs, a, a_rows, n_rows, source_taps, first_tap, end_tap
):  # fmt: skip
    """Add products of some taps to sums (pixels, n_rows). values: room for so many."""
    at = np.int64(0)
    for r in range(len(runs)):
        for q in range(runs[r, 3]):
            for k in range(first_tap, end_tap):
                values[k - first_tap] = seen[seen_at + runs[r, 4] + q + source_taps[k]]
            dots(
                sums, at, values, 0, 0, a, first_tap, a_rows, 0, 0, n_rows, 1, end_tap - first_tap
            )  # fmt: skip
            at += n_rows


@inner
def write_rest(out, strip_at, sums, runs, n_rows, out_rows, bias, plan):
    """Write the sums, with the bias."""
    i = 0
    for r in range(len(runs)):
        at = strip_at + runs[r, 0] * plan.out_image + runs[r, 1] * plan.out_row + runs[r, 2]
        for q in range(runs[r, 3]):
            for m in range(n_rows):
                out[at + q + out_rows[m]] = bias[m] + sums[i]
                i += 1

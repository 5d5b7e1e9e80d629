"""The tile and what fills its panels, beside NumPy; and the tile's machine code."""

import os
import re
import subprocess
import sys
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numba import njit, typeof
from numpy import ndarray

from impls.numba_parallel._strips import SPARE, find_seams, panel_width
from impls.numba_parallel._tile import (
    DOTS_TAPS,
    ISA,
    PACKING_BYTES,
    SWEEP_VECTORS,
    SWEPT_HEIGHTS,
    SWEPT_ROWS,
    SWEPT_VECTORS,
    TAKEN_PHASES,
    WIDE_ROWS,
    WIDE_VECTORS,
    dots,
    find_ends,
    move_rows,
    pack_columns,
    pack_rows,
    pack_tile,
    sweep,
    sweep_rows,
    take_rows,
    tile,
    write_pairs,
)

TAPS = 5
MARK = 77.0


# No annotations: Numba types what it compiles.


@njit
def run_tile(
    out, b, b_taps, a, a_rows, a_taps, out_rows, bias, is_first, rows, columns, count, fetched
):  # fmt: skip
    """The tile on whole arrays, beginning at row 1 of a and of out."""
    tile(
        out, b.ctypes.data, b_taps, 0, a.ctypes.data, a_rows, 1, a_taps, 0, count,
        out.ctypes.data, out_rows, bias, 1, is_first, rows, columns, fetched, a_taps, 1,
    )  # fmt: skip


@njit
def run_pack_tile(
    out, panel, b, b_taps, seams, a, a_rows, a_taps, out_rows, bias, is_first, rows, count
):  # fmt: skip
    """The tile that packs, beginning at row 1 of a and of out, and at element 2 of b."""
    pack_tile(
        out, panel.ctypes.data, b[2:].ctypes.data, b_taps, 1, seams, a.ctypes.data, a_rows, 1,
        a_taps, 1, count, out.ctypes.data, out_rows, bias, 1, is_first, rows,
    )  # fmt: skip


@njit
def run_find_seams(like, seams, runs, count):
    return find_seams(like, seams, runs, count)


@njit
def run_find_ends(like, seams):
    return find_ends(like, seams)


@njit
def run_panel_width(left, lanes, vectors):
    return panel_width(left, lanes, vectors)


@njit
def run_pack_rows(panel, source, taps, count, length):
    pack_rows(panel, 3, 100, source, 2, taps, 1, count, length)


@njit
def run_pack_columns(panel, lines, source, columns, length):
    pack_columns(panel, 3, lines, 1, source, 2, columns, 1, length)


@njit
def run_write_pairs(out, out_rows, values, even, odd, pitch, rows, count):
    write_pairs(out, 3, out_rows, values, even, odd, pitch, rows, count)


@njit
def run_move_rows(target, pitch, source, source_pitch, rows, columns):
    move_rows(target, 3, pitch, source, 2, source_pitch, rows, columns)


@njit
def run_take_rows(
    target, phases, plane, source, top, step_h, height, left, step_w, width, rows, columns
):  # fmt: skip
    take_rows(
        target, 3, phases, plane, source, 2, top, step_h, height, left, step_w, width, rows, columns
    )  # fmt: skip


@njit
def run_sweep(sums, source, source_taps, a, a_taps, count, bias, length):
    sweep(sums, 2, source, 3, source_taps, a, 4, a_taps, 1, count, bias, length)


@njit
def run_sweep_rows(
    out, pitch, source, source_pitch, a, a_taps, tap, tap_step, height, width, dilation, bias, rows,
    columns,
):  # fmt: skip
    sweep_rows(
        out, 3, pitch, source, 3, source_pitch, a, 4, a_taps, tap, tap_step, height, width,
        dilation, bias, rows, columns,
    )  # fmt: skip


@njit
def run_dots(
    sums, sums_pitch, a, a_plane, a_pitch, source, source_taps, source_pitch, planes, count, rows,
    columns,
):  # fmt: skip
    dots(
        sums, 2, sums_pitch, a, 3, a_plane, a_pitch, source, 4, source_taps, 1, source_pitch,
        planes, count, rows, columns,
    )  # fmt: skip


def integers(shape: tuple[int, ...], dtype: str) -> ndarray:
    return np.random.default_rng(5).integers(-4, 5, shape).astype(dtype)


def lanes(dtype: str) -> int:
    return ISA.vector_bytes // np.dtype(dtype).itemsize


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("is_first", [True, False])
@pytest.mark.parametrize("fetched", [0, 10**15])  # nothing, or what is anywhere
def test_the_tile_adds_a_product_of_any_size_and_writes_nothing_else(
    dtype: str, is_first: bool, fetched: int
) -> None:
    narrow, most = ISA.vectors * lanes(dtype), WIDE_VECTORS * lanes(dtype)
    a, b = integers((ISA.rows + 1, TAPS), dtype), integers((TAPS, most), dtype)
    bias, held = integers((ISA.rows + 1,), dtype), integers((ISA.rows + 2, most + 2), dtype)
    order = np.array([3, 0, 4, 1, 2, 10**12])  # the taps, as both tables name them; no tap's
    for rows in range(1, ISA.rows + 1):
        wide = (most,) if rows <= WIDE_ROWS else ()
        for columns in (*range(1, narrow + 1), *wide):
            count = 1 + (rows + columns) % TAPS
            out = held.copy()
            # Rows that the tile's registers have, but a has not, must be readable.
            a_rows = np.minimum(np.arange(ISA.rows + 1), rows) * TAPS
            run_tile(
                out, b.ravel(), order * most, a.ravel(), a_rows, order,
                np.arange(ISA.rows + 1) * (most + 2), bias, is_first, rows, columns, count,
                fetched,
            )  # fmt: skip
            expected = held.copy()
            used = order[:count]
            begin = bias[1 : 1 + rows, None] if is_first else held[1 : 1 + rows, :columns]
            expected[1 : 1 + rows, :columns] = a[1 : 1 + rows, used] @ b[used, :columns] + begin
            np.testing.assert_array_equal(out, expected, err_msg=f"{rows} x {columns}")


@pytest.mark.skipif(ISA.vector_bytes != PACKING_BYTES, reason="panels are packed by AVX-512 only")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("runs", [1, 2, 3])
def test_the_tile_that_packs_reads_across_seams_and_packs_what_it_has_read(
    dtype: str, runs: int
) -> None:
    n, vectors = lanes(dtype), ISA.vectors
    width, generator = vectors * n, np.random.default_rng(8)
    source, bias = integers((600,), dtype), integers((ISA.rows + 1,), dtype)
    a, held = integers((ISA.rows + 1, TAPS), dtype), integers((ISA.rows + 2, width + 2), dtype)
    b_taps, order = np.array([9, 70, 0, 41, 5, 10**12]), np.array([3, 0, 4, 1, 2, 10**12])
    for rows in range(1, ISA.rows + 1):
        places = generator.integers(0, 400, (vectors, 1)) + np.arange(n)
        for v in range(runs > 1, vectors):  # the first is one run
            if runs == 2:
                places[v, generator.integers(1, n) :] += generator.integers(1, 90)
            elif runs > 2:
                # Any of twice as many, in runs as they come, of which the first begins it.
                chosen = generator.choice(np.arange(1, 2 * n), n - 1, replace=False)
                places[v, 1:] = places[v, 0] + np.sort(chosen)
        seams = np.full(2 * vectors + 1, -1)
        seams = np.concatenate([seams, places.ravel()])
        assert run_find_ends(source, seams) == runs
        count, is_first = 1 + rows % (TAPS - 1), rows % 2 == 0
        a_rows = np.minimum(np.arange(ISA.rows + 1), rows) * TAPS
        out, panel = held.copy(), np.full((TAPS + 1) * width, MARK, dtype)
        run_pack_tile(
            out, panel, source, b_taps, seams, a.ravel(), a_rows, order,
            np.arange(ISA.rows + 1) * (width + 2), bias, is_first, rows, count,
        )  # fmt: skip
        b = source[2 + b_taps[1 : 1 + count, None] + places.ravel()]
        expected = held.copy()
        begin = bias[1 : 1 + rows, None] if is_first else held[1 : 1 + rows, :width]
        expected[1 : 1 + rows, :width] = a[1 : 1 + rows, order[1 : 1 + count]] @ b + begin
        np.testing.assert_array_equal(out, expected, err_msg=f"{rows} rows")
        np.testing.assert_array_equal(panel[: count * width].reshape(b.shape), b)
        assert (panel[count * width :] == MARK).all()


def test_seams_say_where_vectors_stand_and_which_cannot_be_read() -> None:
    n, vectors = lanes("float32"), ISA.vectors
    first, width = 2 * vectors + 1, vectors * n
    seams = np.full(first + width + SPARE, -1)

    def found(*runs: tuple[int, int]) -> int:
        """How many runs vectors have, of runs (offset, length); 0 if they cannot be read."""
        table = np.array([(0, 0, 0, length, offset) for offset, length in runs])
        can_be = run_find_seams(np.ones(1, np.float32), seams, table, len(runs))
        places = np.concatenate([offset + np.arange(length) for offset, length in runs])
        np.testing.assert_array_equal(seams[:vectors], places[::n])
        if len(runs) == 1:  # nothing else is read
            return int(seams[2 * vectors])
        np.testing.assert_array_equal(seams[first : first + width], places)
        np.testing.assert_array_equal(seams[vectors : 2 * vectors], places[n - 1 :: n] - (n - 1))
        assert can_be == (seams[2 * vectors] > 0)
        return int(seams[2 * vectors])

    assert found((7, width)) == 1
    assert found((7, n), (7 + n + 5, width - n)) == 1  # the seam is between two vectors
    assert found((7, 1), (13, width - 1)) == 2
    assert found((7, 1), (700, n), (90, width - 1 - n)) == 2  # anywhere
    # Three in a vector: the second within reach of its first element, and one place beyond.
    assert found((7, 1), (7 + n - 1, 1), (90, width - 2)) == 3
    assert found((7, 1), (7 + n, 1), (90, width - 2)) == 0
    # The same of its last, which is 90 + n - 3.
    assert found((7, 1), (90 - 2, 1), (90, width - 2)) == 3
    assert found((7, 1), (90 - 3, 1), (90, width - 2)) == 0


def test_no_vector_is_alone_in_a_panel_that_another_could_share() -> None:
    lanes = 4
    for pixels in range(1, 6 * ISA.vectors * lanes):
        widths: list[int] = []
        while sum(widths) < pixels:
            widths.append(run_panel_width(pixels - sum(widths), lanes, ISA.vectors))
        assert sum(widths) == pixels
        assert max(widths) <= ISA.vectors * lanes
        assert all(width % lanes == 0 for width in widths[:-1])
        if ISA.vectors > 2 and pixels > lanes:
            assert min(widths) > lanes


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_pack_rows_moves_any_length_and_nothing_else(dtype: str) -> None:
    source, taps = integers((500,), dtype), np.array([0, 7, 90, 1])
    for length in range(1, ISA.vectors * lanes(dtype) + 1):
        panel = np.full(400, MARK, dtype)
        run_pack_rows(panel, source, taps, 3, length)
        expected = np.full(400, MARK, dtype)
        for k, tap in enumerate(taps[1:]):
            expected[3 + k * 100 :][:length] = source[2 + tap :][:length]
        np.testing.assert_array_equal(panel, expected)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_pack_columns_transposes_a_square_and_writes_nothing_else(dtype: str) -> None:
    n = lanes(dtype)
    source = integers((2000,), dtype)
    columns = np.random.default_rng(6).integers(0, 1900, n + 1)
    lines = np.random.default_rng(7).permutation(n + 1) * 100
    for length in range(1, n + 1):
        panel = np.full(100 * n + 20 + n, MARK, dtype)
        run_pack_columns(panel, lines, source, columns, length)
        expected = np.full_like(panel, MARK)
        for j in range(length):
            expected[3 + lines[1 + j] :][:n] = source[2 + columns[1:] + j]
        np.testing.assert_array_equal(panel, expected)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_write_pairs_zips_any_count_and_writes_nothing_else(dtype: str) -> None:
    most = ISA.vectors * lanes(dtype)
    pitch, rows, out_rows = most + 3, 3, np.array([4 * most, 0, 2 * most + 1])
    values = integers((2 * rows * pitch + 9 + most,), dtype)
    for count in range(1, 2 * most + 1):
        out = np.full(6 * most + 9, MARK, dtype)
        run_write_pairs(out, out_rows, values, 5, 7 + rows * pitch, pitch, rows, count)
        expected = np.full_like(out, MARK)
        for i, row in enumerate(out_rows + 3):
            even, odd = 5 + i * pitch, 7 + (rows + i) * pitch
            expected[row : row + count : 2] = values[even:][: (count + 1) // 2]
            expected[row + 1 : row + count : 2] = values[odd:][: count // 2]
        np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_move_rows_moves_a_plane_of_any_width_and_nothing_else(dtype: str) -> None:
    rows, most = 3, 2 * lanes(dtype) + 1
    source = integers((2 + rows * (most + 4),), dtype)
    for columns in range(1, most + 1):
        target = np.full(3 + rows * (most + 7), MARK, dtype)
        expected = target.copy()
        run_move_rows(target, most + 7, source, most + 4, rows, columns)
        plane = source[2:].reshape(rows, -1)[:, :columns]
        expected[3:].reshape(rows, -1)[:, :columns] = plane
        np.testing.assert_array_equal(target, expected)


@pytest.mark.parametrize(
    ("step", "phases"),
    [((2, w), n) for w, n in TAKEN_PHASES] + [((1, 3), 1), ((3, 4), 1), ((2, 5), 1)],
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_take_rows_takes_every_step_with_zeros_around_and_nothing_else(
    dtype: str, step: tuple[int, int], phases: int
) -> None:
    (step_h, step_w), rows, most = step, 5, 2 * lanes(dtype) + 1
    height, width = 4, most + 3
    source = integers((2 + height * width + 1,), dtype)
    image = source[2:-1].reshape(height, width)
    source[:2] = source[-1] = MARK  # beyond the image
    for columns in range(1, most + 1):
        plane = rows * columns + 2
        for top, left in ((0, 0), (-2, -1), (1, 5), (-1, 2 - columns * step_w)):
            target = np.full(3 + phases * plane + 7, MARK, dtype)
            expected = target.copy()
            run_take_rows(
                target, phases, plane, source, top, step_h, height, left, step_w, width, rows,
                columns,
            )  # fmt: skip
            for f, i, j in product(range(phases), range(rows), range(columns)):
                y, x = top + i * step_h, left + j * step_w + f
                is_inside = 0 <= y < height and 0 <= x < width
                expected[3 + f * plane + i * columns + j] = image[y, x] if is_inside else 0
            np.testing.assert_array_equal(target, expected, err_msg=f"{columns} {top} {left}")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_sweep_sums_any_length_and_writes_no_more_than_whole_vectors(dtype: str) -> None:
    n = lanes(dtype)
    source, a = integers((SWEEP_VECTORS * n * 3 + 80,), dtype), integers((20,), dtype)
    source_taps, a_taps = np.array([9, 40, 0, 61, 7]), np.array([9, 3, 11, 0, 8])
    for length in range(1, 2 * SWEEP_VECTORS * n + n + 2):
        count = 1 + length % 4
        sums = np.full(len(source), MARK, dtype)
        run_sweep(sums, source, source_taps, a, a_taps, count, sums.dtype.type(5), length)
        expected = np.full(length, 5, dtype)
        for k in range(1, 1 + count):
            expected += a[4 + a_taps[k]] * source[3 + source_taps[k] :][:length]
        np.testing.assert_array_equal(sums[2 : 2 + length], expected)
        assert np.all(sums[:2] == MARK)
        assert np.all(sums[2 - (-length // n) * n :] == MARK)


@pytest.mark.parametrize("height", SWEPT_HEIGHTS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_sweep_rows_sums_any_plane_and_writes_nothing_else(dtype: str, height: int) -> None:
    n = lanes(dtype)
    most = SWEPT_VECTORS * n + n + 1
    source_pitch, pitch = most + 9, most + 3
    source = integers((3 + (2 * SWEPT_ROWS + height + SWEPT_ROWS) * source_pitch + 3 * n,), dtype)
    a, a_taps = integers((90,), dtype), np.random.default_rng(8).integers(0, 80, 1 + 3 * height)
    for rows in (1, SWEPT_ROWS, SWEPT_ROWS + 1):
        for columns in range(1, most + 1):
            width, dilation = 1 + columns % 3, 1 + rows % 2
            step = 1 if columns % 2 else -1
            taps = a_taps[1 : 1 + height * width]
            out = np.full(3 + rows * pitch, MARK, dtype)
            expected = out.copy()
            run_sweep_rows(
                out, pitch, source, source_pitch, a, a_taps, 1 if step > 0 else height * width,
                step, height, width, dilation, out.dtype.type(5), rows, columns,
            )  # fmt: skip
            sums = expected[3:].reshape(rows, pitch)[:, :columns]
            sums[:] = 5
            image = source[3:][: (rows + height) * source_pitch].reshape(-1, source_pitch)
            for i, tap in enumerate(taps[::step]):
                r, s = divmod(i, width)
                seen = image[r : r + rows, s * dilation : s * dilation + columns]
                sums += a[4 + tap] * seen
            np.testing.assert_array_equal(out, expected, err_msg=f"{rows} x {columns}")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_dots_adds_products_of_planes_whatever_lies_between_their_rows(dtype: str) -> None:
    n, most = lanes(dtype), max(DOTS_TAPS[1])
    rows, a_pitch, source_pitch = 3, 2 * n + 4, 2 * n + 7
    a_plane = rows * a_pitch
    for columns in range(1, 2 * n + 2):
        for count in (*range(1, most + 3), 2 * most + 5):
            planes = 1 + (columns + count) % 6
            source_taps = np.random.default_rng(count).integers(0, 50, count + 1)
            a = integers((3 + planes * a_plane,), dtype)
            given = a[3:].reshape(planes, rows, a_pitch)
            given[..., columns:] = np.nan  # what stands between rows takes no part
            source = integers((60 + rows * source_pitch,), dtype)
            held = integers((2 + planes * (count + 5),), dtype)
            sums = held.copy()
            run_dots(
                sums, count + 5, a, a_plane, a_pitch, source, source_taps, source_pitch, planes,
                count, rows, columns,
            )  # fmt: skip
            expected = held.copy()
            for k in range(count):
                seen = source[4 + source_taps[1 + k] :][: rows * source_pitch]
                products = given[..., :columns] * seen.reshape(rows, -1)[:, :columns]
                expected[2 + k :: count + 5][:planes] += products.sum(axis=(1, 2))
            np.testing.assert_array_equal(sums, expected)


def assembly(dtype: str, packs: bool) -> str:
    """The machine code of run_tile or run_pack_tile, which need not be able to run here."""
    floats, integers_ = np.zeros(1, dtype), np.zeros(1, np.int64)
    arguments: tuple[Any, ...] = (
        floats, floats, integers_, floats, integers_, integers_, integers_, floats, True, 0, 0, 1,
        0,
    )  # fmt: skip
    dispatcher: Any = run_tile
    if packs:
        dispatcher = run_pack_tile
        arguments = (
            floats, floats, floats, integers_, integers_, floats, integers_, integers_, integers_,
            floats, True, 0, 1,
        )  # fmt: skip
    dispatcher.compile(tuple(map(typeof, arguments)))
    (text,) = dispatcher.inspect_asm().values()
    return str(text)


# LLVM's passes ask the processor's name too: for znver5 it unrolled the tile, which then took four
# times as long.
@pytest.mark.parametrize("processor", ["this", "sapphirerapids", "znver3", "znver4", "znver5"])
@pytest.mark.parametrize("dtype, suffix", [("float32", "ps"), ("float64", "pd")])
@pytest.mark.parametrize("packs", [False, True])
def test_the_tile_s_sums_stay_in_registers(
    dtype: str, suffix: str, packs: bool, processor: str
) -> None:
    if ISA.vector_bytes < (PACKING_BYTES if packs else 32):
        pytest.skip("the assembly is read for AVX2 and AVX-512 only, and panels packed by AVX-512")
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    if processor != "this":
        environment["NUMBA_CPU_NAME"] = processor
    text = subprocess.run(
        [sys.executable, __file__, dtype, "packs" * packs], env=environment, capture_output=True,
        text=True, check=True,
    ).stdout  # fmt: skip
    register = "zmm" if ISA.vector_bytes == 64 else "ymm"
    fused = re.compile(rf"vfmadd\d+{suffix}\s.*%{register}")
    # A loop, a block that ends by jumping to itself, holds a tile and nothing more.
    blocks = re.findall(r"^(\.L\w+):((?:\n(?!\.L).*)*)", text, flags=re.MULTILINE)
    loops = [body for label, body in blocks if re.search(rf"\tj\w+\s+{re.escape(label)}\n?", body)]
    found = [len(fused.findall(body)) for body in loops]
    if packs:
        assert found == 3 * [ISA.rows * ISA.vectors]  # vectors of one run, of two, of more
    else:
        assert found.count(ISA.rows * ISA.vectors) == 2  # one of them asks for what is read next
        assert WIDE_ROWS * WIDE_VECTORS in found
    # A sum that is put on the stack and back would cost more than the multiply-add.
    assert not re.findall(rf"%{register}\d+, -?\d*\(%rsp\)", text)


if __name__ == "__main__":
    print(assembly(sys.argv[1], packs=sys.argv[2] == "packs"))

"""The document's functions, against their rules written out as loops over single numbers."""

from collections.abc import Callable
from inspect import signature

import numpy as np
import pytest
from numpy import ndarray

import impls
from impls import document

every_backend = pytest.mark.parametrize("backend", impls.names())
every_dtype = pytest.mark.parametrize("dtype", ["uint8", "int64", "float32", "float64"])


def integers(*shape: int, dtype: str = "float64", seed: int = 0) -> ndarray:
    low = 0 if dtype == "uint8" else -4
    return np.random.default_rng(seed).integers(low, 5, shape).astype(dtype)


# ------------------------------------------------------------------------- the rules, as loops


def correlated(image: ndarray, kernel: ndarray, stride: int = 1, padding: int = 0) -> ndarray:
    """Every output, a sum over taps; what lies outside the image adds nothing."""
    image, kernel = np.atleast_3d(image).astype(float), np.atleast_3d(kernel).astype(float)
    (h, w, channels), (r_size, s_size, _) = image.shape, kernel.shape
    rows = (h + 2 * padding - r_size) // stride + 1
    columns = (w + 2 * padding - s_size) // stride + 1
    output = np.zeros((rows, columns))
    for p, q, r, s, c in np.ndindex(rows, columns, r_size, s_size, channels):
        i, j = p * stride - padding + r, q * stride - padding + s
        if 0 <= i < h and 0 <= j < w:
            output[p, q] += image[i, j, c] * kernel[r, s, c]
    return output


def correlated_backward(
    d_out: ndarray, x: ndarray, kernel: ndarray, stride: int = 1, padding: int = 0
) -> tuple[ndarray, ndarray]:
    """Every product of `correlated`, once to each of its two factors."""
    d_x, d_kernel = np.zeros(x.shape), np.zeros(kernel.shape)
    for p, q in np.ndindex(*d_out.shape):
        for r, s in np.ndindex(*kernel.shape[:2]):
            i, j = p * stride - padding + r, q * stride - padding + s
            if 0 <= i < len(x) and 0 <= j < len(x[0]):
                d_x[i, j] += d_out[p, q] * kernel[r, s]
                d_kernel[r, s] += d_out[p, q] * x[i, j]
    return d_x, d_kernel


def spread(x: ndarray, kernel: ndarray, stride: int) -> ndarray:
    """Every pixel adds its multiple of the kernel, stride apart."""
    (h, w), (r_size, s_size) = x.shape, kernel.shape
    output = np.zeros(((h - 1) * stride + r_size, (w - 1) * stride + s_size))
    for i, j, r, s in np.ndindex(h, w, r_size, s_size):
        output[i * stride + r, j * stride + s] += x[i, j] * kernel[r, s]
    return output


def pooled(x: ndarray, size: int, stride: int, reduce: Callable[[ndarray], float]) -> ndarray:
    """One number per window that fits."""
    n, c, h, w = x.shape
    output = np.zeros((n, c, (h - size) // stride + 1, (w - size) // stride + 1))
    for place in np.ndindex(*output.shape):
        i, j = place[2] * stride, place[3] * stride
        output[place] = reduce(x[place[0], place[1], i : i + size, j : j + size])
    return output


def pooled_and_clipped(
    x: ndarray, size: int, stride: int, reduce: Callable[[ndarray], float]
) -> ndarray:
    """The document's answer: size // stride windows, clipped where they leave the plane."""
    n, c, h, w = x.shape
    output = np.zeros((n, c, h // stride, w // stride))
    for place in np.ndindex(*output.shape):
        i, j = place[2] * stride, place[3] * stride
        output[place] = reduce(x[place[0], place[1]][i : i + size, j : j + size])
    return output


def assert_equal(actual: ndarray, expected: ndarray, dtype: str = "float64") -> None:
    assert type(actual) is ndarray
    assert actual.dtype == dtype
    assert np.array_equal(actual, expected), f"{actual}, but should be {expected}"


# -------------------------------------------------------------------------- equal to the rules


def test_names_parameters_and_order_are_the_documents() -> None:
    listed = {
        "conv2d": "image, kernel",
        "conv2d_strided": "image, kernel, stride=1, padding=0",
        "max_pool2d": "x, pool_size=2, stride=2",
        "avg_pool2d": "x, pool_size=2, stride=2",
        "global_avg_pool": "x",
        "relu": "x",
        "conv2d_backward": "d_out, x, kernel, stride=1, padding=0",
        "transposed_conv2d": "x, kernel, stride=2",
        "image_to_patches": "image, patch_size=16",
    }
    for name, parameters in listed.items():
        found = signature(getattr(document, name)).parameters.values()
        bare = ", ".join(str(p.replace(annotation=p.empty)) for p in found)
        assert bare == f"{parameters}, backend='numba'"
        assert [p.name for p in found if p.kind is p.KEYWORD_ONLY] == ["backend"]


def test_the_named_filters_are_the_documents() -> None:
    image = np.zeros((5, 5))
    image[:3] = 1  # bright above, dark below
    horizontal = document.conv2d(image, document.horizontal_edge)
    vertical = document.conv2d(image, document.vertical_edge)
    assert horizontal.tolist() == [[0, 0, 0], [-3, -3, -3], [-3, -3, -3]]
    assert vertical.tolist() == [[0, 0, 0]] * 3
    assert document.vertical_edge.tolist() == document.horizontal_edge.T.tolist()
    assert document.sharpen.tolist() == [[0, -1, 0], [-1, 5, -1], [0, -1, 0]]
    assert {document.sharpen.dtype, document.horizontal_edge.dtype} == {np.dtype(int)}


@every_backend
@every_dtype
@pytest.mark.parametrize("image, kernel", [((7, 5), (3, 2)), ((6, 8, 3), (2, 5, 3))])
def test_conv2d_is_the_sum_over_each_patch(
    backend: str, dtype: str, image: tuple[int, ...], kernel: tuple[int, ...]
) -> None:
    x, k = integers(*image, dtype=dtype), integers(*kernel, dtype=dtype, seed=1)
    assert_equal(document.conv2d(x, k, backend=backend), correlated(x, k))


@every_backend
@pytest.mark.parametrize("stride, padding", [(1, 0), (2, 0), (3, 1), (2, 3), (9, 1)])
def test_conv2d_strided_steps_and_pads(backend: str, stride: int, padding: int) -> None:
    x, k = integers(8, 6, 2), integers(3, 2, 2, seed=1)
    actual = document.conv2d_strided(x, k, stride, padding, backend=backend)
    assert_equal(actual, correlated(x, k, stride, padding))


@every_backend
@every_dtype
@pytest.mark.parametrize("size", [1, 2, 3])
def test_pools_take_the_largest_and_the_mean(backend: str, dtype: str, size: int) -> None:
    x = 36 * integers(2, 3, 7, 9, dtype=dtype)  # so that ninths are whole numbers
    largest = document.max_pool2d(x, size, size, backend=backend)
    assert_equal(largest, pooled(x, size, size, np.max))
    mean = document.avg_pool2d(x, size, size, backend=backend)
    assert_equal(mean, pooled(x, size, size, lambda window: window.sum() / size**2))


def test_pools_are_two_by_two_if_not_told() -> None:
    x = integers(1, 2, 5, 6)
    assert_equal(document.max_pool2d(x), pooled(x, 2, 2, np.max))
    assert_equal(document.avg_pool2d(x), pooled(x, 2, 2, lambda window: window.sum() / 4))


@every_backend
def test_global_avg_pool_is_the_mean_of_each_plane(backend: str) -> None:
    x = integers(2, 3, 4, 8)
    expected = [[plane.sum() / 32 for plane in image] for image in x]
    assert_equal(document.global_avg_pool(x, backend=backend), np.array(expected))


@every_backend
def test_relu_is_the_larger_of_zero_and_each_value(backend: str) -> None:
    x = integers(5, 7)
    expected = [[max(0, value) for value in row] for row in x.tolist()]
    assert_equal(document.relu(x, backend=backend), np.array(expected))
    assert document.relu(np.array([np.nan, np.inf]), backend=backend)[1] == np.inf
    assert np.isnan(document.relu(np.array([np.nan]), backend=backend)).all()


@every_backend
@pytest.mark.parametrize("stride, padding", [(1, 0), (2, 0), (3, 1), (2, 3)])
def test_conv2d_backward_returns_each_product_to_its_factors(
    backend: str, stride: int, padding: int
) -> None:
    x, k = integers(8, 6), integers(3, 2, seed=1)
    d_out = integers(*correlated(x, k, stride, padding).shape, seed=2)
    actual = document.conv2d_backward(d_out, x, k, stride, padding, backend=backend)
    for got, want in zip(actual, correlated_backward(d_out, x, k, stride, padding), strict=True):
        assert_equal(got, want)


@every_backend
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_transposed_conv2d_spreads_each_pixel(backend: str, stride: int) -> None:
    x, k = integers(4, 3), integers(3, 3, seed=1)
    assert_equal(document.transposed_conv2d(x, k, stride, backend=backend), spread(x, k, stride))


def test_transposed_conv2d_doubles_if_not_told() -> None:
    x, k = integers(4, 3), integers(2, 2, seed=1)
    assert_equal(document.transposed_conv2d(x, k), spread(x, k, 2))


@every_backend
def test_image_to_patches_flattens_each_square(backend: str) -> None:
    image = np.arange(6 * 9 * 2.0).reshape(6, 9, 2)
    patches = document.image_to_patches(image, 3, backend=backend)
    assert patches.shape == (6, 18)
    for row, (i, j) in enumerate((i, j) for i in (0, 3) for j in (0, 3, 6)):
        pixels = [image[i + r, j + s] for r in range(3) for s in range(3)]
        assert_equal(patches[row], np.concatenate(pixels))


def test_image_to_patches_are_of_sixteen_if_not_told() -> None:
    assert document.image_to_patches(integers(32, 16, 3)).shape == (2, 768)


def test_a_backend_object_answers_itself() -> None:
    backend = impls.get("loop")
    x = integers(2, 2, 4, 4)
    assert_equal(document.relu(x, backend=backend), np.maximum(x, 0))


# -------------------------------------- DESIGN.md, section 3: the document's answer and PyTorch's


def test_the_boxed_formula_is_what_transposed_conv2d_computes_not_conv2d() -> None:
    f, g = integers(5, 4), integers(3, 3, seed=1)
    boxed = np.zeros((7, 6))  # (f * g)[i] = sum over k of f[k] * g[i - k], on both axes
    for i, j, k, m in np.ndindex(7, 6, 5, 4):
        if 0 <= i - k < 3 and 0 <= j - m < 3:
            boxed[i, j] += f[k, m] * g[i - k, j - m]
    assert_equal(document.transposed_conv2d(f, g, stride=1), boxed)
    inside = boxed[2:5, 2:4]
    assert not np.array_equal(document.conv2d(f, g), inside)
    assert_equal(document.conv2d(f, g[::-1, ::-1]), inside)


@pytest.mark.parametrize(
    "size, stride, theirs, ours",
    [(3, 2, (4, 4), (3, 4)), (2, 3, (2, 3), (3, 3)), (2, 1, (8, 9), (7, 8))],
)
def test_the_documents_pools_clip_windows_where_pytorch_drops_them(
    size: int, stride: int, theirs: tuple[int, ...], ours: tuple[int, ...]
) -> None:
    x = 36 * integers(2, 3, 8, 9)
    for pool, reduce in ((document.max_pool2d, np.max), (document.avg_pool2d, np.mean)):
        listed = pooled_and_clipped(x, size, stride, reduce)
        actual = pool(x, size, stride)
        assert (listed.shape[2:], actual.shape[2:]) == (theirs, ours)
        assert_equal(actual, pooled(x, size, stride, reduce))
        common = np.s_[:, :, : (8 - size) // stride + 1, : (9 - size) // stride + 1]
        assert_equal(actual[common][:, :, : theirs[0], : theirs[1]], listed[common])


@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_pools_agree_where_the_size_is_the_stride(size: int) -> None:
    x = integers(2, 3, 8, 9)
    assert_equal(document.max_pool2d(x, size, size), pooled_and_clipped(x, size, size, np.max))


@pytest.mark.parametrize(
    "kernel, theirs, ours", [((3, 2), (7, 8), (7, 6)), ((2, 3), (6, 5), (6, 7))]
)
def test_the_document_pads_a_transposed_convolution_by_the_height_alone(
    kernel: tuple[int, int], theirs: tuple[int, int], ours: tuple[int, int]
) -> None:
    x, k = integers(3, 3), integers(*kernel, seed=1)
    spaced = np.zeros((5, 5))
    spaced[::2, ::2] = x
    listed = correlated(spaced, k[::-1, ::-1], padding=kernel[0] - 1)
    actual = document.transposed_conv2d(x, k, 2)
    assert (listed.shape, actual.shape) == (theirs, ours)
    assert_equal(actual, spread(x, k, 2))
    # Theirs is ours with a border of zeros, or without its outer columns.
    more = kernel[0] - kernel[1]
    inside = (listed[:, more:-more], actual) if more > 0 else (listed, actual[:, -more:more])
    assert_equal(*inside)


@pytest.mark.parametrize("stride, padding", [(1, 0), (2, 1)])
def test_the_documents_conv2d_strided_needs_channels(stride: int, padding: int) -> None:
    x, k = integers(7, 6), integers(3, 2, seed=1)
    with pytest.raises(ValueError, match="not enough values to unpack"):
        _, _, _ = x.shape  # the listing's line
    listed = document.conv2d_strided(x[:, :, None], k[:, :, None], stride, padding)
    assert_equal(document.conv2d_strided(x, k, stride, padding), listed)


def test_results_are_float64_but_where_the_listing_keeps_the_dtype() -> None:
    x, k = integers(1, 2, 6, 4, dtype="float32"), integers(2, 2, dtype="float32", seed=1)
    plane, image = x[0, 0], x[0].transpose(1, 2, 0)
    d_out = integers(5, 3, dtype="float32", seed=2)
    d_x, d_kernel = document.conv2d_backward(d_out, plane, k)
    kept = [document.relu(x), document.global_avg_pool(x), document.image_to_patches(image, 2)]
    assert {array.dtype for array in (*kept, d_x, d_kernel)} == {np.dtype("float32")}
    widened = [
        document.conv2d(plane, k),
        document.conv2d_strided(plane, k, 2),
        document.max_pool2d(x),
        document.avg_pool2d(x),
        document.transposed_conv2d(plane, k),
    ]
    assert {array.dtype for array in widened} == {np.dtype("float64")}
    pytorchs = impls.get("numba").max_pool2d(x, 2)
    assert pytorchs.dtype == np.float32
    assert np.array_equal(pytorchs, document.max_pool2d(x))


def test_integers_become_float64_where_the_document_leaves_them_integers() -> None:
    x = integers(4, 6, 2, dtype="int32")
    assert np.maximum(0, x).dtype == np.int32  # the listing's line
    assert_equal(document.relu(x), np.maximum(0, x))
    assert_equal(document.image_to_patches(x, 2)[0], x[:2, :2].ravel())
    pixels = np.arange(256, dtype="uint8").reshape(16, 16, 1)
    assert_equal(document.image_to_patches(pixels, 16)[0], np.arange(256))
    assert_equal(document.global_avg_pool(pixels.reshape(2, 2, 8, 8))[0], np.array([31.5, 95.5]))
    plane, kernel = integers(5, 4, dtype=">i2"), document.sharpen.astype("int8")
    d_out = integers(3, 2, dtype="int64", seed=2)
    for got, want in zip(
        document.conv2d_backward(d_out, plane, kernel),
        correlated_backward(d_out, plane, kernel),
        strict=True,
    ):
        assert_equal(got, want)


def test_an_integer_filter_goes_with_a_float32_image() -> None:
    image = integers(5, 6, dtype="float32")
    assert_equal(document.conv2d(image, document.sharpen), correlated(image, document.sharpen))
    d_x, d_kernel = document.conv2d_backward(
        integers(3, 4, dtype="float32"), image, document.sharpen
    )
    assert [d_x.dtype, d_kernel.dtype] == ["float32", "float64"]


def test_the_documents_conv2d_backward_has_one_channel() -> None:
    x, k = integers(7, 6, 3), integers(3, 2, 3, seed=1)
    d_out = integers(4, 4, seed=2)
    with pytest.raises(ValueError, match="too many values to unpack"):
        _, _ = k.shape  # the listing's line
    d_x, d_kernel = document.conv2d_backward(d_out, x, k, 2, 1)
    assert (d_x.shape, d_kernel.shape) == (x.shape, k.shape)
    for c in range(3):
        listed = document.conv2d_backward(d_out, x[:, :, c], k[:, :, c], 2, 1)
        assert_equal(d_x[:, :, c], listed[0])
        assert_equal(d_kernel[:, :, c], listed[1])


@pytest.mark.parametrize(
    "function",
    ["conv2d", "conv2d_strided", "max_pool2d", "avg_pool2d", "relu", "conv2d_backward",
     "transposed_conv2d", "image_to_patches"],
)  # fmt: skip
def test_what_differs_says_so(function: str) -> None:
    assert "Differs from the document" in getattr(document, function).__doc__


# -------------------------------------------------------------------------------------- bad input

IMAGE, PLANES = np.ones((5, 6, 2)), np.ones((1, 2, 6, 4))
WRONG = [
    ("conv2d", (np.ones((5, 6, 2)), np.ones((3, 3))), ValueError, "kernel.shape=(3, 3) must have"),
    ("conv2d", (IMAGE, np.ones((3, 3, 1))), ValueError, "kernel.shape=(3, 3, 1) must have"),
    ("conv2d", (IMAGE, np.ones((3, 7, 2))), ValueError, "kernel.shape=(3, 7, 2) must fit"),
    ("conv2d", (IMAGE, np.ones((0, 3, 2))), ValueError, "kernel.shape=(0, 3, 2) must be at least"),
    ("conv2d", (np.ones(5), np.ones(3)), ValueError, "image.shape=(5,) must be (H, W)"),
    ("conv2d", (np.ones((5, 6, 0)), np.ones((3, 3, 0))), ValueError, "image.shape=(5, 6, 0) must"),
    ("conv2d", ([[1.0]], np.ones((1, 1))), TypeError, "image must be a NumPy array, not list"),
    ("conv2d", (IMAGE, 2.0), TypeError, "kernel must be a NumPy array, not float"),
    ("conv2d", (IMAGE, IMAGE.astype("f4")), TypeError, "kernel.dtype=float32 must be the dtype"),
    ("conv2d", (IMAGE.astype("f2"), IMAGE), TypeError, "image.dtype=<f2 must be"),
    ("conv2d", (IMAGE.astype(">f8"), IMAGE), TypeError, "image.dtype=>f8 must be"),
    ("conv2d", (IMAGE.astype(complex), IMAGE), TypeError, "image.dtype=<c16 must be"),
    ("conv2d", (IMAGE.astype(object), IMAGE), TypeError, "image.dtype=|O must be"),
    ("conv2d", (IMAGE > 0, IMAGE), TypeError, "image.dtype=|b1 must be"),
    ("conv2d", (np.ma.ones((5, 6, 2), int), IMAGE), TypeError, "image"),
    ("conv2d_strided", (IMAGE, IMAGE, 0), ValueError, "stride=0 must be at least 1"),
    ("conv2d_strided", (IMAGE, IMAGE, 1.0), ValueError, "stride=1.0 must be an int"),
    ("conv2d_strided", (IMAGE, IMAGE, (1, 1)), ValueError, "stride=(1, 1) must be an int"),
    ("conv2d_strided", (IMAGE, IMAGE, True), ValueError, "stride=True must be an int"),
    ("conv2d_strided", (IMAGE, IMAGE, 1, -1), ValueError, "padding=-1 must be at least 0"),
    ("conv2d_strided", (IMAGE, IMAGE, 1, "same"), ValueError, "padding='same' must be an int"),
    ("max_pool2d", (PLANES[0],), ValueError, "x.shape=(2, 6, 4) must be (N, C, H, W)"),
    ("max_pool2d", (PLANES, 5), ValueError, "pool_size=5 must fit into x.shape=(1, 2, 6, 4)"),
    ("max_pool2d", (PLANES, 0), ValueError, "pool_size=0 must be at least 1"),
    ("max_pool2d", (PLANES, (2, 2)), ValueError, "pool_size=(2, 2) must be an int"),
    ("avg_pool2d", (PLANES, 2, 0), ValueError, "stride=0 must be at least 1"),
    ("avg_pool2d", (PLANES, 2, None), ValueError, "stride=None must be an int"),
    ("avg_pool2d", (np.ones((1, 0, 6, 4)),), ValueError, "x.shape=(1, 0, 6, 4) must be at least"),
    ("global_avg_pool", (IMAGE,), ValueError, "x.shape=(5, 6, 2) must be (N, C, H, W)"),
    ("global_avg_pool", (np.ones((1, 2, 0, 4)),), ValueError, "x.shape=(1, 2, 0, 4) must be"),
    ("relu", (-1.5,), TypeError, "x must be a NumPy array, not float"),
    ("conv2d_backward", (np.ones((3, 3)), np.ones((5, 6)), np.ones((3, 3))), ValueError,
     "d_out.shape=(3, 3) must be (3, 4), the shape of the output"),
    ("conv2d_backward", (np.ones((3, 4, 1)), np.ones((5, 6)), np.ones((3, 3))), ValueError,
     "d_out.shape=(3, 4, 1) must be"),
    ("conv2d_backward", (np.ones((3, 4)), np.ones((5, 6)), np.ones((9, 3))), ValueError,
     "kernel.shape=(9, 3) must fit into x.shape=(5, 6)"),
    ("transposed_conv2d", (IMAGE, np.ones((3, 3))), ValueError, "x.shape=(5, 6, 2) must be a"),
    ("transposed_conv2d", (np.ones((5, 6)), IMAGE), ValueError, "kernel.shape=(5, 6, 2) must be a"),
    ("transposed_conv2d", (np.ones((5, 0)), np.ones((2, 2))), ValueError, "x.shape=(5, 0) must be"),
    ("transposed_conv2d", (np.ones((5, 6)), np.ones((2, 2)), 0), ValueError, "stride=0 must be"),
    ("image_to_patches", (IMAGE, 4), ValueError, "patch_size=4 must divide height=5"),
    ("image_to_patches", (IMAGE, 5), ValueError, "patch_size=5 must divide height=5 and width=6"),
    ("image_to_patches", (IMAGE, 0), ValueError, "patch_size=0 must be at least 1"),
    ("image_to_patches", (IMAGE[0], 2), ValueError, "image.shape=(6, 2) must be (H, W, C)"),
]  # fmt: skip


@pytest.mark.parametrize("function, arguments, error, says", WRONG)
def test_wrong_calls_are_told(
    function: str, arguments: tuple[object, ...], error: type[Exception], says: str
) -> None:
    with pytest.raises(error) as caught:
        getattr(document, function)(*arguments)
    assert says in str(caught.value)


def test_an_unknown_backend_is_told() -> None:
    with pytest.raises(ValueError, match="backend="):
        document.relu(PLANES, backend="nonsense")


def test_arguments_are_never_changed_and_results_are_new() -> None:
    x = integers(1, 1, 6, 4)
    x.flags.writeable = False
    plane, image = x[0, 0], x[0].transpose(1, 2, 0)
    results = [
        document.relu(x), document.max_pool2d(x, 1, 1), document.avg_pool2d(x, 1, 1),
        document.image_to_patches(image, 1), document.conv2d(plane, np.ones((1, 1))),
        *document.conv2d_backward(plane, plane, np.ones((1, 1))),
    ]  # fmt: skip
    for result in results:
        assert result.flags.writeable
        assert not np.may_share_memory(result, x)

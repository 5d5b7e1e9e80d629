"""What the built-in backends promise beyond their answers, which conformance judges."""

from importlib import import_module
from inspect import Parameter, signature
from pathlib import Path

import numpy as np
import pytest
from numpy import ndarray

import impls
from impls import im2col, loop
from impls.registry import BUILT_IN
from impls.spec.interface import KERNELS
from impls.spec.plan import Params, Shape
from impls.spec.transpose import transposed

OPTIONAL = {"conv_grad_bias", "conv_transpose_grad_bias", "linear_grad_bias", "max_pool_values"}


def integers(*shape: int, dtype: str = "float32", seed: int = 0) -> ndarray:
    return np.random.default_rng(seed).integers(-4, 5, shape).astype(dtype)


@pytest.mark.parametrize("name", BUILT_IN)
def test_kernels_have_the_signatures_of_the_interface(name: str) -> None:
    module = import_module(BUILT_IN[name])
    for kernel, expected in KERNELS.items():
        if kernel in OPTIONAL and not hasattr(module, kernel):
            continue
        found = signature(getattr(module, kernel)).parameters.values()
        bare = [p.replace(annotation=Parameter.empty) for p in found]
        assert bare == list(expected.parameters.values()), kernel


@pytest.mark.parametrize("name", BUILT_IN)
def test_no_kernel_but_the_optional_ones_is_missing(name: str) -> None:
    backend = impls.get(name)
    assert {kernel for kernel in KERNELS if not backend.has(kernel)} <= OPTIONAL


def test_nothing_here_imports_the_oracle_or_another_backend() -> None:
    home = Path(impls.__file__).parent
    sources = [path for path in home.rglob("*.py") if not path.name.startswith("test_")]
    assert len(sources) > 20
    backends = [name.rsplit(".", 1)[1] for name in BUILT_IN.values()]
    for path in sources:
        lines = [line for line in path.read_text().splitlines() if "import" in line.split()]
        assert not [line for line in lines if {"torch", "conformance", "bench"} & set(line.split())]
        for other in backends:
            if other not in path.parts and path.stem != other:
                assert not [line for line in lines if f"impls.{other}" in line], path


# --------------------------------------------------------------------------------------- im2col

BATCH = (5, 4, 9, 8)
CALLS: list[tuple[Shape, Params]] = [
    ((6, 2, 3, 2),
     {"stride": (2, 1), "padding": ((1, 0), (0, 2)), "dilation": (1, 2), "groups": 2}),
    ((3, 4, 1, 1),
     {"stride": (1, 1), "padding": ((0, 0), (0, 0)), "dilation": (1, 1), "groups": 1}),
    ((8, 1, 3, 4),
     {"stride": (1, 3), "padding": ((2, 2), (1, 1)), "dilation": (2, 1), "groups": 4}),
]  # fmt: skip


@pytest.mark.parametrize("weight_shape, params", CALLS)
@pytest.mark.parametrize("images", [1, 2, 3, 4])
def test_slices_of_the_batch_change_no_bit(
    monkeypatch: pytest.MonkeyPatch, weight_shape: Shape, params: Params, images: int
) -> None:
    # Real values: any other order of summation would show.
    rng = np.random.default_rng(7)
    input, weight, bias = (rng.normal(size=s) for s in (BATCH, weight_shape, weight_shape[:1]))
    whole = im2col.conv(input, weight, bias, **params)
    grad_output = rng.normal(size=whole.shape)
    given = grad_output, input, weight
    whole_gradients = [
        kernel(*given, **params) for kernel in (im2col.conv_grad_input, im2col.conv_grad_weight)
    ]

    taps = weight[0].size * params["groups"]
    one_image = taps * whole[0, 0].size * input.itemsize
    monkeypatch.setattr(im2col, "COLUMNS_BYTES", images * one_image)
    starts = [s.start for s in im2col._slices(5, weight, params["groups"], whole)]
    assert starts == list(range(0, 5, images))
    assert np.array_equal(im2col.conv(input, weight, bias, **params), whole)
    gradients = [
        kernel(*given, **params) for kernel in (im2col.conv_grad_input, im2col.conv_grad_weight)
    ]
    for gradient, expected in zip(gradients, whole_gradients, strict=True):
        assert np.array_equal(gradient, expected)


def test_an_image_is_never_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(im2col, "COLUMNS_BYTES", 1)
    weight_shape, params = CALLS[0]
    input, weight = integers(*BATCH), integers(*weight_shape, seed=1)
    expected = loop.conv(input, weight, None, **params)
    assert np.array_equal(im2col.conv(input, weight, None, **params), expected)
    assert [s.start for s in im2col._slices(5, weight, 2, expected)] == [0, 1, 2, 3, 4]
    assert list(im2col._slices(0, weight, 2, expected[:0])) == []


# ------------------------------------------------------------------------------------ transpose

TRANSPOSES: list[tuple[Shape, Shape, Params]] = [
    ((2, 4, 5, 4), (4, 3, 3, 2),
     {"stride": (2, 3), "padding": ((3, 3), (1, 1)), "output_padding": (1, 2), "groups": 2,
      "dilation": (3, 2)}),
    ((1, 2, 4, 5), (2, 3, 3, 2),
     {"stride": (3, 2), "padding": ((3, 0), (1, 2)), "output_padding": (2, 1), "groups": 1,
      "dilation": (2, 3)}),
    # Room for whole windows more, which the transpose does not have.
    ((2, 2, 4, 3), (2, 3, 2, 2),
     {"stride": (2, 1), "padding": ((1, 1), (0, 0)), "output_padding": (3, 2), "groups": 1,
      "dilation": (4, 3)}),
    ((1, 2, 3, 4), (2, 2, 2, 1),
     {"stride": (3, 2), "padding": ((0, 0), (0, 0)), "output_padding": (2, 1), "groups": 1,
      "dilation": (1, 1)}),
    # More is cut off than the kernel reaches.
    ((1, 2, 7, 8), (2, 3, 2, 3),
     {"stride": (1, 1), "padding": ((2, 2), (3, 3)), "output_padding": (0, 0), "groups": 1,
      "dilation": (1, 1)}),
    ((0, 2, 5, 6), (2, 3, 3, 2),
     {"stride": (2, 2), "padding": ((0, 0), (0, 0)), "output_padding": (0, 0), "groups": 1,
      "dilation": (1, 1)}),
]  # fmt: skip


@pytest.mark.parametrize("input_shape, weight_shape, params", TRANSPOSES)
@pytest.mark.parametrize("module", [im2col, import_module(BUILT_IN["numba"])])
def test_the_derivation_equals_zero_insertion(
    module: object, input_shape: Shape, weight_shape: Shape, params: Params
) -> None:
    forward, grad_input, grad_weight = transposed(
        *(getattr(module, name) for name in ("conv", "conv_grad_input", "conv_grad_weight"))
    )
    input, weight = integers(*input_shape), integers(*weight_shape, seed=1)
    bias = integers(weight_shape[1] * params["groups"], seed=2)
    for each in (bias, None):
        output = forward(input, weight, each, **params)
        assert np.array_equal(output, loop.conv_transpose(input, weight, each, **params))
    given = integers(*output.shape, seed=3), input, weight
    expected = loop.conv_transpose_grad_input(*given, **params)
    assert np.array_equal(grad_input(*given, **params), expected)
    expected = loop.conv_transpose_grad_weight(*given, **params)
    assert np.array_equal(grad_weight(*given, **params), expected)


def test_zero_insertion_is_the_input_gradient_of_loop_s_convolution() -> None:
    """The two forms check each other; conv_grad_input knows nothing of output_padding."""
    input, weight = integers(2, 4, 5, 4), integers(4, 3, 3, 2, seed=1)
    params: Params = {"padding": ((1, 0), (0, 1)), "dilation": (1, 2), "groups": 2}
    output = loop.conv_transpose(
        input, weight, None, stride=(2, 3), output_padding=(0, 0), **params
    )
    gradient = loop.conv_grad_input(input, output, weight, stride=(2, 3), **params)
    assert output.shape == (2, 6, 10, 11)
    assert np.array_equal(output, gradient)


def test_a_transpose_of_stride_1_is_a_true_convolution() -> None:
    image, kernel = integers(1, 1, 4, 5), integers(1, 1, 3, 2, seed=1)
    expected = np.zeros((6, 6), image.dtype)
    for (i, j), pixel in np.ndenumerate(image[0, 0]):
        expected[i : i + 3, j : j + 2] += pixel * kernel[0, 0]
    output = loop.conv_transpose(
        image, kernel, None, stride=(1, 1), padding=((0, 0), (0, 0)), output_padding=(0, 0),
        groups=1, dilation=(1, 1),
    )  # fmt: skip
    assert np.array_equal(output[0, 0], expected)

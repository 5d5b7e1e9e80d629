"""The document's claims, as checks: on every built-in backend, exactly, on integers."""

from itertools import product

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy import ndarray
from scipy.signal import convolve2d

import impls
from impls import document
from impls.layers import Conv2DLayer, ResidualBlock

every_backend = pytest.mark.parametrize("backend", impls.names())


def integers(*shape: int, seed: int = 0) -> ndarray:
    return np.random.default_rng(seed).integers(-4, 5, shape).astype(float)


def at(place: tuple[int, int], image: ndarray) -> ndarray:
    """The image somewhere on a canvas of zeros, farther from its edges than filters reach."""
    canvas = np.zeros((18, 18, *image.shape[2:]))  # 16 x 16 once filtered: averages are exact
    top, left = place
    canvas[top : top + image.shape[0], left : left + image.shape[1]] = image
    return canvas


# "detecting patterns regardless of where they appear"
@every_backend
@pytest.mark.parametrize("down, right", [(1, 0), (0, 1), (4, 5), (7, 3)])
def test_a_shifted_image_has_a_shifted_feature_map(backend: str, down: int, right: int) -> None:
    image, kernel = integers(5, 4, 3), integers(3, 2, 3, seed=1)
    here = document.conv2d(at((2, 2), image), kernel, backend=backend)
    there = document.conv2d(at((2 + down, 2 + right), image), kernel, backend=backend)
    assert here.any()
    assert not np.array_equal(there, here)
    assert np.array_equal(there, np.roll(here, (down, right), axis=(0, 1)))


# "Pooling ... A cat detected at (10, 20) or (11, 21) produces similar pooled output"
@every_backend
def test_a_shifted_image_has_the_same_global_average(backend: str) -> None:
    averages, largest = [], []
    for place in ((2, 2), (3, 3), (10, 6)):
        features = document.conv2d(at(place, integers(5, 4)), document.sharpen, backend=backend)
        features = features[np.newaxis, np.newaxis]
        averages.append(document.global_avg_pool(features, backend=backend).item())
        largest.append(document.max_pool2d(features, backend=backend).max())
    assert averages[0] != 0
    assert len(set(averages)) == len(set(largest)) == 1


# "A 3x3 kernel has 9 parameters regardless of image size."
@every_backend
@pytest.mark.parametrize("size", [(3, 3), (5, 8), (32, 32), (224, 3)])
def test_nine_weights_whatever_the_image(backend: str, size: tuple[int, int]) -> None:
    layer = Conv2DLayer(1, 1, kernel_size=3, backend=backend, seed=0)
    assert layer.forward(integers(1, 1, *size)).shape == (1, 1, size[0] - 2, size[1] - 2)
    assert layer.filters.size == 9


# "A 224x224 RGB image has 150,528 input features. With a 1000-neuron hidden layer: 150M"
def test_a_fully_connected_layer_would_need_150_million_weights() -> None:
    features = integers(224, 224, 3).size
    assert features == 150_528
    assert features * 1000 == 150_528_000
    assert Conv2DLayer(3, 1000).filters.size == 27_000


# "out_size = (in_size + 2*padding - kernel_size) // stride + 1"
@every_backend
def test_the_output_size_formula_over_a_grid(backend: str) -> None:
    grid = product((4, 5, 8), (1, 2, 3, 5), (1, 2, 3, 7), (0, 1, 2))
    for size, kernel_size, stride, padding in grid:
        out_size = (size + 2 * padding - kernel_size) // stride + 1
        if size + 2 * padding < kernel_size:
            continue
        x, kernel = np.ones((size, 9)), np.ones((kernel_size, 2))
        output = document.conv2d_strided(x, kernel, stride, padding, backend=backend)
        tensors = [torch.from_numpy(a)[None, None] for a in (x, kernel)]
        assert len(output) == out_size
        assert output.shape == F.conv2d(*tensors, stride=stride, padding=padding).shape[2:]


# "(f * g)[i] = sum over k of f[k] * g[i - k]"
@every_backend
@pytest.mark.parametrize("f_shape, g_shape", [((6, 5), (3, 3)), ((5, 7), (2, 4)), ((1, 9), (1, 3))])
def test_five_forms_of_true_convolution_are_one(
    backend: str, f_shape: tuple[int, int], g_shape: tuple[int, int]
) -> None:
    f, g = integers(*f_shape), integers(*g_shape, seed=1)
    boxed = np.zeros([a + b - 1 for a, b in zip(f_shape, g_shape, strict=True)])
    for i, k in product(np.ndindex(*boxed.shape), np.ndindex(*f_shape)):
        rest = i[0] - k[0], i[1] - k[1]
        if min(rest) >= 0 and rest[0] < g_shape[0] and rest[1] < g_shape[1]:
            boxed[i] += f[k] * g[rest]
    margins = [(extent - 1, extent - 1) for extent in g_shape]
    flipped = document.conv2d(np.pad(f, margins), g[::-1, ::-1], backend=backend)
    ours = document.transposed_conv2d(f, g, stride=1, backend=backend)
    images = [torch.from_numpy(a)[None, None] for a in (f, g)]
    pytorchs = F.conv_transpose2d(*images)[0, 0].numpy()
    for form in (flipped, ours, pytorchs, convolve2d(f, g)):
        assert np.array_equal(form, boxed)
    if f_shape[0] == 1:
        assert np.array_equal(boxed[0], np.convolve(f[0], g[0]))
    correlation = document.conv2d(np.pad(f, margins), g, backend=backend)
    assert not np.array_equal(correlation, boxed), "the listing's conv2d is no true convolution"


# "Vision Transformers": the patch embedding is a convolution with kernel = stride = patch
@every_backend
@pytest.mark.parametrize("patch, shape", [(2, (6, 4, 3)), (4, (8, 12, 3)), (3, (9, 6, 5))])
def test_patches_times_weights_are_a_convolution_that_strides_by_its_kernel(
    backend: str, patch: int, shape: tuple[int, int, int]
) -> None:
    image, weight = integers(*shape), integers(7, shape[2], patch, patch, seed=1)
    channels_first = torch.from_numpy(image).permute(2, 0, 1)[None]
    embedded = F.conv2d(channels_first, torch.from_numpy(weight), stride=patch)
    expected = embedded[0].flatten(1).T.numpy()
    patches = document.image_to_patches(image, patch, backend=backend)
    # A patch has its channels innermost, PyTorch's weight outermost.
    pixel_major = weight.transpose(2, 3, 1, 0).reshape(-1, 7)
    assert np.array_equal(patches @ pixel_major, expected)
    assert not np.array_equal(patches @ weight.reshape(7, -1).T, expected)
    ours = impls.get(backend).conv2d(channels_first.numpy(), weight, stride=patch)
    assert np.array_equal(ours, embedded.numpy())


# "By adding skip connections, gradients can flow directly through the network."
@every_backend
def test_gradients_pass_a_block_that_has_learned_nothing(backend: str) -> None:
    x, grad_output = np.abs(integers(1, 2, 5, 4)) + 1, integers(1, 2, 5, 4, seed=1)
    block = ResidualBlock(2, backend=backend)
    for conv in (block.conv1, block.conv2):
        conv.filters[:] = 0
    assert np.array_equal(block.forward(x), x)
    assert np.array_equal(block.backward(grad_output), grad_output)


# "A 3x3 filter can detect an edge regardless of image size."
@every_backend
@pytest.mark.parametrize("size", [5, 16, 61])
def test_an_edge_is_found_wherever_it_is(backend: str, size: int) -> None:
    for row in (1, size // 2, size - 1):
        image = np.zeros((size, size))
        image[row:] = 1
        found = document.conv2d(image, document.horizontal_edge, backend=backend)
        assert set(np.flatnonzero(found.any(axis=1))) == {r for r in (row - 2, row - 1)
                                                          if 0 <= r < size - 2}  # fmt: skip
        assert not document.conv2d(image, document.vertical_edge, backend=backend).any()

"""Layers and networks: what they start with, their gradients by exact differences, training."""

import re
from collections.abc import Callable
from math import log
from operator import attrgetter
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numpy import ndarray

import impls
from impls import Backend, loop
from impls.layers import Conv2DLayer, ResidualBlock, SimpleCNN, sgd_step, softmax_cross_entropy

every_backend = pytest.mark.parametrize("backend", impls.names())
every_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])

BLOCK = ("conv1.filters", "conv1.bias", "conv2.filters", "conv2.bias")
NETWORK = (*BLOCK, "conv3.filters", "conv3.bias", "fc", "fc_bias")
Net = Conv2DLayer | ResidualBlock | SimpleCNN


def integers(*shape: int, dtype: str = "float64", seed: int = 0, width: int = 4) -> ndarray:
    rng = np.random.default_rng(seed)
    return rng.integers(-width, width, shape, endpoint=True).astype(dtype)


def gradient_of(name: str) -> str:
    """conv1.filters -> conv1.grad_filters."""
    *path, last = name.split(".")
    return ".".join([*path, f"grad_{last}"])


def get(net: Net, name: str) -> ndarray:
    found: ndarray = attrgetter(name)(net)
    return found


def assign(net: Net, name: str, value: ndarray) -> None:
    *path, last = name.split(".")
    setattr(attrgetter(".".join(path))(net) if path else net, last, value)


def with_integers(net: Net, names: tuple[str, ...], fraction: float = 0.0) -> None:
    """Assign integer parameters; biases off by a fraction, so that no sum is exactly zero."""
    for seed, name in enumerate(names, 10):
        width, added = (20, fraction) if get(net, name).ndim == 1 else (4, 0)
        assign(net, name, integers(*get(net, name).shape, seed=seed, width=width) + added)


# ---------------------------------------------------------------------------------- initial values


def test_filters_start_as_he_says_and_biases_at_zero() -> None:
    layer = Conv2DLayer(16, 64, kernel_size=5, seed=1)
    assert layer.filters.shape == (64, 16, 5, 5)
    scaled = layer.filters / np.sqrt(2 / (16 * 5 * 5))
    # 25,600 draws: their mean and deviation are within five standard errors of 0 and 1.
    assert abs(scaled.mean()) < 5 / 160
    assert abs(scaled.std() - 1) < 5 / (160 * np.sqrt(2))
    assert 3.5 < abs(scaled).max() < 6  # normal, not uniform
    assert layer.bias.tolist() == [0] * 64


def test_simple_cnn_starts_as_listed() -> None:
    net = SimpleCNN(seed=3)
    shapes = [get(net, name).shape for name in NETWORK]
    assert shapes == [(32, 3, 3, 3), (32,), (64, 32, 3, 3), (64,), (128, 64, 3, 3), (128,),
                      (128, 10), (10,)]  # fmt: skip
    assert 0.009 < net.fc.std() < 0.011
    assert not net.fc_bias.any()
    assert [conv.padding for conv in (net.conv1, net.conv2, net.conv3)] == [1, 1, 1]
    assert SimpleCNN(num_classes=3).fc.shape == (128, 3)


def test_residual_blocks_keep_their_shape() -> None:
    block = ResidualBlock(5)
    assert block.conv1.filters.shape == block.conv2.filters.shape == (5, 5, 3, 3)
    assert block.forward(integers(2, 5, 7, 4)).shape == (2, 5, 7, 4)


@pytest.mark.parametrize(
    "make, names",
    [
        (lambda seed: Conv2DLayer(2, 3, seed=seed), ("filters",)),
        (lambda seed: ResidualBlock(3, seed=seed), ("conv1.filters", "conv2.filters")),
        (lambda seed: SimpleCNN(seed=seed), (*NETWORK[::2],)),
    ],
)
def test_equal_seeds_draw_equal_values(make: Callable[[Any], Net], names: tuple[str, ...]) -> None:
    for name in names:
        first = get(make(7), name)
        assert np.array_equal(first, get(make(7), name))
        assert np.array_equal(first, get(make(np.random.default_rng(7)), name))
        assert not np.array_equal(first, get(make(8), name))
        assert not np.array_equal(get(make(None), name), get(make(None), name))


def test_layers_of_a_network_draw_different_values() -> None:
    block = ResidualBlock(4, seed=0)
    assert not np.array_equal(block.conv1.filters, block.conv2.filters)


def test_the_global_generator_is_left_alone() -> None:
    before = np.random.get_state(legacy=False)  # noqa: NPY002
    SimpleCNN()
    assert str(before) == str(np.random.get_state(legacy=False))  # noqa: NPY002


# ----------------------------------------------------------------------------- forward, by its rule


@every_backend
@every_dtype
def test_the_layer_is_a_sum_over_each_patch_plus_bias(backend: str, dtype: str) -> None:
    layer = Conv2DLayer(2, 3, 3, stride=2, padding=1, backend=backend, dtype=dtype)
    layer.filters, layer.bias = integers(3, 2, 3, 3, dtype=dtype), integers(3, dtype=dtype, seed=1)
    x = integers(2, 2, 6, 5, dtype=dtype, seed=2)
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    output = layer.forward(x)
    assert output.dtype == dtype
    assert output.shape == (2, 3, 3, 3)
    for n, o, p, q in np.ndindex(*output.shape):
        patch = padded[n, :, 2 * p : 2 * p + 3, 2 * q : 2 * q + 3]
        assert output[n, o, p, q] == (patch * layer.filters[o]).sum() + layer.bias[o]


@every_backend
def test_the_block_adds_its_input_before_the_last_relu(backend: str) -> None:
    block = ResidualBlock(3, backend=backend)
    with_integers(block, BLOCK)
    x = integers(2, 3, 5, 4)
    inner = np.maximum(block.conv1.forward(x), 0)
    assert np.array_equal(block.forward(x), np.maximum(block.conv2.forward(inner) + x, 0))


@every_backend
def test_the_network_multiplies_by_fc_as_the_document_stores_it(backend: str) -> None:
    net = SimpleCNN(num_classes=5, backend=backend)
    with_integers(net, NETWORK)
    net.fc = integers(128, 5, seed=30)
    x = integers(1, 3, 8, 16)
    a = x
    for conv in (net.conv1, net.conv2, net.conv3):
        a = np.maximum(conv.forward(a), 0)
        n, c, h, w = a.shape
        a = a.reshape(n, c, h // 2, 2, w // 2, 2).max(axis=(3, 5))
    logits = a.mean(axis=(2, 3)) @ net.fc + net.fc_bias
    assert np.array_equal(net.forward(x), logits)
    # PyTorch's linear takes the transpose: another shape, the same numbers.
    assert np.array_equal(
        impls.get(backend).linear(a.mean(axis=(2, 3)), net.fc.T, net.fc_bias), logits
    )


# --------------------------------------------------------------------------- gradients, exactly


def check_gradients(net: Net, names: tuple[str, ...], x: ndarray, step: float) -> None:
    """Each gradient against differences that are exact: on both sides the net is linear in `step`.

    Some elements of each array; step is a power of two, so small that no relu or pool changes
    its choice, and so large that nothing is rounded.
    """
    grad_output = integers(*net.forward(x).shape, seed=99)
    grad_input = net.backward(grad_output)
    gradients = {name: get(net, gradient_of(name)) for name in names} | {"x": grad_input}
    arrays = {name: get(net, name) for name in names} | {"x": x}

    def loss() -> float:
        return float((net.forward(x) * grad_output).sum())

    middle = loss()
    for name, array in arrays.items():
        assert gradients[name].shape == array.shape
        assert gradients[name].any(), name
        rng = np.random.default_rng(5)
        for place in (tuple(rng.integers(array.shape)) for _ in range(5)):
            kept = array[place]
            array[place] = kept + step
            above = loss()
            array[place] = kept - step
            below = loss()
            array[place] = kept
            assert above - middle == middle - below, f"{name}{place}: step={step} is too large"
            assert gradients[name][place] == (above - middle) / step, f"{name}{place}"


@every_backend
@pytest.mark.parametrize("stride, padding", [(1, 0), (2, 1), (3, 2)])
def test_gradients_of_the_layer_are_exact(backend: str, stride: int, padding: int) -> None:
    layer = Conv2DLayer(2, 3, 3, stride, padding, backend=backend)
    with_integers(layer, ("filters", "bias"))
    check_gradients(layer, ("filters", "bias"), integers(2, 2, 7, 6), step=1)


@every_backend
def test_gradients_of_the_block_are_exact(backend: str) -> None:
    block = ResidualBlock(3, backend=backend)
    with_integers(block, BLOCK, fraction=0.25)
    check_gradients(block, BLOCK, integers(2, 3, 5, 4), step=2**-10)


@every_backend
def test_gradients_of_the_network_are_exact(backend: str) -> None:
    net = SimpleCNN(num_classes=2, backend=backend)
    with_integers(net, NETWORK, fraction=0.25)
    # Wide inputs: no two pixels of a window are equal, so that no maximum is a tie.
    check_gradients(net, NETWORK, integers(1, 3, 8, 8, width=300), step=2**-11)


@every_dtype
def test_gradients_have_the_dtype_of_the_network(dtype: str) -> None:
    net = SimpleCNN(num_classes=3, dtype=dtype, seed=0)
    logits = net.forward(integers(2, 3, 8, 8, dtype=dtype))
    grad_input = net.backward(integers(2, 3, dtype=dtype))
    arrays = [logits, grad_input, *(array for pair in net.parameters() for array in pair)]
    assert {array.dtype for array in arrays} == {np.dtype(dtype)}


# ------------------------------------------------------------------------------------- state


MAKERS: list[tuple[Callable[[], Net], tuple[str, ...], tuple[int, ...]]] = [
    (lambda: Conv2DLayer(3, 4, padding=1), ("filters", "bias"), (2, 3, 5, 4)),
    (lambda: ResidualBlock(3), BLOCK, (2, 3, 5, 4)),
    (lambda: SimpleCNN(4), NETWORK, (2, 3, 8, 8)),
]
every_net = pytest.mark.parametrize("make, names, shape", MAKERS, ids=["layer", "block", "network"])


@every_net
def test_backward_works_twice_each_time_for_its_own_grad_output(
    make: Callable[[], Net], names: tuple[str, ...], shape: tuple[int, ...]
) -> None:
    net = make()
    with_integers(net, names)
    output = net.forward(integers(*shape))
    first = integers(*output.shape, seed=1)
    grad_once = net.backward(first)
    once = [gradient for _, gradient in net.parameters()]
    kept = [grad_once.copy(), *(gradient.copy() for gradient in once)]
    grad_twice = net.backward(-2 * first)
    for before, after in zip([grad_once, *once], kept, strict=True):
        assert np.array_equal(before, after), "an earlier answer was changed"
    twice = [gradient for _, gradient in net.parameters()]
    for before, after in zip(kept, [grad_twice, *twice], strict=True):
        assert np.array_equal(after, -2 * before)


@every_net
def test_backward_answers_for_the_forward_that_was(
    make: Callable[[], Net], names: tuple[str, ...], shape: tuple[int, ...]
) -> None:
    net, x = make(), integers(*shape)
    with_integers(net, names)
    output = net.forward(x)
    grad_output = integers(*output.shape, seed=1)
    expected = [net.backward(grad_output), *(gradient for _, gradient in net.parameters())]
    x[...] = 7
    output[...] = 7
    for value, _ in net.parameters():
        value += 1
    actual = [net.backward(grad_output), *(gradient for _, gradient in net.parameters())]
    for got, want in zip(actual, expected, strict=True):
        assert np.array_equal(got, want)


@every_net
def test_assigned_parameters_are_what_is_computed_with(
    make: Callable[[], Net], names: tuple[str, ...], shape: tuple[int, ...]
) -> None:
    x, net, other = integers(*shape), make(), make()
    with_integers(net, names)
    net.backward(integers(*net.forward(x).shape, seed=1))
    with_integers(other, names)
    for name in names:
        doubled = 2 * get(net, name)
        assign(net, name, doubled)
        assign(other, name, doubled.astype(np.int64))  # integers are taken, too
    assert np.array_equal(net.forward(x), other.forward(x.astype(np.int32)))
    grad_output = integers(*net.forward(x).shape, seed=2)
    fresh, own = other.backward(grad_output.astype(int)), net.backward(grad_output)
    assert np.array_equal(fresh, own)
    for name in names:
        assert np.array_equal(get(net, gradient_of(name)), get(other, gradient_of(name)))


def test_filters_of_another_size_may_be_assigned() -> None:
    layer = Conv2DLayer(2, 3)
    layer.filters, layer.bias, layer.stride = integers(5, 4, 2, 1), integers(5), 2
    assert layer.forward(integers(1, 4, 6, 5)).shape == (1, 5, 3, 3)
    assert layer.backward(integers(1, 5, 3, 3)).shape == (1, 4, 6, 5)
    assert layer.grad_filters.shape == (5, 4, 2, 1)


@every_net
def test_parameters_are_the_attributes_themselves(
    make: Callable[[], Net], names: tuple[str, ...], shape: tuple[int, ...]
) -> None:
    net = make()
    net.backward(integers(*net.forward(integers(*shape)).shape))
    for (value, gradient), name in zip(net.parameters(), names, strict=True):
        assert value is get(net, name)
        assert gradient is get(net, gradient_of(name))


def test_a_float32_layer_takes_integers_as_float32() -> None:
    layer = Conv2DLayer(2, 3, dtype="float32", seed=0)
    x = integers(1, 2, 5, 5, dtype="uint8", width=0) + np.uint8(3)
    assert layer.forward(x).dtype == np.float32
    assert layer.backward(integers(1, 3, 3, 3, dtype="int8")).dtype == np.float32


def test_every_layer_asks_the_backend_that_was_given() -> None:
    module, asked = ModuleType("spy"), set[str]()

    def recording(name: str) -> Callable[..., Any]:
        def kernel(*arrays: ndarray, **params: Any) -> Any:
            asked.add(name)
            return getattr(loop, name)(*arrays, **params)

        return kernel

    needed = {"conv", "conv_grad_input", "conv_grad_weight", "relu", "relu_grad_input", "max_pool",
              "max_pool_grad_input", "global_avg_pool", "global_avg_pool_grad_input", "linear",
              "linear_grad_input", "linear_grad_weight"}  # fmt: skip
    for name in needed:
        setattr(module, name, recording(name))
    net = SimpleCNN(2, backend=Backend("spy", module))
    net.backward(net.forward(integers(1, 3, 8, 8)))
    assert asked == needed


# ------------------------------------------------------------------------------------- training


def test_momentum_by_hand() -> None:
    parameter, gradient, velocity = np.array([1.0]), np.array([2.0]), np.array([0.0])
    sgd_step([(parameter, gradient)], [velocity], 0.5, momentum=0.5)
    assert [*velocity, *parameter] == [2.0, 0.0]  # v = 0 + 2, p = 1 - 0.5 * 2
    gradient[:] = -4
    sgd_step([(parameter, gradient)], [velocity], 0.5, momentum=0.5)
    assert [*velocity, *parameter] == [-3.0, 1.5]  # v = 0.5 * 2 - 4, p = 0 + 0.5 * 3
    sgd_step([(parameter, gradient)], [velocity], learning_rate=0.25)
    assert [*velocity, *parameter] == [-4.0, 2.5]  # without momentum


def test_a_step_changes_the_network_in_place() -> None:
    net = Conv2DLayer(1, 1, kernel_size=1)
    net.filters, net.bias = np.array([[[[3.0]]]]), np.array([1.0])
    assert net.forward(np.array([[[[2.0]]]])) == 7
    net.backward(np.array([[[[1.0]]]]))
    velocities = [np.zeros_like(value) for value, _ in net.parameters()]
    sgd_step(net.parameters(), velocities, learning_rate=0.5, momentum=0.9)
    assert [net.filters.item(), net.bias.item()] == [2.0, 0.5]


def test_cross_entropy_by_hand() -> None:
    # softmax of (0, log 3) is (1/4, 3/4).
    loss, gradient = softmax_cross_entropy(np.array([[0, log(3)], [0, 0]]), np.array([1, 0]))
    expected = (log(4 / 3) + log(2)) / 2
    assert abs(loss - expected) <= 4 * np.spacing(expected)
    by_hand = np.array([[1, -1], [-2, 2]]) / 8
    assert (abs(gradient - by_hand) <= np.spacing(0.25)).all()


def test_equal_logits_know_nothing() -> None:
    loss, gradient = softmax_cross_entropy(np.zeros((2, 4)), np.array([3, 0], "uint8"))
    assert loss == log(4)
    assert gradient.tolist() == [[0.125, 0.125, 0.125, -0.375], [-0.375, 0.125, 0.125, 0.125]]


@every_dtype
@pytest.mark.parametrize("shift", [0, 1e4, -1e4, 1e30])
def test_cross_entropy_does_not_overflow(dtype: str, shift: float) -> None:
    logits = np.array([[shift, shift], [shift, -shift]], dtype)
    loss, gradient = softmax_cross_entropy(logits, np.array([0, 0]))
    assert isinstance(loss, float)
    assert gradient.dtype == dtype
    assert gradient[0].tolist() == [-0.25, 0.25]
    wrong = max(0, -2 * shift) or (log(2) if shift == 0 else 0)
    assert np.float32(loss) == np.float32((log(2) + wrong) / 2)


def test_a_few_steps_learn_a_few_images() -> None:
    rng = np.random.default_rng(0)
    images, labels = rng.standard_normal((6, 3, 8, 8)), np.arange(6) % 3
    net = SimpleCNN(3, seed=1)
    velocities = [np.zeros_like(value) for value, _ in net.parameters()]
    losses = []
    for _ in range(20):
        loss, grad_logits = softmax_cross_entropy(net.forward(images), labels)
        net.backward(grad_logits)
        sgd_step(net.parameters(), velocities, learning_rate=0.05, momentum=0.9)
        losses.append(loss)
    assert losses[-1] < 0.1 * losses[0]
    assert (net.forward(images).argmax(axis=1) == labels).all()


# -------------------------------------------------------------------------------------- bad input


X = np.ones((2, 3, 5, 4))
WRONG: list[tuple[str, Callable[[], object], type[Exception], str]] = [
    ("in_channels 0", lambda: Conv2DLayer(0, 1), ValueError, "in_channels=0 must be at least 1"),
    ("out_channels float", lambda: Conv2DLayer(1, 2.0),  # type: ignore[arg-type]
     ValueError, "out_channels=2.0 must be an int"),
    ("kernel_size bool", lambda: Conv2DLayer(1, 1, True), ValueError, "kernel_size=True must"),
    ("stride 0", lambda: Conv2DLayer(1, 1, 1, 0), ValueError, "stride=0 must be at least 1"),
    ("padding -1", lambda: Conv2DLayer(1, 1, padding=-1), ValueError, "padding=-1 must be"),
    ("channels 0", lambda: ResidualBlock(0), ValueError, "channels=0 must be at least 1"),
    ("num_classes 0", lambda: SimpleCNN(0), ValueError, "num_classes=0 must be at least 1"),
    ("dtype", lambda: SimpleCNN(dtype="float16"), TypeError, "dtype='float16' must be float32"),
    ("seed -1", lambda: SimpleCNN(seed=-1), ValueError, "seed=-1 must be at least 0"),
    ("seed float", lambda: SimpleCNN(seed=1.5),  # type: ignore[arg-type]
     ValueError, "seed=1.5 must be an int"),
    ("backend", lambda: SimpleCNN(backend="none"), ValueError, "backend='none'"),
    ("a list", lambda: SimpleCNN().forward([1.0]),  # type: ignore[arg-type]
     TypeError, "x must be a NumPy array, not list"),
    ("another dtype", lambda: Conv2DLayer(3, 2).forward(X.astype("f4")),
     TypeError, "x.dtype=float32 must be the dtype of filters, float64"),
    ("complex", lambda: ResidualBlock(3).forward(X * 1j), TypeError, "x.dtype=<c16 must be"),
    ("bools", lambda: ResidualBlock(3).forward(X > 0), TypeError, "x.dtype=|b1 must be"),
    ("rank", lambda: Conv2DLayer(3, 2).forward(X[0]), ValueError, "x.shape=(3, 5, 4) must be (N,"),
    ("channels", lambda: Conv2DLayer(2, 2).forward(X), ValueError,
     "x.shape=(2, 3, 5, 4) must have the channels of filters.shape=(2, 2, 3, 3)"),
    ("too small", lambda: Conv2DLayer(3, 2, 6, padding=0).forward(X), ValueError,
     "x.shape=(2, 3, 5, 4) must hold filters.shape=(2, 3, 6, 6) with padding=0"),
    ("too small to halve", lambda: SimpleCNN().forward(X), ValueError,
     "x.shape=(2, 3, 5, 4) must be at least 8 x 8"),
    ("network's rank", lambda: SimpleCNN().forward(X[0]), ValueError, "x.shape=(3, 5, 4) must be"),
    ("no forward", lambda: Conv2DLayer(3, 2).backward(X), ValueError, "backward must follow"),
    ("no forward of a block", lambda: ResidualBlock(3).backward(X), ValueError, "backward must"),
    ("no forward of a network", lambda: SimpleCNN().backward(X), ValueError, "backward must"),
    ("labels float", lambda: softmax_cross_entropy(np.ones((2, 3)), np.ones(2)), TypeError,
     "labels must be an array of integers, not of float64"),
    ("labels a list", lambda: softmax_cross_entropy(np.ones((1, 3)), [1]),  # type: ignore[arg-type]
     TypeError, "labels must be an array of integers, not list"),
    ("labels too many", lambda: softmax_cross_entropy(np.ones((2, 3)), np.arange(3)), ValueError,
     "labels.shape=(3,) must be (2,), one per row of logits"),
    ("labels too large", lambda: softmax_cross_entropy(np.ones((2, 3)), np.array([0, 3])),
     ValueError, "labels must lie in [0, 3), the columns of logits, but reach from 0 to 3"),
    ("labels negative", lambda: softmax_cross_entropy(np.ones((1, 3)), np.array([-1])), ValueError,
     "labels must lie in [0, 3)"),
    ("logits of rank 1", lambda: softmax_cross_entropy(np.ones(3), np.array([0])), ValueError,
     "logits.shape=(3,) must be (N, classes)"),
    ("no images", lambda: softmax_cross_entropy(np.ones((0, 3)), np.arange(0)), ValueError,
     "logits.shape=(0, 3) must have an image"),
    ("learning_rate", lambda: sgd_step([], [], -0.1), ValueError, "learning_rate=-0.1 must be"),
    ("learning_rate NaN", lambda: sgd_step([], [], np.nan), ValueError, "learning_rate=nan must"),
    ("momentum", lambda: sgd_step([], [], 0.1, -1), ValueError, "momentum=-1 must be"),
    ("velocities", lambda: sgd_step([(X, X)], [], 0.1), ValueError, "shorter than"),
    ("gradient of another shape", lambda: sgd_step([(X, X[0])], [X], 0.1), ValueError,
     "gradient.shape=(3, 5, 4) must be (2, 3, 5, 4)"),
    ("integer parameter", lambda: sgd_step([(np.arange(3), X)], [X], 0.1), TypeError,
     "parameter.dtype"),
]  # fmt: skip


@pytest.mark.parametrize("call, error, says", [row[1:] for row in WRONG], ids=[w[0] for w in WRONG])
def test_wrong_calls_are_told(
    call: Callable[[], object], error: type[Exception], says: str
) -> None:
    with pytest.raises(error) as caught:
        call()
    assert says in str(caught.value)


@every_net
def test_a_wrong_grad_output_is_told(
    make: Callable[[], Net], names: tuple[str, ...], shape: tuple[int, ...]
) -> None:
    net = make()
    output = net.forward(integers(*shape))
    with pytest.raises(ValueError, match=r"grad_output\.shape="):
        net.backward(output[:1])
    with pytest.raises(TypeError, match=r"grad_output\.dtype=float32 must be the dtype of"):
        net.backward(output.astype("float32"))


@pytest.mark.parametrize(
    "name, value, says",
    [
        ("conv1.filters", np.ones((32, 4, 3, 3)), "x.shape=(1, 3, 8, 8) must have the channels"),
        ("conv1.filters", np.ones((32, 3, 3)), "filters.shape=(32, 3, 3) must be (O, C, kH, kW)"),
        ("conv1.bias", np.ones(31), "bias.shape=(31,) must be (32,), one per filter"),
        ("fc", np.ones((10, 128)), "fc.shape=(10, 128) must be (128, 128)"),
        ("fc", np.ones(128), "fc.shape=(128,) must be (in, out)"),
        ("fc_bias", np.ones(9), "fc_bias.shape=(9,) must be (10,), one per column of fc"),
    ],
)
def test_a_wrong_parameter_is_told(name: str, value: ndarray, says: str) -> None:
    net = SimpleCNN()
    assign(net, name, value)
    with pytest.raises(ValueError, match=re.escape(says)):
        net.forward(np.ones((1, 3, 8, 8)))


def test_a_block_that_changes_its_shape_cannot_add() -> None:
    block = ResidualBlock(3)
    block.conv2.padding = 0
    with pytest.raises(ValueError, match=r"x\.shape=\(2, 3, 5, 4\) must be the shape"):
        block.forward(X)

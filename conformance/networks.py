"""The document's layer and networks on a backend, against the same in PyTorch.

Outputs and all gradients, in float64: on integers exactly, on real data within NETWORK_RTOL.
"""

import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from operator import attrgetter
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy import ndarray

from conformance import inputs
from conformance.tolerance import NETWORK_RTOL
from conformance.verdict import PASSED, Status, Verdict, differences, why_untrusted
from impls.backend import Backend, KernelError
from impls.layers import Conv2DLayer, ResidualBlock, SimpleCNN
from impls.spec.case import DOCUMENT
from impls.spec.plan import Shape

FILLINGS = ("exact", "real")

Tensors = dict[str, Any]
Net = Conv2DLayer | ResidualBlock | SimpleCNN


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Network:
    """One network, in both forms.

    make: it, on a backend. pytorch: its output, `pytorch(F, x, parameters)`.
    parameters: shapes by attribute, as in "conv1.filters". input: shape of x.
    kernels: what a backend needs.
    """

    name: str
    make: Callable[[Backend], Net]
    pytorch: Callable[[Any, Any, Tensors], Any]
    parameters: dict[str, Shape]
    input: Shape
    kernels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Expected:
    """PyTorch's tensors by name: "output", "grad_input" and the gradients of the parameters.

    parameters, x, grad_output: what it was given, to be copied for the backend.
    """

    parameters: dict[str, ndarray]
    x: ndarray
    grad_output: ndarray
    results: dict[str, ndarray]


def _layer(F: Any, x: Any, given: Tensors) -> Any:
    return F.conv2d(x, given["filters"], given["bias"], stride=2, padding=1)


def _block(F: Any, x: Any, given: Tensors) -> Any:
    inner = F.relu(_conv(F, x, given, "conv1"))
    return F.relu(_conv(F, inner, given, "conv2") + x)


def _simple_cnn(F: Any, x: Any, given: Tensors) -> Any:
    for name in ("conv1", "conv2", "conv3"):
        x = F.max_pool2d(F.relu(_conv(F, x, given, name)), 2)
    return x.mean(dim=(2, 3)) @ given["fc"] + given["fc_bias"]


def _conv(F: Any, x: Any, given: Tensors, name: str) -> Any:
    return F.conv2d(x, given[f"{name}.filters"], given[f"{name}.bias"], padding=1)


def _conv_shapes(*channels: int) -> dict[str, Shape]:
    """Parameters of 3 x 3 convolutions in a row."""
    shapes: dict[str, Shape] = {}
    for place, (c, o) in enumerate(pairwise(channels), 1):
        shapes |= {f"conv{place}.filters": (o, c, 3, 3), f"conv{place}.bias": (o,)}
    return shapes


CONV = ("conv", "conv_grad_input", "conv_grad_weight")
RELU = ("relu", "relu_grad_input")
HEAD = (
    "max_pool", "max_pool_grad_input", "global_avg_pool", "global_avg_pool_grad_input",
    "linear", "linear_grad_input", "linear_grad_weight",
)  # fmt: skip

# Exact on integers in [-4, 4], as all sums stay below 2**53: SimpleCNN's largest are those of
# conv1's grad_filters, below 2**43, in eighths, for the planes that are averaged have 8 pixels.
NETWORKS = (
    Network(
        name="Conv2DLayer",
        make=lambda backend: Conv2DLayer(3, 5, stride=2, padding=1, backend=backend),
        pytorch=_layer,
        parameters={"filters": (5, 3, 3, 3), "bias": (5,)},
        input=(2, 3, 8, 7),
        kernels=CONV,
    ),
    Network(
        name="ResidualBlock",
        make=lambda backend: ResidualBlock(4, backend=backend),
        pytorch=_block,
        parameters=_conv_shapes(4, 4, 4),
        input=(2, 4, 6, 9),
        kernels=(*CONV, *RELU),
    ),
    Network(
        name="SimpleCNN",
        make=lambda backend: SimpleCNN(backend=backend),
        pytorch=_simple_cnn,
        parameters={**_conv_shapes(3, 32, 64, 128), "fc": (128, 10), "fc_bias": (10,)},
        input=(2, 3, 16, 32),
        kernels=(*CONV, *RELU, *HEAD),
    ),
)


def judge_network(backend: Backend, network: Network, filling: str) -> Verdict:
    """The verdict of one network on exact or real data; all that is raised becomes one, too."""
    lacking = [kernel for kernel in network.kernels if not backend.has(kernel)]
    if lacking:
        return Verdict(Status.MISSING, f"no kernel {', '.join(lacking)}")
    if filling == "exact" and backend.accuracy != "direct":
        # Ties among integers are decided by the last bit, which such a backend has not.
        return Verdict(Status.UNSUPPORTED, f"accuracy={backend.accuracy!r} is judged on real data")
    expected = answer(network, filling)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            results = _results(backend, network, expected)
    except NotImplementedError as error:
        if hasattr(backend.module, "unsupported"):
            return Verdict(Status.UNSUPPORTED, str(error))
        return Verdict(Status.ERROR, _told(backend, network, repr(error), filling))
    except KernelError as error:
        return Verdict(Status.FAILED, _told(backend, network, str(error), filling))
    except Exception as error:  # any crash of a backend is a verdict, not the end of the run
        trace = "".join(traceback.format_exception(error)).rstrip()
        return Verdict(Status.ERROR, _told(backend, network, f"{error!r}\n{trace}", filling))
    return _compared(backend, network, filling, results, expected.results)


def _results(backend: Backend, network: Network, expected: Expected) -> dict[str, ndarray]:
    """The network's tensors, named as PyTorch's are in `answer`."""
    net = network.make(backend)
    for name, value in expected.parameters.items():
        owner, _, last = name.rpartition(".")
        setattr(attrgetter(owner)(net) if owner else net, last, value.copy())
    output = net.forward(expected.x.copy())
    grad_input = net.backward(expected.grad_output.copy())
    gradients = {_gradient(name): attrgetter(_gradient(name))(net) for name in network.parameters}
    return {"output": output, "grad_input": grad_input, **gradients}


def _compared(
    backend: Backend,
    network: Network,
    filling: str,
    results: dict[str, ndarray],
    expected: dict[str, ndarray],
) -> Verdict:
    """Every tensor, the first that differs told."""
    for what, want in expected.items():
        largest = NETWORK_RTOL * np.abs(want).max()
        limit = np.full(want.shape, largest) if filling == "real" else None
        if message := differences(what, results[what], want, limit):
            return Verdict(Status.FAILED, _told(backend, network, message, filling))
        if reason := why_untrusted(what, want):
            return Verdict(Status.UNTRUSTED, _told(backend, network, reason, filling))
    return PASSED


@cache
def answer(network: Network, filling: str) -> Expected:
    """PyTorch's output and gradients; the same for every backend."""
    import torch
    import torch.nn.functional as F

    parameters, x = _given(network, filling)
    leaves = {name: torch.tensor(a, requires_grad=True) for name, a in parameters.items()}
    image = torch.tensor(x, requires_grad=True)
    output = network.pytorch(F, image, leaves)
    grad_output = _drawn(network, filling, "grad_output", tuple(output.shape))
    wrt = {"grad_input": image, **{_gradient(name): leaf for name, leaf in leaves.items()}}
    gradients = torch.autograd.grad(output, list(wrt.values()), torch.tensor(grad_output))
    results = {name: tensor.numpy() for name, tensor in zip(wrt, gradients, strict=True)}
    return Expected(parameters, x, grad_output, {"output": output.detach().numpy(), **results})


def separation(network: Network, filling: str) -> float:
    """How near a choice comes to a tie: the least of all relu inputs' sizes and of all windows' two
    largest values' distances, in units of the largest value there.

    Windows without a positive value are left out: relu made them equal, and hands nothing on.
    """
    import torch
    import torch.nn.functional as F

    nearest = [np.inf]

    def relu(input: Any) -> Any:
        nearest.append(float(input.abs().min() / input.abs().max()))
        return F.relu(input)

    def max_pool2d(input: Any, size: int) -> Any:
        n, c, h, w = input.shape
        windows = input.reshape(n, c, h // size, size, w // size, size).transpose(3, 4)
        first, second = windows.flatten(-2).topk(2).values.unbind(-1)
        distances = (first - second)[first > 0]
        nearest.append(float(distances.min() / input.max()))
        return F.max_pool2d(input, size)

    watched = SimpleNamespace(conv2d=F.conv2d, relu=relu, max_pool2d=max_pool2d)
    parameters, x = _given(network, filling)
    leaves = {name: torch.tensor(array) for name, array in parameters.items()}
    network.pytorch(watched, torch.tensor(x), leaves)
    return min(nearest)


def _given(network: Network, filling: str) -> tuple[dict[str, ndarray], ndarray]:
    """Parameters and x."""
    shapes = network.parameters.items()
    parameters = {name: _drawn(network, filling, name, shape) for name, shape in shapes}
    return parameters, _drawn(network, filling, "x", network.input)


def _drawn(network: Network, filling: str, name: str, shape: Shape) -> ndarray:
    """One array, the same in every process."""
    label = f"{network.name} {name}"
    return inputs.arrays(filling, (shape,), "float64", label, inputs.NARROW)[0]


def _gradient(name: str) -> str:
    """conv1.filters -> conv1.grad_filters."""
    owner, dot, last = name.rpartition(".")
    return f"{owner}{dot}grad_{last}"


def _told(backend: Backend, network: Network, message: str, filling: str) -> str:
    size = "x".join(map(str, network.input))
    return f"{backend.name}: {message} [{network.name} i{size}] (float64, {filling} data)"


def networks_up_to(level: str, oracle: str = "torch") -> tuple[tuple[Network, str], ...]:
    """(network, data) of a level and those below it; the document has no gradients of networks."""
    if level == DOCUMENT or oracle == "none":
        return ()
    return tuple((network, filling) for network in NETWORKS for filling in FILLINGS)

"""A layer as one line of a network's table: name, input without its batch, what the layer adds.

    conv("res2.3x3", (64, 56, 56), 64, 3, padding=1, times=3)

Parameters are PyTorch's; the case leaves out those at their default. The builders leave `network`
open; network() fills it in.
"""

from collections.abc import Iterable
from dataclasses import replace

from bench.workloads.workload import Network, Workload
from impls.spec.case import case
from impls.spec.ops import OPS
from impls.spec.params import Pair
from impls.spec.plan import Params, Shape


def conv(
    layer: str,
    input: Shape,
    out_channels: int,
    kernel_size: int | Pair,
    *,
    groups: int = 1,
    bias: bool = False,
    times: int = 1,
    **params: int | Pair,
) -> Workload:
    """A convolution over (C, H, W)."""
    kernel = (kernel_size, kernel_size) if isinstance(kernel_size, int) else kernel_size
    weight = (out_channels, input[0] // groups, *kernel)
    shapes = _operands(input, weight, out_channels if bias else None)
    return _row("conv2d", layer, shapes, {**params, "groups": groups}, times=times)


def depthwise(
    layer: str,
    input: Shape,
    kernel_size: int,
    *,
    bias: bool = False,
    times: int = 1,
    **params: int,
) -> Workload:
    """A convolution of every channel of (C, H, W) with a kernel of its own."""
    channels = input[0]
    return conv(
        layer, input, channels, kernel_size, bias=bias, times=times, groups=channels, **params
    )


def conv_transpose(
    layer: str,
    input: Shape,
    out_channels: int,
    kernel_size: int,
    *,
    bias: bool = False,
    times: int = 1,
    **params: int,
) -> Workload:
    """A transposed convolution with a square kernel over (C, H, W)."""
    weight = (input[0], out_channels // params.get("groups", 1), kernel_size, kernel_size)
    shapes = _operands(input, weight, out_channels if bias else None)
    return _row("conv_transpose2d", layer, shapes, params, times=times)


def max_pool(
    layer: str, input: Shape, kernel_size: int, *, times: int = 1, **params: int
) -> Workload:
    """A max pool with a square window over (C, H, W)."""
    params = {"kernel_size": kernel_size, **params}
    return _row("max_pool2d", layer, _operands(input), params, times=times)


def avg_pool(
    layer: str, input: Shape, kernel_size: int, *, times: int = 1, **params: int
) -> Workload:
    """An average pool with a square window over (C, H, W)."""
    params = {"kernel_size": kernel_size, **params}
    return _row("avg_pool2d", layer, _operands(input), params, times=times)


def global_avg_pool(layer: str, input: Shape) -> Workload:
    """The mean of every plane of (C, H, W)."""
    return _row("global_avg_pool2d", layer, _operands(input), {})


def relu(layer: str, input: Shape) -> Workload:
    """A relu over (C, H, W)."""
    return _row("relu", layer, _operands(input), {})


def linear(
    layer: str, in_features: int, out_features: int, *, rows: Shape = (), times: int = 1
) -> Workload:
    """A fully connected layer with bias. rows: axes of one image before its features."""
    shapes = _operands((*rows, in_features), (out_features, in_features), out_features)
    return _row("linear", layer, shapes, {}, times=times, plane=())


def patches(layer: str, image: Shape, patch_size: int) -> Workload:
    """An image (H, W, C) as rows of patches."""
    return _row("image_to_patches", layer, (image,), {"patch_size": patch_size}, plane=(0, 1))


def network(name: str, source: str, *layers: Workload) -> Network:
    """The network these layers make; equal calls become one row with all their times."""
    rows = tuple(
        replace(row, network=name, case=replace(row.case, why=f"{row.case.why} of {source}"))
        for row in _merged(layers)
    )
    return Network(name, source, rows)


def _merged(layers: Iterable[Workload]) -> Iterable[Workload]:
    """One row per call, named after the first layer that makes it; its `why` lists them all."""
    rows: dict[tuple[str, str], Workload] = {}
    for layer in layers:
        key = layer.op, layer.case.id
        if key in rows:
            row = rows[key]
            why = f"{row.case.why}, {layer.case.why}"
            layer = replace(row, times=row.times + layer.times, case=replace(row.case, why=why))
        rows[key] = layer
    return rows.values()


def _operands(
    input: Shape, weight: Shape | None = None, bias: int | None = None
) -> tuple[Shape, ...]:
    operands: list[Shape] = [(1, *input)]
    if weight is not None:
        operands.append(weight)
    if bias is not None:
        operands.append((bias,))
    return tuple(operands)


def _row(
    op: str,
    layer: str,
    shapes: tuple[Shape, ...],
    params: Params,
    *,
    times: int = 1,
    plane: tuple[int, ...] = (2, 3),
) -> Workload:
    defaults = OPS[op].signature.parameters
    given = {name: value for name, value in params.items() if value != defaults[name].default}
    call = case(layer, *shapes, **given)
    return Workload(network="", layer=layer, op=op, case=call, times=times, plane=plane)

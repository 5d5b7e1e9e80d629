"""MobileNetV2 (Sandler et al. 2018), width 1.0, as torchvision defines it.

Blocks are numbered as torchvision's `features`. Published by torchvision: 0.301 GMAC, 3,504,872
parameters with those of batch norm.
"""

from bench.workloads.layers import conv, depthwise, global_avg_pool, linear, network
from bench.workloads.workload import Workload
from impls.spec.plan import Shape


def _block(name: str, input: Shape, hidden: int, out_channels: int, *, stride: int = 1,
           times: int = 1) -> tuple[Workload, ...]:  # fmt: skip
    """An inverted residual: widened to `hidden` channels, filtered one by one, narrowed again."""
    wide = (hidden, *input[1:])
    narrow = (hidden, *(size // stride for size in input[1:]))
    filtered = (
        depthwise(f"{name}.depthwise", wide, 3, stride=stride, padding=1, times=times),
        conv(f"{name}.project", narrow, out_channels, 1, times=times),
    )
    # The first block has nothing to widen.
    if hidden == input[0]:
        return filtered
    return conv(f"{name}.expand", input, hidden, 1, times=times), *filtered


# Activations are ReLU6: no relu row.
NETWORK = network(
    "mobilenetv2",
    "torchvision's MobileNetV2, one 224 x 224 image",
    conv("conv1",      (3, 224, 224), 32, 3, stride=2, padding=1),
    *_block("block1",  (32, 112, 112), 32, 16),
    *_block("block2",  (16, 112, 112), 96, 24, stride=2),
    *_block("block3",  (24, 56, 56), 144, 24),
    *_block("block4",  (24, 56, 56), 144, 32, stride=2),
    *_block("block5",  (32, 28, 28), 192, 32, times=2),
    *_block("block7",  (32, 28, 28), 192, 64, stride=2),
    *_block("block8",  (64, 14, 14), 384, 64, times=3),
    *_block("block11", (64, 14, 14), 384, 96),
    *_block("block12", (96, 14, 14), 576, 96, times=2),
    *_block("block14", (96, 14, 14), 576, 160, stride=2),
    *_block("block15", (160, 7, 7), 960, 160, times=2),
    *_block("block17", (160, 7, 7), 960, 320),
    conv("conv18",     (320, 7, 7), 1280, 1),
    global_avg_pool("avgpool", (1280, 7, 7)),
    linear("fc", 1280, 1000),
)  # fmt: skip

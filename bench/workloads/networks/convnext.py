"""ConvNeXt-T (Liu et al. 2022) as torchvision defines it: its 1 x 1 convolutions are linear layers.

Published by torchvision: 4.456 GMAC, 28,589,128 parameters with those of layer norm and layer
scale.
"""

from bench.workloads.layers import conv, depthwise, global_avg_pool, linear, network
from bench.workloads.workload import Workload
from impls.spec.plan import Shape


def _stage(name: str, input: Shape, times: int) -> tuple[Workload, ...]:
    """Equal blocks over (C, H, W): depthwise 7 x 7, then two linear layers on (H, W, C)."""
    channels, *plane = input
    rows = tuple(plane)
    return (
        depthwise(f"{name}.depthwise", input, 7, padding=3, bias=True, times=times),
        linear(f"{name}.expand", channels, 4 * channels, rows=rows, times=times),
        linear(f"{name}.project", 4 * channels, channels, rows=rows, times=times),
    )


# Activations are GELU: no relu row.
NETWORK = network(
    "convnext",
    "torchvision's ConvNeXt-T, one 224 x 224 image",
    conv("stem",      (3, 224, 224), 96, 4, stride=4, bias=True),
    *_stage("stage1", (96, 56, 56), times=3),
    conv("down1",     (96, 56, 56), 192, 2, stride=2, bias=True),
    *_stage("stage2", (192, 28, 28), times=3),
    conv("down2",     (192, 28, 28), 384, 2, stride=2, bias=True),
    *_stage("stage3", (384, 14, 14), times=9),
    conv("down3",     (384, 14, 14), 768, 2, stride=2, bias=True),
    *_stage("stage4", (768, 7, 7), times=3),
    global_avg_pool("avgpool", (768, 7, 7)),
    linear("fc", 768, 1000),
)  # fmt: skip

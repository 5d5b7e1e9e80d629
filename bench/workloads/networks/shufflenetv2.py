"""ShuffleNetV2 (Ma et al. 2018), width 1.0, as torchvision defines it.

Here for its numbers of channels, of which most are no multiple of a vector. Published by
torchvision: 0.145 GMAC, 2,278,604 parameters with those of batch norm.
"""

from bench.workloads.layers import conv, depthwise, global_avg_pool, linear, max_pool, network
from bench.workloads.workload import Workload


def _stage(name: str, size: int, in_channels: int, channels: int,
           blocks: int) -> tuple[Workload, ...]:  # fmt: skip
    """A block that halves planes of size x size, then blocks that work on half of the channels.

    channels: of each of the two branches of the first block, of which later blocks keep one.
    """
    wide, narrow = (in_channels, size, size), (channels, size // 2, size // 2)
    return (
        depthwise(f"{name}.branch1.depthwise", wide, 3, stride=2, padding=1),
        conv(f"{name}.branch1.project", (in_channels, *narrow[1:]), channels, 1),
        conv(f"{name}.branch2.enter", wide, channels, 1),
        depthwise(f"{name}.branch2.depthwise", (channels, size, size), 3, stride=2, padding=1),
        conv(f"{name}.1x1", narrow, channels, 1, times=2 * blocks - 1),
        depthwise(f"{name}.depthwise", narrow, 3, padding=1, times=blocks - 1),
    )


NETWORK = network(
    "shufflenetv2",
    "torchvision's ShuffleNetV2, one 224 x 224 image",
    conv("conv1", (3, 224, 224), 24, 3, stride=2, padding=1),
    max_pool("maxpool", (24, 112, 112), 3, stride=2, padding=1),
    *_stage("stage2", 56, 24, 58, 4),
    *_stage("stage3", 28, 116, 116, 8),
    *_stage("stage4", 14, 232, 232, 4),
    conv("conv5", (464, 7, 7), 1024, 1),
    global_avg_pool("avgpool", (1024, 7, 7)),
    linear("fc", 1024, 1000),
)

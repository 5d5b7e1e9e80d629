"""DeepLabv3 (Chen et al. 2017) on ResNet-50 as torchvision defines it, its dilated layers.

Here for their dilation, up to 36 in planes of 28 x 28: most of their taps lie in the padding.
"""

from bench.workloads.layers import conv, network

NETWORK = network(
    "deeplabv3",
    "torchvision's DeepLabv3 on ResNet-50, its dilated layers, one 224 x 224 image",
    conv("res4.3x3",       (256, 28, 28), 256, 3, padding=2, dilation=2, times=5),
    conv("res5.enter.3x3", (512, 28, 28), 512, 3, padding=2, dilation=2),
    conv("res5.3x3",       (512, 28, 28), 512, 3, padding=4, dilation=4, times=2),
    conv("aspp1",          (2048, 28, 28), 256, 3, padding=12, dilation=12),
    conv("aspp2",          (2048, 28, 28), 256, 3, padding=24, dilation=24),
    conv("aspp3",          (2048, 28, 28), 256, 3, padding=36, dilation=36),
)  # fmt: skip

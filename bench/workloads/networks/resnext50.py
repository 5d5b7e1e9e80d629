"""ResNeXt-50 32x4d (Xie et al. 2017) as torchvision defines it, its layers of 32 groups."""

from bench.workloads.layers import conv, network

NETWORK = network(
    "resnext50",
    "torchvision's ResNeXt-50 32x4d, its grouped layers, one 224 x 224 image",
    conv("res2.3x3",   (128, 56, 56), 128, 3, padding=1, groups=32, times=3),
    conv("res3.3x3s2", (256, 56, 56), 256, 3, stride=2, padding=1, groups=32),
    conv("res3.3x3",   (256, 28, 28), 256, 3, padding=1, groups=32, times=3),
    conv("res4.3x3s2", (512, 28, 28), 512, 3, stride=2, padding=1, groups=32),
    conv("res4.3x3",   (512, 14, 14), 512, 3, padding=1, groups=32, times=5),
    conv("res5.3x3s2", (1024, 14, 14), 1024, 3, stride=2, padding=1, groups=32),
    conv("res5.3x3",   (1024, 7, 7), 1024, 3, padding=1, groups=32, times=2),
)  # fmt: skip

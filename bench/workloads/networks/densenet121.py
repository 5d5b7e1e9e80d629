"""The transitions of DenseNet-121 (Huang et al. 2016) as torchvision defines them, not its blocks.

Here for their average pools: 2 x 2 windows side by side.
"""

from bench.workloads.layers import avg_pool, conv, network

NETWORK = network(
    "densenet121",
    "torchvision's DenseNet-121, its transitions, one 224 x 224 image",
    conv("transition1.conv",        (256, 56, 56), 128, 1),
    avg_pool("transition1.avgpool", (128, 56, 56), 2, stride=2),
    conv("transition2.conv",        (512, 28, 28), 256, 1),
    avg_pool("transition2.avgpool", (256, 28, 28), 2, stride=2),
    conv("transition3.conv",        (1024, 14, 14), 512, 1),
    avg_pool("transition3.avgpool", (512, 14, 14), 2, stride=2),
)  # fmt: skip

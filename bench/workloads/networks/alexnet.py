"""AlexNet (Krizhevsky 2014, "One weird trick") as torchvision defines it.

Published by torchvision: 0.714 GMAC, 61,100,840 parameters.
"""

from bench.workloads.layers import conv, linear, max_pool, network, relu

# AdaptiveAvgPool2d(6) before fc6 receives 6 x 6 planes at this input size: the identity, no row.
NETWORK = network(
    "alexnet",
    "torchvision's AlexNet, one 224 x 224 image",
    conv("conv1",        (3, 224, 224), 64, 11, stride=4, padding=2, bias=True),
    relu("relu1",        (64, 55, 55)),
    max_pool("maxpool1", (64, 55, 55), 3, stride=2),
    conv("conv2",        (64, 27, 27), 192, 5, padding=2, bias=True),
    max_pool("maxpool2", (192, 27, 27), 3, stride=2),
    conv("conv3",        (192, 13, 13), 384, 3, padding=1, bias=True),
    conv("conv4",        (384, 13, 13), 256, 3, padding=1, bias=True),
    conv("conv5",        (256, 13, 13), 256, 3, padding=1, bias=True),
    max_pool("maxpool5", (256, 13, 13), 3, stride=2),
    linear("fc6", 9216, 4096),
    linear("fc7", 4096, 4096),
    linear("fc8", 4096, 1000),
)  # fmt: skip

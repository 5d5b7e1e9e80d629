"""VGG-16 (Simonyan and Zisserman 2014, configuration D) as torchvision defines it.

Published by torchvision: 15.47 GMAC, 138,357,544 parameters.
"""

from bench.workloads.layers import conv, linear, max_pool, network, relu

# AdaptiveAvgPool2d(7) before fc6 receives 7 x 7 planes at this input size: the identity, no row.
NETWORK = network(
    "vgg16",
    "torchvision's VGG-16, one 224 x 224 image",
    conv("conv1_1",      (3, 224, 224), 64, 3, padding=1, bias=True),
    relu("relu1_1",      (64, 224, 224)),
    conv("conv1_2",      (64, 224, 224), 64, 3, padding=1, bias=True),
    max_pool("maxpool1", (64, 224, 224), 2, stride=2),
    conv("conv2_1",      (64, 112, 112), 128, 3, padding=1, bias=True),
    conv("conv2_2",      (128, 112, 112), 128, 3, padding=1, bias=True),
    max_pool("maxpool2", (128, 112, 112), 2, stride=2),
    conv("conv3_1",      (128, 56, 56), 256, 3, padding=1, bias=True),
    conv("conv3_2",      (256, 56, 56), 256, 3, padding=1, bias=True, times=2),
    max_pool("maxpool3", (256, 56, 56), 2, stride=2),
    conv("conv4_1",      (256, 28, 28), 512, 3, padding=1, bias=True),
    conv("conv4_2",      (512, 28, 28), 512, 3, padding=1, bias=True, times=2),
    max_pool("maxpool4", (512, 28, 28), 2, stride=2),
    conv("conv5_1",      (512, 14, 14), 512, 3, padding=1, bias=True, times=3),
    max_pool("maxpool5", (512, 14, 14), 2, stride=2),
    linear("fc6", 25088, 4096),
    linear("fc7", 4096, 4096),
    linear("fc8", 4096, 1000),
)  # fmt: skip

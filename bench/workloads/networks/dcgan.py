"""DCGAN's generator (Radford et al. 2015) as PyTorch's DCGAN tutorial defines it.

100 random numbers become a 64 x 64 image. Printed by the tutorial's code: 3,576,704 parameters
with those of batch norm, which follows every layer but the last.
"""

from bench.workloads.layers import conv_transpose, network, relu

NETWORK = network(
    "dcgan",
    "the PyTorch tutorial's DCGAN generator, one 64 x 64 image",
    conv_transpose("conv1", (100, 1, 1), 512, 4),
    conv_transpose("conv2", (512, 4, 4), 256, 4, stride=2, padding=1),
    conv_transpose("conv3", (256, 8, 8), 128, 4, stride=2, padding=1),
    conv_transpose("conv4", (128, 16, 16), 64, 4, stride=2, padding=1),
    relu("relu4",           (64, 32, 32)),
    conv_transpose("conv5", (64, 32, 32), 3, 4, stride=2, padding=1),
)  # fmt: skip

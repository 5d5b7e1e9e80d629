"""LeNet-5 (LeCun et al. 1998), with every map of its second convolution joined to all of the first.

Here for its single input channel and its odd numbers of channels. Its pools and activations have
no row.
"""

from bench.workloads.layers import conv, linear, network

NETWORK = network(
    "lenet5",
    "LeNet-5, one 32 x 32 image",
    conv("conv1", (1, 32, 32), 6, 5, bias=True),
    conv("conv2", (6, 14, 14), 16, 5, bias=True),
    conv("conv3", (16, 5, 5), 120, 5, bias=True),
    linear("fc1", 120, 84),
    linear("fc2", 84, 10),
)

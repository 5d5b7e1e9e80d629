"""SimpleCNN, the document's own network, on one 32 x 32 image with 3 channels.

Its fc weight is (in, out) there and (out, in) here, as PyTorch's linear takes it.
"""

from bench.workloads.layers import conv, global_avg_pool, linear, max_pool, network, relu

NETWORK = network(
    "simplecnn",
    "the document's SimpleCNN, one 32 x 32 image",
    conv("conv1",        (3, 32, 32), 32, 3, padding=1, bias=True),
    relu("relu1",        (32, 32, 32)),
    max_pool("maxpool1", (32, 32, 32), 2, stride=2),
    conv("conv2",        (32, 16, 16), 64, 3, padding=1, bias=True),
    max_pool("maxpool2", (64, 16, 16), 2, stride=2),
    conv("conv3",        (64, 8, 8), 128, 3, padding=1, bias=True),
    max_pool("maxpool3", (128, 8, 8), 2, stride=2),
    global_avg_pool("avgpool", (128, 4, 4)),
    linear("fc", 128, 10),
)  # fmt: skip

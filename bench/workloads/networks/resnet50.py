"""ResNet-50 (He et al. 2015) as torchvision defines it: v1.5, a stage's stride in its first 3 x 3.

Published by torchvision: 4.089 GMAC, 25,557,032 parameters with those of batch norm.
"""

from bench.workloads.layers import conv, global_avg_pool, linear, max_pool, network, relu

# A stage's first block: enter (1 x 1), 3x3s2, expand, and down on the shortcut; the others: reduce
# (1 x 1), 3x3, expand. res2 has stride 1: its 3 x 3 are all equal, its shortcut equals expand.
NETWORK = network(
    "resnet50",
    "torchvision's ResNet-50 v1.5, one 224 x 224 image",
    conv("conv1",       (3, 224, 224), 64, 7, stride=2, padding=3),
    relu("relu1",       (64, 112, 112)),
    max_pool("maxpool", (64, 112, 112), 3, stride=2, padding=1),
    conv("res2.enter",  (64, 56, 56), 64, 1),
    conv("res2.reduce", (256, 56, 56), 64, 1, times=2),
    conv("res2.3x3",    (64, 56, 56), 64, 3, padding=1, times=3),
    conv("res2.expand", (64, 56, 56), 256, 1, times=4),
    conv("res3.enter",  (256, 56, 56), 128, 1),
    conv("res3.3x3s2",  (128, 56, 56), 128, 3, stride=2, padding=1),
    conv("res3.down",   (256, 56, 56), 512, 1, stride=2),
    conv("res3.reduce", (512, 28, 28), 128, 1, times=3),
    conv("res3.3x3",    (128, 28, 28), 128, 3, padding=1, times=3),
    conv("res3.expand", (128, 28, 28), 512, 1, times=4),
    conv("res4.enter",  (512, 28, 28), 256, 1),
    conv("res4.3x3s2",  (256, 28, 28), 256, 3, stride=2, padding=1),
    conv("res4.down",   (512, 28, 28), 1024, 1, stride=2),
    conv("res4.reduce", (1024, 14, 14), 256, 1, times=5),
    conv("res4.3x3",    (256, 14, 14), 256, 3, padding=1, times=5),
    conv("res4.expand", (256, 14, 14), 1024, 1, times=6),
    conv("res5.enter",  (1024, 14, 14), 512, 1),
    conv("res5.3x3s2",  (512, 14, 14), 512, 3, stride=2, padding=1),
    conv("res5.down",   (1024, 14, 14), 2048, 1, stride=2),
    conv("res5.reduce", (2048, 7, 7), 512, 1, times=2),
    conv("res5.3x3",    (512, 7, 7), 512, 3, padding=1, times=2),
    conv("res5.expand", (512, 7, 7), 2048, 1, times=3),
    global_avg_pool("avgpool", (2048, 7, 7)),
    linear("fc", 2048, 1000),
)  # fmt: skip

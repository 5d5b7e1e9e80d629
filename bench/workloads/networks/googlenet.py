"""GoogLeNet (Szegedy et al. 2014) as torchvision defines it, without the auxiliary heads.

Its "5x5" branch convolves 3 x 3 (a known difference from the paper, pytorch/vision#906); its max
pools have ceil_mode. Published by torchvision: 1.498 GMAC, 6,624,904 parameters with those of
batch norm.
"""

from bench.workloads.layers import conv, global_avg_pool, linear, max_pool, network, relu
from bench.workloads.workload import Workload
from impls.spec.plan import Shape


def _inception(name: str, input: Shape, ch1x1: int, ch3x3reduce: int, ch3x3: int,
               ch5x5reduce: int, ch5x5: int, project: int) -> tuple[Workload, ...]:  # fmt: skip
    """The four branches of an inception module, by output channels, as in the paper's table 1."""
    plane = input[1:]
    return (
        conv(f"{name}.1x1",         input, ch1x1, 1),
        conv(f"{name}.3x3reduce",   input, ch3x3reduce, 1),
        conv(f"{name}.3x3",         (ch3x3reduce, *plane), ch3x3, 3, padding=1),
        conv(f"{name}.5x5reduce",   input, ch5x5reduce, 1),
        conv(f"{name}.5x5",         (ch5x5reduce, *plane), ch5x5, 3, padding=1),
        max_pool(f"{name}.maxpool", input, 3, stride=1, padding=1, ceil_mode=True),
        conv(f"{name}.project",     input, project, 1),
    )  # fmt: skip


NETWORK = network(
    "googlenet",
    "torchvision's GoogLeNet, one 224 x 224 image",
    conv("conv1",        (3, 224, 224), 64, 7, stride=2, padding=3),
    relu("relu1",        (64, 112, 112)),
    max_pool("maxpool1", (64, 112, 112), 3, stride=2, ceil_mode=True),
    conv("conv2",        (64, 56, 56), 64, 1),
    conv("conv3",        (64, 56, 56), 192, 3, padding=1),
    max_pool("maxpool2", (192, 56, 56), 3, stride=2, ceil_mode=True),
    *_inception("3a",    (192, 28, 28), 64, 96, 128, 16, 32, 32),
    *_inception("3b",    (256, 28, 28), 128, 128, 192, 32, 96, 64),
    max_pool("maxpool3", (480, 28, 28), 3, stride=2, ceil_mode=True),
    *_inception("4a",    (480, 14, 14), 192, 96, 208, 16, 48, 64),
    *_inception("4b",    (512, 14, 14), 160, 112, 224, 24, 64, 64),
    *_inception("4c",    (512, 14, 14), 128, 128, 256, 24, 64, 64),
    *_inception("4d",    (512, 14, 14), 112, 144, 288, 32, 64, 64),
    *_inception("4e",    (528, 14, 14), 256, 160, 320, 32, 128, 128),
    max_pool("maxpool4", (832, 14, 14), 2, stride=2, ceil_mode=True),
    *_inception("5a",    (832, 7, 7), 256, 160, 320, 32, 128, 128),
    *_inception("5b",    (832, 7, 7), 384, 192, 384, 48, 128, 128),
    global_avg_pool("avgpool", (1024, 7, 7)),
    linear("fc", 1024, 1000),
)  # fmt: skip

"""Inception-v3 (Szegedy et al. 2015) as torchvision defines it: average pools and long kernels.

Here for what no other network has: windows of 3 x 3, overlapping, with padding that counts, and
kernels of one line or one column.
"""

from bench.workloads.layers import avg_pool, conv, network
from bench.workloads.workload import Workload


def _pair(name: str, channels: int, out_channels: int, *, length: int, size: int,
          times: int) -> tuple[Workload, ...]:  # fmt: skip
    """A kernel of one line and one of one column, over planes of size x size."""
    input, half = (channels, size, size), length // 2
    line, column = (1, length), (length, 1)
    return (
        conv(f"{name}.1x{length}", input, out_channels, line, padding=(0, half), times=times),
        conv(f"{name}.{length}x1", input, out_channels, column, padding=(half, 0), times=times),
    )


NETWORK = network(
    "inceptionv3",
    "torchvision's Inception-v3, its average pools and long kernels, one 299 x 299 image",
    avg_pool("5b.avgpool", (192, 35, 35), 3, stride=1, padding=1),
    avg_pool("5c.avgpool", (256, 35, 35), 3, stride=1, padding=1),
    avg_pool("5d.avgpool", (288, 35, 35), 3, stride=1, padding=1),
    avg_pool("6b.avgpool", (768, 17, 17), 3, stride=1, padding=1, times=4),
    avg_pool("7b.avgpool", (1280, 8, 8), 3, stride=1, padding=1),
    avg_pool("7c.avgpool", (2048, 8, 8), 3, stride=1, padding=1),
    *_pair("6b", 128, 128, length=7, size=17, times=2),
    *_pair("6b.last", 128, 192, length=7, size=17, times=1),
    *_pair("6c", 160, 160, length=7, size=17, times=4),
    *_pair("6c.last", 160, 192, length=7, size=17, times=2),
    *_pair("6e", 192, 192, length=7, size=17, times=4),
    *_pair("7b", 384, 384, length=3, size=8, times=4),
)

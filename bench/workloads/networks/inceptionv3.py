"""The average pools of Inception-v3 (Szegedy et al. 2015) as torchvision defines it, nothing else.

Here for their windows: 3 x 3, overlapping, with padding that counts.
"""

from bench.workloads.layers import avg_pool, network

NETWORK = network(
    "inceptionv3",
    "torchvision's Inception-v3, its average pools, one 299 x 299 image",
    avg_pool("5b.avgpool", (192, 35, 35), 3, stride=1, padding=1),
    avg_pool("5c.avgpool", (256, 35, 35), 3, stride=1, padding=1),
    avg_pool("5d.avgpool", (288, 35, 35), 3, stride=1, padding=1),
    avg_pool("6b.avgpool", (768, 17, 17), 3, stride=1, padding=1, times=4),
    avg_pool("7b.avgpool", (1280, 8, 8), 3, stride=1, padding=1),
    avg_pool("7c.avgpool", (2048, 8, 8), 3, stride=1, padding=1),
)

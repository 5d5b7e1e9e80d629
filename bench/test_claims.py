"""The document's four architectures: as deep, and as large, as their papers say."""

from math import prod

import pytest

from bench.workloads import NETWORKS
from bench.workloads.workload import Workload

# Layers with weights on the longest path; torchvision's parameters, those of batch norm included.
PUBLISHED = {
    "alexnet": (8, 61_100_840),
    "vgg16": (16, 138_357_544),
    "googlenet": (22, 6_624_904),
    "resnet50": (50, 25_557_032),
}
# Layers with weights that lie beside the longest path: a module of GoogLeNet has six, two of them
# in a row; the first block of each of ResNet's stages has one on its shortcut.
BESIDE = {"alexnet": 0, "vgg16": 0, "googlenet": 9 * 4, "resnet50": 4}

every_architecture = pytest.mark.parametrize("name", PUBLISHED)


def weighted(name: str) -> list[Workload]:
    """Its layers that have weights, equal ones as often as it has them."""
    workloads = NETWORKS[name].workloads
    return [w for w in workloads if "weight" in w.plan.inputs for _ in range(w.times)]


@every_architecture
def test_depth_is_the_papers(name: str) -> None:
    assert len(weighted(name)) - BESIDE[name] == PUBLISHED[name][0]


@every_architecture
def test_parameters_are_torchvisions(name: str) -> None:
    count = 0
    for workload in weighted(name):
        _, weight, *bias = workload.case.shapes
        # Without a bias there is batch norm: scale and shift per channel.
        count += prod(weight) + (prod(bias[0]) if bias else 2 * weight[0])
    assert count == PUBLISHED[name][1]


def test_depth_and_size_part_ways() -> None:
    """GoogLeNet is deeper than VGG-16 with a twentieth of its parameters."""
    deep, large = PUBLISHED["googlenet"], PUBLISHED["vgg16"]
    assert deep[0] > large[0]
    assert 20 * deep[1] < large[1]


def test_small_filters_are_what_vgg_is_made_of() -> None:
    sizes = {w.case.shapes[1][2:] for w in weighted("vgg16") if w.op == "conv2d"}
    assert sizes == {(3, 3)}

"""The tables add up to what is published, and every name leads back to its workload."""

from itertools import pairwise
from math import prod

import pytest

from bench.workloads import NETWORKS, WORKLOADS, by_name, find, macs_of
from bench.workloads.layers import conv, conv_transpose, linear, network, patches
from bench.workloads.presets import PRESETS, THREADS, Preset
from bench.workloads.workload import Workload, batched, shrunk
from impls.spec.ops import OPS
from impls.spec.plan import Shape

# As torchvision lists them for one 224 x 224 image (`_ops`, `num_params`); LeNet-5's add up to
# what is known of it with all maps joined.
PUBLISHED_GMACS = {
    "alexnet": 0.714,
    "convnext": 4.456,
    "googlenet": 1.498,
    "mobilenetv2": 0.301,
    "resnet50": 4.089,
    "shufflenetv2": 0.145,
    "vgg16": 15.47,
}
PUBLISHED_PARAMETERS = {
    "alexnet": 61_100_840,
    "convnext": 28_589_128,
    "dcgan": 3_576_704,
    "googlenet": 6_624_904,
    "lenet5": 61_706,
    "mobilenetv2": 3_504_872,
    "resnet50": 25_557_032,
    "shufflenetv2": 2_278_604,
    "vgg16": 138_357_544,
}

# Networks whose every layer reads what the layer before it wrote.
CHAINS = ("alexnet", "dcgan", "simplecnn", "unet", "vgg16")

TWINS = [(1, 1), (8, 1), (1, 4), (8, 4), (2, 3)]

every_workload = pytest.mark.parametrize("name", WORKLOADS)
every_preset = pytest.mark.parametrize("preset", list(PRESETS.values()), ids=list(PRESETS))


@pytest.mark.parametrize("name", PUBLISHED_GMACS)
def test_macs_are_the_published_ones(name: str) -> None:
    assert round(macs_of(name) / 1e9, 3) == PUBLISHED_GMACS[name]


@pytest.mark.parametrize("name", PUBLISHED_PARAMETERS)
def test_parameters_are_the_published_ones(name: str) -> None:
    workloads = NETWORKS[name].workloads
    layers = sum(workload.times * sum(map(prod, weights(workload))) for workload in workloads)
    assert layers + normalization(name) == PUBLISHED_PARAMETERS[name]


def weights(workload: Workload) -> tuple[Shape, ...]:
    return workload.case.shapes[1:]


def normalization(name: str) -> int:
    """Parameters of the layers that have no row: scale and shift, two per channel."""
    workloads = NETWORKS[name].workloads
    if name == "convnext":
        # Layer norms before down1 to down3 and the classifier, and after the stem; each block has
        # one and a layer scale.
        blocks = {w.case.shapes[0][1]: w.times for w in workloads if "depthwise" in w.layer}
        assert blocks == {96: 3, 192: 3, 384: 9, 768: 3}
        return 2 * (96 + sum(blocks)) + 3 * sum(times * dim for dim, times in blocks.items())
    # Batch norm follows every convolution without bias, but DCGAN's last.
    normalized = [w for w in workloads if len(weights(w)) == 1 and w.name != "dcgan:conv5"]
    return 2 * sum(w.times * w.plan.output[1] for w in normalized)


@pytest.mark.parametrize("name", CHAINS)
def test_every_layer_reads_what_the_one_before_it_wrote(name: str) -> None:
    layers = [w for w in NETWORKS[name].workloads for _ in range(w.times)]
    for before, layer in pairwise(layers):
        written = before.plan.output
        if name == "unet" and before.op == "conv_transpose2d":
            n, channels, *plane = written
            written = (n, 2 * channels, *plane)  # the encoder's half is appended
        read = layer.plan.shape("input")
        if layer.op == "linear":
            assert prod(read) == prod(written), layer.name
        else:
            assert read == written, layer.name


@pytest.mark.parametrize("name", ["convnext", "googlenet", "mobilenetv2", "resnet50"])
def test_every_branch_reads_a_plane_that_is_there(name: str) -> None:
    layers = [w.plan for w in NETWORKS[name].workloads if w.plane]
    for before, layer in pairwise(layers):
        known = {before.shape("input")[2:], before.output[2:]}
        assert layer.shape("input")[2:] in known, layer


def test_the_u_net_decoder_ends_as_in_the_figure() -> None:
    assert NETWORKS["unet"].workloads[-1].plan.output == (1, 2, 388, 388)


def test_the_two_forms_of_vits_patch_embedding_are_one_computation() -> None:
    embedding, cut, product = NETWORKS["vit"].workloads
    assert embedding.macs == product.macs
    assert cut.plan.output == product.plan.shape("input")
    _, channels, rows, columns = embedding.plan.output
    assert (rows * columns, channels) == product.plan.output


@pytest.mark.parametrize("name", NETWORKS)
def test_equal_calls_are_one_row(name: str) -> None:
    calls = [(w.op, w.plan) for w in NETWORKS[name].workloads]
    assert [call for call in calls if calls.count(call) > 1] == []


def test_equal_layers_merge_under_the_first_name() -> None:
    tower = network(
        "tower",
        "a test",
        conv("a", (4, 8, 8), 4, 3, padding=1, stride=1, times=2),
        conv("b", (4, 8, 8), 5, 3, padding=1),
        conv("c", (4, 8, 8), 4, 3, padding=1),
    )
    assert [workload.name for workload in tower.workloads] == ["tower:a*3", "tower:b"]
    assert tower.workloads[0].case.why == "a, c of a test"
    assert tower.workloads[0].case.params == {"padding": 1}


def test_a_repeated_name_is_refused() -> None:
    twice = network("twice", "a test", linear("fc", 3, 4), linear("fc", 4, 3))
    with pytest.raises(ValueError, match="twice:fc must name one workload"):
        by_name([twice])


def test_workloads_are_in_network_order_then_table_order() -> None:
    names = [workload.name for net in NETWORKS.values() for workload in net.workloads]
    assert list(WORKLOADS) == names


def test_names_that_the_design_uses_exist() -> None:
    for name in ("resnet50:res2.3x3*3", "resnet50:res2.expand*4", "googlenet:3a.1x1",
                 "vgg16:conv3_2*2", "resnet50:conv1", "resnet50:maxpool", "resnet50:avgpool",
                 "resnet50:fc"):  # fmt: skip
        assert WORKLOADS[name].name == name


@every_workload
@pytest.mark.parametrize(("batch", "factor"), TWINS)
def test_every_twin_is_a_right_call_and_found_by_its_name(
    name: str, batch: int, factor: int
) -> None:
    twin = shrunk(batched(WORKLOADS[name], batch), factor)
    assert min(twin.plan.output) >= 1
    assert find(twin.name) == twin


@every_workload
def test_the_table_holds_one_image(name: str) -> None:
    workload = WORKLOADS[name]
    has_batch = OPS[workload.op].batch_axes is not None
    assert batched(workload, 1) == workload
    assert not has_batch or workload.case.shapes[0][0] == 1
    assert workload.case.why


@every_workload
def test_a_batch_multiplies_the_work(name: str) -> None:
    workload, eight = WORKLOADS[name], batched(WORKLOADS[name], 8)
    if OPS[workload.op].batch_axes is None:
        assert eight == workload
    else:
        assert eight.macs == 8 * workload.macs
        assert eight.name == f"{name}/n8"
        assert weights(eight) == weights(workload)


@every_workload
def test_a_shrunk_twin_keeps_all_but_height_and_width(name: str) -> None:
    workload, twin = WORKLOADS[name], shrunk(WORKLOADS[name], 4)
    if twin.shrink == 1:
        assert twin == workload
        return
    assert twin.name == f"{name}@1/4"
    assert twin.macs < workload.macs
    assert (twin.op, twin.times, weights(twin)) == (workload.op, workload.times, weights(workload))
    assert twin.case.params == workload.case.params
    sizes = zip(workload.case.shapes[0], twin.case.shapes[0], strict=True)
    for axis, (size, smaller) in enumerate(sizes):
        if axis in workload.plane:
            assert size / 4 <= smaller < size
        else:
            assert smaller == size


def test_only_layers_without_a_plane_to_divide_stay_as_they_are() -> None:
    fixed = {w.name for w in WORKLOADS.values() if shrunk(w, 4) == w}
    products = {w.name for w in WORKLOADS.values() if w.op == "linear"}
    assert fixed == products | {"dcgan:conv1", "lenet5:conv3"}


def test_sizes_are_rounded_up_to_the_first_valid_call() -> None:
    plane = shrunk(find("resnet50:res5.3x3*2"), 4).case.shapes[0]
    assert plane == (1, 512, 2, 2)
    stem = shrunk(conv("stem", (3, 18, 30), 8, 7, stride=2, padding=1), 6)
    assert stem.case.shapes[0] == (1, 3, 5, 5)
    image = shrunk(patches("patches", (224, 160, 3), 16), 16)
    assert image.case.shapes[0] == (16, 16, 3)
    upsampled = shrunk(conv_transpose("up", (2, 9, 6), 3, 2, stride=2), 4)
    assert upsampled.case.shapes[0] == (1, 2, 3, 2)


def test_wrong_factors_are_refused() -> None:
    workload = find("resnet50:conv1")
    with pytest.raises(ValueError, match="n=0"):
        batched(workload, 0)
    with pytest.raises(ValueError, match="factor=0"):
        shrunk(workload, 0)
    with pytest.raises(ValueError, match="resnet50:conv1@1/4 must not be shrunk already"):
        shrunk(shrunk(workload, 4), 2)


@pytest.mark.parametrize(
    ("name", "close"),
    [
        ("resnet50:res2.3x3", "resnet50:res2.3x3*3"),
        ("resnet50:res2.3x3/n8@1/4", "resnet50:res2.3x3*3"),
        ("resnet50:conv1@1/4/n8", "resnet50:conv1"),
        ("resnet50:conv1/n0", "resnet50:conv1"),
        ("", "none"),
    ],
)
def test_an_unknown_name_is_refused_with_close_ones(name: str, close: str) -> None:
    with pytest.raises(ValueError, match="must be the name of a workload; close: ") as refused:
        find(name)
    assert close in str(refused.value).rpartition("close: ")[2].split(", ")


@pytest.mark.parametrize(
    ("name", "right"),
    [
        ("resnet50:fc@1/4", "resnet50:fc"),
        ("vit:patches/n8", "vit:patches"),
        ("resnet50:conv1/n1", "resnet50:conv1"),
        ("resnet50:conv1/n8@1/1", "resnet50:conv1/n8"),
    ],
)
def test_a_suffix_that_changes_nothing_is_refused(name: str, right: str) -> None:
    with pytest.raises(ValueError, match=f"must be written '{right}'"):
        find(name)


@every_preset
def test_a_preset_names_workloads_and_their_directions(preset: Preset) -> None:
    assert preset.rows
    for row in preset.rows:
        assert row.direction in find(row.workload).directions, row
    assert len(set(preset.rows)) == len(preset.rows)
    assert set(preset.threads) <= set(THREADS)


def test_dense_is_every_convolution_but_depthwise_ones() -> None:
    dense = {name for name, workload in WORKLOADS.items() if workload.is_dense}
    assert {w.op for w in map(find, dense)} == {"conv2d", "conv_transpose2d"}
    convolutions = {name for name, w in WORKLOADS.items() if w.op in ("conv2d", "conv_transpose2d")}
    assert {name for name in convolutions - dense if "depthwise" not in name} == set()
    assert {name for name in dense if "depthwise" in name} == set()
    thin, thick = (conv("grouped", (16, 9, 9), 4 * rows, 3, groups=4) for rows in (2, 3))
    assert (thin.is_dense, thick.is_dense) == (False, True)


@every_preset
def test_tasks_are_the_rows_at_every_batch(preset: Preset) -> None:
    assert len(set(preset.tasks)) == len(preset.tasks)
    assert {find(task.workload).batch for task in preset.tasks} == set(preset.batches)
    assert set(preset.rows) <= set(preset.tasks)


def test_presets_grow() -> None:
    smoke, quick, standard, full = PRESETS.values()
    assert len(smoke.rows) <= 10
    assert 12 <= len(quick.rows) <= 14
    assert 35 <= len(standard.rows) <= 50
    assert {(row.workload, row.direction) for row in standard.rows} < {
        (row.workload, row.direction) for row in full.rows
    }


def test_smoke_runs_every_op_on_small_calls() -> None:
    workloads = [find(row.workload) for row in PRESETS["smoke"].rows]
    assert {workload.op for workload in workloads} == set(OPS)
    # The loops do about 4 million macs per second (research/benchmark.md, 2.4).
    assert max(w.macs for w in workloads) <= 4_000_000 * PRESETS["smoke"].call_cap_s


def test_quick_avoids_long_calls() -> None:
    assert max(find(row.workload).macs for row in PRESETS["quick"].rows) <= 250_000_000


def test_full_is_everything_but_grad_bias() -> None:
    full = PRESETS["full"]
    rows = full.rows
    assert (full.batches, full.threads) == ((1, 8), ("one", "all"))
    assert {row.workload for row in rows} == set(WORKLOADS)
    assert {row.direction for row in rows} == {"forward", "grad_input", "grad_weight", "grad_image"}
    assert [row.direction for row in rows if row.workload == "resnet50:fc"] == [
        "forward",
        "grad_input",
        "grad_weight",
    ]

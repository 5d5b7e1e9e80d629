"""PRESETS: what a run times, and for how long. The protocol is DESIGN.md, section 5."""

from dataclasses import dataclass

from bench.workloads import WORKLOADS, find
from bench.workloads.workload import batched

ONE_THREAD, ALL_CORES = THREADS = ("one", "all")


@dataclass(frozen=True, slots=True)
class Task:
    """One direction of the workload of this name."""

    workload: str
    direction: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """What a run times.

    why: what it is for. rows: for one image each. batches: images per call.
    threads: of THREADS. processes: in how many every row is timed at least, and until its claim is
    sure at most. rounds: samples of every arm in each of them.
    budget_s: wall time for these rounds.
    call_cap_s: a backend whose call takes longer is skipped, with that reason.
    """

    name: str
    why: str
    rows: tuple[Task, ...]
    batches: tuple[int, ...] = (1,)
    threads: tuple[str, ...] = (ONE_THREAD,)
    processes: tuple[int, int]
    rounds: int
    budget_s: float
    call_cap_s: float

    @property
    def tasks(self) -> tuple[Task, ...]:
        """The rows at every batch, each once: an op that takes a single image has no batch of 8."""
        every = [
            Task(batched(find(row.workload), n).name, row.direction)
            for n in self.batches
            for row in self.rows
        ]
        return tuple(dict.fromkeys(every))


def _rows(*table: tuple[str, ...]) -> tuple[Task, ...]:
    return tuple(Task(name, direction) for name, *directions in table for direction in directions)


SMOKE = Preset(
    name="smoke",
    why="every op once, and every gradient of conv2d, small enough for the loops: does it run?",
    rows=_rows(
        ("simplecnn:conv1@1/4", "forward", "grad_input", "grad_weight"),
        ("dcgan:conv5@1/4", "forward"),
        ("resnet50:maxpool@1/4", "forward"),
        ("densenet121:transition3.avgpool@1/4", "forward"),
        ("resnet50:avgpool@1/4", "forward"),
        ("resnet50:relu1@1/4", "forward"),
        ("simplecnn:fc", "forward"),
        ("vit:patches@1/4", "forward"),
    ),
    # It shows that everything runs: starting more processes would take most of its time.
    processes=(1, 1),
    rounds=24,
    budget_s=0.5,
    call_cap_s=0.1,
)

QUICK = Preset(
    name="quick",
    why="one row for each way a backend can be slow, in some three minutes",
    rows=_rows(
        ("resnet50:conv1", "forward"),
        ("resnet50:res2.3x3*3", "forward", "grad_input", "grad_weight"),
        ("resnet50:res2.expand*4", "forward"),
        ("resnet50:res3.3x3s2", "forward"),
        ("resnet50:res5.3x3*2", "forward"),
        ("mobilenetv2:block8.depthwise*4", "forward"),
        ("dcgan:conv4", "forward"),
        ("resnet50:maxpool", "forward", "grad_input"),
        ("inceptionv3:6b.avgpool*4", "forward"),
        ("resnet50:avgpool", "forward"),
        ("resnet50:relu1", "forward"),
    ),
    processes=(3, 4),
    rounds=48,
    budget_s=0.6,
    call_cap_s=0.3,
)

STANDARD = Preset(
    name="standard",
    why="the headline: every kind of layer, in the directions that training needs",
    rows=_rows(
        ("alexnet:conv1", "forward"),
        ("alexnet:conv2", "forward", "grad_input"),
        ("vgg16:conv1_1", "forward"),
        ("vgg16:conv3_2*2", "forward"),
        ("vgg16:conv5_1*3", "forward", "grad_weight"),
        ("vgg16:maxpool1", "forward"),
        ("googlenet:3a.1x1", "forward"),
        ("googlenet:3a.5x5", "forward"),
        ("googlenet:3a.maxpool", "forward", "grad_input"),
        ("resnet50:conv1", "forward", "grad_weight"),
        ("resnet50:res2.3x3*3", "forward", "grad_input", "grad_weight"),
        ("resnet50:res2.expand*4", "forward", "grad_weight"),
        ("resnet50:res3.3x3s2", "forward", "grad_input"),
        ("resnet50:res3.down", "forward"),
        ("resnet50:res4.3x3*5", "forward"),
        ("resnet50:res5.3x3*2", "forward", "grad_input"),
        ("resnet50:maxpool", "forward", "grad_input"),
        ("resnet50:avgpool", "forward"),
        ("resnet50:relu1", "forward", "grad_input"),
        ("resnet50:fc", "forward"),
        ("mobilenetv2:block1.depthwise", "forward"),
        ("mobilenetv2:block8.depthwise*4", "forward", "grad_input", "grad_weight"),
        ("convnext:stage1.depthwise*3", "forward", "grad_weight"),
        ("dcgan:conv2", "forward"),
        ("dcgan:conv4", "forward", "grad_input", "grad_weight"),
        ("unet:up4", "forward"),
        ("densenet121:transition1.avgpool", "forward", "grad_input"),
        ("inceptionv3:6b.avgpool*4", "forward"),
        ("vit:conv_proj", "forward"),
        ("vit:patches", "forward"),
        ("simplecnn:conv2", "forward"),
    ),
    processes=(3, 6),
    rounds=60,
    budget_s=1.2,
    call_cap_s=0.6,
)

FULL = Preset(
    name="full",
    why="every layer of every network, in every direction: for the record, over hours",
    rows=tuple(
        Task(name, direction)
        for name, workload in WORKLOADS.items()
        for direction in workload.directions
    ),
    batches=(1, 8),
    threads=THREADS,
    processes=(3, 6),
    rounds=60,
    budget_s=1.2,
    call_cap_s=1.0,
)

PRESETS = {preset.name: preset for preset in (SMOKE, QUICK, STANDARD, FULL)}

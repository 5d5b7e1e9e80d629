"""Workload: one layer of a network, a case to be timed. Network: its layers and their source."""

from dataclasses import dataclass, replace

from impls.spec.case import Case
from impls.spec.ops import OPS
from impls.spec.plan import Plan, Shape


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """One layer, as often as its network has it.

    op: key of OPS. case: the call; in a network's table for one image, so that the first axis of
    the first shape is 1 where the op has a batch.
    times: how many equal layers the network has.
    batch: images per call. shrink: what height and width were divided by.
    plane: the axes of the first shape that hold height and width; () where there is no plane.
    """

    network: str
    layer: str
    op: str
    case: Case
    times: int = 1
    batch: int = 1
    shrink: int = 1
    plane: tuple[int, ...] = (2, 3)

    @property
    def name(self) -> str:
        """Id, argument that repeats it and legend: "resnet50:res2.3x3*3/n8@1/4"."""
        times = f"*{self.times}" if self.times > 1 else ""
        batch = f"/n{self.batch}" if self.batch > 1 else ""
        shrink = f"@1/{self.shrink}" if self.shrink > 1 else ""
        return f"{self.network}:{self.layer}{times}{batch}{shrink}"

    @property
    def plan(self) -> Plan:
        """The call as shapes; ValueError for a wrong one."""
        return OPS[self.op].plan_case(self.case)

    @property
    def macs(self) -> int:
        """Nominal multiply-adds of one call, whatever `times` says."""
        return OPS[self.op].macs(self.plan)

    @property
    def is_dense(self) -> bool:
        """Whether it is a convolution, and not one of many groups with a row or two of weights."""
        plan = self.plan
        if "groups" not in plan.params:
            return False
        groups = plan.params["groups"]
        return groups == 1 or plan.shape("weight")[0] // groups >= 3

    @property
    def directions(self) -> tuple[str, ...]:
        """What is timed: forward and every gradient but grad_bias, a plain sum."""
        return tuple(name for name in OPS[self.op].directions if name != "grad_bias")


@dataclass(frozen=True, slots=True)
class Network:
    """Layers in the order of the forward pass, equal ones merged. source: whose definition."""

    name: str
    source: str
    workloads: tuple[Workload, ...]


def batched(workload: Workload, n: int) -> Workload:
    """The same layer on n images; unchanged where the op takes a single image."""
    if n < 1:
        raise ValueError(f"n={n} must be at least 1")
    if OPS[workload.op].batch_axes is None:
        return workload
    return replace(_resized(workload, 0, n), batch=n)


def shrunk(workload: Workload, factor: int) -> Workload:
    """The twin with height and width divided by factor; channels, weights and parameters are kept.

    Sizes are rounded up, and further up to the first one that makes a valid call. Unchanged, its
    name too, where nothing can shrink.
    """
    if factor < 1:
        raise ValueError(f"factor={factor} must be at least 1")
    if workload.shrink > 1:
        raise ValueError(f"workload={workload.name} must not be shrunk already")
    twin = workload
    for axis in workload.plane:
        size = workload.case.shapes[0][axis]
        sizes = range(-(-size // factor), size + 1)
        twins = (_resized(twin, axis, smaller) for smaller in sizes)
        twin = next(candidate for candidate in twins if _is_valid(candidate))
    return workload if twin == workload else replace(twin, shrink=factor)


def _resized(workload: Workload, axis: int, size: int) -> Workload:
    first, *weights = workload.case.shapes
    resized: Shape = (*first[:axis], size, *first[axis + 1 :])
    return replace(workload, case=replace(workload.case, shapes=(resized, *weights)))


def _is_valid(workload: Workload) -> bool:
    try:
        OPS[workload.op].plan_case(workload.case)
    except ValueError:
        return False
    return True

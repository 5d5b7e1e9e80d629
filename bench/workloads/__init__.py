"""WORKLOADS: every layer to be timed, by name. A new module in networks/ is a new network.

    workload.py  Workload and Network, batched(), shrunk()
    layers.py    builders: a layer as one line of a table
    networks/    one module per network
    presets.py   which workloads a run times, and for how long

Shapes and names only: nothing here runs a kernel.
"""

import re
from collections.abc import Iterable
from difflib import get_close_matches
from importlib import import_module
from pkgutil import iter_modules

from bench.workloads import networks
from bench.workloads.workload import Network, Workload, batched, shrunk

NAME = re.compile(r"(?P<base>.+?)(/n(?P<batch>[1-9]\d*))?(@1/(?P<factor>[1-9]\d*))?")


def _collect() -> dict[str, Network]:
    """Every module's NETWORK, sorted by the module's name."""
    names = sorted(module.name for module in iter_modules(networks.__path__))
    found: list[Network] = [import_module(f"{networks.__name__}.{name}").NETWORK for name in names]
    return {network.name: network for network in found}


def by_name(found: Iterable[Network]) -> dict[str, Workload]:
    """Workloads by name, in network order, then table order; ValueError for a repeated name."""
    workloads: dict[str, Workload] = {}
    for network in found:
        for workload in network.workloads:
            if workload.name in workloads:
                raise ValueError(f"{workload.name} must name one workload, but names two")
            workloads[workload.name] = workload
    return workloads


NETWORKS = _collect()
WORKLOADS = by_name(NETWORKS.values())


def find(name: str) -> Workload:
    """The workload of this name, batched and shrunk as its suffixes "/n8" and "@1/4" say.

    Raises ValueError naming the closest names; for a suffix that changes nothing, the name without.
    """
    match = NAME.fullmatch(name)
    base = match["base"] if match else name
    if not match or base not in WORKLOADS:
        close = ", ".join(get_close_matches(base, WORKLOADS)) or "none"
        raise ValueError(f"workload={name!r} must be the name of a workload; close: {close}")
    workload = batched(WORKLOADS[base], int(match["batch"] or 1))
    workload = shrunk(workload, int(match["factor"] or 1))
    if workload.name != name:
        raise ValueError(f"workload={name!r} must be written {workload.name!r}")
    return workload


def macs_of(network: str) -> int:
    """Multiply-adds of one image through all layers that have a weight, as totals are published."""
    return sum(
        workload.times * workload.macs
        for workload in NETWORKS[network].workloads
        if "weight" in workload.plan.inputs
    )

"""How busy the machine is beside us: other processes, and other guests of the same host."""

import os
from time import monotonic
from typing import Any

import psutil

from bench.machine import cores

# Of a core: below, nobody's ratios suffer.
BUSY_CORES = 0.25
# Of all time that the host gave to other guests.
BUSY_STEAL = 0.02
LOOK_S = 1.0


def look() -> str:
    """A word on what others use of the machine just now, "" if that is little. Takes a second."""
    load = Load()
    psutil.cpu_percent(interval=LOOK_S)
    return load.word()


class Load:
    """What others use of the machine, from now on."""

    def __init__(self) -> None:
        self._start = _now()

    def facts(self) -> dict[str, Any]:
        """others_cores: cores that other processes kept busy; steal_share: of the host's guests."""
        wall_s, busy_s, stolen_s, own_s = (
            after - before for before, after in zip(self._start, _now(), strict=True)
        )
        total_s = max(wall_s, 1e-9)
        return {
            "others_cores": round(max(0.0, (busy_s - own_s) / total_s), 2),
            "steal_share": round(stolen_s / total_s / (psutil.cpu_count() or 1), 3),
        }

    def word(self) -> str:
        """Who disturbed, and what that means; "" if nobody did."""
        facts = self.facts()
        said = []
        if facts["others_cores"] > BUSY_CORES:
            said.append(f"{facts['others_cores']:.1f} of {cores()} cores go to other processes")
        if facts["steal_share"] > BUSY_STEAL:
            said.append(f"{facts['steal_share']:.0%} of the time to other guests of the host")
        if not said:
            return ""
        return f"a busy machine: {' and '.join(said)}; rows that this disturbs will be INVALID"


def _now() -> tuple[float, float, float, float]:
    """Seconds: of the clock, of all processes, stolen, of us and our ended children."""
    machine, own = psutil.cpu_times(), os.times()
    idle = machine.idle + getattr(machine, "iowait", 0.0)
    stolen = getattr(machine, "steal", 0.0)
    # guest time is part of user time already
    counted = ("guest", "guest_nice")
    total = sum(value for name, value in machine._asdict().items() if name not in counted)
    ours = own.user + own.system + own.children_user + own.children_system
    return monotonic(), total - idle - stolen, stolen, ours

"""pytest's side of the bench: the plan of the run, and its words in the list of tests."""

from dataclasses import asdict
from typing import Any

import pytest

from bench.plan import PLAN, Plan
from bench.results import corrected
from bench.row import Row


def pytest_configure(config: pytest.Config) -> None:
    config.stash.setdefault(PLAN, Plan())  # `python -m bench run` has put its own there


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Timings beside other tests are worth nothing: refuse pytest-xdist."""
    timed = [item for item in items if item.get_closest_marker("benchmark")]
    disabled = config.getoption("benchmark_disable")
    if timed and not disabled and config.getoption("numprocesses", None):
        raise pytest.UsageError("-n must not be given: workers would time beside each other")


def pytest_report_teststatus(report: Any) -> tuple[str, str, str] | None:
    """In a verbose list each test says its verdict: "1.32x FASTER"."""
    said = [text for name, text in getattr(report, "user_properties", ()) if name == "said"]
    if report.when != "call" or not said:
        return None
    letter = {"passed": ".", "skipped": "s", "failed": "F"}[report.outcome]
    return report.outcome, letter, said[0]


def pytest_benchmark_update_json(output_json: dict[str, Any]) -> None:
    """The rows in the JSON have the verdicts that stand when all claims are made at once."""
    infos = [found["extra_info"] for found in output_json["benchmarks"]]
    for info, row in zip(infos, corrected([Row(**info) for info in infos]), strict=True):
        info.update(asdict(row))

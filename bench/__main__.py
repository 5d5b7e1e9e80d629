"""python -m bench run|report|compare: time backends, render a stored run, compare two."""

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import pytest

import impls
from bench import machine, report
from bench.duel import label
from bench.plan import PLAN, Plan
from bench.stored import RunError
from bench.workloads.presets import PRESETS, THREADS

HERE = Path(__file__).parent
LATEST = Path("reports/latest")
RUNS = Path("reports/bench")


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: 0, or 1 if a backend failed."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    run = commands.add_parser("run", help="time backends beside PyTorch, store it and show it")
    run.add_argument("--preset", choices=PRESETS, default="quick")
    run.add_argument(
        "--backend",
        action="append",
        metavar="NAME|MODULE|PATH.py",
        help="a backend to time; repeat for several (default: all built-in backends)",
    )
    run.add_argument("--threads", action="append", choices=THREADS, help="default: the preset's")
    run.add_argument(
        "--select", default="", metavar="TEXT", help='part of "WORKLOAD DIRECTION", as rows say it'
    )
    run.add_argument("--out", type=Path, default=RUNS, metavar="DIR")
    run.set_defaults(command=_run)
    show = commands.add_parser("report", help="write tables, plots and pages of a stored run")
    show.add_argument("out", type=Path, nargs="?", default=LATEST, metavar="DIR")
    show.set_defaults(command=_report)
    compare = commands.add_parser("compare", help="the same-run ratios of two stored runs")
    compare.add_argument("old", type=Path, metavar="OLD")
    compare.add_argument("new", type=Path, metavar="NEW")
    compare.set_defaults(command=_compare)
    parsed = parser.parse_args(arguments)
    try:
        status: int = parsed.command(parsed)
    except RunError as error:
        parser.exit(2, f"bench: {error}\n")
    return status


def _run(parsed: argparse.Namespace) -> int:
    plan = Plan(
        preset=PRESETS[parsed.preset],
        # Workers run in the project's folder.
        backends=[_absolute(spec) for spec in parsed.backend or impls.names()],
        threads=tuple(parsed.threads or ()),
        select=parsed.select,
    )
    names = [label(spec) for spec in plan.backends]
    if len(set(names)) < len(names):
        print(f"--backend must name each backend once; these are called {', '.join(names)}")
        return 2
    count = len(list(plan.tasks()))
    if not count:
        print(f"--select {plan.select!r} must name a row of preset {plan.preset.name}")
        return 2
    parsed.out.mkdir(parents=True, exist_ok=True)
    print(f"bench: {count} tasks, preset {plan.preset.name}: {plan.preset.why}", flush=True)
    facts = {**machine.facts(), "ceilings_before": machine.ceilings(1)}
    status = pytest.main(_pytest_arguments(parsed.out), plugins=[_Planned(plan)])
    facts["ceilings_after"] = machine.ceilings(1)
    stored = report.Run(
        preset=plan.preset.name,
        machine=facts,
        threads=plan.proofs,
        rows=[asdict(outcome.row) for outcome in plan.outcomes],
    )
    report.store(stored, plan.outcomes, parsed.out)
    _report(parsed)
    return int(status)


def _report(parsed: argparse.Namespace) -> int:
    for path in report.render(parsed.out):
        print(f"bench: wrote {path}")
    return 0


def _compare(parsed: argparse.Namespace) -> int:
    print(report.comparison(parsed.old, parsed.new))
    return 0


class _Planned:
    """The plugin that hands a plan to bench/conftest.py."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan

    @pytest.hookimpl(tryfirst=True)
    def pytest_configure(self, config: pytest.Config) -> None:
        config.stash[PLAN] = self.plan


def _pytest_arguments(out: Path) -> list[str]:
    return [
        str(HERE / "test_speed.py"),
        "--verbose",
        "-p",
        "no:xdist",
        "--benchmark-columns=median,iqr,min,rounds",
        "--benchmark-group-by=group",
        "--benchmark-sort=mean",
        f"--benchmark-json={out / 'benchmark.json'}",
    ]


def _absolute(spec: str) -> str:
    return os.path.abspath(spec) if spec.endswith(".py") else spec


if __name__ == "__main__":
    sys.exit(main())

"""python -m bench run|report|compare: time backends, render a stored run, compare two."""

import argparse
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import impls
from bench import compare, instrument, merge, passes, report, sitting
from bench.duel import label
from bench.plan import Plan
from bench.stored import RunError
from bench.workloads.presets import PRESETS, THREADS

LATEST = Path("reports/latest")
RUNS = Path("reports/bench")
COMPARISON = Path("reports/compare")
MERGED = Path("reports/merged")
# Presets that are the record of a machine, not a look at it.
PASSES_WITH = ("standard", "full")


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: 0; 1 if a backend failed or got slower; 2 for a wrong call or a full disk; 130
    if it was interrupted.
    """
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    run = commands.add_parser("run", help="time backends beside PyTorch, store it and show it")
    _add_plan(run)
    run.add_argument(
        "--out",
        type=Path,
        default=RUNS,
        metavar="DIR",
        help="where the run is kept; rows it has are not measured again (default: %(default)s)",
    )
    run.add_argument(
        "--passes",
        action=argparse.BooleanOptionalAction,
        help="first call, memory, cold caches, threads, growth (default: with standard and full)",
    )
    run.add_argument("--fresh", action="store_true", help="measure again what --out has")
    run.set_defaults(command=_run)
    show = commands.add_parser("report", help="write tables, plots and pages of a stored run")
    show.add_argument(
        "runs",
        type=Path,
        nargs="*",
        default=[LATEST],
        metavar="DIR",
        help="a stored run; several, of different machines, become one report in --out",
    )
    show.add_argument("--out", type=Path, default=MERGED, metavar="DIR")
    show.set_defaults(command=_report)
    beside = commands.add_parser(
        "compare",
        help="two stored runs, or two revisions timed side by side: what became faster or slower",
    )
    beside.add_argument("old", metavar="OLD", help="a run's folder; or a revision, or a checkout")
    beside.add_argument("new", metavar="NEW", help="the same; `.` is the sources as they are")
    _add_plan(beside)
    beside.add_argument("--out", type=Path, default=COMPARISON, metavar="DIR")
    beside.set_defaults(command=_compare)
    parsed, others = parser.parse_known_args(arguments)
    # pytest-benchmark is the host: its own options are its own affair.
    parsed.benchmark = [option for option in others if option.startswith("--benchmark-")]
    if foreign := [option for option in others if option not in parsed.benchmark]:
        parser.error(f"unrecognized arguments: {' '.join(foreign)}")
    try:
        status: int = parsed.command(parsed)
    except RunError as error:
        parser.exit(2, f"bench: {error}\n")
    except KeyboardInterrupt:
        return sitting.INTERRUPTED
    except OSError as error:
        parser.exit(2, f"bench: {error.filename or 'a file'} cannot be written: {error.strerror}\n")
    return status


def _add_plan(command: argparse.ArgumentParser) -> None:
    """What is timed."""
    command.add_argument("--preset", choices=PRESETS, default="quick")
    command.add_argument(
        "--backend",
        action="append",
        metavar="NAME|MODULE|PATH.py",
        help="a backend to time; repeat for several (default: all built-in backends)",
    )
    command.add_argument(
        "--threads", action="append", choices=THREADS, help="default: the preset's"
    )
    command.add_argument(
        "--select",
        default="",
        metavar="WORDS",
        help='rows that say all of them: "WORKLOAD DIRECTION", their op, "dense", "batch=1"',
    )


def _plan(parsed: argparse.Namespace) -> Plan | None:
    """The plan that the arguments describe; None, and a word why, if it is none."""
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
        return None
    if not plan.tasks():
        print(f"--select {plan.select!r} must name a row of preset {plan.preset.name}")
        return None
    return plan


def _run(parsed: argparse.Namespace) -> int:
    plan = _plan(parsed)
    if plan is None:
        return 2
    count = len(plan.tasks())
    is_timed = "--benchmark-disable" not in parsed.benchmark
    times = f" in {plan.laps} laps" if is_timed and plan.laps > 1 else ""
    _say(f"{count} tasks{times}, preset {plan.preset.name}: {plan.preset.why}")
    if not is_timed:
        return sitting.once(plan, parsed.benchmark)
    status = sitting.sit(plan, parsed.out, parsed.benchmark, fresh=parsed.fresh)
    if status in (0, 1):
        wanted = parsed.preset in PASSES_WITH if parsed.passes is None else parsed.passes
        if wanted:
            passes.run(plan.backends, parsed.out, _say, fresh=parsed.fresh)
        instrument.show_in(parsed.out)
        _wrote(report.render(parsed.out))
    return status


def _report(parsed: argparse.Namespace) -> int:
    one, *others = parsed.runs
    _wrote(merge.render(parsed.runs, parsed.out) if others else report.render(one))
    return 0


def _wrote(paths: Iterable[Path]) -> None:
    for path in paths:
        _say(f"wrote {path}")


def _compare(parsed: argparse.Namespace) -> int:
    """Exit status: 1 if a regression is confirmed."""
    stored = [compare.is_run(side) for side in (parsed.old, parsed.new)]
    if all(stored):
        found = compare.of_stored(parsed.old, parsed.new)
    elif any(stored):
        raise RunError("OLD and NEW must both be stored runs, or both revisions")
    else:
        plan = _plan(parsed)
        if plan is None:
            return 2
        found = compare.of_revisions(parsed.old, parsed.new, plan, _say)
    print(compare.markdown(found))
    _wrote(compare.store(found, parsed.out))
    return 1 if len(found.regressions) else 0


def _say(word: str) -> None:
    print(f"bench: {word}", flush=True)


def _absolute(spec: str) -> str:
    return os.path.abspath(spec) if spec.endswith(".py") else spec


if __name__ == "__main__":
    sys.exit(main())

"""One sitting of a run: what an earlier one has measured is kept, what is missing is measured."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from bench import machine, runs
from bench.duel import Outcome, label
from bench.load import Load, look
from bench.plan import PLAN, Keep, Plan
from bench.row import KEY, Row
from bench.runs import Journal, Key, Run
from bench.sources import digest
from bench.statistics import Verdict
from bench.stored import RunError
from bench.workloads.presets import ONE_THREAD

HERE = Path(__file__).parent
# What must be alike for two sittings to be one run.
SAME_MACHINE = ("cpu", "cores", "memory_gib", "system", "python", "packages")
INTERRUPTED = 130
# What pytest is told to end with; its own codes end at 5.
DISK_FULL = 74


def sit(plan: Plan, out: Path, benchmark: list[str], *, fresh: bool) -> int:
    """Measure what a plan still needs, keep it in `out`, and finish the run there.

    benchmark: options of pytest-benchmark. Exit status: 0, 1 if a backend failed, INTERRUPTED, or 2
    if the disk is full.
    """
    out.mkdir(parents=True, exist_ok=True)
    facts = machine.facts()
    sources = {label(spec): digest(spec) for spec in plan.backends}
    earlier = None if fresh else _earlier(out, plan, facts, sources)
    samples = pd.DataFrame()
    if earlier:
        samples = _of(earlier, runs.load_samples(out))
        plan.done, plan.started = _done(earlier, samples, plan.laps)
        if kept := len(plan.tasks()) - plan.left():
            print(f"bench: {kept} of them are measured already; --fresh measures them again")
        if begun := plan.begun():
            print(f"bench: {begun} have had some of {plan.laps} laps, and go on")
        if invalid := sum(_is_invalid(row, plan.laps) for row in earlier.rows):
            print(f"bench: {invalid} rows were INVALID and are measured again, if asked for")
        if not plan.left():
            runs.store(earlier, samples, out)
            return _timed(plan, out, benchmark)
    if word := look():
        print(f"bench: {word}", flush=True)
    load = Load()
    header = _header(plan, facts, sources, earlier)
    # What is kept must be whole before the journal of this sitting takes the place of the last.
    runs.store(replace(header, rows=earlier.rows if earlier else []), samples, out)
    with Journal(out, header) as journal:
        plan.keep = _keeper(journal)
        status = _timed(plan, out, benchmark)
    if status not in (0, 1):
        print(
            f"bench: not finished, {plan.left()} tasks are left. The same line goes on;"
            f" `python -m bench report {out}` shows what there is"
        )
        return INTERRUPTED if status == pytest.ExitCode.INTERRUPTED else 2
    found = runs.load(out)
    assert found is not None
    facts |= {"ceilings_after": machine.ceilings(1), **load.facts()}
    if word := load.word():
        print(f"bench: {word}")
    runs.store(replace(found, machine=facts), runs.load_samples(out), out)
    return status


def once(plan: Plan, benchmark: list[str]) -> int:
    """Run every arm once, time nothing and keep nothing. Exit status as sit()."""
    return int(pytest.main([*_arguments(), *benchmark], plugins=[_Planned(plan)]))


def _earlier(out: Path, plan: Plan, facts: dict[str, Any], sources: dict[str, str]) -> Run | None:
    """What `out` holds of the very same run, without rows whose sources changed.

    None if that is nothing; RunError if `out` holds an unfinished run of something else.
    """
    found = runs.load(out)
    if found is None:
        return None
    changed = [name for name in SAME_MACHINE if found.machine.get(name) != facts[name]]
    if found.preset != plan.preset.name:
        changed = [f"preset {found.preset}"]
    if changed and runs.is_unfinished(out):
        raise RunError(
            f"{out} holds an unfinished run of another machine or kind ({', '.join(changed)}):"
            " --out must name another folder, or --fresh throw that run away"
        )
    if changed:
        print(f"bench: the run in {out} was of another kind ({', '.join(changed)}): replaced")
        return None
    stale = {name for name in sources if found.sources.get(name) != sources[name]}
    rows = [row for row in found.rows if row["backend"] not in stale]
    if dropped := len(found.rows) - len(rows):
        print(f"bench: {dropped} rows were of other sources and are measured again")
    return replace(found, rows=rows)


def _of(run: Run, samples: pd.DataFrame) -> pd.DataFrame:
    """The samples of a run's rows."""
    rows = {runs.key(row) for row in run.rows}
    if samples.empty:
        return samples
    return samples[[k in rows for k in zip(*(samples[n] for n in KEY), strict=True)]]


def _done(
    run: Run, samples: pd.DataFrame, laps: int
) -> tuple[dict[Key, list[Outcome]], dict[Key, list[Outcome]]]:
    """(Outcomes of a run's rows, by their tasks; those of rows that have not had all laps).

    Those of a skipped row hold its shrunk twin's too. An INVALID row is not done: the machine may
    be quieter now.
    """
    found: dict[Key, list[Outcome]] = {}
    groups = dict(list(samples.groupby(list(KEY)))) if len(samples) else {}
    for row in run.rows:
        key = runs.key(row)
        backend, workload, direction, threads = key
        whole = (backend, workload.partition("@")[0], direction, threads)
        is_twin = whole != key and whole in found and found[whole][0].row.verdict == Verdict.SKIPPED
        if _is_invalid(row, laps):
            if is_twin:
                del found[whole]
            continue
        mine = groups.get(key, samples[:0]).drop(columns=list(KEY), errors="ignore")
        records = [{str(name): value for name, value in s.items()} for s in mine.to_dict("records")]
        found[key] = [Outcome(Row(**row), records)]
        if is_twin:
            found[whole] += found[key]
    started = {key: each for key, each in found.items() if (each[-1].row.processes or laps) < laps}
    return {key: each for key, each in found.items() if key not in started}, started


def _is_invalid(row: dict[str, Any], laps: int) -> bool:
    """Whether a row has had all laps, and nothing can be said."""
    return row["verdict"] == Verdict.INVALID and (row["processes"] or 0) >= laps


def _header(plan: Plan, facts: dict[str, Any], sources: dict[str, str], earlier: Run | None) -> Run:
    """The run without rows: what is true of all its sittings."""
    known = earlier.machine if earlier else {}
    facts["sittings"] = known.get("sittings", 0) + 1
    asked = {threads for _, threads, _ in plan.tasks()} | {ONE_THREAD}
    for threads, name in machine.CEILINGS.items():
        if name in known:
            facts[name] = known[name]
        elif threads in asked:
            facts[name] = machine.ceilings(1 if threads == ONE_THREAD else machine.cores())
    if earlier is None:
        return Run(plan.preset.name, facts, {}, [], sources)
    return Run(plan.preset.name, facts, earlier.threads, [], {**earlier.sources, **sources})


def _keeper(journal: Journal) -> Keep:
    """What ends the session where an outcome cannot be kept."""

    def keep(outcomes: list[Outcome], threads: dict[str, dict[str, int]]) -> None:
        try:
            journal.append(outcomes, threads)
        except OSError as error:
            why = f"{journal.path} cannot be written: {error.strerror}; what it has is kept"
            pytest.exit(why, returncode=DISK_FULL)

    return keep


def _timed(plan: Plan, out: Path, benchmark: list[str]) -> int:
    """Run the plan's tasks as tests of pytest-benchmark, whose JSON is written too."""
    found = out / "benchmark.json"
    beside = out / ".benchmark.json.part"
    try:
        status = pytest.main(
            [*_arguments(), f"--benchmark-json={beside}", *benchmark], plugins=[_Planned(plan)]
        )
        if beside.exists() and beside.stat().st_size:
            beside.replace(found)
    except OSError as error:  # of a write, it does not say which file
        raise OSError(error.errno, error.strerror, str(found)) from error
    finally:
        beside.unlink(missing_ok=True)
    return int(status)


def _arguments() -> list[str]:
    return [
        str(HERE / "test_speed.py"),
        "--verbose",
        "-p",
        "no:xdist",
        "-p",
        "no:cacheprovider",
        # A run of which nothing could be timed says so itself.
        "-W",
        "ignore::pytest_benchmark.logger.PytestBenchmarkWarning",
        "--benchmark-columns=median,iqr,min,rounds",
        "--benchmark-group-by=group",
        "--benchmark-sort=mean",
    ]


class _Planned:
    """The plugin that hands a plan to bench/conftest.py."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan

    @pytest.hookimpl(tryfirst=True)
    def pytest_configure(self, config: pytest.Config) -> None:
        config.stash[PLAN] = self.plan

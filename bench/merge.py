"""Runs of several machines as one report: each machine its own column, never averaged."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd

from bench import ratios, report, runs
from bench.ratios import MARK
from bench.row import KEY
from bench.runs import Run
from bench.stored import RunError

FACTS = ("cpu", "cores", "memory_gib", "system", "python", "date", "revision")


def render(directories: Sequence[Path], out: Path) -> Iterator[Path]:
    """Write performance.csv and the pages of all runs together; yields what was written."""
    found = {name: _run(directory) for name, directory in _names(directories).items()}
    tables = [
        report.performance(run, runs.load_samples(directory)).assign(machine=name)
        for (name, run), directory in zip(found.items(), directories, strict=True)
    ]
    every = pd.concat(tables, ignore_index=True)
    every = every[["machine", *every.columns.drop("machine")]]
    out.mkdir(parents=True, exist_ok=True)
    runs.replace(out / "performance.csv", lambda path: every.to_csv(path, index=False))
    yield out / "performance.csv"
    page = {
        "machines": machines(found),
        "scoreboard": scoreboard(every),
        "layers": layers(every),
    }
    for template, name in (("merged.html.j2", "index.html"), ("merged.md.j2", "report.md")):
        report.write_page(template, page, out / name)
        yield out / name


def machines(found: dict[str, Run]) -> pd.DataFrame:
    """A line per fact, a column per machine."""
    columns = {
        name: {
            "preset": run.preset,
            **{fact: run.machine.get(fact, "") for fact in FACTS},
            **run.machine.get("packages", {}),
            **{k: f"{v:.3g}" for k, v in run.machine.get("ceilings_before", {}).items()},
        }
        for name, run in found.items()
    }
    table = pd.DataFrame(columns, dtype=object).fillna("")
    return table.rename_axis("fact").reset_index()


def scoreboard(every: pd.DataFrame) -> pd.DataFrame:
    """A line per backend and threads: each machine's geometric mean over the rows that all have."""
    rated = ratios.believable(every)
    keys = list(KEY)
    common = rated.groupby(keys)["machine"].nunique() == every["machine"].nunique()
    shared = rated.set_index(keys).loc[common[common].index].reset_index()
    if shared.empty:
        return shared
    lines = shared.groupby(["backend", "threads", "machine"], sort=False)["ratio"]
    cells = lines.apply(ratios.geometric_mean).map("{:.2g}x".format)
    rows = shared.groupby(["backend", "threads"])["workload"].count() // every["machine"].nunique()
    table = cells.unstack("machine").assign(rows=rows)
    return table.reset_index().rename_axis(columns=None)


def layers(every: pd.DataFrame) -> pd.DataFrame:
    """A line per row of any run: each machine's ratio with its verdict, or why there is none."""
    cells = every.assign(
        cell=[
            f"{ratio:.3g}x {MARK.get(verdict, verdict)}" if pd.notna(ratio) else verdict
            for ratio, verdict in zip(every["ratio"], every["verdict"], strict=True)
        ]
    )
    table = cells.pivot_table(
        index=list(KEY), columns="machine", values="cell", aggfunc="first", sort=False
    )
    names = list(dict.fromkeys(every["machine"]))
    return table[names].astype(object).fillna("").reset_index().rename_axis(columns=None)


def _names(directories: Sequence[Path]) -> dict[str, Path]:
    """What each run's column is called: its folder, which a reader knows; RunError for a twin."""
    names = {directory.resolve().name: directory for directory in directories}
    if len(names) < len(directories):
        raise RunError("folders must have different names: these become the columns of the report")
    return names


def _run(directory: Path) -> Run:
    run = runs.load(directory)
    if run is None:
        raise RunError(f"{directory} must hold {runs.RUN}, but has none")
    return run

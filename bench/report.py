"""Stored runs -> tables, plots and pages, with pandas. Times nothing and judges nothing.

A run folder holds run.json (machine, threads, rows) and samples.csv (every sample),
conformance.jsonl if the conformance suite ran, train.json if something was trained. `render` makes
everything else from these.
"""

from collections.abc import Iterator
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from bench import (
    cases,
    dense,
    faults,
    instrument,
    matrix,
    pass_tables,
    passes,
    passport,
    plots,
    ratios,
)
from bench.results import recomputed
from bench.row import Row
from bench.runs import Run, load, load_samples, replace
from bench.statistics import Verdict
from bench.stored import RunError
from bench.training import record, section
from bench.workloads.presets import ONE_THREAD
from conformance import jsonl
from conformance.meta import STORED as KILLS
from conformance.passport import PASSPORT_FILE
from conformance.verdict import BAD, Status
from impls.spec.case import LEVELS

# What a report is made of; each alone makes one.
STORED = ("run.json", "conformance.jsonl", record.FILE, KILLS, PASSPORT_FILE)
TEMPLATES = Path(__file__).parent
NOTHING = Run("", {}, {}, [])


def performance(run: Run, samples: pd.DataFrame) -> pd.DataFrame:
    """One line per backend, workload and direction, from the samples: performance.csv."""
    rows = recomputed([Row(**row) for row in run.rows], samples)
    return pd.DataFrame(map(asdict, rows), columns=[field.name for field in fields(Row)])


def checks(directory: Path) -> tuple[pd.DataFrame, list[str]]:
    """One line per check of conformance.jsonl, empty if there is none; and what was selected."""
    path = directory / "conformance.jsonl"
    if not path.exists():
        return pd.DataFrame(), []
    try:
        recorded = jsonl.read(path)
        return pd.DataFrame(recorded.rows), recorded.header["selection"]
    except jsonl.JsonlError as error:
        raise RunError(str(error)) from error


def conformance(found: pd.DataFrame) -> pd.DataFrame:
    """Checks counted per backend, accuracy, op, level and direction; score and worst grade."""
    keys = ["backend", "accuracy", "op", "level", "direction"]
    counts = found.groupby([*keys, "status"]).size().unstack(fill_value=0)
    counts = counts.reindex(columns=[str(status) for status in Status], fill_value=0)
    table = counts.assign(
        promised=counts.sum(axis=1),
        score=counts["passed"] / counts.sum(axis=1),
        worst_grade=found.groupby(keys)["grade"].max(),
    ).reset_index()
    return table.rename_axis(columns=None)


def render(directory: Path) -> Iterator[Path]:
    """Write every table, plot and page of a run folder; yields what was written."""
    run, trained, kills = load(directory), record.load(directory), faults.load(directory)
    (found, selection), measured = checks(directory), passport.load(directory)
    if run is None and found.empty and trained is None and kills.empty and measured is None:
        raise RunError(f"{directory} must hold one of {', '.join(STORED)}, but has none")
    timed = performance(run or NOTHING, load_samples(directory))
    judged = conformance(found) if not found.empty else pd.DataFrame()
    if run:
        yield _csv(timed, directory / "performance.csv")
    if not judged.empty:
        yield _csv(judged, directory / "conformance.csv")
    yield from matrix.badges(judged, selection, directory / "badges")
    drawn = dict(_draw(directory / "plots", run, timed, judged, trained))
    beside = passes.load(directory)
    if beside is not None and len(pass_tables.growth(beside)):
        drawn["growth"] = pass_tables.plot_growth(beside, directory / "plots" / "growth.svg")
    if measured is not None:
        drawn["passport"] = passport.curves(measured[1], directory / "plots" / "passport.svg")
    yield from drawn.values()
    page = {**_page(run, timed, found, judged), "training": section.words(trained)}
    page["dense"] = dense.tables(timed, run.machine if run else {})
    page["faults"] = faults.page(kills)
    page["instrument"] = instrument.sentences(directory)
    page["scores"] = matrix.words(judged, selection)
    page["passes"] = {} if beside is None else pass_tables.tables(beside)
    page["cases"] = cases.words(cases.load(directory))
    page["passport"] = {} if measured is None else passport.tables(measured[0])
    svgs = {name: _inline(path) for name, path in drawn.items()}
    for template, name in (("report.html.j2", "index.html"), ("report.md.j2", "report.md")):
        write_page(template, {**page, "plots": svgs}, directory / name)
        yield directory / name


def write_page(template: str, page: dict[str, Any], path: Path) -> None:
    """Fill in a template."""
    text = _environment().get_template(template).render(**page)
    replace(path, lambda beside: beside.write_text(text, encoding="utf-8"))


def _csv(table: pd.DataFrame, path: Path) -> Path:
    replace(path, lambda beside: table.to_csv(beside, index=False))
    return path


def _draw(
    directory: Path,
    run: Run | None,
    timed: pd.DataFrame,
    judged: pd.DataFrame,
    trained: record.Trainings | None,
) -> Iterator[tuple[str, Path]]:
    directory.mkdir(exist_ok=True)
    rated = timed.dropna(subset="ratio")
    if run is not None and not rated.empty:
        yield "ratios", plots.ratios(rated, directory / "ratios.svg")
        ceilings = run.machine["ceilings_before"]
        if len(alone := rated[rated["threads"] == ONE_THREAD]):  # as the ceilings are
            yield "roofline", plots.roofline(alone, ceilings, directory / "roofline.svg")
    if not judged.empty and judged["worst_grade"].notna().any():
        yield "grades", plots.grades(judged, directory / "grades.svg")
    if trained is not None:
        yield "training", section.curves(trained, directory / "training.svg")


def _page(
    run: Run | None, timed: pd.DataFrame, found: pd.DataFrame, judged: pd.DataFrame
) -> dict[str, Any]:
    """What the templates say, as text and tables."""
    failures = found[found["status"].isin(BAD)] if len(found) else found
    return {
        "run": run,
        "answers": list(_answers(timed, judged)),
        "scoreboard": _scoreboard(timed, judged),
        "matrix": _matrix(judged),
        "layers": _layers(timed),
        "failures": failures.to_dict("records")[:20],
        "failure_count": len(failures),
        "absent": timed[timed["ratio"].isna()][
            ["backend", "workload", "direction", "verdict", "reason"]
        ],
        "drift": _drift(run) if run else None,
    }


def _answers(timed: pd.DataFrame, judged: pd.DataFrame) -> Iterator[str]:
    """One sentence per backend: is it right, and how fast."""
    for backend in _backends(timed, judged):
        said = []
        mine = judged[judged["backend"] == backend] if len(judged) else judged
        if len(mine):
            bad = int(mine[list(BAD)].to_numpy().sum())
            passed, promised = int(mine["passed"].sum()), int(mine["promised"].sum())
            unjudged = int(mine["unjudged"].sum())
            fault = f", {bad} wrong" if bad else ""
            fault += f", {unjudged} not judged" if unjudged else ""
            said.append(f"passes {passed} of {promised} checks{fault}")
        rated = ratios.believable(timed[timed["backend"] == backend])
        if len(rated):
            twins = int(rated["workload"].str.contains("@").sum())
            shrunk = f", {twins} of them shrunk" if twins else ""
            speed = ratios.geometric_mean(rated["ratio"])
            said.append(f"runs at {speed:.2g} times PyTorch's speed ({len(rated)} rows{shrunk})")
        if said:
            yield f"{backend} {' and '.join(said)}."


def _scoreboard(timed: pd.DataFrame, judged: pd.DataFrame) -> pd.DataFrame:
    """A line per backend: score, worst grade, mean ratio, and how many rows have which verdict."""
    lines = []
    for backend in _backends(timed, judged):
        line: dict[str, Any] = {"backend": backend}
        mine = judged[judged["backend"] == backend] if len(judged) else judged
        if len(mine):
            line["passed"] = f"{mine['passed'].sum()} / {mine['promised'].sum()}"
            line["worst grade"] = f"{mine['worst_grade'].max():.2f}"
        rated = ratios.believable(timed[timed["backend"] == backend])
        if len(rated):
            line["ratio to PyTorch"] = f"{ratios.geometric_mean(rated['ratio']):.2g}x"
        verdicts = timed[timed["backend"] == backend]["verdict"].value_counts()
        line.update({str(v): int(verdicts[v]) for v in Verdict if v in verdicts})
        lines.append(line)
    # As objects, so that counts stay whole numbers where a line has none.
    return pd.DataFrame(lines, dtype=object).fillna("")


def _matrix(judged: pd.DataFrame) -> pd.DataFrame:
    """Backends and levels by op: passed / promised."""
    if judged.empty:
        return judged
    sums = judged.groupby(["backend", "level", "op"])[["passed", "promised"]].sum()
    cells = sums["passed"].astype(str) + " / " + sums["promised"].astype(str)
    table = cells.unstack("op")
    order = [(b, level) for b in judged["backend"].unique() for level in LEVELS]
    return (
        table.reindex([key for key in order if key in table.index])
        .astype(object)
        .fillna("")
        .reset_index()
        .rename_axis(columns=None)
    )


def _layers(timed: pd.DataFrame) -> pd.DataFrame:
    """A line per workload and direction, a column per backend: ratio, interval and verdict."""
    rated = timed.dropna(subset="ratio")
    if rated.empty:
        return rated
    keys = ["workload", "direction", "threads"]
    table = rated.assign(cell=ratios.cells(rated)).pivot_table(
        index=keys, columns="backend", values="cell", aggfunc="first", sort=False
    )
    times = rated.groupby(keys, sort=False)["torch_median_s"].median()
    table.insert(0, "PyTorch", [f"{1e3 * times[key]:.3g} ms" for key in table.index])
    return table.astype(object).fillna("").reset_index().rename_axis(columns=None)


def _drift(run: Run) -> dict[str, float]:
    """How far the ceilings moved during the run, as a share; 0 while it is not finished."""
    before = run.machine["ceilings_before"]
    after = run.machine.get("ceilings_after", before)
    return {name: after[name] / before[name] - 1 for name in before}


def _backends(timed: pd.DataFrame, judged: pd.DataFrame) -> list[str]:
    names = [*(judged["backend"] if len(judged) else []), *timed["backend"]]
    return list(dict.fromkeys(names))


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=lambda name: bool(name and ".html" in name),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["shown"] = pass_tables.shown
    environment.filters["table"] = lambda frame: frame.to_html(index=False, border=0)
    environment.filters["markdown"] = lambda frame: frame.to_markdown(index=False)
    return environment


def _inline(path: Path) -> str:
    """The svg element of a file, without its XML header."""
    text = path.read_text(encoding="utf-8")
    return text[text.index("<svg") :]

"""OLD and NEW set against each other: two stored runs, or two revisions timed side by side."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from math import exp, log
from pathlib import Path

import numpy as np
import pandas as pd

from bench import results, runs
from bench.change import Change, judged, of_pairs, of_runs
from bench.plan import Plan, task_key
from bench.ratios import MARK
from bench.row import KEY, Row
from bench.runs import Key
from bench.sides import NEW, OLD, PAIRS, SIDES, Asked, Turn, in_turn, staged
from bench.statistics import BAD, RATED, TWIN_LIMIT, Verdict
from bench.stored import RunError
from bench.worker import BACKEND, TORCH

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Comparison:
    """table: a line per row that both sides have. samples: what was timed for it, if anything."""

    old: str
    new: str
    how: str
    table: pd.DataFrame
    samples: pd.DataFrame

    @property
    def regressions(self) -> pd.DataFrame:
        """Rows that are slower for certain, or no longer right."""
        return self.table[self.table["verdict"].isin([Verdict.SLOWER, *BAD])]


@dataclass(frozen=True, slots=True)
class _Sides:
    """One row on both sides; no change where either has no believable time."""

    old: Row
    new: Row
    change: Change | None


def is_run(side: str) -> bool:
    """Whether OLD or NEW names a stored run."""
    return (Path(side) / runs.RUN).exists() or runs.is_unfinished(Path(side))


def of_stored(old: str, new: str) -> Comparison:
    """The change between two stored runs, row by row."""
    rows, samples = zip(*(_stored(side) for side in (old, new)), strict=True)
    common = [key for key in rows[0] if key in rows[1]]
    if not common:
        raise RunError(f"{old} and {new} must have rows in common, but have none")
    found = []
    for key in common:
        before, after = (side[key] for side in rows)
        change = None
        if before.verdict in RATED and after.verdict in RATED:
            logs = [_logs(side[key], before.threads) for side in samples]
            change = of_runs(logs[0], logs[1], before.threads)
        found.append(_Sides(before, after, change))
    how = (
        "Two stored runs; each ratio is to PyTorch in its own run, and an interval holds what moves"
        " a ratio between runs."
    )
    return Comparison(old, new, how, _table(found), pd.DataFrame())


def of_revisions(old: str, new: str, plan: Plan, say: Say) -> Comparison:
    """The change between two revisions; what seems slower is timed once more, to be sure."""
    with staged(old) as old_root, staged(new) as new_root:
        roots, asked = {OLD: old_root, NEW: new_root}, plan.tasks()
        turns = in_turn(roots, plan, asked, say)
        table = _paired(turns)
        slower = table[table["verdict"] == Verdict.SLOWER]
        if suspects := set(zip(*(slower[name] for name in KEY), strict=True)):
            say(f"{len(suspects)} rows seem slower: timing them again, to be sure")
            again = [task for task in asked if _has_row_of(task, suspects)]
            second = in_turn(roots, plan, again, say)
            table = _confirmed(table, _paired(second))
            turns += [replace(turn, pair=turn.pair + PAIRS) for turn in second]
    how = (
        f"Timed side by side, {PAIRS} pairs of fresh processes in turn, PyTorch beside each. A row"
        " counts as slower if it is so twice."
    )
    frames = [runs.frame(t.outcomes).assign(side=t.side, pair=t.pair) for t in turns]
    return Comparison(old, new, how, table, pd.concat(frames, ignore_index=True))


def store(comparison: Comparison, directory: Path) -> Iterator[Path]:
    """Write compare.md for a pull request, compare.csv and the samples; yields what was written."""
    directory.mkdir(parents=True, exist_ok=True)
    text = markdown(comparison)
    writers: dict[str, Callable[[Path], object]] = {
        "compare.md": lambda path: path.write_text(text, encoding="utf-8"),
        "compare.csv": lambda path: comparison.table.to_csv(path, index=False),
    }
    if len(comparison.samples):
        writers[runs.SAMPLES] = lambda path: comparison.samples.to_csv(path, index=False)
    for name, write in writers.items():
        runs.replace(directory / name, write)
        yield directory / name


def markdown(comparison: Comparison) -> str:
    """What a pull request shows: the answer, what changed, and every row folded away."""
    table, worse = comparison.table, comparison.regressions
    counts = table["verdict"].value_counts()
    answer = (
        f"**{len(worse)} of {len(table)} rows got worse.**"
        if len(worse)
        else f"**No regression is confirmed in {len(table)} rows.**"
    )
    said = ", ".join(f"{counts[str(v)]} {v}" for v in Verdict if v in counts)
    changed = table[table["verdict"].isin([Verdict.FASTER, Verdict.SLOWER, *BAD])]
    parts = [
        f"## {comparison.new} beside {comparison.old}",
        f"{answer} Changes: {said}.",
        *([_cells(changed)] if len(changed) else []),
        f"{comparison.how} old and new: speed beside PyTorch. change: new over old, 2x is twice as"
        " fast as before; in brackets its 95 % interval. Absolute times are not compared.",
        f"<details><summary>All {len(table)} rows</summary>\n\n{_cells(table)}\n\n</details>",
    ]
    return "\n\n".join(parts) + "\n"


def _stored(side: str) -> tuple[dict[Key, Row], dict[Key, pd.DataFrame]]:
    """(Rows, their samples) of a run folder."""
    run, samples = runs.load(Path(side)), runs.load_samples(Path(side))
    rows = {runs.key(row): Row(**row) for row in (run.rows if run else [])}
    if samples.empty:
        return rows, {}
    keys = pd.Series(list(zip(*(samples[name] for name in KEY), strict=True)), samples.index)
    return rows, {key: samples[keys == key] for key in rows}


def _logs(samples: pd.DataFrame, threads: str) -> list[np.ndarray]:
    """Log ratios by round, an array per process."""
    timed = samples.assign(seconds=results.seconds(samples, threads))
    times = timed.pivot(index=["process", "round"], columns="arm", values="seconds")
    ratios = times[TORCH] / times[BACKEND]
    return [np.log(group.to_numpy()) for _, group in ratios.groupby(level="process")]


def _has_row_of(asked: Asked, keys: set[Key]) -> bool:
    """Whether a task makes one of the rows: its own, or its shrunk twin's."""
    whole = {(backend, workload.partition("@")[0], *rest) for backend, workload, *rest in keys}
    spec, threads, task = asked
    return task_key(spec, threads, task) in keys | whole


def _paired(turns: Sequence[Turn]) -> pd.DataFrame:
    """The change of each row, from the pairs of its processes."""
    by_key: dict[Key, dict[tuple[str, int], Row]] = {}
    for turn in turns:
        for outcome in turn.outcomes:
            by_key.setdefault(runs.key(asdict(outcome.row)), {})[turn.side, turn.pair] = outcome.row
    found = []
    for rows in by_key.values():
        before, after = ([row for (of, _), row in rows.items() if of == side] for side in SIDES)
        if before and after:
            found.append(_one(rows, _worst(before), _worst(after)))
    if not found:
        raise RunError("OLD and NEW must have rows in common, but have none")
    return _table(found)


def _one(rows: dict[tuple[str, int], Row], before: Row, after: Row) -> _Sides:
    """One row on both sides, with the mean ratios of its processes."""
    if before.verdict not in RATED or after.verdict not in RATED:
        return _Sides(before, after, None)
    pairs = sorted({pair for _, pair in rows})
    ratios = [[rows[side, pair].ratio for pair in pairs] for side in SIDES]
    logs = np.array([[log(ratio) for ratio in side if ratio] for side in ratios])
    means = [exp(float(side.mean())) for side in logs]
    before, after = replace(before, ratio=means[0]), replace(after, ratio=means[1])
    return _Sides(before, after, of_pairs(logs[1] - logs[0], before.threads))


def _worst(rows: list[Row]) -> Row:
    """The row that stands for those of all processes: what went wrong in one, went wrong."""
    for verdict in (*BAD, Verdict.SKIPPED):
        for row in rows:
            if row.verdict == verdict:
                return row
    # One process may have had a bad moment; the pairs show that as noise, and all of them a bias.
    twins = [log(row.twin_ratio) for row in rows if row.twin_ratio]
    if abs(np.mean(twins)) > TWIN_LIMIT:
        why = f"PyTorch differs from itself by {abs(np.mean(twins)):.0%} in all processes together"
        return replace(rows[0], verdict=Verdict.INVALID, reason=why)
    otherwise = [
        row
        for row, twin in zip(rows, twins, strict=True)
        if row.verdict == Verdict.INVALID and abs(twin) <= TWIN_LIMIT
    ]
    if 2 * len(otherwise) >= len(rows):
        return otherwise[0]
    return replace(rows[0], verdict=Verdict.UNDECIDED, reason="")


def _confirmed(first: pd.DataFrame, second: pd.DataFrame) -> pd.DataFrame:
    """The first table; what was slower once only is undecided."""
    again = dict(zip(zip(*(second[n] for n in KEY), strict=True), second["verdict"], strict=True))
    lines = first.to_dict("records")
    for line in lines:
        said = again.get(tuple(line[name] for name in KEY))
        if line["verdict"] == Verdict.SLOWER and said != Verdict.SLOWER:
            line["verdict"] = str(Verdict.UNDECIDED)
            line["reason"] = f"slower at first, {said} when timed again"
    return pd.DataFrame(lines)


def _table(found: Sequence[_Sides]) -> pd.DataFrame:
    """compare.csv."""
    changes = [sides.change for sides in found if sides.change]
    verdicts = iter(judged(changes))
    lines = []
    for sides in found:
        verdict, reason = next(verdicts) if sides.change else _without_change(sides)
        change = asdict(sides.change) if sides.change else {}
        lines.append(
            {
                **dict(zip(KEY, runs.key(asdict(sides.old)), strict=True)),
                "old_ratio": sides.old.ratio,
                "new_ratio": sides.new.ratio,
                "change": change.get("ratio"),
                "change_low": change.get("low"),
                "change_high": change.get("high"),
                "p_value": change.get("p_value"),
                "verdict": str(verdict),
                "reason": reason,
            }
        )
    return pd.DataFrame(lines)


def _without_change(sides: _Sides) -> tuple[Verdict, str]:
    """(verdict, reason) where a side has no time: what became wrong is a regression."""
    if sides.new.verdict in BAD and sides.old.verdict not in BAD:
        return Verdict(sides.new.verdict), sides.new.reason
    side, row = (NEW, sides.new) if sides.new.verdict not in RATED else (OLD, sides.old)
    return Verdict.INVALID, f"{side}: {row.verdict}: {row.reason}"


def _cells(table: pd.DataFrame) -> str:
    """The table as Markdown."""
    intervals = zip(table["change"], table["change_low"], table["change_high"], strict=True)
    shown = table[list(KEY)].assign(
        old=[_times(ratio) for ratio in table["old_ratio"]],
        new=[_times(ratio) for ratio in table["new_ratio"]],
        change=[
            f"{ratio:.3g}x [{low:.3g}, {high:.3g}]" if pd.notna(ratio) else ""
            for ratio, low, high in intervals
        ],
        verdict=[f"{MARK.get(verdict, '✗')} {verdict}" for verdict in table["verdict"]],
        reason=table["reason"],
    )
    text: str = shown.to_markdown(index=False)
    return text


def _times(ratio: float) -> str:
    return f"{ratio:.3g}x" if pd.notna(ratio) else ""

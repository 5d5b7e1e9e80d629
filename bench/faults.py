"""The kill matrix that `nox -s faults` stored -> the tables of the report, with pandas."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from bench.stored import RunError
from conformance.checks import CONTRACT
from conformance.meta import FORMAT, STORED
from conformance.verdict import BAD
from impls.spec.case import LEVELS


def load(directory: Path) -> pd.DataFrame:
    """One line per backend, kernel and kind of check; empty if there is no kill matrix."""
    path = directory / STORED
    if not path.exists():
        return pd.DataFrame()
    try:
        header, *rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
        if header["format"] != FORMAT or header["rows"] != len(rows):
            raise ValueError(f"it must be in format {FORMAT!r} and whole")
        return pd.DataFrame(rows)
    except (ValueError, KeyError, TypeError) as error:
        raise RunError(
            f"{path} must be what `python -m conformance.meta` wrote: {error}"
        ) from error


def page(rows: pd.DataFrame) -> dict[str, Any] | None:
    """What the templates say; None without a kill matrix."""
    if rows.empty:
        return None
    rows = rows.assign(is_kill=rows["status"].isin(BAD))
    faults, rights = (rows[rows["role"] == role] for role in ("fault", "right"))
    asked = faults[faults["kind"] != "axioms"]
    return {
        "figures": {**_figures(asked, rights), "without": _without_pytorch(faults)},
        "kinds": _kinds(asked),
        "kernels": _kernels(asked),
        "levels": _levels(asked),
        "rights": _rights(rights),
        "lines": pd.DataFrame(list(_lines(asked))),
    }


def _figures(faults: pd.DataFrame, rights: pd.DataFrame) -> dict[str, int]:
    """Backends planted, faults caught, caught by the kind of check that should, rights refused."""
    by_own = faults["is_kill"] & (faults["kind"] == faults["expected"])
    return {
        "faults": faults["backend"].nunique(),
        "caught": faults[faults["is_kill"]]["backend"].nunique(),
        "expected": faults[by_own]["backend"].nunique(),
        "rights": rights["backend"].nunique(),
        "refused": rights[rights["is_kill"]]["backend"].nunique(),
        "asked": int(rights["asked"].sum()),
    }


def _without_pytorch(faults: pd.DataFrame) -> int:
    """How many faults `--oracle none` catches."""
    is_asked = faults["kind"].str.split().str[0].isin([*CONTRACT, "axioms"])
    return int(faults[is_asked & faults["is_kill"]]["backend"].nunique())


def _kinds(faults: pd.DataFrame) -> pd.DataFrame:
    """Per kind of check: how many faults it can see, does see, sees alone, is there for."""
    kills = faults[faults["is_kill"]]
    alone = kills[~kills.duplicated("backend", keep=False)]
    table = pd.DataFrame(
        {
            "asked": faults.groupby("kind")["backend"].nunique(),
            "sees": kills.groupby("kind")["backend"].nunique(),
            "sees alone": alone.groupby("kind")["backend"].nunique(),
            "should see": faults.drop_duplicates("backend").groupby("expected").size(),
        }
    )
    table = table.fillna(0).astype(int).sort_values("sees", ascending=False)
    return table.rename_axis("kind of check").reset_index()


def _kernels(faults: pd.DataFrame) -> pd.DataFrame:
    """Kernels by kinds of check: faults seen, and in brackets those that no other kind sees."""
    kills = faults[faults["is_kill"]]
    alone = kills[~kills.duplicated("backend", keep=False)]
    seen, unshared = (part.groupby(["kernel", "kind"]).size() for part in (kills, alone))
    unshared = unshared.reindex(seen.index, fill_value=0)
    cells = seen.astype(str) + [f" ({count})" if count else "" for count in unshared]
    table = cells.unstack().reindex(columns=_kinds(faults)["kind of check"])
    counts = faults.groupby("kernel", sort=False)["backend"].nunique()
    table = table.reindex(counts.index)
    table.insert(0, "faults", counts)
    table = table.astype(object).fillna("").rename_axis("kernel").reset_index()
    return table.rename_axis(columns=None)


def _levels(faults: pd.DataFrame) -> pd.DataFrame:
    """How many faults die at each level, and how many are dead by then."""
    first = _first_kills(faults).groupby("level").size().reindex(LEVELS, fill_value=0)
    table = pd.DataFrame({"die here": first, "dead by then": first.cumsum()})
    return table.rename_axis("level").reset_index()


def _first_kills(faults: pd.DataFrame) -> pd.DataFrame:
    """The kill of each fault that comes first in the suite's order."""
    kills = faults[faults["is_kill"]]
    return kills.loc[kills.groupby("backend", sort=False)["place"].idxmin()]


def _rights(rights: pd.DataFrame) -> pd.DataFrame:
    """Per right backend: how many checks it was asked, and how many refused it."""
    grouped = rights.groupby("backend", sort=False)
    table = pd.DataFrame(
        {
            "kernels of its own": grouped["kernel"].nunique(),
            "checks": grouped["asked"].sum(),
            "refused": grouped["is_kill"].sum(),
        }
    )
    return table.rename_axis("right backend").reset_index()


def _lines(faults: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """A line per fault: its first kill, the kinds that see it, and the issue it is modeled on."""
    kills = faults[faults["is_kill"]]
    seers = kills.groupby("backend")["kind"].agg(", ".join)
    first = _first_kills(faults).set_index("backend")
    for planted in faults.drop_duplicates("backend").to_dict("records"):
        name = planted["backend"]
        line = {"fault": name, "modeled on": planted["like"], "should see it": planted["expected"]}
        kill = first.loc[name] if name in first.index else None
        if kill is None:
            yield {**line, "sees it": "nothing"}
            continue
        yield {
            **line,
            "sees it": seers[name],
            "level": kill["level"],
            "checks": int(kill["place"]),
            "ms": f"{1e3 * kill['seconds']:.0f}",
            "first seen by": f"{kill['kind']} {kill['check']}",
            "which says": kill["message"],
        }

"""The certificate of the cases -> its section of the report: tables."""

import json
from pathlib import Path
from typing import Any

import pandas as pd

from bench.stored import RunError
from conformance.certificate import FILE, SCHEMA


def load(directory: Path) -> dict[str, Any] | None:
    """What cases.json of a run folder holds, None if there is none; RunError for another file."""
    path = directory / FILE
    if not path.exists():
        return None
    try:
        stored: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if stored["schema"] != SCHEMA:
            raise ValueError("its schema is another")
        return {"ops": list(stored["ops"]), "witnesses": list(stored["witnesses"])}
    except (ValueError, KeyError, TypeError) as error:
        raise RunError(
            f"{path} must be what `pytest conformance --jsonl` stored: {error}"
        ) from error


def words(stored: dict[str, Any] | None) -> dict[str, Any] | None:
    """What the section says; None without a certificate."""
    if stored is None:
        return None
    ops, witnesses = stored["ops"], pd.DataFrame(stored["witnesses"])
    untold = witnesses[witnesses["by"] == ""]
    return {
        "summary": pd.DataFrame([_line(op, witnesses) for op in ops]),
        "factors": {op["op"]: _factors(op) for op in ops if op["factors"]},
        "impossible": pd.DataFrame(
            [{"op": op["op"], **rule} for op in ops for rule in op["impossible"]],
            columns=["op", "pair", "rule"],
        ),
        "told": len(witnesses) - len(untold),
        "asked": len(witnesses),
        "untold": untold[["op", "direction", "confusion"]],
        "confusions": {op["op"]: _confusions(op["op"], witnesses) for op in ops},
    }


def _line(op: dict[str, Any], witnesses: pd.DataFrame) -> dict[str, Any]:
    mine = witnesses[witnesses["op"] == op["op"]]
    return {
        "op": op["op"],
        "named cases": op["named"],
        "rows of pairs": op["rows"],
        "tails": op["tails"],
        "factors": len(op["factors"]),
        "pairs": op["pairs"],
        "impossible": len(op["impossible"]),
        "covered": op["covered"],
        "confusions told": f"{int((mine['by'] != '').sum())} of {len(mine)}",
    }


def _factors(op: dict[str, Any]) -> pd.DataFrame:
    return pd.DataFrame(
        [{"factor": name, "values": " · ".join(values)} for name, values in op["factors"].items()]
    )


def _confusions(op: str, witnesses: pd.DataFrame) -> pd.DataFrame:
    """A line per confusion, a column per direction: how it is told, from which level on."""
    mine = witnesses[witnesses["op"] == op]
    told = (mine["by"] + ", " + mine["level"]).where(mine["by"] != "", "NOT TOLD")
    table = mine.assign(told=told).pivot_table(
        index="confusion", columns="direction", values="told", aggfunc="first", sort=False
    )
    return table.astype(object).fillna("").reset_index().rename_axis(columns=None)

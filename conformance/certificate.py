"""What the cases are worth, whatever the backend: pairs covered, and who tells a confusion."""

import json
from dataclasses import asdict
from itertools import combinations
from pathlib import Path
from typing import Any

from conformance.covering import cases, covering, factors
from conformance.identify import asked, witnesses
from impls.spec.op import OpSpec
from impls.spec.ops import OPS

FILE = "cases.json"
SCHEMA = 1


def certificate() -> dict[str, Any]:
    """Per operation what is combined and covered; a witness per confusion."""
    return {
        "schema": SCHEMA,
        "ops": [_of(op) for op in OPS.values()],
        "witnesses": [asdict(one) for op in OPS.values() for one in witnesses(op, asked(op))],
    }


def _of(op: OpSpec) -> dict[str, Any]:
    made = covering(op)
    covered = {frozenset(pair) for row in made.rows for pair in combinations(row.items(), 2)}
    values = {name: [str(x) for x in factor.levels] for name, factor in factors(op).items()}
    return {
        "op": op.name,
        "named": len(op.cases),
        "rows": len(made.rows),
        "tails": len(list(cases(op))) - len(made.rows),
        "pairs": len(made.pairs),
        "covered": len(covered),
        "factors": values,
        "impossible": [
            {"pair": " with ".join(f"{name} {values[name][n]}" for name, n in sorted(pair)),
             "rule": rule}
            for pair, rule in made.impossible.items()
        ],
    }  # fmt: skip


def store(folder: Path) -> None:
    """Write the certificate beside the verdicts that rest on it."""
    path = folder / FILE
    path.write_text(json.dumps(certificate(), indent=1) + "\n", encoding="utf-8")

"""What a failed check says besides its message: where, like which fault, and a script."""

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from conformance.checks import Check
from conformance.drawing import drawing
from conformance.lookalike import lookalikes
from conformance.script import script
from conformance.verdict import Status, Verdict
from impls.backend import Backend

# So many failures of a backend are explained: one per kernel and kind of check, the first.
MOST = 10


class Explainer:
    """Explains the first failures of each backend; the rest would say the same again.

    folder: where scripts are written. here: where the run was started.
    """

    def __init__(self, folder: Path, here: Path) -> None:
        self.folder, self.here = folder, here
        self.told: dict[str, set[tuple[str, str]]] = {}

    def __call__(self, backend: Backend, spec: str, check: Check, verdict: Verdict) -> str:
        """Lines of text, or "" where as much has been said before."""
        told, what = self.told.setdefault(spec, set()), (check.kernel, check.kind)
        if what in told or len(told) == MOST:
            return ""
        told.add(what)
        evidence = verdict.evidence
        if evidence and evidence.actual.shape != evidence.expected.shape:
            return ""  # the message says all
        lines = drawing(evidence) if evidence else []
        lines += lookalikes(backend, check, verdict)
        if source := script(backend, spec, check, verdict, self.here):
            # Parameters and all: the name of a file has no room for some of it.
            name = re.sub(r"[^\w.-]+", "_", f"{backend.name}-{check.kind}-{check.id}")[:120]
            path = self.folder / f"{name}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(source, encoding="utf-8")
            lines.append(f"script: python {os.path.relpath(path, self.here)}")
        return "\n".join(lines)


def keep_first(rows: Iterable[dict[str, Any]]) -> None:
    """Take away what one process would not have explained, of rows in the order of its tests.

    Each of several processes explains its own first failures.
    """
    told: dict[str, set[tuple[str, str, str]]] = {}
    for row in rows:
        if row["status"] not in (Status.FAILED, Status.ERROR) or row["kind"] == "networks":
            continue
        mine, what = (
            told.setdefault(row["backend"], set()),
            (row["op"], row["direction"], row["kind"]),
        )
        if what in mine or len(mine) == MOST:
            row["explanation"] = ""
        else:
            mine.add(what)

"""Writes impls/document.md: the document section by section, and what holds each here.

python -m bench.walkthrough

The words are those of walkthrough.md.j2. What they call is computed: snippets are run, and the page
shows what they print; signatures, differences, checks and workloads are read off the sources.
"""

import contextlib
import io
import sys
from collections import Counter
from inspect import Parameter, getdoc, signature
from math import prod
from os.path import relpath
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from bench.machine import ROOT
from bench.workloads import NETWORKS, WORKLOADS, macs_of
from conformance.checks import up_to
from conformance.differences import DIFFERENCES, Answer
from impls import document, layers
from impls.spec.case import EXTENDED, LEVELS
from impls.spec.ops import OPS

PAGE = ROOT / "impls" / "document.md"
DIFFERS = "Differs from the document"
# So many names of workloads are shown.
NAMED = 3


def page() -> str:
    """The page, computed."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    calls = (function, ran, checked, claimed, timed, differences, architectures)
    environment.globals.update({call.__name__: call for call in calls})
    return environment.get_template("walkthrough.md.j2").render()


def function(name: str) -> str:
    """A line: signature, linked; what it gives; how it differs from the document."""
    module = document if hasattr(document, name) else layers
    call = getattr(module, name)
    bare = [
        p.replace(annotation=Parameter.empty, default="numba" if p.name == "backend" else p.default)
        for p in signature(call).parameters.values()
        if p.name not in ("dtype", "seed")
    ]
    shown = signature(call).replace(parameters=bare, return_annotation=Parameter.empty)
    text = getdoc(call) or ""
    first, _, rest = text.partition("\n\n")
    _, found, differs = rest.partition(DIFFERS)
    said = f" *{' '.join((found + differs).split())}*" if found else ""
    return f"[`{name}{shown}`]({_link(module)}): {' '.join(first.split())}{said}"


def ran(caller: Any) -> str:
    """The snippet and what it prints, as two blocks."""
    code = caller().strip("\n")
    out = io.StringIO()
    with contextlib.redirect_stdout(out), np.printoptions(legacy="1.25"):
        exec(compile(code, "snippet", "exec"), {"__name__": "snippet"})
    return f"```python\n{code}\n```\n\n```text\n{out.getvalue().rstrip()}\n```"


def checked(*names: str) -> str:
    """How many cases and checks of each op hold it, by level."""
    return "; ".join(_checked(name) for name in names)


def _checked(name: str) -> str:
    asked = [check for check in up_to(EXTENDED) if check.op.name == name]
    cases = len(OPS[name].cases)
    levels = Counter(check.level for check in asked)
    counts = ", ".join(f"{level} {levels[level]}" for level in LEVELS)
    record = ROOT / "impls" / "spec" / "ops" / f"{name}.py"
    return f"[`{name}`]({_path(record)}), {cases} cases, {len(asked)} checks ({counts})"


def claimed(path: str, *tests: str) -> str:
    """Links to tests; ValueError for one that is not there."""
    source = (ROOT / path).read_text(encoding="utf-8")
    for test in tests:
        if f"def {test}(" not in source:
            raise ValueError(f"test={test!r} must be a test of {path}")
    return ", ".join(f"[`{test}`]({_path(ROOT / path)})" for test in tests)


def timed(select: str) -> str:
    """Which workloads `--select` finds in the full tables; ValueError for none."""
    names = [name for name in WORKLOADS if select in name]
    if not names:
        raise ValueError(f"select={select!r} must be part of a workload's name")
    shown = ", ".join(f"`{name}`" for name in names[:NAMED])
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return f"{shown}{more}: `nox -s bench -- --preset full --select {select}`"


def differences() -> str:
    """The table of differences, both answers computed."""
    lines = [
        "| the document | PyTorch, which wins | asked | the document answers | PyTorch answers"
        " | here | they agree where |",
        "|---|---|---|---|---|---|---|",
    ]
    for line in DIFFERENCES:
        answers = (line.documents(), line.pytorchs(), line.ours("numba"))
        cells = (
            line.document, line.pytorch, line.example,
            *(f"`{told(answer)}`" for answer in answers), line.agree_where,
        )  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def told(answer: Answer) -> str:
    """An answer in one line: rows with a slash between."""
    if isinstance(answer, Exception):
        return type(answer).__name__
    if isinstance(answer, np.dtype):
        return str(answer)
    rows = answer.reshape(-1, answer.shape[-1])
    return " / ".join(" ".join(f"{value:g}" for value in row) for row in rows)


def architectures() -> str:
    """The document's architectures, summed over their workloads."""
    lines = [
        "| network | layers with weights | weights | multiply-adds of one image |",
        "|---|---|---|---|",
    ]
    for name in ("alexnet", "vgg16", "googlenet", "resnet50"):
        weighted = [w for w in NETWORKS[name].workloads if "weight" in w.plan.inputs]
        count = sum(w.times for w in weighted)
        weights = sum(w.times * prod(w.case.shapes[1]) for w in weighted)
        lines.append(f"| {name} | {count} | {weights / 1e6:.1f} M | {macs_of(name) / 1e9:.3f} G |")
    return "\n".join(lines)


def _link(module: ModuleType) -> str:
    assert module.__file__ is not None
    return _path(Path(module.__file__))


def _path(path: Path) -> str:
    return Path(relpath(path, PAGE.parent)).as_posix()


def main() -> int:
    """Write the page."""
    PAGE.write_text(page(), encoding="utf-8")
    print(f"walkthrough: wrote {PAGE.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

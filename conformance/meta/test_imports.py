"""Imports go down only: bench, conformance, impls, impls.spec. Read off the sources, unimported."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
OURS = ("noxfile", "impls", "conformance", "bench", "reports")
# A room, and what of ours a module in it may import; the first room that holds it decides.
ROOMS = {
    "noxfile": (),
    "bench": ("bench", "conformance", "impls"),
    "conformance": ("conformance", "impls"),
    "impls.spec": ("impls.spec",),
    "impls.backend": ("impls.spec",),
    "impls.registry": ("impls.backend", "impls.spec"),
    "impls.loop": ("impls.spec",),
    "impls.im2col": ("impls.spec",),
    "impls.numba_parallel": ("impls.numba_parallel", "impls.spec"),
    "impls": ("impls",),
}
# The oracle must not leak into what it judges.
WITHOUT_TORCH = "impls"
ONLY_NUMPY = ("impls.spec", "impls.loop", "impls.im2col")
NUMBA = "impls.numba_parallel"


def module_name(path: Path) -> str:
    """The dotted name of a file below the root: "impls.spec.op"."""
    words = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(words[:-1] if words[-1] == "__init__" else words)


def imported(source: str, module: str, *, is_package: bool = False) -> set[str]:
    """Dotted names that a source imports, wherever in it; `from a import b` is a.b."""
    package = module.split(".") if is_package else module.split(".")[:-1]
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            start = ".".join([*base, *([node.module] if node.module else [])])
            found |= {f"{start}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Call):
            found |= set(_by_function(node))
    return found


def _by_function(call: ast.Call) -> Iterator[str]:
    """What importlib.import_module or __import__ is given as a literal."""
    function = ast.unparse(call.func).rsplit(".", 1)[-1]
    if function in ("import_module", "__import__") and call.args:
        name = call.args[0]
        if isinstance(name, ast.Constant) and isinstance(name.value, str):
            yield name.value


def inside(name: str, room: str) -> bool:
    return name == room or name.startswith(f"{room}.")


def violations(source: str, module: str, *, is_package: bool = False) -> list[str]:
    """What a module imports against the drawing, one line each."""
    room = next(room for room in ROOMS if inside(module, room))
    # Tests lie beside what they test, and may compare it with its neighbors.
    is_test = module.rsplit(".", 1)[-1].startswith(("test_", "conftest"))
    allowed = ("impls",) if is_test and inside(module, "impls") else ROOMS[room]
    wrong = []
    for name in sorted(imported(source, module, is_package=is_package)):
        top = name.split(".")[0]
        if top in OURS and not any(inside(name, place) for place in allowed):
            wrong.append(f"{module} imports {name}, but may import of ours: {', '.join(allowed)}")
        if top == "torch" and inside(module, WITHOUT_TORCH):
            wrong.append(f"{module} imports torch, but nothing under impls may")
        if top in ("numba", "llvmlite") and inside(module, "impls") and not inside(module, NUMBA):
            wrong.append(f"{module} imports {top}, but only {NUMBA} may")
        foreign = top not in (*OURS, "numpy") and top not in sys.stdlib_module_names
        if foreign and not is_test and any(inside(module, place) for place in ONLY_NUMPY):
            wrong.append(f"{module} imports {top}, but may import numpy and the standard library")
    return wrong


def sources() -> list[Path]:
    """Every Python file of the project; what lies in reports was written by a run."""
    rooms = [room for room in OURS if room != "reports"]
    found = [path for room in rooms for path in (ROOT / room).rglob("*.py")]
    return [*(path for path in [ROOT / "noxfile.py"] if path.exists()), *found]


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_down_only(path: Path) -> None:
    is_package = path.name == "__init__.py"
    source = path.read_text(encoding="utf-8")
    assert violations(source, module_name(path), is_package=is_package) == []


def test_every_room_is_read() -> None:
    rooms = {module_name(path).split(".")[0] for path in sources()}
    assert {"impls", "conformance", "bench"} <= rooms
    for room in ROOMS:
        path = ROOT.joinpath(*room.split("."))
        assert path.is_dir() or path.with_suffix(".py").is_file(), room


@pytest.mark.parametrize(
    "module, source",
    [
        ("noxfile", "import impls"),
        ("impls.loop", "import torch"),
        ("impls.loop", "from torch.nn import functional"),
        ("impls.loop", "def conv():\n    import torch"),
        ("impls.loop", "import importlib\nimportlib.import_module('torch')"),
        ("impls.loop", "from impls.im2col import conv"),
        ("impls.loop", "from impls import im2col"),
        ("impls.loop", "from . import im2col"),
        ("impls.loop", "import scipy.signal"),
        ("impls.im2col", "import numba"),
        ("impls.numba_parallel._conv", "from ..im2col import conv"),
        ("impls.numba_parallel._conv", "from impls import loop"),
        ("impls.spec.op", "from impls.backend import Backend"),
        ("impls.spec.op", "import impls"),
        ("impls.spec.ops.relu", "from impls import registry"),
        ("impls.spec.cost", "import pandas"),
        ("impls.document", "from conformance import oracle"),
        ("impls.layers", "import bench.row"),
        ("impls.layers", "from numba import njit"),
        ("impls.test_loop", "from conformance.verdict import differences"),
        ("conformance.judge", "from bench import timing"),
        ("conformance.judge", "import reports.latest"),
        ("bench.report", "from reports import latest"),
        ("bench.report", "import noxfile"),
    ],
)
def test_a_planted_violation_is_caught(module: str, source: str) -> None:
    assert len(violations(source, module)) >= 1


@pytest.mark.parametrize(
    "module, source",
    [
        ("impls.loop", "import math\nimport numpy as np"),
        ("impls.loop", "from impls.spec.shapes import conv_output"),
        ("impls.loop", "from impls.spec import shapes"),
        ("impls.numba_parallel._conv", "import numba\nfrom ._jit import njit"),
        ("impls.document", "import impls\nfrom impls.backend import Backend"),
        ("conformance.oracle", "import torch\nfrom impls.spec.op import OpSpec\nimport impls"),
        ("bench.harness", "import pandas\nfrom conformance import tolerance\nimport impls"),
    ],
)
def test_what_may_be_imported_passes(module: str, source: str) -> None:
    assert violations(source, module) == []

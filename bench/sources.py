"""What was timed, as a digest: rows of changed sources are not taken for those of these."""

from collections.abc import Iterator
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path

import impls
from bench.machine import ROOT

# What decides a sample; pages and tables may change without making a row stale.
MEASURING = ("impls", "bench/workloads", "bench/calls.py", "bench/timing.py", "bench/worker.py")


def digest(spec: str) -> str:
    """A short digest of a backend's sources, its own and the project's that run or time it."""
    found = sha256()
    for path in sorted({*_files(ROOT, *MEASURING), *_own(spec)}):
        found.update(path.name.encode())
        found.update(path.read_bytes())
    return found.hexdigest()[:12]


def _own(spec: str) -> Iterator[Path]:
    """The files of a backend of one's own; a package with all its modules."""
    if spec in impls.names():
        return
    if spec.endswith(".py"):
        yield from _files(Path(), spec)
        return
    try:
        module = find_spec(spec)
    except (ImportError, ValueError):  # no module: its worker will say so
        return
    for folder in (module.submodule_search_locations or ()) if module else ():
        yield from _files(Path(folder), ".")
    if module and module.origin and module.has_location:
        yield Path(module.origin)


def _files(root: Path, *names: str) -> Iterator[Path]:
    for name in names:
        path = root / name
        if path.is_file():
            yield path
        for file in path.rglob("*.py"):
            if not file.name.startswith("test_"):
                yield file

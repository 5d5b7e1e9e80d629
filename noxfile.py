"""Every way to run this project: `nox -s SESSION -- ARGUMENTS`; `nox -l` lists the sessions.

Environments are made once and reused; what they hold is said in pyproject.toml (dependency groups)
and pinned in constraints.txt.
"""

import argparse
import shutil
from collections.abc import Sequence
from pathlib import Path

import nox
from nox.command import CommandFailed

nox.needs_version = ">=2025.2.9"
nox.options.reuse_venv = "yes"
nox.options.sessions = ["lint", "types", "tests"]

PYPROJECT = nox.project.load_toml("pyproject.toml")
LATEST = Path("reports", "latest")
# What `report` stores there; the rest is rendered from these, or stored by other sessions.
STORED = (
    "conformance.jsonl", "failures", "run.json", "samples.csv", "benchmark.json", "passes.csv",
    "instrument.json",
)  # fmt: skip
BUILT_IN = ("loop", "im2col", "numba")
# PyTorch judged as a backend: its grade stands beside the others' in the report.
YARDSTICK = "bench/peers/pytorch.py"


def _install(session: nox.Session, group: str, *options: str) -> None:
    requirements = nox.project.dependency_groups(PYPROJECT, group)
    session.install(*requirements, *(options or ("--constraint", "constraints.txt")))


@nox.session
def report(session: nox.Session) -> None:
    """Validate every backend, time it and write reports/latest; arguments go to `bench run`."""
    _install(session, "bench")
    LATEST.mkdir(parents=True, exist_ok=True)
    if not (LATEST / "journal.jsonl").exists():  # of an interrupted run, which goes on
        for path in (LATEST / name for name in STORED):
            if path.is_dir():
                shutil.rmtree(path)
            path.unlink(missing_ok=True)
    # What is timed is judged too.
    chosen = _values(session.posargs, "--backend") or BUILT_IN
    backends = [f"--backend={spec}" for spec in (*chosen, YARDSTICK)]
    stored = f"--jsonl={LATEST / 'conformance.jsonl'}"
    # A fault must not keep the rest from being written: it is told at the end.
    is_right = _passes(session, "pytest", "conformance", *backends, stored)
    is_known = _passes(session, "conformance.passport", *backends, f"--out={LATEST}")
    is_timed = _passes(session, "bench", "run", f"--out={LATEST}", *session.posargs)
    if not is_timed:
        _passes(session, "bench", "report", str(LATEST))
    if not (is_right and is_known and is_timed):
        session.error(f"a backend failed: {LATEST / 'index.html'} says which, and how")


def _values(arguments: Sequence[str], option: str) -> list[str]:
    """Values of an option among the arguments."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument(option, dest="values", action="append", default=[])
    found: list[str] = parser.parse_known_args(arguments)[0].values
    return found


def _passes(session: nox.Session, *command: str) -> bool:
    """Whether `python -m command` exits with 0."""
    try:
        session.run("python", "-m", *command)
    except CommandFailed:
        return False
    return True


@nox.session
def tests(session: nox.Session) -> None:
    """Prove the project itself: its own tests, then every built-in backend's conformance."""
    _install(session, "test")
    _prove(session)


@nox.session
def latest(session: nox.Session) -> None:
    """The same as tests, with the newest version of everything instead of the pinned ones."""
    _install(session, "test", "--upgrade", "--upgrade-strategy=eager")
    _prove(session)


def _prove(session: nox.Session) -> None:
    if session.posargs:
        session.run("pytest", *session.posargs)
        return
    everywhere = "--numprocesses=auto"
    session.run("pytest", "impls", "conformance/meta", everywhere)
    session.run("pytest", "bench", "--benchmark-disable")  # these time, one after the other
    session.run("pytest", "conformance", everywhere)


@nox.session
def conformance(session: nox.Session) -> None:
    """Judge backends: `-- --backend NAME|MODULE|PATH.py --level LEVEL`."""
    _install(session, "conformance")
    session.run("pytest", "conformance", *session.posargs)


@nox.session
def faults(session: nox.Session) -> None:
    """Judge every faulty and every right backend: `-- --select TEXT`; the report shows who dies."""
    _install(session, "test")
    is_strong = _passes(session, "conformance.meta", *session.posargs)
    session.run("python", "-m", "bench", "report", *_values(session.posargs, "--out")[-1:])
    if not is_strong:
        session.error("a fault is not caught, or a right backend is refused")


@nox.session
def bench(session: nox.Session) -> None:
    """Time backends beside PyTorch, into reports/bench: `-- --preset NAME --select TEXT`."""
    _install(session, "bench")
    session.run("python", "-m", "bench", "run", *session.posargs)


@nox.session
def train(session: nox.Session) -> None:
    """Train the document's SimpleCNN on handwritten digits: `-- --backend NAME|MODULE|PATH.py`."""
    _install(session, "train")
    session.run("python", "-m", "bench.training", *session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    """Write impls/document.md, the walk through the document, from the sources."""
    _install(session, "bench")
    session.run("python", "-m", "bench.walkthrough")


@nox.session
def compare(session: nox.Session) -> None:
    """What became faster or slower: `-- OLD NEW`, two stored runs or two revisions."""
    _install(session, "bench")
    session.run("python", "-m", "bench", "compare", *session.posargs)


@nox.session
def bench_aa(session: nox.Session) -> None:
    """Test the harness: backends beside themselves, alone and on a busy machine."""
    _install(session, "bench")
    session.run("python", "-m", "bench.instrument", "aa")


@nox.session
def bench_sensitivity(session: nox.Session) -> None:
    """Test the harness: a decoy that does 5 % more work, alone and on a busy machine."""
    _install(session, "bench")
    session.run("python", "-m", "bench.instrument", "sensitivity")


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and formatting."""
    _install(session, "lint")
    session.run("ruff", "check", *session.posargs)
    session.run("ruff", "format", "--check")


@nox.session
def types(session: nox.Session) -> None:
    """Check types, strictly."""
    _install(session, "types")
    session.run("mypy", *session.posargs)

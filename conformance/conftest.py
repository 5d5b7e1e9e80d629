"""pytest's side of the suite: options, one test per backend and check, the ledger."""

import os
import shlex
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

# Read when NumPy is first imported. OpenBLAS's idle worker would spin for 100 ms beside the
# backend and PyTorch: measured, their calls then take 2 to 17 times as long.
os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "4")
# Three threads divide hardly any extent, so that a rest is left: every machine must be able to ask.
os.environ.setdefault("NUMBA_NUM_THREADS", str(max(4, os.cpu_count() or 1)))

import impls
from conformance import ledger
from conformance.checks import Check, up_to
from conformance.judge import judge
from conformance.networks import networks_up_to
from conformance.verdict import Status, Verdict
from impls.backend import Backend
from impls.spec.case import LEVELS

# By spec: the backend, or what was raised when it was imported.
Loaded = dict[str, Backend | BaseException]
BACKENDS = pytest.StashKey[Loaded]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("conformance")
    group.addoption(
        "--backend",
        action="append",
        metavar="NAME|MODULE|PATH.py",
        help="a backend to judge; repeat for several (default: all built-in backends)",
    )
    group.addoption(
        "--level",
        choices=LEVELS,
        default=LEVELS[-1],
        help="the highest level to judge, with those below it (default: extended)",
    )
    group.addoption("--jsonl", type=Path, metavar="FILE", help="store one line per check")


def pytest_configure(config: pytest.Config) -> None:
    loaded: Loaded = {}
    sys.path.append(str(config.invocation_params.dir))  # a backend may be a module there
    for spec in config.getoption("--backend") or impls.names():
        try:
            loaded[spec] = impls.get(spec)
        except (Exception, SystemExit) as error:  # a verdict of this backend alone
            loaded[spec] = error
    config.stash[BACKENDS] = loaded
    # The ledger says it shorter than pytest's list of failed and skipped ids, which repeats them.
    config.option.reportchars = ""
    if not hasattr(config, "workerinput"):  # xdist's workers report to this process
        config.pluginmanager.register(Ledger(config))


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out meta, the suite's own tests, unless they are named (an ini elsewhere may not)."""
    is_named = any("meta" in Path(argument.split("::")[0]).parts for argument in config.args)
    return True if collection_path.name == "meta" and not is_named else None


def pytest_report_header(config: pytest.Config) -> str:
    level = config.getoption("--level")
    count = len(up_to(level)) + len(networks_up_to(level))
    loaded = config.stash[BACKENDS]
    specs = ", ".join(loaded)
    return f"conformance: {specs}; {count} checks each, up to level {level}"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """test_<kind>(check) runs per backend and check of its kind, test_loads per backend."""
    backends = metafunc.config.stash[BACKENDS]
    if "check" not in metafunc.fixturenames:
        if "load" in metafunc.fixturenames:
            metafunc.parametrize("spec", backends)
        return
    kind = metafunc.function.__name__.removeprefix("test_")
    checks = [check for check in up_to(metafunc.config.getoption("--level")) if check.kind == kind]
    cases = [
        pytest.param(spec, check, id=f"{label}-{check.id}", marks=_mark(check.level))
        for spec, label in labels(backends).items()
        for check in checks
    ]
    metafunc.parametrize("spec, check", cases)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Drop what stands for a kind without checks at this level: nothing was promised there."""
    items[:] = [
        item
        for item in items
        if not any(
            "empty parameter set" in m.kwargs.get("reason", "") for m in item.iter_markers("skip")
        )
    ]


def _mark(level: str) -> pytest.MarkDecorator:
    mark: pytest.MarkDecorator = getattr(pytest.mark, level)
    return mark


def labels(backends: Loaded) -> dict[str, str]:
    """What test ids call each backend: its name, or its spec where two have one name."""
    names = {spec: loaded.name for spec, loaded in backends.items() if isinstance(loaded, Backend)}
    counts = Counter(names.values())
    return {spec: name if counts[name] == 1 else spec for spec, name in names.items()}


def _not_loaded(spec: str, error: BaseException) -> Verdict:
    return Verdict(Status.ERROR, f"backend={spec!r} cannot be loaded: {error!r}")


@pytest.fixture
def load(spec: str, request: pytest.FixtureRequest) -> Callable[[], None]:
    """Fail, and note it in the ledger, if the backend could not be loaded."""

    def load() -> None:
        loaded = request.config.stash[BACKENDS][spec]
        if isinstance(loaded, BaseException):
            verdict = _not_loaded(spec, loaded)
            note(request, ledger.row(spec, ledger.LOADS, verdict, repeat(spec, request)))
            end(verdict, repeat(spec, request))

    return load


@pytest.fixture
def conform(spec: str, request: pytest.FixtureRequest) -> Callable[[Check], None]:
    """Judge a check: note the verdict in the ledger, then pass, skip or fail the test."""

    def conform(check: Check) -> None:
        backend = request.config.stash[BACKENDS][spec]
        assert isinstance(backend, Backend)
        verdict = judge(backend, check)
        again = repeat(spec, request)
        asked = {**ledger.asked(check), "accuracy": backend.accuracy}
        note(request, ledger.row(label(request, spec), asked, verdict, again))
        end(verdict, again)

    return conform


def label(request: pytest.FixtureRequest, spec: str) -> str:
    """What tests and rows call the backend of a spec."""
    return labels(request.config.stash[BACKENDS])[spec]


def note(request: pytest.FixtureRequest, row: ledger.Row) -> None:
    """Note a row for the ledger."""
    # pytest carries user_properties from xdist's workers to the process that reports.
    request.node.user_properties.append(("conformance", row))


def repeat(spec: str, request: pytest.FixtureRequest) -> str:
    """The line that runs this test again, from the folder where this run was started."""
    file, test = request.node.nodeid.split("::", 1)
    here = request.config.invocation_params.dir
    node = f"{os.path.relpath(request.config.rootpath / file, here)}::{test}"
    return f"pytest {shlex.quote(node)} --backend {shlex.quote(spec)}"


def end(verdict: Verdict, repeat: str) -> None:
    """Pass, skip or fail the test."""
    match verdict.status:
        case Status.PASSED:
            return
        case Status.MISSING | Status.UNSUPPORTED:
            pytest.skip(f"{verdict.status}: {verdict.message}")
        case _:
            message = f"{verdict.status}: {verdict.message}\nrepeat: {repeat}"
            pytest.fail(message, pytrace=False)


class Ledger:
    """Collects the rows of all tests, shows their counts and stores them."""

    def __init__(self, config: pytest.Config) -> None:
        self.rows: list[ledger.Row] = []
        self.path: Path | None = config.getoption("--jsonl")
        # The suite's own tests ask for no backend.
        self.judges = config.getoption("--backend") is not None

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call":
            properties: list[tuple[str, Any]] = report.user_properties
            self.rows += [value for name, value in properties if name == "conformance"]

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Tell of backends that were not loaded, whatever tests were selected."""
        told = {row["backend"] for row in self.rows}
        for spec, loaded in session.config.stash[BACKENDS].items():
            if isinstance(loaded, BaseException) and spec not in told and self.judges:
                verdict = _not_loaded(spec, loaded)
                again = f"pytest conformance --backend {shlex.quote(spec)}"
                self.rows.append(ledger.row(spec, ledger.LOADS, verdict, again))
                session.exitstatus = pytest.ExitCode.TESTS_FAILED
        if self.path is not None:
            ledger.write(self.rows, self.path)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self.rows:
            terminalreporter.section("conformance")
            for line in ledger.summary(self.rows):
                terminalreporter.line(line)
            for row in self.rows:
                if row["kind"] == ledger.LOADS["kind"]:
                    terminalreporter.line(f"{row['status']}: {row['message']}")

"""pytest's side of the suite: options, one test per backend and check, the ledger."""

import gc
import os
import shlex
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

# Read when NumPy is first imported. OpenBLAS's idle worker would spin for 100 ms beside the
# backend and PyTorch: measured, their calls then take 2 to 17 times as long.
os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "4")
# Three threads divide hardly any extent, so that a rest is left: every machine must be able to ask.
os.environ.setdefault("NUMBA_NUM_THREADS", str(max(4, os.cpu_count() or 1)))

import impls
from conformance import certificate, jsonl, known, ledger, versions
from conformance.checks import ORACLES, Check, up_to
from conformance.explain import Explainer, keep_first
from conformance.judge import judge
from conformance.networks import networks_up_to
from conformance.verdict import BAD, Status, Verdict
from impls.backend import Backend
from impls.spec.case import LEVELS

# By spec: the backend, or what was raised when it was imported.
Loaded = dict[str, Backend | BaseException]
BACKENDS = pytest.StashKey[Loaded]()
KNOWN = pytest.StashKey[list[known.Entry]]()
EXPLAIN = pytest.StashKey[Explainer]()
HERE = Path(__file__).resolve().parent
# Scripts of failures lie beside what --jsonl stores, or here.
REPORTS = HERE.parent / "reports"
# pytest's exit codes of a run in which it saw nothing wrong.
PASSING = (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)


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
    group.addoption(
        "--oracle",
        choices=ORACLES,
        default=ORACLES[0],
        help="who says what is right: PyTorch, or axioms that NumPy judges alone (default: torch)",
    )
    group.addoption("--jsonl", type=Path, metavar="FILE", help="store one line per check")
    group.addoption(
        "--known-failures",
        action="append",
        type=Path,
        metavar="FILE",
        help="a TOML file of checks that are expected to fail, with reasons; repeat for several",
    )


def pytest_configure(config: pytest.Config) -> None:
    loaded: Loaded = {}
    sys.path.append(str(config.invocation_params.dir))  # a backend may be a module there
    for spec in config.getoption("--backend") or impls.names():
        try:
            loaded[spec] = impls.get(spec)
        except (Exception, SystemExit) as error:  # a verdict of this backend alone
            loaded[spec] = error
    config.stash[BACKENDS] = loaded
    try:
        files = config.getoption("--known-failures") or []
        config.stash[KNOWN] = [entry for file in files for entry in known.load(file)]
    except ValueError as error:
        raise pytest.UsageError(str(error)) from None
    stored: Path | None = config.getoption("--jsonl")
    folder = stored.absolute().parent if stored else REPORTS
    config.stash[EXPLAIN] = Explainer(folder / "failures", config.invocation_params.dir)
    # What is imported by now stays: looking through it again took a quarter of the collection.
    gc.freeze()
    # The ledger says it shorter than pytest's list of failed and skipped ids, which repeats them.
    config.option.reportchars = ""
    if not hasattr(config, "workerinput"):  # xdist's workers report to this process
        config.pluginmanager.register(Ledger(config))


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out meta, the suite's own tests, unless they are named (an ini elsewhere may not)."""
    is_named = any("meta" in Path(argument.split("::")[0]).parts for argument in config.args)
    return True if collection_path.name == "meta" and not is_named else None


def asked(config: pytest.Config) -> tuple[str, str]:
    """(level, oracle) of the command line."""
    return config.getoption("--level"), config.getoption("--oracle")


def pytest_report_header(config: pytest.Config) -> str:
    level, oracle = asked(config)
    count = len(up_to(level, oracle)) + len(networks_up_to(level, oracle))
    loaded = config.stash[BACKENDS]
    specs = ", ".join(loaded)
    judge = ", without PyTorch" if oracle == "none" else ""
    return f"conformance: {specs}; {count} checks each, up to level {level}{judge}"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """test_<kind>(check) runs per backend and check of its kind, test_loads per backend."""
    backends = metafunc.config.stash[BACKENDS]
    if "check" not in metafunc.fixturenames:
        if "load" in metafunc.fixturenames:
            metafunc.parametrize("spec", backends)
        return
    kind = metafunc.function.__name__.removeprefix("test_")
    checks = [check for check in up_to(*asked(metafunc.config)) if check.kind == kind]
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


@cache
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
            settle(request, spec, ledger.LOADS, _not_loaded(spec, loaded))

    return load


@pytest.fixture
def conform(spec: str, request: pytest.FixtureRequest) -> Callable[[Check], None]:
    """Judge a check and settle its verdict."""

    def conform(check: Check) -> None:
        backend = request.config.stash[BACKENDS][spec]
        assert isinstance(backend, Backend)
        verdict = judge(backend, check)
        if verdict.status in (Status.FAILED, Status.ERROR):
            explanation = request.config.stash[EXPLAIN](backend, spec, check, verdict)
            verdict = replace(verdict, explanation=explanation)
        settle(request, spec, ledger.asked(check, backend), verdict)

    return conform


def settle(request: pytest.FixtureRequest, spec: str, asked: ledger.Row, verdict: Verdict) -> None:
    """Note a verdict in the ledger, then pass, skip or fail the test."""
    test = request.node.name
    label = labels(request.config.stash[BACKENDS]).get(spec, spec)
    again = repeat(request.config, spec, test)
    entry = known.find(request.config.stash[KNOWN], test)
    row = ledger.row(label, asked, verdict, again, entry.reason if entry else "")
    # pytest carries user_properties from xdist's workers to the process that reports.
    request.node.user_properties.append(("conformance", row))
    if entry:
        expect(entry, verdict)
    end(verdict, again)


def repeat(config: pytest.Config, spec: str, test: str) -> str:
    """The line that runs a test again, from the folder where this run was started."""
    file = _file(test.partition("[")[0], config.invocation_params.dir)
    oracle = "" if config.getoption("--oracle") == "torch" else " --oracle none"
    return f"pytest {shlex.quote(f'{file}::{test}')} --backend {shlex.quote(spec)}{oracle}"


@cache
def _file(test: str, start: Path) -> str:
    return os.path.relpath(HERE / f"{test}.py", start)


def expect(entry: known.Entry, verdict: Verdict) -> None:
    """End the test of a known failure: as expected, or failed if it does not fail."""
    if verdict.status in BAD:
        pytest.xfail(f"{entry.reason}\n{verdict.status}: {verdict.message}")
    pytest.fail(
        f"{verdict.status}, but {entry.where} says that it fails ({entry.reason}):"
        " take the check out of the entry",
        pytrace=False,
    )


def end(verdict: Verdict, repeat: str) -> None:
    """Pass, skip or fail the test."""
    match verdict.status:
        case Status.PASSED:
            return
        case Status.MISSING | Status.UNSUPPORTED:
            pytest.skip(f"{verdict.status}: {verdict.message}")
        case _:
            message = f"{verdict.status}: {verdict.message}\nrepeat: {repeat}"
            pytest.fail(f"{message}\n{verdict.explanation}".rstrip(), pytrace=False)


def selection(config: pytest.Config) -> list[str]:
    """What the command line says to leave out; nothing: every check is promised."""
    options = ("keyword", "markexpr", "deselect", "ignore", "ignore_glob", "lf", "stepwise")
    said = [f"{name}={value}" for name in options if (value := config.getoption(name, None))]
    start = config.invocation_params.dir
    folders = [(start / argument.split("::")[0]).resolve() for argument in config.args]
    return said if any(map(HERE.is_relative_to, folders)) else [*config.args, *said]


def promise(config: pytest.Config, level: str, oracle: str) -> dict[str, ledger.Row]:
    """Every row of the backends up to a level, by test: unjudged, or not loaded."""
    rows = {}
    backends = config.stash[BACKENDS]
    names = labels(backends)
    for spec, loaded in backends.items():
        label, verdict = names.get(spec, spec), ledger.UNJUDGED
        if isinstance(loaded, Backend):
            every = ledger.promised(label, loaded, level, oracle)
        else:
            every, verdict = {f"test_loads[{spec}]": ledger.LOADS}, _not_loaded(spec, loaded)
        for test, asked in every.items():
            rows[test] = ledger.row(label, asked, verdict, repeat(config, spec, test))
    return rows


class Ledger:
    """What is promised before the run, and what came of it: shown, stored, and held to."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.begun_s = time.perf_counter()
        self.path: Path | None = config.getoption("--jsonl")
        self.selection = selection(config)
        self.header: jsonl.Line = {}
        self.rows: dict[str, ledger.Row] = {}  # by test; unjudged until there is a verdict
        self.order: list[str] = []  # the tests as one process runs them
        self.stale: list[known.Entry] = []

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self.begin(item.nodeid for item in session.items)

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, ids: list[str]) -> None:
        if not self.header:  # every worker collects the same
            self.begin(ids)

    def begin(self, nodes: Iterable[str]) -> None:
        """Promise every check, or what these nodes ask if the command line selects."""
        self.order = [test_of(node) for node in nodes]
        level, oracle = asked(self.config)
        backends = self.config.stash[BACKENDS]
        names = labels(backends)
        self.rows = promise(self.config, level, oracle)
        if self.selection:
            chosen = set(self.order)
            if self.config.getoption("--backend"):
                # One that is asked for and cannot be loaded is told, whatever is selected.
                chosen |= {test for test, row in self.rows.items() if is_load(row)}
            self.rows = {test: row for test, row in self.rows.items() if test in chosen}
        self.header = {
            "schema": jsonl.SCHEMA,
            "started": datetime.now(UTC).isoformat(timespec="seconds"),
            "versions": versions.packages(),
            "threads": versions.threads(),
            "seeds": "crc32 of a case's id",
            "level": level,
            "oracle": oracle,
            "selection": self.selection,
            "backends": {names.get(spec, spec): spec for spec in backends},
            "promised": jsonl.promised(list(self.rows.values())),
        }
        if self.path is not None and not self.config.option.collectonly:
            jsonl.begin(self.path, self.header)

    def pytest_report_collectionfinish(self) -> list[str]:
        told = f", as selected by {', '.join(self.selection)}" if self.selection else ""
        return [f"promised: {len(self.rows)} checks{told}"] if self.rows else []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        properties: list[tuple[str, Any]] = report.user_properties
        found = next((value for name, value in properties if name == "conformance"), None)
        test = test_of(report.nodeid)
        if test not in self.rows:
            return
        if found:
            self.rows[test] = found
        elif report.failed:
            # The process that ran it died, or something around the check failed.
            told = {"status": str(Status.ERROR), "message": f"no verdict: {report.longreprtext}"}
            self.rows[test] |= told

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Fail for what is wrong or not judged, whatever pytest and its plugins made of it."""
        if self.config.option.collectonly or not self.header:
            return
        if self.config.stash[KNOWN] and not any(map(is_load, self.rows.values())):
            every = (promise(self.config, LEVELS[-1], oracle) for oracle in ORACLES)
            self.stale = known.stale(self.config.stash[KNOWN], chain(*every))
        keep_first(self.rows[test] for test in self.order if test in self.rows)
        rows = list(self.rows.values())
        is_wrong = any((row["status"] in BAD) != bool(row["known"]) for row in rows)
        if (is_wrong or self._unjudged() or self.stale) and session.exitstatus in PASSING:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
        if self.path is not None:
            footer = {
                "counts": jsonl.statuses(rows),
                "duration_s": time.perf_counter() - self.begun_s,
                "exit": int(session.exitstatus),
            }
            jsonl.write(self.path, jsonl.Recorded(self.header, rows, footer))
            if asked(self.config) == (LEVELS[-1], ORACLES[0]) and not self.selection:
                certificate.store(self.path.parent)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if not self.rows or self.config.option.collectonly:
            return
        terminalreporter.section("conformance")
        for line in ledger.summary(list(self.rows.values())):
            terminalreporter.line(line)
        for row in filter(is_load, self.rows.values()):
            terminalreporter.line(f"{row['status']}: {row['message']}")
        if unjudged := self._unjudged():
            terminalreporter.line(
                f"{len(unjudged)} of {len(self.rows)} promised checks have no verdict, which fails"
                f" the run; the first: {unjudged[0]['repeat']}"
            )
        for entry in self.stale:
            terminalreporter.line(
                f"{entry.where}: check={entry.check!r} must match a check of these backends,"
                " but matches none, which fails the run"
            )

    def _unjudged(self) -> list[ledger.Row]:
        return [row for row in self.rows.values() if row["status"] == Status.UNJUDGED]


def test_of(node: str) -> str:
    """A test's name in its node id."""
    return node.partition("::")[2]


def is_load(row: ledger.Row) -> bool:
    """Whether a row tells of a backend that cannot be loaded."""
    return bool(row["kind"] == ledger.LOADS["kind"])

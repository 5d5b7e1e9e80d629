"""What is promised is held to: whatever takes verdicts away fails the run and is told."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import impls
from conformance import jsonl, known, ledger
from conformance.checks import up_to
from conformance.conftest import HERE
from conformance.explain import MOST, keep_first
from conformance.verdict import Status, Verdict
from impls.spec.case import LEVELS

RIGHT = "from impls.im2col import relu\n"
WRONG = """\
from impls import im2col

def relu(input):
    return im2col.relu(input) + 1
"""
# At level document: relu's one interface check, two of shapes and two of values.
RELU = ("-k", "relu-forward")
PROMISED = len(up_to("document"))
VALUES = sum(check.kind == "values" for check in up_to("document"))


@dataclass(frozen=True, slots=True)
class Ran:
    """What a run of the suite leaves behind."""

    exit: int
    output: str
    path: Path

    @property
    def statuses(self) -> dict[str, int]:
        """How many checks have each status that is there at all."""
        recorded = jsonl.read(self.path)
        assert recorded.footer["exit"] == self.exit
        return {name: count for name, count in recorded.footer["counts"].items() if count}


Suite = Callable[..., Ran]


@pytest.fixture
def suite(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Suite:
    """`pytest conformance --backend mine.py --level document ARGUMENTS`, in this process."""

    def run(source: str, *arguments: str, plugin: object = None) -> Ran:
        backend, path = tmp_path / "mine.py", tmp_path / "checks.jsonl"
        backend.write_text(source, encoding="utf-8")
        line = ["-p", "no:cacheprovider", f"--backend={backend}", f"--jsonl={path}"]
        if not any(str(HERE) in argument for argument in arguments):
            line.append(str(HERE))
        status = pytest.main([*line, "--level=document", *arguments], plugins=[plugin or object()])
        return Ran(int(status), capsys.readouterr().out, path)

    return run


def test_a_whole_run_promises_every_check_before_the_first(suite: Suite, tmp_path: Path) -> None:
    class Witness:
        """Sees the file as it is before the first check."""

        def pytest_runtestloop(self) -> None:
            (line,) = (tmp_path / "checks.jsonl").read_text().splitlines()
            self.header = json.loads(line)["header"]

    witness = Witness()
    ran = suite(RIGHT, plugin=witness)
    assert ran.exit == 0
    assert witness.header["promised"] == {"mine": {"document": PROMISED}}
    assert f"promised: {PROMISED} checks\n" in ran.output
    assert ran.statuses == {"passed": 5, "missing": PROMISED - 5}
    header = jsonl.read(ran.path).header
    assert header == witness.header
    assert header["selection"] == []
    assert header["backends"] == {"mine": str(tmp_path / "mine.py")}
    assert header["versions"].keys() == {"python", "numpy", "numba", "torch", "pytest"}


@pytest.mark.parametrize(
    "arguments, count",
    [
        (RELU, 5),
        (("-m", "core"), 0),
        ((f"{HERE / 'test_values.py'}",), VALUES),
        ((f"{HERE / 'test_values.py'}::test_values[mine-relu-forward-i7x6-float64]",), 1),
        (("--deselect", "conformance/test_values.py", *RELU), 3),
    ],
)
def test_what_is_selected_is_promised(suite: Suite, arguments: tuple[str, ...], count: int) -> None:
    ran = suite(RIGHT, *arguments)
    assert ran.exit == (0 if count else 5)
    assert sum(ran.statuses.values()) == count
    assert "unjudged" not in ran.statuses
    (told,) = jsonl.read(ran.path).header["selection"][:1]
    assert told.split("=")[-1] in " ".join(arguments)
    if count:
        assert f"promised: {count} checks, as selected by {told}" in ran.output


def test_a_first_failure_that_ends_the_run_leaves_the_rest_unjudged(suite: Suite) -> None:
    ran = suite(WRONG, "-x", "-k", "relu-forward and values")
    assert ran.exit == 1
    assert ran.statuses == {"failed": 1, "unjudged": 1}
    assert "1 of 2 promised checks have no verdict, which fails the run; the first: " in ran.output


class Skips:
    """A plugin that skips checks before they are run."""

    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        if "i7x6" in item.name:
            pytest.skip("slow")


class Drops:
    """A plugin that drops checks and says nothing."""

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = [item for item in items if "relu" not in item.name]


class Interrupts:
    """Somebody's Ctrl-C."""

    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        if "i7x6" in item.name:
            raise KeyboardInterrupt


class Crashes:
    """A fixture that is broken."""

    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        if "i7x6" in item.name:
            raise RuntimeError("no such device")


class Forgives:
    """A plugin that makes every failure an expected one."""

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self) -> Any:
        report = yield
        report.outcome = "passed"
        return report


@pytest.mark.parametrize(
    "plugin, source, exit, statuses",
    [
        (Skips(), RIGHT, 1, {"passed": 3, "unjudged": 2}),
        (Interrupts(), RIGHT, 2, {"passed": 2, "unjudged": 3}),
        (Crashes(), RIGHT, 1, {"passed": 3, "error": 2}),
        (Forgives(), WRONG, 1, {"passed": 3, "failed": 2}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_no_plugin_takes_a_verdict_away(
    suite: Suite, plugin: object, source: str, exit: int, statuses: dict[str, int]
) -> None:
    ran = suite(source, *RELU, plugin=plugin)
    assert (ran.exit, ran.statuses) == (exit, statuses)


def test_what_a_plugin_drops_was_promised(suite: Suite) -> None:
    ran = suite(RIGHT, plugin=Drops())
    assert ran.exit == 1
    assert ran.statuses == {"unjudged": 10, "missing": PROMISED - 10}


def test_a_broken_fixture_is_an_error_with_its_reason(suite: Suite) -> None:
    ran = suite(RIGHT, *RELU, plugin=Crashes())
    told = [row for row in jsonl.read(ran.path).rows if row["status"] == "error"]
    assert all("no verdict: " in row["message"] for row in told)
    assert all("no such device" in row["message"] for row in told)


def test_a_process_that_dies_is_an_error_and_the_rest_is_judged(suite: Suite) -> None:
    dies = "import os\n\ndef relu(input):\n    os._exit(3) if input.ndim == 2 else None\n"
    right = "    from impls.im2col import relu\n    return relu(input)\n"
    ran = suite(dies + right, *RELU, "-n", "1")
    assert ran.exit == 1
    assert ran.statuses == {"passed": 3, "error": 2}
    told = {row["message"] for row in jsonl.read(ran.path).rows if row["status"] == "error"}
    assert all("crashed while running" in message for message in told)


# ------------------------------------------------------------------------------ known failures

ENTRY = '[[failure]]\ncheck = "test_values[mine-relu-forward-*-float64]"\nreason = "one too much"\n'


@pytest.fixture
def listed(tmp_path: Path) -> Callable[[str], str]:
    """The option that names a file of known failures, which holds a text."""

    def option(text: str) -> str:
        path = tmp_path / "known_failures.toml"
        path.write_text(text, encoding="utf-8")
        return f"--known-failures={path}"

    return option


def test_a_known_failure_fails_no_run_and_is_not_passed(
    suite: Suite, listed: Callable[[str], str]
) -> None:
    ran = suite(WRONG, *RELU, listed(ENTRY))
    assert ran.exit == 0
    assert ran.statuses == {"passed": 3, "failed": 2}
    rows = jsonl.read(ran.path).rows
    assert {(row["kind"], row["known"]) for row in rows if row["status"] == "failed"} == {
        ("values", "one too much")
    }
    told = r"^mine +relu +3/5 +- +- +60\.0 %  2 failed, 2 known$"
    assert re.search(told, ran.output, re.MULTILINE)


def test_a_listed_check_that_passes_fails_the_run(
    suite: Suite, listed: Callable[[str], str], tmp_path: Path
) -> None:
    ran = suite(RIGHT, *RELU, listed(ENTRY))
    assert ran.exit == 1
    assert ran.statuses == {"passed": 5}
    file = tmp_path / "known_failures.toml"
    assert f"passed, but {file}, entry 1 says that it fails (one too much)" in ran.output


def test_a_listed_check_that_is_missing_fails_the_run(
    suite: Suite, listed: Callable[[str], str]
) -> None:
    ran = suite("from impls.im2col import conv\n", *RELU, listed(ENTRY))
    assert ran.exit == 1
    assert "missing, but " in ran.output


def test_an_entry_without_a_check_fails_the_run(
    suite: Suite, listed: Callable[[str], str], tmp_path: Path
) -> None:
    text = ENTRY.replace("float64", "float16")
    ran = suite(RIGHT, *RELU, listed(text))
    assert ran.exit == 1
    told = f"{tmp_path / 'known_failures.toml'}, entry 1: check='test_values[mine-relu-forward-*-"
    assert f"{told}float16]' must match a check of these backends, but matches none" in ran.output
    # To belong to another level or oracle than the one asked for is no fault of the entry's.
    assert suite(RIGHT, *RELU, listed(ENTRY.replace("float64", "float32"))).exit == 0
    assert suite(RIGHT, *RELU, listed(ENTRY), "--oracle=none").exit == 0


@pytest.mark.parametrize(
    "text, says",
    [
        ("failure = [", "known_failures.toml must be a TOML file: "),
        ("", "known_failures.toml must hold entries [[failure]] and nothing else"),
        (f"[other]\n{ENTRY}", "known_failures.toml must hold entries [[failure]] and nothing else"),
        ("failure = [1]", "known_failures.toml, entry 1 must be a table"),
        (f"{ENTRY}why = ''", "known_failures.toml, entry 1: why must be check or reason"),
        (f"{ENTRY}[[failure]]\ncheck = '*'", "entry 2: reason=None must be a str that says"),
        ("[[failure]]\ncheck = '*'\nreason = ' '", "entry 1: reason=' ' must be a str that says"),
        ("[[failure]]\ncheck = 3\nreason = 'x'", "entry 1: check=3 must be a str that says"),
    ],
)
def test_a_list_that_is_not_right_is_refused(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "known_failures.toml"
    path.write_text(text)
    with pytest.raises(ValueError, match=re.escape(says)):
        known.load(path)


def test_a_refused_list_ends_the_run_before_it_starts(
    suite: Suite, listed: Callable[[str], str]
) -> None:
    assert suite(RIGHT, listed("[[failure]]\ncheck = '*'\n")).exit == pytest.ExitCode.USAGE_ERROR


def test_a_missing_list_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"none\.toml must be a TOML file"):
        known.load(tmp_path / "none.toml")


# -------------------------------------------------------------------------------- the stored file


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    """Two checks of a run, stored."""
    check = next(check for check in up_to("core") if check.kind == "values")
    backend = impls.get("im2col")
    asked = ledger.asked(check, backend)
    rows = [ledger.row("mine", asked, Verdict(status), "again") for status in list(Status)[:2]]
    header = {
        "schema": jsonl.SCHEMA, "started": "2026-01-02T03:04:05+00:00", "versions": {},
        "threads": {}, "seeds": "", "level": "core", "oracle": "torch",
        "selection": [], "backends": {}, "promised": jsonl.promised(rows),
    }  # fmt: skip
    footer = {"counts": jsonl.statuses(rows), "duration_s": 1.0, "exit": 1}
    path = tmp_path / "folder" / "checks.jsonl"
    jsonl.begin(path, header)
    jsonl.write(path, jsonl.Recorded(header, rows, footer))
    return path


def test_a_stored_run_is_read_again(stored: Path) -> None:
    found = jsonl.read(stored)
    assert [row["status"] for row in found.rows] == ["passed", "failed"]
    assert found.rows[0].keys() == jsonl.ROW.keys()


def test_every_cut_is_seen(stored: Path) -> None:
    text = stored.read_text()
    for end in range(len(text) - 1):
        stored.write_text(text[:end])
        with pytest.raises(jsonl.JsonlError, match="must be what `pytest conformance"):
            jsonl.read(stored)


@pytest.mark.parametrize(
    "old, new, says",
    [
        ('"schema": 1', '"schema": 2', "schema=2 must be 1"),
        ('"started": "2026', '"begun": "2026', "line 1, header: started must be there"),
        ('"level": "core", "ora', '"level": "high", "ora', "header: level='high' must be one of"),
        ('"status": "failed"', '"status": "fine"', "line 3: status='fine' must be one of passed, "),
        ('"status": "failed"', '"status": "passed"', "counts is {'passed': 1, "),
        ('"known": ""', '"known": "", "new": 1', "line 2: new must not be there"),
        ('"grade": null', '"grade": "good"', "line 2: grade='good' must be float | None"),
        ('"exit": 1', '"exit": true', "line 4, footer: exit=True must be int"),
        ('"mine": {"document": 2}', '"mine": {}', "promised is {'mine': {}}, but "),
        ('{"backend": "mine"', '["mine"', "line 2 is no JSON"),
        ('{"header"', '{"run"', "line 1 must be the header"),
    ],
)  # fmt: skip
def test_every_change_is_seen(stored: Path, old: str, new: str, says: str) -> None:
    text = stored.read_text()
    assert old in text
    stored.write_text(text.replace(old, new, 1))
    with pytest.raises(jsonl.JsonlError, match=re.escape(says)):
        jsonl.read(stored)


def test_two_files_in_one_and_a_line_less_are_seen(stored: Path) -> None:
    text = stored.read_text()
    stored.write_text(text + text)
    with pytest.raises(jsonl.JsonlError, match="line 4: "):
        jsonl.read(stored)
    first, _, *rest = text.splitlines(keepends=True)
    stored.write_text("".join([first, *rest]))
    with pytest.raises(jsonl.JsonlError, match="promised is"):
        jsonl.read(stored)


# ------------------------------------------------------------------------------------ the summary


def test_a_summary_says_passed_of_promised_per_op_and_level() -> None:
    backend = impls.get("im2col")
    (values, *_) = [check for check in up_to("core") if check.kind == "values"]
    rows = [
        ledger.row("mine", {**ledger.asked(values, backend), "level": level}, Verdict(status), "")
        for level in LEVELS[:2]
        for status in Status
    ]
    header, op, total = ledger.summary(rows)
    assert header.split() == ["backend", "op", *LEVELS, "score", "not", "passed"]
    count = len(Status)
    told = ", ".join(f"2 {status}" for status in Status if status is not Status.PASSED)
    for line, name in ((op, values.op.name), (total, "all")):
        assert " ".join(line.split()) == f"mine {name} 1/{count} 1/{count} - 14.2 % {told}"


@pytest.mark.parametrize(
    "passed, promised, said",
    [(0, 0, "-"), (0, 3, "0.0 %"), (1, 3, "33.3 %"), (9999, 10000, "99.9 %"), (7, 7, "100.0 %")],
)
def test_only_what_passes_entirely_has_100_percent(passed: int, promised: int, said: str) -> None:
    assert ledger.percent(passed, promised) == said


# --------------------------------------------------------------------------- several processes


def test_of_several_processes_explanations_one_process_s_are_kept() -> None:
    def failed(op: str, kind: str, said: str) -> ledger.Row:
        verdict = Verdict(Status.FAILED, "wrong", explanation=said)
        asked = {**ledger.LOADS, "op": op, "kind": kind}
        return ledger.row("mine", asked, verdict, "again")

    rows = [
        failed("conv2d", "values", "one's first"),
        failed("conv2d", "values", "other's first"),
        failed("conv2d", "shapes", ""),
        failed("conv2d", "shapes", "other's first"),
        *(failed(f"op{n}", "values", "first") for n in range(MOST)),
    ]
    keep_first(rows)
    kept = [row["explanation"] for row in rows]
    assert kept[:4] == ["one's first", "", "", ""]
    assert kept[4:] == ["first"] * (MOST - 2) + ["", ""]

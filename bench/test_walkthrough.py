"""impls/document.md is what its template and the sources make of it."""

from inspect import isclass, isfunction

import pytest

from bench import walkthrough
from impls import document, layers
from impls.spec.ops import OPS


@pytest.fixture(scope="module")
def page() -> str:
    return walkthrough.page()


def test_the_page_is_what_the_sources_make_of_it(page: str) -> None:
    committed = walkthrough.PAGE.read_text(encoding="utf-8")
    assert committed == page, "impls/document.md must be written again: nox -s docs"


def test_every_function_and_network_is_walked_past(page: str) -> None:
    public = [
        name
        for module in (document, layers)
        for name, value in vars(module).items()
        if (isfunction(value) or isclass(value)) and value.__module__ == module.__name__
        if not name.startswith("_")
    ]
    assert len(public) == 14
    assert [name for name in public if f"[`{name}(" not in page] == []


def test_every_op_is_said_to_be_checked(page: str) -> None:
    assert [name for name in OPS if f"[`{name}`](spec/ops/{name}.py), " not in page] == []


def test_links_lead_somewhere(page: str) -> None:
    targets = {part.split(")")[0] for part in page.split("](")[1:]}
    assert len(targets) > 10
    for target in targets:
        assert (walkthrough.PAGE.parent / target).exists(), target


def test_snippets_are_run() -> None:
    assert walkthrough.ran(lambda: "print(6 * 7)").endswith("```text\n42\n```")
    with pytest.raises(ZeroDivisionError):
        walkthrough.ran(lambda: "1 / 0")


def test_what_is_not_there_cannot_be_said() -> None:
    with pytest.raises(ValueError, match="must be a test of"):
        walkthrough.claimed("bench/test_claims.py", "test_nothing")
    with pytest.raises(ValueError, match="must be part of a workload's name"):
        walkthrough.timed("lenet7")
    with pytest.raises(AttributeError):
        walkthrough.function("conv3d")

"""Names, dotted modules and files lead to backends; what is none is refused in words."""

import sys
from pathlib import Path

import numpy as np
import pytest

import impls
from impls import Backend

TWICE = "def relu(input):\n    return input * 2\n"
THRICE = "def relu(input):\n    return input * 3\n"


def written(path: Path, text: str) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return str(path)


def answer(backend: Backend) -> float:
    return float(backend.relu(np.array([1.0]))[0])


def test_names_are_the_built_in_backends() -> None:
    assert impls.names() == ["im2col", "loop", "numba"]
    impls.names().append("mine")
    assert impls.names() == ["im2col", "loop", "numba"]


@pytest.mark.parametrize("name", ["im2col", "loop", "numba"])
def test_names_lead_to_backends(name: str) -> None:
    backend = impls.get(name)
    assert isinstance(backend, Backend)
    assert backend.name == name
    assert answer(backend) == 1
    assert backend.accuracy == "direct"


def test_a_dotted_module_is_a_backend() -> None:
    backend = impls.get("impls.loop")
    assert backend.name == "impls.loop"
    assert backend.module is impls.get("loop").module


def test_a_module_of_the_path_is_a_backend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path / "my_package_of_kernels" / "__init__.py", "")
    written(tmp_path / "my_package_of_kernels" / "mine.py", TWICE)
    monkeypatch.syspath_prepend(tmp_path)
    backend = impls.get("my_package_of_kernels.mine")
    assert backend.name == "my_package_of_kernels.mine"
    assert answer(backend) == 2


def test_a_file_is_a_backend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = written(tmp_path / "a folder" / "my kernels.py", TWICE)
    assert impls.get(spec).name == "my kernels"
    assert answer(impls.get(spec)) == 2
    monkeypatch.chdir(tmp_path / "a folder")
    for relative in ("my kernels.py", "./my kernels.py", "../a folder/my kernels.py"):
        assert answer(impls.get(relative)) == 2


def test_files_of_one_name_are_two_backends(tmp_path: Path) -> None:
    first = impls.get(written(tmp_path / "a" / "mine.py", TWICE))
    second = impls.get(written(tmp_path / "b" / "mine.py", THRICE))
    assert (answer(first), answer(second)) == (2, 3)
    assert first.name == second.name == "mine"
    assert first.module.__name__ != second.module.__name__


def test_a_file_is_read_anew_at_each_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    for attempt in range(3):  # a second may end between two writes, not between three
        answers = [
            answer(impls.get(written(tmp_path / f"mine{attempt}.py", text)))
            for text in (TWICE, THRICE)
        ]
        assert answers == [2, 3]


def test_a_module_finds_itself_while_it_is_imported(tmp_path: Path) -> None:
    text = f"import sys\nassert sys.modules[__name__].__file__ == __file__\n{TWICE}"
    backend = impls.get(written(tmp_path / "mine.py", text))
    assert answer(backend) == 2
    assert sys.modules[backend.module.__name__] is backend.module


@pytest.mark.parametrize(
    "spec",
    ["", "nosuch", "no.such", "Loop", "loop ", "a/b", ".x", "..x", "numpy.nosuch", "os.path.no"],
)
def test_what_is_nowhere_is_refused(spec: str) -> None:
    with pytest.raises(ValueError, match="must be one of im2col, loop, numba") as caught:
        impls.get(spec)
    assert str(caught.value).startswith(f"backend={spec!r} ")


@pytest.mark.parametrize("spec", [None, 3, b"loop", ["loop"]])
def test_what_is_no_name_is_refused(spec: str) -> None:
    with pytest.raises(ValueError, match=r"^backend=.* must be a name"):
        impls.get(spec)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="must be a file") as caught:
        impls.get(str(tmp_path / "no where.py"))
    assert "no where.py" in str(caught.value)
    (tmp_path / "folder.py").mkdir()
    with pytest.raises(ValueError, match="must be a file"):
        impls.get(str(tmp_path / "folder.py"))


@pytest.mark.parametrize("text", ["", "conv = 3\n", "def convolve(input):\n    return input\n"])
def test_a_module_without_kernels_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ValueError, match=r"must define a kernel, one of .*conv"):
        impls.get(written(tmp_path / "mine.py", text))
    with pytest.raises(ValueError, match=r"^backend='os' must define a kernel"):
        impls.get("os")


@pytest.mark.parametrize(
    "text, raised, words",
    [
        ("raise RuntimeError('boom')\n", RuntimeError, "boom"),
        ("import no_such_module\n", ModuleNotFoundError, "no_such_module"),
        ("def relu(\n", SyntaxError, "never closed"),
        ("raise ValueError('mine')\n", ValueError, "^mine$"),
    ],
)
def test_what_a_file_raises_comes_through(
    tmp_path: Path, text: str, raised: type[Exception], words: str
) -> None:
    before = set(sys.modules)
    with pytest.raises(raised, match=words):
        impls.get(written(tmp_path / "broken.py", text))
    assert set(sys.modules) == before


@pytest.mark.parametrize("error", ["ImportError", "ValueError", "RuntimeError"])
def test_what_a_module_raises_comes_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: str
) -> None:
    written(tmp_path / f"broken_{error}.py", f"raise {error}('boom')\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(Exception, match=r"^boom$"):
        impls.get(f"broken_{error}")


@pytest.mark.parametrize("error", ["ImportError", "ValueError"])
def test_what_a_package_raises_comes_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: str
) -> None:
    written(tmp_path / f"package_{error}" / "__init__.py", f"raise {error}('boom')\n")
    written(tmp_path / f"package_{error}" / "mine.py", TWICE)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(Exception, match=r"^boom$"):
        impls.get(f"package_{error}.mine")


@pytest.mark.parametrize("accuracy", ["'Direct'", "None", "1"])
def test_an_accuracy_that_does_not_exist_is_refused(tmp_path: Path, accuracy: str) -> None:
    path = tmp_path / "loose.py"
    path.write_text(f"accuracy = {accuracy}\ndef relu(input): ...")
    with pytest.raises(ValueError, match="must be one of direct, transform"):
        impls.get(str(path))

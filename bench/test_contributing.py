"""CONTRIBUTING.md's recipes work as typed: its bash blocks are run in a copy of the sources."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from bench.machine import ROOT

SOURCES = ("impls", "conformance", "bench", "pyproject.toml")


def test_recipes_work_as_typed(tmp_path: Path) -> None:
    for name in SOURCES:
        source = ROOT / name
        if source.is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(source, tmp_path / name, ignore=ignored)
        else:
            shutil.copy(source, tmp_path)
    blocks = re.findall(r"```bash\n(.*?)```", (ROOT / "CONTRIBUTING.md").read_text(), re.DOTALL)
    assert len(blocks) == 3
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    said = []
    for block in blocks:
        done = subprocess.run(
            ["bash", "-e", "-c", block],
            cwd=tmp_path, env={**os.environ, "PATH": path}, text=True, capture_output=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        said.append(done.stdout)
    backend, case, op = said
    # The one kernel of the recipe is right, the others are missing, and it was timed.
    conv2d = next(line for line in backend.splitlines() if "  conv2d " in line)
    passed = sum(int(count) for count in re.findall(r"(\d+)/", conv2d))
    assert passed > 400
    missing = re.search(r"%  (\d+) missing$", conv2d)
    assert missing
    assert int(missing[1]) > 400
    assert re.search(r"\d+(\.\d+)?x (FASTER|SLOWER|SAME|UNDECIDED|INVALID)|INVALID", backend)
    assert (tmp_path / "reports" / "mine" / "index.html").exists()
    assert re.findall(r"(\d+) passed", case)[0] == "27"
    assert re.search(r"leaky_relu .* 100\.0 %$", op, re.MULTILINE)

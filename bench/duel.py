"""The parent's side of a run: starts the workers of a backend, asks them, makes rows of it."""

import contextlib
import json
import queue
import shlex
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd

from bench.machine import ROOT, cores, environment
from bench.results import measured, seconds
from bench.row import Row
from bench.statistics import SURE, Verdict
from bench.worker import BACKEND
from bench.workloads import find
from bench.workloads.presets import ONE_THREAD, Preset, Task
from impls.spec.case import seed
from impls.spec.cost import bytes_min

# A worker that is silent for so long hangs; the slowest right task stays far below.
ANSWER_S = 180.0
DTYPE = "float32"
# Verdicts of answers; that of a timed one comes from its samples.
VERDICTS = {
    "timed": Verdict.UNDECIDED,
    "skipped": Verdict.SKIPPED,
    "once": Verdict.SKIPPED,
    "failed": Verdict.FAILED,
    "error": Verdict.ERROR,
    "timeout": Verdict.TIMEOUT,
}

Answer = dict[str, Any]


class WorkerError(RuntimeError):
    """A worker ended."""

    status = "error"


class SilenceError(WorkerError):
    """A worker hung."""

    status = "timeout"


class Worker:
    """A process that times one backend beside PyTorch; a context that ends it."""

    def __init__(self, spec: str, threads: int, reference: str = "", root: Path = ROOT) -> None:
        self.spec, self.threads = spec, threads
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.worker", spec, str(threads), reference],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=root,
            env=environment(threads, root),
        )
        self._lines: queue.Queue[str] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self._proof: dict[str, int] = {}

    def proof(self) -> dict[str, int]:
        """How many threads each pool was found to have; WorkerError if it could not start."""
        if not self._proof:
            started = self._next()
            if "error" in started:
                raise WorkerError(started["error"])
            self._proof = started["threads"]
        return self._proof

    def ask(self, task: dict[str, Any]) -> list[Answer]:
        """The answers to a task; WorkerError if the worker dies or hangs over it."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(task) + "\n")
            self._process.stdin.flush()
        except OSError as error:
            raise WorkerError(f"the worker of {self.spec} ended") from error
        return cast("list[Answer]", self._next()["answers"])

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()
        self._reader.join()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):  # of a task that was never read
                    pipe.close()

    def _next(self) -> dict[str, Any]:
        try:
            line = self._lines.get(timeout=ANSWER_S)
        except queue.Empty:
            self.close()
            raise SilenceError(f"no answer from {self.spec} for {ANSWER_S:g} s") from None
        if not line:
            status = self._process.wait()
            self.close()
            raise WorkerError(f"the worker of {self.spec} ended with exit status {status}")
        return cast("dict[str, Any]", json.loads(line))

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put("")


@dataclass(frozen=True, slots=True)
class Outcome:
    """A row, and the samples it was made from."""

    row: Row
    samples: list[dict[str, Any]]


class Duels:
    """Runs tasks one after the other; workers live as long as their backend is asked.

    reference: a backend in PyTorch's place, "" for PyTorch. root: where the sources lie.
    """

    def __init__(
        self, preset: Preset, *, once: bool, reference: str = "", root: Path = ROOT
    ) -> None:
        self.preset, self.once, self.reference, self.root = preset, once, reference, root
        self.proofs: dict[str, dict[str, int]] = {}
        self._asked: tuple[str, int] = ("", 0)
        self._workers: dict[int, Worker] = {}
        self._refusal: WorkerError | None = None

    def run(
        self,
        spec: str,
        task: Task,
        threads: str,
        earlier: Sequence[Outcome] = (),
        processes: int | None = None,
    ) -> list[Outcome]:
        """The rows of a task on a backend: its own, and its shrunk twin's if it was too slow.

        earlier: what its first processes found. processes: in how many it is then timed; without,
        in as many as its claim needs to be sure.
        """
        found = list(earlier)
        if not found:
            answers = self._ask(spec, task, threads, 0, self.preset.call_cap_s)
            found = [outcome(spec, task.direction, threads, answer) for answer in answers]
        *skipped, last = found
        if last.row.processes:
            own = replace(task, workload=last.row.workload)
            last = self._repeated(spec, own, threads, last, processes)
        return [*skipped, last]

    def close(self) -> None:
        """End the workers."""
        for worker in self._workers.values():
            worker.close()
        self._workers = {}

    def _repeated(
        self, spec: str, task: Task, threads: str, earlier: Outcome, processes: int | None
    ) -> Outcome:
        """What was found earlier, with the samples of more processes."""
        samples, row = list(earlier.samples), earlier.row
        least, most = self.preset.processes
        for process in range(row.processes or 0, processes or most):
            is_sure = row.p_value is not None and row.p_value <= SURE
            if not processes and process >= least and is_sure:
                break
            (answer,) = self._ask(spec, task, threads, process, None)
            if answer["status"] != "timed":
                return outcome(spec, task.direction, threads, answer)
            samples += _numbered(answer, process)
            row = measured(_rated(row, answer), pd.DataFrame(samples))
        return Outcome(row, samples)

    def _ask(
        self, spec: str, task: Task, threads: str, process: int, call_cap_s: float | None
    ) -> list[Answer]:
        """The answers of one process; if it ends over it, that is the answer."""
        request = {
            "workload": task.workload,
            "direction": task.direction,
            "dtype": DTYPE,
            "rounds": self.preset.rounds,
            "call_cap_s": call_cap_s,
            "budget_s": self.preset.budget_s,
            "once": self.once,
            "seed": [order_seed(task.workload, task.direction), process],
        }
        try:
            return self._worker_for(spec, threads, process).ask(request)
        except WorkerError as error:
            self.close()
            return [{"workload": task.workload, "status": error.status, "reason": str(error)}]

    def _worker_for(self, spec: str, threads: str, process: int) -> Worker:
        """The worker of this number, started when it is first asked."""
        count = 1 if threads == ONE_THREAD else cores()
        if self._asked != (spec, count):
            self.close()
            self._asked, self._refusal = (spec, count), None
        if self._refusal:
            raise self._refusal
        if process not in self._workers:
            self._workers[process] = Worker(spec, count, self.reference, self.root)
        worker = self._workers[process]
        try:
            self.proofs[f"{label(spec)}, {threads}"] = worker.proof()
        except WorkerError as error:
            self._refusal = error  # it would not start for the next row either
            raise
        return worker


def outcome(spec: str, direction: str, threads: str, answer: Answer) -> Outcome:
    """The row of an answer, with its statistics."""
    workload = find(answer["workload"])
    task = shlex.quote(f"{workload.name} {direction}")
    backend = f"--backend={shlex.quote(spec)}"
    repeat = f"python -m bench run {backend} --threads={threads} --select={task}"
    row = Row(
        backend=label(spec),
        network=workload.network,
        workload=workload.name,
        op=workload.op,
        direction=direction,
        dtype=DTYPE,
        batch=workload.batch,
        threads=threads,
        seed=order_seed(workload.name, direction),
        times=workload.times,
        macs=workload.macs,
        bytes_min=bytes_min(workload.plan, direction, np.dtype(DTYPE).itemsize),
        verdict=VERDICTS[answer["status"]],
        reason=answer["reason"],
        grade=answer.get("grade"),
        repeat=repeat,
    )
    if answer["status"] != "timed":
        return Outcome(row, [])
    samples = _numbered(answer, 0)
    return Outcome(measured(_rated(row, answer), pd.DataFrame(samples)), samples)


def _rated(row: Row, answer: Answer) -> Row:
    """The row with the mean of the peaks beside it, of the processes so far and one more."""
    count, mean, peak = row.processes or 0, row.peak_gflops_per_s, answer["peak_gflops_per_s"]
    if mean is None:  # of no process, or of those of an older version
        return replace(row, peak_gflops_per_s=peak)
    return replace(row, peak_gflops_per_s=(count * mean + peak) / (count + 1))


def order_seed(workload: str, direction: str) -> int:
    """What the order of the arms comes from, together with the number of the process."""
    return seed(f"{workload} {direction}")


def backend_seconds(outcome: Outcome) -> list[float]:
    """The backend's seconds per call, a value per round; empty if it was not timed."""
    chosen = [sample for sample in outcome.samples if sample["arm"] == BACKEND]
    return [float(s) for s in seconds(pd.DataFrame(chosen), outcome.row.threads)] if chosen else []


def _numbered(answer: Answer, process: int) -> list[dict[str, Any]]:
    return [{"process": process, **sample} for sample in answer["samples"]]


def label(spec: str) -> str:
    """What reports call a backend."""
    return Path(spec).stem if spec.endswith(".py") else spec

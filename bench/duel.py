"""The parent's side of a run: starts a worker per backend, asks it, and turns samples into rows."""

import contextlib
import json
import queue
import shlex
import subprocess
import sys
import threading
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy import ndarray

from bench.machine import ROOT, cores, environment
from bench.row import Row
from bench.statistics import Verdict, judge, ratio
from bench.worker import BACKEND, TORCH, TWIN
from bench.workloads import find
from bench.workloads.presets import ONE_THREAD, Preset, Task
from impls.spec.cost import bytes_min, flops

# A worker that is silent for so long hangs; the slowest right task stays far below.
ANSWER_S = 180.0
# A sample is dirty when the thread waited for a core for more than this share of it.
DIRTY_SHARE = 0.02
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

    def __init__(self, spec: str, threads: int) -> None:
        self.spec, self.threads = spec, threads
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.worker", spec, str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=environment(threads),
        )
        self._lines: queue.Queue[str] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        started = self._next()
        if "error" in started:
            self.close()
            raise WorkerError(started["error"])
        self.proof: dict[str, int] = started["threads"]

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
    """Runs tasks one after the other; a worker lives as long as its backend is asked."""

    def __init__(self, preset: Preset, *, once: bool) -> None:
        self.preset, self.once = preset, once
        self.proofs: dict[str, dict[str, int]] = {}
        self._worker: Worker | None = None

    def run(self, spec: str, task: Task, threads: str) -> list[Outcome]:
        """The rows of a task on a backend: its own, and its shrunk twin's if it was too slow."""
        request = {
            "workload": task.workload,
            "direction": task.direction,
            "dtype": DTYPE,
            "rounds": self.preset.rounds,
            "call_cap_s": self.preset.call_cap_s,
            "budget_s": self.preset.group_budget_s,
            "once": self.once,
        }
        try:
            answers = self._worker_for(spec, threads).ask(request)
        except WorkerError as error:
            self.close()
            answers = [{"workload": task.workload, "status": error.status, "reason": str(error)}]
        return [outcome(spec, task.direction, threads, answer) for answer in answers]

    def close(self) -> None:
        """End the worker, if there is one."""
        if self._worker is not None:
            self._worker.close()
            self._worker = None

    def _worker_for(self, spec: str, threads: str) -> Worker:
        count = 1 if threads == ONE_THREAD else cores()
        worker = self._worker
        if worker is None or (worker.spec, worker.threads) != (spec, count):
            self.close()
            self._worker = worker = Worker(spec, count)
            self.proofs[f"{label(spec)}, {threads}"] = worker.proof
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
    return Outcome(replace(row, **_statistics(row, answer["samples"])), answer["samples"])


def _statistics(row: Row, samples: list[dict[str, Any]]) -> dict[str, Any]:
    """The columns that come from samples."""
    times = {arm: _seconds(samples, arm, row.threads) for arm in (BACKEND, TORCH, TWIN)}
    arm, twin = ratio(times[TORCH], times[BACKEND]), ratio(times[TORCH], times[TWIN])
    dirty = [s["delay_ns"] > DIRTY_SHARE * s["wall_ns"] for s in samples]
    verdict, reason = judge(arm, twin, float(np.mean(dirty)), row.threads)
    median = float(np.median(times[BACKEND]))
    return {
        "verdict": verdict,
        "reason": reason,
        "ratio": arm.median,
        "ratio_low": arm.low,
        "ratio_high": arm.high,
        "twin_ratio": twin.median,
        "time_median_s": median,
        "time_min_s": float(times[BACKEND].min()),
        "torch_median_s": float(np.median(times[TORCH])),
        "gflops_per_s": flops(row.macs) / median / 1e9,
        "rounds": len(times[BACKEND]),
        "dirty_share": float(np.mean(dirty)),
    }


def backend_seconds(outcome: Outcome) -> list[float]:
    """The backend's seconds per call, a value per round; empty if it was not timed."""
    if not outcome.samples:
        return []
    return [float(s) for s in _seconds(outcome.samples, BACKEND, outcome.row.threads)]


def _seconds(samples: list[dict[str, Any]], arm: str, threads: str) -> ndarray:
    """Seconds per call, a value per round.

    On one thread the time it waited for a core is taken off: measured, ratios then stay within 3 %
    beside two busy neighbors, and were off by 50 % with it.
    """
    chosen = sorted((s for s in samples if s["arm"] == arm), key=lambda sample: sample["round"])
    spent = [s["wall_ns"] - (s["delay_ns"] if threads == ONE_THREAD else 0) for s in chosen]
    calls = [s["calls"] for s in chosen]
    return np.array(spent) / np.array(calls) / 1e9


def label(spec: str) -> str:
    """What reports call a backend."""
    return Path(spec).stem if spec.endswith(".py") else spec

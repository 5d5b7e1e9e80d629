"""One process that times one backend beside PyTorch: a task a line in, an answer a line out.

    python -m bench.worker BACKEND THREADS [REFERENCE]

Started by duel.py with its environment set, before NumPy is imported. A task is checked against
PyTorch with the very arrays that are then timed; what is wrong is not timed. REFERENCE is a backend
that takes PyTorch's place in the duel: instrument.py tests the harness so.
"""

import json
import os
import sys
import traceback
from dataclasses import asdict
from typing import Any, TextIO

import torch
from threadpoolctl import threadpool_info

import impls
from bench import timing
from bench.calls import backend_call, problem, torch_call, wrong
from bench.machine import limit_memory, peak
from bench.workloads import find
from bench.workloads.workload import Workload, shrunk
from impls.backend import Backend, KernelError

BACKEND, TORCH, TWIN = "backend", "torch", "twin"
# What a call of a shrunk twin is divided by: a quarter of the height and of the width.
SHRINK = 4
# Up to so many times the cap an estimate is not trusted, but measured with one call: what a small
# twin costs beside its multiply-adds would else be counted for the large layer too.
NEAR = 3
# No compilation takes as long.
PATIENCE_S = 60.0

Answer = dict[str, Any]


def main(spec: str, threads: int, reference_spec: str = "") -> None:
    """Answer tasks until standard input ends."""
    out = _private_stdout()
    limit_memory()
    try:
        backend = impls.get(spec)
        reference = impls.get(reference_spec) if reference_spec else None
        proof = _assert_threads(threads)
    except (Exception, SystemExit) as error:
        _write(out, {"error": f"cannot be timed: {error!r}"})
        return
    _write(out, {"threads": proof})
    for line in sys.stdin:
        task = json.loads(line)
        try:
            answers = answer(backend, reference, task, threads)
            _assert_threads(threads)  # a kernel may have changed them
        except NotImplementedError as error:  # a kernel that is missing or declared unsupported
            answers = [{"workload": task["workload"], "status": "skipped", "reason": str(error)}]
        except KernelError as error:  # an answer of the wrong type, dtype, shape or order
            answers = [{"workload": task["workload"], "status": "failed", "reason": str(error)}]
        except Exception as error:  # a crash of a backend costs its own rows, not the run
            trace = traceback.format_exception_only(error)[-1].strip()
            answers = [{"workload": task["workload"], "status": "error", "reason": trace}]
        _write(out, {"answers": answers})


def answer(
    backend: Backend, reference: Backend | None, task: dict[str, Any], threads: int
) -> list[Answer]:
    """What a task came to: samples, or why there are none; then also its shrunk twin's.

    Without a cap, which the first of several processes has minded, the workload is timed as it is.
    """
    workload = find(task["workload"])
    if task["call_cap_s"] is None:
        return [_time(backend, reference, workload, task, threads)]
    twin = shrunk(workload, SHRINK) if workload.shrink == 1 else workload
    estimate = _estimate(backend, workload, twin, task)
    if task["call_cap_s"] < estimate <= NEAR * task["call_cap_s"]:
        call = backend_call(backend, problem(workload, task["direction"], task["dtype"]))
        estimate = timing.seconds_of(call)
    if estimate <= task["call_cap_s"]:
        return [_time(backend, reference, workload, task, threads)]
    reason = f"a call would take {estimate:.3g} s, the cap is {task['call_cap_s']:g} s"
    skipped = {"workload": workload.name, "status": "skipped", "reason": reason}
    twin_s = estimate * twin.macs / workload.macs
    if twin.name == workload.name or twin_s > task["call_cap_s"]:
        return [skipped]
    return [skipped, _time(backend, reference, twin, task, threads)]


def _estimate(backend: Backend, workload: Workload, twin: Workload, task: dict[str, Any]) -> float:
    """Seconds of a call, from its shrunk twin's by their multiply-adds; compilation not counted."""
    call = backend_call(backend, problem(twin, task["direction"], task["dtype"]))
    first = timing.seconds_of(call)
    # The first call may have compiled; one that took very long would take long again.
    again = first if first > PATIENCE_S else timing.seconds_of(call)
    scale = workload.macs / twin.macs
    cap_s = task["call_cap_s"]
    if again * scale > cap_s and again <= NEAR * cap_s:  # short: the machine may have held it up
        again = min(again, timing.seconds_of(call))
    return again * scale


def _time(
    backend: Backend,
    reference: Backend | None,
    workload: Workload,
    task: dict[str, Any],
    threads: int,
) -> Answer:
    """Check a workload, then time it: backend, PyTorch, and PyTorch again as its own twin."""
    given = problem(workload, task["direction"], task["dtype"])
    call = backend_call(backend, given)
    message, grade = wrong(given, call(), backend.accuracy)
    found: Answer = {"workload": workload.name, "grade": grade}
    if message:
        return {**found, "status": "failed", "reason": message}
    first, again = (
        backend_call(reference, given) if reference else torch_call(given) for _ in range(2)
    )
    arms = {BACKEND: call, TORCH: first, TWIN: again}
    if task["once"]:
        for arm in arms.values():
            arm()
        return {**found, "status": "once", "reason": "not timed: every arm ran once"}
    before = peak(threads)
    samples = timing.run(
        arms, timing.thread_clock(), rounds=task["rounds"], budget_s=task["budget_s"],
        all_cores=threads > 1, seed=task["seed"],
    )  # fmt: skip
    return {
        **found, "status": "timed", "reason": "", "samples": [asdict(s) for s in samples],
        "peak_gflops_per_s": (before + peak(threads)) / 2,
    }  # fmt: skip


def _assert_threads(threads: int) -> dict[str, int]:
    """How many threads each pool has; RuntimeError unless all have what was asked for."""
    numba = sys.modules.get("numba")
    # Asking Numba resets PyTorch's count (numba issue 9387), so PyTorch is told afterwards.
    found = {"numba": numba.get_num_threads()} if numba else {}
    torch.set_num_threads(threads)
    found["torch"] = torch.get_num_threads()
    for pool in threadpool_info():
        if pool["user_api"] == "blas":
            found[f"{pool['internal_api']} {pool['version']}"] = pool["num_threads"]
    if wrong_pools := {name: count for name, count in found.items() if count != threads}:
        raise RuntimeError(f"threads={threads} must hold for every pool, but {wrong_pools}")
    return found


def _private_stdout() -> TextIO:
    """The channel to the parent; what a backend prints goes to standard error."""
    channel = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return channel


def _write(out: TextIO, message: dict[str, Any]) -> None:
    out.write(json.dumps(message) + "\n")
    out.flush()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), *sys.argv[3:])

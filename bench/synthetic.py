"""Samples that are made up, in the columns of real ones: what tests are made of."""

from collections.abc import Callable
from typing import Any

import numpy as np

from bench import timing
from bench.worker import BACKEND, TORCH, TWIN

MS = 1_000_000
Change = Callable[[dict[str, Any]], dict[str, Any]]


def unchanged(sample: dict[str, Any]) -> dict[str, Any]:
    return sample


def made_up(
    ratio: float, *, noise: float = 0.01, seed: int = 1, change: Change = unchanged
) -> list[dict[str, Any]]:
    """Samples of three processes; the backend's call takes 8 ms / ratio, PyTorch's 8 ms.

    change: of a sample, which also knows the arm `before` it in its round.
    """
    rng, samples = np.random.default_rng(seed), []
    for process in range(3):
        for number, order in zip(
            range(18), timing.orders((BACKEND, TORCH, TWIN), [seed, process]), strict=False
        ):
            before = ""
            for position, arm in enumerate(order):
                cost = 8 * MS * np.exp(noise * rng.standard_normal())
                ns = int(2 * (cost / ratio if arm == BACKEND else cost))
                sample = {
                    "process": process, "round": number, "position": position, "arm": arm,
                    "calls": 2, "wall_ns": ns, "delay_ns": 0, "cpu_ns": ns,
                }  # fmt: skip
                changed = change({**sample, "before": before})
                samples.append({name: changed[name] for name in sample})
                before = arm
    return samples

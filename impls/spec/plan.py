"""Plan: a validated call, as shapes."""

from dataclasses import dataclass
from typing import Any

Shape = tuple[int, ...]
Params = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Plan:
    """What the kernels of one call receive and return; no data.

    inputs: kernel inputs by name, batched shapes, None for an absent bias.
    params: keyword arguments of the kernels, one value per axis.
    output: shape of the kernel's output.
    """

    inputs: dict[str, Shape | None]
    params: Params
    output: Shape

    def shape(self, name: str) -> Shape:
        """Shape of an input that is present."""
        shape = self.inputs[name]
        if shape is None:
            raise KeyError(name)
        return shape

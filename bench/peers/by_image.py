"""im2col, image by image: the reference of decoy.py, to test the harness (see instrument.py).

A batch in one piece would be no measure: 21 images of it need other caches than 20, not 5 % more.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy import ndarray

from impls import im2col

Kernel = Callable[..., ndarray]


def by_image(kernel: Kernel, batched: int, extra: float) -> Kernel:
    """A kernel that calls another one for each image, and again for a share `extra` of them.

    batched: how many of its first arrays have the batch as first axis.
    """

    def call(*arrays: Any, **params: Any) -> ndarray:
        def image(n: int) -> ndarray:
            alone = (array[n : n + 1] for array in arrays[:batched])
            return kernel(*alone, *arrays[batched:], **params)

        count = len(arrays[0])
        results = [image(n) for n in range(count)]
        for n in range(round(extra * count)):
            image(n)
        return np.concatenate(results)

    return call


def kernels(extra: float) -> tuple[Kernel, ...]:
    """conv, conv_grad_input, max_pool_values, avg_pool and relu."""
    return (
        by_image(im2col.conv, 1, extra),
        by_image(im2col.conv_grad_input, 2, extra),
        by_image(lambda image, **params: im2col.max_pool(image, **params)[0], 1, extra),
        by_image(im2col.avg_pool, 1, extra),
        by_image(im2col.relu, 1, extra),
    )


conv, conv_grad_input, max_pool_values, avg_pool, relu = kernels(extra=0.0)

"""The kernels in Numba: dense convolutions around a register tile, the rest parallel over planes.

    _tile.py   the tile and what fills its panels, as vector instructions
    _axes.py   how windows look at their source, axis by axis
    _plan.py   where operands stand and how work is divided, as tables
    _strips.py strips of the source, and panels made of them
    _dense.py  the drivers: convolution, its gradients, transposed convolution, linear
    _rest.py   pixels that are too few for a vector
    _spread.py the same where a stride sets the pixels of the result apart
    _turned.py the same with pixels for rows: nothing is copied, no tap in the padding is summed
    _lanes.py  depthwise layers of small planes: a channel in each lane
    _thin.py   where a tile would be mostly empty: depthwise layers, linear ones of few rows
    _pool.py   pools, relu, patches
    _jit.py    how kernels are compiled, cached and launched

How a dense convolution runs, here forward (the gradients differ in their tables alone):

    input (N, C, H, W)          a strip: whole rows of some images, copied with their padding;
      |  copy                   a stride's remainders become planes, so that windows of one
      v                         phase lie side by side. Left out where nothing is padded (1 x 1)
    strip (C, phases, images, rows, columns)
      |  pack, per block of     a panel: for each tap (c, r, s) of the block, what 48 successive
      v  128 taps               windows see there, in a row. One run of whole vectors that fewer
    panel (taps, 48 pixels)     than 64 channels read is read where it stands
      |  tile, per 8 output     out[8 channels, 48 pixels] += weight[8, taps] @ panel: 24 registers
      v  channels               of sums, the weight read as it lies, the output written in place
    output (N, O, P, Q)

With AVX-512 the first tile packs its panel itself where it can: it reads the windows across the
gaps between lines and stores them. What comes from L3 or memory, pixels of the next panel, the next
tile's weight, the other tiles ask for early, a cache line with each tap. The panel stays in L1
while all output channels pass over it; the block's part of the weight stays in L2 for the strip's
next 48 pixels. Where a few windows too many cost less than packing, as with few channels, those
that begin in the padding between two lines are summed as well: a line's end is then no run's end.
Lines and images share that padding in the strip, the zeros after one being those before the next.
What is too much is left out when sums are moved to the result, as sums of small images, put
together in one strip, are taken apart. Three rows and fewer, as of colours, have panels of twice
the width.

grad_input is the same with rows of input channels: places with one remainder modulo stride, a
phase, gather from the same taps. A stride sets them apart in the result, so the phases of a row are
summed into panels of their own and put together when they are written; the weight, of which a phase
reads every stride-th tap, is packed first, or read by few rows at once. grad_weight sums over
pixels instead: its panel holds 48 (c, r, s) columns by 128 pixels, transposed while it is packed; a
1 x 1 weight of few rows is summed with rows for columns. Where an image is a few pixels more than
whole vectors, as 7 x 7 and 14 x 14 are, these are summed with taps in the lanes, or rows. Groups of
one or two channels would leave a tile empty: eight lines of a depthwise layer's output are summed
together, or all windows of a plane, and written without the gaps; of small planes, as many as a
vector has lanes are transposed, and summed a channel in each lane. Extra memory is the strip, a few
panels, the packed rows of a weight or the sums to be moved (2 MiB), and the tables.

With a dilation, many taps of windows at the edges lie in the padding. Then an image is summed in
parts that the same taps reach (at 28 x 28 with a dilation of 12 nine: 12, 4 and 12 lines by as many
columns, of 4 to 9 taps), and a weight's gradient tap by tap, each over the pixels that have it.
Nothing is copied: no window of a part leaves the source.

Small planes have many windows at their edges without a dilation too: of 7 x 7 pixels and a 3 x 3
kernel a fifth of the taps lie in the padding. Where more work is spared than it costs, forward and
grad_input are turned around: a tile's rows are 8 pixels, any that have the same taps, and its
vectors hold 48 output channels; the panel is packed of the weight, once for all pixels of some
images, and the sums are transposed when they are written. A stride needs no phases then.

Every sum has one order whatever the number of threads: a task owns its part of the output, and the
parts meet at whole tiles. How fast this is, and what limits it: SPEED.md.

Here each kernel allocates its result, states its work in multiply-adds and launches a compiled
function. Outputs are allocated by NumPy, outside compiled code: large arrays get huge pages there.
What a kernel receives and returns: impls/spec/interface.py.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from math import prod
from typing import Any, NamedTuple

import numpy as np
from numpy import ndarray

from impls.numba_parallel import _dense, _lanes, _pool, _thin, _turned
from impls.numba_parallel._axes import Call
from impls.numba_parallel._jit import Kernel, available_threads, is_parallel, launch
from impls.numba_parallel._plan import (
    TurnedTables,
    forward_tables,
    grad_input_tables,
    grad_weight_tables,
    is_thin,
)
from impls.spec.params import PaddingPairs, Pair
from impls.spec.plan import Shape
from impls.spec.shapes import avg_pool_divisors, conv_output, conv_transpose_output, pool_output

NO_PADDING = ((0, 0), (0, 0))
# How many multiply-adds of the tile take the time of one in a loop over planes, in which work is
# counted: 60 and 2 thousand million a second were measured on a core.
TILE_SPEED = 30
# The same of what the compiler vectorizes, and of what is swept.
VECTOR_SPEED = 8
# Rows of a linear layer whose panels would have mostly empty lanes; dot products took a third to
# three quarters of the time, sums of the weight's rows 0.4 to 0.6 of it.
FEW_ROWS = 4


def conv(
    input: ndarray,
    weight: ndarray,
    bias: ndarray | None,
    *,
    stride: Pair,
    padding: PaddingPairs,
    dilation: Pair,
    groups: int,
) -> ndarray:
    """Output (N, O, P, Q)."""
    return _windows(input, weight, bias, None, stride, padding, dilation, groups)


def conv_grad_input(
    grad_output: ndarray,
    input: ndarray,
    weight: ndarray,
    *,
    stride: Pair,
    padding: PaddingPairs,
    dilation: Pair,
    groups: int,
) -> ndarray:
    """(N, C, H, W)."""
    return _spread(grad_output, weight, None, input.shape, stride, padding, dilation, groups)


def conv_grad_weight(
    grad_output: ndarray,
    input: ndarray,
    weight: ndarray,
    *,
    stride: Pair,
    padding: PaddingPairs,
    dilation: Pair,
    groups: int,
) -> ndarray:
    """(O, C // groups, R, S)."""
    return _products(grad_output, input, weight.shape, stride, padding, dilation, groups)


# A transposed convolution is the input gradient of a convolution that runs from its output to its
# input: the same three, with input and output exchanged.


def conv_transpose(
    input: ndarray,
    weight: ndarray,
    bias: ndarray | None,
    *,
    stride: Pair,
    padding: PaddingPairs,
    output_padding: Pair,
    groups: int,
    dilation: Pair,
) -> ndarray:
    """Output (N, O, P, Q)."""
    shape = conv_transpose_output(
        input.shape, weight.shape, stride=stride, padding=padding, output_padding=output_padding,
        groups=groups, dilation=dilation,
    )  # fmt: skip
    return _spread(input, weight, bias, shape, stride, padding, dilation, groups)


def conv_transpose_grad_input(
    grad_output: ndarray,
    input: ndarray,
    weight: ndarray,
    *,
    stride: Pair,
    padding: PaddingPairs,
    output_padding: Pair,
    groups: int,
    dilation: Pair,
) -> ndarray:
    """(N, C, H, W)."""
    return _windows(grad_output, weight, None, input.shape, stride, padding, dilation, groups)


def conv_transpose_grad_weight(
    grad_output: ndarray,
    input: ndarray,
    weight: ndarray,
    *,
    stride: Pair,
    padding: PaddingPairs,
    output_padding: Pair,
    groups: int,
    dilation: Pair,
) -> ndarray:
    """(C, O // groups, R, S)."""
    return _products(input, grad_output, weight.shape, stride, padding, dilation, groups)


def _windows(
    input: ndarray, weight: ndarray, bias: ndarray | None, shape: Shape | None,
    stride: Pair = (1, 1), padding: PaddingPairs = NO_PADDING, dilation: Pair = (1, 1),
    groups: int = 1,
) -> ndarray:  # fmt: skip
    """(N, O, P, Q): every place sums a window of the input. shape: None for a forward call's."""
    job = _job(
        forward_tables, input.shape, weight.shape, shape, stride, padding, dilation, groups,
        input.dtype, available_threads(),
    )  # fmt: skip
    output = np.empty(job.output, input.dtype)
    if len(input):
        inputs = (input, weight, job.no_bias if bias is None else bias)
        launch(job.kernel, job.work, (output,), inputs, *job.params)
    return output


def _spread(
    grad_output: ndarray, weight: ndarray, bias: ndarray | None, shape: Shape,
    stride: Pair = (1, 1), padding: PaddingPairs = NO_PADDING, dilation: Pair = (1, 1),
    groups: int = 1,
) -> ndarray:  # fmt: skip
    """(N, C, H, W) of a shape: every place gathers from the windows that it lies in."""
    result = np.empty(shape, grad_output.dtype)
    if len(grad_output):
        job = _job(
            grad_input_tables, shape, weight.shape, grad_output.shape, stride, padding, dilation,
            groups, result.dtype, available_threads(),
        )  # fmt: skip
        inputs = (grad_output, weight, job.no_bias if bias is None else bias)
        launch(job.kernel, job.work, (result,), inputs, *job.params)
    return result


def _products(
    grad_output: ndarray, input: ndarray, shape: Shape, stride: Pair = (1, 1),
    padding: PaddingPairs = NO_PADDING, dilation: Pair = (1, 1), groups: int = 1,
) -> ndarray:  # fmt: skip
    """(O, C // groups, R, S) of a shape: every tap sums over images and pixels."""
    result = np.empty(shape, input.dtype)
    if not len(input):
        result[:] = 0
        return result
    job = _job(
        grad_weight_tables, input.shape, shape, grad_output.shape, stride, padding, dilation,
        groups, input.dtype, available_threads(),
    )  # fmt: skip
    launch(job.kernel, job.work, (result,), (grad_output, input), *job.params)
    return result


class Job(NamedTuple):
    """What the shapes and parameters of a dense call decide.

    kernel: what is launched. work: as many multiply-adds of a loop over planes take its time.
    no_bias: a bias of zeros. output: shape of the convolution's output. params: the tables, and the
    numbers (first, end) of all tasks.
    """

    kernel: Kernel
    work: int
    output: Shape
    no_bias: ndarray
    params: Sequence[Any]


@lru_cache(maxsize=1024)
def _job(
    make: Callable[[Call], Sequence[ndarray]], input: Shape, weight: Shape, output: Shape | None,
    stride: Pair, padding: PaddingPairs, dilation: Pair, groups: int, dtype: np.dtype[Any],
    threads: int,
) -> Job:  # fmt: skip
    """The job of a call with so many threads; make: what makes its tables, if there are images."""
    if output is None:
        output = conv_output(input, weight, stride=stride, padding=padding, dilation=dilation)
    rows = input[1] if make is grad_input_tables else output[1]
    speed = VECTOR_SPEED if is_thin(rows, groups) else TILE_SPEED
    work = prod(output) * prod(weight[1:]) // speed
    threads = threads if is_parallel(work) else 1
    call = Call(input, weight, output, stride, padding, dilation, groups, dtype.itemsize, threads)
    kernel = _dense.multiply if make is grad_weight_tables else _dense.correlate
    params: tuple[Any, ...] = ()
    if input[0]:
        tables = make(call)
        plans, tasks, *_ = tables
        if isinstance(tables, TurnedTables):
            kernel = _turned.correlate
        elif plans[0]["in_lanes"]:
            kernel = _lanes.multiply if make is grad_weight_tables else _lanes.correlate
        params = (*tables, 0, len(tasks))
    return Job(kernel, work, output, np.zeros(rows, dtype), params)


def max_pool(
    input: ndarray,
    *,
    kernel_size: Pair,
    stride: Pair,
    padding: PaddingPairs,
    dilation: Pair,
    ceil_mode: bool,
) -> tuple[ndarray, ndarray]:
    """(output, indices), both (N, C, P, Q)."""
    shape = pool_output(
        input.shape, kernel_size=kernel_size, stride=stride, padding=padding,
        ceil_mode=ceil_mode, dilation=dilation,
    )  # fmt: skip
    output, indices = np.empty(shape, input.dtype), np.empty(shape, np.int64)
    work = output.size * prod(kernel_size)
    launch(
        _pool.max_pool, work, (output, indices), (input,), kernel_size, stride, padding, dilation
    )
    return output, indices


def max_pool_grad_input(
    grad_output: ndarray,
    input: ndarray,
    indices: ndarray,
    *,
    kernel_size: Pair,
    stride: Pair,
    padding: PaddingPairs,
    dilation: Pair,
    ceil_mode: bool,
) -> ndarray:
    """(N, C, H, W)."""
    grad_input = np.empty_like(input)
    launch(_pool.max_pool_grad_input, input.size, (grad_input,), (grad_output, indices))
    return grad_input


def avg_pool(
    input: ndarray,
    *,
    kernel_size: Pair,
    stride: Pair,
    padding: PaddingPairs,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None,
) -> ndarray:
    """Output (N, C, P, Q)."""
    shape = pool_output(
        input.shape, kernel_size=kernel_size, stride=stride, padding=padding, ceil_mode=ceil_mode
    )
    divisors = avg_pool_divisors(
        input.shape, shape, kernel_size=kernel_size, stride=stride, padding=padding,
        count_include_pad=count_include_pad, divisor_override=divisor_override,
    ).astype(input.dtype)  # fmt: skip
    output = np.empty(shape, input.dtype)
    work = output.size * prod(kernel_size)
    launch(_pool.avg_pool, work, (output,), (input, divisors), kernel_size, stride, padding)
    return output


def avg_pool_grad_input(
    grad_output: ndarray,
    input: ndarray,
    *,
    kernel_size: Pair,
    stride: Pair,
    padding: PaddingPairs,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None,
) -> ndarray:
    """(N, C, H, W)."""
    divisors = avg_pool_divisors(
        input.shape, grad_output.shape, kernel_size=kernel_size, stride=stride, padding=padding,
        count_include_pad=count_include_pad, divisor_override=divisor_override,
    ).astype(input.dtype)  # fmt: skip
    grad_input = np.empty_like(input)
    work = grad_output.size * prod(kernel_size)
    launch(
        _pool.avg_pool_grad_input, work, (grad_input,), (grad_output, divisors),
        kernel_size, stride, padding,
    )  # fmt: skip
    return grad_input


def global_avg_pool(input: ndarray) -> ndarray:
    """Output (N, C)."""
    output = np.empty(input.shape[:2], input.dtype)
    launch(_pool.global_avg_pool, input.size // VECTOR_SPEED, (output,), (input,))
    return output


def global_avg_pool_grad_input(grad_output: ndarray, input: ndarray) -> ndarray:
    """(N, C, H, W)."""
    grad_input = np.empty_like(input)
    work = input.size // VECTOR_SPEED
    launch(_pool.global_avg_pool_grad_input, work, (grad_input,), (grad_output,))
    return grad_input


def relu(input: ndarray) -> ndarray:
    """Output of the input's shape."""
    output = np.empty_like(input)
    work = input.size // VECTOR_SPEED
    launch(_pool.relu, work, (output.reshape(-1),), (input.reshape(-1),))
    return output


def relu_grad_input(grad_output: ndarray, input: ndarray) -> ndarray:
    """Gradient of the input's shape."""
    grad_input = np.empty_like(input)
    inputs = (grad_output.reshape(-1), input.reshape(-1))
    work = input.size // VECTOR_SPEED
    launch(_pool.relu_grad_input, work, (grad_input.reshape(-1),), inputs)
    return grad_input


# A linear layer is a convolution of one image of pixels in a column: which array is the image, and
# which the 1 x 1 weight, is chosen so that the largest, the weight, is read as it lies.


def linear(input: ndarray, weight: ndarray, bias: ndarray | None) -> ndarray:
    """Output (N, out)."""
    shape = (len(input), len(weight), 1, 1)
    if input.size and weight.size and len(input) <= FEW_ROWS:
        output = np.empty(shape[:2], input.dtype)
        bias = np.zeros(len(weight), input.dtype) if bias is None else bias
        work = output.size * weight.shape[1] // VECTOR_SPEED
        launch(_thin.linear, work, (output,), (input, weight, bias))
        return output
    if input.size and weight.size:
        output = _products(_pixels(input), _pixels(weight), shape).reshape(shape[:2])
    else:
        output = np.zeros(shape[:2], input.dtype)
    if bias is not None:
        output += bias
    return output


def linear_grad_input(grad_output: ndarray, input: ndarray, weight: ndarray) -> ndarray:
    """(N, in)."""
    if not (grad_output.size and weight.size):
        return np.zeros_like(input)
    if len(input) <= FEW_ROWS:
        grad_input = np.empty_like(input)
        work = grad_output.size * input.shape[1] // VECTOR_SPEED
        launch(_thin.linear_grad_input, work, (grad_input,), (grad_output, weight))
        return grad_input
    shape = (1, *input.shape, 1)
    return _windows(_pixels(weight), grad_output[..., None, None], None, shape)[0, ..., 0]


def linear_grad_weight(grad_output: ndarray, input: ndarray, weight: ndarray) -> ndarray:
    """(out, in)."""
    if not (grad_output.size and input.size):
        return np.zeros_like(weight)
    shape = (1, *weight.shape, 1)
    return _spread(_pixels(input), grad_output[..., None, None], None, shape)[0, ..., 0]


def _pixels(array: ndarray) -> ndarray:
    """(channels, pixels) as an image (1, channels, pixels, 1)."""
    return array[None, :, :, None]


def image_to_patches(image: ndarray, *, patch_size: int) -> ndarray:
    """(H // p * W // p, p * p * C)."""
    height, width, channels = image.shape
    patches = height // patch_size * (width // patch_size)
    output = np.empty((patches, patch_size * patch_size * channels), image.dtype)
    launch(_pool.image_to_patches, image.size, (output,), (image,), patch_size)
    return output


def image_to_patches_grad_image(
    grad_output: ndarray, image: ndarray, *, patch_size: int
) -> ndarray:
    """(H, W, C)."""
    grad_image = np.empty_like(image)
    work = image.size
    launch(_pool.image_to_patches_grad_image, work, (grad_image,), (grad_output,), patch_size)
    return grad_image

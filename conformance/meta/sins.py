"""Ways to sin: what stands in place of a right kernel in a faulty backend (faults.py).

A sin is a function `sin(right, *arrays, **params)`, given the right kernel: most change what it is
given or what it answers. Sins of geometry keep the right shape, which would give them away, and
read the wrong places.
"""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy import ndarray
from threadpoolctl import threadpool_info

from impls.spec.plan import Params, Shape
from impls.spec.shapes import avg_pool_divisors, window_starts

CONVOLUTIONS = tuple(
    f"{kernel}{direction}"
    for kernel in ("conv", "conv_transpose")
    for direction in ("", "_grad_input", "_grad_weight")
)
Kernel = Callable[..., Any]
Sin = Callable[..., Any]
Change = Callable[[Params], Params]

# ------------------------------------------------------------------------------- ways to sin


def answers(change: Callable[[Any], Any]) -> Sin:
    """The right answer, changed."""
    return lambda right, *arrays, **params: change(right(*arrays, **params))


def given(change: Callable[..., tuple[Any, ...]]) -> Sin:
    """The right answer to other arrays."""
    return lambda right, *arrays, **params: right(*change(*arrays), **params)


def told(change: Change) -> Sin:
    """The right answer to other parameters."""
    return lambda right, *arrays, **params: right(*arrays, **change(params))


def where(is_hit: Callable[..., bool], sin: Sin) -> Sin:
    """A sin in some calls only; is_hit gets the arrays and parameters."""

    def commit(right: Kernel, *arrays: Any, **params: Any) -> Any:
        hit = is_hit(*arrays, **params)
        return sin(right, *arrays, **params) if hit else right(*arrays, **params)

    return commit


def written(change: Callable[[ndarray], None]) -> Sin:
    """The right answer, changed in place."""

    def commit(right: Kernel, *arrays: Any, **params: Any) -> Any:
        answer = right(*arrays, **params)
        change(answer[0] if isinstance(answer, tuple) else answer)
        return answer

    return commit


def first_given(change: Callable[[Any], Any]) -> Sin:
    """The right answer to another first array: grad_output of a gradient."""
    return given(lambda first, *others: (change(first), *others))


def setting(**values: Any) -> Change:
    return lambda params: {**params, **values}


def swapping(name: str) -> Change:
    """Height and width of one parameter exchanged."""
    return lambda params: {**params, name: params[name][::-1]}


def exchanging(one: str, other: str) -> Change:
    return lambda params: {**params, one: params[other], other: params[one]}


def before_for_after(params: Params) -> Params:
    return {**params, "padding": tuple(pair[::-1] for pair in params["padding"])}


def on_both_axes(name: str, axis: int) -> Change:
    """One axis's value of a parameter on both."""
    return lambda params: {**params, name: (params[name][axis],) * 2}


def with_columns(name: str, change: Callable[[int], int]) -> Change:
    """One parameter's value for columns changed."""
    return lambda params: {**params, name: (params[name][0], change(params[name][1]))}


def before_on_both_sides(params: Params) -> Params:
    return {**params, "padding": tuple((before, before) for before, _ in params["padding"])}


def same(params: Params) -> Params:
    return params


# ------------------------------------------------------------- convolution, from places and einsum


def by_taps(kernel: str, change: Change = same) -> Sin:
    """A kernel of a convolution: which tap meets which pixel, then one einsum.

    change: of the parameters that say where taps lie; the answer's shape stays right.
    """

    def commit(right: Kernel, *arrays: Any, **params: Any) -> ndarray:
        answer: ndarray = right(*arrays, **params)
        # A transposed convolution runs from its output back to its input.
        transposed = kernel.startswith("conv_transpose")
        direction = kernel.removeprefix("conv_transpose").removeprefix("conv")
        if direction == "":
            source, weight, bias = arrays
            image, windows = (answer, source) if transposed else (source, answer)
        else:
            grad_output, source, weight = arrays
            image, windows = (grad_output, source) if transposed else (source, grad_output)
        sought = {"_grad_weight": "gocrs", "_grad_input": "ngopq" if transposed else "ngchw"}
        letters = sought.get(direction, "ngchw" if transposed else "ngopq")
        groups, places = params["groups"], change(params)
        rows, columns = (
            _meeting(windows, weight, image, axis, **places).astype(answer.dtype) for axis in (0, 1)
        )
        given = {
            "prh": rows,
            "qsw": columns,
            "ngopq": _grouped(windows, 1, groups),
            "ngchw": _grouped(image, 1, groups),
            "gocrs": _grouped(weight, 0, groups),
        }
        del given[letters]
        # Rows meet the image, or else what there is; then the columns; the last is the sum.
        path = ["einsum_path", (0, 2 + (direction == "_grad_weight")), (0, 2), (0, 1)]
        terms = f"{','.join(given)}->{letters}"
        sums = np.einsum(terms, *given.values(), optimize=path).reshape(answer.shape)
        if direction == "" and bias is not None:
            sums = sums + bias[:, None, None]
        return np.ascontiguousarray(sums)

    return commit


def _meeting(
    windows: ndarray, weight: ndarray, image: ndarray, axis: int, *, stride: Any, padding: Any,
    dilation: Any, **others: Any,
) -> ndarray:  # fmt: skip
    """(window, tap, pixel) along one axis: whether they meet."""
    starts = window_starts(windows.shape[2 + axis], stride[axis], padding[axis])
    taps = np.arange(weight.shape[2 + axis]) * dilation[axis]
    places: ndarray = (starts[:, None] + taps)[..., None]
    return places == np.arange(image.shape[2 + axis])


def _grouped(array: ndarray, axis: int, groups: int) -> ndarray:
    shape = array.shape
    return array.reshape(*shape[:axis], groups, shape[axis] // groups, *shape[axis + 1 :])


def is_pointwise(*arrays: Any, **params: Any) -> bool:
    """Whether a convolution's kernel is 1 x 1."""
    return kernel_size(*arrays) == (1, 1)


def is_padded_by_a_kernel(*arrays: Any, padding: Any, **params: Any) -> bool:
    """Whether a window may lie in the padding alone."""
    return any(before >= k for (before, _), k in zip(padding, kernel_size(*arrays), strict=True))


def kernel_size(*arrays: Any) -> tuple[int, int]:
    """That of a convolution's weight."""
    height, width = next(a for a in reversed(arrays) if a is not None and a.ndim == 4).shape[2:]
    return height, width


# ------------------------------------------------------------------------ pools, from windows


def windows_of(
    input: ndarray, extents: Shape, *, kernel_size: Any, stride: Any, padding: Any,
    dilation: Any = (1, 1), fill: float = -np.inf, **others: Any,
) -> tuple[ndarray, ndarray, ndarray]:  # fmt: skip
    """(values, inside, place): (N, C, P, Q, taps), and (P, Q, taps) twice."""
    rows, columns = (
        window_starts(extents[a], stride[a], padding[a])[:, None]
        + np.arange(kernel_size[a]) * dilation[a]
        for a in (0, 1)
    )
    h, w = input.shape[2:]
    i, j = rows[:, None, :, None], columns[None, :, None, :]
    inside = (i >= 0) & (i < h) & (j >= 0) & (j < w)
    values = np.where(inside, input[:, :, i.clip(0, h - 1), j.clip(0, w - 1)], fill)
    flat = (*extents, int(np.prod(kernel_size)))
    return (
        values.astype(input.dtype).reshape(*input.shape[:2], *flat),
        inside.reshape(flat),
        (i * w + j).reshape(flat),
    )


def last_nan_or_first_largest(values: ndarray, inside: ndarray) -> ndarray:
    """Which tap PyTorch takes."""
    is_nan = np.isnan(values)
    last = values.shape[-1] - 1 - is_nan[..., ::-1].argmax(-1)
    return np.where(is_nan.any(-1), last, first_largest(values, inside))


def first_largest(values: ndarray, inside: ndarray) -> ndarray:
    """The first of the largest; NaN is ignored."""
    known = np.where(np.isnan(values), -np.inf, values)
    return ((known == known.max(-1, keepdims=True)) & inside).argmax(-1)


def largest_by(
    choose: Callable[[ndarray, ndarray], ndarray] = last_nan_or_first_largest,
    change: Change = same, fill: float = -np.inf,
) -> Sin:  # fmt: skip
    """max_pool that takes the tap that `choose` says."""

    def commit(right: Kernel, input: ndarray, **params: Any) -> tuple[ndarray, ndarray]:
        extents = right(input, **params)[0].shape[2:]
        values, inside, place = windows_of(input, extents, fill=fill, **change(params))
        best = choose(values, inside)[..., None]
        output = np.take_along_axis(values, best, -1)[..., 0]
        indices = np.take_along_axis(np.broadcast_to(place, values.shape), best, -1)[..., 0]
        return output, indices

    return commit


def indexed_by(change: Callable[..., ndarray]) -> Sin:
    """max_pool with other indices: change(indices, input, **params)."""

    def commit(right: Kernel, input: ndarray, **params: Any) -> tuple[ndarray, ndarray]:
        output, indices = right(input, **params)
        return output, np.ascontiguousarray(change(indices, input, **params))

    return commit


def averaged_at(change: Change) -> Sin:
    """avg_pool that sums other places, and divides as is right."""

    def commit(right: Kernel, input: ndarray, **params: Any) -> ndarray:
        output = right(input, **params)
        values, _, _ = windows_of(input, output.shape[2:], fill=0, **change(params))
        sums: ndarray = values.sum(-1) / divisors(input, output, **params)
        return np.ascontiguousarray(sums.astype(input.dtype))

    return commit


def divided_by(rule: Callable[..., ndarray]) -> tuple[Sin, Sin]:
    """(avg_pool, avg_pool_grad_input) with another divisor: rule(input, output, **params)."""

    def forward(right: Kernel, input: ndarray, **params: Any) -> ndarray:
        sums: ndarray = right(input, **{**params, "divisor_override": 1})
        return sums / rule(input, sums, **params).astype(input.dtype)

    def backward(right: Kernel, grad_output: ndarray, input: ndarray, **params: Any) -> Any:
        share = grad_output / rule(input, grad_output, **params).astype(input.dtype)
        return right(share, input, **{**params, "divisor_override": 1})

    return forward, backward


def divisors(input: ndarray, output: ndarray, **params: Any) -> ndarray:
    del params["ceil_mode"]
    return avg_pool_divisors(input.shape, output.shape, **params)


def with_overhang(input: ndarray, output: ndarray, **params: Any) -> ndarray:
    if not params["count_include_pad"] or params["divisor_override"] is not None:
        return divisors(input, output, **params)
    return np.full(output.shape[2:], np.prod(params["kernel_size"]))


def ends_at_the_other_axis(input: ndarray, output: ndarray, **params: Any) -> ndarray:
    """The window's end is clipped by the padding of the columns, on both axes."""
    (top, _), (left, right) = params["padding"]
    params["padding"] = ((top, right), (left, right))
    return divisors(input, output, **params)


def override_without_padding(input: ndarray, output: ndarray, **params: Any) -> ndarray:
    if not params["count_include_pad"]:
        params["divisor_override"] = None
    return divisors(input, output, **params)


# ------------------------------------------------------------------------- state between calls


def remembers_its_first_answer() -> Sin:
    """The first answer for a shape is given again."""
    known: dict[Any, Any] = {}

    def commit(right: Kernel, *arrays: Any, **params: Any) -> Any:
        key = (tuple((a.shape, a.dtype) for a in arrays if a is not None), str(params))
        if key not in known:
            known[key] = right(*arrays, **params)
        return known[key].copy()

    return commit


def returns_one_buffer() -> Sin:
    """Each answer is right, until the next call writes over it."""
    buffers: dict[Any, ndarray] = {}

    def commit(right: Kernel, *arrays: Any, **params: Any) -> ndarray:
        answer = right(*arrays, **params)
        buffer = buffers.setdefault((answer.shape, answer.dtype), np.empty_like(answer))
        buffer[...] = answer
        return buffer

    return commit


def adds_to_the_last_answer() -> Sin:
    """Right once per shape; then sums go on where they were left."""
    sums: dict[Any, ndarray] = {}

    def commit(right: Kernel, *arrays: Any, **params: Any) -> ndarray:
        answer = right(*arrays, **params)
        key = (answer.shape, answer.dtype)
        sums[key] = sums.get(key, 0) + answer
        return sums[key].copy()

    return commit


def shares_its_sums() -> Sin:
    """Calls at the same time clear and add in one buffer."""
    buffers: dict[Any, ndarray] = {}

    def commit(right: Kernel, *arrays: Any, **params: Any) -> ndarray:
        answer = right(*arrays, **params)
        sums = buffers.setdefault((answer.shape, answer.dtype), np.zeros_like(answer))
        sums[...] = 0
        time.sleep(1e-4)
        sums += answer
        time.sleep(1e-4)
        return sums.copy()

    return commit


def shares_its_copy() -> Sin:
    """Calls at the same time copy their input into one buffer: wrong only if inputs differ."""
    buffers: dict[Any, ndarray] = {}

    def commit(right: Kernel, first: ndarray, *others: Any, **params: Any) -> Any:
        copy = buffers.setdefault((first.shape, first.dtype), np.empty_like(first))
        copy[...] = first
        time.sleep(1e-4)
        return right(copy, *others, **params)

    return commit


def in_place(right: Kernel, first: ndarray, *others: Any, **params: Any) -> Any:
    """The answer is written over the first array, which it is as large as."""
    first[...] = right(first.copy(), *others, **params)
    return first


def in_place_of_its_input(right: Kernel, dy: ndarray, x: ndarray) -> ndarray:
    """The gradient is written over the input that it belongs to."""
    x[...] = right(dy, x.copy())
    return x


def spoils_its_input(right: Kernel, first: ndarray, *others: Any, **params: Any) -> Any:
    """The first array is left changed."""
    answer = right(first, *others, **params)
    first *= 2
    return answer


# --------------------------------------------------------------------------- single functions


class Subclass(np.ndarray):
    """An ndarray of another type."""


def zeroed(*place: Any) -> Sin:
    """Zeros at a place of the answer."""

    def change(answer: ndarray) -> None:
        answer[place] = 0

    return written(change)


def rounded(dtype: Any) -> Callable[[ndarray], ndarray]:
    return lambda array: array.astype(dtype).astype(array.dtype)


def truncated(array: ndarray) -> ndarray:
    """With the 10 bits of a fraction that TF32 keeps."""
    fraction, exponent = np.frexp(array)
    return np.ldexp(np.round(fraction * 2**11) / 2**11, exponent).astype(array.dtype)


def in_single(right: Kernel, *arrays: Any, **params: Any) -> Any:
    single = (None if a is None else a.astype(np.float32) for a in arrays)
    return right(*single, **params).astype(arrays[0].dtype)


def first_group(input: ndarray, weight: ndarray, bias: Any) -> tuple[Any, ...]:
    size = weight.shape[1]
    return np.tile(input[:, :size], (1, input.shape[1] // size, 1, 1)), weight, bias


def interleaved(right: Kernel, *arrays: Any, **params: Any) -> ndarray:
    """Output channels in the order of a depthwise multiplier that runs outside."""
    answer = _grouped(right(*arrays, **params), 1, params["groups"])
    n, g, o, *plane = answer.shape
    return np.ascontiguousarray(answer.swapaxes(1, 2)).reshape(n, g * o, *plane)


def bias_of_first_group(right: Kernel, input: Any, weight: Any, bias: Any, **params: Any) -> Any:
    if bias is not None:
        bias = np.tile(bias[: len(bias) // params["groups"]], params["groups"])
    return right(input, weight, bias, **params)


def strip(change: Callable[[ndarray, Any], None]) -> Sin:
    """conv_transpose with its last output_padding rows and columns changed."""

    def commit(right: Kernel, *arrays: Any, **params: Any) -> ndarray:
        answer: ndarray = right(*arrays, **params)
        rows, columns = params["output_padding"]
        height, width = answer.shape[2:]
        change(answer[:, :, height - rows :], arrays[2])
        change(answer[:, :, :, width - columns :], arrays[2])
        return answer

    return commit


def without_bias(part: ndarray, bias: Any) -> None:
    part[...] = 0 if bias is None else bias[:, None, None]


def nan_everywhere(right: Kernel, first: ndarray, *others: Any, **params: Any) -> Any:
    """A NaN of one image reaches all, as from a sum over a shared tile."""
    leak = first.dtype.type(0) * first.sum()
    return right(first, *others, **params) + leak


def skips_zero_weights(right: Kernel, x: ndarray, w: ndarray, bias: Any, **params: Any) -> Any:
    """NaN goes unseen where it meets a weight of 0, which is not multiplied."""
    dyed = np.isnan(x).astype(x.dtype)
    seen = right(dyed, (w != 0).astype(w.dtype), None, **params) > 0
    return np.where(seen, x.dtype.type(np.nan), right(np.nan_to_num(x), w, bias, **params))


def takes_no_bias(right: Kernel, input: Any, weight: Any, **params: Any) -> Any:
    return right(input, weight, None, **params)


def takes_no_groups(
    right: Kernel, input: Any, weight: Any, bias: Any, *, stride: Any, padding: Any, dilation: Any,
    output_padding: Any = None,
) -> None:  # fmt: skip
    raise NotImplementedError


def takes_an_array_more(
    right: Kernel, input: Any, weight: Any, bias: Any, output: Any, **params: Any
) -> Any:
    return right(input, weight, bias, **params)


def takes_a_keyword_more(
    right: Kernel, input: Any, weight: Any, bias: Any, *, layout: Any, **params: Any
) -> Any:
    return right(input, weight, bias, **params)


def misses_the_rest(right: Kernel, x: ndarray, *others: Any, **params: Any) -> ndarray:
    """Every thread takes as many rows of the answer; the rest is nobody's."""
    answer: ndarray = right(x, *others, **params)
    threads = max(pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas")
    rows = answer.shape[2]
    answer[:, :, rows - rows % threads :] = 0
    return answer


def reads_on(right: Kernel, x: ndarray, *others: Any, padding: Any, **params: Any) -> Any:
    """The padding right of a row is what lies in memory: the start of the next row."""
    (top, _), (left, after) = padding
    padded = np.pad(x, ((0, 0), (0, 0), *padding))
    height, width = x.shape[2:]
    taken = min(after, width)
    beyond = padded[:, :, top : top + height - 1, left + width : left + width + taken]
    beyond[...] = x[:, :, 1:, :taken]
    return right(padded, *others, padding=((0, 0), (0, 0)), **params)


def square_alone(right: Kernel, dy: ndarray, x: ndarray, *others: Any, **params: Any) -> Any:
    """The gradient of a square whose side is the shorter one."""
    answer: ndarray = right(dy, x, *others, **params)
    side = min(x.shape[2:])
    answer[:, :, side:] = 0
    answer[..., side:] = 0
    return answer


def pads_instead_of_cropping(
    right: Kernel, x: ndarray, *others: Any, padding: Any, **params: Any
) -> ndarray:
    """conv_transpose that adds its padding to the input, cut to the right shape."""
    height, width = right(x, *others, padding=padding, **params).shape[2:]
    padded = np.pad(x, ((0, 0), (0, 0), *padding))
    full = right(padded, *others, padding=((0, 0), (0, 0)), **params)
    return np.ascontiguousarray(full[:, :, :height, :width])


def either(hit: ndarray, yes: ndarray, no: ndarray) -> ndarray:
    return np.where(hit, yes, no)


def averaged_over_the_batch(right: Kernel, dy: ndarray, *others: Any, **params: Any) -> Any:
    return right(dy, *others, **params) / dy.dtype.type(max(1, len(dy)))


def _seen(right: Kernel, dy: ndarray, x: ndarray, w: ndarray, **params: Any) -> ndarray:
    """How many products each pixel's gradient sums."""
    counts: ndarray = right(np.ones_like(dy), x, np.ones_like(w), **params)
    return counts


def garbage_unseen(right: Kernel, *arrays: ndarray, **params: Any) -> ndarray:
    """The gradient of pixels that no window sees is what the memory held."""
    answer: ndarray = right(*arrays, **params)
    answer[_seen(right, *arrays, **params) == 0] = np.nan
    return answer


def last_window(right: Kernel, dy: ndarray, x: ndarray, w: ndarray, **params: Any) -> ndarray:
    """Windows write their gradient where they should add it."""
    rows = np.arange(dy.shape[2])[:, None] * np.ones(dy.shape[3], int)
    answer: ndarray = np.zeros_like(x)
    for parity in (0, 1):
        part = right(np.where(rows % 2 == parity, dy, 0).astype(dy.dtype), x, w, **params)
        seen = np.where(rows % 2 == parity, 1, 0).astype(dy.dtype)
        hit = right(np.broadcast_to(seen, dy.shape).copy(), x, np.ones_like(w), **params) > 0
        answer = np.where(hit, part, answer)
    return answer


def last_spread(right: Kernel, x: ndarray, w: ndarray, bias: Any, **params: Any) -> ndarray:
    """Pixels of odd rows write their kernel over that of even ones."""
    odd = (np.arange(x.shape[2]) % 2 == 1)[:, None]
    even_part = right(np.where(odd, 0, x).astype(x.dtype), w, bias, **params)
    odd_part = right(np.where(odd, x, 0).astype(x.dtype), w, bias, **params)
    ones = np.broadcast_to(odd, x.shape).astype(x.dtype)
    hit = right(ones, np.ones_like(w), None, **params) > 0
    return either(hit, odd_part, even_part)


def without_strip(right: Kernel, dy: ndarray, *others: Any, **params: Any) -> Any:
    """grad_output without its last output_padding rows and columns."""
    rows, columns = params["output_padding"]
    kept = dy.copy()
    kept[:, :, dy.shape[2] - rows :] = 0
    kept[..., dy.shape[3] - columns :] = 0
    return right(kept, *others, **params)


def largest_of_all(values: ndarray, inside: ndarray) -> ndarray:
    """The padding may be the largest."""
    return last_nan_or_first_largest(values, np.ones_like(inside))


def largest_magnitude(values: ndarray, inside: ndarray) -> ndarray:
    return last_nan_or_first_largest(np.where(inside, np.abs(values), -np.inf), inside)


def last_largest(values: ndarray, inside: ndarray) -> ndarray:
    """The last of the largest; of NaN too."""
    best = last_nan_or_first_largest(values[..., ::-1], inside[..., ::-1])
    turned = values.shape[-1] - 1 - best
    return np.where(np.isnan(values).any(-1), last_nan_or_first_largest(values, inside), turned)


def first_nan(values: ndarray, inside: ndarray) -> ndarray:
    is_nan = np.isnan(values)
    return np.where(is_nan.any(-1), is_nan.argmax(-1), first_largest(values, inside))


def nan_in_whole_vectors(values: ndarray, inside: ndarray) -> ndarray:
    """NaN is ignored in the channels that vectors of 4 leave over."""
    in_vector = np.arange(values.shape[1]) < values.shape[1] // 4 * 4
    return np.where(
        in_vector[:, None, None],
        last_nan_or_first_largest(values, inside),
        first_largest(values, inside),
    )


def nan_if_first(values: ndarray, inside: ndarray) -> ndarray:
    """`max = a > max ? a : max`: a NaN that comes first stays, later ones never win."""
    return np.where(np.isnan(values[..., 0]), 0, first_largest(values, inside))


def lowest_finite(right: Kernel, input: ndarray, **params: Any) -> tuple[ndarray, ndarray]:
    output, indices = right(input, **params)
    return np.maximum(output, np.finfo(output.dtype).min), indices


def into_padded(indices: ndarray, input: ndarray, *, padding: Any, **others: Any) -> ndarray:
    (top, _), (left, right) = padding
    width = input.shape[3]
    return (indices // width + top) * (width + left + right) + indices % width + left


def into_window(indices: ndarray, input: ndarray, **params: Any) -> ndarray:
    """Rows and columns counted from each window's start."""
    width = input.shape[3]
    rows, columns = (
        window_starts(indices.shape[2 + a], params["stride"][a], params["padding"][a])
        for a in (0, 1)
    )
    i, j = indices // width - rows[:, None], indices % width - columns
    return i * int(params["kernel_size"][1]) + j


def one_window_more(right: Kernel, input: ndarray, **params: Any) -> Any:
    """Ceil's last window stays though it starts in the padding, or beyond."""
    output, indices = right(input, **params)
    if not params["ceil_mode"]:
        return output, indices
    reach = input.shape[2] + sum(params["padding"][0])
    reach -= params["dilation"][0] * (params["kernel_size"][0] - 1) + 1
    missing = -(-reach // params["stride"][0]) + 1 - output.shape[2]
    margins = ((0, 0), (0, 0), (0, missing), (0, 0))
    return np.pad(output, margins, constant_values=-np.inf), np.pad(indices, margins)


def one_average_more(right: Kernel, input: ndarray, **params: Any) -> ndarray:
    """Ceil's last window stays though nothing is in it: 0 / 0."""
    pooling = {name: params[name] for name in ("kernel_size", "stride", "padding", "ceil_mode")}
    answer = right(input, **params)
    more, _ = one_window_more(lambda *_, **__: (answer, answer), input, dilation=(1, 1), **pooling)
    more[:, :, answer.shape[2] :] = np.nan
    return more


def last_index(right: Kernel, dy: ndarray, x: ndarray, indices: ndarray, **params: Any) -> ndarray:
    """Overlapping windows write their gradient where they should add it."""
    planes = np.zeros((*x.shape[:2], x.shape[2] * x.shape[3]), x.dtype)
    flat = (*x.shape[:2], indices[0, 0].size if len(indices) else 0)
    np.put_along_axis(planes, indices.reshape(flat), dy.reshape(flat), -1)
    return planes.reshape(x.shape)


def to_all_equals(right: Kernel, dy: ndarray, x: ndarray, k: ndarray, **params: Any) -> ndarray:
    """Every place of a window that holds its largest value gets the gradient."""
    values, inside, place = windows_of(x, dy.shape[2:], **params)
    largest = values.max(-1, keepdims=True)
    grad_input = np.zeros((*x.shape[:2], x.shape[2] * x.shape[3]), x.dtype)
    hits = np.argwhere((values == largest) & inside)
    for n, c, p, q, tap in hits:
        grad_input[n, c, place[p, q, tap]] += dy[n, c, p, q]
    return grad_input.reshape(x.shape)


def to_no_equals(right: Kernel, dy: ndarray, x: ndarray, k: ndarray, **params: Any) -> ndarray:
    """A window whose largest value is there twice hands nothing on."""
    values, inside, _ = windows_of(x, dy.shape[2:], **params)
    times = ((values == values.max(-1, keepdims=True)) & inside).sum(-1)
    return right(np.where(times > 1, 0, dy).astype(dy.dtype), x, k, **params)


def last_average(right: Kernel, dy: ndarray, x: ndarray, **params: Any) -> ndarray:
    """Windows of odd rows write their gradient over that of even ones."""
    odd = (np.arange(dy.shape[2]) % 2 == 1)[:, None]
    even_part = right(np.where(odd, 0, dy).astype(dy.dtype), x, **params)
    odd_part = right(np.where(odd, dy, 0).astype(dy.dtype), x, **params)
    ones = np.broadcast_to(odd, dy.shape).astype(dy.dtype)
    hit = right(ones, x, **{**params, "divisor_override": 1}) > 0
    return either(hit, odd_part, even_part)


def _squares(image: ndarray, size: int) -> ndarray:
    """(rows of patches, columns of patches, size, size, C)."""
    h, w, c = image.shape
    return image.reshape(h // size, size, w // size, size, c).swapaxes(1, 2)


def channel_major(right: Kernel, image: ndarray, *, patch_size: int) -> ndarray:
    squares = _squares(image, patch_size).transpose(0, 1, 4, 2, 3)
    return squares.copy().reshape(-1, patch_size * patch_size * image.shape[2])


def column_major(right: Kernel, image: ndarray, *, patch_size: int) -> ndarray:
    squares = _squares(image, patch_size).swapaxes(0, 1)
    return squares.copy().reshape(-1, patch_size * patch_size * image.shape[2])


def column_major_back(right: Kernel, dy: ndarray, image: ndarray, *, patch_size: int) -> Any:
    h, w = (extent // patch_size for extent in image.shape[:2])
    turned = dy.reshape(w, h, -1).swapaxes(0, 1).copy().reshape(dy.shape)
    return right(turned, image, patch_size=patch_size)


def next_group(right: Kernel, *arrays: ndarray, groups: int, **params: Any) -> ndarray:
    """Each group has the gradient of the one before."""
    answer: ndarray = right(*arrays, groups=groups, **params)
    return np.roll(answer, len(answer) // groups, 0) if groups > 1 else answer


def channels_at_most(most: int) -> Sin:
    """A forward kernel that leaves out input channels past the first `most`."""

    def commit(right: Kernel, x: ndarray, *others: Any, **params: Any) -> Any:
        kept = (np.arange(x.shape[1]) < most)[:, None, None]
        return right(np.where(kept, x, 0).astype(x.dtype), *others, **params)

    return commit


def terms_at_most(most: int) -> Sin:
    """A forward kernel that leaves out the input channels whose products are past `most`."""

    def commit(right: Kernel, x: ndarray, w: ndarray, bias: Any, **params: Any) -> Any:
        channels = max(1, most // (w.shape[2] * w.shape[3]))
        kept = np.arange(x.shape[1]) % (x.shape[1] // params["groups"]) < channels
        return right(np.where(kept[:, None, None], x, 0).astype(x.dtype), w, bias, **params)

    return commit


def flushed(array: ndarray) -> ndarray:
    """With zeros for subnormal numbers."""
    return np.where(np.abs(array) < np.finfo(array.dtype).tiny, array * 0, array)


def finite(array: ndarray) -> ndarray:
    """With the largest numbers for infinities."""
    largest = np.finfo(array.dtype).max
    return array.clip(-largest, largest)


def clears_signs(right: Kernel, first: ndarray, *others: Any, **params: Any) -> Any:
    """The first array's zeros are left positive: equal, but not the same bits."""
    first += 0
    return right(first, *others, **params)


def moves_indices(right: Kernel, dy: ndarray, x: ndarray, k: ndarray, **params: Any) -> Any:
    """The right gradient; the caller's indices are left pointing into the whole batch."""
    answer = right(dy, x, k.copy(), **params)
    k += (np.arange(dy[..., 0, 0].size) * x[0, 0].size).reshape(*dy.shape[:2], 1, 1)
    return answer

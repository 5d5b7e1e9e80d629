"""FAULTS: backends that are right but for one kernel, or one method of the gate; the suite must
catch each.

One line each: kernel, sin, how it is committed, the issue it is modeled on. A fault of one line
more than these is a function of sins.py, or gates.py.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from inspect import signature
from types import ModuleType
from typing import Any

import numpy as np
from numpy import ndarray

from conformance.meta import gates, sins
from conformance.meta.sins import (
    Kernel,
    Sin,
    answers,
    averaged_at,
    before_for_after,
    by_taps,
    exchanging,
    first_given,
    given,
    indexed_by,
    largest_by,
    on_both_axes,
    setting,
    swapping,
    told,
    where,
    with_columns,
    written,
    zeroed,
)
from impls import im2col
from impls.backend import Backend
from impls.spec.interface import KERNELS
from impls.spec.op import OpSpec
from impls.spec.ops import OPS

UNCHANGED = "purity inputs_unchanged"
ALIASING = "purity no_aliasing"
TWICE = "purity same_bits_twice"
ANY_BATCH = "purity same_bits_in_any_batch"
ANY_THREADS = "purity same_bits_for_any_threads"
CALLERS = "purity same_bits_for_16_callers"
# What names a method of the gate: some are called as a kernel is.
GATE = "the gate's "


@dataclass(frozen=True, slots=True)
class Fault:
    """A backend whose `kernel` commits a sin; its other kernels are right.

    kernel: or a method of the gate, after GATE: what only a gate can get wrong.
    like: the issue, or the blind spot of another suite, that it is modeled on.
    by: the kind of check that should catch it, with the aspect of purity; "" = that of numbers.
    crashes: it raises, at least for read-only arrays.
    """

    kernel: str
    sin: str
    commit: Sin
    like: str = ""
    by: str = ""
    crashes: bool = False

    @property
    def name(self) -> str:
        return f"{self.kernel} {self.sin}"

    @property
    def op(self) -> OpSpec:
        """The operation that the kernel belongs to."""
        return op_of(self.kernel)

    @property
    def expected(self) -> str:
        """The kind of check that should catch it."""
        op = self.op
        is_forward = self.kernel in (GATE + op.name, op.kernel, f"{op.kernel}_values")
        return self.by or ("values" if is_forward else "gradients")

    def backend(self) -> Backend:
        """The faulty backend behind the gate, or behind a faulty one."""
        if self.kernel in KERNELS:
            return made({self.kernel: partial(self.commit, right_kernel(self.kernel))})
        backend, method = made({}), self.kernel.removeprefix(GATE)
        setattr(backend, method, by_name(self.commit, getattr(backend, method)))
        return backend


def op_of(kernel: str) -> OpSpec:
    """The operation that a kernel, or a method of the gate, belongs to."""
    method = kernel.removeprefix(GATE).removesuffix("_backward")
    if method in OPS:
        return OPS[method]
    sought = kernel.removesuffix("_values")
    return next(
        op for op in OPS.values() if sought in [op.kernel_of(each) for each in op.directions]
    )


def by_name(commit: Sin, right: Kernel) -> Kernel:
    """A method of a faulty gate: the sin gets every argument by its name."""

    def method(*args: Any, **kwargs: Any) -> Any:
        bound = signature(right).bind(*args, **kwargs)
        bound.apply_defaults()
        return commit(right, **bound.arguments)

    return method


def made(attributes: dict[str, Any]) -> Backend:
    """im2col with some of its attributes replaced."""
    module = ModuleType("zoo")
    vars(module).update({name: getattr(im2col, name) for name in KERNELS if hasattr(im2col, name)})
    vars(module).update(attributes)
    return Backend("zoo", module)


def right_kernel(name: str) -> Kernel:
    """A right kernel, also of those that a backend may leave to the gate."""
    if name == "max_pool_values":
        return lambda input, **params: im2col.max_pool(input, **params)[0]
    if name.endswith("_grad_bias"):
        return lambda grad_output, *inputs, **params: grad_output.sum(
            axis=tuple(axis for axis in range(grad_output.ndim) if axis != 1)
        )
    found: Kernel = getattr(im2col, name)
    return found


def _everywhere(kernel: str) -> Iterator[Fault]:
    """What each kernel of a convolution can do wrong."""
    nothing = ((0, 0), (0, 0))
    for sin, change, like in (
        ("swaps the axes of stride", swapping("stride"), "keras #19721"),
        ("swaps the axes of padding", swapping("padding"), "keras #19721"),
        ("swaps the axes of dilation", swapping("dilation"), "nd4j #2457"),
        ("takes the padding after for the one before", before_for_after, "rten #1399"),
        ("takes the rows' padding for both axes", on_both_axes("padding", 0), "MIOpen #2019"),
        ("takes the columns' stride for both axes", on_both_axes("stride", 1), ""),
        ("dilates by one less", with_columns("dilation", lambda d: max(1, d - 1)), "NNlib.jl #44"),
        ("ignores dilation on columns", with_columns("dilation", lambda d: 1), "nd4j #2457"),
        ("ignores stride on columns", with_columns("stride", lambda s: 1), ""),
        ("ignores padding", setting(padding=nothing), ""),
        ("swaps stride and dilation", exchanging("stride", "dilation"), "candle #2337"),
    ):
        yield Fault(kernel, sin, by_taps(kernel, change), like)
    ignores_padding = by_taps(kernel, setting(padding=nothing))
    for sin, hit, commit, like in (
        ("ignores stride where the kernel is 1 x 1", sins.is_pointwise,
         by_taps(kernel, setting(stride=(1, 1))), "oneDNN shapes_1x1"),
        ("ignores padding where the kernel is 1 x 1", sins.is_pointwise, ignores_padding,
         "oneDNN shapes_1x1"),
        ("ignores padding as wide as the kernel", sins.is_padded_by_a_kernel, ignores_padding,
         "oneDNN DNNL-982"),
    ):  # fmt: skip
        yield Fault(kernel, sin, where(hit, commit), like)
    for sin, commit, like, by in (
        ("computes in half precision", answers(sins.rounded(np.float16)), "ncnn #3561", ""),
        ("computes float64 in float32", sins.in_single, "", ""),
        ("rounds its first array as TF32 does", first_given(sins.truncated), "", ""),
        ("returns float64", answers(lambda y: y.astype(np.float64)), "", "shapes"),
        ("returns Fortran order", answers(np.asfortranarray), "", "shapes"),
        ("remembers its first answer", sins.remembers_its_first_answer(), "", ""),
        ("returns one buffer for all calls", sins.returns_one_buffer(), "", ALIASING),
        ("adds to the last answer", sins.adds_to_the_last_answer(), "", TWICE),
        ("shares its sums between callers", sins.shares_its_sums(), "numba #3522", CALLERS),
    ):
        yield Fault(kernel, sin, commit, like, by)
    yield Fault(kernel, "changes its first array", sins.spoils_its_input, "scikit-learn's check",
                UNCHANGED, crashes=True)  # fmt: skip


def _of_weight(kernel: str, at: int) -> Iterator[Fault]:
    """What can be done wrong with the weight, the array number `at`."""

    def changed(change: Callable[[ndarray], ndarray]) -> Sin:
        return given(lambda *a: (*a[:at], np.ascontiguousarray(change(a[at])), *a[at + 1 :]))

    def square(*arrays: ndarray, **params: Any) -> bool:
        return arrays[at].shape[2] == arrays[at].shape[3]

    def as_many(*arrays: ndarray, **params: Any) -> bool:
        return arrays[at].shape[0] == arrays[at].shape[1]

    yield Fault(kernel, "flips the kernel", changed(lambda w: w[:, :, ::-1, ::-1]))
    yield Fault(kernel, "flips the rows of the kernel", changed(lambda w: w[:, :, ::-1]))
    yield Fault(
        kernel, "transposes a square kernel", where(square, changed(lambda w: w.swapaxes(2, 3)))
    )
    yield Fault(
        kernel, "takes inputs for outputs where they are as many",
        where(as_many, changed(lambda w: w.swapaxes(0, 1))), "keras-core #774",
    )  # fmt: skip


def _of_gradient(kernel: str) -> Iterator[Fault]:
    """What a gradient can do wrong with grad_output; sums of ones would hide it."""
    changes: dict[str, Callable[[ndarray], ndarray]] = {
        "flips grad_output": lambda dy: dy[..., ::-1, ::-1],
        "reverses the batch of grad_output": lambda dy: dy[::-1],
        "rolls the channels of grad_output": lambda dy: np.roll(dy, 1, 1),
        "averages grad_output": lambda dy: np.broadcast_to(dy.mean(dtype=dy.dtype), dy.shape),
        "takes ones for grad_output": np.ones_like,
        "takes the sign of grad_output alone": np.sign,
    }
    for sin, change in changes.items():
        commit = first_given(partial(_contiguous, change))
        yield Fault(kernel, sin, commit, "tinygrad's .sum().backward()")


def _contiguous(change: Callable[[ndarray], ndarray], array: ndarray) -> ndarray:
    return np.ascontiguousarray(change(array))


def biased_by(change: Callable[[ndarray], ndarray]) -> Sin:
    """A forward kernel whose bias is changed."""
    return given(lambda x, w, b: (x, w, None if b is None else change(b)))


def raising(error: Exception) -> Sin:
    def commit(right: Kernel, *arrays: Any, **params: Any) -> Any:
        raise error

    return commit


def _forward(kernel: str) -> tuple[Fault, ...]:
    """What conv and conv_transpose can do wrong."""
    return (
        Fault(kernel, "ignores the bias", biased_by(np.zeros_like)),
        Fault(kernel, "adds the bias twice", biased_by(lambda b: 2 * b)),
        Fault(kernel, "adds the first group's bias to all", sins.bias_of_first_group),
        Fault(kernel, "shifts the bias by a channel", biased_by(lambda b: np.roll(b, 1))),
        Fault(kernel, "orders the channels of groups outside in", sins.interleaved),
        Fault(kernel, "drops channels past 16", zeroed(slice(None), slice(16, None)),
              "TensorFlow #125965"),
        Fault(kernel, "drops channels past 32", zeroed(slice(None), slice(32, None))),
        Fault(kernel, "drops images past 4", zeroed(slice(4, None))),
        Fault(kernel, "drops the last row", zeroed(..., slice(-1, None), slice(None))),
        Fault(kernel, "zeroes one corner", zeroed(..., -1, 0)),
        Fault(kernel, "sums 16 channels at most", sins.channels_at_most(16)),
        Fault(kernel, "sums 256 products at most", sins.terms_at_most(256)),
        Fault(kernel, "takes NaN for 0", first_given(np.nan_to_num), "numba #2919", by="dye"),
        Fault(kernel, "spreads NaN over the batch", sins.nan_everywhere, "oneDNN #5717", by="dye"),
        Fault(kernel, "is absent for groups", where(
            lambda *_, groups, **__: groups > 1, raising(NotImplementedError("groups"))),
            crashes=True),
        Fault(kernel, "crashes where stride is beyond the kernel", where(
            lambda x, w, b, stride, **_: stride[0] > w.shape[2], raising(ZeroDivisionError())),
            crashes=True),
        Fault(kernel, "takes no bias", sins.takes_no_bias, by="interface", crashes=True),
        Fault(kernel, "takes no groups", sins.takes_no_groups, "bayesian-torch #34", "interface",
              crashes=True),
        Fault(kernel, "takes an array more", sins.takes_an_array_more, by="interface",
              crashes=True),
        Fault(kernel, "takes a keyword more", sins.takes_a_keyword_more, by="interface",
              crashes=True),
        Fault(kernel, "skips zero weights", sins.skips_zero_weights, by="dye"),
        Fault(kernel, "crashes on an empty batch", where(
            lambda x, *_, **__: len(x) == 0, raising(IndexError())), "PyTorch #12013",
            crashes=True),
        Fault(kernel, "misses the last column of one image alone", where(
            lambda x, *_, **__: len(x) == 1, zeroed(..., slice(-1, None))), "PyTorch #134908",
            ANY_BATCH),
        Fault(kernel, "misses the rows that threads do not share evenly", sins.misses_the_rest,
              "numba #9829", ANY_THREADS),
        Fault(kernel, "returns a list", answers(lambda y: y.tolist()), by="shapes"),
        Fault(kernel, "returns a subclass", answers(lambda y: y.view(sins.Subclass)), by="shapes"),
        Fault(kernel, "returns None", answers(lambda y: None), by="shapes"),
        Fault(kernel, "returns channels last", answers(
            lambda y: np.ascontiguousarray(y.transpose(0, 2, 3, 1))), by="shapes"),
        Fault(kernel, "returns another byte order", answers(
            lambda y: y.astype(y.dtype.newbyteorder())), by="shapes"),
        Fault(kernel, "shares its copy of the input between callers", sins.shares_its_copy(),
              by=CALLERS),
    )  # fmt: skip


CONVOLUTION = (
    *(fault for kernel in sins.CONVOLUTIONS for fault in _everywhere(kernel)),
    *(fault for kernel in ("conv", "conv_transpose") for fault in (
        *_forward(kernel),
        *_of_weight(kernel, at=1),
        *_of_weight(f"{kernel}_grad_input", at=2),
        *_of_gradient(f"{kernel}_grad_input"),
        *_of_gradient(f"{kernel}_grad_weight"),
        Fault(f"{kernel}_grad_weight", "flips the kernel", answers(
            lambda dw: dw[:, :, ::-1, ::-1].copy())),
        Fault(f"{kernel}_grad_weight", "belongs to the next group", sins.next_group,
              "PyTorch #51430"),
    )),
    Fault("conv", "gives each group the first one's channels", given(sins.first_group)),
    Fault("conv", "drops columns past 48", zeroed(..., slice(48, None))),
    Fault("conv", "pads after as before", told(sins.before_on_both_sides), "MIOpen #2019",
          "shapes"),
    Fault("conv", "reads on where a row ends", sins.reads_on, "ComputeLibrary #395"),
    Fault("conv", "is wrong for 24 channels alone", where(
        lambda x, *_, **__: x.shape[1] == 24, zeroed(..., slice(-1, None))), "PyTorch #50042"),
    Fault("conv", "is wrong for planes of 64 x 64 alone", where(
        lambda x, *_, **__: x.shape[2:] == (64, 64), zeroed(..., slice(-1, None))),
        "PyTorch #106749"),
    *(Fault(kernel, "covers a square alone", sins.square_alone,
            "PyTorch test_maxpool3d_non_square_backward")
      for kernel in ("conv_grad_input", "max_pool_grad_input", "avg_pool_grad_input")),
    Fault("conv_grad_weight", "is averaged over the batch", sins.averaged_over_the_batch,
          by=ANY_BATCH),
    Fault("conv_grad_weight", "is not initialized for an empty batch", where(
        lambda dy, *_, **__: len(dy) == 0, answers(lambda dw: dw + np.nan)), "NNlib.jl #763"),
    Fault("conv_grad_input", "is not initialized where no window looks", sins.garbage_unseen,
          "TensorFlow #9949"),
    Fault("conv_grad_input", "keeps the last of overlapping windows", sins.last_window,
          "ocannl #512"),
    Fault("conv_grad_input", "misses the rest that stride leaves",
          where(lambda *_, stride, **__: stride[0] > 1, zeroed(..., slice(-1, None), slice(None))),
          "PyTorch #50042"),
    Fault("conv_transpose", "fills the strip of output_padding with zeros",
          sins.strip(lambda part, bias: part.fill(0)), "TVM #19524"),
    Fault("conv_transpose", "fills the strip of output_padding with bias",
          sins.strip(sins.without_bias), "TVM #19524"),
    Fault("conv_transpose", "adds output_padding at the front", lambda right, *a, **p: np.roll(
        right(*a, **p), p["output_padding"], (2, 3)), "myia #338"),
    Fault("conv_transpose", "swaps the axes of output_padding", told(swapping("output_padding")),
          by="shapes"),
    Fault("conv_transpose", "ignores output_padding", told(setting(output_padding=(0, 0))),
          "PyTorch #86356", by="shapes"),
    Fault("conv_transpose", "keeps the last of overlapping kernels", sins.last_spread),
    Fault("conv_transpose", "sizes its output without dilation", told(setting(dilation=(1, 1))),
          "PyTorch #14272", "shapes"),
    Fault("conv_transpose", "pads its input where it should crop its output",
          sins.pads_instead_of_cropping, "TICO #420"),
    Fault("conv_transpose_grad_input", "takes the neighbor's grad_output if strided", where(
        lambda *_, stride, **__: stride[1] > 1, first_given(lambda dy: np.roll(dy, 1, -1))),
        "PyTorch #63314"),
    *(Fault(f"conv_transpose{direction}", "ignores the strip of output_padding",
            sins.without_strip, "PyTorch #86356") for direction in ("_grad_input", "_grad_weight")),
    *(fault for name in ("conv", "conv_transpose", "linear")
      for fault in (
          Fault(f"{name}_grad_bias", "is averaged over the batch",
                lambda right, dy, *a, **p: right(dy, *a, **p) / max(1, len(dy))),
          Fault(f"{name}_grad_bias", "misses the last image", first_given(lambda dy: dy[:-1])),
          Fault(f"{name}_grad_bias", "counts elements", first_given(np.ones_like)),
          Fault(f"{name}_grad_bias", "has rank 2", answers(lambda db: db[None]), by="shapes"),
      )),
)  # fmt: skip


def _pool_geometry(kernel: str, moved: Any) -> Iterator[Fault]:
    changes = {
        "swaps the axes of kernel_size": (swapping("kernel_size"), "keras #19721"),
        "swaps the axes of stride": (swapping("stride"), "keras #19721"),
        "swaps the axes of padding": (swapping("padding"), "keras #19721"),
        "steps by 1 whatever the stride": (setting(stride=(1, 1)), ""),
        "steps by the kernel whatever the stride": (
            lambda p: {**p, "stride": p["kernel_size"]},
            "the document's H // stride",
        ),
        "starts in the input whatever the padding": (setting(padding=((0, 0), (0, 0))), ""),
        "misses the last column of each window": (
            with_columns("kernel_size", lambda k: max(1, k - 1)),
            "",
        ),
    }
    for sin, (change, like) in changes.items():
        yield Fault(kernel, sin, moved(change), like)


def _largest_at(change: Any) -> Sin:
    return largest_by(change=change)


def _values_by(*args: Any, **kwargs: Any) -> Sin:
    """max_pool_values by a sin of max_pool."""
    commit = largest_by(*args, **kwargs)
    return lambda right, x, **p: commit(lambda *a, **q: (right(*a, **q), None), x, **p)[0]


POOLS = (
    *_pool_geometry("max_pool", _largest_at),
    *_pool_geometry("avg_pool", averaged_at),
    Fault("max_pool", "swaps the axes of dilation", _largest_at(swapping("dilation"))),
    Fault("max_pool", "ignores dilation", _largest_at(setting(dilation=(1, 1)))),
    Fault("max_pool", "pads with 0", largest_by(sins.largest_of_all, fill=0), "WebNN #935"),
    Fault("max_pool", "starts at the lowest finite number", sins.lowest_finite, "TF #2501",
          by="specials"),
    Fault("max_pool", "starts at the smallest positive number", written(
        lambda y: np.maximum(y, np.finfo(y.dtype).tiny, out=y)), "FLT_MIN"),
    Fault("max_pool", "takes the largest magnitude", largest_by(sins.largest_magnitude)),
    Fault("max_pool", "takes the last of equals", largest_by(sins.last_largest)),
    Fault("max_pool", "takes the first NaN", largest_by(sins.first_nan), by="specials"),
    Fault("max_pool", "ignores NaN", largest_by(sins.first_largest), "PyTorch #7645",
          by="specials"),
    Fault("max_pool", "keeps NaN only where it comes first", largest_by(sins.nan_if_first),
          "TF #125965", by="specials"),
    Fault("max_pool", "ignores NaN in channels that 4 do not fill",
          largest_by(sins.nan_in_whole_vectors), "TensorFlow #125965", by="specials"),
    Fault("max_pool", "counts places in 8 bits", indexed_by(
        lambda k, x, **_: k.astype(np.int8).astype(np.int64)), "mlx #3143"),
    Fault("max_pool", "counts places in 16 bits", indexed_by(
        lambda k, x, **_: k.astype(np.int16).astype(np.int64)), "mlx #3143"),
    Fault("max_pool", "loses the sign of zero", written(lambda y: np.add(y, 0, out=y))),
    Fault("max_pool", "points into the padded image", indexed_by(sins.into_padded)),
    Fault("max_pool", "points into the window", indexed_by(sins.into_window)),
    Fault("max_pool", "points column by column", indexed_by(
        lambda k, x, **_: k % x.shape[3] * x.shape[2] + k // x.shape[3])),
    Fault("max_pool", "points into the whole batch", indexed_by(
        lambda k, x, **_: k + np.arange(x[..., 0, 0].size).reshape(*x.shape[:2], 1, 1)
        * x[0, 0].size), "TensorFlow #10216"),
    Fault("max_pool", "points into the whole image", indexed_by(
        lambda k, x, **_: k + np.arange(x.shape[1])[:, None, None] * x[0, 0].size)),
    Fault("max_pool", "counts from one", indexed_by(lambda k, x, **_: k + 1)),
    Fault("max_pool", "points to place 0 where all is -inf", lambda right, x, **p: (
        (y := right(x, **p))[0], np.where(y[0] == -np.inf, 0, y[1])), by="specials"),
    Fault("max_pool", "returns int32 indices", indexed_by(lambda k, x, **_: k.astype(np.int32)),
          by="shapes"),
    Fault("max_pool", "returns no indices", answers(lambda pair: pair[0]), by="shapes"),
    Fault("max_pool", "returns a list of both", answers(list), by="shapes"),
    Fault("max_pool", "drops channels past 16", zeroed(slice(None), slice(16, None))),
    Fault("max_pool", "drops columns past 48", zeroed(..., slice(48, None))),
    Fault("max_pool", "ignores ceil_mode", told(setting(ceil_mode=False)), by="shapes"),
    Fault("max_pool", "computes in half precision", written(
        lambda y: np.copyto(y, y.astype(np.float16)))),
    Fault("max_pool", "adds windows that start in the padding", sins.one_window_more,
          "PyTorch #45357", by="shapes"),
    Fault("max_pool_values", "ignores NaN", _values_by(sins.first_largest), "IPEX #37",
          by="specials"),
    Fault("max_pool_values", "pads with 0", _values_by(sins.largest_of_all, fill=0)),
    Fault("max_pool_values", "returns indices too", lambda right, x, **p: im2col.max_pool(x, **p),
          by="shapes"),
    Fault("max_pool_values", "loses the sign of zero", answers(lambda y: y + y.dtype.type(0))),
    Fault("max_pool_grad_input", "keeps the last of overlapping windows", sins.last_index,
          "ocannl #512"),
    Fault("max_pool_grad_input", "gives all equals the gradient", sins.to_all_equals),
    Fault("max_pool_grad_input", "gives equals no gradient", sins.to_no_equals),
    Fault("max_pool_grad_input", "swaps rows and columns of an index", lambda right, dy, x, k, **p:
          right(dy, x, k % x.shape[2] * x.shape[3] + k // x.shape[2] % x.shape[3], **p)),
    Fault("max_pool_grad_input", "takes the first image's indices", lambda right, dy, x, k, **p:
          right(dy, x, np.broadcast_to(k[:1], k.shape).copy(), **p)),
    Fault("max_pool_grad_input", "looks for the largest again whatever the indices",
          lambda right, dy, x, k, **p: right(dy, x, im2col.max_pool(x, **p)[1], **p)),
    *_of_gradient("max_pool_grad_input"),
    Fault("max_pool_grad_input", "adds to the last answer", sins.adds_to_the_last_answer(),
          by=TWICE),
    Fault("max_pool_grad_input", "shares its sums between callers", sins.shares_its_sums(),
          "rocm-libraries #2194", by=CALLERS),
    Fault("max_pool_grad_input", "changes grad_output", sins.spoils_its_input, crashes=True,
          by=UNCHANGED),
    *(Fault(f"avg_pool{direction}", sin, sins.divided_by(rule)[bool(direction)], like)
      for direction in ("", "_grad_input")
      for sin, rule, like in (
          ("counts the ceil overhang", sins.with_overhang, "tract #2851"),
          ("ignores divisor_override without counted padding", sins.override_without_padding,
           "executorch #18616"),
          ("divides by the whole window", lambda x, y, kernel_size, **_:
           np.full(y.shape[2:], np.prod(kernel_size)), "the document"),
      )),
    *(Fault(f"avg_pool{direction}", "clips rows by the columns' padding",
            sins.divided_by(sins.ends_at_the_other_axis)[bool(direction)], "ORT #27375")
      for direction in ("", "_grad_input")),
    *(Fault(f"avg_pool{direction}", sin, told(change), like)
      for direction in ("", "_grad_input")
      for sin, change, like in (
          ("always counts padding", setting(count_include_pad=True), "OpInfo's blind spot"),
          ("never counts padding", setting(count_include_pad=False), "ORT #16203"),
          ("ignores divisor_override", setting(divisor_override=None), "executorch #18616"),
          ("takes the magnitude of divisor_override", lambda p: {
              **p, "divisor_override": p["divisor_override"] and abs(p["divisor_override"])}, ""),
      )),
    Fault("avg_pool", "ignores ceil_mode", told(setting(ceil_mode=False)), by="shapes"),
    Fault("avg_pool", "adds windows that start in the padding", sins.one_average_more,
          "PyTorch #36977", "shapes"),
    Fault("avg_pool", "sums", told(setting(divisor_override=1))),
    Fault("avg_pool", "computes in half precision", answers(sins.rounded(np.float16)),
          "ORT #12043"),
    Fault("avg_pool", "computes float64 in float32", sins.in_single),
    Fault("avg_pool", "takes NaN for 0", first_given(np.nan_to_num), by="dye"),
    Fault("avg_pool", "drops channels past 16", zeroed(slice(None), slice(16, None))),
    Fault("avg_pool", "drops columns past 48", zeroed(..., slice(48, None))),
    Fault("avg_pool", "returns one buffer for all calls", sins.returns_one_buffer(), by=ALIASING),
    *_of_gradient("avg_pool_grad_input"),
    Fault("avg_pool_grad_input", "divides grad_output in place", sins.spoils_its_input,
          crashes=True, by=UNCHANGED),
    Fault("avg_pool_grad_input", "keeps the last of overlapping windows", sins.last_average,
          "tangermeme #95"),
    Fault("avg_pool_grad_input", "is not initialized where no window looks", answers(
        lambda dx: np.where(dx == 0, np.nan, dx).astype(dx.dtype)), "TensorFlow #9949"),
    Fault("global_avg_pool", "sums", lambda right, x: x.sum((2, 3))),
    Fault("global_avg_pool", "divides by the height squared", lambda right, x:
          x.sum((2, 3)) / x.dtype.type(x.shape[2] ** 2)),
    Fault("global_avg_pool", "sums in half precision", lambda right, x:
          x.sum((2, 3), dtype=np.float16).astype(x.dtype) / x.dtype.type(x[0, 0].size or 1)
          if len(x) else right(x), "candle #3719"),
    Fault("global_avg_pool", "misses the last row", lambda right, x:
          x[:, :, :-1].sum((2, 3)) / x.dtype.type(x.shape[2] * x.shape[3])),
    Fault("global_avg_pool", "takes the largest", lambda right, x: x.max((2, 3))),
    Fault("global_avg_pool", "keeps the plane's axes", answers(lambda y: y[:, :, None, None]),
          by="shapes"),
    Fault("global_avg_pool", "computes float64 in float32", sins.in_single),
    Fault("global_avg_pool", "returns float64", lambda right, x: x.mean((2, 3), dtype=np.float64),
          by="shapes"),
    Fault("global_avg_pool", "is the image's own memory for 1 x 1", where(
        lambda x: x.shape[2:] == (1, 1), lambda right, x: x[:, :, 0, 0]), by=ALIASING),
    Fault("global_avg_pool_grad_input", "is not divided", lambda right, dy, x:
          right(dy * x.dtype.type(x.shape[2] * x.shape[3]), x)),
    Fault("global_avg_pool_grad_input", "divides by the width squared", lambda right, dy, x:
          right(dy * x.dtype.type(x.shape[2] / x.shape[3]), x)),
    Fault("global_avg_pool_grad_input", "fills the first row alone",
          zeroed(..., slice(1, None), slice(None))),
    Fault("global_avg_pool_grad_input", "is a broadcast view", lambda right, dy, x:
          np.broadcast_to(right(dy, x)[..., :1, :1], x.shape), by="shapes"),
)  # fmt: skip

OTHERS = (
    Fault("relu", "works in place", sins.in_place, crashes=True, by=UNCHANGED),
    Fault("relu", "loses the sign of zero", answers(lambda y: y + y.dtype.type(0)), by="specials"),
    Fault("relu", "takes NaN for 0", answers(lambda y: np.where(np.isnan(y), 0, y).astype(y.dtype)),
          "MXNet #11115", by="specials"),
    Fault("relu", "leaks", lambda right, x: np.where(x < 0, x.dtype.type(0.01) * x, x)),
    Fault("relu", "stops at 6", answers(lambda y: np.minimum(y, 6))),
    Fault("relu", "takes the magnitude", lambda right, x: np.abs(x)),
    Fault("relu", "computes in half precision", answers(sins.rounded(np.float16))),
    Fault("relu", "returns integers as int64", lambda right, x: right(x).astype(np.int64)
          if (np.floor(x) == x).all() else right(x), by="shapes"),
    Fault("relu", "does nothing to the last of 49", lambda right, x: np.concatenate(
        [right(x.ravel()[:48]), x.ravel()[48:]]).reshape(x.shape)),
    Fault("relu", "returns its input where nothing is negative", where(
        lambda x: not (x < 0).any(), lambda right, x: x), by=ALIASING),
    Fault("relu", "shares its copy of the input between callers", sins.shares_its_copy(),
          by=CALLERS),
    Fault("relu", "flushes subnormal numbers", answers(
        lambda y: np.where(np.abs(y) < np.finfo(y.dtype).tiny, y * 0, y)), "-ffast-math",
        by="specials"),
    Fault("relu_grad_input", "is 1 at 0", lambda right, dy, x: np.where(x < 0, dy * 0, dy),
          "NNlib.jl #509"),
    Fault("relu_grad_input", "is 0 at NaN", lambda right, dy, x: np.where(x > 0, dy, dy * 0),
          by="specials"),
    Fault("relu_grad_input", "asks the sign of grad_output", lambda right, dy, x:
          np.where(dy > 0, dy, dy * 0)),
    Fault("relu_grad_input", "ignores grad_output", lambda right, dy, x: (x > 0).astype(x.dtype)),
    Fault("relu_grad_input", "multiplies infinity by 0", lambda right, dy, x: dy * ~(x <= 0),
          by="specials"),
    Fault("relu_grad_input", "works in place", sins.in_place, crashes=True, by=ALIASING),
    Fault("relu_grad_input", "works in place of its input",
          sins.in_place_of_its_input, crashes=True, by=UNCHANGED),
    Fault("linear", "takes the weight's transpose where it is square", where(
        lambda x, w, b: w.shape[0] == w.shape[1], given(lambda x, w, b: (x, w.T.copy(), b)))),
    Fault("linear", "ignores the bias", biased_by(np.zeros_like)),
    Fault("linear", "adds the bias twice", biased_by(lambda b: 2 * b)),
    Fault("linear", "sums 16 features at most", given(
        lambda x, w, b: (x[:, :16].copy(), w[:, :16].copy(), b))),
    Fault("linear", "drops outputs past 32", zeroed(slice(None), slice(32, None))),
    Fault("linear", "drops rows past 32", zeroed(slice(32, None))),
    Fault("linear", "computes in half precision", answers(sins.rounded(np.float16)),
          "MIOpen #2109"),
    Fault("linear", "computes float64 in float32", sins.in_single),
    Fault("linear", "rounds its input as TF32 does", first_given(sins.truncated)),
    Fault("linear", "takes NaN for 0", first_given(np.nan_to_num), by="dye"),
    Fault("linear", "returns one buffer for all calls", sins.returns_one_buffer(), by=ALIASING),
    Fault("linear", "returns a matrix", answers(lambda y: y.view(np.matrix)), by="shapes"),
    Fault("linear", "is not initialized without features", where(
        lambda x, w, b: x.shape[1] == 0, answers(lambda y: y + np.nan))),
    Fault("linear_grad_input", "is averaged over outputs", lambda right, dy, x, w:
          right(dy, x, w) / x.dtype.type(max(1, len(w)))),
    Fault("linear_grad_input", "reverses the rows of grad_output",
          first_given(lambda dy: dy[::-1].copy())),
    Fault("linear_grad_input", "is a view in Fortran order", answers(np.asfortranarray),
          by="shapes"),
    Fault("linear_grad_weight", "is averaged over rows", lambda right, dy, x, w:
          right(dy, x, w) / x.dtype.type(max(1, len(dy)))),
    Fault("linear_grad_weight", "is a transposed view", lambda right, dy, x, w: (x.T @ dy).T,
          by="shapes"),
    Fault("linear_grad_weight", "adds to the last answer", sins.adds_to_the_last_answer(),
          by=TWICE),
    Fault("linear_grad_weight", "takes ones for grad_output", first_given(np.ones_like)),
    Fault("image_to_patches", "flattens channel by channel", sins.channel_major, "candle #801"),
    Fault("image_to_patches", "runs column by column", sins.column_major),
    Fault("image_to_patches", "transposes each patch", lambda right, x, patch_size: right(
        x.swapaxes(0, 1).copy(), patch_size=patch_size)),
    Fault("image_to_patches", "is a view where patches are pixels", where(
        lambda x, patch_size: patch_size == 1, lambda right, x, patch_size:
        x.reshape(-1, x.shape[2])), by=ALIASING),
    Fault("image_to_patches", "is a view where one patch is all", where(
        lambda x, patch_size: x.shape[:2] == (patch_size,) * 2, lambda right, x, patch_size:
        x.reshape(1, -1)), by=ALIASING),
    Fault("image_to_patches", "is a view where one column of patches is all", where(
        lambda x, patch_size: x.shape[1] == patch_size, lambda right, x, patch_size:
        x.reshape(len(x) // patch_size, -1)), by=ALIASING),
    Fault("image_to_patches", "returns a list of rows", answers(list), by="shapes"),
    Fault("image_to_patches", "rounds to bytes", answers(lambda y: np.round(y))),
    Fault("image_to_patches_grad_image", "puts patches column by column",
          sins.column_major_back),
    Fault("image_to_patches_grad_image", "is a view of grad_output", where(
        lambda dy, x, patch_size: x.shape[1] == patch_size,
        lambda right, dy, x, patch_size: dy.reshape(x.shape)), by=ALIASING),
    Fault("image_to_patches_grad_image", "is averaged over a patch", lambda right, dy, x, **p:
          right(dy, x, **p) / x.dtype.type(p["patch_size"] ** 2)),
    Fault("image_to_patches_grad_image", "leaves the last row out",
          zeroed(slice(-1, None))),
)  # fmt: skip

# What the extended level alone asks.
RARE = (
    *(Fault(kernel, "flushes subnormal numbers", answers(sins.flushed), "-ffast-math",
            "specials")
      for kernel in ("conv", "conv_grad_input", "conv_grad_weight", "conv_transpose", "linear",
                     "avg_pool", "avg_pool_grad_input", "global_avg_pool")),
    *(Fault(kernel, "takes infinity for the largest finite number", first_given(sins.finite),
            "-ffast-math", "dye")
      for kernel in ("conv", "conv_grad_input", "conv_transpose", "linear", "avg_pool")),
    Fault("conv_grad_weight", "spreads NaN over the channels", lambda right, dy, x, w, **p:
          right(dy, x, w, **p) + x.dtype.type(0) * x.sum(), "oneDNN #5717", "dye"),
    Fault("linear_grad_weight", "spreads NaN over the features", lambda right, dy, x, w:
          right(dy, x, w) + x.dtype.type(0) * x.sum(), by="dye"),
    Fault("linear", "clears the signs of its input's zeros", sins.clears_signs,
          by=UNCHANGED, crashes=True),
    Fault("max_pool_grad_input", "moves its indices into the batch", sins.moves_indices,
          crashes=True),
)  # fmt: skip


def methods(op: str) -> tuple[str, str]:
    """The gate's methods for an operation."""
    return f"{GATE}{op}", f"{GATE}{op}_backward"


def _of_gate(op: str) -> Iterator[Fault]:
    """What the gate of an operation can do wrong with its arrays."""
    for method in methods(op):
        for sin, commit, like, by in (
            ("reads a view's memory as if dense", gates.arrays_as(gates.as_in_memory),
             "PyTorch #1246", ""),
            ("accepts integers", gates.handing(gates.floats),
             "PyTorch test_max_pool2d_corner_cases", "errors"),
            ("returns float64", answers(gates.in_double), "", ""),
            ("changes its first array", gates.spoiling, "scikit-learn's check", UNCHANGED),
        ):  # fmt: skip
            # Between the elements of a view of indices lies what is none.
            yield Fault(method, sin, commit, like, by, crashes=method == methods("max_pool2d")[1])
    if op != "image_to_patches":
        yield Fault(GATE + op, "refuses an empty batch", gates.refusing_no_images, "PyTorch #12013",
                    crashes=True)  # fmt: skip


def _of_windows(op: str) -> Iterator[Fault]:
    """What the gate of an operation on windows can do wrong with its parameters."""
    for method in methods(op):
        for name in ("kernel_size", "stride", "padding", "dilation", "output_padding"):
            if name in OPS[op].signature.parameters:
                yield Fault(method, f"hands {name} over as (width, height)", gates.turned(name),
                            "keras #19721", crashes=True)  # fmt: skip
        yield Fault(method, "takes a stride of one element for the rows'",
                    gates.handing(gates.rows_alone), crashes=True)  # fmt: skip
    yield Fault(GATE + op, "accepts stride 0", gates.forgiving("stride="), by="errors")
    yield Fault(
        GATE + op, "keeps the batch axis of one image", gates.keeping_the_batch, by="shapes"
    )


GATES = (
    *(fault for op in OPS for fault in _of_gate(op)),
    *(fault for op in ("conv2d", "conv_transpose2d", "max_pool2d", "avg_pool2d")
      for fault in _of_windows(op)),
    *(fault for op in ("conv2d", "conv_transpose2d") for method in methods(op) for fault in (
        Fault(method, "reads two paddings as before and after",
              gates.handing(gates.before_and_after), "rten #1399", crashes=True),
        Fault(method, "hands dilation over as groups",
              gates.one_for_another("dilation", "groups"), "bayesian-torch #34", crashes=True),
        Fault(method, "takes one channel for channels last",
              gates.arrays_as(gates.as_channels_last), "PyTorch #82060"),
    )),
    *(Fault(method, "puts the odd pixel of same padding first",
            gates.handing(gates.odd_pixel_first), "keras #19291")
      for method in methods("conv2d")),
    *(Fault(method, "steps by 1 if no stride is given",
            gates.handing(gates.one_for_no_stride), crashes=True)
      for op in ("max_pool2d", "avg_pool2d") for method in methods(op)),
    *(Fault(method, "takes ceil_mode for count_include_pad",
            gates.one_for_another("ceil_mode", "count_include_pad"), "bayesian-torch #34",
            crashes=True) for method in methods("avg_pool2d")),
    *(fault for op in ("conv2d", "conv_transpose2d", "linear") for fault in (
        Fault(f"{GATE}{op}_backward", "ignores output_mask", gates.unmasked),
        Fault(f"{GATE}{op}_backward", "reads output_mask from its end", gates.turned_mask),
    )),
    *(Fault(GATE + method, f"accepts {what}", gates.forgiving(words), like, "errors")
      for method, what, words, like in (
          ("conv2d", "a kernel larger than the input", "must give an output",
           "PyTorch test_pool_invalid_size"),
          ("conv2d", "groups that do not divide the channels", "groups=", ""),
          ("conv2d", "a bias of any shape", "bias.shape=", ""),
          ("conv2d", "padding below 0", "padding=", ""),
          ("conv2d_backward", "a grad_output of any shape", "grad_output.shape", ""),
          ("conv_transpose2d", "output_padding beyond stride", "output_padding=",
           "PyTorch #5112"),
          ("max_pool2d", "a kernel larger than the input", "kernel_size=(",
           "PyTorch test_pool_invalid_size"),
          ("max_pool2d_backward", "indices outside the plane", "indices must lie", ""),
          ("avg_pool2d", "a divisor of 0", "divisor_override=", ""),
          ("image_to_patches", "a patch_size that leaves a rest", "must divide height", ""),
      )),
    Fault(GATE + "conv2d", "accepts arrays of two dtypes", gates.handing(gates.widest),
          by="errors"),
    Fault(GATE + "conv2d", "refuses in no words", gates.telling(lambda error: type(error)()),
          by="errors"),
    Fault(GATE + "conv2d", "raises another error for a wrong call", gates.telling(
        lambda error: RuntimeError(str(error))), by="errors", crashes=True),
    Fault(GATE + "max_pool2d", "returns the indices first", answers(
        lambda answer: answer[::-1] if isinstance(answer, tuple) else answer)),
    Fault(GATE + "max_pool2d_backward", "ignores the caller's indices",
          gates.handing(lambda given: {"indices": None})),
    Fault(GATE + "global_avg_pool2d", "keeps the plane's axes", answers(
        lambda y: y[..., None, None]), by="shapes"),
    Fault(GATE + "relu", "hands its input through where all is positive", gates.handed_through,
          by=ALIASING),
)  # fmt: skip

FAULTS = (*CONVOLUTION, *POOLS, *OTHERS, *RARE, *GATES)

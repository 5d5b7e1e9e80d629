"""The gate, watched by a spy: kernels that write down what reaches them, then ask the loops."""

from collections.abc import Callable
from inspect import signature
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy import ndarray

from impls import Backend, KernelError, loop
from impls.spec.case import Array, ErrorCase
from impls.spec.interface import KERNELS
from impls.spec.ops import OPS
from impls.spec.plan import Params, Shape

# DESIGN.md, 2.1, to the letter.
SIGNATURES = {
    "conv2d": "input, weight, bias=None, stride=1, padding=0, dilation=1, groups=1",
    "conv2d_backward": "grad_output, input, weight, stride=1, padding=0, dilation=1, groups=1,"
    " output_mask=(True, True, True)",
    "conv_transpose2d": "input, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1,"
    " dilation=1",
    "conv_transpose2d_backward": "grad_output, input, weight, stride=1, padding=0,"
    " output_padding=0, groups=1, dilation=1, output_mask=(True, True, True)",
    "max_pool2d": "input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False,"
    " return_indices=False",
    "max_pool2d_backward": "grad_output, input, kernel_size, stride=None, padding=0, dilation=1,"
    " ceil_mode=False, indices=None",
    "avg_pool2d": "input, kernel_size, stride=None, padding=0, ceil_mode=False,"
    " count_include_pad=True, divisor_override=None",
    "avg_pool2d_backward": "grad_output, input, kernel_size, stride=None, padding=0,"
    " ceil_mode=False, count_include_pad=True, divisor_override=None",
    "global_avg_pool2d": "input",
    "global_avg_pool2d_backward": "grad_output, input",
    "relu": "input",
    "relu_backward": "grad_output, input",
    "linear": "input, weight, bias=None",
    "linear_backward": "grad_output, input, weight, output_mask=(True, True, True)",
    "image_to_patches": "image, patch_size",
    "image_to_patches_backward": "grad_output, image, patch_size",
}

ERRORS = [error for op in OPS.values() for error in op.errors]
every_error = pytest.mark.parametrize("error", ERRORS, ids=lambda error: error.id)


class Call(NamedTuple):
    """What one kernel received."""

    kernel: str
    arrays: tuple[Any, ...]
    params: Params


def spy(**replaced: Any) -> tuple[Backend, list[Call]]:
    """A backend of loop's kernels, some replaced, absent where None; and the calls it gets."""
    module, calls = ModuleType("spy"), list[Call]()
    kernels: Params = {name: getattr(loop, name, None) for name in KERNELS} | replaced
    for name, value in kernels.items():
        if name in KERNELS and value is not None:
            value = recording(name, value, calls)
        setattr(module, name, value)
    return Backend("spy", module), calls


def recording(name: str, kernel: Callable[..., Any], calls: list[Call]) -> Callable[..., Any]:
    def record(*arrays: Any, **params: Any) -> Any:
        calls.append(Call(name, arrays, params))
        return kernel(*arrays, **params)

    return record


def integers(*shape: int, dtype: str = "float64", seed: int = 0) -> ndarray:
    return np.random.default_rng(seed).integers(-4, 5, shape).astype(dtype)


def image() -> ndarray:
    return integers(2, 4, 8, 6)


def weight() -> ndarray:
    return integers(6, 2, 3, 2, seed=1)


def shapes(calls: list[Call]) -> list[tuple[Shape | None, ...]]:
    return [tuple(None if a is None else a.shape for a in call.arrays) for call in calls]


# ------------------------------------------------------------------------------------ signatures


@pytest.mark.parametrize("method", SIGNATURES)
def test_signatures_are_the_contract(method: str) -> None:
    backend, _ = spy()
    assert str(signature(getattr(backend, method))) == f"({SIGNATURES[method]})"


def test_every_op_has_a_forward_and_a_backward_and_nothing_else_is_offered() -> None:
    assert set(SIGNATURES) == {name + end for name in OPS for end in ("", "_backward")}
    own = {"has", "kernel", "unsupported"}
    public = {name for name in vars(Backend) if not name.startswith("_")}
    assert public == own | set(SIGNATURES)


def test_positional_and_keyword_calls_are_the_same_call() -> None:
    backend, calls = spy()
    x, w, b = image(), weight(), integers(6)
    by_position = backend.conv2d(x, w, b, (2, 1), (1, 0), (1, 2), 2)
    by_keyword = backend.conv2d(
        groups=2, dilation=(1, 2), padding=(1, 0), stride=(2, 1), bias=b, weight=w, input=x
    )
    assert np.array_equal(by_position, by_keyword)
    assert calls[0].params == calls[1].params


def test_unknown_and_missing_arguments_are_type_errors() -> None:
    backend, calls = spy()
    with pytest.raises(TypeError, match="strides"):
        backend.conv2d(image(), weight(), strides=2)
    with pytest.raises(TypeError, match="weight"):
        backend.conv2d(image())
    with pytest.raises(TypeError, match="return_indices"):
        backend.max_pool2d_backward(image(), image(), 1, return_indices=True)
    assert calls == []


# --------------------------------------------------------------------------- what kernels receive

CONV: Params = {"stride": (1, 1), "padding": ((0, 0), (0, 0)), "dilation": (1, 1), "groups": 2}
TRANSPOSE = CONV | {"output_padding": (0, 0)}
MAX: Params = {
    "kernel_size": (3, 2),
    "stride": (3, 2),
    "padding": ((0, 0), (0, 0)),
    "dilation": (1, 1),
    "ceil_mode": False,
}
AVG = {name: value for name, value in MAX.items() if name != "dilation"}
AVG |= {"count_include_pad": True, "divisor_override": None}


@pytest.mark.parametrize(
    "given, received",
    [
        ({}, {}),
        ({"stride": 2}, {"stride": (2, 2)}),
        ({"stride": [2]}, {"stride": (2, 2)}),
        ({"stride": [2, 1]}, {"stride": (2, 1)}),
        ({"stride": np.uint8(2)}, {"stride": (2, 2)}),
        ({"dilation": (np.int32(1), np.int64(3))}, {"dilation": (1, 3)}),
        ({"dilation": (2,)}, {"dilation": (2, 2)}),
        ({"padding": 1}, {"padding": ((1, 1), (1, 1))}),
        ({"padding": [1]}, {"padding": ((1, 1), (1, 1))}),
        ({"padding": (2, 1)}, {"padding": ((2, 2), (1, 1))}),
        ({"padding": [[0, 1], (2, 3)]}, {"padding": ((0, 1), (2, 3))}),
        ({"padding": ((np.int8(0), 1), (2, 3))}, {"padding": ((0, 1), (2, 3))}),
        ({"padding": "valid", "stride": 2}, {"stride": (2, 2)}),
        ({"padding": "same"}, {"padding": ((1, 1), (0, 1))}),
        ({"padding": "same", "dilation": (2, 3)}, {"padding": ((2, 2), (1, 2)),
                                                   "dilation": (2, 3)}),
        ({"groups": np.int64(2)}, {}),
    ],
    ids=str,
)  # fmt: skip
def test_conv_kernels_receive_one_value_per_axis(given: Params, received: Params) -> None:
    backend, calls = spy()
    output = backend.conv2d(image(), weight(), **{"groups": 2} | given)
    backend.conv2d_backward(np.ones_like(output), image(), weight(), **{"groups": 2} | given)
    assert [call.kernel for call in calls] == ["conv", "conv_grad_input", "conv_grad_weight"]
    for call in calls:
        assert call.params == CONV | received
        assert plain(call.params)


@pytest.mark.parametrize(
    "given, received",
    [
        ({}, {}),
        ({"output_padding": (1,), "stride": 2}, {"output_padding": (1, 1), "stride": (2, 2)}),
        ({"output_padding": [0, np.uint8(2)], "dilation": (1, 3)},
         {"output_padding": (0, 2), "dilation": (1, 3)}),
        ({"padding": [1]}, {"padding": ((1, 1), (1, 1))}),
        ({"padding": ((1, 0), (2, 1))}, {"padding": ((1, 0), (2, 1))}),
    ],
    ids=str,
)  # fmt: skip
def test_conv_transpose_kernels_receive_one_value_per_axis(given: Params, received: Params) -> None:
    backend, calls = spy()
    kernel = integers(4, 3, 3, 2)
    output = backend.conv_transpose2d(image(), kernel, groups=2, **given)
    backend.conv_transpose2d_backward(np.ones_like(output), image(), kernel, groups=2, **given)
    assert [call.kernel for call in calls] == [
        "conv_transpose", "conv_transpose_grad_input", "conv_transpose_grad_weight",
    ]  # fmt: skip
    for call in calls:
        assert call.params == TRANSPOSE | received
        assert plain(call.params)


@pytest.mark.parametrize(
    "given, received",
    [
        ({}, {}),
        ({"stride": None}, {}),
        ({"stride": ()}, {}),
        ({"stride": []}, {}),
        ({"stride": [2]}, {"stride": (2, 2)}),
        ({"stride": (2, np.int64(1))}, {"stride": (2, 1)}),
        ({"padding": (1,)}, {"padding": ((1, 1), (1, 1))}),
        ({"padding": [0, 1]}, {"padding": ((0, 0), (1, 1))}),
        ({"ceil_mode": np.True_}, {"ceil_mode": True}),
    ],
    ids=str,
)
def test_pool_kernels_receive_one_value_per_axis(given: Params, received: Params) -> None:
    backend, calls = spy(max_pool_values=None)
    grad_output = np.ones_like(backend.max_pool2d(image(), (3, 2), **given))
    backend.max_pool2d_backward(grad_output, image(), [3, 2], **given)
    backend.avg_pool2d(image(), (3, np.uint8(2)), **given)
    backend.avg_pool2d_backward(grad_output, image(), (3, 2), **given)
    names = ["max_pool", "max_pool", "max_pool_grad_input", "avg_pool", "avg_pool_grad_input"]
    assert [call.kernel for call in calls] == names
    for call in calls:
        assert call.params == (MAX if "max" in call.kernel else AVG) | received
        assert plain(call.params)


def test_other_parameters_reach_their_kernels() -> None:
    backend, calls = spy()
    backend.avg_pool2d(image(), 2, count_include_pad=np.False_, divisor_override=np.uint8(200))
    backend.avg_pool2d(image(), 2, divisor_override=-3)
    backend.max_pool2d(image(), 2, dilation=[1, 3])
    backend.image_to_patches(integers(6, 4, 3), np.int8(2))
    assert calls[0].params["divisor_override"] == 200
    assert calls[0].params["count_include_pad"] is False
    assert calls[1].params["divisor_override"] == -3
    assert calls[2].params["dilation"] == (1, 3)
    assert calls[3].params == {"patch_size": 2}
    assert all(plain(call.params) for call in calls)


def plain(value: Any) -> bool:
    """Whether a parameter is made of tuples, ints, bools and None alone."""
    match value:
        case dict():
            return all(plain(item) for item in value.values())
        case tuple():
            return all(plain(item) for item in value)
    return value is None or type(value) in (int, bool)


@pytest.mark.parametrize(
    "method, arguments, received",
    [
        ("conv2d", ((4, 8, 6), (6, 4, 3, 2), (6,)), ((1, 4, 8, 6), (6, 4, 3, 2), (6,))),
        ("conv2d", ((2, 4, 8, 6), (6, 4, 3, 2)), ((2, 4, 8, 6), (6, 4, 3, 2), None)),
        ("conv_transpose2d", ((4, 8, 6), (4, 3, 3, 2)), ((1, 4, 8, 6), (4, 3, 3, 2), None)),
        ("global_avg_pool2d", ((4, 8, 6),), ((1, 4, 8, 6),)),
        ("linear", ((5,), (3, 5), (3,)), ((1, 5), (3, 5), (3,))),
        ("linear", ((2, 4, 5), (3, 5)), ((8, 5), (3, 5), None)),
        ("linear", ((2, 0, 5), (3, 5)), ((0, 5), (3, 5), None)),
        ("relu", ((3, 5, 4),), ((1, 3, 5, 4),)),
        ("relu", ((8, 6),), ((8, 6),)),
        ("relu", ((7,),), ((7,),)),
        ("relu", ((),), ((1,),)),
    ],
)
def test_kernels_receive_a_batch(
    method: str, arguments: tuple[Shape, ...], received: tuple[Shape | None, ...]
) -> None:
    backend, calls = spy()
    getattr(backend, method)(*(integers(*shape) for shape in arguments))
    assert shapes(calls) == [received]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("layout", ["fortran", "strided", "reversed", "readonly", "broadcast",
                                    "unaligned", "subclass"])  # fmt: skip
def test_kernels_receive_contiguous_plain_arrays(layout: str, dtype: str) -> None:
    backend, calls = spy()
    x, w = arranged(integers(2, 4, 7, 6, dtype=dtype), layout), arranged(
        integers(6, 2, 3, 2, dtype=dtype, seed=1), layout
    )  # fmt: skip
    before = x.copy(), w.copy()
    output = backend.conv2d(x, w, groups=2)
    grad_output = arranged(integers(*output.shape, dtype=dtype, seed=2), layout)
    backend.conv2d_backward(grad_output, x, w, groups=2)
    assert len(calls) == 3
    for call in calls:
        for array in filter(lambda array: array is not None, call.arrays):
            assert type(array) is ndarray
            assert array.flags.c_contiguous
            assert array.flags.aligned
            assert array.dtype == dtype
    assert np.array_equal(calls[0].arrays[0], before[0])
    assert np.array_equal(calls[1].arrays[0], grad_output)
    assert np.array_equal(x, before[0])
    assert np.array_equal(w, before[1])


def test_kernels_receive_no_negative_stride_of_an_axis_of_length_1() -> None:
    backend, calls = spy()
    x, w = integers(1, 1, 4, 5)[::-1, ::-1], integers(1, 1, 2, 3, seed=1)[::-1]
    assert x.flags.c_contiguous
    grad_output = backend.conv2d(x, w)[::-1]
    backend.conv2d_backward(grad_output, x, w)
    received = [array for call in calls for array in call.arrays if array is not None]
    assert min(min(array.strides) for array in received) > 0


def arranged(array: ndarray, layout: str) -> ndarray:
    """The same values (broadcast: the first image's) in another form."""
    match layout:
        case "fortran":
            return np.asfortranarray(array)
        case "strided":
            return np.repeat(array, 2, axis=-1)[..., ::2]
        case "reversed":
            return array[:, :, ::-1, ::-1].copy()[:, :, ::-1, ::-1]
        case "readonly":
            array.flags.writeable = False
            return array
        case "broadcast":
            return np.broadcast_to(array[:1], array.shape)
        case "unaligned":
            raw = np.zeros(array.nbytes + 1, np.uint8)[1:].view(array.dtype).reshape(array.shape)
            raw[...] = array
            assert not raw.flags.aligned
            return raw
    return array.view(np.recarray)


def test_matrices_and_indices_in_any_order_are_taken() -> None:
    backend, calls = spy()
    x, indices = backend.max_pool2d(image(), 2, return_indices=True)
    backend.max_pool2d_backward(x, image(), 2, indices=np.asfortranarray(indices))
    received = calls[-1].arrays[2]
    assert received.flags.c_contiguous
    assert received.dtype == np.int64
    assert np.array_equal(received, indices)
    flat = np.arange(6.0).reshape(2, 3)
    assert type(backend.linear(flat.view(np.matrix), flat)) is ndarray


# ---------------------------------------------------------------------------------- wrong calls


@every_error
def test_wrong_calls_are_refused_before_any_kernel_runs(error: ErrorCase) -> None:
    backend, calls = spy()
    arguments = {
        name: np.full(value.shape, value.fill, value.dtype) if isinstance(value, Array) else value
        for name, value in error.arguments.items()
    }
    with pytest.raises(error.raises) as caught:
        getattr(backend, error.method)(**arguments)
    assert type(caught.value) is error.raises
    assert error.says in str(caught.value)
    assert calls == []


def test_a_call_that_merely_equals_a_right_one_is_refused() -> None:
    """A right call is checked once; its likes are other calls."""
    backend, calls = spy()
    x, w = np.ones((1, 2, 3, 4), np.float32), np.ones((2, 2, 1, 1), np.float32)
    backend.conv2d(x, w, None, 1, (0, 1))
    backend.conv2d(x, w, None, [1, 1], (0, 1))
    likes: list[tuple[Any, ...]] = [
        (x, w, None, True, (0, 1)),
        (x, w, None, 1.0, (0, 1)),
        (x, w, None, 1, (False, 1)),
        (np.ma.array(x), w, None, 1, (0, 1)),
        (x.astype(">f4"), w, None, 1, (0, 1)),
        (x, w.astype(np.float64), None, 1, (0, 1)),
        (x.tolist(), w, None, 1, (0, 1)),
    ]
    for like in likes:
        with pytest.raises((TypeError, ValueError)):
            backend.conv2d(*like)
    assert len(calls) == 2


def test_every_method_but_those_without_rules_of_its_own_has_an_error_case() -> None:
    without = {"linear_backward", "image_to_patches_backward", "relu_backward"}
    assert set(SIGNATURES) - {error.method for error in ERRORS} <= without


@pytest.mark.parametrize(
    "array",
    [
        [1.0, 2.0],
        1.0,
        np.float64(1.0),
        None,
        np.ones(3, bool),
        np.ones(3, np.float16),
        np.ones(3, np.complex128),
        np.ones(3, object),
        np.ones(3, "datetime64[s]"),
        np.zeros(3, [("real", "f8")]),
        np.ones(3).astype(np.ones(3).dtype.newbyteorder()),
        np.ma.masked_array(np.ones(3), [True, False, True]),
    ],
    ids=lambda array: f"{type(array).__name__}-{getattr(array, 'dtype', '')}",
)
def test_other_arrays_are_type_errors(array: Any) -> None:
    backend, calls = spy()
    with pytest.raises(TypeError, match=r"^input"):
        backend.relu(array)
    with pytest.raises(TypeError, match=r"^grad_output"):
        backend.relu_backward(array, np.ones(3))
    assert calls == []


@pytest.mark.parametrize("mask", [None, "abc", 7, (), (True,) * 4, (True, None, True), [0, 1, 1]])
def test_output_mask_is_one_bool_per_gradient(mask: Any) -> None:
    backend, calls = spy()
    with pytest.raises(ValueError, match=r"^output_mask="):
        backend.linear_backward(integers(2, 3), integers(2, 5), integers(3, 5), output_mask=mask)
    assert calls == []


@pytest.mark.parametrize("dtype", ["int32", "uint64", "float64", "bool"])
def test_indices_of_another_dtype_are_a_type_error(dtype: str) -> None:
    backend, calls = spy()
    with pytest.raises(TypeError, match=r"^indices\.dtype="):
        backend.max_pool2d_backward(
            np.ones((4, 4, 3)), image()[0], 2, indices=np.zeros((4, 4, 3), dtype)
        )
    with pytest.raises(TypeError, match=r"^indices must be a NumPy array"):
        backend.max_pool2d_backward(np.ones((4, 4, 3)), image()[0], 2, indices=[0])
    assert calls == []


@pytest.mark.parametrize(
    "method, arguments, says",
    [
        ("conv2d", {"input": integers(3, 8, 6), "weight": integers(4, 2, 3, 2)},
         "input.shape=(3, 8, 6)"),
        ("linear", {"input": integers(2, 3, 4), "weight": integers(5, 7)},
         "input.shape=(2, 3, 4)"),
        ("avg_pool2d", {"input": integers(3, 0, 6), "kernel_size": 2}, "input.shape=(3, 0, 6)"),
    ],
)  # fmt: skip
def test_messages_show_the_shape_that_the_caller_passed(
    method: str, arguments: Params, says: str
) -> None:
    backend, _ = spy()
    with pytest.raises(ValueError, match="input") as caught:
        getattr(backend, method)(**arguments)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    "method, arguments, says",
    [
        ("max_pool2d", {"kernel_size": 9}, "kernel_size=9 "),
        ("max_pool2d", {"kernel_size": [2], "dilation": [9]}, "dilation=[9]"),
        ("avg_pool2d", {"kernel_size": 9}, "kernel_size=9 "),
        ("conv_transpose2d", {"weight": integers(4, 3, 3, 2), "output_padding": 1},
         "output_padding=1 "),
        ("conv_transpose2d", {"weight": integers(4, 3, 3, 2), "padding": [6]}, "padding=[6]"),
    ],
)  # fmt: skip
def test_messages_show_the_value_that_the_caller_passed(
    method: str, arguments: Params, says: str
) -> None:
    backend, _ = spy()
    with pytest.raises(ValueError, match="must") as caught:
        getattr(backend, method)(input=image(), **arguments)
    assert says in str(caught.value)


@pytest.mark.parametrize("value", [2**63, 10**30])
@pytest.mark.parametrize(
    "method, arguments, name",
    [
        ("conv2d", {"weight": integers(3, 4, 3, 2)}, "stride"),
        ("conv2d", {"weight": integers(3, 4, 1, 1)}, "dilation"),
        ("conv2d", {"weight": integers(3, 4, 3, 2)}, "padding"),
        ("conv_transpose2d", {"weight": integers(4, 3, 3, 2)}, "stride"),
        ("max_pool2d", {"kernel_size": 2}, "stride"),
        ("max_pool2d", {"kernel_size": 1}, "dilation"),
        ("avg_pool2d", {"kernel_size": 2}, "stride"),
        ("avg_pool2d", {"kernel_size": 2}, "divisor_override"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_ints_beyond_int64_are_refused(
    method: str, arguments: Params, name: str, value: int
) -> None:
    backend, calls = spy()
    with pytest.raises(ValueError, match=f"{name}={value}"):
        getattr(backend, method)(input=image(), **arguments, **{name: value})
    assert calls == []


@pytest.mark.parametrize(
    "method, arguments",
    [
        ("conv2d", {"weight": integers(3, 4, 3, 2), "padding": 2**62}),
        ("conv2d", {"weight": integers(3, 4, 3, 2), "padding": 10**9}),
        ("conv_transpose2d", {"weight": integers(4, 3, 3, 2), "stride": 2**40}),
    ],
)
def test_outputs_that_no_array_can_hold_are_refused(method: str, arguments: Params) -> None:
    backend, calls = spy()
    with pytest.raises(ValueError, match="must"):
        getattr(backend, method)(input=image(), **arguments)
    assert calls == []


# ------------------------------------------------------------------------------- wrong kernels


class Subclass(ndarray):
    pass


SINS: dict[str, tuple[Callable[[ndarray], Any], str]] = {
    "a list": (lambda a: a.tolist(), "list"),
    "None": (lambda a: None, "NoneType"),
    "a subclass": (lambda a: a.view(Subclass), "Subclass"),
    "float32 for float64": (lambda a: a.astype(np.float32), "<f4"),
    "integers": (lambda a: a.astype(np.int64), "<i8"),
    "bytes swapped": (lambda a: a.astype(">f8"), ">f8"),
    "an axis more": (lambda a: a[None], "shape (1, "),
    "flat": (lambda a: a.ravel(), "shape ("),
    "a broadcastable shape": (lambda a: a[..., :1].copy(), ", 1)"),
    "axes exchanged": (lambda a: np.swapaxes(a, -1, -2).copy(), "shape ("),
    "column-major": (np.asfortranarray, "C-contiguous"),
    "strided": (lambda a: np.repeat(a, 2, axis=-1)[..., ::2], "C-contiguous"),
    "a scalar": (lambda a: a.sum(), "float64"),
}

GRADIENTS = {
    "conv_grad_input": (True, False, False),
    "conv_grad_weight": (False, True, False),
    "conv_grad_bias": (False, False, True),
}


@pytest.mark.parametrize("sin", SINS)
def test_a_wrong_answer_is_a_kernel_error(sin: str) -> None:
    change, words = SINS[sin]
    backend, calls = spy(conv=lambda *args, **params: change(loop.conv(*args, **params)))
    with pytest.raises(KernelError, match=r"^conv returned ") as caught:
        backend.conv2d(image(), weight(), groups=2)
    assert words in str(caught.value)
    assert len(calls) == 1


@pytest.mark.parametrize(
    "kernel, sin",
    [
        (kernel, sin)
        for kernel in GRADIENTS
        for sin in SINS
        # One axis has one order.
        if kernel != "conv_grad_bias" or sin not in ("flat", "column-major", "axes exchanged")
    ],
)
def test_a_wrong_gradient_is_a_kernel_error(kernel: str, sin: str) -> None:
    right = {**vars(loop), "conv_grad_bias": lambda dy, *_, **__: dy.sum(axis=(0, 2, 3))}[kernel]
    change = SINS[sin][0]
    backend, _ = spy(**{kernel: lambda *args, **params: change(right(*args, **params))})
    grad_output = integers(2, 6, 6, 5)
    with pytest.raises(KernelError, match=f"^{kernel} returned "):
        backend.conv2d_backward(
            grad_output, image(), weight(), groups=2, output_mask=GRADIENTS[kernel]
        )


def test_a_gradient_of_the_wrong_operand_is_a_kernel_error() -> None:
    backend, _ = spy(linear_grad_weight=loop.linear_grad_input)
    with pytest.raises(KernelError, match="linear_grad_weight returned shape"):
        backend.linear_backward(integers(2, 3), integers(2, 5), integers(3, 5))


@pytest.mark.parametrize(
    "answer, words",
    [
        (lambda output, indices: output, "^max_pool returned ndarray"),
        (lambda output, indices: [output, indices], "^max_pool returned list"),
        (lambda output, indices: (output, indices, None), "^max_pool returned tuple"),
        (lambda output, indices: (output, indices.astype(np.int32)), "indices returned <i4"),
        (lambda output, indices: (output, indices.astype(float)), "indices returned <f8"),
        (lambda output, indices: (output, indices[0]), "indices returned shape"),
        (lambda output, indices: (output, None), "indices returned NoneType"),
        (lambda output, indices: (indices, output), "^max_pool returned <i8"),
    ],
)
def test_max_pool_returns_output_and_indices(answer: Callable[..., Any], words: str) -> None:
    backend, _ = spy(max_pool=lambda *args, **params: answer(*loop.max_pool(*args, **params)))
    for wants in (False, True):
        with pytest.raises(KernelError, match=words):
            backend.max_pool2d(image(), 2, return_indices=wants)
    with pytest.raises(KernelError, match=words):
        backend.max_pool2d_backward(np.ones((2, 4, 4, 3)), image(), 2)


def test_what_a_kernel_raises_comes_through() -> None:
    def failing(input: ndarray) -> ndarray:
        raise ZeroDivisionError("mine")

    backend, _ = spy(relu=failing)
    with pytest.raises(ZeroDivisionError, match="mine"):
        backend.relu(image())


# ------------------------------------------------------------------- missing, unsupported, optional


@pytest.mark.parametrize(
    "kernel, method, arguments",
    [
        ("conv", "conv2d", (image(), integers(3, 4, 3, 2))),
        ("conv_grad_input", "conv2d_backward",
         (integers(2, 3, 6, 5), image(), integers(3, 4, 3, 2))),
        ("conv_grad_weight", "conv2d_backward",
         (integers(2, 3, 6, 5), image(), integers(3, 4, 3, 2))),
        ("conv_transpose", "conv_transpose2d", (image(), integers(4, 3, 3, 2))),
        ("max_pool", "max_pool2d", (image(), 2)),
        ("max_pool", "max_pool2d_backward", (integers(2, 4, 4, 3), image(), 2)),
        ("max_pool_grad_input", "max_pool2d_backward", (integers(2, 4, 4, 3), image(), 2)),
        ("avg_pool", "avg_pool2d", (image(), 2)),
        ("global_avg_pool", "global_avg_pool2d", (image(),)),
        ("relu", "relu", (image(),)),
        ("relu_grad_input", "relu_backward", (image(), image())),
        ("linear", "linear", (integers(2, 5), integers(3, 5))),
        ("image_to_patches", "image_to_patches", (integers(4, 6, 3), 2)),
    ],
)  # fmt: skip
def test_missing_and_unsupported_kernels_raise(
    kernel: str, method: str, arguments: tuple[Any, ...]
) -> None:
    backend, calls = spy(**{kernel: None})
    assert not backend.has(kernel)
    with pytest.raises(NotImplementedError, match=f"spy has no kernel {kernel}$"):
        getattr(backend, method)(*arguments)

    backend, calls = spy(unsupported=lambda name, params: "too odd" if name == kernel else "")
    assert backend.has(kernel)
    with pytest.raises(NotImplementedError, match=f"{kernel}: too odd"):
        getattr(backend, method)(*arguments)
    assert kernel not in [call.kernel for call in calls]


def test_unsupported_is_asked_about_each_call_as_kernels_see_it() -> None:
    asked: list[tuple[str, Params]] = []

    def unsupported(kernel: str, params: Params) -> str:
        asked.append((kernel, params))
        return "stride" if params["stride"] != (1, 1) else ""

    backend, calls = spy(unsupported=unsupported)
    backend.conv2d(image(), weight(), groups=2)
    with pytest.raises(NotImplementedError, match="stride"):
        backend.conv2d(image(), weight(), groups=2, stride=2)
    assert asked == [("conv", CONV), ("conv", CONV | {"stride": (2, 2)})]
    assert len(calls) == 1
    with pytest.raises(ValueError, match="groups=0"):
        backend.conv2d(image(), weight(), groups=0)
    assert len(asked) == 2


def test_grad_bias_is_summed_where_no_kernel_offers_it() -> None:
    grad_output = integers(2, 6, 6, 5, seed=3)
    backend, calls = spy()
    *_, grad_bias = backend.conv2d_backward(grad_output, image(), weight(), groups=2)
    assert np.array_equal(grad_bias, grad_output.sum(axis=(0, 2, 3)))
    assert [call.kernel for call in calls] == ["conv_grad_input", "conv_grad_weight"]
    *_, grad_bias = backend.linear_backward(
        integers(2, 4, 3), integers(2, 4, 5), integers(3, 5), output_mask=(False, False, True)
    )
    assert np.array_equal(grad_bias, integers(2, 4, 3).sum(axis=(0, 1)))


@pytest.mark.parametrize(
    "kernel, method, shapes_given",
    [
        ("conv_grad_bias", "conv2d_backward", ((6, 6, 5), (4, 8, 6), (6, 4, 3, 2))),
        ("conv_transpose_grad_bias", "conv_transpose2d_backward",
         ((2, 3, 10, 7), (2, 4, 8, 6), (4, 3, 3, 2))),
        ("linear_grad_bias", "linear_backward", ((2, 3), (2, 5), (3, 5))),
    ],
)  # fmt: skip
def test_grad_bias_of_a_kernel_is_used(
    kernel: str, method: str, shapes_given: tuple[Shape, ...]
) -> None:
    grad_output, x, w = (integers(*shape) for shape in shapes_given)
    channels = grad_output.shape[-3] if grad_output.ndim > 2 else 3
    own = np.arange(100.0, 100.0 + channels)
    backend, calls = spy(**{kernel: lambda *args, **params: own.copy()})
    gradients = getattr(backend, method)(grad_output, x, w, output_mask=(False, False, True))
    assert gradients[:2] == (None, None)
    assert np.array_equal(gradients[2], own)
    assert [call.kernel for call in calls] == [kernel]
    assert [array.ndim for array in calls[0].arrays] == [w.ndim] * 3


def test_max_pool_values_is_used_where_no_indices_are_wanted() -> None:
    def values(input: ndarray, **params: Any) -> ndarray:
        return loop.max_pool(input, **params)[0] + 50

    backend, calls = spy(max_pool_values=values)
    expected, places = loop.max_pool(image(), **MAX)
    assert np.array_equal(backend.max_pool2d(image(), (3, 2)), expected + 50)
    output, indices = backend.max_pool2d(image(), (3, 2), return_indices=True)
    assert np.array_equal(output, expected)
    assert np.array_equal(indices, places)
    backend.max_pool2d_backward(output, image(), (3, 2))
    assert [call.kernel for call in calls] == [
        "max_pool_values", "max_pool", "max_pool", "max_pool_grad_input",
    ]  # fmt: skip


def test_max_pool_replaces_max_pool_values_where_that_is_missing_or_unsupported() -> None:
    expected, _ = loop.max_pool(image(), **MAX)
    limits = {"unsupported": lambda kernel, params: "no" if kernel == "max_pool_values" else ""}
    for replaced in ({}, {"max_pool_values": loop.max_pool, **limits}):
        backend, calls = spy(**replaced)
        assert np.array_equal(backend.max_pool2d(image(), (3, 2)), expected)
        assert [call.kernel for call in calls] == ["max_pool"]


def test_max_pool_values_returns_an_output_alone() -> None:
    backend, _ = spy(max_pool_values=loop.max_pool)
    with pytest.raises(KernelError, match="max_pool_values returned tuple"):
        backend.max_pool2d(image(), 2)


def test_indices_of_the_caller_spare_the_forward_kernel() -> None:
    backend, calls = spy(max_pool=None)
    grad_output = integers(2, 4, 4, 3, seed=5)
    indices = np.random.default_rng(6).integers(0, 48, (2, 4, 4, 3))
    grad_input = backend.max_pool2d_backward(grad_output, image(), 2, indices=indices)
    expected = np.zeros((8, 48))
    for plane, places, shares in zip(
        expected, indices.reshape(8, 12), grad_output.reshape(8, 12), strict=True
    ):
        np.add.at(plane, places, shares)
    assert np.array_equal(grad_input, expected.reshape(2, 4, 8, 6))
    assert [call.kernel for call in calls] == ["max_pool_grad_input"]
    assert shapes(calls) == [((2, 4, 4, 3), (2, 4, 8, 6), (2, 4, 4, 3))]


# ------------------------------------------------------------------------------------- results


@pytest.mark.parametrize("mask", [(a, b, c) for a in (0, 1) for b in (0, 1) for c in (0, 1)])
def test_output_mask_computes_only_what_is_asked(mask: tuple[int, int, int]) -> None:
    backend, calls = spy(conv_grad_bias=lambda dy, *_, **__: dy.sum(axis=(0, 2, 3)))
    given = integers(2, 6, 6, 5), image(), weight()
    everything = backend.conv2d_backward(*given, groups=2)
    calls.clear()
    wanted = [bool(one) for one in mask]
    gradients = backend.conv2d_backward(*given, groups=2, output_mask=wanted)
    assert [gradient is not None for gradient in gradients] == wanted
    for gradient, whole in zip(gradients, everything, strict=True):
        assert gradient is None or np.array_equal(gradient, whole)
    assert [call.kernel for call in calls] == [
        kernel for kernel, one in zip(GRADIENTS, wanted, strict=True) if one
    ]


def test_output_mask_spares_a_missing_kernel() -> None:
    backend, _ = spy(conv_grad_weight=None)
    masked = backend.conv2d_backward(
        integers(2, 6, 6, 5), image(), weight(), groups=2, output_mask=(np.True_, False, True)
    )
    assert [gradient is None for gradient in masked] == [False, True, False]


@pytest.mark.parametrize(
    "method, arguments, params, expected",
    [
        ("conv2d", ((4, 8, 6), (6, 2, 3, 2)), {"groups": 2}, (6, 6, 5)),
        ("conv2d", ((0, 4, 8, 6), (6, 2, 3, 2)), {"groups": 2}, (0, 6, 6, 5)),
        ("conv_transpose2d", ((4, 8, 6), (4, 3, 3, 2)), {"groups": 2, "stride": (1, 2)},
         (6, 10, 12)),
        ("max_pool2d", ((4, 8, 6),), {"kernel_size": (3, 2)}, (4, 2, 3)),
        ("avg_pool2d", ((4, 8, 6),), {"kernel_size": (3, 2), "ceil_mode": True}, (4, 3, 3)),
        ("global_avg_pool2d", ((2, 4, 8, 6),), {}, (2, 4)),
        ("global_avg_pool2d", ((4, 8, 6),), {}, (4,)),
        ("linear", ((5,), (3, 5)), {}, (3,)),
        ("linear", ((2, 1, 4, 5), (3, 5)), {}, (2, 1, 4, 3)),
        ("linear", ((2, 0, 5), (3, 5)), {}, (2, 0, 3)),
        ("relu", ((),), {}, ()),
        ("relu", ((3, 5, 4),), {}, (3, 5, 4)),
        ("relu", ((2, 1, 3, 2, 2),), {}, (2, 1, 3, 2, 2)),
        ("image_to_patches", ((4, 6, 3),), {"patch_size": 2}, (6, 12)),
    ],
)  # fmt: skip
def test_results_have_the_caller_s_axes(
    method: str, arguments: tuple[Shape, ...], params: Params, expected: Shape
) -> None:
    backend, _ = spy()
    for dtype in ("float32", "float64"):
        arrays = [integers(*shape, dtype=dtype, seed=i) for i, shape in enumerate(arguments)]
        copies = [array.copy() for array in arrays]
        output = getattr(backend, method)(*arrays, **params)
        assert type(output) is ndarray
        assert output.shape == expected
        assert output.dtype == dtype
        grad_output = integers(*expected, dtype=dtype, seed=9)
        gradients = getattr(backend, f"{method}_backward")(grad_output, *arrays, **params)
        gradients = gradients if isinstance(gradients, tuple) else (gradients,)
        for array, gradient in zip(arrays, gradients, strict=False):
            assert type(gradient) is ndarray
            assert gradient.shape == array.shape
            assert gradient.dtype == dtype
        for array, copy in zip(arrays, copies, strict=True):
            assert np.array_equal(array, copy)


def test_unbatched_is_a_batch_of_one() -> None:
    backend, _ = spy()
    x, w, b = image()[:1], weight(), integers(6, seed=2)
    alone = backend.conv2d(x[0], w, b, groups=2)
    assert np.array_equal(alone, backend.conv2d(x, w, b, groups=2)[0])
    grad_output = integers(*alone.shape, seed=3)
    one = backend.conv2d_backward(grad_output, x[0], w, groups=2)
    batch = backend.conv2d_backward(grad_output[None], x, w, groups=2)
    assert np.array_equal(one[0], batch[0][0])
    assert np.array_equal(one[1], batch[1])
    assert np.array_equal(one[2], batch[2])
    output, indices = backend.max_pool2d(x[0], 2, return_indices=True)
    assert output.shape == indices.shape == (4, 4, 3)
    assert indices.dtype == np.int64
    grad_input = backend.max_pool2d_backward(output, x[0], 2, indices=indices)
    assert np.array_equal(grad_input, backend.max_pool2d_backward(output, x[0], 2))


def test_linear_takes_any_leading_axes() -> None:
    backend, _ = spy()
    x, w, b = integers(2, 3, 5), integers(4, 5, seed=1), integers(4, seed=2)
    assert np.array_equal(backend.linear(x, w, b), x @ w.T + b)
    dy = integers(2, 3, 4, seed=3)
    grad_input, grad_weight, grad_bias = backend.linear_backward(dy, x, w)
    assert np.array_equal(grad_input, dy @ w)
    assert np.array_equal(grad_weight, dy.reshape(6, 4).T @ x.reshape(6, 5))
    assert np.array_equal(grad_bias, dy.sum(axis=(0, 1)))


def test_a_backend_says_what_it_is() -> None:
    backend, _ = spy()
    assert backend.name == "spy"
    assert repr(backend) == "<backend spy: spy>"
    assert backend.accuracy == "direct"
    assert spy(accuracy="transform")[0].accuracy == "transform"
    assert backend.has("conv")
    assert not backend.has("max_pool_values")
    assert backend.unsupported("conv", {}) == ""

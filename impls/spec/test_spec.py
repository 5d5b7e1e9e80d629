"""Shapes, parameters, costs and ids, against examples worked out by hand."""

import re
from inspect import Parameter
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from impls.spec.case import LEVELS, TAGS, Array, case, document, extended, refusing, seed
from impls.spec.cost import bytes_min, flops
from impls.spec.interface import KERNELS, kernel_arrays, kernel_params
from impls.spec.ops import OPS
from impls.spec.params import (
    boolean,
    conv_padding,
    integer,
    pair,
    pool_padding,
    pool_stride,
    same_padding,
)
from impls.spec.plan import Params, Plan, Shape
from impls.spec.shapes import (
    avg_pool_counts,
    avg_pool_divisors,
    conv_size,
    conv_transpose_size,
    pool_size,
    window_starts,
)

# DESIGN.md, 2.2, to the letter.
CONV = "stride, padding, dilation, groups"
TCONV = "stride, padding, output_padding, groups, dilation"
MAX = "kernel_size, stride, padding, dilation, ceil_mode"
AVG = "kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override"
CONTRACT = {
    "conv": f"input, weight, bias, *, {CONV}",
    "conv_grad_input": f"grad_output, input, weight, *, {CONV}",
    "conv_grad_weight": f"grad_output, input, weight, *, {CONV}",
    "conv_grad_bias": f"grad_output, input, weight, *, {CONV}",
    "conv_transpose": f"input, weight, bias, *, {TCONV}",
    "conv_transpose_grad_input": f"grad_output, input, weight, *, {TCONV}",
    "conv_transpose_grad_weight": f"grad_output, input, weight, *, {TCONV}",
    "conv_transpose_grad_bias": f"grad_output, input, weight, *, {TCONV}",
    "max_pool": f"input, *, {MAX}",
    "max_pool_values": f"input, *, {MAX}",
    "max_pool_grad_input": f"grad_output, input, indices, *, {MAX}",
    "avg_pool": f"input, *, {AVG}",
    "avg_pool_grad_input": f"grad_output, input, *, {AVG}",
    "global_avg_pool": "input",
    "global_avg_pool_grad_input": "grad_output, input",
    "relu": "input",
    "relu_grad_input": "grad_output, input",
    "linear": "input, weight, bias",
    "linear_grad_input": "grad_output, input, weight",
    "linear_grad_weight": "grad_output, input, weight",
    "linear_grad_bias": "grad_output, input, weight",
    "image_to_patches": "image, *, patch_size",
    "image_to_patches_grad_image": "grad_output, image, *, patch_size",
}


# ------------------------------------------------------------------------------------ interface


def test_kernels_are_the_contract() -> None:
    assert {name: str(sign) for name, sign in KERNELS.items()} == {
        name: f"({sign})" for name, sign in CONTRACT.items()
    }


def test_no_kernel_parameter_has_a_default() -> None:
    for sign in KERNELS.values():
        assert all(p.default is Parameter.empty for p in sign.parameters.values())


def test_arrays_and_parameters_of_kernels() -> None:
    assert kernel_arrays(OPS["conv2d"], "forward") == ("input", "weight", "bias")
    assert kernel_arrays(OPS["conv2d"], "grad_bias") == ("grad_output", "input", "weight")
    assert kernel_arrays(OPS["max_pool2d"], "grad_input") == ("grad_output", "input", "indices")
    assert kernel_params(OPS["max_pool2d"]) == tuple(MAX.split(", "))
    assert kernel_params(OPS["relu"]) == ()


# --------------------------------------------------------------------------------------- shapes


@pytest.mark.parametrize(
    "size, kernel_size, stride, padding, dilation, expected",
    [
        (7, 3, 1, (0, 0), 1, 5),
        (7, 3, 2, (0, 0), 1, 3),
        (8, 3, 3, (0, 0), 1, 2),  # one pixel is left over
        (224, 7, 2, (3, 3), 1, 112),  # ResNet's first layer
        (5, 3, 2, (0, 1), 1, 2),
        (5, 3, 2, (1, 1), 1, 3),
        (9, 3, 1, (0, 0), 4, 1),  # the dilated kernel spans 9
        (8, 3, 1, (0, 0), 4, 0),
        (2, 5, 1, (2, 1), 1, 1),
        (5, 3, 50, (0, 0), 1, 1),
    ],
)
def test_conv_size(
    size: int, kernel_size: int, stride: int, padding: tuple[int, int], dilation: int, expected: int
) -> None:
    assert conv_size(size, kernel_size, stride, padding, dilation) == expected


@pytest.mark.parametrize(
    "size, kernel_size, stride, padding, output_padding, dilation, expected",
    [
        (4, 3, 1, (0, 0), 0, 1, 6),
        (4, 3, 2, (0, 0), 0, 1, 9),
        (4, 3, 2, (0, 0), 1, 1, 10),
        (4, 4, 2, (1, 1), 0, 1, 8),  # DCGAN doubles
        (4, 3, 2, (1, 0), 0, 1, 8),
        (4, 3, 1, (0, 0), 0, 2, 8),
        (4, 2, 1, (0, 0), 2, 3, 9),  # output_padding below dilation, not below stride
        (1, 1, 7, (0, 0), 0, 1, 1),
        (2, 2, 3, (0, 0), 2, 1, 7),
    ],
)
def test_conv_transpose_size(
    size: int,
    kernel_size: int,
    stride: int,
    padding: tuple[int, int],
    output_padding: int,
    dilation: int,
    expected: int,
) -> None:
    got = conv_transpose_size(size, kernel_size, stride, padding, output_padding, dilation)
    assert got == expected
    back = conv_size(got, kernel_size, stride, padding, dilation)
    # output_padding may leave room for a window more, where dilation alone allows it.
    assert back == size + output_padding // stride


@pytest.mark.parametrize(
    "size, kernel_size, stride, padding, dilation, floor, ceil",
    [
        (6, 2, 2, 0, 1, 3, 3),
        (7, 2, 2, 0, 1, 3, 4),
        (8, 3, 2, 0, 1, 3, 4),
        (5, 2, 2, 1, 1, 3, 3),  # a fourth window would start at 5, past input and padding
        (6, 2, 2, 1, 1, 4, 4),
        (6, 3, 2, 1, 1, 3, 4),
        (6, 1, 2, 0, 1, 3, 3),  # a fourth window would start at 6
        (7, 1, 3, 0, 1, 3, 3),
        (2, 3, 3, 0, 1, 0, 1),  # the kernel is larger than the input
        (5, 3, 3, 0, 1, 1, 2),
        (9, 3, 2, 0, 3, 2, 2),
        (9, 2, 3, 0, 3, 2, 3),
        (6, 3, 50, 0, 1, 1, 1),
        (112, 3, 2, 0, 1, 55, 56),  # GoogLeNet's pools
        (112, 3, 2, 1, 1, 56, 57),
    ],
)
def test_pool_size(
    size: int, kernel_size: int, stride: int, padding: int, dilation: int, floor: int, ceil: int
) -> None:
    pads = (padding, padding)
    assert pool_size(size, kernel_size, stride, pads, dilation, False) == floor
    assert pool_size(size, kernel_size, stride, pads, dilation, True) == ceil


def test_window_starts() -> None:
    assert window_starts(4, 3, (2, 2)).tolist() == [-2, 1, 4, 7]
    assert window_starts(0, 3, (2, 2)).tolist() == []


@pytest.mark.parametrize(
    "size, count, kernel_size, stride, padding, included, inside",
    [
        (6, 3, 2, 2, 0, [2, 2, 2], [2, 2, 2]),
        (6, 4, 2, 2, 1, [2, 2, 2, 2], [1, 2, 2, 1]),
        (7, 4, 2, 2, 0, [2, 2, 2, 1], [2, 2, 2, 1]),  # ceil: the last overhangs
        (8, 3, 4, 3, 2, [4, 4, 4], [2, 4, 4]),
        (9, 4, 4, 3, 2, [4, 4, 4, 4], [2, 4, 4, 2]),
        (7, 4, 4, 3, 1, [4, 4, 3, 0], [3, 4, 2, -1]),  # the fourth is what pool_size drops
        (2, 1, 3, 3, 0, [2], [2]),
        (3, 1, 4, 1, 2, [4], [2]),
    ],
)
def test_avg_pool_counts(
    size: int,
    count: int,
    kernel_size: int,
    stride: int,
    padding: int,
    included: list[int],
    inside: list[int],
) -> None:
    pads = (padding, padding)
    assert avg_pool_counts(size, count, kernel_size, stride, pads, True).tolist() == included
    assert avg_pool_counts(size, count, kernel_size, stride, pads, False).tolist() == inside


def test_avg_pool_divisors_are_products_over_the_axes_or_the_override() -> None:
    given: Params = {"kernel_size": (2, 3), "stride": (2, 3), "padding": ((1, 1), (0, 0))}
    shapes = (1, 1, 6, 7), (1, 1, 4, 3)
    inside = avg_pool_divisors(*shapes, **given, count_include_pad=False, divisor_override=None)
    assert inside.tolist() == [[3, 3, 1], [6, 6, 2], [6, 6, 2], [3, 3, 1]]
    assert inside.dtype == np.int64
    included = avg_pool_divisors(*shapes, **given, count_include_pad=True, divisor_override=None)
    assert included.tolist() == [[6, 6, 2]] * 4
    override = avg_pool_divisors(*shapes, **given, count_include_pad=False, divisor_override=-5)
    assert override.tolist() == [[-5] * 3] * 4


@pytest.mark.parametrize(
    "op, shapes, params, output",
    [
        ("conv2d", ((2, 4, 13, 12), (6, 2, 3, 2), (6,)),
         {"stride": (2, 3), "padding": (3, 1), "dilation": (3, 2), "groups": 2}, (2, 6, 7, 4)),
        ("conv2d", ((1, 2, 6, 5), (3, 2, 2, 4)), {"padding": "same"}, (1, 3, 6, 5)),
        ("conv_transpose2d", ((2, 4, 5, 4), (4, 3, 3, 2), (6,)),
         {"stride": (2, 3), "padding": (3, 1), "output_padding": (1, 2), "groups": 2,
          "dilation": (3, 2)}, (2, 6, 10, 12)),
        ("max_pool2d", ((2, 3, 9, 8),), {"kernel_size": (3, 2)}, (2, 3, 3, 4)),
        ("avg_pool2d", ((2, 2, 8, 7),),
         {"kernel_size": (3, 2), "stride": (2, 3), "ceil_mode": True}, (2, 2, 4, 3)),
        ("global_avg_pool2d", ((2, 5, 3, 4),), {}, (2, 5)),
        ("linear", ((3, 7), (5, 7), (5,)), {}, (3, 5)),
        ("relu", ((2, 3, 4),), {}, (2, 3, 4)),
        ("image_to_patches", ((8, 12, 3),), {"patch_size": 4}, (6, 48)),
    ],
)  # fmt: skip
def test_plans(op: str, shapes: tuple[Shape, ...], params: Params, output: Shape) -> None:
    plan = OPS[op].plan(*shapes, **params)
    assert plan.output == output
    assert plan.params.keys() == set(kernel_params(OPS[op]))
    for operand, shape in zip(OPS[op].operands, shapes, strict=False):
        assert plan.shape(operand.name) == shape


def test_a_plan_has_no_shape_of_an_absent_bias() -> None:
    plan = OPS["linear"].plan((3, 7), (5, 7))
    assert plan.inputs["bias"] is None
    with pytest.raises(KeyError, match="bias"):
        plan.shape("bias")


def test_batches_are_made_and_taken_apart() -> None:
    conv, linear, relu = OPS["conv2d"], OPS["linear"], OPS["relu"]
    assert conv.batched((3, 8, 7)) == (1, 3, 8, 7)
    assert conv.batched((2, 3, 8, 7)) == (2, 3, 8, 7)
    assert conv.unbatched((3, 8, 7), (1, 4, 6, 5)) == (4, 6, 5)
    assert linear.batched((2, 3, 4)) == (6, 4)
    assert linear.batched((4,)) == (1, 4)
    assert linear.unbatched((2, 3, 4), (6, 5)) == (2, 3, 5)
    assert relu.batched(()) == (1,)
    assert relu.unbatched((), (1,)) == ()
    assert OPS["image_to_patches"].batched((8, 12, 3)) == (8, 12, 3)
    assert OPS["global_avg_pool2d"].unbatched((4, 5, 6), (1, 4)) == (4,)


# ---------------------------------------------------------------------------------------- params


@pytest.mark.parametrize("value", [2, np.int64(2), np.uint8(2), [2], (np.int8(2),), (2, 2)])
def test_a_pair_from_every_form(value: Any) -> None:
    result = pair("stride", value, at_least=1)
    assert result == (2, 2)
    assert [type(item) for item in result] == [int, int]


def test_a_pair_keeps_its_order() -> None:
    assert pair("stride", [3, 1], at_least=1) == (3, 1)


@pytest.mark.parametrize(
    "value",
    [True, np.True_, 2.0, np.float64(2), "2", b"2", None, (), (1, 2, 3), (1, 2.0), (1, True),
     ((1, 2),), [None], {1, 2}, {1: 2}, np.array([1, 2]), np.array(2), 2j],
    ids=repr,
)  # fmt: skip
def test_what_is_no_pair_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="must be an int or a pair of ints") as caught:
        pair("stride", value, at_least=1)
    assert str(caught.value).startswith(f"stride={value!r} ")


@pytest.mark.parametrize("value", [range(1, 3), bytearray(b"\x01\x02"), memoryview(b"\x01\x02")])
def test_sequences_are_tuples_and_lists(value: Any) -> None:
    with pytest.raises(ValueError, match="stride="):
        pair("stride", value, at_least=1)


@pytest.mark.parametrize("value", [0, -1, (1, 0), [-3, 2], np.int64(0)], ids=repr)
def test_a_pair_below_its_least_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="must be at least 1 on both axes") as caught:
        pair("dilation", value, at_least=1)
    assert str(caught.value).startswith(f"dilation={value!r} ")


def test_integers_and_booleans() -> None:
    assert integer("groups", np.uint8(3), at_least=1) == 3
    assert type(integer("groups", np.uint8(3), at_least=1)) is int
    assert boolean("ceil_mode", np.True_) is True
    for value in (True, 1.0, None, "1", (1,), np.array(1)):
        with pytest.raises(ValueError, match=re.escape(f"groups={value!r} must be an int")):
            integer("groups", value, at_least=1)
    with pytest.raises(ValueError, match="groups=0 must be at least 1"):
        integer("groups", 0, at_least=1)
    for number in (0, 1, None, "True", np.array(True)):
        with pytest.raises(ValueError, match=re.escape(f"ceil_mode={number!r} must be a bool")):
            boolean("ceil_mode", number)


@pytest.mark.parametrize(
    "value, expected",
    [
        (0, ((0, 0), (0, 0))),
        ([2], ((2, 2), (2, 2))),
        ((2, 1), ((2, 2), (1, 1))),
        (((0, 1), (2, 3)), ((0, 1), (2, 3))),
        ([[np.uint8(0), 1], (2, 3)], ((0, 1), (2, 3))),
    ],
)
def test_conv_padding(value: Any, expected: tuple[tuple[int, int], tuple[int, int]]) -> None:
    assert conv_padding(value) == expected


@pytest.mark.parametrize(
    "value",
    ["full", b"same", 1.0, None, (), (1, 2, 3), -1, (0, -1), ((0, 1),), ((0, 1), (2,)),
     ((0, 1), (2, 3, 4)), ((0, 1), (2, -3)), ((0, 1), (2, 3.0)), ((0, 1), 2), (1, (2, 3)),
     ((0, True), (0, 0)), ((0, 1), (2, 3), (4, 5))],
    ids=repr,
)  # fmt: skip
def test_what_is_no_padding_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="must") as caught:
        conv_padding(value)
    assert str(caught.value).startswith(f"padding={value!r} ")


def test_same_padding_puts_the_odd_pixel_at_the_end() -> None:
    assert same_padding((3, 5), (1, 1), (1, 1)) == ((1, 1), (2, 2))
    assert same_padding((2, 4), (1, 1), (1, 1)) == ((0, 1), (1, 2))
    assert same_padding((2, 4), (1, 1), (3, 1)) == ((1, 2), (1, 2))
    assert same_padding((1, 1), (1, 1), (5, 5)) == ((0, 0), (0, 0))
    with pytest.raises(ValueError, match=re.escape("padding='same' must have stride 1")):
        same_padding((3, 3), (1, 2), (1, 1))


def test_pool_padding_is_at_most_half_of_the_kernel() -> None:
    assert pool_padding(1, (2, 3)) == ((1, 1), (1, 1))
    assert pool_padding([2, 1], (4, 3)) == ((2, 2), (1, 1))
    for value in (2, (0, 2), [2, 0]):
        with pytest.raises(ValueError, match=re.escape(f"padding={value!r} must be at most half")):
            pool_padding(value, (3, 3))


def test_pool_stride_is_the_kernel_when_not_given() -> None:
    nothings: tuple[Any, ...] = (None, (), [])
    for nothing in nothings:
        assert pool_stride(nothing, (3, 2)) == (3, 2)
    assert pool_stride([1], (3, 2)) == (1, 1)
    wrong: tuple[Any, ...] = ("", b"", 0, False, {})
    for value in wrong:
        with pytest.raises(ValueError, match="stride="):
            pool_stride(value, (3, 2))


# ------------------------------------------------------------------------------------------ cost


@pytest.mark.parametrize(
    "op, shapes, params, macs, terms",
    [
        ("conv2d", ((2, 4, 6, 5), (6, 2, 3, 2), (6,)), {"groups": 2}, 2 * 6 * 4 * 4 * 2 * 6,
         {"forward": 12, "grad_input": 18, "grad_weight": 32, "grad_bias": 32}),
        ("conv_transpose2d", ((2, 4, 5, 6), (4, 3, 3, 2)), {"groups": 2}, 2 * 4 * 30 * 3 * 6,
         {"forward": 12, "grad_input": 18, "grad_weight": 60, "grad_bias": 98}),
        ("max_pool2d", ((2, 3, 6, 8),), {"kernel_size": (2, 3)}, 2 * 3 * 3 * 2 * 6,
         {"forward": 1, "grad_input": 6}),
        ("avg_pool2d", ((2, 3, 6, 8),), {"kernel_size": (2, 3)}, 2 * 3 * 3 * 2 * 6,
         {"forward": 6, "grad_input": 6}),
        ("global_avg_pool2d", ((2, 5, 3, 4),), {}, 120, {"forward": 12, "grad_input": 1}),
        ("linear", ((3, 7), (5, 7), (5,)), {}, 105,
         {"forward": 7, "grad_input": 5, "grad_weight": 3, "grad_bias": 3}),
        ("relu", ((3, 4),), {}, 12, {"forward": 1, "grad_input": 1}),
        ("image_to_patches", ((8, 12, 3),), {"patch_size": 4}, 288,
         {"forward": 1, "grad_image": 1}),
    ],
)  # fmt: skip
def test_macs_and_terms(
    op: str, shapes: tuple[Shape, ...], params: Params, macs: int, terms: dict[str, int]
) -> None:
    plan = OPS[op].plan(*shapes, **params)
    assert OPS[op].macs(plan) == macs
    assert OPS[op].terms(plan) == terms
    assert set(terms) == set(OPS[op].directions)


def test_flops_are_two_per_multiply_add() -> None:
    assert flops(105) == 210


def test_bytes_count_each_operand_once() -> None:
    plan = OPS["linear"].plan((3, 7), (5, 7), (5,))
    assert bytes_min(plan, "forward", 8) == 8 * (21 + 35 + 5 + 15)
    assert bytes_min(plan, "grad_input", 4) == 4 * (15 + 35 + 21)
    assert bytes_min(plan, "grad_weight", 4) == 4 * (15 + 21 + 35)
    without = OPS["linear"].plan((3, 7), (5, 7))
    assert bytes_min(without, "forward", 8) == 8 * (21 + 35 + 15)
    assert bytes_min(Plan({"input": (2, 3)}, {}, (2, 3)), "grad_input", 4) == 4 * 12


# -------------------------------------------------------------------------------- cases and ids


def test_ids_say_shapes_and_parameters() -> None:
    assert case("", (1, 2, 8, 7), (2, 2, 3, 3), stride=3).id == "i1x2x8x7-w2x2x3x3-s3"
    rich = case("", (2, 4), (3, 4), (3,), padding=((0, 1), (2, 3)), dilation=(1, 2), layout="odd")
    assert rich.id == "i2x4-w3x4-b3-p0x1_2x3-d1x2-odd"
    assert (
        case("", (4,), stride=(), ceil_mode=True, padding="same").id == "i4-sempty-ceiltrue-psame"
    )
    assert case("", (), divisor_override=-2).id == "iempty-div-2"


def test_ids_and_error_ids_are_unique_and_every_parameter_has_a_tag() -> None:
    for op in OPS.values():
        ids = [case.id for case in op.cases]
        assert len(set(ids)) == len(ids)
        error_ids = [error.id for error in op.errors]
        assert len(set(error_ids)) == len(error_ids)
        assert set(kernel_params(op)) <= set(TAGS)
    assert len(set(TAGS.values())) == len(TAGS)


def test_seeds_are_the_same_in_every_process() -> None:
    assert seed("123456789") == 0xCBF43926  # the check value of CRC-32


def test_levels_of_cases() -> None:
    assert [make("why", (1,)).level for make in (document, case, extended)] == list(LEVELS)
    assert LEVELS == ("document", "core", "extended")


def test_an_error_case_is_a_change_of_a_right_call() -> None:
    refuse = refusing("relu", input=Array((2, 3)), stride=1)
    error = refuse("stride of none", "stride=()", stride=())
    assert error.id == "relu-stride_of_none"
    assert error.arguments == {"input": Array((2, 3)), "stride": ()}
    assert error.raises is ValueError


@pytest.mark.parametrize("op", OPS.values(), ids=OPS)
def test_every_case_has_a_plan_and_a_reason(op: Any) -> None:
    assert op.cases
    for one in op.cases:
        assert one.why
        output = op.plan_case(one).output
        assert all(type(extent) is int for extent in output)
        assert one.vacuous or all(extent > 0 for extent in output)


def test_the_oracle_pads_explicitly_where_sides_differ() -> None:
    padded: list[Any] = []

    def pad(input: Any, margins: Any) -> str:
        padded.append(margins)
        return "padded"

    F = SimpleNamespace(pad=pad, conv2d=lambda *args, **params: (args, params))
    answer = OPS["conv2d"].oracle(F, "input", "weight", padding=((1, 2), (0, 3)), stride=2)
    assert padded == [(0, 3, 1, 2)]
    assert answer == (("padded", "weight", None), {"padding": 0, "stride": 2})
    same = OPS["conv2d"].oracle(F, "input", "weight", padding=(1, 2))
    assert padded == [(0, 3, 1, 2)]
    assert same == (("input", "weight", None), {"padding": (1, 2)})

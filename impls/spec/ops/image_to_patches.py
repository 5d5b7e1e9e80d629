"""image_to_patches: an image as rows of flattened squares, what a Vision Transformer reads."""

from math import prod
from typing import Any

from impls.spec.case import Array, case, document, extended, refusing
from impls.spec.factors import Factor
from impls.spec.op import Operand, OpSpec
from impls.spec.params import integer
from impls.spec.plan import Plan, Shape


def plan(image: Shape, patch_size: int) -> Plan:
    """The image cut into squares, each flattened, row by row.

    image: (H, W, C); patch_size must divide H and W.
    Returns (H // patch_size * W // patch_size, patch_size * patch_size * C), as the document does.
    Raises ValueError naming argument, value and rule; TypeError for other arrays than float32 or
    float64.
    """
    size = integer("patch_size", patch_size, at_least=1)
    height, width, channels = image
    if min(image) < 1:
        raise ValueError(f"image.shape={image} must be at least 1 on every axis")
    if height % size or width % size:
        raise ValueError(f"patch_size={size} must divide height={height} and width={width}")
    output = (height // size * (width // size), size * size * channels)
    return Plan({"image": image}, {"patch_size": size}, output)


def oracle(F: Any, image: Any, patch_size: int) -> Any:
    """PyTorch's unfold, whose columns are channel-major, put into the document's order."""
    channels = image.shape[2]
    columns = F.unfold(image.permute(2, 0, 1)[None], patch_size, stride=patch_size)[0]
    return columns.reshape(channels, patch_size**2, -1).permute(2, 1, 0).flatten(1)


refuse, refuse_backward = refusing("image_to_patches"), refusing("image_to_patches_backward")

OP = OpSpec(
    name="image_to_patches",
    kernel="image_to_patches",
    operands=(Operand("image", "(H, W, C)", (3,)),),
    plan=plan,
    batch_axes=None,
    oracle=oracle,
    macs=lambda plan: prod(plan.output),
    terms=lambda plan: {"forward": 1, "grad_image": 1},
    linear=True,
    exact=("forward", "grad_image"),
    factors={
        "rows": Factor((2, 1, 3), range(1, 5)),
        "columns": Factor((4, 1, 2), range(1, 5)),
        "c": Factor((3, 1, 2), range(1, 5), is_tail=True),
        "patch_size": Factor((2, 1, 3), range(1, 5)),
    },
    call=lambda rows, columns, c, patch_size: (
        ((rows * patch_size, columns * patch_size, c),),
        {"patch_size": patch_size},
    ),
    cases=(
        document("the document's image_to_patches", (8, 12, 3), patch_size=4),
        document("one channel", (6, 9, 1), patch_size=3),
        case("one row of patches", (4, 12, 2), patch_size=4),
        case("one column of patches", (15, 5, 2), patch_size=5),
        case("one patch: the image itself", (7, 7, 3), patch_size=7),
        case("patches of one pixel", (3, 4, 5), patch_size=1),
        case("17 channels", (4, 6, 17), patch_size=2),
        extended("ViT-B/16's patch", (32, 48, 3), patch_size=16),
        extended("large enough for several threads", (96, 144, 8), patch_size=8),
        extended("transposed in memory", (8, 12, 3), patch_size=4, layout="transposed"),
        extended("every other element", (8, 12, 3), patch_size=4, layout="strided"),
        extended("negative strides", (8, 12, 3), patch_size=4, layout="reversed"),
        extended("read-only", (8, 12, 3), patch_size=4, layout="readonly"),
        extended("broadcast: one channel in memory", (8, 12, 3), patch_size=4,
                 layout="broadcast"),
    ),
    errors=(
        refuse("image of rank 2", "image.shape=(8, 12)", image=Array((8, 12)), patch_size=4),
        refuse("patch_size does not divide the height", "patch_size=4 must divide height=6",
               image=Array((6, 12, 3)), patch_size=4),
        refuse("patch_size does not divide the width",
               "patch_size=4 must divide height=8 and width=10",
               image=Array((8, 10, 3)), patch_size=4),
        refuse("patch_size 0", "patch_size=0", image=Array((8, 12, 3)), patch_size=0),
        refuse("patch_size a pair", "patch_size=(4, 4)", image=Array((8, 12, 3)),
               patch_size=(4, 4)),
        refuse("bytes", "image.dtype", raises=TypeError, image=Array((8, 12, 3), "uint8"),
               patch_size=4),
        refuse_backward("grad_output of integers", "grad_output.dtype", raises=TypeError,
                        grad_output=Array((6, 48), "int64"), image=Array((8, 12, 3)),
                        patch_size=4),
        refuse_backward("grad_output of another shape", "grad_output.shape=(48, 6)",
                        grad_output=Array((48, 6)), image=Array((8, 12, 3)), patch_size=4),
    ),
)  # fmt: skip

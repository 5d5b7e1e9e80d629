"""Where the document and PyTorch part: both answers on a small example, and ours.

The document's answers come from its rules, executed; an answer may be an exception.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy import ndarray
from numpy.lib.stride_tricks import sliding_window_view

import impls
from impls import document

Answer = ndarray | np.dtype | Exception


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One rule of the document that PyTorch does not share.

    document, pytorch: the two rules. example: what is asked.
    documents, pytorchs, ours: the answers, ours on a backend.
    agree_where: what must hold for the answers to be equal; agreement: the document's and ours
        there.
    """

    document: str
    pytorch: str
    example: str
    documents: Callable[[], Answer]
    pytorchs: Callable[[], Answer]
    ours: Callable[[str], Answer]
    agree_where: str
    agreement: Callable[[str], tuple[Answer, Answer]]


# ------------------------------------------------------------------------- the document's rules


def true_convolution(f: ndarray, g: ndarray) -> ndarray:
    """Of two rows: (f * g)[i] = sum over k of f[k] * g[i - k]."""
    output = np.zeros(len(f) + len(g) - 1)
    for i in range(len(output)):
        output[i] = sum(f[k] * g[i - k] for k in range(len(f)) if 0 <= i - k < len(g))
    return output


def clipped_max(plane: ndarray, size: int, stride: int) -> ndarray:
    """H // stride windows, clipped at the edge."""
    rows, columns = (range(0, extent // stride * stride, stride) for extent in plane.shape)
    return np.array([[plane[i : i + size, j : j + size].max() for j in columns] for i in rows])


def padded_by_height(x: ndarray, kernel: ndarray, stride: int) -> ndarray:
    """Zeros inserted, both axes padded by kH - 1, convolved with the flipped kernel."""
    spaced = np.zeros([(extent - 1) * stride + 1 for extent in x.shape])
    spaced[::stride, ::stride] = x
    windows = sliding_window_view(np.pad(spaced, len(kernel) - 1), kernel.shape)
    return np.einsum("pqrs,rs->pq", windows, kernel[::-1, ::-1])


def raised(call: Callable[[], object]) -> Exception:
    """What a call that must fail raises."""
    try:
        call()
    except Exception as error:
        return error
    raise AssertionError("must raise, but answered")


def unpack(names: str, shape: tuple[int, ...]) -> Exception:
    """What `H, W, C = x.shape` raises where x has another number of axes."""
    return raised(lambda: exec(f"{names} = shape", {"shape": shape}))


# ------------------------------------------------------------------------------------ examples

ROW, TAPS = np.array([1.0, 2.0, 3.0]), np.array([0.0, 1.0, 2.0])
PLANE = np.array([[1.0, 5.0, 2.0, 6.0], [8.0, 3.0, 7.0, 4.0], [0.0, 9.0, 1.0, 2.0]])
TALL = np.array([[1.0], [2.0]])
SQUARE = np.array([[1.0, 2.0], [3.0, 4.0]])
COLORS = np.stack([PLANE, 2 * PLANE], axis=2)
PAIR = np.array([[1.0, 10.0]])


def tensor(array: ndarray) -> Any:
    """A plane, or (H, W, C), as PyTorch takes it: (1, C, H, W)."""
    return torch.from_numpy(np.atleast_3d(array)).permute(2, 0, 1)[None]


def plane(found: Any) -> ndarray:
    """(1, 1, H, W) as a plane."""
    answer: ndarray = found.numpy()[0, 0]
    return answer


def spaced_row() -> ndarray:
    """ROW with as many zeros on either side as TAPS can reach."""
    return np.pad(ROW, 2)[None]


def gradient_of_colors() -> ndarray:
    """PyTorch's gradient of a kernel of two channels, (R, S, C), that slides across COLORS."""
    kernel = tensor(COLORS[:2, :2]).clone().requires_grad_()
    F.conv2d(tensor(COLORS), kernel).sum().backward()
    found: ndarray = kernel.grad[0].permute(1, 2, 0).numpy()
    return found


DIFFERENCES = (
    Difference(
        document="the boxed formula is a true convolution, which flips the kernel",
        pytorch="conv2d correlates, and so does all of the document's code",
        example="`conv2d` of 1 2 3, two zeros on either side, with 0 1 2",
        documents=lambda: true_convolution(ROW, TAPS)[None],
        pytorchs=lambda: plane(F.conv2d(tensor(spaced_row()), tensor(TAPS[None]))),
        ours=lambda backend: document.conv2d(spaced_row(), TAPS[None], backend=backend),
        agree_where="`transposed_conv2d`, stride 1, is the true one",
        agreement=lambda backend: (
            true_convolution(ROW, TAPS)[None],
            document.transposed_conv2d(ROW[None], TAPS[None], 1, backend=backend),
        ),
    ),
    Difference(
        document="pools have H // stride windows, clipped at the edge",
        pytorch="windows that fit, (H - k) // stride + 1",
        example="`max_pool2d` of 3 x 4, size 3, stride 1",
        documents=lambda: clipped_max(PLANE, 3, 1),
        pytorchs=lambda: plane(F.max_pool2d(tensor(PLANE), 3, 1)),
        ours=lambda backend: document.max_pool2d(PLANE[None, None], 3, 1, backend=backend)[0, 0],
        agree_where="pool_size is stride",
        agreement=lambda backend: (
            clipped_max(PLANE, 2, 2),
            document.max_pool2d(PLANE[None, None], 2, 2, backend=backend)[0, 0],
        ),
    ),
    Difference(
        document="`transposed_conv2d` pads both axes by kH - 1",
        pytorch="each axis by its own kernel less one",
        example="`transposed_conv2d` of 1 10 with a 2 x 1 kernel, stride 2",
        documents=lambda: padded_by_height(PAIR, TALL, 2),
        pytorchs=lambda: plane(F.conv_transpose2d(tensor(PAIR), tensor(TALL), stride=2)),
        ours=lambda backend: document.transposed_conv2d(PAIR, TALL, 2, backend=backend),
        agree_where="the kernel is square",
        agreement=lambda backend: (
            padded_by_height(PAIR, SQUARE, 2),
            document.transposed_conv2d(PAIR, SQUARE, 2, backend=backend),
        ),
    ),
    Difference(
        document="`conv2d_strided` needs (H, W, C)",
        pytorch="a plane too",
        example="`conv2d_strided` of 3 x 4 with 2 x 2, stride 2",
        documents=lambda: unpack("H, W, C", PLANE.shape),
        pytorchs=lambda: plane(F.conv2d(tensor(PLANE), tensor(SQUARE), stride=2)),
        ours=lambda backend: document.conv2d_strided(PLANE, SQUARE, 2, backend=backend),
        agree_where="there is an axis of channels",
        agreement=lambda backend: (
            np.einsum("pqrs,rs->pq", sliding_window_view(PLANE, (2, 2))[::2, ::2], SQUARE),
            document.conv2d_strided(PLANE[:, :, None], SQUARE[:, :, None], 2, backend=backend),
        ),
    ),
    Difference(
        document="most outputs are float64",
        pytorch="the input's dtype",
        example="dtype of a max pool of float32",
        documents=lambda: np.zeros((1, 1)).dtype,
        pytorchs=lambda: F.max_pool2d(tensor(PLANE).float(), 2).numpy().dtype,
        ours=lambda backend: (
            impls.get(backend).max_pool2d(PLANE[None, None].astype("float32"), 2).dtype
        ),
        agree_where="`impls.document`, which keeps the document's",
        agreement=lambda backend: (
            np.zeros((1, 1)).dtype,
            document.max_pool2d(PLANE[None, None].astype("float32"), backend=backend).dtype,
        ),
    ),
    Difference(
        document="`conv2d_backward` has one channel",
        pytorch="all channels",
        example="gradient of a 2 x 2 kernel with 2 channels",
        documents=lambda: unpack("kH, kW", COLORS[:2, :2].shape),
        pytorchs=gradient_of_colors,
        ours=lambda backend: document.conv2d_backward(
            np.ones((2, 3)), COLORS, COLORS[:2, :2], backend=backend
        )[1],
        agree_where="there is one",
        agreement=lambda backend: (
            np.einsum("pqrs->rs", sliding_window_view(PLANE, (2, 2))),
            document.conv2d_backward(np.ones((2, 3)), PLANE, SQUARE, backend=backend)[1],
        ),
    ),
    Difference(
        document="fc is (in, out): x @ fc",
        pytorch="the weight of linear is (out, in)",
        example="1 10 through the weight 1 2 / 3 4",
        documents=lambda: PAIR @ SQUARE,
        pytorchs=lambda: F.linear(*map(torch.from_numpy, (PAIR, SQUARE))).numpy(),
        ours=lambda backend: impls.get(backend).linear(PAIR, SQUARE),
        agree_where="the weight is fc's transpose, as SimpleCNN hands it on",
        agreement=lambda backend: (
            PAIR @ SQUARE,
            impls.get(backend).linear(PAIR, SQUARE.T),
        ),
    ),
)

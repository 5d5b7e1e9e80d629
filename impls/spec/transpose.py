"""A transposed convolution is the input gradient of a convolution: three kernels make six.

    conv_transpose, conv_transpose_grad_input, conv_transpose_grad_weight = transposed(
        conv, conv_grad_input, conv_grad_weight
    )

The weight is the same array: (C, O // groups, R, S) here is conv's (O, C // groups, R, S), since
the convolution runs from the output back to the input.
"""

from collections.abc import Callable

import numpy as np
from numpy import ndarray

from impls.spec.params import PaddingPairs, Pair
from impls.spec.shapes import conv_transpose_output

Kernel = Callable[..., ndarray]


def transposed(
    conv: Kernel, conv_grad_input: Kernel, conv_grad_weight: Kernel
) -> tuple[Kernel, Kernel, Kernel]:
    """(conv_transpose, conv_transpose_grad_input, conv_transpose_grad_weight) from conv's kernels.

    conv's gradients must read the extents of their windows from grad_output: output_padding may
    leave room for a window more, which the transposed convolution does not have.
    """

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
        """Output (N, O, P, Q): the gradient that `input` as grad_output gives conv's input."""
        shape = conv_transpose_output(
            input.shape, weight.shape, stride=stride, padding=padding,
            output_padding=output_padding, groups=groups, dilation=dilation,
        )  # fmt: skip
        # Only its shape is read; untouched pages of np.empty cost nothing.
        like = np.empty(shape, input.dtype)
        output = conv_grad_input(
            input, like, weight, stride=stride, padding=padding, dilation=dilation, groups=groups
        )
        if bias is not None:
            output += bias[:, None, None]
        return output

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
        """(N, C, H, W): the convolution of grad_output, without the windows of output_padding."""
        windows = conv(
            grad_output, weight, None,
            stride=stride, padding=padding, dilation=dilation, groups=groups,
        )  # fmt: skip
        return np.ascontiguousarray(windows[:, :, : input.shape[2], : input.shape[3]])

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
        """(C, O // groups, R, S): conv's weight gradient with input and output exchanged."""
        return conv_grad_weight(
            input, grad_output, weight,
            stride=stride, padding=padding, dilation=dilation, groups=groups,
        )  # fmt: skip

    return conv_transpose, conv_transpose_grad_input, conv_transpose_grad_weight

"""Pools, relu and patches: one prange over planes, every window read once."""

import numpy as np
from numba import prange

from impls.numba_parallel._jit import inlined, moving, summing

# Pixels of a plane that are summed in one go, in as many lanes as the processor has.
PART = 512


@inlined
def _first_tap(start, dilation):
    """The first tap of a window that is not before the image."""
    return max(0, -(start // dilation))


@inlined
def _end_tap(start, dilation, kernel_size, size):
    """One past the last tap of a window that is inside the image."""
    return min(kernel_size, (size - 1 - start) // dilation + 1)


@moving
def max_pool(output, indices, input, kernel_size, stride, padding, dilation):
    """Fill output and indices (N, C, P, Q): the first maximum wins, or the last NaN."""
    n_images, channels, n_rows, n_columns = output.shape
    height, width = input.shape[2:]
    (kernel_h, kernel_w), (stride_h, stride_w) = kernel_size, stride
    (padding_h, _), (padding_w, _) = padding
    dilation_h, dilation_w = dilation
    for task in prange(n_images * channels):
        n, c = divmod(np.int64(task), channels)
        plane = input[n, c]
        for p in range(n_rows):
            top = p * stride_h - padding_h
            r_first = _first_tap(top, dilation_h)
            r_end = _end_tap(top, dilation_h, kernel_h, height)
            for q in range(n_columns):
                left = q * stride_w - padding_w
                s_first = _first_tap(left, dilation_w)
                s_end = _end_tap(left, dilation_w, kernel_w, width)
                best = plane[top + r_first * dilation_h, left + s_first * dilation_w]
                where = (top + r_first * dilation_h) * width + left + s_first * dilation_w
                for r in range(r_first, r_end):
                    i = top + r * dilation_h
                    for s in range(s_first, s_end):
                        j = left + s * dilation_w
                        value = plane[i, j]
                        if value > best or np.isnan(value):
                            best = value
                            where = i * width + j
                output[n, c, p, q] = best
                indices[n, c, p, q] = where


@moving
def max_pool_grad_input(grad_input, grad_output, indices):
    """Fill grad_input (N, C, H, W): a plane's windows add up one after the other."""
    places = grad_input.shape[2] * grad_input.shape[3]
    windows = grad_output.shape[2] * grad_output.shape[3]
    planes, gradients = grad_input.reshape(-1), grad_output.reshape(-1)
    where = indices.reshape(-1)
    for task in prange(grad_input.shape[0] * grad_input.shape[1]):
        n = np.int64(task)
        plane = planes[n * places : (n + 1) * places]
        plane[:] = 0
        for window in range(n * windows, (n + 1) * windows):
            plane[where[window]] += gradients[window]


@moving
def avg_pool(output, input, divisors, kernel_size, stride, padding):
    """Fill output (N, C, P, Q). divisors: (P, Q)."""
    n_images, channels, n_rows, n_columns = output.shape
    height, width = input.shape[2:]
    (kernel_h, kernel_w), (stride_h, stride_w) = kernel_size, stride
    (padding_h, _), (padding_w, _) = padding
    for task in prange(n_images * channels):
        n, c = divmod(np.int64(task), channels)
        for p in range(n_rows):
            top = p * stride_h - padding_h
            rows = range(max(top, 0), min(top + kernel_h, height))
            for q in range(n_columns):
                left = q * stride_w - padding_w
                total = output.dtype.type(0)
                for i in rows:
                    for j in range(max(left, 0), min(left + kernel_w, width)):
                        total += input[n, c, i, j]
                output[n, c, p, q] = total / divisors[p, q]


@moving
def avg_pool_grad_input(grad_input, grad_output, divisors, kernel_size, stride, padding):
    """Fill grad_input (N, C, H, W). divisors: (P, Q)."""
    n_images, channels, height, width = grad_input.shape
    n_rows, n_columns = grad_output.shape[2:]
    (kernel_h, kernel_w), (stride_h, stride_w) = kernel_size, stride
    (padding_h, _), (padding_w, _) = padding
    for task in prange(n_images * channels):
        n, c = divmod(np.int64(task), channels)
        grad_input[n, c, :, :] = 0
        for p in range(n_rows):
            top = p * stride_h - padding_h
            rows = range(max(top, 0), min(top + kernel_h, height))
            for q in range(n_columns):
                left = q * stride_w - padding_w
                share = grad_output[n, c, p, q] / divisors[p, q]
                for i in rows:
                    for j in range(max(left, 0), min(left + kernel_w, width)):
                        grad_input[n, c, i, j] += share


@summing
def global_avg_pool(output, input):
    """Fill output (N, C): parts of a plane are summed first, which keeps long sums accurate."""
    means, pixels = output.reshape(-1), input.reshape(-1)
    size = input.shape[2] * input.shape[3]
    for task in prange(len(means)):
        plane = pixels[np.int64(task) * size : (np.int64(task) + 1) * size]
        total = output.dtype.type(0)
        for first in range(0, size, PART):
            part = plane[first : first + PART]
            part_total = output.dtype.type(0)
            for k in range(len(part)):
                part_total += part[k]
            total += part_total
        means[task] = total / output.dtype.type(size)


@moving
def global_avg_pool_grad_input(grad_input, grad_output):
    """Fill grad_input (N, C, H, W)."""
    n_images, channels, height, width = grad_input.shape
    for task in prange(n_images * channels):
        n, c = divmod(np.int64(task), channels)
        grad_input[n, c, :, :] = grad_output[n, c] / grad_input.dtype.type(height * width)


@moving
def relu(output, input):
    """Fill output (size,); NaN and -0.0 stay."""
    for index in prange(input.size):
        value = input[index]
        output[index] = 0 if value < 0 else value


@moving
def relu_grad_input(grad_input, grad_output, input):
    """Fill grad_input (size,)."""
    for index in prange(input.size):
        grad_input[index] = 0 if input[index] <= 0 else grad_output[index]


@moving
def image_to_patches(output, image, patch_size):
    """Fill output (H // p * W // p, p * p * C)."""
    width, channels = image.shape[1:]
    across, line = width // patch_size, patch_size * channels
    pixels = image.reshape(-1)
    for patch in prange(output.shape[0]):
        row, column = divmod(np.int64(patch), across)
        for i in range(patch_size):
            first = ((row * patch_size + i) * width + column * patch_size) * channels
            for index in range(line):
                output[patch, i * line + index] = pixels[first + index]


@moving
def image_to_patches_grad_image(grad_image, grad_output, patch_size):
    """Fill grad_image (H, W, C)."""
    width, channels = grad_image.shape[1:]
    across, line = width // patch_size, patch_size * channels
    pixels = grad_image.reshape(-1)
    for patch in prange(grad_output.shape[0]):
        row, column = divmod(np.int64(patch), across)
        for i in range(patch_size):
            first = ((row * patch_size + i) * width + column * patch_size) * channels
            for index in range(line):
                pixels[first + index] = grad_output[patch, i * line + index]

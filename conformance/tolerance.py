"""How close is close enough. A tolerance anywhere else is a bug.

Exact data admit no error. For real data every order of summation, with or without fused
multiply-adds, keeps |actual - expected| <= gamma_n * S + n * eta elementwise (Higham, Accuracy and
Stability of Numerical Algorithms, 2002, section 3.1 and, for underflow, 2.8): S is the same sum
over absolute values, n its number of terms and two more for bias and division, gamma_n = n * u /
(1 - n * u), u the unit roundoff, eta the smallest subnormal. The bound is loose for long sums, so
zero-mean random data are graded as well: errors grow with sqrt(n), and the grade is the largest
error in units of sqrt(n) * u * S.
"""

import numpy as np
from numpy import ndarray

# A right backend reaches 1.5 (measured over summation orders); 4 needs a fault.
GRADE_LIMIT = 4.0
# The oracle computes in float64 itself and errs as much as a float64 backend may.
ORACLE_FACTOR = {"float32": 1.0, "float64": 2.0}
# Winograd and FFT mix the terms of neighboring outputs: their errors scale with the largest sum.
TRANSFORM_FACTOR = 1024.0
# Largest error, in units of each tensor's largest value. Rounding in float64, through three layers
# of up to 1152 terms and back, leaves 1e-15 (measured: every built-in backend), in float32 1e-7.
NETWORK_RTOL = 1e-10
# Real data keep every relu input and every two largest values of a window this far from a tie, in
# units of the largest, so that no rounding within NETWORK_RTOL changes which gradient passes.
NETWORK_SEPARATION = 1e-6
# How far the losses of the first steps of a training in float64 may be from PyTorch's, relatively:
# each step hands its rounding on to the next (measured over 20 steps, every backend: 4e-16).
LOSS_RTOL = 1e-8


def limit(magnitude: ndarray, terms: int, dtype: str) -> ndarray:
    """The largest error of each element that some order of summation may make."""
    n, u = terms + 2, _unit_roundoff(dtype)
    gamma = n * u / (1 - n * u)
    smallest = float(np.finfo(dtype).smallest_subnormal)
    return ORACLE_FACTOR[dtype] * (gamma * magnitude + n * smallest)


def transform_limit(magnitude: ndarray, dtype: str) -> ndarray:
    """The largest error of each element for a backend whose accuracy is "transform"."""
    largest = float(magnitude.max(initial=0.0))
    return np.full(magnitude.shape, TRANSFORM_FACTOR * _unit_roundoff(dtype) * largest)


def grade(error: ndarray, magnitude: ndarray, terms: int, dtype: str) -> float:
    """The largest error in units of sqrt(n) * u * S; 0 where there is nothing to sum."""
    return float(np.max(grades(error, magnitude, terms, dtype), initial=0.0))


def grades(error: ndarray, magnitude: ndarray, terms: int, dtype: str) -> ndarray:
    """The error of each element in units of sqrt(n) * u * S, where there is something to sum."""
    scale = _grade_scale(magnitude, terms, dtype)
    found: ndarray = error[scale > 0] / scale[scale > 0]
    return found


def graded_limit(magnitude: ndarray, terms: int, dtype: str) -> ndarray:
    """The largest error of each element that the grade allows."""
    return GRADE_LIMIT * _grade_scale(magnitude, terms, dtype)


def _grade_scale(magnitude: ndarray, terms: int, dtype: str) -> ndarray:
    return np.sqrt(terms + 2) * _unit_roundoff(dtype) * magnitude


def _unit_roundoff(dtype: str) -> float:
    return float(np.finfo(dtype).eps) / 2

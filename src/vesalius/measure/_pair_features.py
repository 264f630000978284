"""Pair features: co-occurrence features that are means over pairs, without any matrix."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

Weigh = Callable[[Tensor, Tensor], Tensor]
Mean = Callable[[Weigh], Tensor]
"""Averages a function of the two levels over all pairs of a neighbourhood."""


def _gap(of: Callable[[Tensor], Tensor]) -> Callable[[Mean, int], Tensor]:
    """Make a feature of the mean of a function of |i - j|."""
    return lambda mean, levels: mean(lambda a, b: of((a - b).abs()))


def _gap_norm(power: int) -> Callable[[Mean, int], Tensor]:
    def feature(mean: Mean, levels: int) -> Tensor:
        return mean(lambda a, b: 1 / (1 + ((a - b).abs() / levels) ** power))

    return feature


def _inverse_square(k: Tensor) -> Tensor:
    return torch.where(k > 0, k.clamp(min=1) ** -2.0, 0.0)


def _joint_average(mean: Mean, levels: int) -> Tensor:
    return mean(lambda a, b: a + b) / 2


def _joint_variance(mean: Mean, levels: int) -> Tensor:
    return mean(lambda a, b: a * a + b * b) / 2 - _joint_average(mean, levels) ** 2


def _sum_average(mean: Mean, levels: int) -> Tensor:
    return mean(lambda a, b: a + b)


def _sum_variance(mean: Mean, levels: int) -> Tensor:
    return mean(lambda a, b: (a + b) ** 2) - _sum_average(mean, levels) ** 2


def _difference_variance(mean: Mean, levels: int) -> Tensor:
    return mean(lambda a, b: (a - b) ** 2) - mean(lambda a, b: (a - b).abs()) ** 2


def _autocorrelation(mean: Mean, levels: int) -> Tensor:
    return mean(lambda a, b: a * b)


def _correlation(mean: Mean, levels: int) -> Tensor:
    average = _joint_average(mean, levels)
    variance = _joint_variance(mean, levels)
    covariance = _autocorrelation(mean, levels) - average**2
    return torch.where(variance > _NOTHING * average**2, covariance / variance, torch.nan)


_NOTHING = 1e-14
"""A variance below this share of the squared mean is rounding."""

PAIR_FEATURES: Mapping[str, Callable[[Mean, int], Tensor]] = {
    "cm_joint_avg": _joint_average,
    "cm_joint_var": _joint_variance,
    "cm_diff_avg": _gap(lambda k: k),
    "cm_diff_var": _difference_variance,
    "cm_sum_avg": _sum_average,
    "cm_sum_var": _sum_variance,
    "cm_contrast": _gap(lambda k: k**2),
    "cm_dissimilarity": _gap(lambda k: k),
    "cm_inv_diff": _gap(lambda k: 1 / (1 + k)),
    "cm_inv_diff_norm": _gap_norm(1),
    "cm_inv_diff_mom": _gap(lambda k: 1 / (1 + k**2)),
    "cm_inv_diff_mom_norm": _gap_norm(2),
    "cm_inv_var": _gap(_inverse_square),
    "cm_corr": _correlation,
    "cm_auto_corr": _autocorrelation,
    "cm_clust_tend": _sum_variance,
}
"""By tag, the feature from a mean over pairs and the number of levels Ng.

Both orders of a pair count in the matrix, so that a mean over the matrix is one over pairs of the
function made symmetric.
"""

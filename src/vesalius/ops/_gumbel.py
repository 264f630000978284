"""Draw without replacement by weights given as logarithms; no weight is ever exponentiated."""
# SPDX-License-Identifier: Apache-2.0

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from vesalius.errors import IntensityError, RegionError


def gumbel_top_k(
    log_weights: Float[Tensor, " n"], count: int, *, generator: torch.Generator
) -> Int64[Tensor, " k"]:
    """Draw ``count`` different indices, each next one by weight among those left.

    Adding Gumbel noise to the log weights and taking the largest is the same as drawing by
    exp(log_weights) one after the other; exp itself overflows float32 at 88.7.

    Args:
        log_weights: Logarithms of the weights, any size; minus infinity is never drawn.
        count: How many.
        generator: Of the noise.

    Returns:
        Indices, in the order in which they were drawn.

    Raises:
        IntensityError: A log weight is NaN or plus infinity.
        RegionError: Fewer than ``count`` indices have a weight.

    References:
        Vieira (2014); Kool, van Hoof & Welling (2019), arXiv:1903.06059.
    """
    if bool(torch.isnan(log_weights).any()) or bool(torch.isposinf(log_weights).any()):
        raise IntensityError("log weights must be below infinity and not NaN: give logarithms")
    there = int(torch.isfinite(log_weights).sum())
    if not 0 <= count <= there:
        raise RegionError(f"count must be 0 to the {there} indices that have a weight, got {count}")
    uniform = torch.rand(
        log_weights.shape, generator=generator, dtype=torch.float64, device=generator.device
    )
    tiny = torch.finfo(torch.float64).tiny
    noise = -torch.log(-torch.log(uniform.clamp_min(tiny)))
    keys = log_weights.double() + noise.to(log_weights.device)
    return torch.topk(keys, count).indices

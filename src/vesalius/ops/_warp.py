"""Flows: fields of displacement in samples: warp, compose, exponentiate, invert."""
# SPDX-License-Identifier: Apache-2.0

import torch
from jaxtyping import Float
from torch import Tensor

from vesalius.ops._sampling import sample

Stack = Float[Tensor, "c z y x"]
Flow = Float[Tensor, "3 z2 y2 x2"]
Offset = tuple[int, int, int]


def warp(image: Stack, flow: Flow, *, offset: Offset = (0, 0, 0)) -> Float[Tensor, "c z2 y2 x2"]:
    """Look an image up where a flow points: ``out[i] = image(i + offset + flow[i])``, linear.

    Args:
        image: (c, z, y, x), float32 or float64; edge samples repeat outside.
        flow: (3, z2, y2, x2); displacement along (z, y, x), samples.
        offset: Index (z, y, x) of the image's sample that lies under the flow's first one.

    Returns:
        (c, z2, y2, x2), dtype and device of ``image``. Differentiable by both.
    """
    return sample(image, positions(flow, offset=offset))


def positions(flow: Flow, *, offset: Offset = (0, 0, 0)) -> Float[Tensor, "z2 y2 x2 3"]:
    """Give the index that each sample of a flow points at, ``i + offset + flow[i]``."""
    axes = [
        torch.arange(n, dtype=flow.dtype, device=flow.device) + o
        for n, o in zip(flow.shape[1:], offset, strict=True)
    ]
    index = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1)
    return index + flow.movedim(0, -1)

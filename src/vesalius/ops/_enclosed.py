"""Holes: background that one label encloses."""
# SPDX-License-Identifier: Apache-2.0

from typing import no_type_check

import numpy as np
import torch
from jaxtyping import Integer
from torch import Tensor

from vesalius.ops._components import components
from vesalius.ops._jit import kernel


def fill_enclosed(labels: Integer[Tensor, "z y x"]) -> Integer[Tensor, "z y x"]:
    """Give each hole to the label around it; a hole between two labels stays.

    A hole is background that hangs together by faces and touches no border of the image (an axis of
    one sample has none).

    Args:
        labels: (z, y, x); 0 is background.

    Returns:
        Same shape and number type.
    """
    values = labels.detach().cpu().contiguous().numpy()
    holes = components(torch.from_numpy(values == 0), full=False)
    owner = np.zeros(len(holes.sizes) + 1, values.dtype)
    open_ = np.zeros(len(holes.sizes) + 1, np.bool_)
    _owners(values, holes.numbers, owner, open_)
    owner[open_] = 0
    return torch.from_numpy(np.where(values == 0, owner[holes.numbers], values))


@kernel
@no_type_check
def _owners(values, holes, owner, open_):
    nz, ny, nx = values.shape
    for z in range(nz):
        for y in range(ny):
            for x in range(nx):
                k = holes[z, y, x]
                if k == 0 or open_[k]:
                    continue
                if (
                    (nz > 1 and (z == 0 or z == nz - 1))
                    or (ny > 1 and (y == 0 or y == ny - 1))
                    or (nx > 1 and (x == 0 or x == nx - 1))
                ):
                    open_[k] = True
                    continue
                for step in range(6):
                    axis, way = step // 2, 2 * (step % 2) - 1
                    a = z + way if axis == 0 else z
                    b = y + way if axis == 1 else y
                    c = x + way if axis == 2 else x
                    if a < 0 or a >= nz or b < 0 or b >= ny or c < 0 or c >= nx:
                        continue
                    value = values[a, b, c]
                    if value != 0:
                        if owner[k] == 0:
                            owner[k] = value
                        elif owner[k] != value:
                            open_[k] = True

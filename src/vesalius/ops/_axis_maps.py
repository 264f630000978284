"""One matrix along each of the last three axes: dense separable maps, on any device."""
# SPDX-License-Identifier: Apache-2.0

from jaxtyping import Float
from torch import Tensor

Field = Float[Tensor, "c z y x"]
Maps = tuple[Float[Tensor, "z2 z"], Float[Tensor, "y2 y"], Float[Tensor, "x2 x"]]


def along_axes(field: Field, maps: Maps) -> Float[Tensor, "c z2 y2 x2"]:
    """Multiply each of the axes (z, y, x) by its own matrix.

    A product with a matrix costs about a nanosecond a sample for 50 columns: less than a gather,
    and less than a band that is not very thin.

    Args:
        field: (c, z, y, x).
        maps: Matrices (out, in) along z, y and x; dtype and device of ``field``.

    Returns:
        (c, z2, y2, x2).
    """
    z, y, x = maps
    out = y @ (field @ x.T)
    flat = z @ out.reshape(field.shape[0], field.shape[1], -1)
    return flat.reshape(field.shape[0], len(z), len(y), len(x))

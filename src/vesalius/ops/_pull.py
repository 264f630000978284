"""Pull a volume onto a lattice that is moved by a matrix and by a field of displacement."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Iterator
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from vesalius.ops import _flow_loops
from vesalius.ops._filters import require_floats
from vesalius.ops._sampling import sample
from vesalius.ops._separable import Border, Rule
from vesalius.ops._threads import share

SLAB = 1 << 22  # positions handled at once by torch, so that their coordinates stay small
LEAST = 1 << 16  # samples worth a thread of their own


@final
@dataclass(frozen=True, slots=True, eq=False)
class Places:
    """Where each sample of a lattice lies: ``matrix @ (k, j, i, 1) + linear @ field[:, k, j, i]``.

    Attributes:
        matrix: (4, 4) float64; index (z, y, x, 1) of the lattice to index of a volume.
        linear: (3, 3) float64; vector of the field to samples of the volume.
        field: (3, z, y, x); any unit.
    """

    matrix: Float[Tensor, "4 4"]
    linear: Float[Tensor, "3 3"]
    field: Float[Tensor, "3 z y x"]

    def slabs(self) -> Iterator[Float[Tensor, "z y x 3"]]:
        """Give the positions (z, y, x), float64, some slices of the lattice at a time."""
        device = self.field.device
        matrix, linear = self.matrix.to(device), self.linear.to(device)
        _, nz, ny, nx = self.field.shape
        y, x = (torch.arange(n, dtype=torch.float64, device=device) for n in (ny, nx))
        plane = y[:, None, None] * matrix[:3, 1] + x[:, None] * matrix[:3, 2] + matrix[:3, 3]
        slab = max(1, SLAB // max(1, ny * nx))
        for start in range(0, nz, slab):
            stop = min(nz, start + slab)
            z = torch.arange(start, stop, dtype=torch.float64, device=device)
            moved = torch.einsum("iw,wzyx->zyxi", linear, self.field[:, start:stop].double())
            yield z[:, None, None, None] * matrix[:3, 0] + plane + moved


def pull(
    volume: Shaped[Tensor, "c z y x"],
    places: Places,
    *,
    border: Border = "nearest",
    fill: float = 0.0,
) -> Shaped[Tensor, "c z2 y2 x2"]:
    """Interpolate a volume linearly at the places of a lattice.

    Args:
        volume: (c, z, y, x), float32 or float64.
        places: Where to look.
        border: What lies outside; see ``sample``.
        fill: Value outside for ``"constant"`` and ``"extent"``.

    Returns:
        (c, z2, y2, x2), dtype and device of ``volume``. Differentiable by the samples and by the
        places. A place that is not finite is refused where derivatives are wanted or the device is
        not the CPU, and gives NaN elsewhere.

    Raises:
        UnitError: ``volume`` is not floating point.
    """
    require_floats(volume, "linear interpolation")
    parts = (volume, places.matrix, places.linear, places.field)
    tracked = torch.is_grad_enabled() and any(t.requires_grad for t in parts)
    large = volume[0].numel() >= 1 << 31
    if tracked or large or border == "mirror" or volume.device.type != "cpu":
        slabs = [sample(volume, at, border=border, fill=fill) for at in places.slabs()]
        return torch.cat(slabs, dim=1)
    out = volume.new_empty((volume.shape[0], *places.field.shape[1:]))
    image, field = (t.detach().contiguous().numpy() for t in (volume, places.field.cpu()))
    matrix, linear = (
        t.detach().to("cpu", torch.float64).contiguous().numpy()
        for t in (places.matrix, places.linear)
    )
    reach, target = Rule("linear", border, fill).reach, out.numpy()
    value = target.dtype.type(fill)
    _, depth, height, width = field.shape
    share(
        lambda a, b: _flow_loops.pull_rows(
            image, matrix, linear, field, reach, value, target, a, b
        ),
        depth * height,
        least=1 + LEAST // max(width, 1),
    )
    return out

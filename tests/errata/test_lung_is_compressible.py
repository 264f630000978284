"""Erratum 22: the lung changes its volume; to preserve volumes is a choice, and biases what is not.

A ball that really shrinks, as a lung breathing out or a tumour under therapy, is measured too
large when volumes are held.
"""

import torch

from vesalius.core import Grid, Image, Linear
from vesalius.ops._stencils import corner_slopes, determinant
from vesalius.register import _variational
from vesalius.register._level import make_level
from vesalius.register._mse import MeanSquare
from vesalius.register._plan import Lbfgs, Scale, Stage
from vesalius.register._watch import Watch
from vesalius.register.fields import FreeForm
from vesalius.register.regularise import Bending, Regulariser, VolumePreserving

GRID = Grid.from_spacing((12, 12, 12), (2.5, 2.5, 2.5))


def ball(radius_mm: float) -> Image:
    z, y, x = torch.meshgrid(*[(torch.arange(12.0) - 5.5) * 2.5] * 3, indexing="ij")
    r = (z**2 + y**2 + x**2).sqrt()
    return Image(torch.sigmoid((radius_mm - r) / 1.0)[None], GRID)


def measured_ratio(regularisers: tuple[Regulariser, ...]) -> float:
    """Register a ball of 10 mm to one of 8 mm; give the volume ratio that the map says."""
    fixed, moving = ball(10.0), ball(8.0)
    plan = Stage(FreeForm(8.0), MeanSquare(), Lbfgs(), (Scale(2.5, 20),), regularisers)
    level = make_level(fixed, moving, 2.5, start=Linear.identity())
    found = _variational.solve((level,), plan, Watch())
    flow = found.to_field(GRID).flow()
    change = torch.stack([determinant(s) for s in corner_slopes(flow, (1, 1, 1))]).mean(dim=0)
    inside = fixed.data[0, :-1, :-1, :-1] > 0.5
    return float(change[inside].mean())


def test_holding_volumes_hides_that_a_ball_shrinks():
    true = (8.0 / 10.0) ** 3
    free = measured_ratio((Bending(0.01),))
    held = measured_ratio((Bending(0.01), VolumePreserving(ball(12.0), 0.2)))
    assert abs(free - true) < 0.1
    assert held - true > 0.15

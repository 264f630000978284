"""Real slices of two brains: demons and free-form fields bring labels together without folds."""

import pytest
import torch

from vesalius import io
from vesalius.core import Image, Labels, Linear, resample_labels
from vesalius.ops._stencils import corner_slopes, determinant
from vesalius.register import _demons, _variational
from vesalius.register._gaussian import Gaussian
from vesalius.register._level import make_level
from vesalius.register._local_ncc import LocalNcc
from vesalius.register._mse import MeanSquare
from vesalius.register._plan import Demons, Lbfgs, Scale, Stage
from vesalius.register._watch import Watch
from vesalius.register.fields import FreeForm
from vesalius.register.regularise import Bending

SCALES = (Scale(4.0, 40), Scale(2.0, 30), Scale(0.0, 10))


def slices(folder, number: int) -> tuple[Image, Labels]:
    """Read one slice and its labels, on the grid of the slice."""
    base = folder / "registration" / "brain2d_dkt" / f"OASIS-TRT-20-{number}"
    image = io.open(f"{base}_slice118.nii.gz").read().map(lambda x: x.float())
    labels = io.open(f"{base}_labels.nii.gz").read()
    return image, Labels(labels.data.to(torch.int32), image.grid)


def overlap(fixed: Labels, moving: Labels) -> float:
    """Give the mean Dice of all labels that either has."""
    a, b = fixed.data, moving.data
    names = sorted((set(a.unique().tolist()) | set(b.unique().tolist())) - {0})
    parts = [
        2 * float(((a == n) & (b == n)).sum()) / float((a == n).sum() + (b == n).sum())
        for n in names
    ]
    return sum(parts) / len(parts)


@pytest.mark.parametrize("method", ["demons", "free form"])
def test_labels_of_two_brains_come_together(method, data_dir):
    (fixed, fixed_labels), (moving, moving_labels) = slices(data_dir, 1), slices(data_dir, 2)
    levels = tuple(make_level(fixed, moving, s.spacing_mm, start=Linear.identity()) for s in SCALES)
    if method == "demons":
        optimiser = Demons(total=Gaussian(sigma=1.1), match=True)
        plan = Stage("displacement", MeanSquare(), optimiser, SCALES)
        found = _demons.solve(levels, plan, Watch())
    else:
        plan = Stage(FreeForm(10.0), LocalNcc(3), Lbfgs(), SCALES, (Bending(30.0),))
        found = _variational.solve(levels, plan, Watch())
    before = overlap(fixed_labels, resample_labels(moving_labels, fixed.grid))
    after = overlap(fixed_labels, resample_labels(moving_labels, fixed.grid, transform=found))
    flow = found.to_field(fixed.grid).flow()
    volumes = torch.stack([determinant(s) for s in corner_slopes(flow, (1, 1, 1))])
    assert after > before + 0.05, (before, after)
    assert float(volumes.amin()) > 0

"""Dense conditional random field: labels that agree with all voxels near in place and value."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import final

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from vesalius.core import Image, Labels, Step
from vesalius.errors import ConfigError, GeometryError, ShapeError
from vesalius.graph import fit_mixture
from vesalius.ops import gaussian
from vesalius.ops._permutohedral import permutohedral
from vesalius.segment._appearance import log_likelihoods, marked
from vesalius.segment._hints import Hints
from vesalius.segment._method import Method, OnStep
from vesalius.segment._one_channel import finest_mm
from vesalius.segment._segmentation import Curve, Segmentation
from vesalius.segment._voxels import Voxels, check_count, drawn, voxels

Kernel = Callable[[Tensor], Tensor]

_SURE = 1e-4
"""Probability left to the classes that a person did not mark."""


@final
@dataclass(frozen=True, slots=True)
class DenseCrf(Method):
    """Sharpen a first labelling: every pair of voxels near in place and value should agree.

    The first labelling comes from the values of each class, learned from marks or from a first
    segmentation (``hints.start``, believed as far as ``trust`` says), else from a mixture of
    normal densities. Each voxel then hears all others, by two kernels: near in place, and near
    in place and value. A few rounds of the mean field settle it.

    Lengths are in units of the finest spacing and isotropic in the world.

    Attributes:
        smooth_weight: Of the kernel in place alone; removes specks.
        smooth_voxel: Its standard deviation, finest spacings.
        edge_weight: Of the kernel in place and value; moves contours onto edges.
        edge_voxel: Its standard deviation in place, finest spacings.
        edge_sd: Its standard deviation in value, in standard deviations of the image.
        trust: Probability that the first segmentation is right at a voxel, from 0 to 1.
        count: Classes where nothing is marked, the darkest is 0.
        steps: Rounds.
    """

    smooth_weight: float = 1.0
    smooth_voxel: float = 1.0
    edge_weight: float = 3.0
    edge_voxel: float = 10.0
    edge_sd: float = 0.3
    trust: float = 0.6
    count: int = 2
    steps: int = 10

    def __post_init__(self) -> None:
        positive = min(self.smooth_voxel, self.edge_voxel, self.edge_sd)
        if not positive > 0 or not min(self.smooth_weight, self.edge_weight) >= 0:
            raise ConfigError(
                "smooth_voxel, edge_voxel and edge_sd must be positive and weights at least 0, "
                f"got {self}"
            )
        if not 0 < self.trust < 1 or self.steps < 1:
            raise ConfigError(
                "trust must lie between 0 and 1 and steps be at least 1, "
                f"got {self.trust} and {self.steps}"
            )

    def apply(self, image: Image, hints: Hints, on_step: OnStep | None = None) -> Segmentation:
        """Segment one image; see :class:`Method`."""
        points = voxels(image, hints)
        log_p, names = _beliefs(points, hints, self)
        share, moved = _mean_field(points, log_p, self, on_step)
        values = torch.tensor(names, device=share.device)
        rounds = torch.arange(1, len(moved) + 1, dtype=torch.float64)
        change = torch.tensor(moved, dtype=torch.float64)
        return Segmentation(
            points.painted(values[share.argmax(dim=1)], dtype=torch.int32),
            maps={"probability": points.stack(share)},
            curves=(Curve("Change of the mean field", rounds, change, "round", "mean change"),),
            values={"last change": moved[-1]},
            settings={"method": "DenseCrf", **asdict(self)},
        )


def sharpen(
    probability: Image, image: Image, crf: DenseCrf, *, mask: Labels | None = None
) -> Image:
    """Sharpen the class probabilities of any method by the image that they belong to.

    Args:
        probability: A channel per class; they need not add up to 1.
        image: On the same grid.
        crf: Kernels and rounds; ``trust`` and ``count`` are not used.
        mask: Where to work; everywhere where none is given.

    Returns:
        Probabilities that add up to 1 inside the mask, 0 outside; float32.

    Raises:
        GeometryError: The grids differ.
        ShapeError: There are fewer than two classes.
    """
    if probability.grid.shape != image.grid.shape or not torch.allclose(
        probability.grid.affine, image.grid.affine
    ):
        raise GeometryError(
            "probabilities must lie on the grid of the image: use core.resample(probability, "
            "like=image.grid)"
        )
    if probability.data.shape[0] < 2:
        raise ShapeError(
            "probability must have a channel for each of two classes or more, got one: "
            "torch.cat([1 - p, p])"
        )
    points = voxels(image, Hints(mask=mask))
    tiny = torch.finfo(torch.float32).tiny
    log_p = probability.data[:, points.inside].T.double().clamp_min(tiny).log()
    return points.stack(_mean_field(points, log_p, crf, None)[0])


def _beliefs(points: Voxels, hints: Hints, crf: DenseCrf) -> tuple[Tensor, tuple[int, ...]]:
    """Log probabilities of the classes at each voxel, and what the classes are called."""
    known = marked(points, hints)
    enough = [int((known.hard == k).sum()) >= 10 for k in range(len(known.names))]
    learned = known.hard if len(enough) > 1 and all(enough) else known.soft
    if len(known.names) < 2 or not bool((learned >= 0).any()):
        return _from_mixture(points, crf.count)
    count = len(known.names)
    log_p = log_likelihoods(points.scaled, learned, count=count, components=3)
    for k in range(count):
        doubt = torch.full_like(log_p[:, k], (1 - crf.trust) / (count - 1))
        sure = torch.where(known.soft == k, torch.full_like(doubt, crf.trust), doubt)
        log_p[:, k] += torch.where(known.soft >= 0, sure.log(), torch.zeros_like(sure))
    log_p = torch.log_softmax(log_p, dim=1)
    told = known.hard >= 0
    log_p[told] = torch.log(torch.tensor(_SURE)).item()
    log_p[told, known.hard[told]] = 0.0
    return log_p, known.names


def _from_mixture(points: Voxels, count: int) -> tuple[Tensor, tuple[int, ...]]:
    check_count(count, "count, the number of classes,")
    rows, generator = drawn(len(points.scaled), 100_000)
    model = fit_mixture(points.scaled[rows.to(points.scaled.device)], count, generator=generator)
    order = torch.argsort(model.means[:, 0], stable=True)
    return torch.log_softmax(model.log_joint(points.scaled), dim=1)[:, order], tuple(range(count))


def _mean_field(
    points: Voxels, log_p: Float[Tensor, "n k"], crf: DenseCrf, on_step: OnStep | None
) -> tuple[Tensor, list[float]]:
    """Settle the mean field; gives the probabilities and the mean change of each round.

    References:
        Krähenbühl & Koltun (2011), arXiv:1210.5644, algorithm 1, with a Potts compatibility.
        Differs from it in: both kernels are normalised symmetrically (D^-1/2 K D^-1/2), and a
        voxel hears itself, as in the authors' later code; a weight is therefore the most that
        all others together can say.
    """
    near = _smoother(points, crf)
    alike = _bilateral(points, crf)
    share = torch.softmax(log_p, dim=1).float()
    moved: list[float] = []
    for done in range(1, crf.steps + 1):
        heard = crf.smooth_weight * near(share) + crf.edge_weight * alike(share)
        after = torch.softmax(log_p + heard, dim=1).float()
        moved.append(float((after - share).abs().mean()))
        share = after
        if on_step is not None:
            on_step(Step("mean field", done, crf.steps))
    return share, moved


def _smoother(points: Voxels, crf: DenseCrf) -> Kernel:
    """Give the kernel in place alone, by a separable Gaussian."""
    unit = finest_mm(points.image.grid) * crf.smooth_voxel
    z, y, x = (unit / mm for mm in points.image.grid.spacing_mm)
    inside: Bool[Tensor, "z y x"] = points.inside

    def kernel(rows: Tensor) -> Tensor:
        return gaussian(points.stack(rows).data, (z, y, x))[:, inside].T

    return _normalised(kernel, rows=torch.ones(len(points.values), 1, device=inside.device))


def _bilateral(points: Voxels, crf: DenseCrf) -> Kernel:
    """Give the kernel in place and value, on the permutohedral lattice."""
    grid = points.image.grid
    place = torch.nonzero(points.inside).double()
    unit = finest_mm(points.image.grid) * crf.edge_voxel
    felt = [axis for axis in range(3) if grid.shape[axis] > 1]
    columns = [place[:, axis] * (grid.spacing_mm[axis] / unit) for axis in felt]
    features = torch.cat([*(c[:, None] for c in columns), points.scaled / crf.edge_sd], dim=1)
    lattice = permutohedral(features)
    return _normalised(
        lattice.blur, rows=torch.ones(len(points.values), 1, device=points.inside.device)
    )


def _normalised(kernel: Kernel, *, rows: Tensor) -> Kernel:
    """Make D^-1/2 K D^-1/2 of a kernel K, D the sums of its rows."""
    root = kernel(rows).clamp_min(1e-20).rsqrt()
    return lambda share: root * kernel(root * share)

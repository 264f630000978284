"""Classes by value alone: k-means and Gaussian mixtures of the voxels' channels."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import final

import torch
from torch import Tensor

from vesalius.core import Image, Step
from vesalius.graph import Fitting, fit_mixture, kmeans
from vesalius.graph._kmeans import nearest
from vesalius.graph._mixture import Covariance
from vesalius.segment._hints import Hints
from vesalius.segment._method import Method, OnStep
from vesalius.segment._segmentation import Curve, Segmentation
from vesalius.segment._voxels import Ground, Voxels, by_brightness, check_count, drawn, voxels


@final
@dataclass(frozen=True, slots=True)
class KMeans(Method):
    """Group voxels by value: each joins the class with the nearest mean.

    Channels are brought to equal spread first. Classes are numbered from dark to bright by their
    first channel. Place counts for nothing: noise gives single voxels of another class.

    Attributes:
        count: Classes, the ground among them.
        ground: Which class is 0: the darkest, the brightest, or none.
        sample: Voxels at most by which the means are found; all of them are labelled.
        steps: Rounds at most.
    """

    count: int = 2
    ground: Ground = "dark"
    sample: int = 1_000_000
    steps: int = 100

    def apply(self, image: Image, hints: Hints, on_step: OnStep | None = None) -> Segmentation:
        """Segment one image; see :class:`Method`."""
        check_count(self.count, "count, the number of classes,")
        points = voxels(image, hints)
        rows, generator = drawn(len(points.scaled), self.sample)
        groups = kmeans(
            points.scaled[rows.to(points.scaled.device)],
            self.count,
            generator=generator,
            steps=self.steps,
        )
        labels = nearest(points.scaled, groups.centres)
        if on_step is not None:
            on_step(Step("k-means", 1, 1))
        labels = by_brightness(labels, points.values, self.ground)
        return Segmentation(
            points.painted(labels),
            curves=(_histogram(points, labels),),
            values={"inertia": groups.inertia, "steps": float(groups.steps)},
            settings={"method": "KMeans", **asdict(self)},
        )


@final
@dataclass(frozen=True, slots=True)
class GaussianMixture(Method):
    """Group voxels by value: each class is a normal density, each voxel joins the likeliest.

    Unlike k-means, classes may differ in spread and size. Gives the probabilities as a map.

    Attributes:
        count: Classes, the ground among them.
        ground: Which class is 0: the darkest, the brightest, or none.
        covariance: Of the channels in each class.
        sample: Voxels at most that the densities are fitted to; all of them are labelled.
        steps: Rounds at most.
    """

    count: int = 2
    ground: Ground = "dark"
    covariance: Covariance = "full"
    sample: int = 100_000
    steps: int = 100

    def apply(self, image: Image, hints: Hints, on_step: OnStep | None = None) -> Segmentation:
        """Segment one image; see :class:`Method`."""
        check_count(self.count, "count, the number of classes,")
        points = voxels(image, hints)
        rows, generator = drawn(len(points.scaled), self.sample)
        model = fit_mixture(
            points.scaled[rows.to(points.scaled.device)],
            self.count,
            generator=generator,
            fitting=Fitting(self.covariance, steps=self.steps),
        )
        order = torch.argsort(model.means[:, 0], descending=self.ground == "bright", stable=True)
        share = model.posterior(points.scaled)[:, order]
        if on_step is not None:
            on_step(Step("mixture", 1, 1))
        labels = share.argmax(dim=1) + (1 if self.ground == "none" else 0)
        rounds = torch.tensor(model.log_likelihoods, dtype=torch.float64)
        curve = Curve(
            "Likelihood of the mixture",
            torch.arange(1, len(rounds) + 1, dtype=torch.float64),
            rounds,
            "round",
            "mean log density",
            (float(len(rounds)),),
        )
        return Segmentation(
            points.painted(labels),
            maps={"probability": points.stack(share)},
            curves=(curve,),
            values={"log likelihood": model.log_likelihoods[-1], "steps": float(len(rounds))},
            settings={"method": "GaussianMixture", **asdict(self)},
        )


def _histogram(points: Voxels, labels: Tensor) -> Curve:
    """Give the histogram of the first channel, marked halfway between neighbouring classes."""
    values = points.values[:, 0].cpu()
    low, high = float(values.min()), float(values.max())
    bins = 256
    width = (high - low) / bins or 1.0
    counts = torch.bincount(((values - low) / width).long().clamp(0, bins - 1), minlength=bins)
    centres = low + width * (torch.arange(bins, dtype=torch.float64) + 0.5)
    sizes = torch.bincount(labels.cpu())
    sums = torch.bincount(labels.cpu(), weights=values)
    means = sorted((sums[sizes > 0] / sizes[sizes > 0]).tolist())
    marks = tuple(0.5 * (a + b) for a, b in pairwise(means))
    unit = points.image.unit
    return Curve("Values and classes", centres, counts.double(), f"value, {unit}", "voxels", marks)

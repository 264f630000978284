"""Star head: how far the border lies along rays from each sample, and the odds of its object."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float, Int32, Integer
from torch import Tensor, nn

from vesalius.errors import ConfigError, ShapeError
from vesalius.ops._object_boxes import object_boxes
from vesalius.ops._star_distances import edge_shares, ray_directions, star_distances
from vesalius.ops._star_objects import peaks, star_objects, star_polygons
from vesalius.segment._flow_head import found_share
from vesalius.segment._head import Head, Outputs, Targets, Turned, Weights

GAIN = 8.0
"""Samples of distance for 1 in the outputs, so that outputs are about 1."""
DISTANCE_WEIGHT = 0.2
"""Weight of a sample of error in the distances, beside the cross-entropy."""


@final
@dataclass(frozen=True, slots=True)
class StarHead(Head):
    """Objects as star-convex polygons: ``rays`` distances, and one logit of being in the middle.

    For objects of which one sample sees the whole border, as round nuclei; others lose what is
    hidden: use flows for those, and for volumes.

    What training compares outputs with is made after the augmentation, from the moved objects
    (:meth:`turned`): distances are then as exact as without it. Where an object is cut by the
    border of a patch, rays that leave the patch teach only that the object reaches so far.

    Attributes:
        dims: Spatial axes; 2.
        rays: Distances of each sample, an even number.
        probability: Polygons are made about peaks of the probability above this.
        overlap: Polygons are left out of which more than this share is taken by likelier ones.
        least_size: Objects of fewer samples are left out.

    Raises:
        ConfigError: ``dims`` is not 2, or a number is out of range.

    References:
        Schmidt et al. (2018), doi:10.1007/978-3-030-00934-2_30. Differs from it in: a ray that
        leaves the patch is a lower bound, not a distance; only peaks of the probability are
        candidates; overlaps are counted in samples (see ``ops``' star objects).
    """

    dims: int = 2
    rays: int = 32
    probability: float = 0.5
    overlap: float = 0.4
    least_size: int = 15

    def __post_init__(self) -> None:
        if self.dims != 2:
            raise ConfigError(
                f"stars are polygons in 2 axes, the images have {self.dims}: learn volumes by "
                "flows (--task flows)"
            )
        if not (0 < self.probability < 1 and 0 <= self.overlap <= 1) or self.least_size < 1:
            raise ConfigError(
                "stars need a probability between 0 and 1, an overlap from 0 to 1 and a least "
                f"size of at least 1, got {self.probability}, {self.overlap} and {self.least_size}"
            )
        ray_directions(self.rays)  # refuses an odd number

    @property
    def outputs(self) -> int:
        """Distances, and the logit."""
        return self.rays + 1

    def targets(
        self, labels: Integer[Tensor, "z y x"], spacing: tuple[float, float, float]
    ) -> Float[Tensor, "t z y x"]:
        """Give what :meth:`turned` makes distances of: the object of each sample and its depth.

        Args:
            labels: An object per value, one slice; -1 where the truth is not known.
            spacing: Not used: distances are in samples.

        Returns:
            (2, 1, y, x): 0 where nothing is known, 1 outside, from 2 on an object each; then the
            distance to the border of the object as a share of the largest in the object. Move them
            by ``nearest``, with 0 beyond the border.

        Raises:
            ShapeError: There are several slices.
        """
        if labels.shape[0] != 1:
            raise ShapeError(f"stars need labels of one slice, got {tuple(labels.shape)}")
        numbers = torch.from_numpy(object_boxes(labels).numbers) + 1
        codes = torch.where(labels.cpu() < 0, 0, numbers).float()
        return torch.stack([codes, edge_shares(labels[0])[None]])

    def turned(self, targets: Targets, matrix: Float[Tensor, "batch d d"]) -> Turned:
        """Measure the distances of the moved objects.

        Args:
            targets: From :meth:`targets`, already sampled at the new places.
            matrix: Not used: objects are measured as they are now.

        Returns:
            (batch, rays + 1, y, x): distances, samples, negative where the object reaches at least
            as far; then the probability.

        Raises:
            ShapeError: The targets have other axes or channels.
        """
        if targets.ndim != 4 or targets.shape[1] != 2:
            raise ShapeError(
                f"targets of stars must have shape (batch, 2, y, x), got {tuple(targets.shape)}"
            )
        codes = targets[:, 0].round().to(torch.int64).cpu()
        far = torch.stack([star_distances(one, self.rays) for one in codes])
        return torch.cat([far.to(targets), targets[:, 1:]], dim=1)

    def loss(self, outputs: Outputs, targets: Targets, weight: Weights) -> Float[Tensor, ""]:
        """Cross-entropy of the logit, and the absolute error of distances in the middle of objects.

        Args:
            outputs: (batch, rays + 1, y, x).
            targets: From :meth:`turned`.
            weight: 0 where the truth is not known.
        """
        n = self.rays
        likely = targets[:, n:]
        entropy = nn.functional.binary_cross_entropy_with_logits(
            outputs[:, n:].float(), likely, weight=weight, reduction="sum"
        )
        far = targets[:, :n]
        error = far.abs() - GAIN * outputs[:, :n].float()
        # beyond a border that was not seen, any distance may be true
        error = torch.where(far < 0, error.clamp_min(0), error.abs())
        middle = weight * likely
        mean = (middle * error).sum() / (n * middle.sum()).clamp_min(1.0)
        return entropy / weight.sum().clamp_min(1.0) + DISTANCE_WEIGHT * mean

    def decode(
        self, outputs: Float[Tensor, "k z y x"], spacing: tuple[float, float, float]
    ) -> Int32[Tensor, "z y x"]:
        """Draw the polygons of likely samples, the likeliest first.

        Args:
            outputs: Of the network, (rays + 1, 1, y, x).
            spacing: Not used: distances are in samples.

        Returns:
            Objects from 1 on, the likeliest first.
        """
        distances, likely = self.parts(outputs)
        at = peaks(likely, self.probability)
        polygons = star_polygons(at.nonzero().float(), distances[:, at].T)
        y, x = at.shape
        found = star_objects(
            polygons, likely[at], (y, x), overlap=self.overlap, least_size=self.least_size
        )
        return found.labels[None]

    def parts(
        self, outputs: Float[Tensor, "k z y x"]
    ) -> tuple[Float[Tensor, "rays y x"], Float[Tensor, "y x"]]:
        """Split outputs of one slice into distances, samples, and the probability.

        Raises:
            ShapeError: The number of channels is not the head's, or there are several slices.
        """
        if len(outputs) != self.outputs or outputs.shape[1] != 1:
            raise ShapeError(
                f"a star head has {self.outputs} outputs of one slice, got {tuple(outputs.shape)}"
            )
        plane = outputs[:, 0].float()
        return GAIN * plane[: self.rays], torch.sigmoid(plane[self.rays])

    def mirrored(
        self, outputs: Float[Tensor, "batch k *space"], axes: list[int]
    ) -> Float[Tensor, "batch k *space"]:
        """Bring outputs for a mirrored image back: places are turned already, rays are not.

        Args:
            outputs: Of the network, flipped back.
            axes: That were mirrored, 0 for y, 1 for x.
        """
        k = torch.arange(self.rays, device=outputs.device)
        for axis in axes:
            k = (-k if axis == 0 else self.rays // 2 - k) % self.rays
        order = torch.cat([k, k.new_tensor([self.rays])])
        return outputs[:, order]

    def score(self, found: Integer[Tensor, "z y x"], truth: Integer[Tensor, "z y x"]) -> float:
        """Give the average precision at an IoU of .5.

        Args:
            found: Decoded.
            truth: -1 where it is not known, which counts for nothing.
        """
        return found_share(torch.where(truth < 0, 0, found), truth.clamp_min(0))

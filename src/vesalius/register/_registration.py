"""Registration: what a search found, and how to use and judge it."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass
from typing import Literal, final

from vesalius.core import Grid, Image, Labels, Points, Transform, resample, resample_labels
from vesalius.register._plan import Plan
from vesalius.register._report import RegistrationReport
from vesalius.register._watch import Entry

AIR_HU = -1000.0


@final
@dataclass(frozen=True, slots=True, eq=False)
class Registration:
    """What came of a registration.

    Attributes:
        transform: Fixed world to moving world, mm, LPS: it maps fixed POINTS to moving points, and
            pulls the moving IMAGE onto the fixed grid.
        fixed: The fixed image, as it was given.
        moving: The moving image, as it was given.
        start: The transform that the search began from.
        plan: What was searched for, and how; None where landmarks alone decided.
        history: The loss at every step.
        seconds: Wall time of the search.
        remarks: What must be known before the result is used.
    """

    transform: Transform
    fixed: Image
    moving: Image
    start: Transform
    plan: Plan | None = None
    history: tuple[Entry, ...] = ()
    seconds: float = 0.0
    remarks: tuple[str, ...] = ()

    @property
    def inverse(self) -> Transform:
        """Moving world to fixed world, mm, LPS; computed at each call."""
        return self.transform.inverse()

    @property
    def warped(self) -> Image:
        """The moving image on the fixed grid, by linear interpolation; see ``pull``."""
        return self.pull(self.moving)

    def pull(self, image: Image) -> Image:
        """Bring any image of the moving world onto the fixed grid.

        Args:
            image: In the moving world; integers become float32.

        Returns:
            On the grid of the fixed image; outside the field of view 0, or for HU that of air.
        """
        return pull(image, self.fixed.grid, self.transform)

    def pull_labels(self, labels: Labels) -> Labels:
        """Bring labels of the moving world onto the fixed grid, by nearest voxel."""
        return resample_labels(labels, self.fixed.grid, transform=self.transform)

    def evaluate(
        self,
        *,
        labels: tuple[Labels, Labels] | None = None,
        landmarks: tuple[Points, Points] | None = None,
        mask: Image | None = None,
    ) -> "RegistrationReport":
        """Judge the result.

        Args:
            labels: Structures of the (fixed, moving) image, by the same values.
            landmarks: The same places in the (fixed, moving) world.
            mask: Where folds and similarity are looked at, above 0.5 on the fixed grid; the empty
                space around a patient makes a deformation look smoother than it is.

        Returns:
            Overlap, surface distances, landmark errors, folds, inverse consistency and the
            similarity, each before and after.
        """
        from vesalius.register._evaluate import evaluate

        return evaluate(self, labels=labels, landmarks=landmarks, mask=mask)


def pull(
    image: Image,
    like: Grid,
    transform: Transform,
    *,
    interpolation: Literal["linear", "cubic"] = "linear",
) -> Image:
    """Bring an image of the moving world onto a grid of the fixed one.

    Args:
        image: In the moving world; integers become float32.
        like: In the fixed world.
        transform: Fixed world to moving world.
        interpolation: See ``resample``.

    Returns:
        On ``like``; outside the field of view 0, or -1000 where the unit is HU.
    """
    floats = image if image.data.is_floating_point() else image.map(lambda x: x.float())
    outside = AIR_HU if image.unit == "HU" else 0.0
    return resample(floats, like, transform=transform, interpolation=interpolation, fill=outside)

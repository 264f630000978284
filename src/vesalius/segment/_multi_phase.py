"""Up to four regions of nearly constant value by two level sets."""
# SPDX-License-Identifier: Apache-2.0

import math
from dataclasses import dataclass
from typing import final

from jaxtyping import Float
from torch import Tensor

from vesalius.core import Image, Labels
from vesalius.errors import ConfigError
from vesalius.ops._multi_phase import (
    FourPhases,
    multi_phase,
    nearest_of_four,
    signs_of,
)
from vesalius.segment._contour_start import energy_curve, listener, painted
from vesalius.segment._hints import Hints
from vesalius.segment._method import Method, OnStep
from vesalius.segment._one_channel import (
    one_channel,
    orthogonal_spacing,
    settings_of,
    where_to_work,
)
from vesalius.segment._segmentation import Segmentation


@final
@dataclass(frozen=True, slots=True)
class MultiPhase(Method):
    """Part an image into up to four regions of nearly constant value with short contours between.

    Two level sets part four regions, which may meet in triple points and lie in one another.
    Label 0 is the darkest region, then upwards; a region that vanishes has no label. Not where
    fewer kinds of tissue are known to be there: ``ChanVese`` for two.

    It starts from ``hints.start`` with values up to 3, without it from four classes of value.

    Attributes:
        weight: Of the contours' length, in samples of the finest axis, for values of unit
            spread; larger is smoother.
        steps: Largest number of steps.
        tol: Stops where the level sets change by less near the contours.
        time_step: Of one step; larger is faster and coarser.

    References:
        Vese and Chan (2002), doi:10.1023/A:1020874308076; see ``ops._multi_phase`` for
        deviations.
    """

    weight: float = 0.1
    steps: int = 200
    tol: float = 1e-3
    time_step: float = 1.0

    def apply(self, image: Image, hints: Hints, on_step: OnStep | None = None) -> Segmentation:
        """Segment one image; see ``Method.apply``."""
        x = one_channel(image, "MultiPhase")
        phases = FourPhases(self.weight, self.time_step, steps=self.steps, tol=self.tol)
        mask = where_to_work(hints)
        found = multi_phase(
            x,
            signs_of(nearest_of_four(x, mask)) if hints.start is None else _regions(hints.start),
            orthogonal_spacing(image.grid, "MultiPhase"),
            phases=phases,
            mask=mask,
            on_step=listener("four phases", on_step, self.steps),
        )
        means = {k: m for k, m in enumerate(found.means) if not math.isnan(m)}
        values = {f"mean of region {k}": m for k, m in means.items()}
        values |= {"energy": found.energies[-1], "steps": float(len(found.energies))}
        late = f"the contours still moved after {self.steps} steps: allow more"
        return Segmentation(
            painted(found.region, image, {k: f"region {k}" for k in means if k}),
            curves=(energy_curve("Four phases", found.energies, "energy per voxel"),),
            values=values,
            remarks=() if found.settled else (late,),
            settings=settings_of(self),
        )


def _regions(start: Labels) -> Float[Tensor, "2 z y x"]:
    """Read the first regions from a segmentation."""
    data = start.data.detach().cpu().long()
    if data.shape[0] != 1 or not 0 <= int(data.min()) <= int(data.max()) <= 3:
        raise ConfigError(
            "start must have one layer with values from 0 to 3, one for each region, got "
            f"{data.shape[0]} layers with values from {int(data.min())} to {int(data.max())}"
        )
    return signs_of(data[0])

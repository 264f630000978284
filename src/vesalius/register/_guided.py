"""Guided: free-form stages, which labels and landmarks can pull."""
# SPDX-License-Identifier: Apache-2.0

from vesalius.core import Grid
from vesalius.errors import ConfigError
from vesalius.register._bending import Bending
from vesalius.register._free_form import FreeForm
from vesalius.register._plan import Adam, Demons, Lbfgs, Scale, Stage
from vesalius.register._similarity import Similarity

APART = 4.0  # finest samples from one control point to the next, under guides
WIDE = 8.0  # the same, of the preset: bends wider than its windows' noise
STIFF = 2.5  # weight of the bending energy, squared finest samples


def guided(stage: Stage, grid: Grid) -> Stage:
    """Make the stage that follows guides in place of one that cannot.

    Greedy steps are scaled to one longest vector, and a few landmarks would not be heard among
    all voxels. A free-form deformation with bending energy spreads their pull, and one loss
    weighs them against the images.

    Args:
        stage: A deformable stage; what Lbfgs or Adam search is kept as it is.
        grid: Of the fixed image.

    Returns:
        A stage with the same similarity, scales and steps.

    Raises:
        ConfigError: The stage is one of demons.
    """
    if isinstance(stage.optimiser, Lbfgs | Adam):
        return stage
    if isinstance(stage.optimiser, Demons):
        raise ConfigError(
            "demons follow images alone, got labels or landmarks to follow: use Greedy, Lbfgs or "
            "Adam"
        )
    own = min(s for s, n in zip(grid.spacing_mm, grid.shape, strict=True) if n > 1)
    finest = max(own, min(scale.spacing_mm for scale in stage.scales))
    scales = tuple(Scale(s.spacing_mm, max(10, s.steps // 2)) for s in stage.scales)
    return free_form_stage(stage.similarity, scales, finest, apart=APART)


def free_form_stage(
    similarity: Similarity, scales: tuple[Scale, ...], finest_mm: float, *, apart: float = WIDE
) -> Stage:
    """Make a search of B-spline free-form deformations with bending energy.

    Args:
        similarity: The loss.
        scales: Coarse to fine.
        finest_mm: Spacing of the last one.
        apart: Finest samples from one control point to the next.

    Returns:
        The stage.
    """
    return Stage(
        FreeForm(apart * finest_mm),
        similarity,
        Lbfgs(),
        scales,
        (Bending(STIFF * finest_mm**2),),
    )

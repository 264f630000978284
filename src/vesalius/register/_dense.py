"""Dense: deformations with a vector at each voxel, searched greedily."""
# SPDX-License-Identifier: Apache-2.0

from vesalius.core import Transform
from vesalius.errors import ConfigError
from vesalius.register._greedy import greedy_displacement
from vesalius.register._level import Level
from vesalius.register._log_domain import greedy_velocity
from vesalius.register._plan import Greedy, Stage
from vesalius.register._watch import Watch


def solve(levels: tuple[Level, ...], stage: Stage, watch: Watch) -> Transform:
    """Search a dense deformation by greedy descent, coarse to fine.

    Args:
        levels: One for each scale of the stage.
        stage: Model ``"displacement"``, ``"velocity"`` or ``"symmetric"``; optimiser ``Greedy``.
        watch: Told of each step.

    Returns:
        Fixed world to fixed world; comes before the start transform.

    Raises:
        ConfigError: Another model or optimiser.
    """
    optimiser = stage.optimiser
    if not isinstance(optimiser, Greedy):
        raise ConfigError(f"greedy descent needs optimiser Greedy, got {type(optimiser).__name__}")
    if stage.model == "displacement":
        return greedy_displacement(levels, stage, watch, optimiser)
    if stage.model in ("velocity", "symmetric"):
        return greedy_velocity(levels, stage, watch, optimiser)
    raise ConfigError(
        "greedy descent searches displacement, velocity or symmetric, got model "
        f"{stage.model!r}: give bases and linear models another optimiser"
    )

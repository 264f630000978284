"""Plan: how a federated model is trained, as all hospitals can read it beforehand."""
# SPDX-License-Identifier: Apache-2.0

import math
from dataclasses import dataclass, field
from typing import Any, Literal, final

from vesalius.errors import ConfigError
from vesalius.predict._private import Privacy
from vesalius.predict._typed import plain, typed

Method = Literal["gradient", "newton", "fedavg", "fedprox"]


@final
@dataclass(frozen=True, slots=True)
class Plan:
    """How a model is trained.

    Attributes:
        method: Exact: ``gradient`` (L-BFGS on summed gradients) or ``newton`` (summed matrices,
            few rounds, refused where they would tell too much). Averages of local models:
            ``fedavg`` and ``fedprox``.
        features: What it learns from; empty takes those of the clients, which must agree.
        weight: L2 penalty of the mean log loss; scikit-learn's ``C`` is 1 / (weight * cases).
        rounds: At most.
        tol: Largest entry of the gradient of the mean loss, below which training ends; for
            averages the largest change of a weight in a round.
        local_steps: Between two averages.
        proximal: Pull towards the common weights, for ``fedprox``.
        rate: Length of a local step; 0 takes one over the largest curvature, which clients tell.
        decay: Step lengths fall as 1 / (1 + decay * round), without which averages of many local
            steps end beside the optimum.
        scaling: ``federated`` standardises by the exact means and spreads of all cases;
            ``given`` takes features as they are, which privacy needs.
        secure: Whether sums are masked.
        privacy: Noise, and on what.

    Raises:
        ConfigError: Settings are out of range or exclude each other.
    """

    method: Method = "gradient"
    features: tuple[str, ...] = ()
    weight: float = 0.1
    rounds: int = 1000
    tol: float = 1e-8
    local_steps: int = 1
    proximal: float = 0.0
    rate: float = 0.0
    decay: float = 0.0
    scaling: Literal["federated", "given"] = "federated"
    secure: bool = False
    privacy: Privacy = field(default_factory=Privacy)

    def __post_init__(self) -> None:
        numbers = (self.weight, self.tol, self.proximal, self.rate, self.decay)
        if not all(map(math.isfinite, numbers)):
            raise ConfigError(
                f"weight, tol, proximal, rate and decay of a plan must be finite, got {numbers}: "
                "begin with Plan()"
            )
        if not (self.weight > 0 and self.tol > 0 and self.rounds >= 1 and self.local_steps >= 1):
            raise ConfigError(
                "a plan must have weight > 0, tol > 0, a round and a local step, got "
                f"{self.weight}, {self.tol}, {self.rounds} and {self.local_steps}: begin with "
                "Plan()"
            )
        if min(self.proximal, self.decay) < 0 or (self.method == "fedprox") != (self.proximal > 0):
            raise ConfigError(
                f"proximal must be positive for fedprox and 0 else, decay not negative, got "
                f"{self.proximal} and {self.decay} for {self.method}: begin with proximal=0.1"
            )
        if self.rate < 0 or (self.privacy.level == "client" and self.rate == 0):
            raise ConfigError(
                f"rate must not be negative, and given where a client is private, got {self.rate}: "
                "a curvature would tell of it; begin with rate=0.1"
            )
        wanted = {"none": self.method, "record": "gradient", "client": "fedavg"}
        if wanted[self.privacy.level] != self.method and not (
            self.privacy.level == "client" and self.method == "fedprox"
        ):
            raise ConfigError(
                f'privacy of a {self.privacy.level} must have method="'
                f'{wanted[self.privacy.level]}", got {self.method!r}: change one of them'
            )
        if self.privacy.level != "none" and self.scaling != "given":
            raise ConfigError(
                'privacy must have scaling="given", got "federated": exact means would tell what '
                "the noise hides; bring features to a common scale that is public"
            )


def plan_to_json(plan: Plan) -> dict[str, Any]:
    """Give a plan as JSON types, every setting of it."""
    return dict(plain(plan))


def plan_from_json(settings: object) -> Plan:
    """Read a plan; what is not named keeps its default.

    Args:
        settings: A mapping, as ``plan_to_json`` gives it.

    Returns:
        The plan.

    Raises:
        ConfigError: A setting is unknown (the nearest is named), of the wrong type, or out of
            range.
    """
    return typed(Plan, settings, "the federated plan")

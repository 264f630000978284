"""Sample size: how many cases a model needs before it can be believed."""
# SPDX-License-Identifier: Apache-2.0

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import final

from vesalius.errors import ConfigError

_Z = 1.959963984540054


@final
@dataclass(frozen=True, slots=True)
class SampleSize:
    """How many cases are needed, and for which reason.

    Attributes:
        cases: The largest of the criteria.
        events: Expected among them; 0 for a number.
        criteria: Cases that each criterion asks for, by what it asks.
        decided_by: The criterion that asks for most.
    """

    cases: int
    events: int
    criteria: Mapping[str, int]
    decided_by: str

    @property
    def text(self) -> str:
        """Say it in a sentence."""
        events = f" ({self.events} with the event)" if self.events else ""
        return f"At least {self.cases} cases{events} are needed for {self.decided_by}."


def pac_sample_size(hypotheses: int, *, error: float, risk: float, agnostic: bool = False) -> int:
    """Bound the cases from which any of so many rules is learned, whatever the distribution.

    Args:
        hypotheses: Rules to choose from.
        error: Largest error above that of the best rule, 0 to 1.
        risk: Chance that the bound is missed, 0 to 1.
        agnostic: No rule need be free of error (Hoeffding); else one is (realisable).

    Returns:
        The cases: the least whole number that is not below the bound.

    Raises:
        ConfigError: There is no rule, or error or risk is not between 0 and 1.

    References:
        Shalev-Shwartz and Ben-David (2014), doi:10.1017/CBO9781107298019, corollaries 2.3 and 4.6.
    """
    if hypotheses < 1:
        raise ConfigError(f"hypotheses must be 1 or more, got {hypotheses}: count the rules")
    _between("error", error)
    _between("risk", risk)
    if agnostic:
        return _up(math.log(2 * hypotheses / risk) / (2 * error**2))
    return _up(math.log(hypotheses / risk) / error)


def sample_size_binary(
    parameters: int,
    *,
    share: float,
    auc: float = 0.0,
    r2_cox_snell: float = 0.0,
    shrinkage: float = 0.9,
) -> SampleSize:
    """Give the least cases to develop a model of an event.

    Four criteria: the overall risk within .05; a mean absolute error of the risk of .05 (up to 30
    parameters, for which it was found); a uniform shrinkage of .9 or more; an optimism of
    Nagelkerke's R2 of .05 or less.

    Args:
        parameters: That are estimated, among them those that are then thrown away: of a radiomics
            table all features that are looked at.
        share: Of cases with the event, 0 to 1.
        auc: Expected AUC, by which R2 is taken; 0 where ``r2_cox_snell`` is given.
        r2_cox_snell: Expected R2 of Cox and Snell; 0 takes that of ``auc``, or where this is 0 too
            15 % of the greatest that the share allows.
        shrinkage: Wanted, 0 to 1.

    Returns:
        Cases and events.

    Raises:
        ConfigError: A value is out of range, or R2 is more than the share allows.

    References:
        Riley et al. (2020), doi:10.1136/bmj.m441, boxes 1 and 2; Riley et al. (2019),
        doi:10.1002/sim.7992; van Smeden et al. (2019), doi:10.1177/0962280218784726.
    """
    _check(parameters, shrinkage)
    _between("share", share)
    greatest = 1 - math.exp(2 * _null(share))
    r2 = r2_cox_snell or (cox_snell_of_auc(auc, share=share) if auc else 0.15 * greatest)
    _check_r2(r2, greatest)
    found = {
        "the overall risk within 0.05": _up((_Z / 0.05) ** 2 * share * (1 - share)),
        f"a shrinkage of {shrinkage:g} or more": _shrunk(parameters, r2, shrinkage),
        "an optimism of R2 of 0.05 or less": _optimism(parameters, r2, greatest),
    }
    if parameters <= 30:
        logarithm = -0.508 + 0.259 * math.log(share) + 0.504 * math.log(parameters)
        found["risks within 0.05 on average"] = _up(math.exp((logarithm - math.log(0.05)) / 0.544))
    return _largest(found, share)


def sample_size_survival(
    parameters: int,
    *,
    rate: float,
    mean_time: float,
    at: float,
    r2_cox_snell: float = 0.0,
    shrinkage: float = 0.9,
) -> SampleSize:
    """Give the least cases to develop a model of the time to an event.

    Args:
        parameters: That are estimated.
        rate: Events in a unit of time.
        mean_time: Mean time that a case is followed.
        at: Time at which the overall risk must be known within .05.
        r2_cox_snell: Expected R2 of Cox and Snell; 0 takes 15 % of the greatest.
        shrinkage: Wanted, 0 to 1.

    Returns:
        Cases and events.

    Raises:
        ConfigError: A value is out of range, or R2 is more than can be.

    References:
        Riley et al. (2019), doi:10.1002/sim.7992, sections 4 to 6; the overall risk by the
        exponential model with a normal interval for the rate.
    """
    _check(parameters, shrinkage)
    if min(rate, mean_time, at) <= 0:
        raise ConfigError(
            f"rate and times must be positive, got rate={rate}, mean_time={mean_time}, at={at}"
        )
    events = rate * mean_time
    greatest = 1 - math.exp(2 * events * (math.log(events) - 1)) if events < math.e else 1.0
    r2 = r2_cox_snell or 0.15 * greatest
    _check_r2(r2, greatest)
    alive = math.exp(-rate * at)
    width = rate + math.log(min(alive + 0.05, 1.0)) / at
    if alive > 0.05:
        width = min(width, -math.log(alive - 0.05) / at - rate)
    found = {
        f"a shrinkage of {shrinkage:g} or more": _shrunk(parameters, r2, shrinkage),
        "an optimism of R2 of 0.05 or less": _optimism(parameters, r2, greatest),
        "the overall risk within 0.05": _up(_Z**2 * rate / (mean_time * width**2)),
    }
    return _largest(found, min(events, 1.0))


def sample_size_number(parameters: int, *, r2: float, shrinkage: float = 0.9) -> SampleSize:
    """Give the least cases to develop a linear model of a number.

    Args:
        parameters: That are estimated, without the intercept.
        r2: Expected adjusted R2.
        shrinkage: Wanted, 0 to 1.

    Returns:
        Cases; no events.

    Raises:
        ConfigError: A value is out of range.

    References:
        Riley et al. (2019), doi:10.1002/sim.7993, eq. (8), (11) and (15). Leaves out its fourth
        criterion, the precision of the mean, which asks for fewer.
    """
    _check(parameters, shrinkage)
    _between("r2", r2)

    def enough(cases: int) -> bool:
        apparent = (r2 * (cases - parameters - 1) + parameters) / (cases - 1)
        return 1 + (parameters - 2) / (cases * math.log(1 - apparent)) >= shrinkage

    found = {
        f"a shrinkage of {shrinkage:g} or more": _least(enough, parameters + 2),
        "an optimism of R2 of 0.05 or less": _up(1 + parameters * (1 - r2) / 0.05),
        "a spread of the errors within 10 %": 234 + parameters,
    }
    return _largest(found, 0.0)


def cox_snell_of_auc(auc: float, *, share: float) -> float:
    """Give the R2 of Cox and Snell of a model with an AUC.

    Args:
        auc: Expected, .5 to 1.
        share: Of cases with the event, 0 to 1.

    Returns:
        R2 where the model's linear predictor is normal with one spread in both classes.

    Raises:
        ConfigError: The AUC is not between .5 and 1.

    References:
        Riley, Van Calster and Collins (2021), doi:10.1002/sim.8806. Differs from it in: the
        integral is a sum over a fine lattice instead of by simulation.
    """
    import numpy as np
    from scipy.stats import norm

    if not 0.5 < auc < 1:
        raise ConfigError(f"auc must be above 0.5 and below 1, got {auc}: 0.5 needs no model")
    _between("share", share)
    apart = math.sqrt(2) * float(norm.ppf(auc))
    x = np.linspace(-9, apart + 9, 20001)
    logit = math.log(share / (1 - share)) + apart * x - apart**2 / 2
    with_event = share * norm.pdf(x - apart) * -np.logaddexp(0, -logit)
    without = (1 - share) * norm.pdf(x) * -np.logaddexp(0, logit)
    density = with_event + without  # nil at both ends
    fitted = float(density.sum() * (x[1] - x[0]))
    return 1 - math.exp(-2 * (fitted - _null(share)))


def _null(share: float) -> float:
    """Log likelihood of a case without a model."""
    return share * math.log(share) + (1 - share) * math.log(1 - share)


def _shrunk(parameters: int, r2: float, shrinkage: float) -> int:
    if r2 >= shrinkage:
        return parameters + 2
    return _up(parameters / ((shrinkage - 1) * math.log(1 - r2 / shrinkage)))


def _optimism(parameters: int, r2: float, greatest: float) -> int:
    return _shrunk(parameters, r2, r2 / (r2 + 0.05 * greatest))


def _largest(found: Mapping[str, int], share: float) -> SampleSize:
    reason = max(found, key=lambda name: found[name])
    cases = found[reason]
    return SampleSize(cases, math.ceil(cases * share - 1e-9), found, reason)


def _least(enough: Callable[[int], bool], low: int) -> int:
    """Least whole number that is enough, by doubling and halving."""
    high = low
    while not enough(high):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def _up(value: float) -> int:
    """Round up, but not for a rounding error."""
    return math.ceil(value - 1e-9 * abs(value))


def _between(name: str, value: float) -> None:
    if not 0 < value < 1:
        raise ConfigError(f"{name} must be above 0 and below 1, got {value}")


def _check(parameters: int, shrinkage: float) -> None:
    if parameters < 1:
        raise ConfigError(f"parameters must be 1 or more, got {parameters}: count the features")
    _between("shrinkage", shrinkage)


def _check_r2(r2: float, greatest: float) -> None:
    if not 0 < r2 < greatest:
        raise ConfigError(
            f"R2 of Cox and Snell must be above 0 and below {greatest:.4f}, the greatest that "
            f"these events allow, got {r2:.4f}: give the AUC instead"
        )

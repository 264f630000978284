"""Differential privacy: clipped contributions, Gaussian noise, and what they cost in all."""
# SPDX-License-Identifier: Apache-2.0

import math
import secrets
from dataclasses import dataclass, field
from typing import Literal, final

import numpy as np
import torch
from numpy.typing import NDArray

from vesalius.errors import ConfigError
from vesalius.predict._table import Floats

Level = Literal["none", "record", "client"]

ORDERS: tuple[float, ...] = (
    *(1 + k / 20 for k in range(1, 40)),
    *range(3, 65),
    *(72, 80, 96, 112, 128, 160, 192, 256, 384, 512, 768, 1024, 2048, 4096),
)
"""Orders of the Renyi divergence that are tried; sampling takes the whole ones."""


LEAST_NOISE, MOST_NOISE = 1e-6, 1e9
"""Noise, in units of the clip, for which every sum of the account stays finite."""

_CLIPS = (1e-100, 1e100)
"""Between these neither a contribution nor its noise loses digits at the ends of float64."""

_GRID = 2.0**-32
"""Spacing of what is told, in standard deviations of its noise."""


@final
@dataclass(frozen=True, slots=True)
class Privacy:
    """How much a client hides of each case, or of itself.

    Two tables count as neighbours when one has a case more (``record``), or when a client sends
    nothing in place of its update (``client``); how many cases there are is public.

    Attributes:
        level: Nothing; that a case is in the table (``record``); or all that one client holds
            (``client``).
        clip: Largest Euclidean norm of a contribution: of a case's gradient, or of a client's
            update.
        noise: Standard deviation of the noise, in units of ``clip``; each client adds its own.
        sampling: Chance that a case takes part in a round, for ``record``.
        delta: Chance with which the bound may fail.

    Raises:
        ConfigError: A setting is out of range.
    """

    level: Level = "none"
    clip: float = 1.0
    noise: float = 0.0
    sampling: float = 1.0
    delta: float = 1e-5

    def __post_init__(self) -> None:
        quiet = self.noise == 0 or LEAST_NOISE <= self.noise <= MOST_NOISE
        if not (_CLIPS[0] <= self.clip <= _CLIPS[1] and quiet):
            raise ConfigError(
                f"clip must be positive and noise not negative, within {_CLIPS[0]:g} to "
                f"{_CLIPS[1]:g} and {LEAST_NOISE:g} to {MOST_NOISE:g}, got {self.clip} and "
                f"{self.noise}: begin with clip=1, noise=1"
            )
        if not (0 < self.sampling <= 1 and 0 < self.delta < 1):
            raise ConfigError(
                "sampling must lie above 0 and up to 1, delta between 0 and 1, got "
                f"{self.sampling} and {self.delta}: begin with sampling=1, delta=1e-5"
            )
        if self.level != "none" and self.noise == 0:
            raise ConfigError(
                f"privacy of a {self.level} must have noise, got 0: begin with noise=1, or ask for "
                'level="none"'
            )
        if self.level != "record" and self.sampling < 1:
            raise ConfigError(
                f'sampling is for level="record", got {self.sampling} for {self.level!r}: set it '
                "to 1"
            )


@final
@dataclass(slots=True, eq=False)
class Accountant:
    """What all releases so far tell together, as Renyi divergences, which add up.

    Attributes:
        spent: Divergence at each of ``ORDERS``.

    References:
        Mironov (2017), doi:10.1109/CSF.2017.11, propositions 1 and 3, corollary 3. Mironov, Talwar
        and Zhang (2019), doi:10.48550/arXiv.1908.10530, section 3.3, for sampling: whole orders.
    """

    spent: Floats = field(default_factory=lambda: np.zeros(len(ORDERS)))

    def spend(self, privacy: Privacy, times: int = 1) -> "Accountant":
        """Give an account with ``times`` more releases; this one stays as it is.

        Args:
            privacy: How each was protected.
            times: How many.

        Returns:
            The new account.
        """
        return Accountant(self.spent + times * divergence(privacy.noise, privacy.sampling))

    def epsilon(self, delta: float) -> float:
        """Bound the loss of privacy.

        Args:
            delta: Chance with which the bound may fail.

        Returns:
            Epsilon; 0 where nothing was released.
        """
        if not self.spent.any():
            return 0.0
        orders = np.array(ORDERS)
        return float((self.spent + math.log(1 / delta) / (orders - 1)).min())


def divergence(noise: float, sampling: float) -> Floats:
    """Give the Renyi divergence of one release of a sum with Gaussian noise.

    Args:
        noise: Standard deviation over the largest change that one contribution makes.
        sampling: Chance that a contribution takes part (Poisson).

    Returns:
        One for each of ``ORDERS``; infinite without noise, or with so little that it is none.
    """
    if noise < LEAST_NOISE:
        return np.full(len(ORDERS), math.inf)
    if sampling == 1:
        return np.array(ORDERS) / (2 * noise**2)
    return np.array([_sampled(order, noise, sampling) for order in ORDERS])


def noise_for(epsilon: float, delta: float, *, rounds: int, sampling: float = 1.0) -> float:
    """Find the least noise that keeps a training within a budget.

    Args:
        epsilon: The budget.
        delta: Chance with which it may fail.
        rounds: How many releases the training makes.
        sampling: Chance that a case takes part in a round.

    Returns:
        The noise, in units of the clip, within one in a thousand and never too small.

    Raises:
        ConfigError: The budget is not positive, or no noise up to a million keeps it.
    """
    if not (epsilon > 0 and 0 < delta < 1 and rounds >= 1):
        raise ConfigError(
            f"a budget must have epsilon > 0, 0 < delta < 1 and a round, got {epsilon}, {delta} "
            f"and {rounds}: begin with epsilon=3, delta=1e-5"
        )

    def cost(noise: float) -> float:
        return Accountant(rounds * divergence(noise, sampling)).epsilon(delta)

    low, high = 1e-3, 1e6
    if cost(high) > epsilon:
        raise ConfigError(
            f"a budget of {epsilon} must leave room above the least that delta = {delta} allows, "
            f"which is {cost(high):.3g}: raise epsilon or delta"
        )
    while high / low > 1.001:
        middle = math.sqrt(low * high)
        low, high = (low, middle) if cost(middle) <= epsilon else (middle, high)
    return high


def noisy(value: Floats, privacy: Privacy, generator: torch.Generator | None = None) -> Floats:
    """Add the noise of one release.

    Value and noise are rounded to one grid, so that the digits of their sum tell no more than the
    sum: without it the last bits of a float64 give the value away (Mironov, 2012,
    doi:10.1145/2382196.2382264). Rounding moves a value by 2^-33 of the noise at most, and a
    contribution by that times the root of the number of entries; the account does not count it.

    Args:
        value: What would be told; one contribution changes it by ``privacy.clip`` at most.
        privacy: How much.
        generator: None draws from the operating system's cryptographic source, which nobody can
            guess or repeat; a generator is for tests, and protects nobody.

    Returns:
        Same shape.
    """
    scale = privacy.noise * privacy.clip
    grid = 2.0 ** round(math.log2(scale * _GRID))
    return grid * (np.rint(value / grid) + np.rint(normal(value.shape, generator) * (scale / grid)))


def normal(shape: tuple[int, ...], generator: torch.Generator | None) -> Floats:
    """Draw from the normal distribution.

    Args:
        shape: Of the result.
        generator: See ``noisy``.

    Returns:
        Mean 0, standard deviation 1.
    """
    if generator is not None:
        return np.asarray(torch.randn(shape, dtype=torch.float64, generator=generator).numpy())
    from scipy.special import ndtri

    words = _words(2 * math.prod(shape)).reshape(2, *shape)
    # a tail from 117 bits, so that the far ends have as many digits as the middle
    tail = (words[0] >> np.uint64(11)) * 2.0**-54 + (words[1] + 0.5) * 2.0**-118
    return np.asarray(np.where(words[0] & np.uint64(1), 1.0, -1.0) * -ndtri(tail))


def uniform(count: int, generator: torch.Generator | None) -> Floats:
    """Draw numbers from 0 up to, without, 1.

    Args:
        count: How many.
        generator: See ``noisy``.

    Returns:
        (count,), multiples of 2^-53.
    """
    if generator is not None:
        return np.asarray(torch.rand(count, dtype=torch.float64, generator=generator).numpy())
    return np.asarray((_words(count) >> np.uint64(11)) * 2.0**-53)


def _words(count: int) -> NDArray[np.uint64]:
    return np.frombuffer(secrets.token_bytes(8 * count), dtype="<u8").astype(np.uint64)


def _sampled(order: float, noise: float, sampling: float) -> float:
    """Equation of section 3.3: a sum over the binomial, in logarithms."""
    if order != int(order):
        return math.inf  # whole orders bound well enough, and need no infinite series
    a = int(order)
    k = np.arange(a + 1, dtype=np.float64)
    chosen = [
        math.lgamma(a + 1) - math.lgamma(j + 1) - math.lgamma(a - j + 1) for j in range(a + 1)
    ]
    terms = (
        np.array(chosen)
        + (a - k) * math.log1p(-sampling)
        + k * math.log(sampling)
        + (k * k - k) / (2 * noise**2)
    )
    top = terms.max()
    return float((top + math.log(np.exp(terms - top).sum())) / (a - 1))

"""Client: a hospital's side of a training; its cases stay, sums leave."""
# SPDX-License-Identifier: Apache-2.0

import math
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, final

import numpy as np
import torch

from vesalius.errors import ConfigError, IntensityError, RegionError, VesaliusError
from vesalius.predict import _federated_sums as sums
from vesalius.predict._combat import Combat
from vesalius.predict._combat_statistics import Moments
from vesalius.predict._federated_batches import (
    about,
    batches_within,
    levels_of_columns,
    with_batch,
    with_batches,
    within,
)
from vesalius.predict._federated_message import Array, Message
from vesalius.predict._private import Accountant, Level, Privacy, noisy
from vesalius.predict._secure_sum import Masks
from vesalius.predict._table import Floats, Table
from vesalius.predict._target import Target
from vesalius.predict._typed import typed

REFUSED = "refused"
"""What a client answers when its rules or its table do not allow what is asked."""


@final
@dataclass(frozen=True, slots=True)
class Rules:
    """What a hospital lets out, whatever the server asks.

    Attributes:
        fewest: Cases, and cases of each class and level, below which nothing is told.
        epsilon: Budget of privacy for the life of the client; infinite for none. With a budget,
            only sums with noise leave, and how many cases and events there are, which is public.
        delta: Chance with which the budget may fail.
        masked: Whether sums leave masked only.

    Raises:
        ConfigError: A rule is out of range.
    """

    fewest: int = 5
    epsilon: float = math.inf
    delta: float = 1e-5
    masked: bool = False

    def __post_init__(self) -> None:
        if self.fewest < 2 or not self.epsilon > 0 or not 0 < self.delta < 1:
            raise ConfigError(
                "rules must have fewest >= 2, epsilon > 0 and 0 < delta < 1, got "
                f"{self.fewest}, {self.epsilon} and {self.delta}: begin with Rules()"
            )


@final
@dataclass(slots=True, eq=False)
class _Budget:
    """What was spent; one for all that a hospital does, however often its table is changed."""

    account: Accountant = field(default_factory=Accountant)
    level: str = ""
    """Of all releases: those of two levels do not add up to a bound on either."""
    lock: threading.Lock = field(default_factory=threading.Lock)


@final
class Client:
    """A hospital: answers messages with sums over its cases, and never hands out a case.

    The server is taken to be curious and honest. One that makes up weights or centres to single out
    a case is not held off by sums, nor by masks: a budget of privacy is what holds it off.

    Args:
        name: Of the hospital, in results.
        table: Its cases.
        target: Their outcome: two classes.
        rules: What it lets out.
        generator: Of the noise. None draws every number from the operating system's cryptographic
            source, which is the only choice that protects anybody; a given one is for tests.
    """

    __slots__ = (
        "_budget",
        "_generator",
        "_masks",
        "_table",
        "_target",
        "name",
        "rules",
    )

    def __init__(
        self,
        name: str,
        table: Table,
        target: Target,
        *,
        rules: Rules = Rules(),
        generator: torch.Generator | None = None,
    ) -> None:
        if not name or len(target.values) != len(table.cases) or target.kind != "binary":
            raise ConfigError(
                f"a client must have a name and a binary outcome of each of its {len(table.cases)} "
                f"cases, got {name!r} and {len(target.values)} of kind {target.kind!r}"
            )
        self.name = name
        self.rules = rules
        # sums must not depend on how a table lies in memory, or two ways of reading it would differ
        self._table = table.with_values(np.ascontiguousarray(table.values))
        self._target = target
        self._generator = generator
        self._masks = Masks(name)
        self._budget = _Budget()

    def __repr__(self) -> str:
        return f"Client({self.name!r})"

    def harmonised(self, shared: Combat) -> "Client":
        """Give the same hospital with features that ComBat over hospitals has harmonised.

        Args:
            shared: As ``combat_over`` gives it.

        Returns:
            A client with the same rules, and the same budget: what one spends the other lacks.
        """
        own = with_batches(shared, self._table, self.name)
        table = own.transform(with_batch(self._table, shared.batch, self.name))
        other = Client(self.name, table, self._target, rules=self.rules, generator=self._generator)
        other._budget = self._budget
        return other

    @property
    def epsilon(self) -> float:
        """What was spent of the budget of privacy."""
        return self._budget.account.epsilon(self.rules.delta)

    def answer(self, message: Message) -> Message:
        """Answer the server.

        Args:
            message: What it asks.

        Returns:
            Sums, a few words, or a refusal; never anything for each case. It repeats the round
            that the message names, so that it cannot be taken for the answer to another.
        """
        words: dict[str, Any] = {"client": self.name}
        if type(turn := message.words.get("round")) is int:
            words["round"] = turn
        try:
            told = self._answer(message)
            return Message(told.ask, told.arrays, {**told.words, **words})
        except VesaliusError as error:
            text = str(error)
        except Exception as error:  # a message that is no fault of ours must not end the client
            # what it held is not repeated
            text = f"the message {message.ask!r} lacks what it must hold ({type(error).__name__})"
        return Message(REFUSED, {}, {**words, "text": text})

    def _answer(self, message: Message) -> Message:
        if message.ask == "hello":
            return Message("hello", {}, self._hello())
        if message.ask == "meet":
            self._masks.meet(message.words["keys"])
            return Message("meet")
        if message.ask == "levels":
            return Message("levels", {}, {"levels": self._levels(message)})
        if message.ask not in _ANSWERS:
            raise ConfigError(
                f"a client must be asked for one of {', '.join(_ANSWERS)}, got {message.ask!r}: "
                "both sides must run the same version of vesalius"
            )
        self._check_counts()
        privacy = typed(Privacy, message.words.get("privacy", {}), "privacy")
        told = _ANSWERS[message.ask](self, message, privacy)
        self._check_leaving(told)
        return self._sent(message, told)

    def _hello(self) -> dict[str, Any]:
        self._masks = Masks(self.name)  # each training has keys of its own
        return {
            "features": list(self._table.features),
            "parameters": self._table.parameters,
            "classes": list(self._target.classes),
            "key": self._masks.public,
            "masked": self.rules.masked,
        }

    def _check_counts(self) -> None:
        events = int(self._target.values.sum())
        if min(events, len(self._target.values) - events) < self.rules.fewest:
            raise RegionError(
                f"a client must have {self.rules.fewest} cases of each class, {self.name!r} has "
                "fewer: it cannot take part without telling of single patients"
            )

    def _check_leaving(self, told: Mapping[str, Floats]) -> None:
        """Hold back what has an entry for each case; no answer should, this is the second lock."""
        cases = len(self._table.cases)
        known = {len(self._table.features), len(self._table.features) + 1}
        for name, array in told.items():
            if cases in array.shape and cases not in known:
                raise RegionError(
                    f"an answer must not have an entry for each case, {name!r} has shape "
                    f"{array.shape} at {cases} cases: report this as a fault"
                )
            if not np.isfinite(array).all():
                raise IntensityError(
                    f"sums of {self.name!r} must be finite, {name!r} is not: look for values that "
                    "are far too large"
                )

    def _sent(self, message: Message, told: Mapping[str, Floats]) -> Message:
        label = str(message.words.get("masked", ""))
        if self.rules.masked and not label:
            raise ConfigError(f"sums of {self.name!r} must leave masked: train with secure=True")
        sent: dict[str, Array] = dict(told)
        if label:
            sent = {k: self._masks.cover(v, f"{label}/{message.ask}/{k}") for k, v in told.items()}
        return Message(message.ask, sent)

    def _spend(self, privacy: Privacy) -> None:
        """Book a release, or refuse it: the account of the client decides, not the server."""
        if privacy.level == "none":
            if self.rules.epsilon < math.inf:
                raise ConfigError(
                    f"{self.name!r} has a budget of privacy and answers with noise only, it was "
                    "asked without: train with privacy"
                )
            return
        with self._budget.lock:
            after = self._budget.account.spend(privacy)
            epsilon = after.epsilon(self.rules.delta)
            if not epsilon <= self.rules.epsilon:
                raise ConfigError(
                    f"the budget of privacy of {self.name!r} must not be passed: epsilon would be "
                    f"{epsilon:.3g} of {self.rules.epsilon:.3g} at delta = {self.rules.delta:g}: "
                    "take fewer rounds or more noise"
                )
            if self._budget.level not in ("", privacy.level):
                raise ConfigError(
                    f"the budget of privacy of {self.name!r} must be of one level, it was begun "
                    f"for each {self._budget.level} and not for each {privacy.level}: ask for that"
                )
            self._budget.account, self._budget.level = after, privacy.level

    def _select(self, message: Message) -> Table:
        return self._table.select([str(name) for name in message.words["features"]])

    def _standard(self, message: Message) -> Floats:
        """Give the features asked for, standardised, gaps at the centre, and a 1 for the offset."""
        table = self._select(message)
        centre, spread = (_row(message, k, len(table.features)) for k in ("centre", "spread"))
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            scaled = np.nan_to_num((table.values - centre) / spread)
        return np.ascontiguousarray(np.column_stack((scaled, np.ones(len(scaled)))))

    def _weights(self, message: Message) -> Floats:
        return _row(message, "weights", len(message.words["features"]) + 1)

    def _values(self, message: Message) -> Floats:
        table = self._select(message)
        counts = (~np.isnan(table.values)).sum(axis=0)
        if (few := (counts > 0) & (counts < self.rules.fewest)).any():
            raise RegionError(
                f"a feature must be known for {self.rules.fewest} cases or for none, "
                f"{table.features[int(few.argmax())]!r} is known for fewer in {self.name!r}: leave "
                "it out"
            )
        return table.values

    def _moments(self, message: Message, privacy: Privacy) -> dict[str, Floats]:
        self._spend(Privacy())
        return sums.moments(self._values(message), self._target.values)

    def _squares(self, message: Message, privacy: Privacy) -> dict[str, Floats]:
        self._spend(Privacy())
        values = self._values(message)
        centre, unit = (_row(message, k, values.shape[1]) for k in ("centre", "unit"))
        return {"squares": np.nansum(((values - centre) / unit) ** 2, axis=0)}

    def _counts(self, message: Message, privacy: Privacy) -> dict[str, Floats]:
        """Cases and events: taken as public, with or without a budget."""
        values = self._target.values
        return {"counts": np.array([len(values), values.sum()])}

    def _within(self, message: Message, privacy: Privacy) -> dict[str, Floats]:
        self._spend(Privacy())
        return within(self._batches(message), self.rules.fewest)

    def _about(self, message: Message, privacy: Privacy) -> dict[str, Floats]:
        self._spend(Privacy())
        weights = np.asarray(message.arrays["weights"], np.float64)
        return about(self._batches(message), weights, str(message.words["reference"]))

    def _batches(self, message: Message) -> dict[str, Moments]:
        table = self._select(message)
        with suppress(VesaliusError):
            return batches_within(table, self.name, message.words)
        raise RegionError(
            f"batches of {self.name!r} must have every feature, and covariates of the kind and the "
            "levels that were sent, they have not: what is wrong names cases, and is told by "
            "harmonising the table where it is"
        )

    def _levels(self, message: Message) -> dict[str, Any]:
        """Give levels of covariates, which are public where there is no budget."""
        self._spend(Privacy())
        keep = [str(name) for name in message.words["keep"]]
        for name in keep:
            self._table.column(name)  # its absence may be told
        with suppress(ConfigError):
            return levels_of_columns(self._table, keep, self.rules.fewest)
        raise ConfigError(
            f"covariates of {self.name!r} must be known of every case, they are not: fill them in, "
            "or keep something else"
        )

    def _curvature(self, message: Message, privacy: Privacy) -> dict[str, Floats]:
        self._spend(Privacy())
        return {"curvature": np.array(sums.curvature(self._standard(message)) ** 4)}

    def _gradient(self, message: Message, privacy: Privacy) -> dict[str, Floats]:
        x, y = self._standard(message), self._target.values
        weights = self._weights(message)
        _check_level(privacy, "gradient", "record")
        self._spend(privacy)
        if privacy.level == "none":
            return sums.gradient(x, y, weights)
        drawn = sums.chosen(len(y), privacy.sampling, self._generator)
        clipped = sums.clipped_gradient(x[drawn], y[drawn], weights, privacy.clip)
        return {"gradient": noisy(clipped, privacy, self._generator)}

    def _curved(self, message: Message, privacy: Privacy) -> dict[str, Floats]:
        self._spend(privacy if privacy.level == "none" else Privacy())
        x = self._standard(message)
        if len(x) < 2 * x.shape[1]:
            raise RegionError(
                f"a matrix of {x.shape[1]} columns must come of twice as many cases, {self.name!r} "
                'has fewer, and they could be read from it: use method="gradient"'
            )
        return sums.curved(x, self._target.values, self._weights(message))

    def _train(self, message: Message, privacy: Privacy) -> dict[str, Floats]:
        x, y = self._standard(message), self._target.values
        start = self._weights(message)
        local = typed(sums.Local, message.words["local"], "local")
        _check_level(privacy, "train", "client")
        self._spend(privacy)
        change = sums.descended(x, y, start, local) - start
        if privacy.level == "client":
            change = sums.clipped(change, privacy.clip)
            return {"change": noisy(change, privacy, self._generator), "share": np.array(1.0)}
        share = np.array(float(len(y)))
        return {"change": share * change, "share": share}

    def _scored(self, message: Message, privacy: Privacy) -> dict[str, Floats]:
        self._spend(Privacy())
        return sums.scored(self._standard(message), self._target.values, self._weights(message))


def _row(message: Message, name: str, length: int) -> Floats:
    """Read numbers of the server: one for each feature; an entry for each case would choose them.

    Raises:
        ConfigError: They have another shape, or one is NaN.
    """
    given = np.asarray(message.arrays[name], np.float64)
    if given.shape != (length,) or np.isnan(given).any():
        raise ConfigError(
            f"{name!r} of a message must be {length} numbers, got shape {given.shape} or NaN: both "
            "sides must run the same version of vesalius"
        )
    return given


def _check_level(privacy: Privacy, ask: str, level: Level) -> None:
    """Refuse noise that would not hide what is asked for.

    Raises:
        ConfigError: It is meant for something else.
    """
    if privacy.level not in ("none", level):
        raise ConfigError(
            f"{ask!r} must have noise for each {level}, got privacy of a {privacy.level}: what "
            "leaves would not be hidden"
        )


_Handler = Callable[[Client, Message, Privacy], dict[str, Floats]]
_ANSWERS: dict[str, _Handler] = {
    "counts": Client._counts,
    "within": Client._within,
    "about": Client._about,
    "moments": Client._moments,
    "squares": Client._squares,
    "curvature": Client._curvature,
    "gradient": Client._gradient,
    "curved": Client._curved,
    "train": Client._train,
    "scored": Client._scored,
}

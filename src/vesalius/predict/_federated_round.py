"""Rounds: the server's side of a training: asks every client, adds up what comes back."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any, final

import numpy as np

from vesalius.errors import ConfigError, NetworkError, RegionError
from vesalius.predict._federated_client import REFUSED
from vesalius.predict._federated_message import Message
from vesalius.predict._private import Privacy
from vesalius.predict._secure_sum import total
from vesalius.predict._table import Floats

Channel = Callable[[Message], tuple[Message, ...]]
"""Sends a message to every client and gives their answers, in the order of their names."""


@final
class Rounds:
    """What the server knows during a training.

    Args:
        ask: Reaches every client.
        features: What is learned from; empty takes those of the clients.
        secure: Whether sums are masked.
        privacy: Noise that clients are asked for.

    Raises:
        NetworkError: A client refuses, or there is none.
        ConfigError: Clients differ in features, parameters or classes.
    """

    __slots__ = (
        "_ask",
        "_label",
        "_privacy",
        "_secure",
        "centre",
        "classes",
        "features",
        "names",
        "parameters",
        "sent",
        "spread",
    )

    def __init__(
        self, ask: Channel, features: tuple[str, ...], *, secure: bool, privacy: Privacy
    ) -> None:
        self._ask = ask
        self._secure = secure
        self._privacy = privacy
        self._label = 0
        self.sent = 0
        self.names: tuple[str, ...] = ()
        hellos = [_greeting(one.words) for one in self._all("hello", {}, {})]
        self.names = tuple(one["client"] for one in hellos)
        if len(set(self.names)) != len(self.names):
            raise ConfigError(
                f"clients must have names that differ, got {list(self.names)}: rename one"
            )
        self.features = features or tuple(_agreed(hellos, "features"))
        self.parameters = str(_agreed(hellos, "parameters"))
        self.classes = tuple(_agreed(hellos, "classes"))
        self.centre = np.zeros(len(self.features))
        self.spread = np.ones(len(self.features))
        if secure:
            self._all("meet", {}, {"keys": {h["client"]: h["key"] for h in hellos}})

    def sums(
        self,
        ask: str,
        arrays: Mapping[str, Floats] | None = None,
        words: Mapping[str, Any] | None = None,
    ) -> dict[str, Floats]:
        """Ask every client for sums, and add them up.

        Args:
            ask: Which.
            arrays: What they need for it.
            words: Likewise.

        Returns:
            Sums by name.

        Raises:
            NetworkError: A client refuses, does not answer, or answers something else.
        """
        told = {"features": list(self.features), "privacy": asdict(self._privacy)}
        told |= words or {}
        if self._secure:
            self._label += 1
            told["masked"] = f"{self._label}"
        answers = self._all(ask, arrays or {}, told)
        self._check(answers, secure=self._secure)
        return {k: self._added([one.arrays[k] for one in answers]) for k in answers[0].arrays}

    def each(self, ask: str, weights: Floats) -> list[tuple[str, Mapping[str, Any]]]:
        """Ask for what a client tells of itself at common weights, by name of the client."""
        arrays = {"centre": self.centre, "spread": self.spread, "weights": weights}
        answers = self._all(ask, arrays, {"features": list(self.features)})
        self._check(answers, secure=False)
        return [(str(one.words["client"]), one.arrays) for one in answers]

    def words(self, ask: str, words: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        """Ask every client for words, and give them in order of the clients' names."""
        return [one.words for one in self._all(ask, {}, words)]

    def _added(self, parts: list[Any]) -> Floats:
        if self._secure:
            return total(parts, clients=len(self.names))
        result = np.asarray(parts[0], np.float64)
        for part in parts[1:]:
            result = np.asarray(result + part)  # numbers alone would lose their array
        return result

    def scaled(
        self, ask: str, weights: Floats, words: Mapping[str, Any] | None = None
    ) -> dict[str, Floats]:
        """Ask for sums of standardised features at common weights."""
        arrays = {"centre": self.centre, "spread": self.spread, "weights": weights}
        return self.sums(ask, arrays, words)

    def counts(self) -> tuple[tuple[tuple[str, int, int], ...], Floats]:
        """Ask for cases and events.

        Returns:
            (name, cases, events) of each client, 0 where sums are masked; and the sums.
        """
        if self._secure:
            found = self.sums("counts")["counts"]
            _check_counts(("all clients",), [found])
            return tuple((name, 0, 0) for name in self.names), found
        answers = self._all("counts", {}, {})
        self._check(answers, secure=False)
        each = [np.asarray(one.arrays["counts"], np.float64) for one in answers]
        _check_counts(self.names, each)
        shares = [(n, int(c[0]), int(c[1])) for n, c in zip(self.names, each, strict=True)]
        return tuple(shares), np.sum(each, axis=0)

    def standardise(self, flat: float) -> None:
        """Learn mean and spread of each feature over all cases, in two rounds.

        The spread comes of sums of squares about the common mean, in units of the mean magnitude,
        so that neither a large offset nor a small unit costs digits.

        Args:
            flat: Share of the mean magnitude below which a spread is none.

        Raises:
            RegionError: No client knows a feature.
        """
        first = self.sums("moments")
        known = first["known"]
        if not known.all():
            raise RegionError(
                f"a feature must be known to a client, {self.features[int(known.argmin())]!r} is "
                "to none: leave it out"
            )
        size = first["sizes"] / known
        # a power of two changes no digit
        unit = np.exp2(np.round(np.log2(np.where(size > 0, size, 1.0))))
        self.centre = first["sums"] / known
        squares = self.sums("squares", {"centre": self.centre, "unit": unit})["squares"]
        spread = unit * np.sqrt(squares / known)
        self.spread = np.where(spread > flat * size, spread, np.inf)

    def _all(
        self, ask: str, arrays: Mapping[str, Any], words: Mapping[str, Any]
    ) -> tuple[Message, ...]:
        self.sent += 1
        answers = self._ask(Message(ask, arrays, {**words, "round": self.sent}))
        for one in answers:
            if one.ask == REFUSED:
                raise NetworkError(
                    f"every client must take part, {one.words.get('client')!r} refused: "
                    f"{one.words.get('text')}"
                )
        if not answers or any(one.ask != ask for one in answers):
            raise NetworkError(
                f"every client must answer {ask!r}, got {[one.ask for one in answers]}: look at "
                "the clients' own messages"
            )
        turns = [one.words.get("round") for one in answers]
        if turns != [self.sent] * len(turns):
            raise NetworkError(
                f"every client must answer message {self.sent}, got answers to {turns}: an old "
                "answer came again, or the clients run another version of vesalius; train anew"
            )
        told = tuple(str(one.words.get("client")) for one in answers)
        if self.names and told != self.names:
            raise NetworkError(
                f"every client must answer until the end, {', '.join(self.names)} began and "
                f"{', '.join(told)} answered {ask!r}: train anew without those that left"
            )
        return answers

    def _check(self, answers: tuple[Message, ...], *, secure: bool) -> None:
        """Refuse sums that are not what was asked for: a wrong shape could be added all the same.

        Raises:
            NetworkError: A client sent other arrays, or something that is not finite.
        """
        ask, kind = answers[0].ask, "<u8" if secure else "<f8"
        wanted = self._shapes(answers[0], secure=secure)
        for one in answers:
            found = {k: v.shape for k, v in one.arrays.items()}
            if found != wanted or any(v.dtype.str != kind for v in one.arrays.values()):
                raise NetworkError(
                    f"clients must answer {ask!r} with {wanted} of {kind}, "
                    f"{one.words['client']!r} sent {found}: all must run the same version of "
                    "vesalius"
                )
            if not all(np.isfinite(array).all() for array in one.arrays.values()):
                raise NetworkError(
                    f"answers to {ask!r} must be finite, that of {one.words['client']!r} is not: "
                    "train anew without it"
                )

    def _shapes(self, answer: Message, *, secure: bool) -> dict[str, tuple[int, ...]]:
        axes = _SHAPES[answer.ask]
        if self._privacy.level == "record":
            axes = {k: v for k, v in axes.items() if k != "loss"}  # it would need noise of its own
        count = len(self.features)
        sizes = {"p": count, "c": count + 1, "2": 2, "3": 3, "t": 0}
        for name in ("far", "typical"):  # the first client says how many terms there are
            if name in axes and len(getattr(answer.arrays.get(name), "shape", ())):
                sizes["t"] = answer.arrays[name].shape[0]
        limbs = (2,) if secure else ()
        return {k: (*(sizes[axis] for axis in v), *limbs) for k, v in axes.items()}


_SHAPES: dict[str, dict[str, str]] = {
    "counts": {"counts": "2"},
    "moments": {"known": "p", "sums": "p", "sizes": "p"},
    "squares": {"squares": "p"},
    "curvature": {"curvature": ""},
    "gradient": {"loss": "", "gradient": "c"},
    "curved": {"loss": "", "gradient": "c", "curvature": "cc"},
    "train": {"change": "c", "share": ""},
    "scored": {"scores": "3"},
    "within": {"batches": "", "cases": "", "far": "t", "scatter": "tt", "crossed": "tp"},
    "about": {"cases": "", "means": "p", "squares": "p", "largest": "p", "typical": "t", "all": ""},
}
"""Axes of what is answered: features, columns (one more), terms of covariates, or a number."""


def _greeting(words: Mapping[str, Any]) -> Mapping[str, Any]:
    """Check what a client says of itself."""
    texts = all(isinstance(words.get(k), str) for k in ("client", "parameters", "key"))
    lists = [words.get(k) for k in ("features", "classes")]
    if not texts or not all(
        isinstance(one, list) and all(isinstance(name, str) for name in one) for one in lists
    ):
        raise NetworkError(
            f"a client must say its name, features, parameters, classes and key, got "
            f"{sorted(words)}: both sides must run the same version of vesalius"
        )
    return words


def _check_counts(names: tuple[str, ...], counts: list[Floats]) -> None:
    for name, (cases, events) in zip(names, counts, strict=True):
        if not (cases >= 1 and 0 <= events <= cases and cases % 1 == events % 1 == 0):
            raise NetworkError(
                f"counts must be of one case or more, with as many events or fewer, {name!r} told "
                f"{cases:g} and {events:g}: train anew without it"
            )


def _agreed(hellos: list[Mapping[str, Any]], key: str) -> Any:
    for one in hellos[1:]:
        if one[key] != hellos[0][key]:
            raise ConfigError(
                f"clients must have the same {key}, {hellos[0]['client']!r} and {one['client']!r} "
                "differ: measure with one configuration, and name outcome and event alike"
            )
    return hellos[0][key]

"""Shapley: what each feature adds to the prediction of a case, against the other cases."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, final

import numpy as np
import torch

from vesalius.errors import ConfigError
from vesalius.predict._model import Model
from vesalius.predict._partial_dependence import output_of
from vesalius.predict._recalibrate import logits
from vesalius.predict._table import Floats, Table
from vesalius.predict._what_if import Ints, WhatIf, rotated, what_if

Method = Literal["additive", "trees", "sampled"]
_TOL = 1e-6
_HYBRIDS = 8
"""Random mixtures of cases on which a way to compute is tried."""
REST = "all other features"


@final
@dataclass(frozen=True, slots=True)
class Sampling:
    """How Shapley values are estimated where no exact way is known.

    Attributes:
        background: Cases of the background at most, drawn from those of the table.
        orders: Orders in which features are brought in, each also backwards.
        players: Features that are told apart; those that move the predictions least are one.

    Raises:
        ConfigError: A number is below two.
    """

    background: int = 50
    orders: int = 25
    players: int = 25

    def __post_init__(self) -> None:
        for name in ("background", "orders", "players"):
            if getattr(self, name) < 2:
                raise ConfigError(f"{name} must be at least 2, got {getattr(self, name)}")


@final
@dataclass(frozen=True, slots=True, eq=False)
class Shapley:
    """What each feature adds to each prediction.

    Attributes:
        cases: Whose predictions.
        features: Features that move a prediction; the last may stand for all others.
        values: (cases, features) what each adds; a row sums to ``predicted - base``.
        predicted: (cases,) what the model says.
        base: (cases,) mean of what it says of the background: cases of the same batch where the
            recipe harmonises, else all.
        errors: (cases, features) standard errors; 0 where the values are exact.
        output: What is said, such as ``log odds of death``.
        method: ``additive`` and ``trees`` are exact.
    """

    cases: tuple[str, ...]
    features: tuple[str, ...]
    values: Floats = field(repr=False)
    predicted: Floats = field(repr=False)
    base: Floats = field(repr=False)
    errors: Floats = field(repr=False)
    output: str
    method: Method

    @property
    def overall(self) -> Floats:
        """(features,) mean size of what each adds."""
        return np.asarray(np.abs(self.values).mean(axis=0))

    def ranked(self, case: str = "") -> tuple[int, ...]:
        """Order features by what they add to one case, or in the mean where none is named."""
        size = np.abs(self.values[self.cases.index(case)]) if case else self.overall
        return tuple(int(k) for k in np.argsort(-size, kind="stable"))


def shapley(
    model: Model,
    table: Table,
    *,
    generator: torch.Generator,
    cases: Sequence[str] = (),
    sampling: Sampling = Sampling(),
    outcome_class: str = "",
    other_parameters: bool = False,
) -> Shapley:
    """Share out predictions to the features of the table, as Shapley's value does.

    A feature that is absent takes the values of the other cases of the table, whatever the features
    beside it are (interventional). Models that add up what each feature says, steps included, are
    explained exactly on the scale on which they add (log odds for classes); trees exactly, too;
    others by antithetic orders of the features, and then what the estimates miss of the whole is
    shared out by their variance.

    Args:
        model: Fitted or loaded.
        table: Cases; they are the background, too.
        generator: Of everything that is drawn.
        cases: Which to explain; none takes all.
        sampling: For models that are not exact, and the background of trees.
        outcome_class: Class whose probability is explained; empty takes the last.
        other_parameters: Whether features of other parameters are accepted.

    Returns:
        The shares.

    Raises:
        ConfigError: A case or a class is unknown, or the table lacks a feature.

    References:
        Lundberg & Lee (2017), arXiv:1705.07874, eq. (8); Štrumbelj & Kononenko (2014),
        doi:10.1007/s10115-013-0679-x, algorithm 2; Janzing et al. (2020), PMLR 108, for absent
        features that are set free of the others.
    """
    asked, _ = what_if(model, table, other_parameters=other_parameters)
    rows = _rows_of(table, cases)
    column, words = output_of(model, outcome_class)
    game = _Game(asked, column, model.description.kind == "binary", words)
    places = list(asked.moving(rotated(asked.blocks, generator)))
    found = _additive(game, places, generator) or _trees(game, sampling, generator)
    if found is None:
        return _sampled(replace(game, log_odds=False), places, rows, sampling, generator)
    return _of_rows(found, rows)


@dataclass(frozen=True, slots=True, eq=False)
class _Game:
    """What is shared out."""

    asked: WhatIf
    column: int
    log_odds: bool
    words: str

    @property
    def output(self) -> str:
        return self.words.replace("probability of", "log odds of") if self.log_odds else self.words

    @property
    def now(self) -> Floats:
        return self.scaled(self.asked.base)

    def scaled(self, predicted: Floats) -> Floats:
        one = predicted[..., self.column]
        return logits(one) if self.log_odds else one

    def say(self, values: Floats) -> Floats:
        """Give (versions, cases) what the model says on the scale."""
        return self.scaled(self.asked.predict(values))

    def swapped(self, sets: Sequence[Sequence[int]], source: Ints) -> Floats:
        """Give (sets, cases) what it says where a set of features comes from another case."""
        own = self.asked.table.values
        values = np.repeat(own[None], len(sets), axis=0)
        for k, chosen in enumerate(sets):
            values[k][:, list(chosen)] = own[source][:, list(chosen)]
        return self.say(values)

    def base(self) -> Floats:
        """Give (cases,) the mean of what is said of the cases of the same block."""
        blocks = self.asked.blocks
        found = np.empty(len(blocks))
        for block in np.unique(blocks):
            found[blocks == block] = self.now[blocks == block].mean()
        return found

    def names(self, places: Sequence[int]) -> tuple[str, ...]:
        return tuple(self.asked.table.features[j] for j in places)


def _additive(game: _Game, places: list[int], generator: torch.Generator) -> Shapley | None:
    """Share out exactly where every feature adds its own part, whatever the others are."""
    blocks = game.asked.blocks
    first = np.array([np.flatnonzero(blocks == block)[0] for block in blocks])
    now = game.now
    gains = (now - game.swapped([[j] for j in places], first)).T
    scale = _TOL * (1 + float(np.ptp(now)))
    draws = [torch.rand(len(places), generator=generator).numpy() < 0.5 for _ in range(_HYBRIDS)]
    sets = [[j for j, chosen in zip(places, one, strict=True) if chosen] for one in draws]
    mixed = game.swapped(sets, first)
    for one, said in zip(draws, mixed, strict=True):
        if np.abs(now - gains[:, one].sum(axis=1) - said).max() > scale:
            return None
    values = np.empty_like(gains)
    for block in np.unique(blocks):
        rows = blocks == block
        values[rows] = gains[rows] - gains[rows].mean(axis=0)
    if np.abs(game.base() + values.sum(axis=1) - now).max() > scale:
        return None
    return _made(game, places, values, "additive")


def _trees(game: _Game, sampling: Sampling, generator: torch.Generator) -> Shapley | None:
    """Share out exactly where trees see features that each come from one of the table."""
    from vesalius.predict._boosting import Boosting
    from vesalius.predict._forest import Forest
    from vesalius.predict._tree_shapley import tree_shapley
    from vesalius.predict._trees import Tree

    model = game.asked.model
    estimator = model.fitted.estimator
    if not isinstance(estimator, Tree | Forest | Boosting):
        return None
    log_odds = isinstance(estimator, Boosting) and game.log_odds
    game = replace(game, log_odds=log_odds)
    seen = _seen_apart(game.asked, generator)
    if seen is None:
        return None
    slope = model.recalibration[1] if log_odds else 1.0
    column, trees = 0, (0, 1)
    if isinstance(estimator, Boosting):
        trees = (game.column, len(estimator.prior_))
    else:
        seen = seen.astype(np.float32).astype(np.float64)
        if estimator.kind_ != "number":
            wanted = 1 if model.description.kind == "binary" else game.column
            match = np.flatnonzero(estimator.seen_ == wanted)
            if not len(match):
                return None
            column = int(match[0])
    chosen = _backgrounds(game.asked.blocks, sampling.background, generator)
    values = np.zeros(seen.shape)
    base = np.empty(len(seen))
    now = game.now
    for block, rows in chosen.items():
        here = game.asked.blocks == block
        part = tree_shapley(seen[here], seen[rows], estimator.nodes_, column=column, trees=trees)
        values[here] = slope * part
        base[here] = now[rows].mean()
    if np.abs(base + values.sum(axis=1) - now).max() > _TOL * (1 + float(np.ptp(now))):
        return None
    own = [game.asked.table.features.index(name) for name in model.fitted.features]
    kept = [k for k in np.argsort(own, kind="stable").tolist() if values[:, k].any()]
    found = _made(game, [own[k] for k in kept], values[:, kept], "trees")
    return replace(found, base=base)


def _seen_apart(asked: WhatIf, generator: torch.Generator) -> Floats | None:
    """Give what the estimator sees, if each feature of it comes from the one of its name alone."""
    fitted = asked.model.fitted
    known = {name: j for j, name in enumerate(asked.table.features)}
    if any(name not in known for name in fitted.features):
        return None
    places = np.array([known[name] for name in fitted.features], dtype=np.int64)
    own = asked.table.values
    seen = fitted.transform(asked.table).values
    order = rotated(asked.blocks, generator)
    other = fitted.transform(asked.table.with_values(own[order])).values
    for _ in range(_HYBRIDS // 2):
        chosen = torch.rand(own.shape[1], generator=generator).numpy() < 0.5
        mixed = fitted.transform(asked.table.with_values(np.where(chosen, own[order], own))).values
        if not np.allclose(mixed, np.where(chosen[places], other, seen), rtol=1e-9, atol=1e-12):
            return None
    return seen


def _sampled(
    game: _Game,
    places: list[int],
    rows: Ints,
    sampling: Sampling,
    generator: torch.Generator,
) -> Shapley:
    """Estimate by bringing features in, one after another, in random orders and these backwards."""
    players, names = _players(game, places, sampling.players, generator)
    background = _backgrounds(game.asked.blocks, sampling.background, generator)
    total = np.zeros((len(rows), len(players)))
    squares = np.zeros_like(total)
    for k in range(sampling.orders):
        source = np.array([_turn(background[b], k) for b in game.asked.blocks[rows]])
        order = torch.randperm(len(players), generator=generator).tolist()
        both = [_brought(game, players, rows, source, way) for way in (order, order[::-1])]
        mean = (both[0] + both[1]) / 2
        total += mean
        squares += np.square(mean)
    values = total / sampling.orders
    spread = np.maximum(squares / sampling.orders - np.square(values), 0.0)
    variance = spread / (sampling.orders - 1)
    now, base = game.now[rows], _means(game, background)[rows]
    # what the estimates miss of the whole goes where they are least sure
    missing = now - base - values.sum(axis=1)
    weight = variance + 1e-300
    values = values + missing[:, None] * weight / weight.sum(axis=1, keepdims=True)
    cases = tuple(game.asked.table.cases[i] for i in rows)
    return Shapley(cases, names, values, now, base, np.sqrt(variance), game.output, "sampled")


def _players(
    game: _Game, places: list[int], most: int, generator: torch.Generator
) -> tuple[list[list[int]], tuple[str, ...]]:
    """Tell apart the features that move the predictions most; the others are one player."""
    if len(places) <= most:
        return [[j] for j in places], game.names(places)
    order = rotated(game.asked.blocks, generator)
    size = np.abs(game.swapped([[j] for j in places], order) - game.now).mean(axis=1)
    first = np.sort(np.argsort(-size, kind="stable")[: most - 1])
    chosen = [places[k] for k in first]
    rest = [j for j in places if j not in set(chosen)]
    return [*([j] for j in chosen), rest], (*game.names(chosen), REST)


def _brought(
    game: _Game, players: list[list[int]], rows: Ints, source: Ints, way: list[int]
) -> Floats:
    """Give (cases, players) what each adds as it comes in, in one order."""
    own = game.asked.table.values
    values = np.repeat(own[None], len(way) + 1, axis=0)
    values[:, rows] = own[source]
    for step, player in enumerate(way, start=1):
        values[step:, rows[:, None], players[player]] = own[rows][:, players[player]]
    said = game.say(values)[:, rows]
    gained = np.zeros((len(rows), len(players)))
    gained[:, way] = np.diff(said, axis=0).T
    return gained


def _backgrounds(blocks: Ints, most: int, generator: torch.Generator) -> dict[int, Ints]:
    found = {}
    for block in np.unique(blocks):
        rows = np.flatnonzero(blocks == block)
        drawn = torch.randperm(len(rows), generator=generator).numpy()[:most]
        found[int(block)] = rows[drawn]
    return found


def _turn(rows: Ints, k: int) -> int:
    return int(rows[k % len(rows)])


def _means(game: _Game, background: dict[int, Ints]) -> Floats:
    now = game.now
    return np.array([now[background[int(block)]].mean() for block in game.asked.blocks])


def _made(game: _Game, places: list[int], values: Floats, method: Method) -> Shapley:
    cases = game.asked.table.cases
    none = np.zeros_like(values)
    return Shapley(
        cases, game.names(places), values, game.now, game.base(), none, game.output, method
    )


def _of_rows(found: Shapley, rows: Ints) -> Shapley:
    return replace(
        found,
        cases=tuple(found.cases[i] for i in rows),
        values=found.values[rows],
        predicted=found.predicted[rows],
        base=found.base[rows],
        errors=found.errors[rows],
    )


def _rows_of(table: Table, cases: Sequence[str]) -> Ints:
    if not cases:
        return np.arange(len(table.cases))
    place = {name: i for i, name in enumerate(table.cases)}
    if absent := [name for name in cases if name not in place]:
        near = ", ".join(table.cases[:5])
        raise ConfigError(
            f"the case must be in the table, {absent[0]!r} is not; it has {near}, ...: check the "
            "name"
        )
    return np.array([place[name] for name in cases], dtype=np.int64)

"""Federated batches: what a client tells of its batches for ComBat: sums over them."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from vesalius.errors import RegionError
from vesalius.predict._coding import is_number, levels_of
from vesalius.predict._combat import Combat, moments_by_batch
from vesalius.predict._combat_statistics import (
    Effect,
    Model,
    Moments,
    effect_of,
    residual_squares,
)
from vesalius.predict._covariates import term_values
from vesalius.predict._gaps import check_full
from vesalius.predict._table import Floats, Table

NUMBER = "number"
"""What a client says of a covariate that holds numbers."""


def levels_of_columns(table: Table, columns: Sequence[str], fewest: int) -> dict[str, Any]:
    """Say what kept columns hold, unless it would tell of few.

    Args:
        table: Of a client.
        columns: Names.
        fewest: Cases that a level must have.

    Returns:
        By column: its levels, or that it holds numbers.

    Raises:
        RegionError: A level has fewer cases.
    """
    found: dict[str, Any] = {}
    for name in columns:
        if is_number(table, name):
            found[name] = NUMBER
            continue
        levels = levels_of(table, name)
        if levels.counts.min() < fewest:
            raise RegionError(
                f"a level of a covariate must have {fewest} cases, one of {name!r} has fewer: join "
                "levels, or keep something else"
            )
        found[name] = list(levels.names)
    return found


def batches_within(table: Table, client: str, told: Mapping[str, Any]) -> dict[str, Moments]:
    """Take the moments of the batches of a client; a client without the column is one batch.

    Args:
        table: Its cases, without gaps.
        client: Its name.
        told: ``levels`` and ``batch``, as the server sent them.

    Returns:
        By name of the batch.
    """
    check_full(table, "ComBat")
    table = with_batch(table, str(told["batch"]), client)
    levels = {str(k): [str(one) for one in v] for k, v in told["levels"].items()}
    terms = term_values(table, levels, np.zeros(0))
    return moments_by_batch(table.values, terms, levels_of(table, str(told["batch"])))


def with_batch(table: Table, batch: str, client: str) -> Table:
    """Give a table a column of batches where it has none: the name of the client."""
    if batch in table.columns:
        return table
    return replace(table, columns=table.columns.assign(**{batch: client}))


def within(moments: Mapping[str, Moments], fewest: int) -> dict[str, Floats]:
    """Sum over batches what the covariates' weights need.

    Args:
        moments: Of the batches of a client.
        fewest: Cases that a batch must have.

    Returns:
        ``batches`` and ``cases`` (how many), ``scatter``, ``crossed`` and ``far``, the sum of the
        magnitudes of the covariates' means.

    Raises:
        RegionError: A batch has fewer cases.
    """
    if min(one.cases for one in moments.values()) < fewest:
        raise RegionError(
            f"a batch must have {fewest} cases, one has fewer: join it with another scanner, or "
            "leave it out"
        )
    each = list(moments.values())
    return {
        "batches": np.array(float(len(each))),
        "cases": np.array(float(sum(one.cases for one in each))),
        "far": np.sum([np.abs(one.covariate_means) for one in each], axis=0),
        "scatter": np.sum([one.scatter for one in each], axis=0),
        "crossed": np.sum([one.crossed for one in each], axis=0),
    }


def about(moments: Mapping[str, Moments], weights: Floats, reference: str) -> dict[str, Floats]:
    """Sum over batches what the grand mean and the pooled spread need.

    Args:
        moments: Of the batches of a client.
        weights: (terms, features) of the covariates.
        reference: Batch that alone counts; empty for all.

    Returns:
        ``cases``, ``means``, ``squares`` and ``largest`` of those that count; ``typical`` and
        ``all`` of all.
    """
    count = {name: float(not reference or name == reference) for name in moments}
    pairs = [(count[name], one) for name, one in moments.items()]
    return {
        "cases": np.array(sum(k * one.cases for k, one in pairs)),
        "means": _sum(lambda one: one.cases * (one.means - one.covariate_means @ weights), pairs),
        "squares": _sum(lambda one: residual_squares(one, weights), pairs),
        "largest": _sum(lambda one: one.largest, pairs),
        "typical": _sum(lambda one: one.cases * one.covariate_means, [(1.0, p[1]) for p in pairs]),
        "all": np.array(float(sum(one.cases for one in moments.values()))),
    }


def with_batches(shared: Combat, table: Table, client: str) -> Combat:
    """Freeze what the shared part does to the batches of a hospital.

    Args:
        shared: As ``combat_over`` gives it.
        table: The hospital's cases.
        client: Name of its batch where the table has no column of batches.

    Returns:
        A step for the hospital's own, also for single new cases.
    """
    moments = batches_within(
        table.select(shared.features_), client, {"levels": shared.levels_, "batch": shared.batch}
    )
    model = Model(shared.mean_, shared.weights_, shared.deviation_, shared.typical_)
    none = Effect(np.zeros_like(model.mean), np.ones_like(model.mean))
    effects = [
        none if name == shared.reference else effect_of(one, model, shared.shrinkage)
        for name, one in moments.items()
    ]
    return shared.restored(
        shared.state()
        | {
            "batches_": tuple(moments),
            "location_": np.stack([one.location for one in effects]),
            "scale_": np.stack([one.scale for one in effects]),
        }
    )


def _sum(of: Callable[[Moments], Floats], pairs: Sequence[tuple[float, Moments]]) -> Floats:
    return np.asarray(np.sum([count * of(one) for count, one in pairs], axis=0))

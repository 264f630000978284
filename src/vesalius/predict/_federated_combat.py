"""Federated ComBat: one grand mean and spread of several hospitals, learned from sums alone."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from vesalius.errors import ConfigError, RegionError
from vesalius.predict._combat import Combat
from vesalius.predict._combat_statistics import (
    Model,
    Moments,
    check_spread,
    within_weights,
)
from vesalius.predict._covariates import term_names
from vesalius.predict._federated_batches import NUMBER
from vesalius.predict._federated_round import Channel, Rounds
from vesalius.predict._private import Privacy
from vesalius.predict._table import Floats


def combat_over(
    ask: Channel, settings: Combat, *, features: Sequence[str] = (), secure: bool = False
) -> Combat:
    """Learn what all hospitals share for ComBat, from sums over the batches within each of them.

    What one batch does never leaves its hospital: it follows from its own cases and from what is
    shared, so each finds it for itself. The result knows no batch, and treats the cases of every
    hospital as those of a new one, which gives what ComBat of all cases together would.

    Args:
        ask: Reaches every client.
        settings: How; ``batch`` names a column, and a client without it is one batch; a
            ``reference`` must be one batch of one client.
        features: What is harmonised; empty takes those of the clients.
        secure: Whether sums are masked.

    Returns:
        The shared part. ``with_batches`` freezes what it does to one hospital.

    Raises:
        NetworkError: A client refuses: fewer than ``fewest`` cases in a batch or a level, a gap.
        ConfigError: Covariates cannot be told from each other or from the batches.
        RegionError: There is one batch only, or the reference is no batch.
        IntensityError: A feature is constant within every batch.
    """
    if not settings.batch:
        raise ConfigError(
            "ComBat over hospitals must have a name for the column of batches, got none: give "
            'batch="site"; a client without the column is one batch'
        )
    rounds = Rounds(ask, tuple(features), secure=secure, privacy=Privacy())
    levels = _levels(rounds.words("levels", {"keep": list(settings.keep)}), settings.keep)
    told = {"levels": levels, "batch": settings.batch, "reference": settings.reference}
    within = rounds.sums("within", {}, told)
    if within["batches"] < 2:
        raise RegionError(
            f"ComBat must have at least 2 batches, got {within['batches']:g}: let another hospital "
            "join, or name a column of scanners"
        )
    weights = _weights(within, term_names(levels))
    found = rounds.sums("about", {"weights": weights}, told)
    cases = float(found["cases"])
    if not cases:
        raise RegionError(
            f"the reference must be a batch of a client, {settings.reference!r} is none: look for "
            "its spelling"
        )
    variance = found["squares"] / cases
    # the sum of magnitudes over batches stands for the greatest, which no sum tells
    deviation = np.where(np.sqrt(variance) <= 1e-11 * found["largest"], 0.0, np.sqrt(variance))
    typical = found["typical"] / float(found["all"])
    model = Model(found["means"] / cases, weights, deviation, typical)
    check_spread(model, rounds.features, settings.reference)
    nothing = np.zeros((0, len(rounds.features)))
    return settings.restored(
        {
            "features_": rounds.features,
            "batches_": (),
            "levels_": levels,
            "mean_": model.mean,
            "weights_": model.weights,
            "deviation_": model.deviation,
            "typical_": model.typical,
            "location_": nothing,
            "scale_": nothing,
        }
    )


def _weights(sums: Mapping[str, Floats], terms: Sequence[str]) -> Floats:
    features = np.zeros(sums["crossed"].shape[1])
    together = Moments(
        int(sums["cases"]),
        sums["far"],
        features,
        sums["scatter"],
        sums["crossed"],
        features,
        features,
    )
    return within_weights([together], terms)


def _levels(answers: Sequence[Mapping[str, Any]], keep: Sequence[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name in keep:
        kinds = [one["levels"][name] for one in answers]
        numbers = [kind == NUMBER for kind in kinds]
        if any(numbers) != all(numbers):
            raise ConfigError(
                f"the covariate {name!r} must be of one kind in all hospitals, got numbers and "
                "texts: write it alike"
            )
        found[name] = [] if all(numbers) else sorted({text for kind in kinds for text in kind})
    return found

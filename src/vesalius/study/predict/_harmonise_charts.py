"""Charts of a harmonisation: cases by batch, shares of variance, distributions, outcome."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vesalius.study._charts import COLOURS, Bars, Chart, Line, bars, lines, scatter
from vesalius.study.predict._harmonise_told import Seen, Told

TESTS = {
    "anderson": "distribution (AD)",
    "ks": "distance (KS)",
    "kruskal": "location (KW)",
    "adjusted": "mean, adjusted (F)",
}
"""Tests, and what they look for."""
_SHOWN = 3
_POINTS = 400
_FRAME = (0.01, 0.99)  # of the values, and half as much beyond

Values = NDArray[np.float64]


def pictures_of(told: Told) -> tuple[Chart, ...]:
    """Draw the cases by batch, before and after.

    Args:
        told: The run.

    Returns:
        One chart or two.
    """
    found = [_components("before", told.before)]
    if told.after is not None:
        found.append(_components("after", told.after))
    return tuple(found)


def charts_of(told: Told) -> tuple[Chart, ...]:
    """Draw shares of features and of variance, densities, and effects on the outcome.

    Args:
        told: The run.

    Returns:
        The charts.
    """
    found = [_affected(told), _shares(told)]
    if told.before.outcome is not None:
        found.append(_crude_and_adjusted(told))
    names = told.before.effects.most_affected(_SHOWN)
    for when, seen in _both(told):
        found += [_distribution(name, when, seen) for name in names]
    return tuple(found)


def _components(when: str, seen: Seen) -> Chart:
    effects = seen.effects
    framed, outside = _framed(effects.coordinates)
    groups = [
        Line(f"{effects.batches[k]} ({effects.counts[k]})", *framed[own].T)
        for k, own in _by_size(seen)
    ]
    first, second = effects.explained
    # what was made alike on these cases is more alike than chance, and a p says nothing
    p = "" if when == "after" else f" (p = {effects.silhouette_p:.3f})"
    more = " Grey: all further batches." if len(groups) > len(COLOURS) else ""
    more += f" {outside} cases lie beyond the frame and stand on it." if outside else ""
    return scatter(
        f"Cases {when}".strip(),
        f"on the two directions in which they differ most: batches should be mixed. Silhouette of "
        f"the batches {effects.silhouette:.3f}{p}.{more}",
        groups,
        axes=(f"component 1 ({first:.0%})", f"component 2 ({second:.0%})"),
    )


def _framed(values: Values) -> tuple[Values, int]:
    """Bring the few cases that are far from all others to the frame of the others."""
    if not len(values):
        return values, 0
    low, high = np.quantile(values, _FRAME, axis=0)
    room = (high - low) / 2
    framed = np.clip(values, low - room, high + room)
    return framed, int((framed != values).any(axis=1).sum())


def _by_size(seen: Seen) -> list[tuple[int, NDArray[np.bool_]]]:
    effects = seen.effects
    order = np.argsort(-np.array(effects.counts), kind="stable")
    return [(int(k), effects.codes == k) for k in order]


def _affected(told: Told) -> Chart:
    tests = [name for name in TESTS if name in told.before.effects.tests]
    values = [
        Bars(when, np.array([100 * seen.effects.affected[name] for name in tests]))
        for when, seen in _both(told)
    ]
    return bars(
        "Features that differ between batches",
        "with false discoveries held at 5 %; what differs between the patients of the batches "
        "counts too, unless the covariates explain it.",
        [TESTS[name] for name in tests],
        of=values,
        axis="features, %",
    )


def _shares(told: Told) -> Chart:
    names = told.before.effects.shares.names
    values = [
        Bars(when, np.array([100 * seen.effects.shares.share(name) for name in names]))
        for when, seen in _both(told)
    ]
    held = told.before.effects.shares
    return bars(
        "What the difference between cases goes with",
        f"shares of the variance of the main components ({held.components} hold "
        f"{held.explained:.0%} before); what goes with two columns and can be given to neither is "
        "shared.",
        list(names),
        of=values,
        axis="variance, %",
    )


def _distribution(name: str, when: str, seen: Seen) -> Chart:
    """Draw the share of the cases of each batch at or below each value: no width to be chosen."""
    values = seen.table.values[:, seen.table.features.index(name)]
    known = ~np.isnan(values)
    framed, _ = _framed(values[known][:, None])
    x = np.linspace(framed.min(), framed.max(), _POINTS)
    groups = []
    for k, own in _by_size(seen)[: len(COLOURS)]:
        mine = np.sort(values[own & known])
        below = np.searchsorted(mine, x, side="right") / max(len(mine), 1)
        groups.append(Line(seen.effects.batches[k], x, np.asarray(below)))
    more = " The ten largest batches." if len(seen.effects.batches) > len(COLOURS) else ""
    return lines(
        f"{when}: {name}".removeprefix(": "),
        f"one of the features that differed most: lines of batches should agree.{more}",
        groups,
        axes=("value", "share of the cases at or below it"),
    )


def _crude_and_adjusted(told: Told) -> Chart:
    groups = []
    for when, seen in _both(told):
        assert seen.outcome is not None  # the caller asked
        crude, adjusted = seen.outcome.crude.estimate, seen.outcome.adjusted.estimate
        there = ~np.isnan(crude) & ~np.isnan(adjusted)
        x, y = crude[there], adjusted[there]
        if seen.outcome.null == 1.0:
            x, y = np.log2(x), np.log2(y)
        framed, _ = _framed(np.stack((x, y), axis=1))
        groups.append(Line(when, *framed.T))
    ratio = told.before.outcome is not None and told.before.outcome.null == 1.0
    what = "log2 of the odds ratio" if ratio else "change of the outcome"
    return scatter(
        "Features and outcome",
        "each point is a feature, for one standard deviation: on the diagonal adjusting changes "
        "nothing; a point in the upper left or lower right turns round (Simpson's paradox). "
        "The few far beyond the others stand on the frame.",
        groups,
        axes=(f"{what}, crude", "adjusted"),
    )


def _both(told: Told) -> Sequence[tuple[str, Seen]]:
    if told.after is None:
        return (("", told.before),)
    return (("before", told.before), ("after", told.after))

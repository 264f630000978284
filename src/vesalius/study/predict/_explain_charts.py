"""Explain charts: bars with intervals, curves of single features, the way to one prediction."""
# SPDX-License-Identifier: Apache-2.0

import numpy as np

from vesalius.predict.explain import (
    Importance,
    PartialDependence,
    PermutationImportance,
    Shapley,
)
from vesalius.study._charts import COLOURS, INK, Chart
from vesalius.study._curve_charts import Bar, forest, open_figure
from vesalius.study._figures import figure_png

MOST = 15
"""Bars of a chart."""
_CURVES = 60
"""Cases whose curves are drawn."""
SCORES = {"auc": "AUC", "r2": "R²", "concordance": "C-index"}


def importance_charts(found: PermutationImportance) -> tuple[Chart, ...]:
    """Draw what the score loses without each feature, and without each group.

    Args:
        found: The importance.

    Returns:
        One chart for single features; a second where features are grouped.
    """
    if not found.single:
        return ()
    note = "how much the score drops when the feature is shuffled among the cases, with intervals"
    charts = [_bars("Without one feature", note, found.single, found)]
    if any(len(one.features) > 1 for one in found.groups):
        note = (
            "the same for groups of which every two features are correlated: twins cannot hide "
            "each other"
        )
        charts.append(_bars("Without a group of correlated features", note, found.groups, found))
    return tuple(charts)


def curve_charts(curves: tuple[PartialDependence, ...]) -> tuple[Chart, ...]:
    """Draw how the prediction moves with each feature, on one scale.

    Args:
        curves: One for each feature.

    Returns:
        A chart for each.
    """
    if not curves:
        return ()
    every = np.concatenate([one.curves[:: _every(one)].ravel() for one in curves])
    pad = 0.04 * max(float(np.ptp(every)), 1e-12)
    limits = (float(every.min()) - pad, float(every.max()) + pad)
    return tuple(_curve(one, limits) for one in curves)


def share_charts(found: Shapley, case: str) -> tuple[Chart, ...]:
    """Draw what each feature adds to a prediction in the mean, and to that of one case.

    Args:
        found: The shares.
        case: Which; empty for none.

    Returns:
        The charts; none where no feature adds anything.
    """
    if not found.features:
        return ()
    first = found.ranked()[:MOST]
    note = (
        f"mean size of what a feature adds to the {found.output}, over {len(found.cases)} cases "
        f"({_HOW[found.method]})"
    )
    rows = [
        Bar(short(found.features[k]), float(found.overall[k]), 0.0, float(found.overall[k]))
        for k in first
    ]
    chart = forest("What each feature adds", note, rows, axis=found.output)
    return (chart,) if not case else (_waterfall(found, case), chart)


_HOW = {
    "additive": "exact Shapley values",
    "trees": "exact Shapley values",
    "sampled": "Shapley values, sampled",
}


def _waterfall(found: Shapley, case: str) -> Chart:
    """Draw the way from the mean of the background to the prediction of a case."""
    row = found.cases.index(case)
    order = found.ranked(case)
    first, rest = order[: MOST - 3], order[MOST - 3 :]
    names = [short(found.features[k]) for k in first]
    adds = [float(found.values[row, k]) for k in first]
    if rest:
        names.append(f"{len(rest)} others")
        adds.append(float(found.values[row, list(rest)].sum()))
    names, adds = names[::-1], adds[::-1]  # from the base at the bottom to the prediction on top
    figure, (ax,) = open_figure((4.6, 1.0 + 0.25 * len(adds)))
    at = float(found.base[row])
    for k, add in enumerate(adds):
        ax.barh(k, add, left=at, height=0.7, color=COLOURS[0] if add >= 0 else COLOURS[1])
        ax.text(
            1.02,
            k,
            f"{add:+.3f}",
            transform=ax.get_yaxis_transform(),
            va="center",
            fontsize=7.5,
            color=INK,
        )
        at += add
        ax.vlines(at, k - 0.35, k + (1.35 if k + 1 < len(adds) else 0.8), color=INK, lw=0.7)
    ax.axvline(found.base[row], color=INK, lw=0.8, ls="--")
    ax.set_yticks(range(len(adds)), names)
    ax.set_ylim(-0.6, len(adds) - 0.2)
    ax.set_xlabel(found.output)
    note = (
        f"from {found.base[row]:.3f}, the mean of the background (dashed), at the bottom, to "
        f"{found.predicted[row]:.3f} at the top ({_HOW[found.method]})"
    )
    return Chart(f"Case {case}: what each feature adds", note, figure_png(figure))


def short(name: str, most: int = 34) -> str:
    """Shorten a name in its middle, since its end tells features apart."""
    return name if len(name) <= most else name[: most // 3] + "…" + name[-(most - most // 3 - 1) :]


def named(one: Importance) -> str:
    """Name a feature or a group."""
    more = f" + {len(one.features) - 1}" if len(one.features) > 1 else ""
    return short(one.features[0]) + more


def _bars(title: str, note: str, of: tuple[Importance, ...], found: PermutationImportance) -> Chart:
    rows = [
        Bar(named(one), one.drop.value, one.drop.low, one.drop.high, f"{one.drop.value:+.3f}")
        for one in of[:MOST]
    ]
    rest = f"; the first {MOST} of {len(of)}" if len(of) > MOST else ""
    return forest(title, note + rest, rows, axis=f"loss of {SCORES[found.score]}", reference=0.0)


def _every(one: PartialDependence) -> int:
    return max(1, -(-len(one.curves) // _CURVES))


def _curve(one: PartialDependence, limits: tuple[float, float]) -> Chart:
    figure, (top, below) = open_figure((4.6, 3.4), heights=(4.0, 1.0))
    for row in one.curves[:: _every(one)]:
        top.plot(one.at, row, "-", color=INK, lw=0.5, alpha=0.35)
    top.plot(one.at, one.mean, "-", color=COLOURS[0], lw=2.4)
    top.set_ylim(*limits)
    top.set_ylabel(one.output if len(one.output) < 30 else "prediction")
    known = one.values[np.isfinite(one.values)]
    left, right = float(one.at[0]), float(one.at[-1])
    inside = known[(known >= left) & (known <= right)]
    if right > left:
        below.hist(inside, bins=np.linspace(left, right, 31), color=COLOURS[0], alpha=0.7)
    below.set_yticks([])
    below.spines["left"].set_visible(False)
    below.set_xlabel(
        short(one.feature, 44) + (f" [{one.unit}]" if one.unit not in ("", "1") else "")
    )
    few = len(one.curves[:: _every(one)])
    note = (
        f"the mean of {len(one.curves)} cases moves by {one.reach:.3g}; thin lines are {few} "
        "single cases, the bars below say how many cases have such a value"
    )
    return Chart(short(one.feature, 44), note, figure_png(figure))

"""Charts of a cohort: features by group, missing values, shifts, time and memory."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Sequence
from typing import Any

import numpy as np

from vesalius.study._charts import COLOURS, INK, Bars, Chart, Line, bars, dress, scatter
from vesalius.study._figures import figure_png
from vesalius.study.cohort._tell import FAR, Floats, Told

_ROWS = 8
_POINTS = 2000
_ALARM = "#d1495b"
_NAME = 26
_FEW = 60


def feature_charts(told: Told, names: Sequence[str]) -> tuple[Chart, ...]:
    """Draw the values of each feature, a row for each group.

    Args:
        told: The cohort.
        names: The features.

    Returns:
        One chart for each.
    """
    return tuple(_strips(told, name) for name in names)


def other_charts(told: Told) -> tuple[Chart, ...]:
    """Draw what batches change, and what the cases took.

    Args:
        told: The cohort.

    Returns:
        The charts for which there is something to show.
    """
    return (*_shifts(told), *_costs(told))


def _strips(told: Told, name: str) -> Chart:
    from matplotlib.figure import Figure

    place = told.features.index(name)
    groups = [g for g in told.groups if not np.isnan(g.values[:, place]).all()][:_ROWS]
    # one axis for all only where all have one unit
    one = len(told.units.get(name, ())) <= 1
    height = 0.75 + len(groups) * (0.42 if one else 0.72)
    figure = Figure(figsize=(4.6, height), dpi=160, layout="constrained", facecolor="none")
    axes = figure.subplots(len(groups), 1, squeeze=False, sharex=one)[:, 0]
    for row, (ax, group) in enumerate(zip(axes, groups, strict=True)):
        dress(ax)
        _strip(ax, group.values[:, place], group.z[:, place], COLOURS[row % len(COLOURS)])
        title = group.name if len(group.name) < _NAME else group.name[: _NAME - 1] + "…"
        ax.set_title(title, fontsize=8, loc="left", color=INK, pad=1)
        if one and row < len(groups) - 1:
            ax.tick_params(labelbottom=False)
    unit = " or ".join(told.units.get(name, ("",)))
    axes[-1].set_xlabel(f"{name} ({unit})" if unit not in ("", "1") else name)
    more = f" The {_ROWS} largest groups." if len(told.groups) > _ROWS else ""
    own = "" if one else " Units differ: each group has its own scale."
    return Chart(
        name,
        f"a point is a region, the line the median; red is {FAR:g} robust standard deviations "
        f"away or more.{own}{more}",
        figure_png(figure),
    )


def _strip(ax: Any, values: Floats, z: Floats, colour: str) -> None:
    known = np.flatnonzero(~np.isnan(values))
    if len(known) > _POINTS:  # every one of the far ones, and every k-th of the others
        distant = known[np.abs(z[known]) >= FAR]
        known = np.union1d(known[:: -(-len(known) // _POINTS)], distant)
    x = values[known]
    height = _jitter(len(x))
    far = np.abs(np.nan_to_num(z[known])) >= FAR
    size = 26 if len(x) <= _FEW else 12
    ax.scatter(x[~far], height[~far], s=size, color=colour, alpha=0.6, linewidths=0)
    ax.scatter(x[far], height[far], s=size + 6, color=_ALARM, linewidths=0)
    ax.axvline(float(np.median(x)), color=INK, lw=1)
    ax.set_ylim(-1.3, 1.3)
    ax.set_yticks([])
    ax.spines["left"].set_visible(False)


def _jitter(count: int) -> Floats:
    """Spread points evenly in height, the same in every report: steps of the golden ratio."""
    return np.asarray((np.arange(count) * 0.6180339887498949) % 1.0 * 2 - 1, dtype=np.float64)


def _shifts(told: Told) -> tuple[Chart, ...]:
    tested = [(s.group, s.effects) for s in told.shifts if s.effects is not None][:_ROWS]
    if not tested:
        return ()
    affected = np.array([100 * effects.affected["anderson"] for _, effects in tested])
    share = np.array([100 * effects.shares.share(told.batch) for _, effects in tested])
    return (
        bars(
            f"What {told.batch} changes",
            "features whose distribution differs between batches (Anderson-Darling, false "
            "discoveries held at 5 %), and variance of the main components that goes with the "
            "batch. What differs between the patients of the batches counts too.",
            [name for name, _ in tested],
            of=(Bars("features", affected), Bars("variance", share)),
            axis="%",
        ),
    )


def _costs(told: Told) -> tuple[Chart, ...]:
    known = [cost for cost in told.costs.values() if cost.voxels > 0]
    if not known:
        return ()
    size = np.array([cost.voxels / 1e6 for cost in known])
    seconds = np.array([cost.cpu_seconds for cost in known])
    memory = np.array([cost.peak_bytes / 2**20 for cost in known])
    charts = [
        scatter(
            "Time",
            "processor time of each case against its size, as the runs that measured it saw it.",
            [Line("", size, seconds)],
            axes=("voxels, millions", "processor time, s"),
        )
    ]
    if memory.any():
        told_of = memory > 0
        charts.append(
            scatter(
                "Memory",
                "most memory of the process that measured the case.",
                [Line("", size[told_of], memory[told_of])],
                axes=("voxels, millions", "memory, MB"),
            )
        )
    return tuple(charts)

"""Views: cases of many features on a few axes, with what the picture hides."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass, field
from typing import final

import numpy as np

from vesalius.errors import RegionError
from vesalius.predict._embed_methods import ViewSettings, laid_out
from vesalius.predict._embed_quality import Faithfulness, faithfulness
from vesalius.predict._impute import Impute
from vesalius.predict._table import Floats, Table
from vesalius.predict._target import Target

LEAST = 8
"""Cases of a view."""
DOUBTED = 0.85
"""Trustworthiness below which neighbours in a picture are often none."""


@final
@dataclass(frozen=True, slots=True, eq=False)
class View:
    """Cases on a few axes.

    Attributes:
        settings: How they were laid out.
        cases: Identifier of each.
        names: Of the axes.
        coordinates: (cases, axes).
        explained: (axes,) share of the variance that each axis shows, for pca; empty else.
        faithful: Whether neighbourhoods are kept.
        remarks: What must be known before it is read.
    """

    settings: ViewSettings
    cases: tuple[str, ...]
    names: tuple[str, ...]
    coordinates: Floats = field(repr=False)
    explained: Floats = field(repr=False)
    faithful: Faithfulness
    remarks: tuple[str, ...] = ()


def embed(table: Table, settings: ViewSettings, *, target: Target | None = None) -> View:
    """Lay cases out on a few axes, for looking; nothing of it belongs into a model.

    Gaps are filled with the median and features scaled to a standard deviation of 1 first.

    Args:
        table: The cases.
        settings: Method, axes, neighbours.
        target: Outcome of the cases; only lda looks at it.

    Returns:
        The view, with its trustworthiness and continuity.

    Raises:
        RegionError: There are too few cases, or no feature differs.
        ConfigError: There are more axes or neighbours than cases allow, or lda has no outcome.
        ExtraError: UMAP is not installed.
    """
    values = comparable(table)
    if len(values) < max(LEAST, 2 * settings.neighbours + 1):
        raise RegionError(
            f"a view with {settings.neighbours} neighbours must have at least "
            f"{max(LEAST, 2 * settings.neighbours + 1)} cases, got {len(values)}: take fewer "
            "neighbours, or more cases"
        )
    found = laid_out(values, settings, target)
    kept = faithfulness(values, found.coordinates, settings.neighbours)
    remarks = list(found.remarks)
    if kept.trustworthiness < DOUBTED:
        remarks.append(
            f"Trustworthiness is {kept.trustworthiness:.2f}: many who are neighbours in this "
            "picture are none in the features."
        )
    word = {"pca": "PC", "lda": "LD", "tsne": "t-SNE ", "umap": "UMAP "}
    prefix = word.get(settings.method, settings.method + " ")
    names = tuple(f"{prefix}{k + 1}" for k in range(settings.axes))
    return View(
        settings, table.cases, names, found.coordinates, found.explained, kept, tuple(remarks)
    )


def comparable(table: Table) -> Floats:
    """Fill gaps with the median and scale features to a standard deviation of 1.

    Args:
        table: The cases.

    Returns:
        (cases, features that differ).

    Raises:
        RegionError: No feature differs between cases.
    """
    full = Impute().fit(table).transform(table) if np.isnan(table.values).any() else table
    spread = full.values.std(axis=0)
    size = np.abs(full.values).max(axis=0, initial=0.0)
    differs = spread > 1e-12 * np.maximum(size, 1e-300)
    if not differs.any():
        raise RegionError(
            f"at least one feature must differ between cases, none of {len(table.features)} does"
        )
    kept = full.values[:, differs]
    return np.asarray((kept - kept.mean(axis=0)) / spread[differs])

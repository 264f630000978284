"""View page: pictures of cases, coloured by outcome, batch and group, with what they hide."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import final

import numpy as np

from vesalius.predict import Description, Table
from vesalius.predict.views import Concentration, Grouping, View
from vesalius.study._charts import Chart, Line, scatter
from vesalius.study._report import Heading
from vesalius.study._stage_page import Page, Titles
from vesalius.study.predict._harmonise_charts import _framed

TITLES = Titles(
    findings="Before you read the pictures", charts="The cases", rows="How far to believe them"
)
WORDS = {
    "pca": "Principal components",
    "lda": "Linear discriminants",
    "isomap": "Isomap",
    "lle": "Locally linear embedding",
    "laplacian": "Laplacian eigenmaps",
    "tsne": "t-SNE",
    "umap": "UMAP",
}
SOURCES = {
    "pca": "principal component analysis",
    "lda": "linear discriminant analysis with shrinkage",
    "isomap": "Isomap (doi:10.1126/science.290.5500.2319)",
    "lle": "locally linear embedding (doi:10.1126/science.290.5500.2323)",
    "laplacian": "Laplacian eigenmaps (doi:10.1162/089976603321780317)",
    "tsne": "t-SNE (van der Maaten and Hinton, 2008)",
    "umap": "UMAP (arXiv:1802.03426)",
}
MOST_VALUES = 10
"""Values of a column that have a colour each; numbers of more are parted in thirds."""


@final
@dataclass(frozen=True, slots=True, eq=False)
class Shown:
    """Views of a table that were made.

    Attributes:
        source: Name of the table.
        table: Its cases.
        description: What its columns mean.
        views: The pictures.
        groups: Of the cases; None where there are too few.
        near: Whether distances mean something.
        colours: More columns that colour the points.
        record: Provenance, JSON types.
    """

    source: str
    table: Table = field(repr=False)
    description: Description
    views: tuple[View, ...]
    groups: Grouping | None
    near: Concentration
    colours: tuple[str, ...] = ()
    record: Mapping[str, object] = field(default_factory=dict, repr=False)

    @property
    def remarks(self) -> tuple[str, ...]:
        """What must be known, each once, the gravest first."""
        said = [self.near.remark] if self.near.remark else []
        if self.near.duplicates:
            said.append(f"{self.near.duplicates} cases lie exactly on another: look for copies.")
        for view in self.views:
            word = WORDS[view.settings.method]
            said += [f"{word}: {remark}" for remark in view.remarks]
        if self.groups is not None:
            said.append(self.groups.remark)
        return tuple(dict.fromkeys(said))


def view_page(shown: Shown) -> Page:
    """Make the page.

    Args:
        shown: The views.

    Returns:
        The page.
    """
    near = shown.near
    size = f"{len(shown.table.cases)} cases of {len(shown.table.features)} features"
    groups = [("Groups", str(shown.groups.count))] if shown.groups else []
    return Page(
        Heading("Cases at a glance", f"{size} on two axes. Table: {shown.source}."),
        findings=shown.remarks,
        facts=(
            ("Cases", str(len(shown.table.cases))),
            ("Features", str(len(shown.table.features))),
            ("Intrinsic dimension", f"{near.dimension:.1f}"),
            ("Relative contrast", f"{near.contrast:.2f}"),
            *groups,
        ),
        charts=tuple(chart for view in shown.views for chart in _charts(view, shown)),
        columns=("View", "Trustworthiness", "Continuity", "Neighbours", "Variance shown"),
        rows=tuple(_row(view) for view in shown.views),
        rows_note=(
            "Trustworthiness: neighbours in the picture are neighbours in the features. "
            "Continuity: the other way round. 1 is perfect."
        ),
        methods=_methods(shown),
        provenance=shown.record,
        titles=TITLES,
    )


def broken_view_page(error: str, source: str) -> Page:
    """Make the page of a view that was refused.

    Args:
        error: Why.
        source: Name of the table.

    Returns:
        The page.
    """
    lead = f"Nothing of {source} could be shown; see below."
    return Page(Heading("No view was made", lead), errors=(error,), titles=TITLES)


def parted(values: Sequence[object]) -> list[tuple[str, np.ndarray]]:
    """Part cases by a column: by its values, or in thirds where it holds many numbers.

    Args:
        values: Of the column, one a case.

    Returns:
        Name and rows of each part; what is missing comes last.
    """
    texts = np.array([_text(one) for one in values])
    names = sorted(set(texts) - {""}, key=_order)
    found: list[tuple[str, np.ndarray]] = []
    if len(names) > MOST_VALUES and all(_is_number(name) for name in names):
        known = np.array([float(text) if text else np.nan for text in texts])
        low, high = np.nanquantile(known, (1 / 3, 2 / 3))
        found = [
            (f"up to {low:.4g}", known <= low),
            (f"to {high:.4g}", (known > low) & (known <= high)),
            (f"above {high:.4g}", known > high),
        ]
    else:
        found = [(name, texts == name) for name in names]
    found.append(("missing", texts == ""))
    return [(name, rows) for name, rows in found if rows.any()]


def _charts(view: View, shown: Shown) -> list[Chart]:
    word, kept = WORDS[view.settings.method], view.faithful
    note = f"trustworthiness {kept.trustworthiness:.2f}, continuity {kept.continuity:.2f}"
    if view.explained.size:
        note += f"; {100 * view.explained.sum():.0f} % of the variance"
    made = []
    for name, values in _columns(shown):
        by = f"{word}, by {name}" if name else word
        made.append(_picture(by, note, view, parted(values) if name else [("", _all(view))]))
    return made


def _columns(shown: Shown) -> list[tuple[str, Sequence[object]]]:
    said = shown.description
    names = dict.fromkeys((said.outcome, said.batch, said.site, *shown.colours))
    found: list[tuple[str, Sequence[object]]] = [
        (name, shown.table.column(name).tolist()) for name in names if name
    ]
    if shown.groups is not None and shown.groups.count > 1:
        found.append(("group", [f"group {k + 1}" for k in shown.groups.labels.tolist()]))
    return found or [("", [])]


def _all(view: View) -> np.ndarray:
    return np.ones(len(view.cases), dtype=bool)


def _picture(title: str, note: str, view: View, by: list[tuple[str, np.ndarray]]) -> Chart:
    x, outside = _framed(view.coordinates[:, :2])
    axes = tuple(_axis(view, k) for k in range(x.shape[1]))
    if x.shape[1] == 1:  # points are parted upwards so that they can be seen
        x = np.column_stack([x, np.random.default_rng(0).uniform(size=len(x))])
        axes = (*axes, "no meaning")
    if outside:
        note += f"; {outside} cases lie beyond the frame and stand on it"
    groups = [Line(_brief(name), *x[rows].T) for name, rows in by]
    return scatter(title, note, groups, axes=(axes[0], axes[1]))


def _brief(name: str) -> str:
    return name if len(name) < 22 else name[:20] + "…"


def _axis(view: View, k: int) -> str:
    share = f" ({100 * view.explained[k]:.0f} %)" if view.explained.size else ""
    return view.names[k] + share


def _row(view: View) -> tuple[str, ...]:
    kept = view.faithful
    shares = f"{100 * view.explained.sum():.1f} %" if view.explained.size else "–"
    return (
        WORDS[view.settings.method],
        f"{kept.trustworthiness:.3f}",
        f"{kept.continuity:.3f}",
        str(kept.neighbours),
        shares,
    )


def _methods(shown: Shown) -> tuple[str, ...]:
    how = ", ".join(SOURCES[view.settings.method] for view in shown.views)
    groups = (
        " Groups were sought by k-means on principal components, their number by the gap statistic "
        "(doi:10.1111/1467-9868.00293) and the silhouette (doi:10.1016/0377-0427(87)90125-7)."
        if shown.groups
        else ""
    )
    return (
        f"Gaps were filled with the median and features scaled; cases were laid out by {how}, with "
        f"{shown.views[0].settings.neighbours} neighbours. Trustworthiness and continuity are "
        "of Venna and Kaski (doi:10.1007/3-540-44668-0_68); the relative contrast is that of Beyer "
        "et al. (doi:10.1007/3-540-49257-7_15), the intrinsic dimension that of Facco et al. "
        f"(doi:10.1038/s41598-017-11873-y).{groups}",
    )


def _text(value: object) -> str:
    if isinstance(value, float | np.floating):
        return "" if value != value else f"{float(value):.6g}"
    return "" if value is None else str(value).strip()


def _order(text: str) -> tuple[int, float, str]:
    return (0, float(text), text) if _is_number(text) else (1, 0.0, text)


def _is_number(text: str) -> bool:
    try:
        return bool(np.isfinite(float(text)))
    except ValueError:
        return False

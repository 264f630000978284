"""View of a table: its cases on a few axes, coloured by what is known of them."""
# SPDX-License-Identifier: Apache-2.0

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, final

import numpy as np
import torch

from vesalius.core import Step
from vesalius.core._provenance import Provenance
from vesalius.errors import ConfigError, OutputError, VesaliusError
from vesalius.io.tables import write_csv
from vesalius.predict import Table, Target, read_table, target_of
from vesalius.predict._read import table_file
from vesalius.predict.views import (
    Grouping,
    View,
    ViewMethod,
    ViewSettings,
    comparable,
    concentration,
    embed,
    group_cases,
)
from vesalius.study._folder import hash_file, make_folder, put
from vesalius.study._stage_page import render_page
from vesalius.study.predict._done import Done
from vesalius.study.predict._job import Columns
from vesalius.study.predict._view_page import Shown, broken_view_page, view_page

if TYPE_CHECKING:
    import pandas as pd

OnStep = Callable[[Step], None]
REPORT, TABLE, RECORD = "report.html", "view.csv", "provenance.json"
COMPONENTS = 10
"""Principal components at most in which groups are sought."""
MOST_GROUPS = 8


@final
@dataclass(frozen=True, slots=True)
class ViewJob:
    """What is asked of a view.

    Attributes:
        columns: Of the table; outcome, batch and site colour the points.
        colours: More columns that colour them.
        methods: How cases are laid out, each on a picture of its own.
        neighbours: As of ``ViewSettings``.
        seed: Of everything that is drawn.

    Raises:
        ConfigError: No method is named, or one twice.
    """

    columns: Columns = field(default_factory=Columns)
    colours: tuple[str, ...] = ()
    methods: tuple[ViewMethod, ...] = ("pca",)
    neighbours: int = 15
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.methods or len(set(self.methods)) < len(self.methods):
            raise ConfigError(
                f"a view must have one method or several that differ, got {self.methods}"
            )

    def to_json(self) -> dict[str, object]:
        """Give it as JSON types."""
        return {
            "methods": list(self.methods),
            "colours": list(self.colours),
            "neighbours": self.neighbours,
            "seed": self.seed,
            "outcome": self.columns.description.outcome,
            "batch": self.columns.description.batch,
        }


def run_view(table: Path, out: Path, job: ViewJob, *, on_step: OnStep | None = None) -> Done:
    """Show the cases of a table on a few axes.

    Writes ``report.html``, ``view.csv`` (coordinates and group of each case) and
    ``provenance.json``.

    Args:
        table: CSV, Parquet or the folder of a cohort.
        out: Folder; made where absent.
        job: What is asked.
        on_step: Told of each method.

    Returns:
        What was written, and what must be known before it is read.

    Raises:
        VesaliusError: The table refuses; the report then says so.
        OutputError: The folder cannot be written.
    """
    make_folder(out)
    try:
        shown = _shown(table, job, on_step)
    except OutputError:
        raise
    except VesaliusError as error:
        put(out / REPORT, render_page(broken_view_page(str(error), table.name)))
        raise
    write_csv(out / TABLE, _frame(shown))
    put(out / RECORD, json.dumps(shown.record, indent=2, sort_keys=True) + "\n")
    put(out / REPORT, render_page(view_page(shown)))
    head = (
        ("cases", f"{len(shown.table.cases)} x {len(shown.table.features)} features"),
        *((one.settings.method, _trust(one)) for one in shown.views),
        ("groups", str(shown.groups.count) if shown.groups else "not sought"),
        ("intrinsic dimension", f"{shown.near.dimension:.1f}"),
        ("relative contrast", f"{shown.near.contrast:.2f}"),
    )
    return Done(out, out / REPORT, out / TABLE, head, shown.remarks)


def _trust(view: View) -> str:
    kept = view.faithful
    return f"trustworthiness {kept.trustworthiness:.2f}, continuity {kept.continuity:.2f}"


def _shown(path: Path, job: ViewJob, on_step: OnStep | None) -> Shown:
    columns = job.columns
    table = read_table(
        path,
        columns.description,
        features=columns.features,
        leave_out=(*columns.leave_out, *job.colours),
    )
    for name in job.colours:
        table.column(name)
    target = target_of(table, columns.description) if columns.description.outcome else None
    views = []
    for done, method in enumerate(job.methods):
        settings = _settings(method, job, target)
        views.append(embed(table, settings, target=target))
        if on_step is not None:
            on_step(Step(method, done + 1, len(job.methods)))
    record = Provenance("view", job.to_json(), {"table": hash_file(table_file(path))})
    values = comparable(table)
    return Shown(
        path.name,
        table,
        columns.description,
        tuple(views),
        _groups(table, values, job.seed),
        concentration(values),
        job.colours,
        record.to_json(),
    )


def _settings(method: ViewMethod, job: ViewJob, target: Target | None) -> ViewSettings:
    settings = ViewSettings(method, 2, job.neighbours, job.seed)
    two = target is not None and len(np.unique(target.strata)) == 2
    return replace(settings, axes=1) if method == "lda" and two else settings


def _groups(table: Table, values: np.ndarray, seed: int) -> Grouping | None:
    """Seek groups on principal components; none where there are too few cases."""
    if len(values) < 2 * MOST_GROUPS:
        return None
    axes = min(COMPONENTS, values.shape[1], len(values) - 1)
    left, spread, _ = np.linalg.svd(values, full_matrices=False)
    generator = torch.Generator().manual_seed(seed)
    return group_cases(left[:, :axes] * spread[:axes], most=MOST_GROUPS, generator=generator)


def _frame(shown: Shown) -> "pd.DataFrame":
    import pandas as pd

    columns: dict[str, object] = {"case": list(shown.table.cases)}
    for view in shown.views:
        for k, name in enumerate(view.names):
            columns[name] = view.coordinates[:, k]
    if shown.groups is not None:
        columns["group"] = shown.groups.labels + 1
    return pd.DataFrame(columns)

"""Run of a harmonisation: a table in, a table with less of its batches out, and a page on both."""
# SPDX-License-Identifier: Apache-2.0

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from vesalius.core import Step as Progress
from vesalius.core._provenance import Provenance
from vesalius.errors import OutputError, VesaliusError
from vesalius.io.tables import read_note, read_rows, write_csv, write_note, write_parquet
from vesalius.predict import Table, Target, as_table, target_of
from vesalius.predict._read import frame_of, note_of, table_file
from vesalius.predict.adjust import (
    BatchEffects,
    Design,
    batch_effects,
    check_design,
    describe_design,
    effect,
)
from vesalius.predict.harmonise import Harmonised, harmonise_whole
from vesalius.predict.models import save_step
from vesalius.study._folder import hash_file, make_folder, put
from vesalius.study._stage_page import render_page
from vesalius.study.predict._done import Done
from vesalius.study.predict._harmonise_job import NAMES, HarmoniseJob
from vesalius.study.predict._harmonise_page import harmonise_page, refused_page
from vesalius.study.predict._harmonise_told import Seen, Told

if TYPE_CHECKING:
    import pandas as pd

OnStep = Callable[[Progress], None]

REPORT, TEXT, TABLE, EFFECTS = (
    "report.html",
    "harmonised.csv",
    "harmonised.parquet",
    "batch_effects.csv",
)


def run_harmonise(
    table: Path, out: Path, job: HarmoniseJob, *, on_step: OnStep | None = None
) -> Done:
    """Harmonise a whole table and show what its batches change, before and after.

    Writes ``harmonised.csv`` and ``harmonised.parquet`` (columns and rows as they came; what was
    done stands in the Parquet file's metadata and in ``harmonised.csv.note.json``, and
    ``read_table`` gives it back as history), ``harmonisation.json`` and ``.npz`` (the fitted step),
    ``batch_effects.csv`` (every feature), ``provenance.json`` and ``report.html``.

    Args:
        table: CSV, Parquet or the folder of a cohort.
        out: Folder; made where absent.
        job: What is asked.
        on_step: Told of each part of the work.

    Returns:
        What was written, and what must be known before it is used.

    Raises:
        ConfigError: Batch and outcome cannot be told apart, or a column refuses.
        VesaliusError: The table or the method refuses; the report then says so.
        OutputError: The folder cannot be written.
    """
    make_folder(out)
    try:
        frame, told = _worked(table, job, on_step)
    except OutputError:
        raise
    except VesaliusError as error:
        put(out / REPORT, render_page(refused_page(str(error), table.name)))
        raise
    _write(out, told, frame)
    return _done(out, told)


def _worked(path: Path, job: HarmoniseJob, on_step: OnStep | None) -> tuple["pd.DataFrame", Told]:
    file = table_file(path)
    frame = read_rows(file)
    columns = job.columns
    table = as_table(
        frame,
        columns.description,
        features=columns.features,
        leave_out=tuple(_escaped((*job.every_batch, *job.kept))) + columns.leave_out,
        note=read_note(file),
    )
    target, design = _outcome(table, job)
    _tell(on_step, "batch effects", 1)
    before = _seen(table, job, target)
    after, done = None, None
    if job.method != "none":
        _tell(on_step, "harmonise", 2)
        outcome_kept = columns.description.outcome in job.kept
        done = harmonise_whole(table, job.step(), job.every_batch, outcome_kept=outcome_kept)
        after = _seen(done.table, job, target)
    _tell(on_step, "report", 3)
    record = Provenance("harmonise", job.to_json(), {"table": hash_file(file)})
    return frame, Told(path.name, job, design, before, after, done, record.to_json())


def _outcome(table: Table, job: HarmoniseJob) -> tuple[Target | None, Design | None]:
    description = job.columns.description
    if not description.outcome:
        return None, None
    target = target_of(table, description)
    look = describe_design if job.accept_confounded else check_design
    return target, look(table, description, target)


def _seen(table: Table, job: HarmoniseJob, target: Target | None) -> Seen:
    description = job.columns.description
    known = dict.fromkeys((*job.kept, *description.confounders, description.outcome))
    covariates = tuple(name for name in known if name and name not in job.every_batch)
    generator = torch.Generator().manual_seed(job.seed)
    found = batch_effects(table, description.batch, covariates=covariates, generator=generator)
    effects = None
    if target is not None and target.kind in ("binary", "number"):
        effects = effect(table, description, target, table.features)
    return Seen(table, found, effects)


def _write(out: Path, told: Told, frame: "pd.DataFrame") -> None:
    for name in (TABLE, TEXT, f"{TEXT}.note.json", "harmonisation.json", "harmonisation.npz"):
        (out / name).unlink(missing_ok=True)  # of an earlier run
    if told.done is not None:
        _write_table(out, told.done, frame)
    write_csv(out / EFFECTS, _effects_frame(told.before.effects, told))
    put(out / "provenance.json", json.dumps(told.record, indent=2, sort_keys=True) + "\n")
    put(out / REPORT, render_page(harmonise_page(told)))


def _write_table(out: Path, done: Harmonised, frame: "pd.DataFrame") -> None:
    table = done.table
    wanted = [str(name) for name in frame.columns]
    same = frame_of(table)
    same = same[[name for name in wanted if name in same]]
    write_parquet(out / TABLE, same, note=note_of(table))
    write_csv(out / TEXT, same)
    write_note(out / TEXT, note_of(table))
    save_step(done.step, out, name="harmonisation")


def _effects_frame(before: BatchEffects, told: Told) -> "pd.DataFrame":
    import pandas as pd

    columns: dict[str, object] = {"feature": list(before.features)}
    runs = {"before": told.before} | ({"after": told.after} if told.after else {})
    for when, seen in runs.items():
        for name, test in seen.effects.tests.items():
            columns[f"{name}_{when}"] = test.statistic
            columns[f"{name}_p_{when}"] = test.p
            columns[f"{name}_q_{when}"] = test.q
        reasons = seen.effects.reasons
        columns[f"reason_{when}"] = [reasons.get(name, "") for name in before.features]
    left = told.done.left_alone if told.done else {}
    columns["left_alone"] = [left.get(name, "") for name in before.features]
    return pd.DataFrame(columns)


def _done(out: Path, told: Told) -> Done:
    before, after = told.before.effects, told.after.effects if told.after else None
    batch = told.job.columns.description.batch

    def change(one: float, two: float | None, form: str) -> str:
        return format(one, form) + ("" if two is None else f" -> {format(two, form)}")

    head = (
        ("cases", f"{len(told.before.table.cases)} in {len(before.batches)} batches of {batch!r}"),
        ("method", NAMES[told.job.method]),
        (
            "features that differ",
            change(
                before.affected["anderson"], after.affected["anderson"] if after else None, ".1%"
            ),
        ),
        (
            "variance with the batch",
            change(before.shares.share(batch), after.shares.share(batch) if after else None, ".1%"),
        ),
        (
            "silhouette of batches",
            change(before.silhouette, after.silhouette if after else None, ".3f"),
        ),
    )
    table = out / TABLE if told.done else None
    return Done(out, out / REPORT, table, head, told.remarks)


def _escaped(names: tuple[str, ...]) -> list[str]:
    import glob

    return [glob.escape(name) for name in names]


def _tell(on_step: OnStep | None, what: str, done: int) -> None:
    if on_step is not None:
        on_step(Progress(what, done, 3))

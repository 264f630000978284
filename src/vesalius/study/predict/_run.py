"""Run: a table to a validated model, a model judged on a table, a model applied to one."""
# SPDX-License-Identifier: Apache-2.0

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from vesalius.core import Step
from vesalius.errors import ConfigError, FormatError, VesaliusError
from vesalius.io.tables import SUFFIXES, write_csv, write_parquet
from vesalius.predict import (
    Description,
    Leak,
    Model,
    Prediction,
    Recipe,
    Table,
    Validation,
    read_table,
    target_of,
)
from vesalius.predict.models import (
    apply_model,
    default_recipe,
    fit_model,
    load_model,
    read_recipe,
    recalibrate,
    recalibrated_validation,
    save_model,
    seen_cases,
    table_for,
    with_validation,
)
from vesalius.predict.select import stability_from
from vesalius.predict.validate import (
    Split,
    duplicates,
    external,
    find_leaks,
    learning_curve,
    nested_validation,
    permutation_test,
    units_of,
)
from vesalius.study._folder import make_folder, put
from vesalius.study._stage_page import Table as Cells
from vesalius.study._stage_page import render_page
from vesalius.study.predict._card_page import Facts, broken_page, card_page
from vesalius.study.predict._done import NAMES, Done, headline, validation_json, words
from vesalius.study.predict._job import Columns, FitJob, JudgeJob, said_over

if TYPE_CHECKING:
    import pandas as pd

OnStep = Callable[[Step], None]

REPORT, CARD, HELD_OUT, PREDICTIONS, RECALIBRATED = (
    "report.html",
    "card.json",
    "held_out.csv",
    "predictions.csv",
    "recalibrated",
)
_FOLDS = 10
_SHEETS = (".xlsx", ".xls", ".ods", ".tsv", ".txt", ".json")
"""Files that somebody may ask for, and that are not written."""
"""In which recalibration is judged, where there are cases enough."""


@dataclass(frozen=True, slots=True, eq=False)
class _Asked:
    """A table with what is asked of it."""

    table: Table
    description: Description
    recipe: Recipe
    dropped: tuple[str, ...] = ()


def run_fit(table: Path, out: Path, job: FitJob, *, on_step: OnStep | None = None) -> Done:
    """Fit a model to a table after a nested validation; write model, card, predictions, report.

    Args:
        table: CSV, Parquet or the folder of a cohort.
        out: Folder of the model; made where absent.
        job: What is asked.
        on_step: Told of each training.

    Returns:
        What was written.

    Raises:
        VesaliusError: The table, the recipe or the design refuse; the report then says so.
        OutputError: The folder cannot be written.
    """
    make_folder(out)
    try:
        job, recipe = _read(job)
        asked = _asked(table, job, recipe)
        leaks = _leaks(asked, job.split)
        _refuse_leaks(leaks, accepted=job.accept_leaks)
        found = _validated(asked, job, on_step) if job.validate else None
        model = fit_model(
            asked.table, asked.description, asked.recipe, generator=_generator(job.seed)
        )
    except VesaliusError as error:
        put(out / REPORT, render_page(broken_page(str(error), table.name)))
        raise
    if found is not None:
        found = replace(found, leaks=leaks)
        model = with_validation(model, found)
    save_model(model, out)
    done = _written(found, model, out, Facts(table.name, "nested"), leaks)
    return replace(done, remarks=(*_said_of(asked.dropped), *done.remarks))


def run_validate(
    model: Path, table: Path, out: Path, job: JudgeJob, *, on_step: OnStep | None = None
) -> Done:
    """Judge a model on a table.

    Args:
        model: Folder of the model.
        table: CSV, Parquet or the folder of a cohort.
        out: Folder of the report; made where absent.
        job: What is asked.
        on_step: Told of each training.

    Returns:
        What was written.

    Raises:
        VesaliusError: Model and table do not fit each other.
        OutputError: The folder cannot be written.
    """
    make_folder(out)
    try:
        loaded = load_model(model)
        asked = _Asked(*table_for(loaded, table), loaded.recipe)
        how = _how(loaded, asked.table, job)
        if job.recalibrate and how == "nested":
            raise ConfigError(
                "recalibration must be on cases of another hospital, these were learned from: "
                "leave out --recalibrate"
            )
        if how == "nested":
            split = Split("stratified", job.folds, job.repeats, job.seed, times=job.times)
            fit = FitJob(split=split, seed=job.seed, workers=job.workers)
            found = replace(_validated(asked, fit, on_step), leaks=_leaks(asked, split))
        else:
            found = external(
                loaded,
                asked.table,
                asked.description,
                generator=_generator(job.seed),
                other_parameters=job.other_parameters,
                times=job.times,
            )
    except VesaliusError as error:
        put(out / REPORT, render_page(broken_page(str(error), table.name)))
        raise
    facts = Facts(table.name, how, recalibrate=job.recalibrate)
    done = _written(found, loaded, out, facts, found.leaks)
    if not job.recalibrate:
        return done
    return _recalibrated(loaded, asked, found, (out, done, facts, job))


def _recalibrated(
    model: Model, asked: _Asked, found: Validation, where: tuple[Path, Done, Facts, JudgeJob]
) -> Done:
    """Show beside what recalibration gives, and keep the model that was moved by all cases."""
    out, done, facts, job = where
    given = (model, asked.table, asked.description)
    after = recalibrated_validation(
        *given,
        split=Split(folds=_most_folds(asked), seed=job.seed),
        generator=_generator(job.seed),
        other_parameters=job.other_parameters,
    )
    moved = recalibrate(*given, other_parameters=job.other_parameters)
    save_model(moved, out / RECALIBRATED)
    both = validation_json(found) | {"recalibrated": validation_json(after)}
    put(out / CARD, json.dumps(both, indent=2, sort_keys=True) + "\n")
    page = card_page(found, model, facts)
    rows = tuple(
        (NAMES.get(name, name.replace("_", " ")), words(score), words(after.card.scores[name]))
        for name, score in found.card.scores.items()
        if name in after.card.scores
    )
    shown = Cells(
        "After recalibration on these cases (in folds)", ("Figure", "As it is", "Moved"), rows
    )
    put(out / REPORT, render_page(replace(page, tables=(shown, *page.tables))))
    head = tuple(
        (f"{NAMES[name]}, recalibrated", words(after.card.scores[name]))
        for name in ("brier", "calibration_intercept", "calibration_slope")
        if name in after.card.scores
    )
    return replace(done, headline=done.headline + head)


def _most_folds(asked: _Asked) -> int:
    """Ten folds, or as many as the patients of the rarer class allow."""
    truth = target_of(asked.table, asked.description).values
    units = units_of(asked.table, asked.description)
    fewest = min(len(np.unique(units[truth == one])) for one in np.unique(truth))
    return min(max(fewest, 2), _FOLDS)


def run_apply(model: Path, table: Path, out: Path, *, other_parameters: bool = False) -> Done:
    """Predict the cases of a table.

    Args:
        model: Folder of the model.
        table: CSV, Parquet or the folder of a cohort; the outcome need not be in it.
        out: A folder, or one file (.csv, .csv.gz, .parquet).
        other_parameters: Whether features of other parameters are accepted.

    Returns:
        What was written.

    Raises:
        VesaliusError: Model and table do not fit each other.
        OutputError: It cannot be written.
    """
    if out.suffix.lower() in _SHEETS:
        raise FormatError(
            f"predictions are written as CSV or Parquet, got {out.name!r}: name a folder, or a "
            "file that ends in .csv, .csv.gz or .parquet"
        )
    loaded = load_model(model)
    cases, _ = table_for(loaded, table, outcome=False)
    said = apply_model(loaded, cases, other_parameters=other_parameters)
    target = out
    if not out.name.lower().endswith(SUFFIXES):
        make_folder(out)
        target = out / PREDICTIONS
    _write(target, said.table)
    flagged = sum(1 for text in said.table["flags"] if text)
    head = (
        ("cases", str(len(said.table))),
        ("unlike the training", f"{flagged} of {len(said.table)}, see the column 'flags'"),
    )
    return Done(target.parent, table=target, headline=head, remarks=said.remarks + _alike(said))


def _read(job: FitJob) -> tuple[FitJob, Recipe]:
    """Read the recipe; what was said on the command line goes before what the file says."""
    columns = job.columns
    if job.config is None:
        return job, default_recipe(columns.description.kind)
    file = read_recipe(job.config, kind=columns.description.kind)
    columns = Columns(
        said_over(columns.description, file.description),
        columns.features or file.features,
        columns.leave_out or file.leave_out,
    )
    split = said_over(replace(job.split, threshold=job.threshold), file.split)
    return replace(job, columns=columns, split=split, threshold=split.threshold), file.recipe


def _alike(said: Prediction) -> tuple[str, ...]:
    if len(said.scores) < 2 or np.ptp(said.scores, axis=0).any():
        return ()
    return ("Every case got the same score: the model found nothing to tell cases by.",)


def _asked(path: Path, job: FitJob, recipe: Recipe) -> _Asked:
    columns = job.columns
    table = read_table(
        path, columns.description, features=columns.features, leave_out=columns.leave_out
    )
    if job.stable_in is not None:
        stable = stability_from(job.stable_in, least=job.least_icc)
        recipe = replace(recipe, steps=(stable, *recipe.steps))
    dropped: tuple[str, ...] = ()
    if job.drop_duplicates:
        table, dropped = _distinct(table)
    return _Asked(table, columns.description, recipe, dropped)


def _distinct(table: Table) -> tuple[Table, tuple[str, ...]]:
    """Keep the first of cases with the same values; name those that go."""
    gone = duplicates(table)
    kept = sorted(set(range(len(table.cases))).difference(gone))
    return table.rows(kept), tuple(table.cases[k] for k in gone)


def _said_of(dropped: tuple[str, ...]) -> tuple[str, ...]:
    if not dropped:
        return ()
    names = ", ".join(repr(name) for name in dropped[:5]) + ("..." if len(dropped) > 5 else "")
    many = "1 case has" if len(dropped) == 1 else f"{len(dropped)} cases have"
    return (f"{many} the values of an earlier one; left out before anything was learned: {names}.",)


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _leaks(asked: _Asked, split: Split) -> tuple[Leak, ...]:
    target = target_of(asked.table, asked.description)
    return find_leaks(asked.table, asked.description, target, split=split)


def _count(leaks: list[Leak]) -> str:
    return "1 leak is" if len(leaks) == 1 else f"{len(leaks)} leaks are"


def _refuse_leaks(leaks: tuple[Leak, ...], *, accepted: bool) -> None:
    certain = [leak for leak in leaks if leak.severity == "certain"]
    if certain and not accepted:
        raise ConfigError(
            f"test cases must not be known to the model, {_count(certain)} certain: "
            f"{certain[0].text} (--drop-duplicates keeps the first of equal cases, --accept-leaks "
            "goes on and reports it)"
        )


def _validated(asked: _Asked, job: FitJob, on_step: OnStep | None) -> Validation:
    found = nested_validation(
        asked.table,
        asked.description,
        asked.recipe,
        split=replace(job.split, threshold=job.threshold),
        generator=_generator(job.seed),
        workers=job.workers,
        on_step=on_step,
    )
    if job.learning_curve:
        grown = learning_curve(
            asked.table,
            asked.description,
            asked.recipe,
            split=job.split,
            workers=job.workers,
            on_step=on_step,
        )
        card = replace(found.card, curves={**found.card.curves, "learning": grown.test})
        found = replace(found, card=card, remarks=found.remarks + grown.reading)
    if not job.permutations:
        return found
    chance = permutation_test(
        asked.table,
        asked.description,
        asked.recipe,
        split=job.split,
        permutations=job.permutations,
        generator=_generator(job.seed),
        workers=job.workers,
    )
    return replace(found, p_value=chance.p_value)


def _how(model: Model, table: Table, job: JudgeJob) -> str:
    seen = seen_cases(model, table)
    if job.how == "auto":
        return "nested" if len(seen) > len(table.cases) // 2 else "external"
    if job.how == "external" and seen:
        raise ConfigError(
            f"an external validation must be of other cases, {len(seen)} of {len(table.cases)} "
            f"were learned from (the first is {seen[0]!r}): leave them out, or say --how nested"
        )
    return job.how


def _written(
    found: Validation | None, model: Model, out: Path, facts: Facts, leaks: tuple[Leak, ...]
) -> Done:
    remarks = tuple(leak.text for leak in leaks)
    if found is None:
        for name in (CARD, HELD_OUT, REPORT):  # of another model that was here
            (out / name).unlink(missing_ok=True)
        head = (("cases", str(model.training.cases)), ("validation", "none, as asked"))
        return Done(out, headline=head, remarks=remarks)
    put(out / CARD, json.dumps(validation_json(found), indent=2, sort_keys=True) + "\n")
    write_csv(out / HELD_OUT, found.held_out)
    put(out / REPORT, render_page(card_page(found, model, facts)))
    return Done(
        out,
        out / REPORT,
        out / HELD_OUT,
        headline(found.card),
        remarks + found.card.remarks + found.remarks,
    )


def _write(target: Path, frame: "pd.DataFrame") -> None:
    if target.name.lower().endswith(".parquet"):
        write_parquet(target, frame)
    else:
        write_csv(target, frame)

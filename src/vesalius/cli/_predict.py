"""``vesalius predict``: tables of features to models that can be defended."""
# SPDX-License-Identifier: Apache-2.0

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vesalius.cli._predict_checks import leaks, size
from vesalius.cli._predict_harmonise import harmonise
from vesalius.cli._predict_options import (
    At,
    Batch,
    Case,
    Confounder,
    Date,
    Feature,
    Group,
    Kind,
    KindName,
    LeaveOut,
    ModelFolder,
    Outcome,
    Positive,
    Quiet,
    Shown,
    Site,
    Subgroup,
    TableFile,
    Time,
    tell,
)
from vesalius.cli._progress import Progress, watch

if TYPE_CHECKING:
    pass

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


class SplitName(StrEnum):
    """How cases are parted."""

    stratified = "stratified"
    leave_one_site_out = "leave-one-site-out"
    temporal = "temporal"
    bootstrap = "bootstrap"


class RuleName(StrEnum):
    """How the threshold of a decision is chosen."""

    youden = "youden"
    cost = "cost"
    sensitivity = "sensitivity"
    fixed = "fixed"


class How(StrEnum):
    """How a model is validated."""

    auto = "auto"
    nested = "nested"
    external = "external"


@app.callback()
def _group() -> None:
    """Harmonise, fit, validate, explain and apply models of tables of features."""


app.command("harmonise")(harmonise)
app.command("leaks")(leaks)
app.command("size")(size)


@app.command("fit")
def fit(
    table: TableFile,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the model.")],
    outcome: Outcome = "",
    config: Annotated[
        Path | None, typer.Option("--config", help="Recipe (YAML or JSON); none is the default.")
    ] = None,
    kind: Kind = KindName.binary,
    positive: Positive = "",
    time: Time = "",
    at: At = None,
    case: Case = "",
    group: Group = "",
    batch: Batch = "",
    confounder: Confounder = None,
    site: Site = "",
    date: Date = "",
    subgroup: Subgroup = None,
    feature: Feature = None,
    leave_out: LeaveOut = None,
    split: Annotated[
        SplitName, typer.Option("--split", help="How the validation parts the cases.")
    ] = SplitName.stratified,
    folds: Annotated[int, typer.Option("--folds", help="Outer folds.")] = 5,
    repeats: Annotated[int, typer.Option("--repeats", help="Of the whole validation.")] = 1,
    rule: Annotated[
        RuleName, typer.Option("--threshold", help="How the decision's threshold is chosen.")
    ] = RuleName.youden,
    cost: Annotated[
        float, typer.Option("--cost", help="Of a missed event, in false alarms.")
    ] = 1.0,
    sensitivity: Annotated[float, typer.Option("--sensitivity", help="Wanted.")] = 0.9,
    threshold_at: Annotated[
        float, typer.Option("--threshold-at", help="The threshold, for --threshold fixed.")
    ] = 0.5,
    validate: Annotated[
        bool, typer.Option("--validate/--no-validate", help="Nested validation before the fit.")
    ] = True,
    permutations: Annotated[
        int, typer.Option("--permutations", help="Of the outcome, for a p-value; slow.")
    ] = 0,
    learning_curve: Annotated[
        bool, typer.Option("--learning-curve", help="Also on shares of the cases; takes longer.")
    ] = False,
    accept_leaks: Annotated[
        bool, typer.Option("--accept-leaks", help="Go on where a leak is certain; it is reported.")
    ] = False,
    drop_duplicates: Annotated[
        bool, typer.Option("--drop-duplicates", help="Keep the first of cases with equal values.")
    ] = False,
    stable_in: Annotated[
        Path | None,
        typer.Option("--stable-in", help="Cohort with error bars: keep features reliable there."),
    ] = None,
    least_icc: Annotated[
        float, typer.Option("--least-icc", help="Lower end of the ICC of a kept feature.")
    ] = 0.75,
    seed: Annotated[int, typer.Option("--seed", help="Of everything that is drawn.")] = 0,
    workers: Annotated[int, typer.Option("--workers", help="Processes that share the folds.")] = 1,
    progress: Shown = Progress.auto,
    quiet: Quiet = False,
) -> None:
    """Fit a model, after a nested validation on cases that it has not seen.

    Everything of the recipe is learned inside the folds. The folder holds the model (JSON and
    arrays, nothing that runs), the report card, the held-out predictions and a report.
    """
    from vesalius.predict import Description, Threshold
    from vesalius.predict.validate import Split
    from vesalius.study.predict import Columns, FitJob, run_fit

    said = Description(
        outcome=outcome,
        kind=kind.value,
        positive=positive,
        time=time,
        case=case,
        group=group,
        batch=batch,
        confounders=tuple(confounder or ()),
        site=site,
        date=date,
        subgroups=tuple(subgroup or ()),
    )
    threshold = Threshold(rule.value, cost, sensitivity, threshold_at)
    job = FitJob(
        Columns(said, tuple(feature or ()), tuple(leave_out or ())),
        config,
        Split(
            split.value.replace("-", "_"),  # type: ignore[arg-type]
            *(folds, repeats, seed, threshold),
            times=tuple(at or ()),
        ),
        threshold,
        validate=validate,
        permutations=permutations,
        learning_curve=learning_curve,
        accept_leaks=accept_leaks,
        drop_duplicates=drop_duplicates,
        stable_in=stable_in,
        least_icc=least_icc,
        seed=seed,
        workers=workers,
    )
    with watch(progress, quiet=quiet) as on_step:
        done = run_fit(table, out, job, on_step=on_step)
    tell(done, quiet=quiet)


@app.command("validate")
def validate(
    model: ModelFolder,
    table: TableFile,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the report.")],
    how: Annotated[
        How,
        typer.Option("--how", help="External for other cases, nested for those it learned from."),
    ] = How.auto,
    recalibrate: Annotated[
        bool,
        typer.Option("--recalibrate", help="Also show what recalibration on these cases gives."),
    ] = False,
    folds: Annotated[int, typer.Option("--folds", help="Outer folds of --how nested.")] = 5,
    repeats: Annotated[int, typer.Option("--repeats", help="Of --how nested.")] = 1,
    at: At = None,
    other_parameters: Annotated[
        bool,
        typer.Option("--other-parameters", help="Accept features made with other parameters."),
    ] = False,
    seed: Annotated[int, typer.Option("--seed", help="Of everything that is drawn.")] = 0,
    workers: Annotated[int, typer.Option("--workers", help="Processes that share the folds.")] = 1,
    progress: Shown = Progress.auto,
    quiet: Quiet = False,
) -> None:
    """Judge MODEL on TABLE: report card, leaks, fairness, checklists.

    On cases of another hospital the model is judged as it is. On the cases that it learned from its
    recipe is validated again in nested folds, since the model itself has seen them.
    """
    from vesalius.study.predict import JudgeJob, run_validate

    times = tuple(at or ())
    job = JudgeJob(how.value, folds, repeats, recalibrate, other_parameters, seed, workers, times)
    with watch(progress, quiet=quiet) as on_step:
        done = run_validate(model, table, out, job, on_step=on_step)
    tell(done, quiet=quiet)


@app.command("apply")
def apply(
    model: ModelFolder,
    table: TableFile,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder, or one file: .csv, .csv.gz, .parquet.")
    ],
    other_parameters: Annotated[
        bool,
        typer.Option("--other-parameters", help="Accept features made with other parameters."),
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Predict the cases of TABLE by MODEL, and say which are unlike those that it learned from."""
    from vesalius.study.predict import run_apply

    tell(run_apply(model, table, out, other_parameters=other_parameters), quiet=quiet)

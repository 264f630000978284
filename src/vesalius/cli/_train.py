"""``vesalius train``: a folder of images and labels to a model that segments."""
# SPDX-License-Identifier: Apache-2.0

import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vesalius.cli._exits import PARTIAL
from vesalius.cli._progress import Progress, watch

if TYPE_CHECKING:
    from vesalius.segment.networks import Fingerprint
    from vesalius.study.train import Done

app = typer.Typer(rich_markup_mode=None, no_args_is_help=True)

Dataset = Annotated[
    Path, typer.Argument(help="Folder with images/ and labels/, or nnU-Net v2's raw layout.")
]
Only = Annotated[str, typer.Option("--only", help="Take cases of these names: 'fluo_*'.")]
Shown = Annotated[Progress, typer.Option("--progress", help="How progress is shown.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Only errors are shown.")]


class BudgetName(StrEnum):
    """Whose plan."""

    laptop = "laptop"
    nnunet = "nnunet"


class TaskName(StrEnum):
    """What the labels are."""

    auto = "auto"
    classes = "classes"
    flows = "flows"
    stars = "stars"


class Keep(StrEnum):
    """Which weights are kept."""

    last = "last"
    best = "best"


class SupervisionName(StrEnum):
    """What the labels are."""

    full = "full"
    scribbles = "scribbles"
    boxes = "boxes"
    tags = "tags"


Minutes = Annotated[float, typer.Option("--minutes", min=0.01, help="Of training, in all.")]
Ram = Annotated[float, typer.Option("--ram", min=0.1, help="Memory of a step, GB.")]
BudgetOption = Annotated[
    BudgetName,
    typer.Option("--budget", help="laptop fits network and steps to the time; nnunet does not."),
]
Task = Annotated[TaskName, typer.Option("--task", help="auto looks at the labels.")]
Supervised = Annotated[
    SupervisionName,
    typer.Option(
        "--supervision",
        help="Labels are full, strokes, filled boxes, or say only which classes a case holds.",
    ),
]
Unlabelled = Annotated[
    bool, typer.Option("--unlabelled", help="Learn from cases without labels, too.")
]
Steps = Annotated[int, typer.Option("--steps", min=0, help="Fixed number, instead of minutes.")]
HoldOut = Annotated[
    str,
    typer.Option("--hold-out", help="A number of cases, or a file of names: scored, not learned."),
]


@app.callback()
def _group() -> None:
    """Train a network that configures itself to the data, the time and the memory there is."""


@app.command("run", short_help="Train a model.")
def run(
    dataset: Dataset,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the model.")],
    minutes: Minutes = 20.0,
    ram: Ram = 4.0,
    budget: BudgetOption = BudgetName.laptop,
    task: Task = TaskName.auto,
    steps: Steps = 0,
    folds: Annotated[
        int, typer.Option("--folds", min=0, help="Networks that each miss a part of the cases.")
    ] = 0,
    fold: Annotated[
        int, typer.Option("--fold", min=-1, help="Only this one of the folds, from 0.")
    ] = -1,
    hold_out: HoldOut = "",
    only: Only = "*",
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on where a run into OUT was stopped.")
    ] = False,
    keep: Annotated[
        Keep, typer.Option("--keep", help="Last or best averaged weights.")
    ] = Keep.last,
    patience: Annotated[
        int, typer.Option("--patience", min=0, help="Stop after so many looks (of 50) in vain.")
    ] = 0,
    half: Annotated[bool, typer.Option("--half", help="Store the weights in 16 bits.")] = False,
    supervision: Supervised = SupervisionName.full,
    unlabelled: Unlabelled = False,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of all that is drawn.")] = 0,
    progress: Shown = Progress.auto,
    quiet: Quiet = False,
) -> None:
    """Train a model on DATASET: plan, weights, card, scores and a report in OUT.

    Every case is checked first; a fault is told with the name of the case. A checkpoint is
    written every minute; a run that was stopped goes on with --resume and ends with the same
    weights.
    """
    from vesalius.study.train import Job, run_train

    job = Job(
        minutes,
        ram,
        budget.value,
        task.value,
        steps,
        folds,
        fold,
        hold_out,
        only,
        seed,
        keep.value,
        patience,
        half,
        supervision.value,
        unlabelled,
    )
    with watch(progress, quiet=quiet) as on_step:
        done = run_train(dataset, job, out, resume=resume, on_step=on_step)
    _tell(done, quiet=quiet)


@app.command("fingerprint", short_help="Look at a data set, and find its faults.")
def fingerprint(
    dataset: Dataset,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="File for it as JSON.")] = None,
    only: Only = "*",
    progress: Shown = Progress.auto,
    quiet: Quiet = False,
) -> None:
    """Say what DATASET is like, and which cases cannot be used and why.

    Leaves with 4 where a case has a fault.
    """
    from vesalius.study.train import run_fingerprint

    with watch(progress, quiet=quiet) as on_step:
        found = run_fingerprint(dataset, only=only, on_step=on_step)
    if out is not None:
        _write(out, found.to_json())
    for name, value in _facts(found):
        typer.echo(f"{name:<14} {value}")
    for text in found.remarks:
        typer.echo(f"note: {text}")
    for fault in found.faults:
        typer.echo(f"fault: {fault.text}")
    if found.faults:
        raise typer.Exit(PARTIAL)


@app.command("plan", short_help="Say how a model would be trained, and why.")
def plan(
    dataset: Dataset,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="File for the plan.")] = None,
    minutes: Minutes = 20.0,
    ram: Ram = 4.0,
    budget: BudgetOption = BudgetName.laptop,
    task: Task = TaskName.auto,
    steps: Steps = 0,
    hold_out: HoldOut = "",
    only: Only = "*",
    supervision: Supervised = SupervisionName.full,
    unlabelled: Unlabelled = False,
    progress: Shown = Progress.auto,
    quiet: Quiet = False,
) -> None:
    """Print the plan of a training as JSON, each choice with its reason; trains nothing."""
    from vesalius.segment.networks import plan_to_json
    from vesalius.study.train import Job, run_plan

    job = Job(
        minutes,
        ram,
        budget.value,
        task.value,
        steps,
        hold_out=hold_out,
        only=only,
        supervision=supervision.value,
        unlabelled=unlabelled,
    )
    with watch(progress, quiet=quiet) as on_step:
        text = plan_to_json(run_plan(dataset, job, on_step=on_step))
    if out is not None:
        _write(out, text)
    else:
        typer.echo(json.dumps(text, indent=2, sort_keys=True))


@app.command("evaluate", short_help="Score a model on labelled cases.")
def evaluate(
    model: Annotated[Path, typer.Argument(help="Folder of the model.")],
    dataset: Dataset,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for scores and report.")],
    only: Only = "*",
    progress: Shown = Progress.auto,
    quiet: Quiet = False,
) -> None:
    """Segment every labelled case of DATASET with MODEL and score it against its labels."""
    from vesalius.study.train import run_evaluate

    with watch(progress, quiet=quiet) as on_step:
        done = run_evaluate(model, dataset, out, only=only, on_step=on_step)
    _tell(done, quiet=quiet)


def _facts(found: "Fingerprint") -> tuple[tuple[str, str], ...]:
    sizes = sorted(case.shape for case in found.cases)
    shape = " x ".join(map(str, sizes[len(sizes) // 2])) if sizes else "none"
    shares = ", ".join(
        f"{found.names.get(value, 'background')} {100 * share:.3g} %"
        for value, share in found.frequencies.items()
    )
    return (
        ("cases", f"{len(found.cases)} sound, {found.unlabelled} of them without labels"),
        ("size", f"{shape} samples (z, y, x) in the middle"),
        ("channels", ", ".join(f"{c.name} ({c.kind})" for c in found.channels)),
        ("labels", f"{found.task}: {shares}"),
        ("diameter", f"{found.diameter:.1f} samples"),
    )


def _write(path: Path, body: object) -> None:
    from vesalius.io import atomic_write

    with atomic_write(path) as file:
        file.write((json.dumps(body, indent=2, sort_keys=True) + "\n").encode())


def _tell(done: "Done", *, quiet: bool) -> None:
    if quiet:
        return
    for text in done.remarks:
        typer.echo(f"note: {text}")
    for name, value in done.headline:
        typer.echo(f"{name:<28} {value}")
    typer.echo(f"report: {done.report}")

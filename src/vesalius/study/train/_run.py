"""Run: a data set looked at, planned for, trained on, scored; everything written, and a report."""
# SPDX-License-Identifier: Apache-2.0

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from vesalius.core import Image, Labels, Step
from vesalius.core._provenance import Provenance, hash_json
from vesalius.errors import FormatError, VesaliusError
from vesalius.segment._store import model_hash
from vesalius.segment.networks import (
    CaseScore,
    Dataset,
    Evaluation,
    Fingerprint,
    Model,
    Plan,
    TrainingRun,
    evaluate_model,
    fingerprint,
    fingerprint_from_json,
    load_model,
    plan_from_json,
    plan_to_json,
    plan_training,
    read_case,
    read_dataset,
    save_model,
    seconds_per_step,
    train_model,
)
from vesalius.segment.uncertainty import Unseen, calibrate
from vesalius.study._folder import make_folder, put
from vesalius.study._report import Heading
from vesalius.study._stage_page import Page, render_page
from vesalius.study.train._job import Job, hold_out_names
from vesalius.study.train._tell import TITLES, Shown, evaluation_page, training_page

OnStep = Callable[[Step], None]
Parts = list[tuple[int, tuple[str, ...]]]
"""Number of a network (-1 for all of them) and the cases it is judged by."""

REPORT, PLAN, FINGERPRINT = "report.html", "plan.json", "fingerprint.json"
SCORES = "scores.json"
MOST_FAULTS = 5
SHOWN = 4
"""Worst cases that the report shows."""


@dataclass(frozen=True, slots=True, eq=False)
class Done:
    """What a run wrote.

    Attributes:
        folder: Of the model, or of the scores.
        report: The report's file.
        headline: Name and value of what matters first.
        remarks: What must be known before the model is used.
    """

    folder: Path
    report: Path
    headline: tuple[tuple[str, str], ...] = ()
    remarks: tuple[str, ...] = ()


def run_fingerprint(
    dataset: Path, *, only: str = "*", on_step: OnStep | None = None
) -> Fingerprint:
    """Look at every case of a data set.

    Args:
        dataset: The folder.
        only: Pattern that the name of a case must match.
        on_step: Told of each case.

    Returns:
        What it is like; cases that cannot be used are among its faults.

    Raises:
        FormatError: The folder is no data set.
    """
    return fingerprint(read_dataset(dataset, only=only), on_step=on_step)


def run_plan(dataset: Path, job: Job, *, on_step: OnStep | None = None) -> Plan:
    """Plan a training.

    Args:
        dataset: The folder.
        job: What is asked for.
        on_step: Told of each case.

    Returns:
        The plan, with its reasons.

    Raises:
        FormatError: A case cannot be used; the text names it.
    """
    data = read_dataset(dataset, only=job.only)
    rest = data.without(hold_out_names(data, job.hold_out))
    found = _sound(fingerprint(rest, on_step=on_step))
    return plan_training(found, job.to_budget(), measure=seconds_per_step)


def run_train(
    dataset: Path, job: Job, out: Path, *, resume: bool = False, on_step: OnStep | None = None
) -> Done:
    """Train a model and write it, its plan, its fingerprint, its scores and a report.

    Args:
        dataset: The folder.
        job: What is asked for.
        out: Folder of the model; made where absent.
        resume: Go on where a run into the same folder was stopped; plan and fingerprint are those
            of that run.
        on_step: Told of each case and step.

    Returns:
        What was written.

    Raises:
        VesaliusError: The data, the job or the machine refuse; the report then says so.
        OutputError: The folder cannot be written.
    """
    make_folder(out)
    run: TrainingRun | None = None
    try:
        data = read_dataset(dataset, only=job.only)
        held = hold_out_names(data, job.hold_out)
        found, plan = _planned(data.without(held), job, out, resume=resume, on_step=on_step)
        regime = job.to_regime(held)
        run = train_model(
            data, plan, folder=out, regime=regime, fingerprint=found, resume=resume, on_step=on_step
        )
        scored = _scored(run, data, held, on_step)
    except VesaliusError as error:
        page = Page(
            _broken(run),
            errors=(str(error),),
            provenance=job.to_json(),
            titles=TITLES,
        )
        put(out / REPORT, render_page(page))
        raise
    save_model(out, scored.model, half=job.half)
    record = _record(job, data, scored.model)
    put(out / SCORES, _json({**scores_json(scored.evaluation), "provenance": record}))
    remarks = (*found.remarks[:MOST_FAULTS], *run.remarks, *scored.remarks)
    shown = Shown(scored.evaluation, scored.worst, scored.what)
    page = training_page(found, run, shown, remarks=remarks, record=record)
    put(out / REPORT, render_page(page))
    return Done(out, out / REPORT, headline(scored.evaluation, scored.what), remarks)


def _broken(run: TrainingRun | None) -> Heading:
    """Say how far a run came that broke off."""
    if run is None:
        lead = "The training was refused or broke off; see below."
        return Heading("No model was trained", lead)
    lead = "The model is saved, but could not be scored and calibrated; see below."
    return Heading(f"Model of {run.model.card.name}, not scored", lead)


def run_evaluate(
    model: Path, dataset: Path, out: Path, *, only: str = "*", on_step: OnStep | None = None
) -> Done:
    """Score a model on the labelled cases of a data set, and write scores and a report.

    Args:
        model: Folder of the model.
        dataset: The folder.
        out: Folder for the scores.
        only: Pattern that the name of a case must match.
        on_step: Told of each case.

    Returns:
        What was written.

    Raises:
        VesaliusError: The model cannot be read, or a case is not sound.
        OutputError: The folder cannot be written.
    """
    make_folder(out)
    loaded = load_model(model)
    data = read_dataset(dataset, only=only)
    found = evaluate_model(loaded, data, on_step=on_step)
    worst = _worst(loaded, data, found, [(-1, tuple(case.name for case in data.cases))])
    record = Provenance(
        "train evaluate", {"only": only}, {"model": model_hash(loaded), "cases": _cases_hash(data)}
    ).to_json()
    put(out / SCORES, _json({**scores_json(found), "provenance": record}))
    what = f"{len(found.cases)} cases of {data.name}"
    page = evaluation_page(loaded, Shown(found, worst, what), record=record)
    put(out / REPORT, render_page(page))
    return Done(out, out / REPORT, headline(found, what))


def headline(found: Evaluation, what: str) -> tuple[tuple[str, str], ...]:
    """Give what matters first.

    Args:
        found: The scores.
        what: Which cases were scored.
    """
    return (
        ("scored on", what),
        *((f"mean {name}", f"{value:.4f}") for name, value in found.means.items()),
        ("worst case", f"{found.worst[0].case} ({found.worst[0].score:.4f})"),
    )


def scores_json(found: Evaluation) -> dict[str, object]:
    """Give the scores as JSON types.

    Args:
        found: Of each case.
    """
    return {
        "score": found.score,
        "means": found.means,
        "cases": [
            {"case": case.case, "score": case.score, **dict(case.parts)} for case in found.cases
        ],
    }


@dataclass(frozen=True, slots=True, eq=False)
class _Scored:
    """A model after its training: scored, calibrated."""

    model: Model
    evaluation: Evaluation
    what: str
    worst: tuple[tuple[str, Image, Labels, Labels], ...]
    remarks: tuple[str, ...]


def _planned(
    data: Dataset, job: Job, out: Path, *, resume: bool, on_step: OnStep | None
) -> tuple[Fingerprint, Plan]:
    """Fingerprint and plan: made and written, or those of the run that goes on."""
    if resume and (out / PLAN).is_file() and (out / FINGERPRINT).is_file():
        return fingerprint_from_json(_object(out / FINGERPRINT)), plan_from_json(
            _object(out / PLAN)
        )
    found = _sound(fingerprint(data, on_step=on_step))
    plan = plan_training(found, job.to_budget(), measure=seconds_per_step)
    put(out / FINGERPRINT, _json(found.to_json()))
    put(out / PLAN, _json(plan_to_json(plan)))
    return found, plan


def _object(path: Path) -> dict[str, object]:
    """Read the JSON object of a run that goes on."""
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise FormatError(
            f"{path.name} must be as vesalius train wrote it for a run to go on, reading it failed "
            f"({type(error).__name__}): train again without --resume"
        ) from error


def _sound(found: Fingerprint) -> Fingerprint:
    """Refuse a data set with faults, naming the first of them."""
    if found.faults:
        told = "\n".join(f"- {fault.text}" for fault in found.faults[:MOST_FAULTS])
        more = len(found.faults) - MOST_FAULTS
        raise FormatError(
            f"all cases must be sound to be learned from, {len(found.faults)} "
            f"{'is' if len(found.faults) == 1 else 'are'} not:\n{told}"
            + (f"\n- and {more} more: see vesalius train fingerprint" if more > 0 else "")
        )
    return found


def _scored(
    run: TrainingRun, data: Dataset, held: tuple[str, ...], on_step: OnStep | None
) -> _Scored:
    """Score the networks on cases that they have not seen, and calibrate them there."""
    model, remarks = run.model, []
    folds = len(run.splits) > 1
    parts = [(i, split.watched) for i, split in enumerate(run.splits)]
    known = [name for name in held if data.case(name).labels is not None]
    if known:
        parts = [(-1, tuple(known))]
        what = f"{len(known)} held-out cases"
    elif folds or run.splits[0].watched != run.splits[0].trained:
        what = f"{sum(len(w) for _, w in parts)} cases that their network has not learned from"
    else:
        count = len(run.splits[0].trained)
        what = (
            f"the {count} cases that it learned from" if count > 1 else "the case it learned from"
        )
        remarks.append("No case could be spared: the scores are those of the training cases.")
    cases: list[CaseScore] = []
    for number, names in parts:
        cases.extend(evaluate_model(_judge(model, number), data.only(names), on_step=on_step).cases)
    found = Evaluation(tuple(cases))
    unseen = not remarks
    if unseen and model.plan.head == "classes":
        model = calibrate(
            model, _unseen(data, parts, folds), generator=torch.Generator().manual_seed(0)
        )
    metrics = {f"mean {name}, {what}": value for name, value in found.means.items()}
    model = replace(model, card=replace(model.card, metrics=metrics))
    return _Scored(model, found, what, _worst(model, data, found, parts), tuple(remarks))


def _judge(model: Model, number: int) -> Model:
    """The network that is judged by some cases; -1 is all of them together."""
    return model if number < 0 else replace(model, networks=(model.networks[number],))


def _unseen(data: Dataset, parts: Parts, folds: bool) -> Iterator[Unseen]:
    for number, names in parts:
        for name in names:
            sample = read_case(data, data.case(name))
            assert sample.labels is not None
            yield Unseen(sample.image, sample.labels, number if folds else -1)


def _worst(
    model: Model, data: Dataset, found: Evaluation, parts: Parts
) -> tuple[tuple[str, Image, Labels, Labels], ...]:
    """The worst cases, segmented once more to be shown, each by the network it was scored by."""
    shown: list[tuple[str, Image, Labels, Labels]] = []
    names = tuple(case.case for case in found.worst[:SHOWN])
    for number, members in parts:
        some = tuple(name for name in names if name in members)
        if some:
            judged = data.only(some)
            evaluate_model(_judge(model, number), judged, on_case=lambda *told: shown.append(told))
    return tuple(sorted(shown, key=lambda told: names.index(told[0])))


def _record(job: Job, data: Dataset, model: Model) -> dict[str, object]:
    hashes = {
        "plan": hash_json(plan_to_json(model.plan)),
        "model": model_hash(model),
        "cases": _cases_hash(data),
    }
    return dict(Provenance("train run", job.to_json(), hashes).to_json())


def _cases_hash(data: Dataset) -> str:
    """Hash of the content of every file of a data set, under the names of its cases."""
    told: dict[str, list[str]] = {}
    for case in data.cases:
        files = [*case.images, *(f for f in (case.labels, case.region) if f is not None)]
        told[case.name] = [_file_hash(path) for path in files]
    return hash_json(told)


def _file_hash(path: Path) -> str:
    """Hash of a file, or of the files of a folder (a DICOM series, a Zarr store)."""
    digest = hashlib.sha256()
    every = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    for one in every:
        with one.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def _json(body: object) -> str:
    return json.dumps(body, indent=2, sort_keys=True) + "\n"

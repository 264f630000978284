"""Training: networks of a plan on the cases of a data set, saved, watched, resumed exactly."""
# SPDX-License-Identifier: Apache-2.0

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, final

from vesalius.core import Step
from vesalius.errors import ConfigError, OutputError
from vesalius.io._weights import ModelCard
from vesalius.learn import UNet
from vesalius.segment._checkpoint import load_checkpoint
from vesalius.segment._dataset import Dataset
from vesalius.segment._familiarity import appearance, reference_or_none
from vesalius.segment._fingerprint import Fingerprint
from vesalius.segment._fold_training import FoldTraining, Order
from vesalius.segment._heads import make_head
from vesalius.segment._memory import (
    device_bytes,
    fitted_to_memory,
    free_bytes,
    needed_bytes,
    out_of_memory,
    shrunk,
    smaller,
)
from vesalius.segment._model import Model
from vesalius.segment._plan import Plan
from vesalius.segment._regime import Look, Regime, Split, make_splits
from vesalius.segment._store import plan_from_json, save_model
from vesalius.segment._supervision import NO_UNLABELLED, check_supervision
from vesalius.segment._training_cases import Room, load_cases

OnStep = Callable[[Step], None]

MOST_SHARE = 0.5
"""Of the free memory that prepared cases may take."""
STATES = "training"
"""Folder inside the model's with checkpoints and prepared cases; gone when the model is done."""
DEFAULT = Regime()
WEAK = "The labels are {}: scores compare with them, unless the cases held out have all labels."


@final
@dataclass(frozen=True, slots=True, eq=False)
class TrainingRun:
    """What a training gives.

    Attributes:
        model: Saved in the folder as well; its plan is smaller than asked where memory was short.
        looks: Of each network.
        splits: Which cases each network learned from.
        remarks: What must be known.
    """

    model: Model
    looks: tuple[tuple[Look, ...], ...]
    splits: tuple[Split, ...]
    remarks: tuple[str, ...] = ()


def train_model(
    dataset: Dataset,
    plan: Plan,
    *,
    folder: str | Path,
    regime: Regime = DEFAULT,
    fingerprint: Fingerprint | None = None,
    resume: bool = False,
    on_step: OnStep | None = None,
) -> TrainingRun:
    """Train the networks of a plan and write the model.

    A run that was killed goes on with ``resume`` from its last checkpoint, and ends with the same
    weights as one that was not. Runs on the GPU where there is one. Where memory is short, smaller
    batches and then smaller patches are taken, and that is said.

    Args:
        dataset: Cases with labels; those without are learned from where the plan says so.
        plan: What is trained.
        folder: Of the model; made where absent.
        regime: Seed, folds, held-out cases, checkpoints.
        fingerprint: Of the data set, kept with the model.
        resume: Go on from the checkpoint in ``folder``.
        on_step: Told of each case and step, with loss and score.

    Returns:
        The model, as saved, and what was seen on the way.

    Raises:
        VesaliusError: A case is not sound; the text names it.
        ConfigError: Too few cases, a case that is held out is absent, no checkpoint to resume, or
            one of another run; or not even the smallest patch fits in memory, or it ran out after
            the first checkpoint, which is kept.
        ConvergenceError: The loss became NaN: lower the learning rate. The checkpoint is kept.
        OutputError: The folder is not writable or the disk is full; the last checkpoint is kept.
    """
    root = Path(folder)
    _check_place(root, resume=resume)
    check_supervision(plan)
    splits = make_splits(dataset, regime)
    if plan.consistency:
        splits = _joined(splits, dataset, regime)
    # one that goes on has the patches it began with, whatever memory there is by now
    plan, remarks = (_begun(root, plan), ()) if resume else fitted_to_memory(plan, device_bytes())
    if plan.supervision != "full":
        remarks = (*remarks, WEAK.format(plan.supervision))
    ran = _Ran(dataset, plan, regime, root, resume, on_step)
    found = None
    while found is None:
        try:
            found = _train_all(ran, splits)
        except (MemoryError, RuntimeError) as error:
            if not out_of_memory(error):
                raise
            _check_unbegun(root, ran.plan)
            less = smaller(ran.plan, device_bytes())
            remarks = (*remarks, shrunk(ran.plan, less, device_bytes()))
            ran = replace(ran, plan=less)
    networks, looks, usual = found
    known = {} if fingerprint is None else fingerprint.to_json()
    known = {**known, "appearance": usual} if usual else known
    model = Model(ran.plan, networks, _card(ran, splits, looks), known)
    save_model(root, model)
    shutil.rmtree(root / STATES, ignore_errors=True)
    return TrainingRun(model, looks, splits, remarks)


@final
@dataclass(frozen=True, slots=True)
class _Ran:
    """What all networks of a training share."""

    dataset: Dataset
    plan: Plan
    regime: Regime
    root: Path
    resume: bool
    on_step: OnStep | None


def _check_place(root: Path, *, resume: bool) -> None:
    """Make the folder, before anything costly is done."""
    done = (root / "model.json").is_file()
    states = sorted((root / STATES).glob("fold_*.safetensors"))
    if resume and not states:
        raise ConfigError(
            f"a training must have a checkpoint to be resumed, {root.name!r} has none"
            + (
                ": it is finished (vesalius train evaluate scores it)"
                if done
                else ": train without --resume"
            )
        )
    try:
        if not resume:
            shutil.rmtree(root / STATES, ignore_errors=True)
        (root / STATES).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"the folder {root.name!r} must be writable, the system says: "
            f"{error.strerror or type(error).__name__}: choose another"
        ) from error


def _check_unbegun(root: Path, plan: Plan) -> None:
    """Refuse to begin again with a smaller plan what has come as far as a checkpoint."""
    if any((root / STATES).glob("fold_*.safetensors")):
        raise ConfigError(
            f"memory must last for the whole training, it ran out: {plan.batch} patches of "
            f"{plan.patch} need about {needed_bytes(plan) / 2**30:.2g} GiB, "
            f"{device_bytes() / 2**30:.2g} GiB are free; the checkpoint is kept: close other "
            "programs and go on with --resume"
        )


def _joined(splits: tuple[Split, ...], dataset: Dataset, regime: Regime) -> tuple[Split, ...]:
    """The splits with the cases without labels, which every network may see."""
    names = tuple(case.name for case in dataset.without(regime.hold_out).unlabelled)
    if not names:
        raise ConfigError(NO_UNLABELLED.format(dataset.name))
    return tuple(replace(split, unlabelled=names) for split in splits)


def _begun(root: Path, plan: Plan) -> Plan:
    """The plan with the batch and the patch that memory allowed when the training began."""
    first = sorted((root / STATES).glob("fold_*.safetensors"))[0]
    made = plan_from_json(load_checkpoint(first).run.get("plan", {}))
    return replace(plan, batch=made.batch, patch=made.patch)


def _train_all(
    ran: _Ran, splits: tuple[Split, ...]
) -> tuple[tuple[UNet, ...], tuple[tuple[Look, ...], ...], dict[str, Any]]:
    """Networks, what was seen on the way, and what the training images look like."""
    head = make_head(ran.plan)
    names = {
        name for split in splits for name in (*split.trained, *split.watched, *split.unlabelled)
    }
    room = Room(ran.root / STATES, int(MOST_SHARE * free_bytes()))
    chosen = ran.dataset.only(tuple(sorted(names)))
    cases = load_cases(chosen, ran.plan, head, room=room, on_step=ran.on_step)
    by_name = {case.name: case for case in cases}
    done = []
    for i, split in enumerate(splits):
        path = ran.root / STATES / f"fold_{split.fold}.safetensors"
        order = Order(ran.plan, ran.regime, split, path, ran.resume, (i, len(splits)))
        one = FoldTraining(order, head, ran.on_step)
        parts = (split.trained, split.watched, split.unlabelled)
        done.append(one.run(*(tuple(by_name[n] for n in part) for part in parts)))
    seen = [case for case in cases if case.name not in ran.regime.hold_out]
    usual = reference_or_none([appearance(case.data, case.spacing) for case in seen])
    return tuple(network for network, _ in done), tuple(looks for _, looks in done), usual


def _card(ran: _Ran, splits: tuple[Split, ...], looks: tuple[tuple[Look, ...], ...]) -> ModelCard:
    """Say what was trained on what, as far as the run knows it."""
    data, plan = ran.dataset, ran.plan
    names = ", ".join(plan.names[v] for v in sorted(plan.names))
    cases = {name for split in splits for name in split.trained}
    seconds = sum(seen[-1].seconds for seen in looks)
    steps = sum(seen[-1].step for seen in looks)
    told = enumerate(looks)
    return ModelCard(
        name=data.name,
        purpose=f"Segment {names} in images like those of {data.name}.",
        data=f"{len(cases)} cases of {data.name}{_weakly(plan, splits)}. {data.reference}".strip(),
        training=(
            f"{steps} steps of {plan.batch} patches of {plan.patch} samples in {seconds:.0f} s, "
            f"{len(splits)} network{'s' * (len(splits) > 1)}, seed {ran.regime.seed}."
        ),
        limits=(
            "Not a medical device. Unreliable on images unlike its data: another modality, "
            "region, spacing, or stain; such input is flagged where it is noticed."
        ),
        licence=data.licence or "not stated by the data set",
        metrics={f"score on watched patches, network {i}": seen[-1].score for i, seen in told},
    )


def _weakly(plan: Plan, splits: tuple[Split, ...]) -> str:
    """How little was known of the cases, for the card."""
    told = "" if plan.supervision == "full" else f" labelled by {plan.supervision}"
    count = len(splits[0].unlabelled)
    return f"{told}, and {count} without labels" if count else told

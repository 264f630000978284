"""Supervision: what a network is asked for where little is known: boxes, tags, no truth."""
# SPDX-License-Identifier: Apache-2.0

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vesalius.errors import ConfigError, RegionError
from vesalius.learn import UNet, losses
from vesalius.learn.augment import (
    NONE,
    Appearance,
    Augmentation,
    Truth,
    augment,
    changed,
    draw_change,
)
from vesalius.segment._fingerprint import Fingerprint
from vesalius.segment._head import Head
from vesalius.segment._patches import draw_patches, flattened
from vesalius.segment._plan import Plan, Size, Supervision
from vesalius.segment._training_cases import TrainingCase

Batch = tuple[Tensor, ...]

MEANING = {
    "scribbles": "voxels that are not marked count for nothing",
    "tags": "only which classes a case holds, so that a patch must hold the whole case",
    "boxes": "nothing outside, each line through a box meets its object, like neighbours agree",
}
NO_UNLABELLED = (
    "a mean teacher needs cases without labels, all of {!r} have some: put more images into the "
    "data set (images/ or imagesUn/), or train without --unlabelled"
)
CONSISTENCY = 20.0
"""Strength of the agreement with the teacher where cases without labels are learned from."""
LIKENESS = 1.0
"""Strength of the likeness of neighbours beside boxes."""
REACH = 2
"""Samples between neighbours that are compared beside boxes."""
SHARPNESS = 0.3
"""Of the pooling of tags. The 5 of the source marks the peak of an object alone: Dice .05 on made
discs of noise 0.3, where 1 gives .36 and 0.3 gives .80."""
STUDENT = Appearance(
    share_noise=0.5,
    share_blur=0.2,
    share_zoom=0.2,
    share_gain=0.5,
    share_contrast=0.5,
    share_gamma=0.5,
)
"""What the student sees changed of an image without truth; its teacher sees the image as it is."""


def check_supervision(plan: Plan) -> None:
    """Refuse weak truth of what is not learned by classes.

    Args:
        plan: Of a training.

    Raises:
        ConfigError: Objects were to be learned from weak truth, or from images without labels; or
            the strength is negative.
    """
    weak = plan.supervision != "full"
    if plan.head != "classes" and (weak or plan.consistency):
        what = f"from {plan.supervision}" if weak else "from cases without labels"
        raise ConfigError(
            f"only classes are learned {what}, the plan is for {plan.head}: give --task classes, "
            "or full labels of all cases"
        )
    if not plan.consistency >= 0:
        raise ConfigError(f"the strength of consistency must be 0 or more, got {plan.consistency}")


def supervised(plan: Plan, found: Fingerprint, *, kind: Supervision, unlabelled: bool) -> Plan:
    """Say in a plan what the labels are, and whether cases without are learned from.

    Args:
        plan: Of a training with full labels.
        found: Of the data set.
        kind: What the labels are.
        unlabelled: Whether a teacher makes use of the cases without labels.

    Raises:
        ConfigError: There is no case without labels, or as for :func:`check_supervision`.
        RegionError: Marks leave nothing unknown or do not mark the background; a class is in all
            cases or in none, so that tags say nothing of it.
    """
    why = dict(plan.reasons)
    if kind != "full":
        why["supervision"] = f"{kind}, as asked for: {MEANING[kind]}"
    if kind == "scribbles":
        _check_marks(found)
    if kind == "tags":
        _check_tags(found)
        plan = replace(plan, patch=_whole(plan, found))
        why["patch"] = "holds every case whole: a tag is of a case, not of a part of it"
    if unlabelled:
        if not found.unlabelled:
            raise ConfigError(NO_UNLABELLED.format(found.dataset))
        why["consistency"] = (
            f"mean teacher: network and its average agree on {found.unlabelled} cases without "
            "labels; each step sees as many of their patches as labelled ones"
        )
    strength = CONSISTENCY if unlabelled else 0.0
    asked = replace(plan, supervision=kind, consistency=strength, reasons=why)
    check_supervision(asked)
    return asked


def _check_marks(found: Fingerprint) -> None:
    totals = {value: sum(case.counts.get(value, 0) for case in found.cases) for value in (-1, 0)}
    if not totals[-1]:
        raise RegionError(
            f"marks must leave voxels that are not known, all of {found.dataset!r} are: name the "
            "value of what is not marked in dataset.json, such as "
            '"labels": {"background": 0, "liver": 1, "ignore": 2}, or train with full labels'
        )
    if not totals[0]:
        raise RegionError(
            f"marks must show the background, too, no voxel of {found.dataset!r} is 0: draw some "
            "strokes of value 0 beside the objects"
        )


def _check_tags(found: Fingerprint) -> None:
    cases = [case for case in found.cases if case.counts]
    held = {v: sum(case.counts.get(v, 0) > 0 for case in cases) for v in found.names}
    same = [v for v in held if held[v] in {0, len(cases)}]
    if same:
        raise RegionError(
            f"tags must tell cases apart, class {same[0]} is in {held[same[0]]} of {len(cases)} "
            f"cases of {found.dataset!r}: add cases with and without it"
        )


def _whole(plan: Plan, found: Fingerprint) -> Size:
    """Size of a patch that holds every case."""
    divisor = (1,) * (3 - plan.dims) + plan.network.divisor
    sides = []
    for axis in range(3):
        most = max(
            case.shape[axis]
            * case.spacing_mm[axis]
            / (plan.spacing_mm[axis] or case.spacing_mm[axis])
            for case in found.cases
        )
        sides.append(math.ceil(round(most) / divisor[axis]) * divisor[axis])
    z, y, x = sides
    return z, y, x


def fitting(augmentation: Augmentation, plan: Plan) -> Augmentation:
    """Leave out turns where the truth is a box: it would not be tight any more.

    Args:
        augmentation: Of the plan.
        plan: Says what the labels are.
    """
    if plan.supervision != "boxes":
        return augmentation
    motion = replace(augmentation.motion, share_rotated=0.0, share_bent=0.0)
    return replace(augmentation, motion=motion)


@final
@dataclass(frozen=True, slots=True)
class Asked:
    """What training makes small under a plan.

    Attributes:
        plan: Says what the labels are, and how strong a teacher is.
        head: Of the plan.

    References:
        Tarvainen and Valpola (2017), arXiv:1703.01780 (mean teacher); Hsu et al. (2019), NeurIPS
        32, 6586-6597, and Tian et al. (2021), arXiv:2012.02310 (boxes); Pinheiro and Collobert
        (2015), arXiv:1411.6228 (tags). Differs from the first in: the teacher sees the image as it
        is, the student one that is changed.
    """

    plan: Plan
    head: Head

    def alone(self, network: nn.Module, batch: Batch) -> Float[Tensor, ""]:
        """Loss of cases with labels.

        Args:
            network: A U-Net.
            batch: Samples, targets, weight.
        """
        data, targets, weight = batch
        outputs = _deep(network, data)
        with torch.autocast(data.device.type, enabled=False):
            return self._known(outputs, data, targets, weight)

    def taught(
        self, student: nn.Module, teacher: nn.Module, batch: Batch, done: float
    ) -> Float[Tensor, ""]:
        """Loss of cases with labels, and the agreement with a teacher on those without.

        Args:
            student: A U-Net.
            teacher: Its average.
            batch: Samples, targets, weight; then what student and teacher see, and its weight.
            done: Share of the training, 0 to 1.
        """
        data, targets, weight, seen, plain, there = batch
        outputs = _deep(student, torch.cat([data, seen]))
        with torch.no_grad():
            goal = teacher(plain).float()
        n = len(data)
        with torch.autocast(data.device.type, enabled=False):
            known = self._known([y[:n] for y in outputs], data, targets, weight)
            apart = losses.consistency(outputs[0][n:], goal, there)
        return known + self.plan.consistency * losses.ramp_up(done) * apart

    def _known(
        self, outputs: Sequence[Tensor], data: Tensor, targets: Tensor, weight: Tensor
    ) -> Tensor:
        if self.plan.supervision == "tags":
            present = targets.flatten(2).amax(dim=2) > 0.5
            return losses.image_tags(outputs[0], present, sharpness=SHARPNESS)
        if self.plan.supervision != "boxes":
            return losses.deep_supervision(outputs, targets, weight, loss=self.head.loss)
        classes = targets.round().to(torch.int64)
        tight = losses.deep_supervision(outputs, classes, weight, loss=losses.boxes)
        around = _widened((classes > 0).float(), REACH)
        alike = losses.affinity(outputs[0], data, weight * around, reach=REACH)
        return tight + LIKENESS * alike


def draw_views(
    cases: tuple[TrainingCase, ...],
    plan: Plan,
    augmentation: Augmentation,
    *,
    margin: float,
    generator: torch.Generator,
) -> Batch:
    """Draw patches without truth twice: moved alike, the student's changed in its values.

    Args:
        cases: Without labels, at least one.
        plan: Says how many, and the size.
        augmentation: Its motion is taken.
        margin: As for :func:`draw_patches`.
        generator: Source of every choice.

    Returns:
        What the student sees, what the teacher sees, and the weight, 0 outside of the case; two
        spatial axes where the network has two.
    """
    patches = draw_patches(cases, plan, margin=margin, generator=generator)
    data, nothing, weight = (
        flattened(p, plan.dims) for p in (patches.data, patches.targets, patches.weight)
    )
    z, y, x = (s or 1.0 for s in plan.spacing_mm)
    found = augment(
        data,
        Truth(nothing, weight, "nearest"),
        size=plan.patch[3 - plan.dims :],
        spacing=(z, y, x)[3 - plan.dims :],
        augmentation=replace(NONE, motion=augmentation.motion),
        generator=generator,
    )
    batch, channels = data.shape[:2]
    change = draw_change(STUDENT, batch=batch, channels=channels, generator=generator)
    return changed(found.image, change), found.image, found.weight


def _deep(network: nn.Module, data: Tensor) -> list[Tensor]:
    assert isinstance(network, UNet)
    return [y.float() for y in network.deep(data)]


def _widened(inside: Tensor, reach: int) -> Tensor:
    """Take the neighbours of a region in, so that pairs across its border count."""
    pool = nn.functional.max_pool3d if inside.ndim == 5 else nn.functional.max_pool2d
    return pool(inside, 2 * reach + 1, stride=1, padding=reach)

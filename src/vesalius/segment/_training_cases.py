"""Training cases: prepared once, kept in memory where they fit and in mapped files where not."""
# SPDX-License-Identifier: Apache-2.0

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import final

import torch
from jaxtyping import Float, Integer
from torch import Tensor

from vesalius.core import Labels, Step
from vesalius.errors import OutputError
from vesalius.segment._dataset import Case, Dataset, Sample, naming, read_case
from vesalius.segment._head import Head
from vesalius.segment._plan import Plan
from vesalius.segment._prepare import prepare, prepare_labels

MOST_PICKS = 10_000
"""Voxels of one class in one case that a patch may be laid around (nnU-Net's number)."""
ZOOM = (0.25, 4.0)
"""Objects are brought to the diameter of the plan within these factors."""


@final
@dataclass(frozen=True, slots=True, eq=False)
class TrainingCase:
    """A case as the network learns from it.

    Attributes:
        name: Of the case.
        data: Prepared image.
        targets: What the head makes of the labels.
        labels: On the same lattice; -1 where the truth is not known. All 0 in a case without
            labels, which no loss of labels must see.
        picks: For each class that occurs, indices (n, 3) (z, y, x) of some of its voxels.
        spacing: Of the lattice, mm.
    """

    name: str
    data: Float[Tensor, "c z y x"]
    targets: Float[Tensor, "t z y x"]
    labels: Integer[Tensor, "z y x"]
    picks: tuple[Tensor, ...]
    spacing: tuple[float, float, float]

    @property
    def bytes(self) -> int:
        """Memory that the samples take."""
        parts = (self.data, self.targets, self.labels)
        return sum(p.numel() * p.element_size() for p in parts)


@final
@dataclass(frozen=True, slots=True)
class Room:
    """Where prepared cases are kept.

    Attributes:
        folder: For those that do not fit in memory.
        most_bytes: Memory that they may take.
    """

    folder: Path
    most_bytes: int


def load_cases(
    dataset: Dataset,
    plan: Plan,
    head: Head,
    *,
    room: Room,
    on_step: Callable[[Step], None] | None = None,
) -> tuple[TrainingCase, ...]:
    """Read, prepare and keep every case of a data set.

    Args:
        dataset: Its cases, with labels or without.
        plan: Of the network.
        head: Makes the targets.
        room: Where they are kept.
        on_step: Told of each case.

    Returns:
        In the order of the data set.

    Raises:
        VesaliusError: A case is not sound; the text names it.
        OutputError: A case does not fit in memory, and cannot be written either.
    """
    cases: list[TrainingCase] = []
    used = 0
    for i, case in enumerate(dataset.cases):
        found = make_case(dataset, case, plan, head)
        if used + found.bytes > room.most_bytes:
            found = _mapped(found, room.folder, i)
        else:
            used += found.bytes
        cases.append(found)
        if on_step is not None:
            on_step(Step("train: prepare the cases", i + 1, len(dataset.cases)))
    return tuple(cases)


def make_case(dataset: Dataset, case: Case, plan: Plan, head: Head) -> TrainingCase:
    """Read and prepare one case.

    Args:
        dataset: It belongs to.
        case: With labels or without.
        plan: Of the network.
        head: Makes the targets.

    Raises:
        VesaliusError: The case is not sound, or does not fit the plan; the text names it.
    """
    sample = read_case(dataset, case)
    with naming(case.name):
        return _made(sample, plan, head)


def _made(sample: Sample, plan: Plan, head: Head) -> TrainingCase:
    zoom = 1.0 if sample.labels is None else zoom_of(sample.labels, plan)
    prepared = prepare(sample.image, plan, zoom=zoom)
    labels = torch.zeros(prepared.grid.shape, dtype=torch.int32)
    if sample.labels is not None:
        labels = prepare_labels(sample.labels, prepared.grid)
    if plan.head == "classes":
        known = torch.tensor([-1, 0, *plan.names], dtype=labels.dtype)
        labels = torch.where(torch.isin(labels, known), labels, -1)
    spacing = prepared.grid.spacing_mm
    targets = head.targets(labels, spacing)
    if plan.supervision == "tags":
        targets = tag_planes(labels, tuple(sorted(plan.names)))
    picks = _picks(labels, classes=plan.head == "classes")
    return TrainingCase(sample.case.name, prepared.data, targets, labels, picks, spacing)


def tag_planes(
    labels: Integer[Tensor, "z y x"], values: tuple[int, ...]
) -> Float[Tensor, "t z y x"]:
    """Say everywhere which classes a case holds somewhere: 1 or 0 in one channel for each.

    Args:
        labels: Of the case.
        values: Of the classes, background left out.

    Returns:
        A view that takes no memory.
    """
    there = torch.tensor([float((labels == value).any()) for value in values])
    return there[:, None, None, None].expand(-1, *labels.shape)


def zoom_of(labels: Labels, plan: Plan) -> float:
    """Give the factor that brings the objects of a case to the diameter of the plan.

    Args:
        labels: Objects.
        plan: Its ``diameter`` is in samples of the lattice; 0 leaves every size alone.
    """
    own = typical_diameter(labels.data[0])
    if plan.diameter == 0 or own == 0:
        return 1.0
    scale = 1.0
    if all(plan.spacing_mm[1:]):
        felt = range(1 if labels.grid.shape[0] == 1 else 0, 3)
        ratios = [labels.grid.spacing_mm[a] / plan.spacing_mm[a] for a in felt]
        scale = math.prod(ratios) ** (1 / len(ratios))
    return min(max(plan.diameter / (own * scale), ZOOM[0]), ZOOM[1])


def typical_diameter(labels: Integer[Tensor, "z y x"]) -> float:
    """Give the median diameter of objects, in samples: of the disc or ball of their size.

    Args:
        labels: One value for each object; 0 and below count for nothing.

    Returns:
        0 where there is no object.
    """
    sizes = label_counts(labels[labels > 0])[1].double()
    if not len(sizes):
        return 0.0
    size = float(sizes.median())
    flat = labels.shape[0] == 1
    return 2 * math.sqrt(size / math.pi) if flat else (6 * size / math.pi) ** (1 / 3)


def label_counts(labels: Integer[Tensor, "*shape"]) -> tuple[Tensor, Tensor]:
    """Count the voxels of each value that occurs, whatever numbers the values are.

    Args:
        labels: Any shape; -1 or more.

    Returns:
        Values, rising, and the number of voxels of each.
    """
    flat = labels.reshape(-1).to(torch.int64)
    if flat.numel() and int(flat.max()) > 65_536 + flat.numel():  # a count of every number is long
        values, counts = torch.unique(flat, return_counts=True)
        return values, counts
    found = torch.bincount(flat + 1)
    values = found.nonzero()[:, 0]
    return values - 1, found[values]


def _picks(labels: Tensor, *, classes: bool) -> tuple[Tensor, ...]:
    """Some voxels of each class (or of any object), the same ones every time."""
    values = label_counts(labels[labels > 0])[0].tolist() if classes else [0]
    generator = torch.Generator().manual_seed(0)
    out = []
    for value in values:
        at = (labels == value if classes else labels > 0).nonzero()
        if len(at) > MOST_PICKS:
            at = at[torch.randperm(len(at), generator=generator)[:MOST_PICKS]]
        if len(at):
            out.append(at)
    return tuple(out)


def _mapped(case: TrainingCase, folder: Path, number: int) -> TrainingCase:
    """Write the samples of a case to files and map them, so that the system may drop them."""
    import numpy as np

    parts = {}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("data", "targets", "labels"):
            path = folder / f"{number}_{name}.npy"
            np.save(path, getattr(case, name).numpy())
            # copy on write: torch wants a writable array, and nothing writes to it
            parts[name] = torch.from_numpy(np.load(path, mmap_mode="c", allow_pickle=False))
        return replace(case, data=parts["data"], targets=parts["targets"], labels=parts["labels"])
    except OSError as error:
        raise OutputError(
            f"prepared cases that do not fit in memory must be written to {folder.name!r}, the "
            f"system says: {error.strerror or type(error).__name__}: free space there, or give "
            "more memory with --ram"
        ) from error

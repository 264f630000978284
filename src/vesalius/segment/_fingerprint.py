"""Fingerprint: what a data set is like, found in one pass with one case in memory at a time."""
# SPDX-License-Identifier: Apache-2.0

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, final

import torch
from torch import Tensor

from vesalius.core import Step
from vesalius.errors import FormatError, VesaliusError
from vesalius.ops._components import components
from vesalius.segment._dataset import Dataset, Sample, read_case
from vesalius.segment._prepare import percentiles, upright
from vesalius.segment._training_cases import label_counts, typical_diameter

Kind = Literal["CT", "scan", "picture"]
Task = Literal["classes", "objects"]
Size = tuple[int, int, int]
Triple = tuple[float, float, float]

TAKEN = 10_000
"""Samples of the foreground, and of the whole, that one case gives to the percentiles."""
AT = (0.5, 5.0, 50.0, 95.0, 99.5)
"""Percentiles that are kept."""
AIR = -900.0
"""A volume with values below this and above ``BONE`` is taken for CT in Hounsfield units."""
BONE = 300.0
PICTURES = ("PNG", "TIFF", "JPEG", "OME", "HDF5")
FEW = 16
"""Label values in a case up to which the connected pieces of each are told."""
MANY = 4
"""Objects in half the cases, at least, for labels that are not named to be taken for objects."""


@final
@dataclass(frozen=True, slots=True)
class CaseFacts:
    """What one case is like; its axes are those of the lattice (z to S, y to P, x to L).

    Attributes:
        name: Of the case.
        shape: Samples along (z, y, x).
        crop: Size of the box around what is not 0.
        spacing_mm: Along (z, y, x).
        orientation: Of the file, before its axes were turned.
        counts: Voxels of each label value, -1 (not known) and 0 too; empty without labels.
        objects: Connected pieces of each label value; empty where there are many values.
        diameter: Of a typical object, samples; 0 without one.
        medians: Median of each channel.
    """

    name: str
    shape: Size
    crop: Size
    spacing_mm: Triple
    orientation: str
    counts: Mapping[int, int] = field(default_factory=dict)
    objects: Mapping[int, int] = field(default_factory=dict)
    diameter: float = 0.0
    medians: tuple[float, ...] = ()


@final
@dataclass(frozen=True, slots=True)
class ChannelFacts:
    """What the values of one channel are like, over all cases.

    Attributes:
        name: Of the channel.
        kind: ``"CT"`` (Hounsfield units), ``"picture"`` (light or electron microscopy,
            photographs), or ``"scan"`` (MR and what else has no absolute scale).
        foreground: Percentiles 0.5, 5, 50, 95, 99.5 of the labelled voxels.
        whole: The same of all voxels.
        mean: Of the labelled voxels.
        sd: Of the same.
    """

    name: str
    kind: Kind
    foreground: tuple[float, ...]
    whole: tuple[float, ...]
    mean: float
    sd: float


@final
@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with one case.

    Attributes:
        case: Its name.
        kind: The class of the error, such as ``"GeometryError"``.
        text: What must hold, what came, what to do.
    """

    case: str
    kind: str
    text: str


@final
@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What a data set is like; what a plan is made from, and what a new image is compared with.

    Attributes:
        dataset: Its name.
        cases: Those that are sound.
        channels: In order.
        names: Label values that occur, with their names.
        task: Whether labels are classes, or numbers of objects.
        frequencies: Share of each class among the known voxels.
        unlabelled: Number of cases without labels.
        faults: Cases that cannot be used, and why.
        remarks: What must be known.
    """

    dataset: str
    cases: tuple[CaseFacts, ...]
    channels: tuple[ChannelFacts, ...]
    names: Mapping[int, str]
    task: Task
    frequencies: Mapping[int, float]
    unlabelled: int = 0
    faults: tuple[Fault, ...] = ()
    remarks: tuple[str, ...] = ()

    @property
    def flat(self) -> bool:
        """Whether all cases are 2-D."""
        return all(case.shape[0] == 1 for case in self.cases)

    @property
    def diameter(self) -> float:
        """Median of the cases' typical diameters, samples; 0 without objects."""
        found = sorted(case.diameter for case in self.cases if case.diameter > 0)
        return found[len(found) // 2] if found else 0.0

    def to_json(self) -> dict[str, Any]:
        """Give it as JSON types."""
        return dict(json.loads(json.dumps(asdict(self))))


def fingerprint_from_json(text: Mapping[str, Any]) -> Fingerprint:
    """Make a fingerprint from JSON types.

    Args:
        text: From :meth:`Fingerprint.to_json`.

    Raises:
        FormatError: A field is missing, unknown, or of another type.
    """
    try:
        whole = dict(text)
        whole["cases"] = tuple(_case(case) for case in text["cases"])
        whole["channels"] = tuple(
            ChannelFacts(**{k: _tuple(v) for k, v in channel.items()})
            for channel in text["channels"]
        )
        whole["faults"] = tuple(Fault(**fault) for fault in text["faults"])
        whole["names"] = {int(k): str(v) for k, v in text["names"].items()}
        whole["frequencies"] = {int(k): float(v) for k, v in text["frequencies"].items()}
        whole["remarks"] = tuple(text["remarks"])
        return Fingerprint(**whole)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise FormatError(
            f"a fingerprint must be as vesalius train fingerprint writes it, got {error}"
        ) from error


def _case(text: Mapping[str, Any]) -> CaseFacts:
    whole = {key: _tuple(value) for key, value in text.items()}
    for key in ("counts", "objects"):
        whole[key] = {int(k): int(v) for k, v in text[key].items()}
    return CaseFacts(**whole)


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def fingerprint(dataset: Dataset, *, on_step: Callable[[Step], None] | None = None) -> Fingerprint:
    """Look at every case of a data set once.

    Args:
        dataset: Of the cases.
        on_step: Told of each case.

    Returns:
        What the data set is like. Cases that cannot be used are faults, not errors.
    """
    seen = _Seen(dataset)
    for i, case in enumerate(dataset.cases):
        try:
            sample = read_case(dataset, case)
            seen.add(sample)
        except VesaliusError as error:
            seen.faults.append(Fault(case.name, type(error).__name__, str(error)))
        if on_step is not None:
            on_step(Step("fingerprint", i + 1, len(dataset.cases)))
    return seen.fingerprint()


@final
class _Seen:
    """What was seen so far."""

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset
        self.cases: list[CaseFacts] = []
        self.faults: list[Fault] = []
        self.remarks: list[str] = []
        self.fore: list[Tensor] = []
        self.whole: list[Tensor] = []
        self.sizes: list[dict[int, int]] = []
        self.picture = self.hounsfield = True
        self.generator = torch.Generator().manual_seed(0)

    def add(self, sample: Sample) -> None:
        channels = self.whole[0].shape[0] if self.whole else len(self.dataset.channels)
        count = sample.image.data.shape[0]
        if channels not in {0, count}:
            raise FormatError(
                f"case {sample.case.name!r}: every case must have the same channels, it has "
                f"{count}, the others {channels}: leave it out (--only), or convert it"
            )
        self.picture &= any(word in sample.format.upper() for word in PICTURES)
        self.hounsfield &= sample.image.unit == "HU"
        data = upright(sample.image)
        values = data.data.reshape(count, -1).float()
        self.whole.append(self._some(values, torch.ones(values.shape[1], dtype=torch.bool)))
        facts = CaseFacts(
            sample.case.name,
            data.grid.shape,
            _crop(data.data),
            data.grid.spacing_mm,
            sample.image.grid.orientation,
            medians=tuple(float(v.median()) for v in values),
        )
        self.remarks.extend(f"case {sample.case.name!r}: {text}" for text in sample.remarks)
        if sample.labels is not None:
            labels = sample.labels.data[0]
            inside = sample.labels.data[0].reshape(-1) > 0
            flat = sample.image.data.reshape(count, -1).float()
            self.fore.append(self._some(flat, inside))
            facts = _with_labels(facts, labels)
            if not bool(inside.any()):
                self.remarks.append(f"case {sample.case.name!r} has no labelled voxel")
        self.cases.append(facts)

    def _some(self, values: Tensor, inside: Tensor) -> Tensor:
        """Some samples of the region, evenly by chance, (channels, n)."""
        at = inside.nonzero()[:, 0]
        if len(at) > TAKEN:
            at = at[torch.randint(len(at), (TAKEN,), generator=self.generator)]
        return values[:, at]

    def fingerprint(self) -> Fingerprint:
        labelled = [case for case in self.cases if case.counts]
        totals: dict[int, int] = {}
        for case in labelled:
            for value, count in case.counts.items():
                totals[value] = totals.get(value, 0) + count
        known = sum(count for value, count in totals.items() if value >= 0)
        task = self._task(labelled)
        values = sorted(v for v in totals if v > 0)
        told = self.dataset.names
        names = {v: told.get(v, f"label {v}") for v in (told or values)}
        if task == "objects":
            names, inside = {1: "object"}, known - totals.get(0, 0)
            totals = {0: totals.get(0, 0), 1: inside}
        self._judge(labelled, totals, names)
        return Fingerprint(
            self.dataset.name,
            tuple(self.cases),
            self._channels(),
            names,
            task,
            {v: totals[v] / known for v in sorted(totals) if v >= 0 and known},
            len(self.cases) - len(labelled),
            tuple(self.faults),
            tuple(self.remarks),
        )

    def _judge(self, labelled: list[CaseFacts], totals: dict[int, int], names: object) -> None:
        """Say what is odd about all cases together."""
        flat = [case for case in self.cases if case.shape[0] == 1]
        deep = [case for case in self.cases if case.shape[0] > 1]
        fewer, more = (flat, deep) if len(flat) <= len(deep) else (deep, flat)
        own, other = ("2-D", "volumes") if fewer is flat else ("a volume", "2-D")
        self.faults.extend(
            Fault(
                case.name,
                "ShapeError",
                f"case {case.name!r}: all cases must be 2-D or all volumes, it is {own}, "
                f"{len(more)} others are {other}: train them apart (--only)",
            )
            for case in fewer
        )
        values = [v for v in totals if v >= 0]
        if labelled and not any(v > 0 for v in values):
            self.faults.append(
                Fault("all", "RegionError", "labels must mark something, every case is empty")
            )
        if labelled and values and 0 not in values:
            self.remarks.append(
                "no voxel is 0, the background: the network is told of a class it never sees"
            )
        absent = [v for v in self.dataset.names if v not in totals]
        if labelled and absent:
            self.remarks.append(f"labels {absent} are named, but occur in no case")

    def _task(self, labelled: list[CaseFacts]) -> Task:
        """Objects, where labels count on from 1 in each case and every case has its own number."""
        if self.dataset.names or not labelled:
            return "classes"
        counts = [[v for v in case.counts if v > 0] for case in labelled]
        numbers = sorted(len(c) for c in counts)
        counted = sum(bool(c) and max(c) == len(c) for c in counts)
        many = numbers[len(numbers) // 2] >= MANY
        varied = len(set(numbers)) > 1 or (len(numbers) == 1 and numbers[0] > 2 * MANY)
        return "objects" if many and varied and counted >= 0.8 * len(counts) else "classes"

    def _channels(self) -> tuple[ChannelFacts, ...]:
        if not self.whole:
            return ()
        whole = torch.cat(self.whole, dim=1)
        fore = torch.cat(self.fore, dim=1) if self.fore else whole
        fore = fore if fore.shape[1] else whole
        told = self.dataset.channels
        if told and len(told) != len(whole):
            self.faults.append(
                Fault(
                    "all",
                    "ShapeError",
                    f"dataset.json must name every channel, it names {len(told)} of {len(whole)}",
                )
            )
        out = []
        for i, (all_of, inside) in enumerate(zip(whole, fore, strict=True)):
            name = told[i] if i < len(told) else f"channel {i}"
            out.append(
                ChannelFacts(
                    name,
                    self._kind(name, all_of),
                    percentiles(inside, AT),
                    percentiles(all_of, AT),
                    float(inside.double().mean()),
                    float(inside.double().std(correction=0)),
                )
            )
        return tuple(out)

    def _kind(self, name: str, values: Tensor) -> Kind:
        air = float(values.min()) <= AIR and float(values.max()) >= BONE
        if self.hounsfield or name.upper() == "CT" or (air and not self.picture):
            return "CT"
        return "picture" if self.picture else "scan"


def _with_labels(facts: CaseFacts, labels: Tensor) -> CaseFacts:
    """Add what the labels of a case are like."""
    values, counts = label_counts(labels)
    present = dict(zip(values.tolist(), counts.tolist(), strict=True))
    found = components(labels.clamp_min(0), full=True).values.tolist()
    objects = {v: found.count(v) for v in present if v > 0} if len(present) <= FEW else {}
    return replace(facts, counts=present, objects=objects, diameter=typical_diameter(labels))


def _crop(data: Tensor) -> Size:
    """Size of the box around what is not 0 in any channel; all of it where nothing is."""
    inside = (data != 0).any(dim=0)
    sizes = []
    for axis in range(3):
        others = tuple(a for a in range(3) if a != axis)
        at = inside.any(dim=others[1]).any(dim=others[0]).nonzero()[:, 0]
        sizes.append(int(at[-1] - at[0]) + 1 if len(at) else data.shape[1 + axis])
    z, y, x = sizes
    return z, y, x

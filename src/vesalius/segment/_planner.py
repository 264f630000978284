"""Planner: from the fingerprint of a data set and a budget to a plan that says why."""
# SPDX-License-Identifier: Apache-2.0

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, final

from vesalius.errors import ConfigError, RegionError
from vesalius.learn import UNetPlan
from vesalius.segment._fingerprint import ChannelFacts, Fingerprint
from vesalius.segment._heads import head_of
from vesalius.segment._memory import fitted_to_memory
from vesalius.segment._nnunet_plan import (
    FEATURES,
    MOST_FEATURES,
    Topology,
    median_shape,
    nnunet_plan,
    target_spacing,
    topology,
)
from vesalius.segment._plan import (
    HeadKind,
    Kind,
    Normalisation,
    Plan,
    Precision,
    Scheme,
    Supervision,
)
from vesalius.segment._supervision import supervised

Measure = Callable[[Plan], float]
Triple = tuple[float, float, float]

WIDTHS = (32, 24, 16, 12, 8)
"""Channels of the finest level that are tried, widest first."""
LEAST_STEPS = 5000
"""Steps that a network is trained for, at least, before it may be wider."""
MOST_STEPS = 20_000
MOST_LEVELS = 5
MOST_VOXELS = {2: 256 * 256, 3: 64 * 64 * 64}
"""Samples of a patch, at most, on a laptop."""
DIAMETERS = {2: (8.0, 18.0), 3: (6.0, 14.0)}
"""Samples across a typical object that flows and stars are learned at, least and most: nuclei of
18 samples are found and outlined as well as larger ones, in a fraction of the time."""
OBJECT_LEVELS = {2: 4, 3: 3}
"""Levels of a network for objects, at most: it sees some diameters around, and need not see all."""
OBJECT_WIDEST = 64
OBJECT_STEPS = 4000
"""As :data:`LEAST_STEPS`, for objects: 1800 steps were enough for nuclei of 18 samples."""
OBJECT_BATCH = {2: 2, 3: 1}
"""Patches per step where objects are learned: a patch holds dozens of them."""
DEEP = 0
"""Coarser levels that learn from outputs of their own."""
SPENT = 0.9
"""Of the time that is given, what the steps may take."""
PRECISIONS: tuple[Precision, ...] = ("float32", "bfloat16")
CPU_BATCH = {2: 8, 3: 2}
RATE = 3e-3
TRAINED_STEPS = 250_000
"""Steps of nnU-Net's own training: 1000 epochs of 250."""


@final
@dataclass(frozen=True, slots=True)
class Budget:
    """What a training may cost.

    Attributes:
        minutes: Of training.
        ram_gb: Memory, GiB.
        kind: ``"laptop"`` fits network and steps to the time; ``"nnunet"`` takes nnU-Net v2's own
            patch, batch, strides, kernels and widths, whatever they cost.
        steps: Fixed number of steps, which no clock changes; 0 takes what fits in ``minutes``.
        task: What the labels are: classes, or objects learned by flows or (2-D, round ones) by
            stars; ``"auto"`` takes flows where labels are numbers of objects.
        supervision: What is learned from the labels: all, marks, boxes, or which classes occur.
        unlabelled: Whether cases without labels are learned from as well (mean teacher).

    Raises:
        ConfigError: A number is out of range.
    """

    minutes: float = 20.0
    ram_gb: float = 4.0
    kind: Literal["laptop", "nnunet"] = "laptop"
    steps: int = 0
    task: Literal["auto", "classes", "flows", "stars"] = "auto"
    supervision: Supervision = "full"
    unlabelled: bool = False

    def __post_init__(self) -> None:
        if not (self.minutes > 0 and self.ram_gb > 0) or self.steps < 0:
            raise ConfigError(
                "minutes and ram_gb must be positive and steps not negative, got "
                f"{self.minutes}, {self.ram_gb} and {self.steps}"
            )


def plan_training(found: Fingerprint, budget: Budget, *, measure: Measure) -> Plan:
    """Decide everything about a training, and say why.

    The same fingerprint, budget and measured times give the same plan.

    Args:
        found: Of the data set.
        budget: Time, memory, task.
        measure: Seconds that one step of a plan takes on this machine; not called where the
            number of steps is fixed.

    Returns:
        The plan.

    Raises:
        RegionError: No case has labels, nothing is labelled, or marks leave nothing unknown or
            do not show the background, or tags do not tell cases apart.
        ConfigError: Not even the smallest network fits in memory; or the labels cannot be what
            the budget says.
    """
    cases = [case for case in found.cases if case.counts]
    if not cases or not found.names or not any(sum(_inside(c.counts)) for c in cases):
        raise RegionError(
            f"a training must have labelled voxels, {found.dataset!r} has {len(cases)} labelled "
            "cases and none: see vesalius train fingerprint"
        )
    why: dict[str, str] = {}
    head = _head(found, budget, why)
    dims = 2 if found.flat else 3
    spacing = _spacing(found, head, why)
    channels = tuple(_normalisation(channel, why) for channel in found.channels)
    diameter = _diameter(found, head, dims, why)
    lattice, shape = _lattice(found, spacing, diameter)
    layers, batch = _layers(found, budget, lattice, shape, why)
    z, y, x = layers.patch if dims == 3 else (1, *layers.patch)
    network = _network(layers, inputs=len(channels), outputs=1, width=WIDTHS[2])
    plan = Plan(
        head=head,
        names=dict(found.names) if head == "classes" else {1: "object"},
        channels=tuple(channel.name for channel in found.channels),
        spacing_mm=spacing,
        normalisation=channels,
        patch=(z, y, x),
        network=network,
        batch=batch,
        learning_rate=RATE,
        diameter=diameter,
        augment=_augment(found, why),
        reasons=why,
    )
    outputs = head_of(plan).outputs
    plan = replace(plan, network=replace(network, outputs=outputs))
    plan = supervised(plan, found, kind=budget.supervision, unlabelled=budget.unlabelled)
    if head != "classes" and budget.kind == "laptop":
        plan = _for_objects(plan)
    if budget.kind == "nnunet":
        return _as_nnunet(plan, budget)
    return _costed(plan, budget, measure)


def _for_objects(plan: Plan) -> Plan:
    """Take a small residual network: objects are local."""
    levels = min(plan.network.levels, OBJECT_LEVELS[plan.dims])
    network = replace(
        plan.network,
        levels=levels,
        widest=OBJECT_WIDEST,
        block="residual",
        anisotropy=plan.network.anisotropy[: levels - 1],
        kernels=plan.network.kernels[:levels],
    )
    told = f"{levels} residual levels of at most {OBJECT_WIDEST} channels: objects are local"
    why = {**plan.reasons, "network": told, "batch": "a patch holds dozens of objects"}
    return replace(plan, network=network, batch=OBJECT_BATCH[plan.dims], reasons=why)


def _inside(counts: object) -> list[int]:
    assert isinstance(counts, dict)
    return [n for value, n in counts.items() if value > 0]


def _head(found: Fingerprint, budget: Budget, why: dict[str, str]) -> HeadKind:
    if budget.task != "auto":
        why["head"] = f"{budget.task}, as asked for"
        return budget.task
    if found.task == "objects":
        why["head"] = "flows: labels count the objects of each image"
        return "flows"
    why["head"] = f"classes: the same {len(found.names)} values in all cases"
    return "classes"


def _spacing(found: Fingerprint, head: HeadKind, why: dict[str, str]) -> Triple:
    """Spacing of the lattice; 0 keeps that of each image."""
    if all(channel.kind == "picture" for channel in found.channels):
        told = "brought to one diameter of objects" if head != "classes" else "as they are"
        why["spacing_mm"] = f"of each image: pictures, {told}"
        return (0.0, 0.0, 0.0)
    spacings = [case.spacing_mm for case in found.cases]
    z, y, x = target_spacing(spacings, [case.crop for case in found.cases])
    middle = target_spacing(spacings, [(1, 1, 1)] * len(spacings))
    why["spacing_mm"] = "median of the cases" + (
        "" if (z, y, x) == middle else "; finer along the thick axis (its tenth percentile)"
    )
    return (z, y, x)


def _normalisation(channel: ChannelFacts, why: dict[str, str]) -> Normalisation:
    name = f"normalisation, {channel.name}"
    if channel.kind == "CT":
        why[name] = (
            f"CT: clipped to percentiles 0.5 and 99.5 of the labelled voxels "
            f"({channel.foreground[0]:.4g}, {channel.foreground[-1]:.4g}), then their mean and "
            "deviation"
        )
        low, high = channel.foreground[0], channel.foreground[-1]
        return Normalisation("clip and standardise", low, high, channel.mean, max(channel.sd, 1e-8))
    scheme: Scheme = "percentiles" if channel.kind == "picture" else "standardise"
    if channel.kind == "picture":
        why[name] = "picture: percentiles 1 and 99.8 of each image become 0 and 1"
        return Normalisation(scheme, 1.0, 99.8)
    why[name] = "no absolute scale: mean and deviation of each image"
    return Normalisation(scheme)


def _diameter(found: Fingerprint, head: HeadKind, dims: int, why: dict[str, str]) -> float:
    if head == "classes":
        return 0.0
    low, high = DIAMETERS[dims]
    value = float(round(min(max(found.diameter, low), high)))
    why["diameter"] = (
        f"median of the objects is {found.diameter:.1f} samples; every case is brought to {value:g}"
    )
    return value


def _lattice(
    found: Fingerprint, spacing: Triple, diameter: float
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Spacing and median size of the cases as the network sees them, z left out in 2-D."""
    kept = slice(1, 3) if found.flat else slice(0, 3)
    own = [case.spacing_mm for case in found.cases]
    target = spacing if all(spacing) else target_spacing(own, [c.shape for c in found.cases])
    shapes = []
    for case in found.cases:
        zoom = diameter / case.diameter if diameter and case.diameter else 1.0
        scale = [s / t for s, t in zip(case.spacing_mm, target, strict=True)]
        if not all(spacing):
            scale = [1.0, 1.0, 1.0]
        sizes = [n * s * zoom for n, s in zip(case.shape, scale, strict=True)]
        shapes.append(tuple(max(1, round(n)) for n in sizes[kept]))
    same = [target[kept]] * len(shapes)
    return target[kept], median_shape(same, shapes, target[kept])


def _layers(
    found: Fingerprint,
    budget: Budget,
    spacing: tuple[float, ...],
    shape: tuple[float, ...],
    why: dict[str, str],
) -> tuple[Topology, int]:
    """Patch, strides, kernels and batch."""
    if budget.kind == "nnunet":
        # its coarsest axis comes first; ties keep their order
        order = sorted(range(len(shape)), key=lambda a: -spacing[a] if a == _worst(spacing) else 0)
        plan = nnunet_plan(
            tuple(spacing[a] for a in order),
            tuple(shape[a] for a in order),
            cases=len(found.cases) - found.unlabelled,
            outputs=1 + len(found.names),
        )
        why["patch"] = "nnU-Net v2: fills the feature maps of 8 GB"
        why["batch"] = "nnU-Net v2: what is left of them, at most 5 % of all voxels, at least 2"
        return _reordered(plan.topology, order), plan.batch
    dims = len(shape)
    layers = topology(spacing, tuple(math.ceil(n) for n in shape), most_levels=MOST_LEVELS)
    while math.prod(layers.patch) > MOST_VOXELS[dims]:
        layers = _shorter(layers, spacing)
    whole = all(p >= n for p, n in zip(layers.patch, shape, strict=True))
    why["patch"] = (
        f"the median case of {tuple(round(n) for n in shape)} fits whole"
        if whole
        else f"at most {MOST_VOXELS[dims]} samples, as near to a cube as the size allows"
    )
    why["batch"] = "a step stays short, so that there are many"
    return layers, CPU_BATCH[dims]


def _shorter(layers: Topology, spacing: tuple[float, ...]) -> Topology:
    """Take something off the longest side of a patch, mm."""
    axis = max(range(len(spacing)), key=lambda a: layers.patch[a] * spacing[a])
    patch = tuple(n - layers.divisor[a] * (a == axis) for a, n in enumerate(layers.patch))
    return topology(spacing, patch, most_levels=MOST_LEVELS)


def _worst(spacing: tuple[float, ...]) -> int:
    return max(range(len(spacing)), key=lambda a: (spacing[a], -a))


def _reordered(found: Topology, order: list[int]) -> Topology:
    """Bring the axes of nnU-Net's order back to (z, y, x)."""
    back = [order.index(a) for a in range(len(order))]

    def turned(sizes: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(sizes[a] for a in back)

    return Topology(
        turned(found.patch),
        tuple(turned(s) for s in found.strides),
        tuple(turned(k) for k in found.kernels),
        turned(found.divisor),
    )


def _network(found: Topology, *, inputs: int, outputs: int, width: int) -> UNetPlan:
    plain = all(set(s) == {2} for s in found.strides)
    cubic = all(set(k) == {3} for k in found.kernels)
    return UNetPlan(
        len(found.patch),
        inputs,
        outputs,
        width=width,
        levels=found.levels,
        anisotropy=() if plain else found.strides,
        kernels=() if cubic else found.kernels,
        deep=max(0, min(DEEP, found.levels - 2)),
        ascent="pointwise",
    )


def _augment(found: Fingerprint, why: dict[str, str]) -> Kind:
    picture = all(channel.kind == "picture" for channel in found.channels)
    why["augment"] = (
        "pictures have no up and down: any turn, mirrors, other light"
        if picture
        else "scans have sides: turned by up to 20 degrees, scaled, noisy, never mirrored"
    )
    return "microscopy" if picture else "volume"


def _as_nnunet(plan: Plan, budget: Budget) -> Plan:
    widest = MOST_FEATURES[plan.dims]
    deep = plan.network.levels - 2
    network = replace(plan.network, width=FEATURES, widest=widest, deep=deep, ascent="convolved")
    steps = budget.steps or TRAINED_STEPS
    reasons = {**plan.reasons, "steps": f"nnU-Net v2: {TRAINED_STEPS} (1000 epochs of 250)"}
    return replace(
        plan,
        network=network,
        steps=steps,
        learning_rate=0.01,
        optimiser="sgd",
        reasons=reasons,
    )


def _costed(plan: Plan, budget: Budget, measure: Measure) -> Plan:
    """Choose precision, width and number of steps by what a step costs here."""
    why = dict(plan.reasons)
    if budget.steps:
        why["steps"] = "as asked for; the width is the middle one, nothing was measured"
        return _in_ram(replace(plan, steps=budget.steps, reasons=why), budget)
    seconds = 60 * budget.minutes * SPENT
    times = {p: measure(replace(plan, precision=p)) for p in PRECISIONS}
    precision = min(PRECISIONS, key=lambda p: times[p])
    why["precision"] = ", ".join(f"{p} {times[p]:.3g} s a step" for p in PRECISIONS)
    base, first = times[precision], plan.network.width
    least = LEAST_STEPS if plan.head == "classes" else OBJECT_STEPS
    fit = [w for w in WIDTHS if seconds >= least * base * _dearer(w / first)]
    width = fit[0] if fit else WIDTHS[-1]
    chosen = replace(plan, precision=precision, network=replace(plan.network, width=width))
    chosen = _in_ram(chosen, budget)
    cost = measure(chosen)
    steps = max(1, min(MOST_STEPS, int(seconds / cost)))
    why["width"] = (
        f"{width}: the widest of {WIDTHS} that leaves {least} steps"
        if fit
        else f"{width}: the narrowest, and still fewer than {least} steps"
    )
    why["steps"] = f"{cost:.3g} s a step on this machine, {budget.minutes:g} minutes"
    return replace(chosen, steps=steps, reasons={**chosen.reasons, **why})


def _dearer(ratio: float) -> float:
    """What a step costs more with wider layers: half of it goes with the width, half squared."""
    return 0.5 * ratio + 0.5 * ratio**2


def _in_ram(plan: Plan, budget: Budget) -> Plan:
    """Take smaller batches, then smaller patches, until the plan fits the memory asked for."""
    most = int(budget.ram_gb * 2**30)
    fitted, remarks = fitted_to_memory(plan, most)
    why = {**fitted.reasons, "memory": "; ".join(remarks)} if remarks else fitted.reasons
    return replace(fitted, reasons=why)

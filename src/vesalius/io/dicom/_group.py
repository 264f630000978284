"""Groups: which slices of a DICOM series make one volume, by what they say of themselves."""
# SPDX-License-Identifier: Apache-2.0

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np

from vesalius.io._handle import Array
from vesalius.io.dicom._moved import moved_frames
from vesalius.io.dicom._slice import Slice
from vesalius.io.dicom._tags import PRIVATE_B_VALUES

SAME_MM = 1e-3
NOISE_MM = 1e-2
"""Gaps below it are digits of positions that were rounded, where there are larger ones."""
GAP_TOLERANCE = 0.01
SAME_DEG = 0.1
SAME_SPACING_MM = 0.1
"""Pixel spacings are one where the far edge of the slice moves by less."""
MOVED = "moved frame "
COMPLEX = {"P": "PHASE", "R": "REAL", "I": "IMAGINARY"}
"""The third word of ImageType where it names a part of a complex number."""
REFERENCE = "FrameOfReferenceUID"
Key = Callable[[Slice], object]


@final
@dataclass(frozen=True, slots=True)
class Group:
    """Slices of one series that belong together.

    Attributes:
        slices: The slices, in any order.
        words: What tells them from the rest of the series, such as ``"echo 4.6"``.
    """

    slices: tuple[Slice, ...]
    words: tuple[str, ...] = ()


def split_series(slices: Sequence[Slice]) -> list[Group]:
    """Split the slices of one series into those that can be one volume.

    Matrix, modality, frame of reference, magnitude and phase, orientation (0.1 deg) and pixel
    spacing always split, and so do frames that lie elsewhere than the first, as prospective motion
    correction leaves them. Where positions repeat, image type, component, stack, echo, inversion
    time and reconstruction do, if that explains the repeats; acquisition and b-value only where
    they repeat unevenly (else they are frames).

    Args:
        slices: Slices of one SeriesInstanceUID.

    Returns:
        The groups, in the order in which they were met.
    """
    groups = [Group(tuple(slices))]
    for divide in ALWAYS:
        groups = [part for group in groups for part in divide(group)]
    return [part for group in groups for part in _by_kind(group, KINDS)]


def places(slices: Sequence[Slice]) -> tuple[Array, Array]:
    """Number the positions of slices along their normal.

    Args:
        slices: Slices of one orientation, all with position.

    Returns:
        For each slice the number of its place, from 0; and where each place is along the normal,
        mm. Slices nearer than 1% of the usual gap (or 0.001 mm) are at one place.
    """
    axes = slices[0].axes
    assert axes is not None
    normal = np.cross(axes[:, 0], axes[:, 1])
    along = np.array([one.position_mm for one in slices], dtype=np.float64) @ normal
    order = np.argsort(along, kind="stable")
    gaps = np.diff(along[order])
    real = gaps[gaps > NOISE_MM]
    tolerance = max(SAME_MM, GAP_TOLERANCE * float(np.median(real)) if len(real) else 0.0)
    number = np.empty(len(slices), dtype=np.int64)
    number[order] = np.concatenate([[0], np.cumsum(gaps > tolerance)])
    firsts = order[np.concatenate([[True], gaps > tolerance])]
    return number, along[firsts]


def has_place(one: Slice) -> bool:
    """Whether a slice says where it lies."""
    return one.axes is not None and one.position_mm is not None


def b_value(one: Slice) -> float:
    """Diffusion weighting, s/mm^2; NaN where it is not told."""
    for keyword in ("DiffusionBValue", *PRIVATE_B_VALUES):
        value = one.acquisition.get(keyword)
        if value is not None and _is_known(one, keyword):
            try:
                # GE adds 1e9 to mark that its gradients are turned with the slices
                number = float(str(value).split(",")[0])
                return number % 100_000 if keyword == "GEBValue" else number
            except ValueError:
                continue
    return math.nan


def _is_known(one: Slice, keyword: str) -> bool:
    """Whether an element is public, or in the block of the maker that gives it its meaning."""
    creator, name = PRIVATE_B_VALUES.get(keyword, ("", ""))
    return not creator or one.acquisition.get(creator) == name


def _by_size(group: Group) -> list[Group]:
    return _parts(group, lambda one: one.size, lambda size: f"{size[0]} x {size[1]}")


def _by_modality(group: Group) -> list[Group]:
    return _parts(group, lambda one: one.acquisition.get("Modality", "none"), str)


def _by_part(group: Group) -> list[Group]:
    """Split magnitude, phase, real and imaginary part: as one volume they mean nothing."""
    return _parts(group, _complex_part, lambda part: f"part {part}")


def _complex_part(one: Slice) -> object:
    told = str(one.acquisition.get("ComplexImageComponent", ""))
    third = "/".join(one.image_type[2:3]).upper()
    return told or COMPLEX.get(third, "MAGNITUDE")


def _by_reference(group: Group) -> list[Group]:
    """Split by frame of reference, but where each slice has one of its own: those mean nothing."""
    parts = _parts(group, lambda one: one.identifying.get(REFERENCE, ""), lambda _: "")
    if min(len(part.slices) for part in parts) < 2:
        return [group]
    words = [(f"frame of reference {k + 1}",) if len(parts) > 1 else () for k in range(len(parts))]
    return [Group(part.slices, group.words + told) for part, told in zip(parts, words, strict=True)]


def _by_motion(group: Group) -> list[Group]:
    frames = moved_frames(group.slices)
    if not frames:
        return [group]
    return [
        Group(tuple(frame), (*group.words, f"{MOVED}{k + 1} of {len(frames)}"))
        for k, frame in enumerate(frames)
    ]


def _by_axes(group: Group) -> list[Group]:
    """Split by orientation; slices without one stay with the others where these have one."""
    placed = [k for k, one in enumerate(group.slices) if has_place(one)]
    if not placed:
        return [group]
    axes = np.array([group.slices[k].axes for k in placed])
    label = _clusters(axes, lambda first: _angle_deg(axes, first) <= SAME_DEG)
    if label.max() == 0:
        return [group]
    numbers = dict(zip(placed, label.tolist(), strict=True))
    parts = [numbers.get(k, -1) for k in range(len(group.slices))]
    return _labelled(group, parts, lambda k: _direction(axes[label == k][0]) if k >= 0 else "none")


def _by_scale(group: Group) -> list[Group]:
    """Split by what pixel spacing is told: slices without one are as large as nobody knows."""
    return _parts(group, _scale, str)


def _scale(one: Slice) -> object:
    if one.spacing_mm is None:
        return "no pixel spacing"
    return "spacing at the detector" if one.acquisition.get("AtDetector") else "pixel spacing"


def _by_spacing(group: Group) -> list[Group]:
    if group.slices[0].spacing_mm is None:
        return [group]
    spacing = np.array([one.spacing_mm for one in group.slices])
    reach = max(group.slices[0].size[:2])
    label = _clusters(
        spacing, lambda first: np.abs(spacing - first).max(axis=1) * reach <= SAME_SPACING_MM
    )

    def shown(k: int) -> str:
        rows, columns = spacing[label == k][0].tolist()
        return f"pixels of {rows:g} x {columns:g} mm"

    return _labelled(group, label.tolist(), shown)


def _clusters(values: Array, near: Callable[[Array], Array]) -> Array:
    """Number values so that those near the first of a cluster share its number."""
    label = np.full(len(values), -1)
    while (label < 0).any():
        first = values[int(np.argmax(label < 0))]
        label[(label < 0) & near(first)] = label.max() + 1
    return label


def _angle_deg(axes: Array, first: Array) -> Array:
    """Largest angle between the columns of each (3, 2) and those of the first, degrees."""
    chord = np.linalg.norm(axes - first, axis=1).max(axis=1)
    return np.asarray(np.degrees(2 * np.arcsin(np.clip(chord / 2, 0, 1))))


def _direction(axes: Array) -> str:
    normal = np.abs(np.cross(axes[:, 0], axes[:, 1]))
    word = ("sagittal", "coronal", "axial")[int(np.argmax(normal))]
    return word if normal.max() > 0.999 else f"oblique {word}"


def _by_kind(group: Group, kinds: Sequence[tuple[str, Key]]) -> list[Group]:
    """Split by kind as long as positions repeat and a kind explains that."""
    if len(group.slices) < 2 or not all(has_place(one) for one in group.slices):
        return [group]
    number, _ = places(group.slices)
    counts = np.bincount(number)
    most = int(counts.max())
    if most == 1:
        return [group]
    candidates = [*kinds, *UNEVEN] if (counts != most).any() else list(kinds)
    for word, key in candidates:
        parts = _parts(group, key, lambda value, word=word: f"{word} {_plain(value)}")
        if word == "acquisition" and sum(_reach(part) == len(counts) for part in parts) > 1:
            continue  # several that cover it all are frames in time
        if len(parts) > 1 and max(_most(part) for part in parts) < most:
            rest = [kind for kind in kinds if kind[0] != word]
            return [sub for part in parts for sub in _by_kind(part, rest)]
    return [group]


def _plain(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _most(group: Group) -> int:
    return int(np.bincount(places(group.slices)[0]).max())


def _reach(group: Group) -> int:
    return len(places(group.slices)[1])


def _parts(group: Group, key: Key, shown: Callable[..., str]) -> list[Group]:
    values = [key(one) for one in group.slices]
    distinct = list(dict.fromkeys(values))
    return _labelled(group, [distinct.index(v) for v in values], lambda k: shown(distinct[k]))


def _labelled(group: Group, labels: list[int], shown: Callable[[int], str]) -> list[Group]:
    if len(set(labels)) == 1:
        return [group]
    parts: dict[int, list[Slice]] = {}
    for label, one in zip(labels, group.slices, strict=True):
        parts.setdefault(label, []).append(one)
    return [Group(tuple(p), (*group.words, shown(k))) for k, p in parts.items()]


def _kind(keyword: str) -> Key:
    return lambda one: one.acquisition.get(keyword, "none")


def _echo(one: Slice) -> object:
    time = one.acquisition.get("EchoTime", one.acquisition.get("EchoNumbers", "none"))
    return round(time, 3) if isinstance(time, float) else time


def _b_kind(one: Slice) -> object:
    value = b_value(one)
    return "none" if math.isnan(value) else value


KINDS: tuple[tuple[str, Key], ...] = (
    ("image type", lambda one: "/".join(one.image_type)),
    ("stack", _kind("StackID")),
    ("echo", _echo),
    ("inversion time", _kind("InversionTime")),
    ("kernel", _kind("ConvolutionKernel")),
    ("flip angle", _kind("FlipAngle")),
    ("tube voltage", _kind("KVP")),
)
"""What tells repeated slices apart that are no frames."""
UNEVEN: tuple[tuple[str, Key], ...] = (
    ("acquisition", _kind("AcquisitionNumber")),
    ("b-value", _b_kind),
)
"""What does where they repeat unevenly."""
ALWAYS = (
    _by_size,
    _by_modality,
    _by_part,
    _by_reference,
    _by_motion,
    _by_axes,
    _by_scale,
    _by_spacing,
)
"""What splits a series whether positions repeat or not, in this order."""

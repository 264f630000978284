"""DICOM SEG out: labels as a segmentation of a series, binary or as a label map."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any, Literal

import numpy as np

from vesalius.core import Labels
from vesalius.errors import FormatError, RegionError
from vesalius.io._atomic import staged
from vesalius.io._budget import DEFAULT, Budget
from vesalius.io._handle import Array
from vesalius.io._samples import to_numpy
from vesalius.io.dicom._context import (
    SAME_MM,
    Caption,
    Source,
    decimal,
    equipment,
    geometry,
    highdicom,
    planes_of,
    quiet,
    seed,
    settle,
    short,
    source_for,
    uid,
    unreal,
    upright,
)
from vesalius.io.dicom._seg import open_seg
from vesalius.io.dicom.codes import Algorithm, Meaning, meaning_of

Kind = Literal["BINARY", "LABELMAP"]
LARGEST = 65535
COPIES = 3


NOT_STATED = Algorithm()


def save_seg(
    labels: Labels,
    path: str | Path,
    *,
    like: str | Path = "",
    kind: Kind = "BINARY",
    codes: Mapping[tuple[int, int], Meaning] | None = None,
    algorithm: Algorithm = NOT_STATED,
    caption: Caption = Caption(),  # noqa: B008  frozen
) -> None:
    """Write labels as a DICOM segmentation; equal inputs give equal bytes.

    Names are cut at 64 characters, all that DICOM holds, backslashes and line breaks replaced.
    Value and layer of each label stand in its SegmentDescription, so that they come back. A
    BINARY one leaves empty frames out, but keeps one at each end of the stack so that the grid
    comes back too. Planes that run against their normal are written, and come back, turned round
    in z: the same labels at the same places. Empty layers after the last label are not kept.

    Args:
        labels: What to write; its values 1 to 65535.
        path: Where it goes; an existing file is replaced.
        like: Folder of the series that was segmented; patient, study and frame of reference are
            its own. Empty writes an anonymous study without references.
        kind: ``"BINARY"`` is read by every program; ``"LABELMAP"`` (2024) is smaller for many
            labels, and cannot hold layers.
        codes: What labels mean, by (layer, value); others are coded by their name, else as tissue.
        algorithm: How the labels came to be.
        caption: Description, number and date of the series.

    Raises:
        RegionError: There is no label, or one is negative or above 65535.
        FormatError: The source cannot be read, a label map is asked for several layers, or labels
            that overlap take more memory than a budget allows.
        GeometryError: Rows and columns are not at right angles.
        ExtraError: highdicom is not installed.
        OutputError: The folder is absent or not writable, or what was read back differs.
    """
    upward = _turned(labels)
    values = _values(upward, kind)
    source = source_for(upward.grid, upward.data, like)
    told = tuple(sorted((codes or {}).items()))
    own = seed(upward.data, upward.grid, source, "SEG", kind, told, algorithm, caption)
    own = uid(own, repr(sorted(upward.names.items())))
    described = [
        _describe(number, key, upward, dict(told).get(key), algorithm, own)
        for number, key in values.items()
    ]
    with quiet():
        dataset = highdicom().seg.Segmentation(
            source_images=list(source.headers),
            pixel_array=_numbered(upward, values),
            segmentation_type=kind,
            segment_descriptions=described,
            series_instance_uid=uid(own, "series"),
            series_number=caption.number,
            sop_instance_uid=uid(own, "instance"),
            instance_number=1,
            omit_empty_frames=kind == "BINARY",
            content_label="SEGMENTATION",
            **equipment(),
            **geometry(upward.grid),
        )
    measures = dataset.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    measures.SpacingBetweenSlices = decimal(planes_of(upward.grid).step_mm)
    if kind == "BINARY":
        _keep_ends(dataset, geometry(upward.grid)["plane_positions"], source)
    unreal(dataset, source)
    settle(dataset, own, source, caption)
    _publish(dataset, upward, Path(path))


def _turned(labels: Labels) -> Labels:
    data, grid = upright(labels.data, labels.grid)
    layers = max((layer for layer, _ in labels.values), default=0) + 1
    return Labels(data[:layers], grid, labels.names)


def _values(labels: Labels, kind: Kind) -> dict[int, tuple[int, int]]:
    """Give (layer, value) by segment number."""
    keys = labels.values
    if not keys:
        raise RegionError(
            "labels must hold at least one region to be written as a segmentation, "
            "all voxels are 0: there is nothing to write"
        )
    outside = [value for _, value in keys if not 0 < value <= LARGEST]
    if outside or len(keys) > LARGEST:
        raise RegionError(
            f"labels must be from 1 to {LARGEST} to be written as a segmentation, "
            f"got {(outside or [keys[-1][1]])[0]} among {len(keys)} labels: renumber them"
        )
    if kind == "LABELMAP":
        if labels.data.shape[0] > 1:
            raise FormatError(
                "a label map must have one layer, the labels have "
                f"{labels.data.shape[0]} that may overlap: write them with kind='BINARY'"
            )
        return {value: (0, value) for _, value in keys}
    return dict(enumerate(keys, start=1))


def _describe(
    number: int,
    key: tuple[int, int],
    labels: Labels,
    meaning: Meaning | None,
    algorithm: Algorithm,
    own: str,
) -> Any:
    hd = highdicom()
    layer, value = key
    name = labels.name(value, layer)
    meant = meaning or meaning_of(name)
    name = short(name) or f"label {value}"
    item = hd.seg.SegmentDescription(
        segment_number=number,
        segment_label=name,
        segmented_property_category=meant.category.concept(),
        segmented_property_type=meant.kind.concept(),
        algorithm_type=algorithm.kind,
        algorithm_identification=hd.AlgorithmIdentificationSequence(
            name=algorithm.name, family=algorithm.family.concept(), version=algorithm.version
        ),
        tracking_uid=uid(own, "tracking", str(layer), str(value)),
        tracking_id=name,
    )
    item.SegmentDescription = f"label {value} of layer {layer}"
    return item


def _numbered(
    labels: Labels, values: dict[int, tuple[int, int]], budget: Budget = DEFAULT
) -> Array:
    """Give segment numbers (z, y, x) where there is one layer, else masks (z, y, x, segment)."""
    data = to_numpy(labels.data)
    kind = np.uint8 if max(values) <= 255 else np.uint16
    if data.shape[0] > 1:
        # highdicom takes a mask of the whole grid for each segment, and copies them all
        needed = COPIES * len(values) * data[0].size
        if needed > budget.bytes:
            raise FormatError(
                f"labels that overlap must take at most {budget.bytes / 2**30:.3g} GiB to be "
                f"written as a segmentation, {len(values)} masks of {data[0].size} voxels take "
                f"{needed / 2**30:.3g}: write them in several files, or crop them"
            )
        masks = np.empty((*data.shape[1:], len(values)), np.uint8)
        for k, (layer, value) in enumerate(values.values()):
            masks[..., k] = data[layer] == value
        return masks
    table = np.zeros(max(value for _, value in values.values()) + 1, kind)
    for number, (_, value) in values.items():
        table[value] = number
    return np.asarray(table[data[0]])


def _keep_ends(dataset: Any, positions: list[Any], source: Source) -> None:
    """Put an empty frame at each end of the stack that has none, in place.

    highdicom sorts frames by segment, then by plane against the normal: the last plane of the
    first segment goes before all, the first plane of the last segment behind all.
    """
    groups = list(dataset.PerFrameFunctionalGroupsSequence)
    there = {_place(group) for group in groups}
    last_plane, first_plane = positions[-1], positions[0]
    front = _place_of(last_plane) not in there
    back = _place_of(first_plane) not in there
    count = int(dataset.Rows) * int(dataset.Columns)
    if not (front or back or count < 8):
        return
    bits = _bits(dataset.PixelData, len(groups), count)
    empty = np.zeros(count, np.uint8)
    last = max(int(g.FrameContentSequence[0].DimensionIndexValues[-1]) for g in groups) + front
    for group in groups:
        _renumber(group, int(group.FrameContentSequence[0].DimensionIndexValues[-1]) + front)
    if front:
        groups.insert(0, _copied(groups[0], last_plane, 1, source))
    if back:
        groups.append(_copied(groups[-1], first_plane, last + 1, source))
    bits = np.concatenate([*[empty] * front, bits, *[empty] * back])
    packed = np.packbits(bits, bitorder="little").tobytes()
    dataset.PixelData = packed + b"\0" * (len(packed) % 2)
    dataset.PerFrameFunctionalGroupsSequence = groups
    dataset.NumberOfFrames = len(groups)


def _bits(packed: bytes, frames: int, count: int) -> Array:
    raw = np.frombuffer(packed, np.uint8)
    if count < 8:  # highdicom 0.28 gives each such frame a byte of its own
        rows = np.unpackbits(raw[:frames, None], axis=1, bitorder="little")
        return np.asarray(rows[:, :count].reshape(-1))
    return np.unpackbits(raw, bitorder="little", count=frames * count)


def _copied(group: Any, position: Any, index: int, source: Source) -> Any:
    """Copy the groups of a frame to another plane, with the image that lies there."""
    made = deepcopy(group)
    made.PlanePositionSequence = position
    _renumber(made, index)
    there = [header for header in source.headers if _lies_in(header, _place_of(position))]
    if there and "DerivationImageSequence" in made:
        image = made.DerivationImageSequence[0].SourceImageSequence[0]
        image.ReferencedSOPInstanceUID = there[0].SOPInstanceUID
    elif "DerivationImageSequence" in made:
        del made.DerivationImageSequence
    return made


def _lies_in(header: Any, point: tuple[float, ...]) -> bool:
    """Say whether a point lies in the plane of an image."""
    if "ImagePositionPatient" not in header:
        return False
    axes = np.array(header.ImageOrientationPatient, float).reshape(2, 3)
    apart = np.array(point) - np.array(header.ImagePositionPatient, float)
    return abs(float(np.cross(*axes) @ apart)) < SAME_MM


def _renumber(group: Any, index: int) -> None:
    content = group.FrameContentSequence[0]
    content.DimensionIndexValues = [*list(content.DimensionIndexValues)[:-1], index]


def _place(group: Any) -> tuple[float, ...]:
    return _place_of(group.PlanePositionSequence)


def _place_of(sequence: Any) -> tuple[float, ...]:
    return tuple(float(v) for v in sequence[0].ImagePositionPatient)


def _publish(dataset: Any, labels: Labels, target: Path) -> None:
    from vesalius.io._save import Writer, compare

    with staged(target) as stage:
        dataset.save_as(stage, enforce_file_format=True)
        compare(labels, Writer(lambda obj, path: None, open_seg), stage)

"""DICOM SEG in: files as other programs write them, and damaged ones."""

import zlib
from collections.abc import Callable
from pathlib import Path

import highdicom
import numpy as np
import pydicom
import pytest
import torch
from pydicom.uid import DeflatedExplicitVRLittleEndian, RLELossless
from written import blobs, grids, write_source

from vesalius import io
from vesalius.core import Labels
from vesalius.errors import FormatError
from vesalius.io import Budget
from vesalius.io.dicom import save_seg

Change = Callable[[pydicom.Dataset], None]


def foreign(folder: Path, masks: np.ndarray, kind: str = "BINARY", **options: object) -> Path:
    """Write (z, y, x, segment) masks with highdicom alone, as any program would."""
    grid = grids(masks.shape[:3])["straight"]
    like = write_source(folder / "ct", grid)
    images = [pydicom.dcmread(p) for p in sorted(like.iterdir())]
    for image in images:
        image.AccessionNumber = image.StudyID = image.ReferringPhysicianName = ""
        image.PatientBirthDate = image.PatientSex = ""
    images.sort(key=lambda one: float(one.ImagePositionPatient[2]))
    code = highdicom.sr.CodedConcept("10200004", "SCT", "Liver")
    described = [
        highdicom.seg.SegmentDescription(n, f"organ {n}", code, code, "MANUAL")
        for n in range(1, masks.shape[-1] + 1)
    ]
    seg = highdicom.seg.Segmentation(
        images, masks, kind, described, "1.7", 3, "1.8", 1, "m", "n", "1", "2", **options
    )
    seg.save_as(folder / "seg.dcm")
    return folder / "seg.dcm"


def change(path: Path, how: Change) -> Path:
    """Rewrite a file with one thing changed."""
    file = pydicom.dcmread(path)
    how(file)
    file.save_as(path, enforce_file_format=True)
    return path


def apart() -> np.ndarray:
    """Two segments that do not overlap, 5 planes."""
    masks = np.zeros((5, 6, 7, 2), np.uint8)
    masks[1:4, 1:3, 1:5, 0] = 1
    masks[1:4, 3:5, 2:6, 1] = 1
    return masks


def crossing() -> np.ndarray:
    """Three segments; the first two overlap in one voxel."""
    masks = np.zeros((5, 6, 7, 3), np.uint8)
    masks[1:4, 1:4, 1:4, 0] = 1
    masks[3:5, 3:5, 3:5, 1] = 1
    masks[0, 5, 6, 2] = 1
    return masks


def codes(handle: io.Handle) -> set[str]:
    return {finding.code for finding in handle.findings}


def test_reads_what_highdicom_writes(tmp_path: Path) -> None:
    path = foreign(tmp_path, apart(), omit_empty_frames=False)
    handle = io.open(path)
    labels = handle.read_labels()
    wanted = apart() @ np.array([1, 2], np.uint8)
    assert torch.equal(labels.data[0], torch.from_numpy(wanted))
    assert float((labels.grid.affine - grids()["straight"].affine).abs().max()) < 1e-9
    assert labels.names == {(0, 1): "organ 1", (0, 2): "organ 2"}
    assert handle.meta["segments"]["1"]["type"] == "Liver"
    assert "secret" not in str(dict(handle.meta))
    assert io.open(path, patient=True).meta["PatientID"] == "secret"


def test_empty_frames_that_were_left_out_are_zeros(tmp_path: Path) -> None:
    masks = np.zeros((9, 6, 7, 1), np.uint8)
    masks[[2, 4, 8], 2:4, 3] = 1
    path = foreign(tmp_path, masks)

    def drop(file: pydicom.Dataset) -> None:
        del file.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].SpacingBetweenSlices

    labels = io.open_labels(path)  # SpacingBetweenSlices says 2.5 mm
    assert labels.grid.shape == (7, 6, 7)
    assert torch.equal(labels.data[0], torch.from_numpy(masks[2:, ..., 0]))
    sparse = io.open_labels(change(path, drop))  # the smallest gap is 5 mm
    assert sparse.grid.spacing_mm[0] == pytest.approx(5)
    assert torch.equal(sparse.data[0], torch.from_numpy(masks[2::2, ..., 0]))


def test_a_spacing_that_no_plane_lies_on_is_not_believed(tmp_path: Path) -> None:
    def lie(file: pydicom.Dataset) -> None:
        measures = file.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
        measures.SpacingBetweenSlices = 1.7

    path = change(foreign(tmp_path, apart()), lie)
    assert io.open(path).grid.spacing_mm[0] == pytest.approx(2.5)


def test_tells_tilted_planes(tmp_path: Path) -> None:
    grid = grids()["tilted"]
    save_seg(blobs(grid), tmp_path / "a.dcm")
    handle = io.open(tmp_path / "a.dcm")
    (tilted,) = (f for f in handle.findings if f.code == "tilted")
    assert "17.00 deg" in tilted.message
    assert float((handle.grid.affine - grid.affine).abs().max()) < 1e-9


def test_finds_layers_for_segments_that_overlap(tmp_path: Path) -> None:
    def untold(file: pydicom.Dataset) -> None:
        del file.SegmentsOverlap

    path = change(foreign(tmp_path, crossing(), omit_empty_frames=False), untold)
    labels = io.open_labels(path)
    assert labels.names == {(0, 1): "organ 1", (1, 2): "organ 2", (0, 3): "organ 3"}
    for (layer, value), _ in labels.names.items():
        assert torch.equal(
            labels.mask(value, layer), torch.from_numpy(crossing()[..., value - 1]).bool()
        )
    again = change(foreign(tmp_path / "b", apart()), untold)
    assert io.open_labels(again).data.shape[0] == 1


def test_refuses_segments_that_overlap_where_the_header_denies_it(tmp_path: Path) -> None:
    def deny(file: pydicom.Dataset) -> None:
        file.SegmentsOverlap = "NO"

    path = change(foreign(tmp_path, crossing()), deny)
    with pytest.raises(FormatError, match="must have segments that do not overlap, as its header"):
        io.open_labels(path)


def test_a_fractional_one_is_an_image_and_labels_by_threshold(tmp_path: Path) -> None:
    fractions = apart() * np.linspace(0, 1, 7)[None, None, :, None]
    path = foreign(tmp_path, fractions.astype(np.float32), "FRACTIONAL", omit_empty_frames=False)
    handle = io.open(path)
    image = handle.read()
    assert image.channels == ("organ 1", "organ 2")
    found = np.moveaxis(image.data.numpy(), 0, -1)
    assert float(np.abs(found - fractions).max()) <= 0.5 / 255 + 1e-7
    labels = handle.read_labels()
    assert labels.names == {(0, 1): "organ 1", (1, 2): "organ 2"}
    assert torch.equal(labels.mask(2, 1), image.data[1] >= 0.5)
    assert "labels are made from 0.5 on" in handle.findings[-1].message
    part = handle.read_labels((slice(1, 3), slice(2, 5), slice(0, 6)))
    assert torch.equal(part.data, labels.data[:, 1:3, 2:5, :6])


@pytest.mark.parametrize("syntax", [DeflatedExplicitVRLittleEndian, RLELossless])
def test_reads_packed_samples(tmp_path: Path, syntax: str) -> None:
    def pack(file: pydicom.Dataset) -> None:
        if syntax == RLELossless:
            file.compress(RLELossless)
        file.file_meta.TransferSyntaxUID = syntax

    path = foreign(tmp_path, apart(), "LABELMAP", omit_empty_frames=False)
    wanted = io.open_labels(path)
    packed = io.open_labels(change(path, pack))
    assert torch.equal(packed.data, wanted.data)
    assert packed.names == wanted.names


@pytest.mark.parametrize("kind", ["BINARY", "LABELMAP"])
def test_a_region_reads_only_its_frames(tmp_path: Path, kind: str) -> None:
    grid = grids((9, 5, 3))["oblique"]
    save_seg(blobs(grid, (2, 9)), tmp_path / "a.dcm", kind=kind)
    handle = io.open(tmp_path / "a.dcm")
    full = handle.read_labels()
    part = handle.read_labels((slice(3, 7), slice(1, 4), slice(0, 2)))
    assert torch.equal(part.data, full.data[:, 3:7, 1:4, :2])
    # samples of frames outside are not looked at: the file may end before them
    whole = (tmp_path / "a.dcm").read_bytes()
    (tmp_path / "a.dcm").write_bytes(whole[:-4])
    with pytest.raises(FormatError, match="the file is truncated, copy it again"):
        io.open(tmp_path / "a.dcm")


def test_the_background_of_a_label_map_is_zero(tmp_path: Path) -> None:
    def shift(file: pydicom.Dataset) -> None:
        array = file.pixel_array.copy()
        array[array == 0] = 200
        file.PixelData = array.astype(np.uint8).tobytes()
        file.PixelPaddingValue = 200
        for item in file.SegmentSequence:
            item.SegmentNumber = 200 if item.SegmentNumber == 0 else item.SegmentNumber

    path = foreign(tmp_path, apart(), "LABELMAP", omit_empty_frames=False)
    wanted = io.open_labels(path).data
    assert torch.equal(io.open_labels(change(path, shift)).data, wanted)


def test_a_single_plane_takes_its_thickness(tmp_path: Path) -> None:
    masks = np.ones((1, 6, 7, 1), np.uint8)
    grid = io.open(foreign(tmp_path, masks)).grid
    assert grid.shape == (1, 6, 7)
    assert grid.spacing_mm == pytest.approx((2.5, 0.75, 0.5))


def test_opens_one_without_place_and_spacing(tmp_path: Path) -> None:
    def strip(file: pydicom.Dataset) -> None:
        del file.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence
        del file.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence

    path = change(foreign(tmp_path, np.ones((1, 6, 7, 1), np.uint8)), strip)
    assert {"no-position", "no-spacing"} <= codes(io.open(path))


def _groups(file: pydicom.Dataset, k: int) -> pydicom.Dataset:
    return file.PerFrameFunctionalGroupsSequence[k]


def _move(file: pydicom.Dataset) -> None:
    _groups(file, 1).PlanePositionSequence[0].ImagePositionPatient = [-10, 20, 33.6]


def _sideways(file: pydicom.Dataset) -> None:
    for group in file.PerFrameFunctionalGroupsSequence:
        position = group.PlanePositionSequence[0]
        if float(position.ImagePositionPatient[2]) == 35:
            position.ImagePositionPatient = [-8, 20, 35]


def _turn(file: pydicom.Dataset) -> None:
    shared = file.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence
    for k in range(2):
        item = pydicom.Dataset()
        item.ImageOrientationPatient = list(shared[0].ImageOrientationPatient)
        if k:
            item.ImageOrientationPatient = [0, 1, 0, 0, 0, 1]
        _groups(file, k).PlaneOrientationSequence = [item]


def _slant(file: pydicom.Dataset) -> None:
    shared = file.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence[0]
    shared.ImageOrientationPatient = [1, 0, 0, 1, 1, 0]


def _short_position(file: pydicom.Dataset) -> None:
    for group in file.PerFrameFunctionalGroupsSequence:
        group.PlanePositionSequence[0].ImagePositionPatient = [1, 2]


def _twice(file: pydicom.Dataset) -> None:
    first, second = _groups(file, 0), _groups(file, 1)
    second.PlanePositionSequence = first.PlanePositionSequence
    second.SegmentIdentificationSequence = first.SegmentIdentificationSequence


def _unknown(file: pydicom.Dataset) -> None:
    _groups(file, 0).SegmentIdentificationSequence[0].ReferencedSegmentNumber = 9


def _tiled(file: pydicom.Dataset) -> None:
    del file.PerFrameFunctionalGroupsSequence


def _bits(file: pydicom.Dataset) -> None:
    file.BitsAllocated = 8


def _strange(file: pydicom.Dataset) -> None:
    file.SegmentationType = "SURFACE"


def _nothing(file: pydicom.Dataset) -> None:
    del file.SegmentSequence


REFUSED = {
    r"must have planes on an even row, its 4 planes are 1.1 to 2.5 mm apart": _move,
    r"must have planes on an even row, its 3 planes": _sideways,
    "must have frames of one orientation, it has several": _turn,
    "must have rows and columns at right angles, ImageOrientationPatient is": _slant,
    "must give each plane position as three numbers": _short_position,
    "must have one frame for each segment and plane, some have several": _twice,
    "must describe each segment, segment 9 has frames but no description": _unknown,
    "must place each of its 6 frames, 0 are placed: a tiled slide": _tiled,
    "must have 1 bit for each sample of a BINARY segmentation": _bits,
    "must be a BINARY, FRACTIONAL or LABELMAP segmentation, it is of another": _strange,
    r"must be a readable DICOM segmentation, it is not \(AttributeError\)": _nothing,
}


@pytest.mark.parametrize("text", list(REFUSED))
def test_refuses_what_would_be_wrong(tmp_path: Path, text: str) -> None:
    path = change(foreign(tmp_path, apart()), REFUSED[text])
    with pytest.raises(FormatError, match=text):
        io.open(path)


def test_refuses_packed_samples_that_cannot_be_undone(tmp_path: Path) -> None:
    def damage(file: pydicom.Dataset) -> None:
        file.compress(RLELossless)
        file.PixelData = pydicom.encaps.encapsulate([b"\1\2"] * 5)

    path = change(foreign(tmp_path, apart(), "LABELMAP", omit_empty_frames=False), damage)
    handle = io.open(path)
    with pytest.raises(FormatError, match="must hold all samples that its header promises"):
        handle.read_labels()


def test_refuses_a_file_cut_off_in_its_header(tmp_path: Path) -> None:
    from vesalius.io._handle import Rules
    from vesalius.io.dicom._seg import open_seg

    path = foreign(tmp_path, apart())
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(FormatError, match="must be a readable DICOM"):
        open_seg(path, Rules())


def test_a_small_file_that_inflates_is_refused_before_it_is_kept(tmp_path: Path) -> None:
    from vesalius.io._handle import Rules
    from vesalius.io.dicom._seg import open_seg

    path = foreign(tmp_path, apart())
    file = pydicom.dcmread(path)
    file.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    file.save_as(path, enforce_file_format=True)
    head = path.read_bytes()
    meta = 132 + 12 + int(pydicom.dcmread(path).file_meta.FileMetaInformationGroupLength)
    engine = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    bomb = b"".join([engine.compress(bytes(1 << 20)) for _ in range(40)]) + engine.flush()
    path.write_bytes(head[:meta] + bomb)
    with pytest.raises(FormatError, match="must not grow more than 200 times"):
        open_seg(path, Rules(budget=Budget(free_bytes=1 << 20)))


def test_the_budget_counts_planes_that_are_not_there(tmp_path: Path) -> None:
    def far(file: pydicom.Dataset) -> None:
        measures = file.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
        measures.SpacingBetweenSlices = 1e-9

    path = change(foreign(tmp_path, apart()), far)
    with pytest.raises(FormatError, match=r"must fit in 16 GiB .* its header claims"):
        io.open(path)


def test_values_that_are_large_come_back(tmp_path: Path) -> None:
    grid = grids()["straight"]
    data = torch.zeros((1, *grid.shape), dtype=torch.int32)
    data[0, 0, 0, 0], data[0, 4, 5, 6] = 40000, 255
    for kind in ("BINARY", "LABELMAP"):
        save_seg(Labels(data, grid), tmp_path / "a.dcm", kind=kind)
        assert torch.equal(io.open_labels(tmp_path / "a.dcm").data.int(), data)


# ---- as other programs may order and word them


def _reversed(file: pydicom.Dataset) -> None:
    """The frames in the other order, their groups with them."""
    count = file.NumberOfFrames
    bits = np.unpackbits(np.frombuffer(file.PixelData, np.uint8), bitorder="little")
    frames = bits[: count * 42].reshape(count, 42)[::-1]
    packed = np.packbits(frames.reshape(-1), bitorder="little").tobytes()
    file.PixelData = packed + b"\0" * (len(packed) % 2)
    file.PerFrameFunctionalGroupsSequence = list(file.PerFrameFunctionalGroupsSequence)[::-1]


def _shuffled(file: pydicom.Dataset) -> None:
    """No frame where it was."""
    count = file.NumberOfFrames
    order = np.random.default_rng(7).permutation(count)
    bits = np.unpackbits(np.frombuffer(file.PixelData, np.uint8), bitorder="little")
    packed = np.packbits(bits[: count * 42].reshape(count, 42)[order].ravel(), bitorder="little")
    file.PixelData = packed.tobytes() + b"\0" * (len(packed.tobytes()) % 2)
    groups = list(file.PerFrameFunctionalGroupsSequence)
    file.PerFrameFunctionalGroupsSequence = [groups[k] for k in order]


def _bare(file: pydicom.Dataset) -> None:
    """Nothing tells of the images that it was made on."""
    for group in file.PerFrameFunctionalGroupsSequence:
        group.pop("DerivationImageSequence", None)
    for keyword in ("ReferencedSeriesSequence", "FrameOfReferenceUID"):
        file.pop(keyword, None)


@pytest.mark.parametrize("how", [_reversed, _shuffled, _bare])
def test_the_order_of_frames_and_references_do_not_matter(tmp_path: Path, how: Change) -> None:
    path = foreign(tmp_path, crossing(), omit_empty_frames=False)
    before = io.open_labels(path)
    after = io.open_labels(change(path, how))
    assert torch.equal(after.data, before.data)
    assert torch.equal(after.grid.affine, before.grid.affine)


@pytest.mark.parametrize("top", [1, 100, 255])
@pytest.mark.parametrize("sort", ["PROBABILITY", "OCCUPANCY"])
def test_fractions_are_of_what_the_file_calls_whole(tmp_path: Path, top: int, sort: str) -> None:
    masks = np.zeros((5, 6, 7, 2), np.float32)
    masks[1:4, 1:3, 1:5, 0] = 1.0
    masks[2, 3:5, 3:5, 1] = 1.0
    options = {"max_fractional_value": top, "fractional_type": sort}
    handle = io.open(foreign(tmp_path, masks, "FRACTIONAL", omit_empty_frames=False, **options))
    image = handle.read()
    assert float(image.data.max()) == 1.0
    assert torch.equal(image.data, torch.from_numpy(masks.transpose(3, 0, 1, 2)))
    assert handle.meta["fraction"] == sort


def test_a_fraction_of_half_belongs_to_the_segment(tmp_path: Path) -> None:
    masks = np.zeros((5, 6, 7, 1), np.float32)
    masks[2, 2, :, 0] = [0, 0.49, 0.5, 0.51, 1, 0, 0]
    path = foreign(tmp_path, masks, "FRACTIONAL", max_fractional_value=100, omit_empty_frames=False)
    assert io.open_labels(path).data[0, 2, 2].tolist() == [0, 0, 1, 1, 1, 0, 0]


def test_segments_of_two_resolutions_are_refused(tmp_path: Path) -> None:
    def coarser(file: pydicom.Dataset) -> None:
        shared = file.SharedFunctionalGroupsSequence[0]
        for k, group in enumerate(file.PerFrameFunctionalGroupsSequence):
            group.PixelMeasuresSequence = [pydicom.Dataset()]
            group.PixelMeasuresSequence[0].update(shared.PixelMeasuresSequence[0])
            if k % 2:
                group.PixelMeasuresSequence[0].PixelSpacing = [1.5, 1.0]
        del shared.PixelMeasuresSequence

    path = change(foreign(tmp_path, apart(), omit_empty_frames=False), coarser)
    with pytest.raises(FormatError, match="must have frames of one pixel spacing, it has several"):
        io.open(path)

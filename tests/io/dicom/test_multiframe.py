"""Multi-frame images: each frame gets its place, its time and its rescale."""

import math
import tracemalloc
from collections.abc import Sequence
from pathlib import Path

import highdicom
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
import torch
from hypothesis import given
from hypothesis import strategies as st
from phantoms_io import write_slice
from pixel_files import encode, noise, write_packed, write_pixels
from pydicom import uid

from vesalius import io
from vesalius.errors import FormatError
from vesalius.io._budget import DEFAULT
from vesalius.io.dicom._cine import frame_times_ms, ultrasound_spacing_mm
from vesalius.io.dicom._slice import look

ROWS, COLUMNS = 3, 4
TILTED = [0.8, 0.6, 0.0, 0.0, 0.0, -1.0]
"""Rows along (0.8, 0.6, 0), columns downwards: the normal is (-0.6, 0.8, 0)."""


def item(**entries: object) -> pydicom.Dataset:
    made = pydicom.Dataset()
    for keyword, value in entries.items():
        setattr(made, keyword, value)
    return made


def group(**macros: dict[str, object]) -> pydicom.Dataset:
    """A functional group: one item for each macro."""
    return item(**{f"{name}Sequence": [item(**entries)] for name, entries in macros.items()})


def place(position: Sequence[float]) -> dict[str, dict[str, object]]:
    return {"PlanePosition": {"ImagePositionPatient": list(position)}}


SHARED = {
    "PlaneOrientation": {"ImageOrientationPatient": [1, 0, 0, 0, 1, 0]},
    "PixelMeasures": {"PixelSpacing": [0.75, 0.5], "SliceThickness": 9.0},
}


def write_enhanced(
    folder: Path,
    frames: list[dict[str, dict[str, object]]],
    values: np.ndarray | None = None,
    *,
    shared: dict[str, dict[str, object]] | None = None,
    **entries: object,
) -> Path:
    """Write an enhanced MR image; each frame is its macros."""
    if values is None:
        values = enhanced_values(len(frames))
    header: dict[str, object] = {
        "SOPClassUID": uid.EnhancedMRImageStorage,
        "Modality": "MR",
        "SeriesNumber": 4,
        "PerFrameFunctionalGroupsSequence": [group(**macros) for macros in frames],
        "SharedFunctionalGroupsSequence": [group(**(SHARED | (shared or {})))],
    }
    return write_pixels(folder, values, **(header | entries))


def enhanced_values(count: int) -> np.ndarray:
    values = np.arange(count * ROWS * COLUMNS, dtype=np.uint16)
    return values.reshape(count, ROWS, COLUMNS, 1)


def world(handle: io.Handle, *index: float) -> list[float]:
    point = handle.grid.to_world(torch.tensor([index], dtype=torch.float64))
    return [round(float(v), 6) for v in point[0]]


def samples(handle: io.Handle) -> np.ndarray:
    return handle.read().data[0].numpy()


def codes(handle: io.Handle) -> set[str]:
    return {finding.code for finding in handle.findings}


# ---- enhanced images


def test_a_spacing_of_its_own_is_not_that_of_the_detector(tmp_path: Path) -> None:
    frames = [place([0, 0, 2.0 * k]) for k in range(2)]
    handle = io.open(write_enhanced(tmp_path, frames, ImagerPixelSpacing=[9, 9]))
    assert codes(handle) == set()
    assert handle.grid.spacing_mm[1] < 9


def test_places_frames_by_hand(tmp_path: Path) -> None:
    frames = [place([10, 20, 30 + 2.5 * k]) for k in range(4)]
    handle = io.open(write_enhanced(tmp_path, frames))
    assert handle.grid.shape == (4, ROWS, COLUMNS)
    # spacing from positions, never from the thickness of 9 mm
    assert handle.grid.spacing_mm == (2.5, 0.75, 0.5)
    assert world(handle, 3, 2, 1) == [10.5, 21.5, 37.5]
    assert np.array_equal(samples(handle), enhanced_values(4)[..., 0])


@pytest.mark.parametrize("is_open", [False, True])
@pytest.mark.parametrize(
    "syntax",
    [
        uid.ImplicitVRLittleEndian,
        uid.ExplicitVRLittleEndian,
        uid.DeflatedExplicitVRLittleEndian,
        uid.ExplicitVRBigEndian,
    ],
)
def test_reads_groups_in_every_encoding(tmp_path: Path, syntax: str, is_open: bool) -> None:
    path = write_enhanced(tmp_path, [place([10, 20, 30 + 2.5 * k]) for k in range(4)])
    file = pydicom.dcmread(path)
    if syntax == uid.ExplicitVRBigEndian:
        file.PixelData = enhanced_values(4).astype(">u2").tobytes()
    for keyword in ("PerFrameFunctionalGroupsSequence", "SharedFunctionalGroupsSequence"):
        file[keyword].is_undefined_length = is_open
        for one in file[keyword].value:
            one.is_undefined_length_sequence_item = is_open
    again = pydicom.Dataset({element.tag: element for element in file})
    again.file_meta = file.file_meta
    again.file_meta.TransferSyntaxUID = syntax
    again.save_as(path, enforce_file_format=True)
    handle = io.open(path)
    assert world(handle, 3, 2, 1) == [10.5, 21.5, 37.5]
    assert np.array_equal(samples(handle), enhanced_values(4)[..., 0])


@given(st.permutations(range(5)))
def test_the_order_of_frames_does_not_matter(
    tmp_path_factory: pytest.TempPathFactory, order: list[int]
) -> None:
    folder = tmp_path_factory.mktemp("order")
    frames = [place([10, 20, 30 + 2.5 * k]) for k in order]
    handle = io.open(write_enhanced(folder, frames, enhanced_values(5)[list(order)]))
    assert world(handle, 0, 0, 0) == [10, 20, 30]
    assert np.array_equal(samples(handle), enhanced_values(5)[..., 0])
    region = (slice(1, 3), slice(0, 2), slice(1, 4))
    part = handle.read(region).data[0].numpy()
    assert np.array_equal(part, enhanced_values(5)[1:3, 0:2, 1:4, 0])


def test_reads_orientation_of_each_frame(tmp_path: Path) -> None:
    tilted = {"PlaneOrientation": {"ImageOrientationPatient": TILTED}}
    frames = [place([-0.6 * 4 * k, 0.8 * 4 * k, 7]) | tilted for k in range(3)]
    handle = io.open(write_enhanced(tmp_path, frames))
    assert world(handle, 0, 0, 1) == [0.4, 0.3, 7]
    assert world(handle, 0, 1, 0) == [0, 0, 6.25]
    assert world(handle, 2, 0, 0) == [-4.8, 6.4, 7]
    assert handle.grid.spacing_mm == pytest.approx((4, 0.75, 0.5))


def test_keeps_the_lean_of_a_tilted_stack(tmp_path: Path) -> None:
    handle = io.open(write_enhanced(tmp_path, [place([0, 1.0 * k, 2.0 * k]) for k in range(4)]))
    assert "tilted" in codes(handle)
    assert world(handle, 3, 0, 0) == [0, 3, 6]


def test_agrees_with_simpleitk_on_an_enhanced_image(tmp_path: Path) -> None:
    frames = [place([-0.6 * 4 * k, 0.8 * 4 * k, 7]) for k in range(5)]
    shared = {"PlaneOrientation": {"ImageOrientationPatient": TILTED}}
    path = write_enhanced(tmp_path, frames, shared=shared)
    theirs = io.from_simpleitk(sitk.ReadImage(str(path)))
    ours = io.open(path)
    assert torch.allclose(ours.grid.affine, theirs.grid.affine, atol=1e-6)
    assert np.array_equal(samples(ours), theirs.data[0].numpy())


def test_applies_the_rescale_of_each_frame(tmp_path: Path) -> None:
    frames = [
        place([0, 0, 2 * k])
        | {"PixelValueTransformation": {"RescaleSlope": 1.5 + k, "RescaleIntercept": 10 * k}}
        for k in range(3)
    ]
    handle = io.open(write_enhanced(tmp_path, frames))
    wanted = np.stack([enhanced_values(3)[k, ..., 0] * (1.5 + k) + 10 * k for k in range(3)])
    assert np.array_equal(samples(handle), wanted.astype(np.float32))
    assert "rescale-varies" in codes(handle)


def test_reads_enhanced_ct_in_hu(tmp_path: Path) -> None:
    shared = {
        "PixelValueTransformation": {
            "RescaleSlope": 1,
            "RescaleIntercept": -1024,
            "RescaleType": "HU",
        },
        "CTXRayDetails": {"KVP": 120},
        "CTReconstruction": {"ConvolutionKernel": "B30f"},
    }
    frames = [place([0, 0, 2 * k]) for k in range(3)]
    entries = {"SOPClassUID": uid.EnhancedCTImageStorage, "Modality": "CT"}
    handle = io.open(write_enhanced(tmp_path, frames, shared=shared, **entries))
    assert handle.unit == "HU"
    assert (handle.meta["KVP"], handle.meta["ConvolutionKernel"]) == (120, "B30f")
    assert np.array_equal(samples(handle), enhanced_values(3)[..., 0].astype(int) - 1024)


def test_two_echoes_are_two_volumes(tmp_path: Path) -> None:
    frames = [
        place([0, 0, 2 * k]) | {"MREcho": {"EffectiveEchoTime": echo}}
        for k in range(3)
        for echo in (4.6, 9.2)
    ]
    path = write_enhanced(tmp_path, frames)
    first, second = io.scan(path)
    assert (first.meta["EchoTime"], second.meta["EchoTime"]) == (4.6, 9.2)
    assert "split" in codes(first)
    assert np.array_equal(samples(first), enhanced_values(6)[::2, ..., 0])
    assert np.array_equal(samples(second), enhanced_values(6)[1::2, ..., 0])


def test_frame_types_and_components_are_volumes_of_their_own(tmp_path: Path) -> None:
    frames = [
        place([0, 0, 2 * k])
        | {
            "MRImageFrameType": {
                "FrameType": ["ORIGINAL", "PRIMARY", word, "NONE"],
                "ComplexImageComponent": word,
            }
        }
        for word in ("MAGNITUDE", "PHASE")
        for k in range(3)
    ]
    first, second = io.scan(write_enhanced(tmp_path, frames))
    assert np.array_equal(samples(first), enhanced_values(6)[:3, ..., 0])
    assert np.array_equal(samples(second), enhanced_values(6)[3:, ..., 0])
    assert "MAGNITUDE" in first.name
    assert "PHASE" in second.name


def test_stacks_are_volumes_of_their_own(tmp_path: Path) -> None:
    frames = [
        place([0, 0, 2 * k]) | {"FrameContent": {"StackID": stack, "InStackPositionNumber": k + 1}}
        for stack in ("a", "b")
        for k in range(3)
    ]
    assert len(io.scan(write_enhanced(tmp_path, frames))) == 2


def timed(k: int, t: int, seconds: float) -> dict[str, dict[str, object]]:
    moment = f"20200229{120000 + int(seconds)}.{round(seconds % 1 * 1e6):06}"
    told = {"TemporalPositionIndex": t + 1, "FrameAcquisitionDateTime": moment}
    return place([0, 0, 2 * k]) | {"FrameContent": told}


def test_moments_become_a_series(tmp_path: Path) -> None:
    when = (0.0, 1.5, 4.25)
    order = [(k, t) for k in (2, 0, 1) for t in (1, 2, 0)]
    frames = [timed(k, t, when[t]) for k, t in order]
    handle = io.open(write_enhanced(tmp_path, frames))
    assert handle.content.frames == 3
    assert handle.content.times_s == pytest.approx(when, abs=1e-4)
    series = handle.read_series()
    for n, (k, t) in enumerate(order):
        assert np.array_equal(series.data[t, 0, k].numpy(), enhanced_values(9)[n, ..., 0])


def test_offsets_of_moments_are_times(tmp_path: Path) -> None:
    frames = [
        place([0, 0, 2 * k]) | {"TemporalPosition": {"TemporalPositionTimeOffset": 0.25 * t}}
        for t in range(3)
        for k in range(2)
    ]
    assert io.open(write_enhanced(tmp_path, frames)).content.times_s == (0, 0.25, 0.5)


def test_heart_phases_are_times(tmp_path: Path) -> None:
    frames = [
        place([0, 0, 2 * k])
        | {"CardiacSynchronization": {"NominalCardiacTriggerDelayTime": 40.0 * t}}
        for k in range(2)
        for t in range(5)
    ]
    handle = io.open(write_enhanced(tmp_path, frames))
    assert handle.content.times_s == pytest.approx((0, 0.04, 0.08, 0.12, 0.16))
    assert np.array_equal(
        handle.read_series().data[3, 0].numpy(), enhanced_values(10)[3::5, ..., 0]
    )


def test_diffusion_weightings_are_channels(tmp_path: Path) -> None:
    frames = [
        place([0, 0, 2 * k]) | {"MRDiffusion": {"DiffusionBValue": b}}
        for b in (0.0, 500.0, 1000.0)
        for k in range(2)
    ]
    handle = io.open(write_enhanced(tmp_path, frames))
    assert handle.content.channels == ("b=0", "b=500", "b=1000")
    assert np.array_equal(handle.read().data[1].numpy(), enhanced_values(6)[2:4, ..., 0])


def test_reads_one_frame_with_functional_groups(tmp_path: Path) -> None:
    handle = io.open(write_enhanced(tmp_path, [place([5, 6, 7])]))
    assert world(handle, 0, 0, 0) == [5, 6, 7]
    assert handle.grid.spacing_mm == (9, 0.75, 0.5)


def test_reads_compressed_enhanced_images(tmp_path: Path) -> None:
    values = noise((4, 20, 24, 1), 12)
    groups = [group(**place([0, 0, 2.0 * k])) for k in (3, 2, 1, 0)]
    path = write_packed(
        tmp_path,
        values,
        [encode("jpeg2k", frame, 12) for frame in values],
        TransferSyntaxUID=uid.JPEG2000Lossless,
        BitsStored=12,
        PerFrameFunctionalGroupsSequence=groups,
        SharedFunctionalGroupsSequence=[group(**SHARED)],
    )
    assert np.array_equal(samples(io.open(path)), values[::-1, ..., 0])


def test_takes_ultrasound_volumes_in_the_space_of_the_transducer(tmp_path: Path) -> None:
    frames = [{"PlanePositionVolume": {"ImagePositionVolume": [0, 0, 1.5 * k]}} for k in range(3)]
    shared = {"PlaneOrientationVolume": {"ImageOrientationVolume": [1, 0, 0, 0, 1, 0]}}
    handle = io.open(write_enhanced(tmp_path, frames, shared=shared, Modality="US"))
    assert handle.grid.spacing_mm == (1.5, 0.75, 0.5)
    (finding,) = [f for f in handle.findings if f.code == "no-position"]
    assert "in the space of the transducer" in finding.message
    assert finding.severity == "warning"


# ---- other writers


def test_reads_what_highdicom_converts(tmp_path: Path) -> None:
    single = tmp_path / "single"
    single.mkdir()
    files = []
    for k in range(4):
        path = write_slice(
            single,
            k,
            SOPClassUID=uid.MRImageStorage,
            Modality="MR",
            EchoTime=4.6,
            StudyInstanceUID="1.2",
            FrameOfReferenceUID="1.2.9",
            PatientBirthDate="",
            PatientSex="",
            StudyDate="",
            StudyTime="",
            AccessionNumber="",
            StudyID="",
            ReferringPhysicianName="",
            Manufacturer="nobody",
            RescaleType="US",
            ImageType=["ORIGINAL", "PRIMARY", "OTHER"],
        )
        files.append(pydicom.dcmread(path))
    whole = highdicom.legacy.LegacyConvertedEnhancedMRImage(
        legacy_datasets=files,
        series_instance_uid="1.2.3.9",
        series_number=9,
        sop_instance_uid="1.2.3.9.1",
        instance_number=1,
    )
    whole.save_as(tmp_path / "whole.dcm")
    ours, theirs = io.open(tmp_path / "whole.dcm"), io.open(single)
    assert torch.equal(ours.grid.affine, theirs.grid.affine)
    assert torch.equal(ours.read().data, theirs.read().data)


def test_reads_a_parametric_map_of_floats(tmp_path: Path) -> None:
    source = pydicom.dcmread(
        write_slice(
            tmp_path,
            0,
            StudyInstanceUID="1.2",
            FrameOfReferenceUID="1.2.9",
            StudyDate="",
            StudyTime="",
            AccessionNumber="",
            StudyID="",
            ReferringPhysicianName="",
            PatientBirthDate="",
            PatientSex="",
        )
    )
    values = np.linspace(-1, 1, 36, dtype=np.float32).reshape(3, 3, 4)
    mapping = highdicom.pm.RealWorldValueMapping(
        lut_label="1",
        lut_explanation="as it is",
        unit=highdicom.sr.CodedConcept("1", "UCUM", "no units"),
        value_range=(-1.0, 1.0),
        slope=1,
        intercept=0,
    )
    made = highdicom.pm.ParametricMap(
        source_images=[source],
        pixel_array=values,
        series_instance_uid="1.2.3.8",
        series_number=8,
        sop_instance_uid="1.2.3.8.1",
        instance_number=1,
        manufacturer="nobody",
        manufacturer_model_name="none",
        software_versions="0",
        device_serial_number="0",
        contains_recognizable_visual_features=False,
        real_world_value_mappings=[mapping],
        voi_lut_transformations=[highdicom.VOILUTTransformation(window_center=0, window_width=2)],
        pixel_measures=highdicom.PixelMeasuresSequence((0.75, 0.5), 2.0, 2.0),
        plane_orientation=highdicom.PlaneOrientationSequence("PATIENT", (1, 0, 0, 0, 1, 0)),
        plane_positions=[
            highdicom.PlanePositionSequence("PATIENT", (0, 0, 2.0 * k)) for k in range(3)
        ],
    )
    made.save_as(tmp_path / "map.dcm")
    handle = io.open(tmp_path / "map.dcm")
    assert handle.grid.spacing_mm == (2, 0.75, 0.5)
    assert np.array_equal(samples(handle), values)


# ---- what is refused


def test_refuses_groups_that_are_not_those_of_its_frames(tmp_path: Path) -> None:
    frames = [place([0, 0, 2 * k]) for k in range(3)]
    path = write_enhanced(tmp_path, frames, enhanced_values(4))
    with pytest.raises(FormatError, match="must describe each of its 4 frames, it describes 3"):
        io.open(path)
    for wrong, text in (
        ({"PlanePosition": {"ImagePositionPatient": [1, 2]}}, "ImagePositionPatient must be 3"),
        (
            place([0, 0, 0]) | {"PixelValueTransformation": {"RescaleSlope": 0}},
            "the rescale slope of a frame is 0",
        ),
    ):
        with pytest.raises(FormatError, match=text):
            io.open(write_enhanced(tmp_path, [wrong]))


def test_refuses_frames_without_end_before_they_are_made(tmp_path: Path) -> None:
    path = write_pixels(tmp_path, enhanced_values(2), NumberOfFrames=2_000_000_000, FrameTime=30)
    tracemalloc.start()
    with pytest.raises(FormatError, match="its header promises 2000000000, more than the file"):
        io.open(path)
    assert tracemalloc.get_traced_memory()[1] < 10 << 20
    tracemalloc.stop()


def test_refuses_whole_slide_images(tmp_path: Path) -> None:
    path = write_pixels(tmp_path, enhanced_values(2), TotalPixelMatrixColumns=8)
    with pytest.raises(FormatError, match="it is a whole-slide image in tiles: convert it"):
        io.open(path)


def test_pages_without_place_or_time_are_refused_by_default(tmp_path: Path) -> None:
    path = write_pixels(tmp_path, enhanced_values(3))
    with pytest.raises(FormatError, match="do not say where they lie"):
        io.open(path).read()
    stacked = io.open(path, allow=("order",))
    assert np.array_equal(samples(stacked), enhanced_values(3)[..., 0])


# ---- cine


def region(**entries: object) -> pydicom.Dataset:
    calibrated: dict[str, object] = {
        "RegionSpatialFormat": 1,
        "RegionDataType": 1,
        "PhysicalUnitsXDirection": 3,
        "PhysicalUnitsYDirection": 3,
        "PhysicalDeltaX": 0.05,
        "PhysicalDeltaY": 0.04,
    }
    return item(**(calibrated | entries))


def test_an_ultrasound_cine_is_a_series(tmp_path: Path) -> None:
    values = noise((4, 5, 6, 3), 8)
    values[2] = values[1]  # nothing moved: the frame stays
    path = write_pixels(
        tmp_path,
        values,
        SOPClassUID=uid.UltrasoundMultiFrameImageStorage,
        Modality="US",
        FrameTime=33.3,
        SequenceOfUltrasoundRegions=[region(), region(RegionSpatialFormat=3)],
    )
    handle = io.open(path)
    assert handle.grid.shape == (1, 5, 6)
    assert handle.grid.spacing_mm[1:] == pytest.approx((0.4, 0.5))
    assert handle.content.frames == 4
    assert handle.content.times_s == pytest.approx((0, 0.0333, 0.0666, 0.0999))
    assert "no-position" in codes(handle)
    assert np.array_equal(handle.read_series().data[:, :, 0].numpy(), values.transpose(0, 3, 1, 2))


def test_a_placed_cine_keeps_its_place(tmp_path: Path) -> None:
    path = write_pixels(
        tmp_path,
        enhanced_values(3),
        FrameTimeVector=[0, 10, 30],
        ImagePositionPatient=[1, 2, 3],
        ImageOrientationPatient=TILTED,
        PixelSpacing=[2, 1],
    )
    handle = io.open(path)
    assert world(handle, 0, 0, 1) == [1.8, 2.6, 3]
    assert handle.content.times_s == pytest.approx((0, 0.01, 0.04))
    assert "no-position" not in codes(handle)


def test_one_ultrasound_picture_is_calibrated_too(tmp_path: Path) -> None:
    path = write_pixels(
        tmp_path, enhanced_values(1), Modality="US", SequenceOfUltrasoundRegions=[region()]
    )
    assert io.open(path).grid.spacing_mm[1:] == pytest.approx((0.4, 0.5))


def test_times_of_frames_by_hand() -> None:
    assert frame_times_ms(item(FrameTime=20), 3).tolist() == [0, 20, 40]
    assert frame_times_ms(item(FrameTimeVector=[5, 10, 30]), 3).tolist() == [0, 10, 40]
    assert frame_times_ms(item(CineRate=50), 3).tolist() == [0, 20, 40]
    assert frame_times_ms(item(RecommendedDisplayFrameRate=25), 2).tolist() == [0, 40]
    # a vector of another length, or one that stands still, does not count
    assert frame_times_ms(item(FrameTimeVector=[0, 10], FrameTime=20), 3).tolist() == [0, 20, 40]
    assert frame_times_ms(item(FrameTimeVector=[0, 0, 0]), 3).tolist() == []
    assert frame_times_ms(item(FrameTime=0), 3).tolist() == []


def test_spacing_of_regions_by_hand() -> None:
    def spacing(*regions: pydicom.Dataset) -> tuple[float, float] | None:
        return ultrasound_spacing_mm(item(SequenceOfUltrasoundRegions=list(regions)))

    assert spacing(region()) == pytest.approx((0.4, 0.5))
    assert spacing(region(), region(PhysicalDeltaX=0.0502)) == pytest.approx((0.4, 0.5))
    assert spacing(region(), region(PhysicalDeltaX=0.07)) is None
    assert spacing(region(PhysicalDeltaX=0.0)) is None
    assert spacing(region(PhysicalUnitsXDirection=4)) is None
    assert spacing() is None
    assert ultrasound_spacing_mm(item()) is None


# ---- nuclear medicine and doses


DETECTOR = item(ImagePositionPatient=[1, 2, 3], ImageOrientationPatient=[1, 0, 0, 0, 1, 0])


def write_nuclear(folder: Path, count: int, **entries: object) -> Path:
    header: dict[str, object] = {
        "SOPClassUID": uid.NuclearMedicineImageStorage,
        "Modality": "NM",
        "PixelSpacing": [2, 2],
        "SpacingBetweenSlices": 4,
        "DetectorInformationSequence": [DETECTOR],
    }
    return write_pixels(folder, enhanced_values(count), **(header | entries))


def test_stacks_tomographic_slices_behind_the_first(tmp_path: Path) -> None:
    handle = io.open(write_nuclear(tmp_path, 3, SliceVector=[1, 2, 3]))
    assert world(handle, 2, 0, 0) == [1, 2, 11]
    assert np.array_equal(samples(handle), enhanced_values(3)[..., 0])


def test_stacks_tomographic_slices_before_the_first_where_the_gap_is_negative(
    tmp_path: Path,
) -> None:
    path = write_nuclear(tmp_path, 3, SliceVector=[1, 2, 3], SpacingBetweenSlices=-4)
    handle = io.open(path)
    assert world(handle, 0, 0, 0) == [1, 2, -5]
    assert np.array_equal(samples(handle), enhanced_values(3)[::-1, ..., 0])


def test_gated_tomograms_are_frames(tmp_path: Path) -> None:
    path = write_nuclear(tmp_path, 6, SliceVector=[1, 2, 3] * 2, TimeSlotVector=[1] * 3 + [2] * 3)
    handle = io.open(path)
    assert handle.content.frames == 2
    frames = io.open(path, frames="channels").read()
    assert np.array_equal(frames.data[1].numpy(), enhanced_values(6)[3:, ..., 0])


def test_dynamic_planes_are_ordered_by_phase_then_time(tmp_path: Path) -> None:
    path = write_nuclear(tmp_path, 4, PhaseVector=[2, 2, 1, 1], TimeSliceVector=[1, 2, 1, 2])
    frames = io.open(path, frames="channels").read()
    wanted = enhanced_values(4)[[2, 3, 0, 1], ..., 0]
    assert np.array_equal(frames.data[:, 0].numpy(), wanted)


def test_energy_windows_are_stacks_of_their_own(tmp_path: Path) -> None:
    path = write_nuclear(
        tmp_path, 4, SliceVector=[1, 2] * 2, EnergyWindowVector=[1, 1, 2, 2], DetectorVector=[1] * 4
    )
    first, second = io.scan(path)
    assert np.array_equal(samples(first), enhanced_values(4)[:2, ..., 0])
    assert np.array_equal(samples(second), enhanced_values(4)[2:, ..., 0])


def test_projections_are_no_volume(tmp_path: Path) -> None:
    path = write_nuclear(tmp_path, 4, RotationVector=[1] * 4, AngularViewVector=[1, 2, 3, 4])
    with pytest.raises(FormatError, match="do not say where they lie"):
        io.open(path).read()


def test_tells_that_tomographic_slices_are_taken_to_be_their_thickness_apart(
    tmp_path: Path,
) -> None:
    told = {"SliceVector": [1, 2, 3], "SpacingBetweenSlices": None}
    handle = io.open(write_nuclear(tmp_path, 3, **told, SliceThickness=4))
    assert [(f.severity, f.code) for f in handle.findings] == [("warning", "no-position")]
    assert "their thickness apart" in handle.findings[0].message
    assert handle.grid.spacing_mm[0] == 4


def test_tomographic_slices_without_a_distance_have_no_place(tmp_path: Path) -> None:
    told = {"SliceVector": [1, 2, 3], "SpacingBetweenSlices": None, "SliceThickness": None}
    with pytest.raises(FormatError, match="do not say where they lie"):
        io.open(write_nuclear(tmp_path, 3, **told)).read()


def write_dose(folder: Path, offsets: list[float], **entries: object) -> Path:
    header: dict[str, object] = {
        "SOPClassUID": uid.RTDoseStorage,
        "Modality": "RTDOSE",
        "PixelSpacing": [2, 2],
        "ImagePositionPatient": [1, 2, 3],
        "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
        "GridFrameOffsetVector": offsets,
        "DoseGridScaling": 0.25,
        "DoseUnits": "GY",
    }
    return write_pixels(folder, enhanced_values(3), **(header | entries))


@pytest.mark.parametrize("offsets", [[0.0, 2.5, 5.0], [3.0, 5.5, 8.0]])
def test_places_doses_by_offset_or_by_position(tmp_path: Path, offsets: list[float]) -> None:
    handle = io.open(write_dose(tmp_path, offsets))
    assert world(handle, 0, 0, 0) == [1, 2, 3]
    assert world(handle, 2, 1, 1) == [3, 4, 8]
    assert handle.unit == "Gy"
    assert np.array_equal(samples(handle), enhanced_values(3)[..., 0] * np.float32(0.25))


@pytest.mark.parametrize(
    ("offsets", "axes"),
    [([5.0, 7.5, 10.0], [1, 0, 0, 0, 1, 0]), ([3.0, 5.5, 8.0], [0, 1, 0, 0, 0, -1])],
    ids=["begins elsewhere", "is not axial"],
)
def test_refuses_doses_whose_offsets_can_be_read_in_two_ways(
    tmp_path: Path, offsets: list[float], axes: list[float]
) -> None:
    path = write_dose(tmp_path, offsets, ImageOrientationPatient=axes)
    with pytest.raises(FormatError, match=r"must count its dose planes from 0, .* at z 3"):
        io.open(path)


def test_refuses_doses_without_places(tmp_path: Path) -> None:
    for wrong in (
        {"ImagePositionPatient": None},
        {"GridFrameOffsetVector": [0.0, 1.0]},
        {"GridFrameOffsetVector": [0.0, math.nan, 5.0]},
    ):
        with pytest.raises(FormatError, match="3 offsets of its dose planes, it gives"):
            io.open(write_dose(tmp_path, [0.0, 2.5, 5.0], **wrong))


# ---- depths


def test_tells_of_a_high_bit_that_readers_take_in_two_ways(tmp_path: Path) -> None:
    entries = {"ImagePositionPatient": [0, 0, 0], "ImageOrientationPatient": [1, 0, 0, 0, 1, 0]}
    path = write_pixels(tmp_path, enhanced_values(1) << 4, BitsStored=12, HighBit=15, **entries)
    handle = io.open(path)
    (finding,) = [f for f in handle.findings if f.code == "high-bit"]
    assert finding.severity == "warning"
    assert "HighBit is 15 for 12 stored bits" in finding.message
    assert np.array_equal(samples(handle), enhanced_values(1)[..., 0])


# ---- speed


def test_shares_what_all_frames_have_in_common(tmp_path: Path) -> None:
    frames = [place([0, 0, 2.0 * k]) for k in range(40)]
    slices = look(write_enhanced(tmp_path, frames), DEFAULT).slices
    assert len({id(one.packed) for one in slices}) == 1
    assert [one.frame for one in slices] == list(range(40))
    assert [one.acquisition["InstanceNumber"] for one in slices] == list(range(1, 41))

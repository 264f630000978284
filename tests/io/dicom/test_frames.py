"""Frames of a DICOM series: ordered by what tells time, named by what tells kind, or refused."""

from pathlib import Path

import numpy as np
import pydicom
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from phantoms_io import slice_values, write_slice

from vesalius import io
from vesalius.errors import FormatError

PLACES, FRAMES = 4, 3


def findings(handle: io.Handle) -> dict[str, str]:
    return {finding.code: finding.severity for finding in handle.findings}


def values(k: int, t: int) -> np.ndarray:
    return (slice_values(k) + 1000 * t).astype(np.uint16)


def write(folder: Path, k: int, t: int, **entries: object) -> Path:
    """Slice ``k`` of frame ``t``; names run against time and place."""
    header: dict[str, object] = {
        "Modality": "MR",
        "SOPInstanceUID": f"1.2.{k + 1}.{t + 1}",
        "InstanceNumber": None,
        "RescaleIntercept": 0,
    }
    name = f"{99 - 10 * t - k:03d}.dcm"
    return write_slice(folder, k, name=name, values=values(k, t), **header | entries)


def wanted(frames: int = FRAMES) -> torch.Tensor:
    return torch.from_numpy(
        np.array([[values(k, t) for k in range(PLACES)] for t in range(frames)]).astype(np.int16)
    )


def moments(t: int, k: int) -> dict[str, dict[str, object]]:
    """What tells the time of a slice, by the key that tells it."""
    clock = f"2359{58 + t:02d}.{k}0" if t < 2 else f"0000{t - 2:02d}.{k}0"
    date = "20260131" if t < 2 else "20260201"
    return {
        "TemporalPositionIdentifier": {"TemporalPositionIdentifier": t + 1},
        "TriggerTime": {"TriggerTime": 40.5 * t + k},
        "FrameReferenceTime": {"FrameReferenceTime": 5000 + 10000 * t},
        "AcquisitionTime": {"AcquisitionDate": date, "AcquisitionTime": clock},
        "AcquisitionNumber": {"AcquisitionNumber": 7 + t},
        "ContentTime": {"ContentDate": date, "ContentTime": clock},
        "InstanceNumber": {"InstanceNumber": 1 + k + PLACES * t},
    }


KEYS = tuple(moments(0, 0))


@pytest.mark.parametrize("key", KEYS)
def test_orders_frames_by_whatever_tells_time(tmp_path: Path, key: str) -> None:
    for k in range(PLACES):
        for t in range(FRAMES):
            write(tmp_path, k, t, **moments(t, k)[key])
    handle = io.open(tmp_path)
    assert (handle.content.frames, handle.grid.shape) == (FRAMES, (PLACES, 3, 4))
    by_number = key == "InstanceNumber"
    assert findings(handle) == (
        {"frames-by-number": "warning"} if by_number else {"frames": "info"}
    )
    assert key in handle.findings[0].message
    as_channels = io.open(tmp_path, frames="channels").read()
    assert torch.equal(as_channels.data, wanted())
    with pytest.raises(FormatError, match="must hold one volume, it holds 3 frames"):
        handle.read()


@pytest.mark.parametrize(
    ("key", "times"),
    [
        ("TriggerTime", (0.0015, 0.042, 0.0825)),
        ("FrameReferenceTime", (5.0, 15.0, 25.0)),
        ("AcquisitionTime", (0.0, 1.0, 2.0)),
    ],
)
def test_gives_the_times_of_frames(tmp_path: Path, key: str, times: tuple[float, ...]) -> None:
    for k in range(PLACES):
        for t in range(FRAMES):
            write(tmp_path, k, t, **moments(t, k)[key])
    series = io.open(tmp_path).read_series()
    assert series.times_s == pytest.approx(times)
    assert torch.equal(series.data[:, 0], wanted())


def test_takes_the_repetition_time_of_echo_planar_images(tmp_path: Path) -> None:
    for k in range(PLACES):
        for t in range(FRAMES):
            told = {"ScanningSequence": ["GR", "EP"], "RepetitionTime": 2500}
            write(tmp_path, k, t, TemporalPositionIdentifier=t + 1, **told)
    assert io.open(tmp_path).content.times_s == (0.0, 2.5, 5.0)


def test_believes_acquisition_times_that_contradict_the_repetition_time(tmp_path: Path) -> None:
    for k in range(PLACES):
        for t in range(FRAMES):
            told = {"ScanningSequence": "EP", "RepetitionTime": 3000}
            write(tmp_path, k, t, **moments(t, k)["AcquisitionTime"], **told)
    assert io.open(tmp_path).content.times_s == pytest.approx((0.0, 1.0, 2.0))


def test_takes_the_temporal_resolution_last(tmp_path: Path) -> None:
    for k in range(PLACES):
        for t in range(FRAMES):
            write(tmp_path, k, t, TemporalPositionIdentifier=t + 1, TemporalResolution=1500)
    assert io.open(tmp_path).content.times_s == (0.0, 1.5, 3.0)


def test_frames_without_times_are_read_as_channels(tmp_path: Path) -> None:
    for k in range(PLACES):
        for t in range(FRAMES):
            write(tmp_path, k, t, TemporalPositionIdentifier=t + 1)
    handle = io.open(tmp_path)
    assert handle.content.times_s == ()
    with pytest.raises(FormatError, match='has no time unit or step: open it with frames="chan'):
        handle.read_series()
    assert torch.equal(io.open(tmp_path, frames="channels").read().data, wanted())


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(order=st.permutations(range(PLACES * FRAMES)))
def test_names_and_numbers_of_files_do_not_matter(tmp_path: Path, order: list[int]) -> None:
    for at, number in enumerate(order):
        k, t = at % PLACES, at // PLACES
        told = {"FrameReferenceTime": 1000 * t, "InstanceNumber": number}
        write(tmp_path, k, t, **told).rename(tmp_path / f"{number:02d}.dcm")
    assert torch.equal(io.open(tmp_path).read_series().data[:, 0], wanted())


def test_a_key_that_does_not_number_every_place_alike_is_passed_over(tmp_path: Path) -> None:
    for k in range(PLACES):
        for t in range(FRAMES):
            told = {"AcquisitionNumber": 1 + t + FRAMES * k, "ContentTime": f"1200{t:02d}"}
            write(tmp_path, k, t, **told)
    handle = io.open(tmp_path)
    assert "in the order of ContentTime" in handle.findings[0].message


def test_reads_a_region_of_frames(tmp_path: Path) -> None:
    for k in range(PLACES):
        for t in range(FRAMES):
            write(tmp_path, k, t, FrameReferenceTime=1000 * t)
    box = (slice(1, 3), slice(0, 2), slice(1, 4))
    part = io.open(tmp_path).read_series(region=box)
    assert torch.equal(part.data[:, 0], wanted()[(slice(None), *box)])


# ---- diffusion


def b_value(tag: str, value: float) -> dict[str, object]:
    return {tag: value}


def test_b_values_become_channels_named_by_them(tmp_path: Path) -> None:
    for k in range(PLACES):
        for t, b in enumerate((0, 1000, 1000)):
            told = {"DiffusionBValue": float(b), "AcquisitionNumber": t + 1}
            write(tmp_path, k, t, **told)
    handle = io.open(tmp_path)
    assert findings(handle) == {"diffusion": "info"}
    image = handle.read()
    assert image.channels == ("b=0", "b=1000 (1)", "b=1000 (2)")
    assert torch.equal(image.data, wanted())


def test_b_values_alone_order_where_no_time_does(tmp_path: Path) -> None:
    for k in range(PLACES):
        for t, b in enumerate((0, 500, 1000)):
            write(tmp_path, k, t, DiffusionBValue=float(b))
    image = io.open(tmp_path).read()
    assert image.channels == ("b=0", "b=500", "b=1000")
    assert torch.equal(image.data, wanted())


def test_b_values_that_come_in_another_order_at_each_place_are_put_in_theirs(
    tmp_path: Path,
) -> None:
    for k in range(PLACES):
        for t, b in enumerate((0, 500, 1000)):
            told = {"DiffusionBValue": float(b), "InstanceNumber": 1 + (t + k) % 3 + 3 * k}
            write(tmp_path, k, t, **told)
    assert torch.equal(io.open(tmp_path).read().data, wanted())


def test_one_b_value_missing_is_no_diffusion_series(tmp_path: Path) -> None:
    for k in range(PLACES):
        for t, b in enumerate((0, 500)):
            told = {} if (k, t) == (1, 1) else {"DiffusionBValue": float(b)}
            write(tmp_path, k, t, AcquisitionNumber=t + 1, **told)
    assert findings(io.open(tmp_path)) == {"frames": "info"}


def test_b_values_that_do_not_agree_from_place_to_place_are_frames(tmp_path: Path) -> None:
    for k in range(PLACES):
        for t in range(2):
            told = {"DiffusionBValue": float(500 * t + k), "AcquisitionNumber": t + 1}
            write(tmp_path, k, t, **told)
    assert findings(io.open(tmp_path)) == {"frames": "info"}


@pytest.mark.parametrize(
    ("tag", "maker", "vr", "values_told"),
    [
        ((0x0019, 0x100C), "SIEMENS MR HEADER", "IS", ["0", "700"]),
        ((0x2001, 0x1003), "Philips Imaging DD 001", "FL", [0.0, 700.0]),
        ((0x0043, 0x1039), "GEMS_PARM_01", "IS", [["0", "8"], ["1000000700", "8"]]),
        ((0x0019, 0x100C), "ACME", "IS", ["0", "700"]),
    ],
)
def test_private_b_values_are_known_by_their_maker(
    tmp_path: Path, tag: tuple[int, int], maker: str, vr: str, values_told: list[object]
) -> None:
    for k in range(PLACES):
        for t in range(2):
            path = write(tmp_path, k, t, AcquisitionNumber=t + 1)
            file = pydicom.dcmread(path)
            file.add_new((tag[0], 0x0010), "LO", maker)
            file.add_new(tag, vr, values_told[t])
            file.save_as(path)
    content = io.open(tmp_path).content
    assert content.channels == (() if maker == "ACME" else ("b=0", "b=700"))
    assert content.frames == (2 if maker == "ACME" else 1)


# ---- kinds that are volumes of their own


@pytest.mark.parametrize(
    ("keyword", "entries", "word"),
    [
        ("EchoTime", [4.6, 9.2], "echo 9.2"),
        ("EchoNumbers", [1, 2], "echo 2"),
        ("InversionTime", [100, 200], "inversion time 200"),
        ("StackID", ["1", "2"], "stack 2"),
        ("ComplexImageComponent", ["MAGNITUDE", "PHASE"], "part PHASE"),
        ("ConvolutionKernel", ["B30", "B70"], "kernel B70"),
        ("FlipAngle", [5, 15], "flip angle 15"),
        ("KVP", [80, 140], "tube voltage 140"),
        ("ImageType", [["ORIGINAL", "M"], ["ORIGINAL", "P"]], "image type ORIGINAL/P"),
    ],
)
def test_repeats_of_another_kind_are_volumes_of_their_own(
    tmp_path: Path, keyword: str, entries: list[object], word: str
) -> None:
    for k in range(PLACES):
        for t in range(2):
            write(tmp_path, k, t, InstanceNumber=2 * k + t, **{keyword: entries[t]})
    handles = io.scan(tmp_path)
    assert len(handles) == 2
    (second,) = [h for h in handles if h.name.endswith(word)]
    assert findings(second) == {"split": "info"}
    assert word in second.findings[0].message
    assert torch.equal(second.read().data[0], wanted(2)[1])
    with pytest.raises(FormatError, match="must hold one volume, it holds 2"):
        io.open(tmp_path)


def test_a_kind_that_no_repeat_needs_splits_nothing(tmp_path: Path) -> None:
    for k in range(PLACES):
        words = ["ORIGINAL", "PRIMARY", "AXIAL", "ADD"][: 3 + k % 2]
        write(tmp_path, k, 0, ImageType=words)
    handle = io.open(tmp_path)
    assert [(f.severity, f.code) for f in handle.findings] == [("info", "mixed-kinds")]
    assert handle.grid.shape[0] == PLACES


def test_echoes_in_time_are_split_by_echo_only(tmp_path: Path) -> None:
    for k in range(PLACES):
        for t in range(4):
            told = {"EchoTime": [4.6, 9.2][t % 2], "AcquisitionNumber": 1 + t // 2}
            write(tmp_path, k, t, **told)
    handles = io.scan(tmp_path)
    assert [h.content.frames for h in handles] == [2, 2]
    assert [findings(h) for h in handles] == [{"split": "info", "frames": "info"}] * 2


def test_a_scan_that_repeats_a_few_slices_is_split_by_acquisition(tmp_path: Path) -> None:
    for k in range(PLACES):
        write(tmp_path, k, 0, AcquisitionNumber=1)
    for k in (2, 3, 4, 5):
        write(tmp_path, k, 1, AcquisitionNumber=2)
    first, second = sorted(io.scan(tmp_path), key=lambda handle: handle.name)
    assert (first.grid.shape[0], second.grid.shape[0]) == (4, 4)
    assert second.name.endswith("acquisition 2")
    assert findings(second) == {"split": "info"}


# ---- what is refused


def test_frames_that_lack_slices_are_refused_or_left_out(tmp_path: Path) -> None:
    for k in range(PLACES):
        for t in range(FRAMES):
            if (k, t) != (3, 2):
                write(tmp_path, k, t, AcquisitionNumber=t + 1)
    handle = io.open(tmp_path)
    assert findings(handle) == {"incomplete-frames": "error", "frames": "info"}
    with pytest.raises(FormatError, match=r'1 of 3 frames \(by .* lack slices.*"gaps"'):
        handle.read_series()
    with pytest.raises(FormatError, match="1 of 3 frames"):
        handle.read()
    rest = io.open(tmp_path, allow=("gaps",), frames="channels")
    assert torch.equal(rest.read().data, wanted(2))
    assert findings(rest)["incomplete-frames"] == "warning"


def test_one_whole_frame_left_is_a_volume(tmp_path: Path) -> None:
    for k in range(PLACES):
        write(tmp_path, k, 0, TemporalPositionIdentifier=1)
    write(tmp_path, 0, 1, TemporalPositionIdentifier=2)
    assert torch.equal(io.open(tmp_path, allow=("gaps",)).read().data, wanted(1))


def test_repeats_that_nothing_orders_are_refused(tmp_path: Path) -> None:
    for k in range(PLACES):
        for t in range(FRAMES):
            write(tmp_path, k, t)
    handle = io.open(tmp_path)
    assert findings(handle) == {"duplicates": "error"}
    with pytest.raises(FormatError, match="4 of 4 positions have several different slices"):
        handle.read()


def test_stacks_side_by_side_are_no_frames(tmp_path: Path) -> None:
    for k in range(PLACES):
        for t in range(2):
            place = [-10 + 200 * t, 20, 30 + 2.5 * k]
            write(tmp_path, k, t, ImagePositionPatient=place, InstanceNumber=k + 10 * t)
    handle = io.open(tmp_path)
    assert findings(handle) == {"sideways": "error"}
    with pytest.raises(FormatError, match="must lie over each other, some lie 200 mm beside"):
        handle.read()


def test_drops_copies_among_frames(tmp_path: Path) -> None:
    for k in range(PLACES):
        for t in range(FRAMES):
            write(tmp_path, k, t, FrameReferenceTime=1000 * t)
    write(tmp_path, 1, 1, FrameReferenceTime=1000).rename(tmp_path / "copy.dcm")
    write(tmp_path, 1, 1, FrameReferenceTime=1000)
    handle = io.open(tmp_path)
    assert findings(handle) == {"copies-dropped": "info", "frames": "info"}
    assert torch.equal(handle.read_series().data[:, 0], wanted())

"""Structure sets read: names, points, colours, damage; real ones against their masks."""

import contextlib
import tarfile
import time
from pathlib import Path

import numpy as np
import pydicom
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from structure_set import SQUARE, contour, structure_set, write_structure_set

from vesalius import io
from vesalius.core import Grid, differences
from vesalius.errors import FormatError
from vesalius.io import Budget
from vesalius.io._handle import Rules
from vesalius.io._rasterise import rasterise
from vesalius.io.dicom._rtstruct import read_rtstruct

RULES = Rules()


def read(folder: Path, file: pydicom.Dataset, rules: Rules = RULES) -> io.Contours:
    return read_rtstruct(write_structure_set(folder, file), rules)


def codes(contours: io.Contours) -> list[str]:
    return [f.code for f in contours.findings]


def test_reads_names_points_values_and_colours(tmp_path: Path) -> None:
    file = structure_set({7: ("GTV", [contour(SQUARE)]), 2: ("Herz links", [contour(SQUARE)] * 2)})
    found = read(tmp_path, file)
    assert [(r.name, r.value, r.colour, len(r.outlines)) for r in found.rois] == [
        ("GTV", 7, (70, 20, 30), 1),
        ("Herz links", 2, (20, 20, 30), 2),
    ]
    points = found.rois[0].outlines[0].points
    assert points.tolist() == np.array(SQUARE).reshape(-1, 3).tolist()
    assert found.findings == ()
    assert found.space == "world"


@pytest.mark.parametrize("name", ["心臓", "Öhr", "a\\b"])
def test_reads_names_in_any_alphabet(tmp_path: Path, name: str) -> None:
    file = structure_set({1: ("x", [contour(SQUARE)])})
    file.SpecificCharacterSet = "ISO_IR 192"
    file.StructureSetROISequence[0].ROIName = name.replace("\\", "/")
    assert read(tmp_path, file).rois[0].name == name.replace("\\", "/")


def test_a_closed_outline_does_not_repeat_its_first_point(tmp_path: Path) -> None:
    found = read(tmp_path, structure_set({1: ("a", [contour(SQUARE + SQUARE[:3])])}))
    assert len(found.rois[0].outlines[0].points) == 4


@pytest.mark.parametrize(
    ("kind", "wanted"),
    [("CLOSEDPLANAR_XOR", "closed"), ("OPEN_PLANAR", "open"), ("OPEN_NONPLANAR", "open")],
)
def test_knows_the_kinds_of_contours(tmp_path: Path, kind: str, wanted: str) -> None:
    found = read(tmp_path, structure_set({1: ("a", [contour(SQUARE, kind)])}))
    assert found.rois[0].outlines[0].kind == wanted
    assert found.findings == ()


def test_a_point_is_a_point_and_an_unknown_kind_is_told(tmp_path: Path) -> None:
    file = structure_set(
        {1: ("p", [contour(SQUARE[:3], "POINT")]), 2: ("q", [contour(SQUARE, "S")])}
    )
    found = read(tmp_path, file)
    assert [r.outlines[0].kind for r in found.rois] == ["point", "open"]
    assert codes(found) == ["unknown-contour"]
    assert "'q' is of an unknown kind" in found.findings[0].message


def test_tells_what_is_odd_and_reads_the_rest(tmp_path: Path) -> None:
    file = structure_set({1: ("a", [contour(SQUARE, NumberOfContourPoints=9)]), 2: ("bare", [])})
    file.ROIContourSequence.append(pydicom.Dataset())
    file.ROIContourSequence[-1].ReferencedROINumber = 5
    file.ROIContourSequence[-1].ContourSequence = [contour(SQUARE)]
    file.StructureSetROISequence.append(file.StructureSetROISequence[0])
    found = read(tmp_path, file)
    assert [r.name for r in found.rois] == ["a", "bare", "ROI 5"]
    assert sorted(codes(found)) == ["duplicate-roi", "no-contours", "point-count", "unlisted-roi"]
    told = {f.code: f.message for f in found.findings}
    assert "promises 9 points, it has 4" in told["point-count"]
    assert "'bare'" in told["no-contours"]


def test_numbers_that_are_not_positive_are_replaced(tmp_path: Path) -> None:
    file = structure_set({0: ("zero", [contour(SQUARE)]), 3: ("three", [contour(SQUARE)])})
    assert [r.value for r in read(tmp_path, file).rois] == [4, 3]


def test_a_region_without_a_name_gets_its_number(tmp_path: Path) -> None:
    assert read(tmp_path, structure_set({4: ("", [contour(SQUARE)])})).rois[0].name == "ROI 4"


def test_two_frames_of_reference_are_told(tmp_path: Path) -> None:
    rois = {1: ("a", [contour(SQUARE)]), 2: ("b", [contour(SQUARE)])}
    found = read(tmp_path, structure_set(rois, {2: "1.2.9"}))
    assert codes(found) == ["frames-of-reference"]


def test_values_of_an_odd_form_are_told_not_quoted(tmp_path: Path, recwarn) -> None:
    path = write_structure_set(tmp_path, structure_set({1: ("a", [contour(SQUARE)])}))
    path.write_bytes(path.read_bytes().replace(b"1.2.3.4\0", b"Jane Doe"))
    found = read_rtstruct(path, RULES)
    assert codes(found) == ["odd-values"]
    assert "Doe" not in found.findings[0].message + str(dict(found.meta))
    assert len(recwarn) == 0


def test_meta_names_nobody_unless_asked(tmp_path: Path) -> None:
    image = pydicom.Dataset()
    image.ReferencedSOPClassUID, image.ReferencedSOPInstanceUID = "1.2", "1.2.3.77"
    file = structure_set({1: ("a", [contour(SQUARE, ContourImageSequence=[image])])})
    path = write_structure_set(tmp_path, file)
    shown = str(dict(read_rtstruct(path, RULES).meta))
    for secret in ("Doe", "secret", "1.2.3.4", "1.2.3.77", "1.2.3.99"):
        assert secret not in shown
    meta = read_rtstruct(path, Rules(patient=True)).meta
    assert meta["referenced_images"] == ("1.2.3.77",)
    assert meta["frames_of_reference"] == ("1.2.3.4",)
    assert meta["PatientID"] == "secret"


# ---- damage


@pytest.mark.parametrize(
    "text", [b"1\\2\\3\\4 ", b"1\\2\\nan", b"1\\2\\", b"1\\2\\inf", b"1\\x\\3", b"1\\2\\1e300"]
)
def test_refuses_points_that_are_no_triples_of_numbers(tmp_path: Path, text: bytes) -> None:
    path = write_structure_set(tmp_path, structure_set({1: ("a", [contour([1.5, 2.5, 3.5])])}))
    old = b"1.5\\2.5\\3.5 "
    data = path.read_bytes()
    assert data.count(old) == 1
    assert len(text.ljust(len(old))) == len(old)
    path.write_bytes(data.replace(old, text.ljust(len(old))))
    with pytest.raises(
        FormatError, match=r"must be triples of finite numbers \(x, y, z\), one of 'a'"
    ):
        read_rtstruct(path, RULES)


def test_contours_without_points_enclose_nothing(tmp_path: Path) -> None:
    found = read(tmp_path, structure_set({1: ("a", [contour([])])}))
    assert found.rois[0].outlines[0].points.shape == (0, 3)


def test_refuses_other_objects_and_garbage(tmp_path: Path) -> None:
    file = structure_set({1: ("a", [contour(SQUARE)])})
    file.SOPClassUID = pydicom.uid.CTImageStorage
    with pytest.raises(FormatError, match="must be an RT structure set, it is not: its SOP class"):
        read(tmp_path, file)
    (tmp_path / "b.dcm").write_bytes(b"\0" * 128 + b"DICM" + b"garbage" * 40)
    with pytest.raises(FormatError, match=r"must be a readable DICOM file, it is not"):
        read_rtstruct(tmp_path / "b.dcm", RULES)


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.integers(132, 10_000), data=st.binary(min_size=1, max_size=6))
def test_a_damaged_file_is_read_or_refused(tmp_path: Path, at: int, data: bytes) -> None:
    if not (tmp_path / "rs.dcm").exists():
        write_structure_set(tmp_path, structure_set({1: ("a", [contour(SQUARE)] * 2)}))
    whole = (tmp_path / "rs.dcm").read_bytes()
    at = 132 + (at - 132) % (len(whole) - 132)
    (tmp_path / "b.dcm").write_bytes(whole[:at] + data + whole[at + len(data) :])
    found = None
    with contextlib.suppress(FormatError):
        found = read_rtstruct(tmp_path / "b.dcm", RULES)
    assert found is None or len(found.rois) <= 2


def test_refuses_a_truncated_file(tmp_path: Path) -> None:
    path = write_structure_set(tmp_path, structure_set({1: ("a", [contour(SQUARE)] * 3)}))
    data = path.read_bytes()
    start = data.index(b"\x06\x30\x39\x00")  # ROIContourSequence, the last
    for end in [*range(140, len(data) - 1, 37), start + 20, len(data) - 1]:
        path.write_bytes(data[:end])
        with pytest.raises(FormatError, match=r"must (be an RT structure set|hold all elements)"):
            read_rtstruct(path, RULES)


def test_refuses_more_points_than_the_budget_before_it_makes_them(tmp_path: Path) -> None:
    file = structure_set({1: ("a", [contour(SQUARE * 100)] * 10)})
    with pytest.raises(FormatError, match="must fit in"):
        read(tmp_path, file, Rules(budget=Budget(voxels=9_000)))
    assert len(read(tmp_path, file, Rules(budget=Budget(voxels=20_000))).rois) == 1


def test_refuses_a_deflated_bomb(tmp_path: Path) -> None:
    file = structure_set({1: ("a", [contour(SQUARE)])})
    file.file_meta.TransferSyntaxUID = pydicom.uid.DeflatedExplicitVRLittleEndian
    assert read(tmp_path, file).rois[0].name == "a"
    file.add_new(0x00420011, "OB", b"\0" * (1 << 26))
    path = write_structure_set(tmp_path, file)
    start = time.process_time()
    with pytest.raises(FormatError, match="must not grow more than"):
        read_rtstruct(path, Rules(budget=Budget(free_bytes=1 << 20)))
    assert time.process_time() - start < 2


def test_reads_a_file_without_a_preamble(tmp_path: Path) -> None:
    path = write_structure_set(tmp_path, structure_set({1: ("a", [contour(SQUARE)])}))
    file = pydicom.dcmread(path)
    del file.file_meta
    file.save_as(tmp_path / "bare.dcm", implicit_vr=True, little_endian=True)
    assert read_rtstruct(tmp_path / "bare.dcm", RULES).rois[0].name == "a"


# ---- real data


def unpack(archive: Path, into: Path) -> Path:
    with tarfile.open(archive) as tar:
        tar.extractall(into, filter="data")
    return into


def test_the_ibsi_phantom_has_the_voxels_of_its_nifti_mask(tmp_path: Path, data_dir: Path) -> None:
    """Zwanenburg et al. (2020), doi:10.1148/radiol.2020191145: the mask of its configurations."""
    folder = data_dir / "ibsi" / "ibsi1_ct_phantom"
    unpack(folder / "dicom_image_rtstruct.tar.xz", tmp_path)
    (path,) = tmp_path.rglob("DCM_RS_*.dcm")
    mask = io.open_labels(folder / "mask.nii.gz")
    contours = read_rtstruct(path, RULES)
    drawn = rasterise(contours, mask.grid)
    assert contours.findings == drawn.findings == ()
    assert drawn.labels.names == {(0, 1): "GTV-1"}
    assert torch.equal(drawn.labels.data != 0, mask.data != 0)
    assert int(drawn.labels.data.sum()) == 125_256


@pytest.mark.parametrize(
    ("modality", "name", "voxels"),
    [("CT", "ct", 53_927), ("MR_T1", "mr_t1", 53_927), ("PET", "pet_suv", 1_725)],
)
def test_a_real_patient_has_the_masks_of_the_nifti_files(
    tmp_path: Path, data_dir: Path, modality: str, name: str, voxels: int
) -> None:
    unpack(data_dir / "sts_dicom" / "STS_050_dicom.tar.gz", tmp_path)
    (path,) = tmp_path.glob(f"STS_050/{modality}/mask/*.dcm")
    mask = io.open_labels(data_dir / "samples" / "sts" / "STS_050" / f"{name}_gtv.nii.gz")
    series = io.open(tmp_path / "STS_050" / modality / "image")
    assert not differences(series.grid, mask.grid)
    drawn = rasterise(read_rtstruct(path, RULES), series.grid).labels.data != 0
    assert int(drawn.sum()) == voxels
    assert torch.equal(drawn, mask.data != 0)


def test_contours_of_the_ct_drawn_on_the_pet_agree_with_its_own(
    tmp_path: Path, data_dir: Path
) -> None:
    """Another grid, other points: the same tumour to the size of a PET voxel."""
    unpack(data_dir / "sts_dicom" / "STS_050_dicom.tar.gz", tmp_path)
    (path,) = tmp_path.glob("STS_050/CT/mask/*.dcm")
    mask = io.open_labels(data_dir / "samples" / "sts" / "STS_050" / "pet_suv_gtv.nii.gz")
    drawn = rasterise(read_rtstruct(path, RULES), mask.grid).labels.data != 0
    both = int((drawn & (mask.data != 0)).sum())
    assert 2 * both / int(drawn.sum() + (mask.data != 0).sum()) > 0.98


def test_a_grid_elsewhere_is_refused(tmp_path: Path) -> None:
    path = write_structure_set(tmp_path, structure_set({1: ("a", [contour(SQUARE)])}))
    with pytest.raises(ValueError, match=r"outlines of 'rs.dcm' must lie on the grid"):
        rasterise(read_rtstruct(path, RULES), Grid.from_spacing((3, 3, 3)))


def test_ten_thousand_odd_contours_are_told_in_a_few_words(tmp_path: Path) -> None:
    items = [contour(SQUARE, NumberOfContourPoints=k + 5) for k in range(200)]
    found = read(tmp_path, structure_set({1: ("a", items)})).findings
    assert [f.code for f in found] == ["point-count"] * 6
    assert found[-1].message == "and 195 more likewise"
    assert {f.severity for f in found} == {"warning"}

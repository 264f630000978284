"""DICOMDIR: what it lists is opened; what it hides, lacks or smuggles is told by name."""

from pathlib import Path

import pydicom
import pytest
import torch
from phantoms_io import write_slice
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.fileset import FileSet
from pydicom.uid import ExplicitVRLittleEndian, MediaStorageDirectoryStorage, generate_uid

from vesalius import io
from vesalius.errors import FormatError
from vesalius.io.dicom._dicomdir import is_dicomdir, list_files

DEFAULT = io.Budget()


def make_disc(folder: Path, *, series: int = 1) -> Path:
    """Write a disc as pydicom does: PT000000/ST000000/SE000000/IM000000."""
    loose = folder / "loose"
    loose.mkdir()
    disc = FileSet()
    for number in range(series):
        for k in range(3):
            path = write_slice(
                loose,
                k,
                name=f"{number}-{k}.dcm",
                SeriesInstanceUID=f"1.2.3.{number + 1}",
                SeriesNumber=number + 1,
                SOPInstanceUID=f"1.2.3.{number + 1}.{k + 1}",
                StudyInstanceUID="1.2.3.99",
                StudyID="1",
                StudyDate="20200101",
                StudyTime="120000",
            )
            disc.add(path)
    disc.write(folder / "disc")
    return folder / "disc"


def record(*parts: str, kind: str = "IMAGE", in_use: int = 0xFFFF) -> Dataset:
    one = Dataset()
    one.OffsetOfTheNextDirectoryRecord = 0
    one.RecordInUseFlag = in_use
    one.OffsetOfReferencedLowerLevelDirectoryEntity = 0
    one.DirectoryRecordType = kind
    if parts:
        one.ReferencedFileID = list(parts)
    return one


def make_dicomdir(path: Path, records: list[Dataset]) -> Path:
    """Write a DICOMDIR by hand, whatever its records say."""
    file = Dataset()
    file.file_meta = FileMetaDataset()
    file.file_meta.MediaStorageSOPClassUID = MediaStorageDirectoryStorage
    file.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    file.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    file.FileSetID = "DISC"
    file.DirectoryRecordSequence = records
    with pydicom.config.disable_value_validation():
        file.save_as(path, enforce_file_format=True)
    return path


@pytest.fixture
def disc(tmp_path: Path) -> Path:
    return make_disc(tmp_path)


# -- reading


def test_opening_it_opens_what_it_lists(disc: Path) -> None:
    handle = io.open(disc / "DICOMDIR")
    assert handle.name == "disc"
    assert torch.equal(handle.read().data, io.open(disc.parent / "loose").read().data)


def test_opening_the_folder_reads_the_files_and_passes_it_over(disc: Path) -> None:
    handle = io.open(disc)
    assert handle.grid.shape == (3, 3, 4)
    assert not {"skipped", "refused"} & {f.code for f in handle.findings}


def test_scan_lists_every_series(tmp_path: Path) -> None:
    disc = make_disc(tmp_path, series=2)
    assert [h.grid.shape for h in io.scan(disc / "DICOMDIR")] == [(3, 3, 4)] * 2


def test_files_beside_it_that_it_does_not_list_do_not_count(disc: Path) -> None:
    write_slice(disc, 9, name="stray.dcm", SeriesInstanceUID="1.2.9")
    assert len(io.scan(disc / "DICOMDIR")) == 1
    assert len(io.scan(disc)) == 2


def test_is_known_by_content_under_another_name(disc: Path) -> None:
    path = (disc / "DICOMDIR").rename(disc / "index.bin")
    assert is_dicomdir(path)
    assert io.open(path).grid.shape == (3, 3, 4)
    assert io.open(disc).grid.shape == (3, 3, 4)


def test_an_image_is_not_taken_for_one(disc: Path) -> None:
    images = [p for p in disc.rglob("*") if p.is_file() and p.name != "DICOMDIR"]
    assert [is_dicomdir(p) for p in images] == [False] * 3
    (disc / "x.bin").write_bytes(bytes(600))
    assert not is_dicomdir(disc / "x.bin")


def test_order_and_repeats_do_not_matter(tmp_path: Path) -> None:
    names = [write_slice(tmp_path, k, name=f"IM{k}").name for k in range(3)]
    records = [record(name) for name in [*reversed(names), names[0]]]
    path = make_dicomdir(tmp_path / "DICOMDIR", records)
    assert [p.name for p in list_files(path, DEFAULT).files] == ["IM2", "IM1", "IM0"]
    assert io.open(path).grid.shape == (3, 3, 4)


def test_a_record_out_of_use_does_not_count(tmp_path: Path) -> None:
    write_slice(tmp_path, 0, name="IM0")
    path = make_dicomdir(
        tmp_path / "DICOMDIR", [record("IM0"), record("IM1", in_use=0), record(kind="STUDY")]
    )
    listed = list_files(path, DEFAULT)
    assert [p.name for p in listed.files] == ["IM0"]
    assert listed.findings == ()


@pytest.mark.parametrize("change", [str.lower, str.title])
def test_matches_names_in_any_case(disc: Path, change: object) -> None:
    for path in sorted(disc.rglob("*"), reverse=True):
        if path.name != "DICOMDIR":
            path.rename(path.with_name(change(path.name)))  # type: ignore[operator]
    listed = list_files(disc / "DICOMDIR", DEFAULT)
    assert len(listed.files) == 3
    assert listed.findings == ()


def test_refuses_names_that_fit_two_files(tmp_path: Path) -> None:
    for name in ("im0", "Im0"):
        write_slice(tmp_path, 0, name=name)
    listed = list_files(make_dicomdir(tmp_path / "DICOMDIR", [record("IM0")]), DEFAULT)
    assert listed.files == ()
    assert "must list one file by each name, 'IM0' is any of 2" in str(listed.refused[0])
    with pytest.raises(FormatError, match=r"must list one file by each name"):
        io.open(tmp_path / "DICOMDIR")


# -- missing files


def test_names_the_images_that_are_missing(disc: Path) -> None:
    last = max(p for p in disc.rglob("*") if p.is_file() and p.name != "DICOMDIR")
    last.unlink()
    handle = io.open(disc / "DICOMDIR")
    assert handle.findings[0].code == "missing-files"
    assert repr(last.name) in handle.findings[0].message
    with pytest.raises(FormatError, match=r"images that are not there: .*unreadable"):
        handle.read()
    accepted = io.open(disc / "DICOMDIR", allow=("unreadable",))
    assert {f.severity for f in accepted.findings if f.code == "missing-files"} == {"warning"}
    assert accepted.read().grid.shape == (2, 3, 4)


def test_counts_the_missing_beyond_three(tmp_path: Path) -> None:
    write_slice(tmp_path, 0, name="IM0")
    records = [record(f"IM{k}") for k in range(6)]
    (finding,) = list_files(make_dicomdir(tmp_path / "DICOMDIR", records), DEFAULT).findings
    assert finding.message.endswith("'IM1', 'IM2', 'IM3' and 2 more")


def test_a_missing_report_is_no_loss_to_an_image(tmp_path: Path) -> None:
    write_slice(tmp_path, 0, name="IM0")
    records = [record("IM0"), record("SR1", kind="SR DOCUMENT")]
    assert list_files(make_dicomdir(tmp_path / "DICOMDIR", records), DEFAULT).findings == ()


def test_refuses_one_whose_files_are_all_gone(tmp_path: Path) -> None:
    path = make_dicomdir(tmp_path / "DICOMDIR", [record("A", "B")])
    with pytest.raises(FormatError, match=r"must list an image, none of the files it lists is th"):
        io.open(path)


# -- hostile ones


HOSTILE = [("..", "SECRET"), (".", "SECRET"), ("/etc", "SECRET"), ("A/../../SECRET",), 
           ("C:", "SECRET"), ("A", "..", "..", "SECRET"), (" .. ", "SECRET")]  # fmt: skip


@pytest.mark.filterwarnings("ignore:Invalid value")
@pytest.mark.parametrize("parts", HOSTILE)
def test_refuses_names_that_lead_out(tmp_path: Path, parts: tuple[str, ...]) -> None:
    (tmp_path / "disc" / "A").mkdir(parents=True)
    write_slice(tmp_path, 0, name="SECRET")
    path = make_dicomdir(tmp_path / "disc" / "DICOMDIR", [record(*parts)])
    listed = list_files(path, DEFAULT)
    assert listed.files == ()
    assert "beside or below itself" in str(listed.refused[0])
    with pytest.raises(FormatError, match=r"must list files beside or below itself, .* is placed"):
        io.open(path)


def test_refuses_a_link_that_leads_out(tmp_path: Path) -> None:
    (tmp_path / "disc").mkdir()
    write_slice(tmp_path, 0, name="SECRET")
    write_slice(tmp_path / "disc", 0, name="IM0")
    (tmp_path / "disc" / "IM1").symlink_to(tmp_path / "SECRET")
    path = make_dicomdir(tmp_path / "disc" / "DICOMDIR", [record("IM0"), record("IM1")])
    with pytest.raises(FormatError, match=r"'IM1' is a link that leads outside"):
        io.open(path)
    (handle,) = io.scan(path)
    assert [f.code for f in handle.findings if f.severity == "warning"] == ["refused"]


def test_a_linked_folder_is_not_even_listed(tmp_path: Path) -> None:
    (tmp_path / "disc").mkdir()
    (tmp_path / "out").mkdir()
    write_slice(tmp_path / "out", 0, name="im0")
    (tmp_path / "disc" / "DOOR").symlink_to(tmp_path / "out")
    path = make_dicomdir(tmp_path / "disc" / "DICOMDIR", [record("DOOR", "IM0")])
    listed = list_files(path, DEFAULT)
    assert listed.files == ()
    assert len(listed.findings) == 1


@pytest.mark.parametrize("content", [b"garbage" * 99, bytes(400), bytes(128) + b"DICM", b"x"])
def test_refuses_garbage_of_that_name(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "DICOMDIR").write_bytes(content)
    with pytest.raises(FormatError, match=r"'DICOMDIR' must be a DICOMDIR with a sequence of rec"):
        io.open(tmp_path / "DICOMDIR")


def test_refuses_every_truncation_or_reads_less(disc: Path) -> None:
    body = (disc / "DICOMDIR").read_bytes()
    for keep in range(1, len(body), 97):
        (disc / "DICOMDIR").write_bytes(body[:keep])
        told: list[FormatError] = []
        try:
            assert len(list_files(disc / "DICOMDIR", DEFAULT).files) <= 3
        except FormatError as error:
            told.append(error)
        assert str(disc) not in repr(told)


def test_refuses_one_that_lists_nothing(tmp_path: Path) -> None:
    path = make_dicomdir(tmp_path / "DICOMDIR", [record(kind="PATIENT")])
    with pytest.raises(FormatError, match=r"must list files, none of its 1 records refers to one"):
        io.open(path)


def test_refuses_more_than_the_budget(tmp_path: Path) -> None:
    path = make_dicomdir(tmp_path / "DICOMDIR", [record(f"IM{k}") for k in range(50)])
    with pytest.raises(FormatError, match=r"must list at most 49 files, it has 50 records"):
        list_files(path, io.Budget(files=49))
    with pytest.raises(FormatError, match=r"must list at most 0 files, its \d+ bytes hold more"):
        list_files(path, io.Budget(files=0))


def test_no_name_of_a_patient_or_folder_is_told(disc: Path) -> None:
    for path in disc.rglob("IM*"):
        path.unlink()
    with pytest.raises(FormatError) as told:
        io.open(disc / "DICOMDIR")
    assert "Doe" not in str(told.value)
    assert str(disc.parent) not in str(told.value)

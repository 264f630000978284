"""open and scan: exactly one volume, every volume, or a reason."""

import os
import time
from pathlib import Path

import pytest
import torch
from phantoms_io import make_phantom, write_slice

from vesalius import io
from vesalius.core import Image
from vesalius.errors import FormatError


def test_refuses_a_path_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"must exist to be opened, it does not: check the path"):
        io.open(tmp_path / "no.nii")


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".nrrd", ".mha", ".png", ".dcm"])
def test_refuses_an_empty_file(tmp_path: Path, suffix: str) -> None:
    (tmp_path / f"a{suffix}").touch()
    with pytest.raises(FormatError, match=r"must hold an image, it is empty: copy it again"):
        io.open(tmp_path / f"a{suffix}")


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd", ".png"])
@pytest.mark.parametrize("content", [b"\0" * 4000, b"garbage\n" * 500, bytes(range(256)) * 16])
def test_refuses_garbage_under_any_name(tmp_path: Path, suffix: str, content: bytes) -> None:
    (tmp_path / f"a{suffix}").write_bytes(content)
    start = time.process_time()
    with pytest.raises(FormatError, match=f"'a{suffix}' must be a"):
        io.open(tmp_path / f"a{suffix}").read()
    assert time.process_time() - start < 2


def test_refuses_a_file_that_is_no_image(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("hello")
    with pytest.raises(FormatError, match=r"must be an image file \(.nii, .*or DICOM\)"):
        io.open(tmp_path / "a.txt")


def test_refuses_a_folder_without_images(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"must hold an image, none of its .* files is one"):
        io.open(tmp_path)
    (tmp_path / "a.txt").write_text("hello")
    with pytest.raises(FormatError, match=r"must hold an image, none of its .* files is one"):
        io.scan(tmp_path)


def test_refuses_what_is_neither_file_nor_folder(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.nii")
    with pytest.raises(FormatError, match="must be a file or a folder, it is neither"):
        io.open(tmp_path / "a.nii")


def test_tells_what_the_system_says(tmp_path: Path) -> None:
    with pytest.raises(
        FormatError, match=r"must be readable, the system says: .*: check its permissions"
    ):
        io.open(tmp_path / ("a" * 300 + ".nii"))


def test_opens_the_one_image_of_a_folder(tmp_path: Path, phantom: Image) -> None:
    (tmp_path / "deep").mkdir()
    io.save(phantom, tmp_path / "deep" / "a.mhd")
    assert torch.equal(io.open(tmp_path).read().data, phantom.data)
    assert io.open(str(tmp_path)).findings == ()


def test_refuses_several_and_scan_lists_them(tmp_path: Path, phantom: Image) -> None:
    for name in ("b.nii", "a.nrrd", "c.mha"):
        io.save(phantom, tmp_path / name)
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / ".hidden").write_text("hello")
    with pytest.raises(
        FormatError, match=r"must hold one volume, it holds .*: open one by its own path"
    ):
        io.open(tmp_path)
    handles = io.scan(tmp_path)
    assert [h.name for h in handles] == ["a.nrrd", "b.nii", "c.mha"]
    assert {f.message for h in handles for f in h.findings} == {
        "files that are no images were skipped: 'notes.txt'"
    }


def test_scan_tells_what_it_could_not_read(tmp_path: Path, phantom: Image) -> None:
    io.save(phantom, tmp_path / "a.nii")
    (tmp_path / "b.nii").write_bytes(b"broken")
    (handle,) = io.scan(tmp_path)
    assert [(f.severity, f.code) for f in handle.findings] == [("warning", "refused")]
    assert "'b.nii'" in handle.findings[0].message
    with pytest.raises(FormatError, match=r"'b.nii' must be a NIfTI"):
        io.open(tmp_path)
    (tmp_path / "a.nii").unlink()
    with pytest.raises(FormatError, match=r"'b.nii' must be a NIfTI"):
        io.scan(tmp_path)


def test_scan_finds_files_and_series_together(tmp_path: Path) -> None:
    io.save(make_phantom(), tmp_path / "a.nii")
    for k in range(3):
        write_slice(tmp_path, k)
    assert [h.meta["format"] for h in io.scan(tmp_path)] == ["NIfTI-1", "DICOM"]


def test_scan_of_a_file_gives_one_handle(tmp_path: Path, phantom: Image) -> None:
    io.save(phantom, tmp_path / "a.nii")
    (handle,) = io.scan(tmp_path / "a.nii", unit="HU")
    assert handle.read().unit == "HU"

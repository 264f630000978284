"""``vesalius info``: one line for each volume, every finding, values for programs."""

import json
import subprocess
import sys
from pathlib import Path

import pydicom
import torch
from phantoms_io import make_phantom, write_slice

from vesalius import io
from vesalius.core import Grid, Image, Labels


def test_shows_grid_unit_and_verdict(vesalius, tmp_path: Path) -> None:
    phantom = make_phantom()
    io.save(Image(phantom.data, phantom.grid, "HU"), tmp_path / "scan.nii.gz")
    shown = vesalius("info", tmp_path / "scan.nii.gz")
    assert shown.code == 0
    first, last = shown.out.splitlines()
    assert first.startswith(
        "good     scan.nii.gz  NIfTI-1  6 x 5 x 4  1.1 x 0.7 x 3.3 mm  SRP  int"
    )
    assert first.endswith("HU")
    assert last == "1 volume"


def test_tells_everything_in_json(vesalius, tmp_path: Path) -> None:
    phantom = make_phantom(torch.uint16)
    data = (phantom.data.int() % 3).to(torch.uint16)
    labels = Labels(data, phantom.grid, {(0, 1): "liver", (0, 2): "spleen"})
    io.save(labels, tmp_path / "organs.nrrd")
    found = json.loads(vesalius("info", tmp_path, "--json").out)
    (volume,) = found["volumes"]
    assert found["schema"] == 1
    assert volume["shape"] == [4, 5, 6]
    assert volume["orientation"] == phantom.grid.orientation
    assert torch.tensor(volume["affine"], dtype=torch.float64).allclose(phantom.grid.affine)
    assert volume["labels"] == [
        {"layer": 0, "value": 1, "name": "liver"},
        {"layer": 0, "value": 2, "name": "spleen"},
    ]
    assert [f["code"] for f in volume["findings"]] == ["widened"]
    assert found["outlines"] == found["refused"] == found["skipped"] == []


def test_shows_what_is_refused_and_the_word_that_accepts_it(vesalius, tmp_path: Path) -> None:
    for k, z in enumerate((0, 3, 6, 12)):
        write_slice(tmp_path, k, ImagePositionPatient=[0, 0, z])
    shown = vesalius("info", tmp_path)
    assert shown.code == 0
    assert shown.out.startswith("REFUSED  ")
    assert "[--allow gaps]" in shown.out
    assert shown.out.splitlines()[-1] == "1 volume, 1 refused"
    allowed = vesalius("info", tmp_path, "--allow", "gaps")
    assert allowed.out.startswith("CHECK ")


def test_tells_files_that_cannot_be_read(vesalius, tmp_path: Path) -> None:
    io.save(make_phantom(), tmp_path / "a.nii")
    (tmp_path / "b.nii").write_bytes(b"broken")
    (tmp_path / "notes.txt").write_text("x")
    out = vesalius("info", tmp_path).out
    assert "REFUSED  'b.nii' must be a NIfTI" in out
    assert out.splitlines()[-2:] == [
        "passed over: 'notes.txt'",
        "1 volume, 1 refused, 1 file passed over",
    ]
    assert out.count("notes.txt") == 1


def test_names_all_words_that_are_needed(vesalius, tmp_path: Path) -> None:
    for k, z in enumerate((0, 3, 6, 12)):
        write_slice(tmp_path, k, ImagePositionPatient=[0, z / 3, z])
    assert vesalius("info", tmp_path).out.count("[--allow tilt,gaps]") == 2
    assert vesalius("info", tmp_path, "--allow", "tilt,gaps").out.startswith("CHECK ")


def test_leaves_with_3_where_nothing_can_be_opened(vesalius, tmp_path: Path) -> None:
    (tmp_path / "a.dcm").write_text("no DICOM")
    ended = vesalius("info", tmp_path / "a.dcm")
    assert ended.code == 3
    assert "'a.dcm' must be" in ended.out + ended.err


def test_leaves_with_3_where_there_is_nothing(vesalius, tmp_path: Path) -> None:
    ended = vesalius("info", tmp_path / "absent")
    assert ended.code == 3
    assert "'absent' must exist to be opened" in ended.err


def test_knows_its_words(vesalius, tmp_path: Path) -> None:
    ended = vesalius("info", tmp_path, "--allow", "everything")
    assert ended.code == 2
    assert "--allow takes tilt, gaps" in ended.err


def test_does_not_show_a_patient_unless_asked(vesalius, tmp_path: Path) -> None:
    write_slice(tmp_path, 0, PatientID="secret-17")
    assert "secret-17" not in vesalius("info", tmp_path, "--json").out
    assert "secret-17" in vesalius("info", tmp_path, "--json", "--patient").out


def test_shows_no_value_through_the_warnings_of_other_libraries(tmp_path: Path) -> None:
    path = write_slice(tmp_path, 0)
    header = pydicom.dcmread(path)
    header.add_new(0x00280030, "DS", ["1.0", "1.0"])
    header.add_new(0x00101010, "AS", "secretperson")  # too long, which pydicom would quote
    header.add_new(0x00080020, "DA", "secretday")
    with pydicom.config.disable_value_validation():
        header.save_as(path)
    code = f"from vesalius.cli import main; main(['info', {str(tmp_path)!r}, '--json'])"
    words = [sys.executable, "-W", "always", "-c", code]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["volumes"]
    assert "secret" not in done.stdout + done.stderr
    assert str(tmp_path) not in done.stdout + done.stderr


def test_validates_an_ome_zarr(vesalius, tmp_path: Path) -> None:
    io.save(Image(torch.zeros(1, 4, 8, 8), Grid.from_spacing((4, 8, 8))), tmp_path / "a.zarr")
    good = vesalius("info", "--validate", tmp_path / "a.zarr")
    assert (good.code, good.out) == (0, "valid  0 errors\n")
    told = json.loads((tmp_path / "a.zarr" / "zarr.json").read_text())
    told["attributes"]["ome"]["multiscales"][0]["axes"].reverse()
    (tmp_path / "a.zarr" / "zarr.json").write_text(json.dumps(told))
    bad = vesalius("info", "--validate", tmp_path / "a.zarr")
    assert bad.code == 4
    assert "NOT VALID" in bad.out
    listed = json.loads(vesalius("info", "--validate", "--json", tmp_path / "a.zarr").out)
    assert listed["valid"] is False
    assert any("axes" in row["message"] for row in listed["findings"])


def test_validates_a_bids_folder(vesalius, tmp_path: Path) -> None:
    bad = vesalius("info", "--validate", tmp_path)
    assert bad.code == 4
    assert "bids-description" in bad.out


def test_leaves_with_3_where_nothing_can_be_read_in_json_too(vesalius, tmp_path):
    (tmp_path / "a.nrrd").write_bytes(b"NRRD0004\nbroken")
    (tmp_path / "b.nrrd").write_bytes(b"NRRD0004\nbroken")
    for words in ([], ["--json"]):
        ended = vesalius("info", tmp_path, *words)
        assert ended.code == 3
        assert "a.nrrd" in ended.out

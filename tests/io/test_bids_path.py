"""BIDS paths and sidecars of derivatives."""

import json
from pathlib import Path

import pytest
from phantoms_io import write_slice

from vesalius import io
from vesalius.errors import FormatError
from vesalius.io.bids import bids_path, save_sidecar, validate_bids, write_dataset_description


@pytest.mark.parametrize(
    ("stem", "path"),
    [
        ("sub-01_T1w", "sub-01/anat/sub-01_T1w.nii.gz"),
        ("run-2_ses-a_sub-01_bold", "sub-01/ses-a/func/sub-01_ses-a_run-2_bold.nii.gz"),
        ("sub-x_pet", "sub-x/pet/sub-x_pet.nii.gz"),
        ("sub-x_space-T1w_dseg", "sub-x/anat/sub-x_space-T1w_dseg.nii.gz"),
    ],
)
def test_puts_entities_in_order_and_files_in_folders(stem: str, path: str) -> None:
    assert bids_path(stem).as_posix() == path


@pytest.mark.parametrize("stem", ["T1w", "ses-01_T1w", "sub-01", "sub-01_sub-02_T1w", "sub-01_"])
def test_refuses_what_is_no_name(stem: str) -> None:
    with pytest.raises(FormatError, match=r"a BIDS name must be entities|suffix must be letters"):
        bids_path(stem)


def test_a_sidecar_speaks_bids_and_names_nobody(tmp_path: Path) -> None:
    (tmp_path / "mr").mkdir()
    entries = {"Modality": "MR", "RepetitionTime": 2500.0, "EchoTime": 30.0, "FlipAngle": 80.0}
    write_slice(tmp_path / "mr", 0, PatientName="Canary^Bird", **entries)
    save_sidecar(io.open(tmp_path / "mr"), tmp_path / "a.json")
    text = (tmp_path / "a.json").read_text()
    told = json.loads(text)
    assert (told["RepetitionTime"], told["EchoTime"], told["FlipAngle"]) == (2.5, 0.03, 80)
    assert "Canary" not in text


def test_a_derivative_passes_the_check(tmp_path: Path, phantom) -> None:
    write_dataset_description(tmp_path, "test")
    (tmp_path / "README").write_text("What this is.")
    path = tmp_path / bids_path("sub-01_T1w")
    path.parent.mkdir(parents=True)
    io.save(phantom, path)
    assert [f for f in validate_bids(tmp_path) if f.severity == "error"] == []

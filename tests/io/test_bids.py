"""BIDS: names, descriptions of derivatives, and a light check of datasets."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vesalius import __version__
from vesalius.errors import FormatError, OutputError
from vesalius.io import Budget
from vesalius.io._bids import (
    ORDER,
    bids_name,
    validate_bids,
    write_dataset_description,
)

LABELS = st.text("abcXYZ0189", min_size=1, max_size=6)


def test_a_name_has_its_entities_in_order() -> None:
    entities = {"desc": "smoothed", "run": "2", "ses": "01", "space": "MNI"}
    assert bids_name("07", "T1w", entities=entities) == (
        "sub-07_ses-01_run-2_space-MNI_desc-smoothed_T1w.nii.gz"
    )
    assert bids_name("07", "mask", extension=".ome.zarr") == "sub-07_mask.ome.zarr"


@given(st.dictionaries(st.sampled_from(ORDER[1:]), LABELS), LABELS, LABELS)
def test_any_name_splits_into_what_it_was_made_of(entities, subject, suffix) -> None:
    stem = bids_name(subject, suffix, entities=entities).removesuffix(".nii.gz")
    *pairs, last = stem.split("_")
    found = dict(pair.split("-") for pair in pairs)
    assert found == {"sub": subject, **entities}
    assert last == suffix
    assert list(found) == [entity for entity in ORDER if entity in found]


@pytest.mark.parametrize("label", ["", "a_b", "a-b", "../x", "ä", "a b"])
def test_refuses_labels_of_other_characters(label: str) -> None:
    with pytest.raises(FormatError, match="with a label of letters and digits"):
        bids_name(label, "T1w")
    with pytest.raises(FormatError, match="with a label of letters and digits"):
        bids_name("01", "T1w", entities={"ses": label})


def test_refuses_an_unknown_entity() -> None:
    with pytest.raises(FormatError, match="an entity must be one of sub, ses"):
        bids_name("01", "T1w", entities={"mood": "good"})


@pytest.mark.parametrize(("suffix", "extension"), [("", ".nii"), ("a_b", ".nii"), ("T1w", "nii")])
def test_refuses_a_suffix_or_extension_that_is_none(suffix: str, extension: str) -> None:
    with pytest.raises(FormatError, match="suffix must be letters and digits"):
        bids_name("01", suffix, extension=extension)


def test_a_description_says_who_made_it_from_what(tmp_path) -> None:
    write_dataset_description(tmp_path, "Größe", sources=("doi:10.1/x", "https://example.org/d"))
    told = json.loads((tmp_path / "dataset_description.json").read_text(encoding="utf-8"))
    assert told["Name"] == "Größe"
    assert told["DatasetType"] == "derivative"
    assert told["GeneratedBy"] == [{"Name": "vesalius", "Version": __version__}]
    assert told["SourceDatasets"] == [{"DOI": "doi:10.1/x"}, {"URL": "https://example.org/d"}]


def test_a_description_needs_its_folder(tmp_path) -> None:
    with pytest.raises(OutputError, match="output folder must exist"):
        write_dataset_description(tmp_path / "absent", "x")


def dataset(root: Path, *names: str) -> Path:
    """A good derivative dataset with files of these names below sub-01/anat."""
    folder = root / "sub-01" / "anat"
    folder.mkdir(parents=True)
    write_dataset_description(root, "test")
    (root / "README.md").write_text("x")
    for name in (bids_name("01", "T1w"), *names):
        (folder / name).write_text("{}")
    return root


def found(root: Path) -> set[tuple[str, str]]:
    return {(finding.severity, finding.code) for finding in validate_bids(root)}


def test_a_good_dataset_has_no_findings(tmp_path) -> None:
    root = dataset(tmp_path, "sub-01_T1w.json", "sub-01_desc-a_mask.ome.zarr")
    (root / "participants.tsv").write_text("participant_id\tage\nsub-01\t40\n")
    assert validate_bids(root) == ()


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("scan.nii.gz", "bids-name"),
        ("sub-01_my-entity_T1w.nii.gz", "bids-name"),
        ("sub-01_ses-_T1w.nii.gz", "bids-name"),
        ("sub-01_T1 w.nii.gz", "bids-name"),
        ("ses-01_T1w.nii.gz", "bids-name"),
        ("sub-01_desc-a_space-b_T1w.nii.gz", "bids-order"),
        ("sub-02_T1w.nii.gz", "bids-place"),
        ("sub-01_ses-02_T1w.nii.gz", "bids-place"),
    ],
)
def test_names_that_break_a_rule_are_errors(tmp_path, name: str, code: str) -> None:
    assert ("error", code) in found(dataset(tmp_path, name))


def test_an_unknown_ending_is_only_told(tmp_path) -> None:
    assert found(dataset(tmp_path, "sub-01_notes.docx")) == {("info", "bids-extension")}


def test_a_sidecar_that_is_no_json_is_an_error(tmp_path) -> None:
    root = dataset(tmp_path)
    (root / "sub-01" / "anat" / "sub-01_T1w.json").write_text("{")
    assert found(root) == {("error", "bids-json")}


@pytest.mark.parametrize("text", ["{", "[]", "7", "[" * 100_000, "\xff"])
def test_a_description_that_is_no_object_is_an_error(tmp_path, text: str) -> None:
    root = dataset(tmp_path)
    (root / "dataset_description.json").write_bytes(text.encode("latin-1"))
    assert found(root) == {("error", "bids-description")}


@pytest.mark.parametrize("key", ["Name", "BIDSVersion", "GeneratedBy"])
def test_a_description_lacks_nothing(tmp_path, key: str) -> None:
    root = dataset(tmp_path)
    file = root / "dataset_description.json"
    told = json.loads(file.read_text())
    del told[key]
    file.write_text(json.dumps(told))
    (finding,) = validate_bids(root)
    assert finding.message == f"dataset_description.json must have {key}"


def test_an_empty_folder_lacks_everything(tmp_path) -> None:
    assert found(tmp_path) == {
        ("error", "bids-description"),
        ("error", "bids-subjects"),
        ("warning", "bids-readme"),
    }


def test_participants_begin_with_their_id(tmp_path) -> None:
    root = dataset(tmp_path)
    (root / "participants.tsv").write_text("age\tparticipant_id\n")
    assert found(root) == {("error", "bids-participants")}


def test_hidden_files_links_and_other_shelves_are_passed_over(tmp_path) -> None:
    root = dataset(tmp_path)
    (root / "sub-01" / ".DS_Store").write_text("x")
    (root / "sourcedata").mkdir()
    (root / "sourcedata" / "wild name.x").write_text("x")
    (root / "sub-01" / "away").symlink_to(tmp_path.parent)
    assert validate_bids(root) == ()


def test_refuses_what_is_no_folder(tmp_path) -> None:
    with pytest.raises(FormatError, match="must be the folder of a BIDS dataset"):
        validate_bids(tmp_path / "absent")


def test_refuses_more_files_than_the_budget(tmp_path) -> None:
    root = dataset(tmp_path, "sub-01_T2w.nii.gz", "sub-01_FLAIR.nii.gz")
    with pytest.raises(FormatError, match="must hold at most 2 files to be validated"):
        validate_bids(root, budget=Budget(files=2))

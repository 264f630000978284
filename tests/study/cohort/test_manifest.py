"""A manifest names each case once, and says what is wrong with its file."""

import pandas as pd
import pytest
from cohort_cases import write_manifest

from vesalius.errors import ConfigError, FormatError
from vesalius.study.cohort import read_manifest

PLAIN = ["subject", "image", "labels"]


def test_paths_are_relative_to_the_manifest(tmp_path):
    path = write_manifest(tmp_path, PLAIN, [["a", "x/i.nii", "l.nii"]])
    (case,) = read_manifest(path).cases
    assert case.image == tmp_path / "x" / "i.nii"
    assert case.labels == tmp_path / "l.nii"


def test_the_name_of_a_case_joins_subject_session_and_role(tmp_path):
    header = ["role", "session", *PLAIN]
    rows = [["lesion", "1", "a", "i", "l"], ["", "2", "a", "i", "l"], ["", "", "b", "i", "l"]]
    found = read_manifest(write_manifest(tmp_path, header, rows))
    assert [case.name for case in found.cases] == ["a_1_lesion", "a_2", "b"]


def test_numbers_as_subjects_keep_their_digits(tmp_path):
    path = write_manifest(tmp_path, PLAIN, [[7, "i", "l"], [12, "j", "l"]])
    assert [case.subject for case in read_manifest(path).cases] == ["7", "12"]
    path = write_manifest(tmp_path, PLAIN, [["007", "i", "l"], ["012", "j", "l"]])
    assert [case.subject for case in read_manifest(path).cases] == ["007", "012"]


def test_other_columns_are_clinical_and_keep_their_type(tmp_path):
    path = write_manifest(tmp_path, [*PLAIN, "age", "sex"], [["a", "i", "l", 61, "f"]])
    found = read_manifest(path)
    assert found.clinical == ("age", "sex")
    assert found.columns["age"].tolist() == [61.0]
    assert list(found.columns) == ["subject", "session", "role", "image", "labels", "age", "sex"]


def test_columns_that_say_how_to_measure_are_taken_by_the_case(tmp_path):
    header = [*PLAIN, "regions", "roi", "unit", "modality"]
    rows = [["a", "i", "l", "1 3", "GTV.*", "HU", "CT"], ["b", "i", "l", "", "", "", ""]]
    found = read_manifest(write_manifest(tmp_path, header, rows))
    one, two = found.cases
    assert (one.regions, one.roi, one.unit, one.modality) == ((1, 3), "GTV.*", "HU", "CT")
    assert (two.regions, two.roi, two.unit, two.modality) == ((), "", "", "")
    assert found.clinical == ()


def test_a_number_in_regions_is_a_label(tmp_path):
    path = write_manifest(tmp_path, [*PLAIN, "regions"], [["a", "i", "l", 2], ["b", "i", "l", 4]])
    assert [case.regions for case in read_manifest(path).cases] == [(2,), (4,)]


def test_parquet_gives_what_csv_gives(tmp_path):
    path = write_manifest(tmp_path, [*PLAIN, "age"], [["a", "i", "l", 61], ["b", "j", "m", 55]])
    pd.read_csv(path).to_parquet(tmp_path / "manifest.parquet")
    one, two = read_manifest(path), read_manifest(tmp_path / "manifest.parquet")
    assert one.cases == two.cases
    assert one.columns.equals(two.columns)


def test_a_batch_file_of_pyradiomics_is_read_as_it_is(tmp_path):
    header = ["ID", "Image", "Mask", "Label", "Grade"]
    rows = [["p1", "i.nrrd", "m.nrrd", 2, "high"], ["p2", "j.nrrd", "n.nrrd", 1, "low"]]
    found = read_manifest(write_manifest(tmp_path, header, rows))
    assert [case.name for case in found.cases] == ["p1", "p2"]
    assert [case.regions for case in found.cases] == [(2,), (1,)]
    assert [case.labels.name for case in found.cases] == ["m.nrrd", "n.nrrd"]
    assert found.clinical == ("Grade",)


def test_a_batch_file_without_a_patient_is_named_by_its_images(tmp_path):
    rows = [["data/brain1_image.nrrd", "m"], ["data/brain2_image.nrrd", "m"]]
    found = read_manifest(write_manifest(tmp_path, ["Image", "Mask"], rows))
    assert [case.name for case in found.cases] == ["brain1_image", "brain2_image"]


def test_labels_of_one_image_in_a_batch_file_are_cases_of_their_own(tmp_path):
    rows = [["i.nrrd", "m", 1], ["i.nrrd", "m", 2], ["j.nrrd", "m", 1]]
    found = read_manifest(write_manifest(tmp_path, ["Image", "Mask", "Label"], rows))
    assert [case.name for case in found.cases] == ["i_label1", "i_label2", "j"]


def test_a_batch_file_that_names_a_thing_twice_is_refused(tmp_path):
    path = write_manifest(tmp_path, ["Image", "Mask", "image"], [["i", "m", "k"]])
    with pytest.raises(FormatError, match="a batch file must name each thing once, it has 'image'"):
        read_manifest(path)


@pytest.mark.parametrize("absent", PLAIN)
def test_a_missing_column_is_named(tmp_path, absent):
    header = [name for name in PLAIN if name != absent]
    path = write_manifest(tmp_path, header, [["a", "b"]])
    with pytest.raises(FormatError, match=f"a manifest must have the columns.*lacks {absent}; it"):
        read_manifest(path)


@pytest.mark.parametrize("name", ["case", "label", "status", "reason"])
def test_a_column_called_as_one_of_the_results_is_refused(tmp_path, name):
    path = write_manifest(tmp_path, [*PLAIN, name], [["a", "i", "l", "x"]])
    with pytest.raises(FormatError, match=f"must not be called as those of the results.*{name}"):
        read_manifest(path)


@pytest.mark.parametrize("place", range(3))
def test_an_empty_cell_is_told_with_its_line(tmp_path, place):
    row = ["a", "i", "l"]
    row[place] = ""
    path = write_manifest(tmp_path, PLAIN, [["b", "i", "l"], row])
    with pytest.raises(FormatError, match=f"line 3 of 'manifest.csv' has no {PLAIN[place]}"):
        read_manifest(path)


def test_a_row_that_comes_twice_is_refused(tmp_path):
    path = write_manifest(tmp_path, PLAIN, [["a", "i", "l"], ["b", "i", "l"], ["a", "i", "l"]])
    with pytest.raises(FormatError, match=r"must come once, line 4 of 'manifest.csv' is line 2"):
        read_manifest(path)


def test_two_rows_of_one_name_are_refused(tmp_path):
    path = write_manifest(tmp_path, PLAIN, [["a", "i", "l"], ["a", "j", "l"]])
    with pytest.raises(FormatError, match="must name one case together, 'a' stands in lines 2, 3"):
        read_manifest(path)


def test_names_that_only_underscores_tell_apart_are_refused(tmp_path):
    header = ["subject", "session", "image", "labels"]
    path = write_manifest(tmp_path, header, [["a", "b_c", "i", "l"], ["a_b", "c", "j", "l"]])
    with pytest.raises(FormatError, match="'a_b_c' stands in lines 2, 3"):
        read_manifest(path)


def test_an_unknown_modality_is_refused(tmp_path):
    path = write_manifest(tmp_path, [*PLAIN, "modality"], [["a", "i", "l", "NM"]])
    with pytest.raises(ConfigError, match="modality must be one of CT, MR, PET, other, line 2"):
        read_manifest(path)


def test_a_pattern_that_is_none_is_refused(tmp_path):
    path = write_manifest(tmp_path, [*PLAIN, "roi"], [["a", "i", "l", "GTV("]])
    with pytest.raises(ConfigError, match="roi must be a regular expression, line 2"):
        read_manifest(path)


def test_regions_that_are_no_labels_are_refused(tmp_path):
    path = write_manifest(tmp_path, [*PLAIN, "regions"], [["a", "i", "l", "liver"]])
    with pytest.raises(ConfigError, match=r"regions must be labels such as 1 3, line 2.*'liver'"):
        read_manifest(path)


def test_a_case_says_which_of_its_files_is_missing(tmp_path):
    path = write_manifest(tmp_path, PLAIN, [["a", "i", "l"]])
    (case,) = read_manifest(path).cases
    assert case.missing == "image 'i' is not there"
    (tmp_path / "i").touch()
    assert case.missing == "labels 'l' is not there"
    (tmp_path / "l").touch()
    assert case.missing == ""

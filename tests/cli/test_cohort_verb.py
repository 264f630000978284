"""The verb cohort: what it says, and what it leaves with."""

import sys

import pytest
from cohort_cases import QUICK, write_cohort, write_manifest


@pytest.fixture
def cohort(tmp_path):
    """Words that run a small cohort."""
    (tmp_path / "config.yaml").write_text(QUICK)
    manifest = write_cohort(tmp_path, 2)
    words = ["cohort", "run", manifest, "-o", tmp_path / "out"]
    return [*words, "--config", tmp_path / "config.yaml"]


def test_a_cohort_is_measured_and_then_known(vesalius, cohort, tmp_path):
    (tmp_path / "scan1.nii.gz").write_bytes(b"broken")
    ended = vesalius(*cohort, "--workers", 1, "--progress", "json")
    assert ended.code == 4
    assert "error: P01: FormatError" in ended.err
    assert '"total": 2' in ended.err
    assert "1 of 2 cases measured: 2 regions" in ended.out
    assert (tmp_path / "out" / "wide.csv").is_file()

    # nothing is left that could be measured: no process is started for what is known
    (tmp_path / "scan1.nii.gz").unlink()
    ended = vesalius(*cohort, "--quiet")
    assert ended.code == 4
    assert ended.out == ""
    ended = vesalius(*cohort)
    assert "1 of 2 cases measured (1 of them before): 2 regions" in ended.out

    ended = vesalius(*cohort, "--dry-run")
    assert ended.code == 0
    assert "measured already" in ended.out
    assert "would fail: image 'scan1.nii.gz' is not there" in ended.out
    assert "2 cases: 0 to measure, 1 measured already, 1 would fail" in ended.out


def test_a_dry_run_estimates_and_writes_nothing(vesalius, cohort, tmp_path):
    ended = vesalius(*cohort, "--dry-run", "--workers", 2)
    assert ended.code == 0
    assert "1728 voxels, all regions, about 0.1 s" in ended.out
    assert "2 cases: 2 to measure, 0 measured already, 0 would fail" in ended.out
    assert "with 2 workers, by image sizes" in ended.out
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(
    sys.platform != "linux", reason="needs a file that cannot be read, even by root"
)
def test_a_cohort_of_which_nothing_can_be_measured_leaves_with_3(vesalius, tmp_path):
    (tmp_path / "l.nii").touch()
    rows = [["a", "/proc/self/mem", "l.nii"], ["b", "/proc/self/mem", "l.nii"]]
    manifest = write_manifest(tmp_path, ["subject", "image", "labels"], rows)
    ended = vesalius("cohort", "run", manifest, "-o", tmp_path / "out")
    assert ended.code == 3
    assert "error: a: FormatError: a file cannot be read: Input/output error" in ended.err
    assert "0 of 2 cases measured: 0 regions" in ended.out
    assert "failed" in (tmp_path / "out" / "cases.csv").read_text()


def test_a_manifest_without_files_is_refused(vesalius, cohort, tmp_path):
    for path in tmp_path.glob("*.nii.gz"):
        path.unlink()
    ended = vesalius(*cohort)
    assert ended.code == 3
    assert "error: at least one case of a manifest must have its files" in ended.err


def test_a_manifest_that_is_no_table_is_refused(vesalius, tmp_path):
    (tmp_path / "m.csv").write_text("image,labels\ni,l\n")
    ended = vesalius("cohort", "run", tmp_path / "m.csv", "-o", tmp_path / "out")
    assert ended.code == 3
    assert "a manifest must have the columns subject, image and labels" in ended.err


def test_the_help_names_what_it_leaves_with(vesalius):
    told = " ".join(vesalius("cohort", "run", "--help").out.split())
    assert "measures only what is missing and writes the same bytes" in told
    assert "cohort" in vesalius("--help").out

"""Odd files and a bad day of the disk: what a cohort run makes of them."""
# SPDX-License-Identifier: Apache-2.0

import os
import resource
import shutil
import sqlite3

import pytest
from cohort_cases import Here, contents, quick_job, write_cohort, write_manifest, write_scan

from vesalius.errors import OutputError
from vesalius.study.cohort import _inputs as inputs
from vesalius.study.cohort import _state as state
from vesalius.study.cohort import read_manifest, run_cohort

FILES = ["scan0.nii.gz", "scan0_labels.nii.gz"]
HEADER = ["subject", "image", "labels"]


def run(manifest, out, **given):
    return run_cohort(read_manifest(manifest), out, job=quick_job(), runner=Here(), **given)


def odd(folder, image):
    """Give a manifest with one good case and one of an odd image."""
    write_scan(folder, "scan0", seed=0)
    return write_manifest(folder, HEADER, [["good", *FILES], ["odd", image, FILES[1]]])


def test_a_link_to_a_file_without_a_suffix_is_read_as_it_is_called(tmp_path):
    """As data bases of large files keep them: the link has the name, the content has none."""
    write_scan(tmp_path, "scan0", seed=0)
    (tmp_path / "store").mkdir()
    for k, name in enumerate(FILES):
        shutil.move(tmp_path / name, tmp_path / "store" / f"{k}f3a")
        (tmp_path / name).symlink_to(tmp_path / "store" / f"{k}f3a")
    done = run(write_manifest(tmp_path, HEADER, [["a", *FILES]]), tmp_path / "out")
    assert done.complete
    assert done.rows == 2


def test_a_link_to_a_header_keeps_the_samples_beside_it(tmp_path):
    from vesalius import io

    write_scan(tmp_path, "scan0", seed=0)
    (tmp_path / "far").mkdir()
    for name in FILES:
        path = tmp_path / name
        read = io.open_labels(path) if "labels" in name else io.open(path).read()
        io.save(read, tmp_path / name.replace("nii.gz", "mhd"))
    moved = [name.replace("nii.gz", "mhd") for name in FILES]
    for name in moved:
        shutil.move(tmp_path / name, tmp_path / "far" / name)
        (tmp_path / name).symlink_to(tmp_path / "far" / name)
    assert run(write_manifest(tmp_path, HEADER, [["a", *moved]]), tmp_path / "out").complete


@pytest.mark.parametrize(
    ("image", "told"),
    [
        ("x" * 300 + ".nii.gz", "cannot be reached (File name too long)"),
        ("loop.nii.gz", "cannot be reached (Too many levels of symbolic links)"),
        ("pipe.nii.gz", "'pipe.nii.gz' is neither a file nor a folder"),
        ("/dev/zero", "'zero' is neither a file nor a folder"),
        ("scan0.nii.gz/inside.nii", "'inside.nii' is not there"),
    ],
)
def test_a_path_that_leads_nowhere_costs_its_case_alone(tmp_path, image, told):
    (tmp_path / "loop.nii.gz").symlink_to(tmp_path / "loop.nii.gz")
    os.mkfifo(tmp_path / "pipe.nii.gz")
    done = run(odd(tmp_path, image), tmp_path / "out")
    ((name, cause, _),) = done.failures
    assert name == "odd"
    assert told in cause
    assert done.rows == 2


def test_a_file_that_many_rows_name_is_read_once(tmp_path, monkeypatch):
    write_scan(tmp_path, "scan0", seed=0)
    rows = [[f"s{k}", *FILES] for k in range(60)]
    read = []
    plain = inputs.hash_path

    def counted(path):
        read.append(path.name)
        return plain(path)

    monkeypatch.setattr(inputs, "hash_path", counted)
    done = run(write_manifest(tmp_path, HEADER, rows), tmp_path / "out")
    assert done.complete
    assert done.rows == 120
    assert len(read) <= 4  # two threads may both begin


def test_a_file_that_changes_is_hashed_again(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"one")
    hashed = inputs.hashed_once()
    first = hashed(path)
    path.write_bytes(b"other")
    assert hashed(path) == inputs.hash_path(path) != first
    path.unlink()
    with pytest.raises(OSError, match="No such file"):
        hashed(path)


def test_a_number_as_subject_is_called_as_it_is_written(tmp_path):
    rows = [["1.1", *FILES], ["2", *FILES], ["12345678901", *FILES], ["0.1", *FILES]]
    found = read_manifest(write_manifest(tmp_path, HEADER, rows))
    assert [case.name for case in found.cases] == ["1.1", "2", "12345678901", "0.1"]


def test_a_locked_history_costs_no_case(tmp_path, monkeypatch):
    monkeypatch.setattr(state, "WAIT_S", 0.1)
    manifest, out, held = write_cohort(tmp_path, 2), tmp_path / "out", []

    def lock(step):
        if not held and (out / state.FILE).exists():
            held.append(sqlite3.connect(out / state.FILE, timeout=0.1))
            held[0].execute("BEGIN IMMEDIATE")

    done = run(manifest, out, on_step=lock)
    held[0].close()
    assert done.complete
    assert any("history of the run is not whole (database is locked)" in r for r in done.remarks)
    monkeypatch.undo()
    assert contents(out) == contents_of_another(manifest, tmp_path)


def contents_of_another(manifest, tmp_path):
    done = run(manifest, tmp_path / "calm")
    assert not done.remarks
    return contents(tmp_path / "calm")


def test_a_history_that_is_locked_from_the_start_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(state, "WAIT_S", 0.1)
    manifest, out = write_cohort(tmp_path, 1), tmp_path / "out"
    run(manifest, out)
    found = state.State(out)
    base = sqlite3.connect(out / state.FILE, timeout=0.1)
    base.execute("BEGIN IMMEDIATE")
    with pytest.raises(OutputError, match=r"state.sqlite must be writable .*database is locked"):
        found.begin(["a"], 1)
    base.close()
    found.close()


@pytest.mark.parametrize("most", [0, 100, 9000, 50_000])
def test_a_full_disk_is_told_and_the_next_run_gives_the_same_tables(tmp_path, most):
    manifest, out = write_cohort(tmp_path, 1), tmp_path / "out"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, hard))
    try:
        if most < 20_000:
            with pytest.raises(OutputError, match="must be writable"):
                run(manifest, out)
        else:
            assert run(manifest, out).rows == 2
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not list(out.rglob("*.tmp"))
    assert run(manifest, out).complete
    assert contents(out) == contents_of_another(manifest, tmp_path)

"""``vesalius measure`` as a user meets it: what is written, what is said, how it ends."""

import csv
import json
import os
import signal
import subprocess
import sys
import time

import pytest
import torch

from vesalius import io
from vesalius.core import Grid, Image, Labels

FILES = {
    "features.csv",
    "features.parquet",
    "provenance.json",
    "report.html",
    "report.json",
    "figures/overview.png",
    "figures/histograms.png",
}


def contents(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_writes_every_file_and_ends_well(vesalius, disk):
    ended = vesalius(*disk.words)
    assert ended.code == 0
    written = {name for name in contents(disk.out) if not name.startswith(".vesalius")}
    assert written == FILES
    assert "report:" in ended.out
    assert "[0/2] left" in ended.err or "[0/2] label 3" in ended.err


def test_the_table_holds_what_the_library_measures(vesalius, disk):
    from vesalius import measure

    assert vesalius(*disk.words, "-q").code == 0
    with (disk.out / "features.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    table = measure.extract(
        io.open(disk.image).read(),
        io.open_labels(disk.labels),
        config=measure.load_config(disk.config),
    ).table
    assert [float(row["value"]) if row["value"] else None for row in rows] == [
        None if v != v else v for v in table["value"].tolist()
    ]


def test_maps_are_written_and_an_unknown_one_is_refused_with_the_nearest(vesalius, disk):
    disk.config.write_text("features: {families: [statistics]}\nmaps: {features: [stat_mean]}")
    assert vesalius(*disk.words, "-q").code == 0
    (name, other) = sorted(path.name for path in (disk.out / "maps").iterdir())
    assert name.endswith("_stat_mean.nii.gz")
    assert other.endswith("_stat_mean.nii.gz")
    assert io.open(disk.out / "maps" / name).read().data.isfinite().any()
    disk.config.write_text("maps: {features: [stat_maen]}")
    ended = vesalius(*disk.words, "-q")
    assert ended.code == 3
    assert "did you mean 'stat_mean'" in ended.err


def test_two_runs_write_the_same_bytes(vesalius, disk, tmp_path):
    words = [*disk.words, "--uncertainty", "-q"]
    assert vesalius(*words).code == 0
    words[words.index(str(disk.out))] = str(tmp_path / "again")
    assert vesalius(*words).code == 0
    assert contents(disk.out) == contents(tmp_path / "again")


def test_no_place_user_or_host_is_written(vesalius, disk):
    assert vesalius(*disk.words, "-q").code == 0
    import getpass
    import socket

    for name, content in contents(disk.out).items():
        if name.endswith((".html", ".json", ".csv")):
            text = content.decode()
            assert str(disk.out.parent) not in text, name
            assert socket.gethostname() not in text or len(socket.gethostname()) < 4, name
            assert f"/{getpass.getuser()}/" not in text, name


def test_a_killed_run_is_taken_up_again_and_gives_the_same_bytes(vesalius, disk, tmp_path):
    whole = tmp_path / "whole"
    words = [*disk.words, "--progress", "json"]
    words[words.index(str(disk.out))] = str(whole)
    assert vesalius(*words).code == 0
    process = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "from vesalius.cli import main; main()",
            *disk.words,
            "--progress",
            "json",
        ],
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    for line in process.stderr:
        if json.loads(line)["done"] >= 1:
            break
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    left = contents(disk.out)
    assert len([name for name in left if name.endswith(".json")]) >= 1
    kept = {name: (disk.out / name).stat().st_mtime_ns for name in left if ".tmp" not in name}
    time.sleep(0.01)
    assert vesalius(*disk.words, "-q").code == 0
    assert {k: v for k, v in contents(disk.out).items() if ".tmp" not in k} == contents(whole)
    first = next(name for name in kept if name.startswith(".vesalius"))
    assert (disk.out / first).stat().st_mtime_ns == kept[first]


def test_a_damaged_journal_entry_is_measured_again(vesalius, disk):
    assert vesalius(*disk.words, "-q").code == 0
    before = contents(disk.out)
    for path in (disk.out / ".vesalius").glob("*.json"):
        path.write_bytes(path.read_bytes()[:-40])
    assert vesalius(*disk.words, "-q").code == 0
    assert contents(disk.out) == before


def test_only_the_labels_asked_for_are_measured(vesalius, disk):
    assert vesalius(*disk.words, "--label", "5", "-q").code == 0
    with (disk.out / "features.csv").open(newline="") as file:
        assert len({row["label"] for row in csv.DictReader(file)}) == 1


def test_a_subject_is_written_and_cannot_act_as_a_formula(vesalius, disk):
    assert vesalius(*disk.words, "--subject", "=cmd<b>", "-q").code == 0
    with (disk.out / "features.csv").open(newline="") as file:
        assert {row["subject"] for row in csv.DictReader(file)} == {"'=cmd<b>"}
    html = (disk.out / "report.html").read_text()
    assert "=cmd&lt;b&gt;" in html
    assert "=cmd<b>" not in html


def test_json_progress_is_one_object_a_line_on_stderr(vesalius, disk):
    ended = vesalius(*disk.words, "--progress", "json")
    steps = [json.loads(line) for line in ended.err.splitlines()]
    assert [(step["done"], step["total"]) for step in steps] == [(0, 2), (1, 2), (2, 2)]


def test_quiet_says_nothing(vesalius, disk):
    ended = vesalius(*disk.words, "-q")
    assert (ended.out, ended.err) == ("", "")


def test_dry_run_lists_regions_and_writes_nothing(vesalius, disk):
    ended = vesalius(*disk.words, "--dry-run")
    assert ended.code == 0
    assert "180 voxels  360 mm^3" in ended.out
    assert not disk.out.exists()


def test_an_unknown_option_ends_with_2(vesalius, disk):
    assert vesalius(*disk.words, "--no-such-option").code == 2


def test_labels_that_are_no_numbers_end_with_2(vesalius, disk):
    ended = vesalius(*disk.words, "--label", "3,liver")
    assert ended.code == 2
    assert "must be whole numbers" in ended.err


def test_a_missing_file_is_refused_with_3(vesalius, disk):
    ended = vesalius("measure", disk.image.with_name("no.nii"), disk.labels, "-o", disk.out)
    assert ended.code == 3
    assert "must exist" in ended.err


def test_an_absent_label_is_refused_with_3_and_the_report_says_so(vesalius, disk):
    ended = vesalius(*disk.words, "--label", "9")
    assert ended.code == 3
    assert "label 9 must occur" in ended.err
    assert "labels there: 3, 5" in ended.err
    assert "label 9 must occur" in (disk.out / "report.html").read_text()
    assert json.loads((disk.out / "report.json").read_text())["errors"]


def table_of(disk):
    with (disk.out / "features.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def shifted(disk):
    labels = io.open_labels(disk.labels)
    affine = labels.grid.affine.clone()
    affine[0, 3] += 4.0
    io.save(Labels(labels.data, Grid(labels.grid.shape, affine)), disk.labels)


def test_grids_that_differ_are_refused_with_mm_and_the_option(vesalius, disk):
    shifted(disk)
    ended = vesalius(*disk.words)
    assert ended.code == 3
    assert "origin differs by 4 mm" in ended.err
    assert "--on-mismatch resample" in ended.err


def test_grids_that_differ_are_resampled_when_asked_and_the_report_says_so(vesalius, disk):
    shifted(disk)
    assert vesalius(*disk.words, "--on-mismatch", "resample", "-q").code == 0
    found = json.loads((disk.out / "report.json").read_text())["findings"]
    assert any("resampled" in text and "4 mm" in text for text in found)


def moved(grid, what):
    affine = grid.affine.clone()
    if what == "spacing":
        affine[:3, 0] *= 1.25
    elif what == "origin":
        affine[1, 3] += 3.0
    else:
        affine[:3, :3] = affine[:3, [0, 2, 1]]
    return Grid(grid.shape, affine)


@pytest.mark.parametrize(
    ("what", "told"),
    [
        ("size", "size differs"),
        ("spacing", "spacing differs by up to 0.5 mm"),
        ("origin", "origin differs by 3 mm"),
        ("direction", "direction"),
    ],
)
def test_whatever_differs_between_grids_is_named_with_its_amount(vesalius, disk, what, told):
    labels = io.open_labels(disk.labels)
    other = labels.crop((0, 0, 0), (11, 16, 20)) if what == "size" else labels
    grid = other.grid if what == "size" else moved(labels.grid, what)
    io.save(Labels(other.data, grid), disk.labels)
    ended = vesalius(*disk.words)
    assert ended.code == 3
    assert told in ended.err
    assert "--on-mismatch resample" in ended.err
    assert not (disk.out / "features.csv").exists()


def test_a_region_of_one_voxel_gives_numbers_reasons_and_a_warning(vesalius, disk):
    labels = io.open_labels(disk.labels)
    data = torch.zeros_like(labels.data)
    data[0, 5, 6, 7] = 1
    io.save(Labels(data, labels.grid), disk.labels)
    disk.config.write_text("discretise: {bin_count: 8}")
    assert vesalius(*disk.words, "-q").code == 0
    report = json.loads((disk.out / "report.json").read_text())
    assert any("only 1 voxel;" in text for text in report["findings"])
    for row in table_of(disk):
        assert row["value"] or row["reason"], row["feature"]


def test_a_region_at_the_border_is_measured_with_a_warning(vesalius, disk):
    labels = io.open_labels(disk.labels)
    data = torch.zeros_like(labels.data)
    data[0, 0:5, 0:8, 4:12] = 1
    io.save(Labels(data, labels.grid), disk.labels)
    assert vesalius(*disk.words, "-q").code == 0
    report = json.loads((disk.out / "report.json").read_text())
    assert any("touches the border of the image along" in text for text in report["findings"])


def test_infinity_in_one_region_ends_with_4_and_the_other_is_written(vesalius, disk):
    image = io.open(disk.image).read()
    image.data[0, 5, 6, 5] = float("inf")
    io.save(image, disk.image)
    ended = vesalius(*disk.words, "-q")
    assert ended.code == 4
    assert "NaN or infinite" in ended.err
    assert len({row["label"] for row in table_of(disk)}) == 1


@pytest.mark.parametrize("bins", ["bin_count: 8", "{method: bin_width, bin_width: 25}"])
def test_a_constant_region_gives_numbers_or_reasons(vesalius, disk, bins):
    image = io.open(disk.image).read()
    io.save(image.map(lambda x: torch.full_like(x, 7.0)), disk.image)
    disk.config.write_text("discretise: " + (bins if bins[0] == "{" else "{" + bins + "}"))
    assert vesalius(*disk.words, "-q").code == 0
    rows = table_of(disk)
    assert {row["value"] for row in rows if row["feature"] == "stat_mean"} == {"7.0"}
    assert all(row["value"] or row["reason"] for row in rows)


def test_integers_near_their_limits_do_not_overflow(vesalius, disk):
    image = io.open(disk.image).read()
    big = image.map(lambda x: torch.where(x > 50, 32767, -32768).to(torch.int16))
    io.save(big, disk.image)
    disk.config.write_text(
        "features: {families: [statistics]}\ndiscretise: {method: bin_count, bin_count: 8}"
    )
    assert vesalius(*disk.words, "-q").code == 0
    marks = io.open_labels(disk.labels).data[0]
    energies = [float(r["value"]) for r in table_of(disk) if r["feature"] == "stat_energy"]
    known = [float((big.data[0][marks == value].double() ** 2).sum()) for value in (3, 5)]
    assert energies == pytest.approx(known)


def test_a_flat_image_has_reasons_for_what_needs_three_dimensions(vesalius, disk):
    image, labels = io.open(disk.image).read(), io.open_labels(disk.labels)
    io.save(image.crop((5, 0, 0), (1, 16, 20)), disk.image)
    io.save(labels.crop((5, 0, 0), (1, 16, 20)), disk.labels)
    disk.config.write_text("discretise: {bin_count: 8}")
    assert vesalius(*disk.words, "-q").code == 0
    assert all(row["value"] or row["reason"] for row in table_of(disk))
    report = json.loads((disk.out / "report.json").read_text())
    assert any("one slice" in text for text in report["findings"])


def test_names_of_labels_come_from_a_file(vesalius, disk):
    path = disk.image.with_name("names.csv")
    path.write_text("value,name\n3,heart\n5,lower lobe\n")
    assert vesalius(*disk.words, "--names", path, "-q").code == 0
    assert {row["label"] for row in table_of(disk)} == {"heart", "lower lobe"}


def test_empty_labels_are_refused_with_3(vesalius, disk):
    labels = io.open_labels(disk.labels)
    io.save(Labels(torch.zeros_like(labels.data), labels.grid), disk.labels)
    ended = vesalius(*disk.words)
    assert ended.code == 3
    assert "labels must hold at least one region" in ended.err


def test_a_refusal_leaves_the_results_of_an_earlier_run_alone(vesalius, disk):
    assert vesalius(*disk.words, "-q").code == 0
    before = (disk.out / "report.html").read_bytes()
    assert vesalius(*disk.words, "--label", "99", "-q").code == 3
    assert (disk.out / "report.html").read_bytes() == before
    assert "in this folder are of an earlier run" in (disk.out / "failure.html").read_text()


def test_nan_in_one_region_ends_with_4_and_the_other_is_written(vesalius, disk):
    image = io.open(disk.image).read()
    image.data[0, 5, 6, 5] = float("nan")
    io.save(image, disk.image)
    ended = vesalius(*disk.words, "-q")
    assert ended.code == 4
    assert "NaN" in ended.err
    report = json.loads((disk.out / "report.json").read_text())
    assert len(report["errors"]) == 1
    assert len(report["key_numbers"]) == 1
    html = (disk.out / "report.html").read_text()
    assert html.index("What went wrong") < html.index("Key numbers")


def test_one_slice_is_measured_and_the_report_warns(vesalius, disk):
    image, labels = io.open(disk.image).read(), io.open_labels(disk.labels)
    io.save(image.crop((5, 0, 0), (1, 16, 20)), disk.image)
    io.save(labels.crop((5, 0, 0), (1, 16, 20)), disk.labels)
    assert vesalius(*disk.words, "-q").code in (0, 4)
    assert (disk.out / "report.html").exists()


def test_several_channels_are_refused_with_3(vesalius, disk):
    image = io.open(disk.image).read()
    two = Image(torch.cat([image.data, image.data]), image.grid, channels=("a", "b"))
    path = disk.image.with_name("two.nii.gz")
    io.save(two, path)
    ended = vesalius("measure", path, disk.labels, "-o", disk.out)
    assert ended.code == 3


def test_a_folder_that_cannot_be_made_is_refused_with_3(vesalius, disk):
    disk.out.write_text("a file stands here")
    ended = vesalius(*disk.words)
    assert ended.code == 3
    assert "output folder must be writable" in ended.err


def test_an_unknown_config_key_is_refused_with_the_nearest(vesalius, disk):
    disk.config.write_text("discretize: {bin_width: 5}")
    ended = vesalius(*disk.words)
    assert ended.code == 3
    assert "did you mean 'discretise'" in ended.err


def test_a_full_disk_ends_with_a_typed_message(disk):
    code = (
        "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "from vesalius.cli import main; import vesalius.study, vesalius.measure;"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000)); main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *disk.words, "-q"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 3
    assert "must be writable, the system says" in done.stderr
    assert not list(disk.out.rglob("*.tmp"))

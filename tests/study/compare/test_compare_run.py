"""Comparison as a run: pairing of files, tables, page, and what goes wrong."""

import csv
import json

import pytest
import torch

from vesalius import io
from vesalius.core import Grid, Labels
from vesalius.errors import ConfigError, FormatError, GeometryError
from vesalius.study.compare import Job, find_cases, run_compare
from vesalius.study.compare._run import csv_of
from vesalius.study.compare._tell import number

GRID = Grid.from_spacing((4, 16, 18), (2.0, 1.0, 1.0))


def case(shift=0, *, grid=GRID, name="liver"):
    data = torch.zeros(1, *grid.shape, dtype=torch.uint8)
    data[0, 1:3, 3:9, 2 + shift : 9 + shift] = 1
    data[0, 1:3, 11:14, 3:9] = 2
    return Labels(data, grid, {(0, 1): name, (0, 2): "spleen"})


@pytest.fixture
def folders(tmp_path):
    """Three cases: a good run, a bad run, the truth."""
    for run, shifts in (("good", (0, 1, 1)), ("bad", (2, 3, 4)), ("truth", (0, 0, 0))):
        (tmp_path / run).mkdir()
        for k, shift in enumerate(shifts):
            io.save(case(shift), tmp_path / run / f"case{k}.nii.gz")
    return tmp_path


def read_csv(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_one_case_gives_tables_and_a_page(folders):
    out = folders / "out"
    done = run_compare(
        folders / "good" / "case1.nii.gz", folders / "truth" / "case0.nii.gz", out, job=Job()
    )
    assert done.table[0][:2] == ("Label", "Dice")
    assert done.table[-1][0] == "mean of labels"
    rows = read_csv(out / "compare.csv")
    assert [r["value"] for r in rows] == ["1", "2"]
    assert float(rows[0]["dice"]) == pytest.approx(6 / 7)
    assert float(rows[0]["hd95_mm"]) == 1
    body = json.loads((out / "compare.json").read_text())
    assert body["cases"]["case0"]["labels"][0]["dice"] == float(rows[0]["dice"])
    assert body["provenance"]
    page = (out / "report.html").read_text()
    assert "Labels against the truth" in page
    assert "Where they differ" in page
    assert "script" not in page
    assert {p.name for p in out.iterdir()} == {
        "compare.csv",
        "compare.json",
        "summary.csv",
        "report.html",
    }


def test_a_cohort_has_intervals_and_a_contest(folders):
    out, steps = folders / "out", []
    done = run_compare(
        folders / "good",
        folders / "truth",
        out,
        job=Job(detailed=True),
        against=folders / "bad",
        on_step=steps.append,
    )
    assert set(done.cases) == {"case0", "case1", "case2"}
    assert [s.done for s in steps] == [1, 2, 3, 1, 2, 3]
    liver = {r["score"]: r for r in read_csv(out / "summary.csv") if r["label"] == "liver"}
    assert float(liver["dice"]["low"]) <= float(liver["dice"]["mean"]) <= 1
    contests = read_csv(out / "contest.csv")
    assert all(float(r["mean"]) > 0 for r in contests if r["score"] == "dice" and r["wins"] == "3")
    assert len(done.contests) > 0
    page = (out / "report.html").read_text()
    assert "Against the other run" in page
    assert "With 3 cases the intervals are too narrow." in page
    assert "boundary" in page.lower()


def test_files_of_an_earlier_contest_do_not_stay(folders):
    out = folders / "out"
    job = Job()
    run_compare(folders / "good", folders / "truth", out, job=job, against=folders / "bad")
    assert (out / "contest.csv").exists()
    run_compare(folders / "good", folders / "truth", out, job=job)
    assert not (out / "contest.csv").exists()


def test_nothing_is_written_without_a_folder(folders):
    before = sorted(folders.rglob("*"))
    done = run_compare(folders / "good", folders / "truth", None, job=Job())
    assert done.report is None
    assert sorted(folders.rglob("*")) == before


def test_objects_are_told_by_threshold(folders):
    out = folders / "out"
    pred, truth = folders / "good" / "case1.nii.gz", folders / "truth" / "case1.nii.gz"
    done = run_compare(pred, truth, out, job=Job(objects=True))
    assert done.table[1][0] == "0.5"
    assert len(read_csv(out / "compare.csv")) == 10
    assert "average precision" in (out / "report.html").read_text()
    both = run_compare(folders / "good", folders / "truth", out, job=Job(objects=True))
    assert both.table[0][1] == "AP@0.5"


def test_a_missing_prediction_is_said_and_a_refused_case_does_not_stop_the_others(folders):
    (folders / "good" / "case2.nii.gz").unlink()
    moved = Grid.from_spacing(GRID.shape, (2.0, 1.0, 1.0), origin_mm=(5.0, 0.0, 0.0))
    io.save(case(0, grid=moved), folders / "good" / "case0.nii.gz")
    io.save(case(0), folders / "good" / "extra.nii.gz")
    done = run_compare(folders / "good", folders / "truth", folders / "out", job=Job())
    assert set(done.cases) == {"case1"}
    assert "case0: prediction and truth must lie on one grid" in done.errors[0]
    assert "1 of 3 true cases have no prediction" in done.remarks[0]
    assert "1 predictions have no truth: extra" in done.remarks[1]
    page = (folders / "out" / "report.html").read_text()
    assert "origin differs by 5 mm" in page


def test_a_lost_label_is_a_finding_of_the_page(folders):
    data = case().data.clone()
    data[data == 2] = 0
    io.save(Labels(data, GRID), folders / "good" / "case0.nii.gz")
    run_compare(folders / "good", folders / "truth", folders / "out", job=Job())
    assert "in 1 of 3 cases it is in the prediction or" in (
        folders / "out" / "report.html"
    ).read_text().replace("\n", " ")


def test_pictures_without_spacing_take_that_of_the_user(tmp_path):
    from PIL import Image as Picture

    plane = case().data[0, 1].numpy()
    for name in ("pred", "truth"):
        Picture.fromarray(plane).save(tmp_path / f"{name}.png")
    pair = tmp_path / "pred.png", tmp_path / "truth.png"
    (scores,) = run_compare(*pair, None, job=Job()).cases.values()
    assert scores.labels[0].truth_mm3 == 42
    done = run_compare(*pair, None, job=Job())
    assert "have no spacing, 1 mm was assumed" in done.remarks[0]
    fine = run_compare(*pair, None, job=Job(spacing_mm=(1.0, 0.5, 0.5)))
    (scores,) = fine.cases.values()
    assert scores.labels[0].truth_mm3 == 42 / 4
    assert fine.remarks == ()


def test_a_spacing_that_a_file_holds_is_not_replaced(folders):
    pair = folders / "good" / "case0.nii.gz", folders / "truth" / "case0.nii.gz"
    (scores,) = run_compare(*pair, None, job=Job(spacing_mm=(9.0, 9.0, 9.0))).cases.values()
    assert scores.labels[0].truth_mm3 == 84 * 2


def test_a_refused_input_leaves_a_page_that_says_so(folders):
    (folders / "empty").mkdir()
    with pytest.raises(FormatError, match="files of the same names to be compared, none agree"):
        run_compare(folders / "empty", folders / "truth", folders / "out", job=Job())
    page = (folders / "out" / "report.html").read_text()
    assert "Nothing was compared" in page
    assert not (folders / "out" / "compare.csv").exists()


def test_refuses_what_does_not_pair(folders):
    with pytest.raises(FormatError, match="two files or two folders of equally named files"):
        find_cases(folders / "good", folders / "truth" / "case0.nii.gz")
    io.save(case(), folders / "good" / "case0.nrrd")
    with pytest.raises(FormatError, match="a folder must hold one file for each case"):
        find_cases(folders / "good", folders / "truth")


def test_refuses_a_run_in_which_no_case_fits(folders):
    moved = Grid.from_spacing(GRID.shape, (2.0, 1.0, 1.5))
    io.save(case(0, grid=moved), folders / "moved.nii.gz")
    pair = folders / "moved.nii.gz", folders / "truth" / "case0.nii.gz"
    with pytest.raises(FormatError, match="at least one case must be fit to be scored, none is"):
        run_compare(*pair, None, job=Job())


@pytest.mark.parametrize("wrong", [{"tau_mm": 0.0}, {"rim_mm": -1.0}, {"spacing_mm": (1.0, 2.0)}])
def test_refuses_lengths_that_are_none(wrong):
    with pytest.raises(ConfigError, match="must be lengths above 0 mm"):
        Job(**wrong)


def test_a_name_cannot_act_as_a_formula(folders):
    from vesalius.measure.evaluate import compare

    text = csv_of({"=1+1": compare(case(name="=SUM(A1)"), case(name="=SUM(A1)"))})
    assert "'=1+1," in text
    assert "'=SUM(A1)" in text


@pytest.mark.parametrize(
    ("value", "score", "text"),
    [
        (float("nan"), "dice", "–"),
        (float("inf"), "hd95_mm", "∞"),
        (0.8767, "dice", "0.877"),
        (-0.0512, "volume_error", "−5.1 %"),
        (1.2345, "hd95_mm", "1.23"),
        (12345.6, "truth_mm3", "1.235e+04"),
        (7.0, "pred_objects", "7"),
    ],
)
def test_figures_are_written_for_people(value, score, text):
    assert number(value, score) == text


def test_the_resampling_that_an_error_names_brings_the_labels_together(folders):
    """The command of the message, as a call: ``vesalius convert --labels --like``."""
    from vesalius.cli import main

    coarse = Grid.from_spacing((4, 8, 9), (2.0, 2.0, 2.0), origin_mm=(0.5, 0.5, 0.0))
    data = case().data[:, :, ::2, ::2].contiguous()
    io.save(Labels(data, coarse), folders / "coarse.nii.gz")
    pair = folders / "coarse.nii.gz", folders / "truth" / "case0.nii.gz"
    with pytest.raises((FormatError, GeometryError), match="convert PRED OUT --labels --like"):
        run_compare(*pair, None, job=Job())
    words = ["convert", pair[0], folders / "fine.nii.gz", "--labels", "--like", pair[1], "-q"]
    with pytest.raises(SystemExit) as stop:
        main([str(w) for w in words])
    assert not stop.value.code
    done = run_compare(folders / "fine.nii.gz", pair[1], None, job=Job())
    assert next(iter(done.cases.values())).mean("dice") > 0.7


def test_the_folders_of_a_segmentation_of_many_images_are_its_predictions(folders):
    for k in range(3):
        made = folders / "many" / f"case{k}"
        made.mkdir(parents=True)
        (folders / "good" / f"case{k}.nii.gz").rename(made / "labels.nii.gz")
        (made / "segmentation.json").write_text("{}")
    (folders / "many" / "refused").mkdir()
    cases, remarks = find_cases(folders / "many", folders / "truth")
    assert [case.name for case in cases] == ["case0", "case1", "case2"]
    assert {case.pred.name for case in cases} == {"labels.nii.gz"}
    assert remarks == ()

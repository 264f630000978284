"""``vesalius segment``: labels, record and report for one image or many, and refusals in words."""

import csv
import json

import pytest
import torch
from segment_scenes import BLOCK, PLANE, corner, middle, scene, truth
from typer.testing import CliRunner

import vesalius
from vesalius.cli._main import app
from vesalius.core import Labels, hash_samples


@pytest.fixture
def files(tmp_path):
    vesalius.save(scene(PLANE), tmp_path / "plane.nii.gz")
    vesalius.save(scene(BLOCK), tmp_path / "block.nii.gz")
    return tmp_path


def run(*words):
    return CliRunner().invoke(app, ["segment", *map(str, words)])


def text(point):
    return ",".join(f"{x:.6g}" for x in point)


def overlap(path, grid):
    found = vesalius.io.open_labels(path).data[0] != 0
    wanted = truth(grid)
    return 2 * float((found & wanted).sum()) / float(found.sum() + wanted.sum())


def test_one_image_has_labels_a_record_and_a_report(files):
    done = run(files / "plane.nii.gz", "-o", files / "out", "--method", "otsu")
    assert done.exit_code == 0, done.output
    assert overlap(files / "out" / "labels.nii.gz", PLANE) > 0.97
    record = json.loads((files / "out" / "segmentation.json").read_text())
    assert 0.05 < record["values"]["threshold"] < 0.95
    assert record["provenance"]["parameters"]["method"] == "otsu"
    page = (files / "out" / "report.html").read_text()
    assert "Segmentation of plane" in page
    assert "The upright line is where the decision fell." in page
    assert "threshold" in done.output


def test_a_file_of_labels_alone_is_written_where_out_has_a_suffix(files):
    done = run(files / "plane.nii.gz", "-o", files / "only.nrrd", "-m", "otsu", "--quiet")
    assert done.exit_code == 0, done.output
    assert done.output == ""
    assert overlap(files / "only.nrrd", PLANE) > 0.97


def test_settings_and_seeds_reach_the_method(files):
    words = ("-m", "grow", f"--seed={text(middle(BLOCK))}", "-o", files / "out")
    done = run(files / "block.nii.gz", *words)
    assert done.exit_code == 0, done.output
    assert overlap(files / "out" / "labels.nii.gz", BLOCK) > 0.9
    done = run(files / "plane.nii.gz", "-m", "multi-otsu", "--set", "classes=3", "-o", files / "o")
    record = json.loads((files / "o" / "segmentation.json").read_text())
    assert record["provenance"]["parameters"]["settings"] == {"classes": "3"}


def test_a_mask_says_where_to_work(files):
    half = torch.zeros(1, *PLANE.shape, dtype=torch.uint8)
    half[..., :20] = 1
    vesalius.save(Labels(half, PLANE), files / "mask.nii.gz")
    words = ("-m", "otsu", "--mask", files / "mask.nii.gz", "-o", files / "labels.nii.gz")
    assert run(files / "plane.nii.gz", *words).exit_code == 0
    found = vesalius.io.open_labels(files / "labels.nii.gz").data
    assert int(found[..., 20:].sum()) == 0
    assert int(found[..., :20].sum()) > 0


def test_several_images_have_folders_and_one_that_fails_stops_no_other(files):
    broken = files / "broken.nii.gz"
    broken.write_bytes(b"not an image")
    done = run(files / "plane.nii.gz", broken, "-o", files / "out", "-m", "otsu")
    assert done.exit_code == 4
    assert "error: broken.nii.gz" in done.output
    rows = list(csv.DictReader((files / "out" / "summary.csv").open()))
    assert [row["image"] for row in rows] == ["plane.nii.gz", "broken.nii.gz"]
    assert rows[0]["error"] == ""
    assert rows[1]["error"] != ""
    assert (files / "out" / "plane" / "labels.nii.gz").exists()
    assert "1 of 2 images" in done.output


def test_the_methods_are_listed_with_settings_and_defaults():
    done = run("methods")
    assert done.exit_code == 0
    assert "otsu" in done.output
    one = run("methods", "multi-otsu").output
    assert "classes=" in one
    assert run("methods", "magic").exit_code != 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("-m", "otsu", "--model", "nuclei"), "either a method or a model"),
        ((), "either a method or a model"),
        (("-m", "magic"), "a method must be one of"),
        (("-m", "otsu", "--set", "colour=red"), "Otsu has the settings"),
        (("-m", "grow"), "seed"),
        (("-m", "otsu", "--channel", "3"), "the channel must be below 1"),
    ],
)
def test_what_cannot_be_done_is_refused_in_words(files, words, said):
    done = CliRunner().invoke(
        app, ["segment", str(files / "plane.nii.gz"), "-o", str(files / "out"), *words]
    )
    assert done.exit_code != 0
    assert said in (done.output + str(done.exception))


@pytest.mark.parametrize(
    "words",
    [
        ("-m", "otsu", "--seed", "1,2"),
        ("-m", "otsu", "--set", "classes"),
        ("-m", "otsu", "--diameter", "9um"),
        ("-m", "otsu", "--uncertainty"),
    ],
)
def test_a_wrong_command_leaves_with_2(files, words):
    assert run(files / "plane.nii.gz", "-o", files / "out", *words).exit_code == 2


def test_a_refused_image_leaves_a_report_that_says_why(files):
    image = scene(PLANE)
    image.data[0, 0, 1, 1] = float("inf")
    vesalius.save(image, files / "bad.nii.gz")
    done = run(files / "bad.nii.gz", "-o", files / "out", "-m", "otsu")
    assert done.exit_code != 0
    assert "NaN or infinite" in (files / "out" / "report.html").read_text()
    assert not (files / "out" / "labels.nii.gz").exists()


def test_two_images_of_one_name_and_hints_for_many_are_refused(files):
    from vesalius.errors import ConfigError
    from vesalius.study.segment import HintFiles, Job, run_segment

    pair = (files / "plane.nii.gz", files / "block.nii.gz")
    with pytest.raises(ConfigError, match="images must have different names, plane occurs twice"):
        run_segment((pair[0], pair[0]), Job("otsu"), files / "out")
    with pytest.raises(ConfigError, match="seeds, marks and masks belong to one image"):
        run_segment(pair, Job("grow"), files / "out", hints=HintFiles((corner(PLANE),)))
    with pytest.raises(ConfigError, match="at least one image must be given"):
        run_segment((), Job("otsu"), files / "out")


def test_a_series_is_refused_with_what_to_do(files):
    from vesalius.core import Series
    from vesalius.errors import FormatError
    from vesalius.study.segment import Job, run_segment

    image = scene(PLANE)
    series = Series(torch.stack([image.data, image.data]), PLANE, (0.0, 1.0))
    vesalius.save(series, files / "series.nii.gz")
    with pytest.raises(FormatError, match="must hold one image, it holds 2 frames"):
        run_segment((files / "series.nii.gz",), Job("otsu"), files / "out")


def test_a_folder_that_cannot_be_written_is_refused(files):
    from vesalius.errors import OutputError
    from vesalius.study.segment import Job, run_segment

    (files / "taken").write_text("a file")
    with pytest.raises(OutputError, match="the folder 'taken' must be writable"):
        run_segment((files / "plane.nii.gz",), Job("otsu"), files / "taken")


def test_colour_images_give_up_one_channel(files):
    image = scene(PLANE)
    from vesalius.core import Image

    three = Image(torch.cat([image.data * 0, image.data, image.data * 0]), PLANE)
    vesalius.save(three, files / "three.nii.gz")
    done = run(files / "three.nii.gz", "-o", files / "l.nii.gz", "-m", "otsu", "--channel", 1)
    assert done.exit_code == 0, done.output
    assert overlap(files / "l.nii.gz", PLANE) > 0.97


def test_the_record_names_every_hint_by_its_content(files):
    half = torch.zeros(1, *PLANE.shape, dtype=torch.uint8)
    half[..., :30] = 1
    vesalius.save(Labels(half, PLANE), files / "mask.nii.gz")
    seed = text(middle(PLANE))
    words = ("-m", "grow", f"--seed={seed}", "--mask", files / "mask.nii.gz", "-o", files / "out")
    assert run(files / "plane.nii.gz", *words).exit_code == 0
    record = json.loads((files / "out" / "segmentation.json").read_text())["provenance"]
    assert set(record["inputs"]) == {"image", "mask"}
    assert record["inputs"]["mask"] == hash_samples(half, PLANE.affine)
    assert text(record["parameters"]["seeds_mm"][0]) == seed
    assert "outside_mm" not in record["parameters"]

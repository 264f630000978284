"""``vesalius train``: from a folder to a model that segments, with scores and a report."""

import json
from dataclasses import replace

import pytest
import torch
from made_cases import make_case, make_dataset
from typer.testing import CliRunner

from vesalius import io
from vesalius.cli._main import app
from vesalius.core import Image
from vesalius.errors import ConfigError, FormatError, OutputError, VesaliusError
from vesalius.segment._store import model_hash
from vesalius.segment.networks import evaluate_model, load_model, predict, read_dataset
from vesalius.study.train import Job, hold_out_names, run_evaluate, run_plan, run_train
from vesalius.study.train._run import _cases_hash, _file_hash, _worst

SMALL = ["--steps", "3", "--progress", "none"]


def call(*words):
    return CliRunner().invoke(app, ["train", *map(str, words)])


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A data set, and a model of three steps."""
    root = tmp_path_factory.mktemp("train")
    data = make_dataset(root / "data", cases=4, told=True)
    done = call("run", data, "-o", root / "model", "--hold-out", "1", "--half", *SMALL)
    assert done.exit_code == 0, done.output
    return data, root / "model", done.output


def test_trains_writes_and_scores_a_model(trained):
    _, folder, said = trained
    names = {path.name for path in folder.iterdir()}
    assert names == {
        "fingerprint.json", "fold_0.json", "fold_0.safetensors", "model.json", "plan.json",
        "report.html", "scores.json",
    }  # fmt: skip
    assert "scored on                    1 held-out cases" in said
    page = (folder / "report.html").read_text()
    assert "Why the plan is as it is" in page
    assert "bright, truth" in page
    card = load_model(folder).card
    assert card.licence == "CC0-1.0"
    assert any(name.startswith("mean Dice bright") for name in card.metrics)


def test_the_model_segments(trained):
    _, folder, _ = trained
    image, _ = make_case(9)
    found = predict(load_model(folder), image)
    assert found.labels.grid.shape == image.grid.shape


def test_evaluates_a_model_on_any_cases(trained, tmp_path):
    data, folder, _ = trained
    done = call("evaluate", folder, data, "-o", tmp_path, "--only", "case_[01]", "-q")
    assert done.exit_code == 0, done.output
    told = json.loads((tmp_path / "scores.json").read_text())
    assert [case["case"] for case in told["cases"]] == ["case_0", "case_1"]
    assert told["score"] == pytest.approx(sum(c["score"] for c in told["cases"]) / 2)


def test_tells_faults_by_case_and_leaves_with_four(tmp_path):
    data = make_dataset(tmp_path / "d", cases=2)
    image, _ = make_case(0)
    io.save(Image(image.data * torch.nan, image.grid), data / "images" / "case_0.nii.gz")
    done = call("fingerprint", data, "-o", tmp_path / "f.json", "-q")
    assert done.exit_code == 4
    assert "fault: case 'case_0': an image must be finite" in done.output
    assert json.loads((tmp_path / "f.json").read_text())["faults"][0]["case"] == "case_0"
    with pytest.raises(FormatError, match=r"all cases must be sound .*1 is not"):
        run_train(data, Job(steps=1), tmp_path / "m")
    assert "No model was trained" in (tmp_path / "m" / "report.html").read_text()


def test_prints_a_plan_with_its_reasons(trained):
    data, _, _ = trained
    done = call("plan", data, *SMALL)
    assert done.exit_code == 0, done.output
    assert json.loads(done.output)["reasons"]["head"].startswith("classes")
    assert run_plan(data, Job(steps=3)).steps == 3


def test_holds_out_a_number_or_names_of_a_file(trained, tmp_path):
    data = read_dataset(trained[0])
    assert len(hold_out_names(data, "2")) == 2
    assert hold_out_names(data, "2") == hold_out_names(data, "2")
    assert hold_out_names(data, "") == ()
    (tmp_path / "names.txt").write_text("case_3\n\ncase_1\n")
    assert hold_out_names(data, str(tmp_path / "names.txt")) == ("case_1", "case_3")
    with pytest.raises(ConfigError, match=r"'absent.txt' cannot be read"):
        hold_out_names(data, str(tmp_path / "absent.txt"))
    with pytest.raises(ConfigError, match=r"4 of 4 are held out"):
        hold_out_names(data, "4")


def test_refuses_a_folder_that_is_a_file(trained, tmp_path):
    (tmp_path / "m").write_text("")
    with pytest.raises(OutputError, match=r"the folder 'm' must be writable"):
        run_evaluate(trained[1], trained[0], tmp_path / "m")


def test_refuses_to_score_where_nothing_is_known(trained, tmp_path):
    data = read_dataset(make_dataset(tmp_path, cases=0, unlabelled=1))
    with pytest.raises(ConfigError, match=r"must have labelled cases"):
        evaluate_model(load_model(trained[1]), data)


def test_the_record_of_a_training_hangs_on_the_content_of_its_files(trained, tmp_path):
    data, folder, _ = trained
    record = json.loads((folder / "scores.json").read_text())["provenance"]
    assert len(record["inputs"]["model"]) == 16
    again = make_dataset(tmp_path / "data", cases=4, told=True)
    told = [read_dataset(root) for root in (data, again)]
    assert _cases_hash(told[0]) == record["inputs"]["cases"]
    image, _ = make_case(0)
    io.save(image.map(lambda x: x + 1), again / "images" / "case_0.nii.gz")
    assert _cases_hash(told[1]) != record["inputs"]["cases"]


def test_the_files_of_a_folder_are_part_of_its_hash(tmp_path):
    (tmp_path / "series" / "a").mkdir(parents=True)
    (tmp_path / "series" / "a" / "1.dcm").write_bytes(b"one")
    before = _file_hash(tmp_path / "series")
    (tmp_path / "series" / "2.dcm").write_bytes(b"two")
    assert _file_hash(tmp_path / "series") != before


def test_a_model_is_named_by_its_content_and_its_record_tells_it(trained, tmp_path):
    _, folder, _ = trained
    image, _ = make_case(9)
    io.save(image, tmp_path / "image.nii.gz")
    done = CliRunner().invoke(
        app,
        ["segment", str(tmp_path / "image.nii.gz"), "--model", str(folder), "-o", str(tmp_path)],
    )
    assert done.exit_code == 0, done.output
    record = json.loads((tmp_path / "segmentation.json").read_text())["provenance"]
    model = load_model(folder)
    assert record["inputs"]["model"] == model_hash(model)
    other = replace(model, calibration={"temperature": 2.0})
    assert model_hash(other) != model_hash(model)


@pytest.mark.parametrize("text", ["{", "[1]", "nothing"])
def test_a_damaged_plan_is_not_gone_on_with(trained, tmp_path, text):
    data, _, _ = trained
    (tmp_path / "plan.json").write_text(text)
    (tmp_path / "fingerprint.json").write_text(text)
    with pytest.raises(FormatError, match=r"fingerprint.json must be as vesalius train wrote it"):
        run_train(data, Job(steps=1), tmp_path, resume=True)


def test_the_worst_cases_are_shown_as_their_own_network_sees_them(trained, tmp_path):
    data, folder, _ = trained
    dataset, model = read_dataset(data), load_model(folder)
    silent = load_model(folder).networks[0]
    for parameter in silent.parameters():
        parameter.data.zero_()
    silent.leave.bias.data[0] = 1.0  # background everywhere
    both = replace(model, networks=(*model.networks, silent))
    names = tuple(case.name for case in dataset.cases)
    found = evaluate_model(both, dataset)
    shown = _worst(both, dataset, found, [(0, names[:1]), (1, names[1:])])
    assert [name for name, *_ in shown] == [case.case for case in found.worst]
    silenced = {name: not bool(ours.data.any()) for name, _, ours, _ in shown}
    assert all(silenced[name] for name in names[1:])
    alone = predict(model, shown[[name for name, *_ in shown].index(names[0])][1])
    assert silenced[names[0]] == (not bool(alone.labels.data.any()))


def test_a_model_that_cannot_be_scored_is_kept_and_the_report_says_so(tmp_path):
    data = make_dataset(tmp_path / "data", cases=3)

    def spoil(step):
        if step.what.startswith("train: loss"):  # by then every case was read for the training
            (data / "images" / "case_0.nii.gz").write_bytes(b"no image")

    with pytest.raises(VesaliusError, match=r"case_0"):
        run_train(data, Job(steps=1), tmp_path / "m", on_step=spoil)
    assert len(load_model(tmp_path / "m").networks) == 1
    page = (tmp_path / "m" / "report.html").read_text()
    assert "not scored" in page
    assert "No model was trained" not in page
    with pytest.raises(ConfigError, match=r"it is finished \(vesalius train evaluate scores it\)"):
        run_train(data, Job(steps=1), tmp_path / "m", resume=True)

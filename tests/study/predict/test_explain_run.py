"""Explanations as a run and from the shell: tables, map and page."""

import numpy as np
import pytest
from explained_models import fitted
from pictured_cases import CONFIG, measured, model_of, picture
from typer.testing import CliRunner

from vesalius.cli._main import app
from vesalius.errors import ConfigError
from vesalius.io import open as open_file
from vesalius.io import save
from vesalius.io.tables import read_rows, write_csv
from vesalius.measure import dump_config
from vesalius.predict import frame_of
from vesalius.predict.estimators import Ridge
from vesalius.predict.models import save_model
from vesalius.study.predict import ExplainJob, Picture, run_explain

shell = CliRunner()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a model of two classes and a table of other cases."""
    found = tmp_path_factory.mktemp("explain")
    model, _, other, _ = fitted(Ridge())
    save_model(model, found / "model")
    write_csv(found / "other.csv", frame_of(other))
    write_csv(found / "new.csv", frame_of(other).drop(columns=["out"]))
    return found


@pytest.fixture(scope="module")
def pictured(tmp_path_factory):
    """A folder with a model of pictures, one of them, and their table."""
    found = tmp_path_factory.mktemp("pictured")
    table = measured()
    save_model(model_of(table, "stat_mean"), found / "model")
    write_csv(found / "table.csv", frame_of(table))
    image, labels = picture(40.0, seed=4)
    save(image, found / "image.nii.gz")
    save(labels, found / "labels.nii.gz")
    (found / "measure.yaml").write_text(dump_config(CONFIG))
    return found


def test_writes_tables_and_a_page(folder, tmp_path):
    done = run_explain(folder / "model", folder / "other.csv", tmp_path, ExplainJob("case090"))
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {
        "importance.csv",
        "partial_dependence.csv",
        "shapley.csv",
        "counterfactuals.csv",
        "provenance.json",
        "report.html",
    }
    assert done.report == tmp_path / "report.html"
    assert dict(done.headline)["cases"] == "90"
    first = read_rows(tmp_path / "importance.csv")
    assert first["features"][0] == "f00"
    page = (tmp_path / "report.html").read_text()
    assert "Case case090" in page
    assert "would have to change" in page


def test_the_shares_of_each_case_sum_to_its_prediction(folder, tmp_path):
    run_explain(folder / "model", folder / "other.csv", tmp_path, ExplainJob("case090"))
    frame = read_rows(tmp_path / "shapley.csv")
    adds = [name for name in frame.columns if str(name).startswith("adds ")]
    whole = frame["base"] + frame[adds].sum(axis=1)
    np.testing.assert_allclose(whole, frame["prediction"], atol=1e-9)
    assert "case090" in set(frame["case"])


def test_a_table_without_outcome_is_explained_without_importance(folder, tmp_path):
    done = run_explain(folder / "model", folder / "new.csv", tmp_path, ExplainJob())
    assert not (tmp_path / "importance.csv").exists()
    assert any("has no outcome" in text for text in done.remarks)
    assert len(read_rows(tmp_path / "partial_dependence.csv"))


def test_writes_the_map_of_a_picture(pictured, tmp_path):
    files = (pictured / "image.nii.gz", pictured / "labels.nii.gz", pictured / "measure.yaml")
    job = ExplainJob("c4", Picture(*files, pieces=12))
    done = run_explain(pictured / "model", pictured / "table.csv", tmp_path, job)
    drawn = open_file(tmp_path / "voxel_map.nii.gz").read()
    assert tuple(drawn.data.shape) == (1, 24, 24, 24)
    assert float(drawn.data[0, 3:9, 3:9, 3:9].nan_to_num().max()) > 0
    assert "which voxels move the prediction" in (tmp_path / "report.html").read_text()
    assert any("TRAINED ON 10 OF THESE 10" in text for text in done.remarks)


def test_an_unknown_case_leaves_a_page_that_says_so(folder, tmp_path):
    with pytest.raises(ConfigError, match="'nobody' is not; it has case090"):
        run_explain(folder / "model", folder / "other.csv", tmp_path, ExplainJob("nobody"))
    assert "nobody" in (tmp_path / "report.html").read_text()


def test_refuses_a_picture_of_nobody(tmp_path):
    with pytest.raises(ConfigError, match="a picture must be of a case"):
        ExplainJob(picture=Picture(tmp_path / "a.nii", tmp_path / "b.nii"))


def test_refuses_to_look_at_no_feature():
    with pytest.raises(ConfigError, match="at least one feature must be looked at, got 0"):
        ExplainJob(features=0)


class TestShell:
    def test_explains_from_the_shell(self, folder, tmp_path):
        words = [str(folder / "model"), str(folder / "other.csv"), "-o", str(tmp_path / "ex")]
        done = shell.invoke(app, ["predict", "explain", *words, "--case", "case091"])
        assert done.exit_code == 0, done.output
        assert "without f00" in done.output
        assert "report: " in done.output

    def test_is_the_same_twice(self, folder, tmp_path):
        words = [str(folder / "model"), str(folder / "other.csv"), "-q", "--case", "case091"]
        for name in ("a", "b"):
            done = shell.invoke(app, ["predict", "explain", *words, "-o", str(tmp_path / name)])
            assert done.exit_code == 0
        for path in (tmp_path / "a").iterdir():
            assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()

    def test_an_image_needs_its_labels(self, folder, tmp_path):
        words = [str(folder / "model"), str(folder / "other.csv"), "-o", str(tmp_path / "ex")]
        done = shell.invoke(app, ["predict", "explain", *words, "--image", "a.nii"])
        assert done.exit_code != 0
        assert "must come with its labels" in str(done.exception)

"""A view from file to page: pictures, groups, warnings, refusals."""

import json

import numpy as np
import pandas as pd
import pytest

from vesalius.core import Step
from vesalius.errors import ConfigError, RegionError
from vesalius.io.tables import read_rows
from vesalius.predict import Description
from vesalius.study.predict import Columns, ViewJob, run_view
from vesalius.study.predict._view_page import parted

ROLES = Description(outcome="sick", batch="scanner")


def frame(n=48, features=5):
    rng = np.random.default_rng(0)
    values = rng.normal(size=(n, features))
    values += 6.0 * (np.arange(n) % 2)[:, None]
    found = pd.DataFrame(values, columns=[f"f{k}" for k in range(features)])
    found.insert(0, "case", [f"p{k}" for k in range(n)])
    known = {"sick": np.arange(n) % 2, "scanner": np.where(np.arange(n) % 3, "GE", "<b>Siemens")}
    return found.assign(**known, age=rng.uniform(40, 80, n))


@pytest.fixture
def table(tmp_path):
    frame().to_csv(tmp_path / "t.csv", index=False)
    return tmp_path / "t.csv"


def job(**changed):
    return ViewJob(**({"columns": Columns(ROLES), "neighbours": 5} | changed))


def test_writes_pictures_coordinates_and_provenance(table, tmp_path):
    steps: list[Step] = []
    asked = job(methods=("pca", "lda"), colours=("age",))
    done = run_view(table, tmp_path / "out", asked, on_step=steps.append)
    rows = read_rows(tmp_path / "out" / "view.csv")
    assert list(rows.columns) == ["case", "PC1", "PC2", "LD1", "group"]
    assert rows["case"].tolist() == frame()["case"].tolist()
    assert rows["group"].nunique() == 2
    assert (rows["group"].groupby(np.arange(48) % 2).nunique() == 1).all()
    page = (tmp_path / "out" / "report.html").read_text()
    for words in ("Principal components, by sick", "by scanner", "by age", "by group"):
        assert words in page
    assert "<b>Siemens" not in page
    assert "even where features are noise" in page
    assert [one.done for one in steps] == [1, 2]
    assert json.loads((tmp_path / "out" / "provenance.json").read_text())["step"] == "view"
    assert dict(done.headline)["cases"] == "48 x 5 features"  # age colours, and is none
    assert dict(done.headline)["groups"] == "2"


def test_gives_the_same_bytes_twice(table, tmp_path):
    for name in ("a", "b"):
        run_view(table, tmp_path / name, job(methods=("pca", "laplacian")))
    first, second = ((tmp_path / name / "view.csv").read_bytes() for name in ("a", "b"))
    assert first == second


def test_without_a_role_the_points_have_one_colour(tmp_path):
    frame()[["f1", "f2", "f3"]].head(15).to_csv(tmp_path / "t.csv", index=False)
    done = run_view(tmp_path / "t.csv", tmp_path / "out", ViewJob(neighbours=5))
    assert dict(done.headline)["groups"] == "not sought"
    assert "Principal components<" in (tmp_path / "out" / "report.html").read_text()


def test_copies_are_told(table, tmp_path):
    twice = pd.concat([frame(), frame().head(2).assign(case=["x", "y"])])
    twice.to_csv(table, index=False)
    columns = Columns(ROLES, leave_out=("age",))
    done = run_view(table, tmp_path / "out", job(columns=columns))
    assert any("2 cases lie exactly on another" in remark for remark in done.remarks)


def test_a_refusal_stands_on_the_page(table, tmp_path):
    with pytest.raises(RegionError, match="take fewer"):
        run_view(table, tmp_path / "out", job(neighbours=40))
    assert "No view was made" in (tmp_path / "out" / "report.html").read_text()


def test_refuses_a_colour_that_is_not_there(table, tmp_path):
    with pytest.raises(ConfigError, match="must have the column 'stage'"):
        run_view(table, tmp_path / "out", job(colours=("stage",)))


@pytest.mark.parametrize("methods", [(), ("pca", "pca")])
def test_refuses_no_method_or_one_twice(methods):
    with pytest.raises(ConfigError, match="one method or several that differ"):
        ViewJob(methods=methods)


def test_numbers_are_parted_in_thirds_and_gaps_come_last():
    found = parted([*np.arange(30.0), float("nan")])
    assert [int(rows.sum()) for _, rows in found] == [10, 10, 10, 1]
    assert [name for name, _ in found][-1] == "missing"
    assert [name for name, _ in parted([2, 10, 1, None, "a"])] == ["1", "2", "10", "a", "missing"]

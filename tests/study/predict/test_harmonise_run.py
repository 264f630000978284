"""A table harmonised from file to file: tables, note, step, page, refusals."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from vesalius.core import Step
from vesalius.errors import ConfigError, FormatError, RegionError
from vesalius.io.tables import read_rows
from vesalius.predict import Description, read_table, target_of
from vesalius.predict.models import load_step
from vesalius.predict.validate import Split, find_leaks
from vesalius.study.predict import Columns, Done, HarmoniseJob, Manner, run_harmonise
from vesalius.study.predict._harmonise import _worked
from vesalius.study.predict._harmonise_charts import _framed

ROLES = Description(outcome="response", batch="scanner", confounders=("age",))


def frame(count=60, *, confounded=False, seed=0):
    rng = np.random.default_rng(seed)
    scanner = np.array(["GE", "Siemens"])[np.arange(count) % 2]
    response = (rng.random(count) < 0.5).astype(int)
    if confounded:
        response = (scanner == "GE").astype(int)
    values = rng.normal(size=(count, 12))
    values[:, 0] += response
    values = values * np.where(scanner == "GE", 1.0, 1.5)[:, None]
    values += np.where(scanner == "GE", 0.0, 1.2)[:, None]
    columns = {"case": [f"p{k:02d}" for k in range(count)], "scanner": scanner}
    columns |= {f"glcm_{j}": values[:, j] for j in range(12)}
    columns |= {"age": rng.integers(40, 80, count), "response": response}
    columns["note"] = ["=1+1"] * count
    return pd.DataFrame(columns)


@pytest.fixture
def table(tmp_path):
    frame().to_csv(tmp_path / "table.csv", index=False)
    return tmp_path / "table.csv"


def job(**changed):
    return HarmoniseJob(**{"columns": Columns(ROLES)} | changed)


@dataclass
class Ran:
    """One run with its table, which many tests look at."""

    table: Path
    out: Path
    done: Done
    steps: list[Step]


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    folder = tmp_path_factory.mktemp("harmonise")
    frame().to_csv(folder / "table.csv", index=False)
    steps = []
    done = run_harmonise(folder / "table.csv", folder / "out", job(), on_step=steps.append)
    return Ran(folder / "table.csv", folder / "out", done, steps)


def test_writes_a_table_of_the_same_rows_and_columns(ran):
    raw = read_rows(ran.table)
    for name in ("harmonised.csv", "harmonised.parquet"):
        found = read_rows(ran.out / name)
        assert list(found.columns) == list(raw.columns)
        assert found["case"].tolist() == raw["case"].tolist()
        assert found["response"].tolist() == raw["response"].tolist()
        assert not np.allclose(found["glcm_3"], raw["glcm_3"])
        parts = found.groupby("scanner")["glcm_3"]
        assert np.ptp(parts.mean()) < 0.3 < np.ptp(raw.groupby("scanner")["glcm_3"].mean())
    assert ran.done.table == ran.out / "harmonised.parquet"
    assert "'=1+1" in (ran.out / "harmonised.csv").read_text()


@pytest.mark.parametrize("name", ["harmonised.csv", "harmonised.parquet"])
def test_the_table_remembers_and_a_leak_is_seen(name, ran):
    again = read_table(ran.out / name, ROLES)
    (record,) = again.history
    assert record.step == "harmonise"
    assert record.parameters["cases"] == 60
    assert record.parameters["outcome_kept"] is False
    assert again.features == tuple(f"glcm_{j}" for j in range(12))
    leaks = find_leaks(again, ROLES, target_of(again, ROLES), split=Split())
    assert ("fitted_on_all", "certain") in {(leak.kind, leak.severity) for leak in leaks}


def test_the_step_treats_the_raw_table_the_same_way(ran):
    step = load_step(ran.out, name="harmonisation")
    raw = read_table(ran.table, ROLES)
    found = read_table(ran.out / "harmonised.parquet", ROLES)
    np.testing.assert_array_equal(step.transform(raw).values, found.values)


def test_a_second_run_gives_the_same_bytes(ran, tmp_path):
    run_harmonise(ran.table, tmp_path, job())
    for file in sorted(ran.out.iterdir()):
        assert file.read_bytes() == (tmp_path / file.name).read_bytes(), file.name


def test_tells_what_it_does_and_what_must_not_be_done(ran):
    assert [one.what for one in ran.steps] == ["batch effects", "harmonise", "report"]
    assert "do not cross-validate a model on it" in ran.done.remarks[0]
    figures = dict(ran.done.headline)
    assert figures["cases"] == "60 in 2 batches of 'scanner'"
    before, after = figures["variance with the batch"].split(" -> ")
    assert float(before[:-1]) > 10 > 1 > float(after[:-1])


def test_the_page_runs_nothing_and_names_no_folder(ran):
    page = (ran.out / "report.html").read_text()
    record = json.loads((ran.out / "provenance.json").read_text())
    assert "Batches of &#39;scanner&#39; before and after ComBat" in page
    assert "Simpson" in page
    assert "<script" not in page
    assert record["parameters"]["method"] == "combat"
    assert len(record["inputs"]["table"]) == 16
    assert str(ran.out.parent) not in page + json.dumps(record)


def test_lists_the_tests_of_every_feature(ran):
    found = read_rows(ran.out / "batch_effects.csv")
    assert len(found) == 12
    assert (found["kruskal_q_before"] < found["kruskal_q_after"]).mean() > 0.9
    assert {"anderson_before", "ks_p_after", "adjusted_q_before", "left_alone"} <= set(found)


def test_refuses_batches_that_are_the_outcome_and_says_so_on_a_page(tmp_path):
    frame(confounded=True).to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(ConfigError, match="batch and outcome must differ enough"):
        run_harmonise(tmp_path / "t.csv", tmp_path / "out", job())
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["report.html"]
    page = (tmp_path / "out" / "report.html").read_text()
    assert "Nothing was harmonised" in page
    assert "every batch has one class only" in page


def test_goes_on_where_it_is_told_to_and_says_so_loudly(tmp_path):
    frame(confounded=True).to_csv(tmp_path / "t.csv", index=False)
    _, told = _worked(tmp_path / "t.csv", job(accept_confounded=True), None)
    assert "cannot be told apart, and you asked to go on" in told.remarks[1]


def test_says_that_a_kept_outcome_is_in_the_features(table):
    _, told = _worked(table, job(keep=("age", "response")), None)
    assert "no prediction of it from this table means anything" in told.remarks[1]
    assert told.done.table.history[0].parameters["outcome_kept"] is True


def test_only_looks_where_no_method_is_asked_for(table, tmp_path):
    (tmp_path / "out").mkdir()
    for name in ("harmonised.csv", "harmonisation.npz"):
        (tmp_path / "out" / name).write_text("of an earlier run")
    done = run_harmonise(table, tmp_path / "out", job(method="none"))
    assert done.table is None
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == [
        "batch_effects.csv",
        "provenance.json",
        "report.html",
    ]
    assert "->" not in dict(done.headline)["silhouette of batches"]
    assert "Batch effects of &#39;scanner&#39;" in (tmp_path / "out" / "report.html").read_text()


@pytest.mark.parametrize("method", ["quantile", "zscore", "nested"])
def test_other_methods_bring_batches_together(method, table):
    roles = Columns(Description(batch="scanner"))
    _, told = _worked(table, job(columns=roles, method=method), None)
    assert told.before.effects.shares.share("scanner") > 0.1
    assert told.after.effects.shares.share("scanner") < 0.01


def test_gaps_stay_gaps(tmp_path):
    holes = frame()
    holes.loc[3, "glcm_2"] = np.nan
    holes.to_csv(tmp_path / "t.csv", index=False)
    _, told = _worked(tmp_path / "t.csv", job(), None)
    assert np.isnan(told.done.table.values).sum() == 1
    assert "1 gaps counted as the median of their batch" in " ".join(told.remarks)


def test_a_difference_of_shape_is_named(tmp_path):
    rng = np.random.default_rng(3)
    tails = frame(400)
    ge = (tails["scanner"] == "GE").to_numpy()
    for j in range(12):
        tails[f"glcm_{j}"] = np.where(ge, rng.normal(size=400), rng.exponential(size=400) ** 2)
    tails.to_csv(tmp_path / "t.csv", index=False)
    roles = Columns(Description(batch="scanner"))
    _, told = _worked(tmp_path / "t.csv", job(columns=roles), None)
    assert "what is left is a difference of shape" in " ".join(told.remarks)


def test_a_number_and_many_batches_are_drawn(tmp_path):
    many = frame(120)
    many["scanner"] = [f"site {k % 12:02d}" for k in range(120)]
    many["response"] = np.random.default_rng(4).normal(size=120)
    many.to_csv(tmp_path / "t.csv", index=False)
    roles = Description(outcome="response", kind="number", batch="scanner")
    run_harmonise(tmp_path / "t.csv", tmp_path / "out", job(columns=Columns(roles)))
    page = (tmp_path / "out" / "report.html").read_text()
    assert "Grey: all further batches" in page
    assert "change of the outcome, crude" not in page  # it stands in the picture
    assert "response = middle" in page


def test_a_refusal_of_the_method_leaves_a_page(tmp_path):
    alone = frame(21)
    alone.loc[20, "scanner"] = "Philips"
    alone.to_csv(tmp_path / "t.csv", index=False)
    roles = Columns(Description(batch="scanner"))
    with pytest.raises(RegionError, match="must have at least 2 cases of a batch"):
        run_harmonise(tmp_path / "t.csv", tmp_path / "out", job(columns=roles))
    assert "Philips" in (tmp_path / "out" / "report.html").read_text()


def test_a_damaged_file_leaves_a_page(tmp_path):
    (tmp_path / "t.parquet").write_bytes(b"PAR1 and then nothing")
    with pytest.raises(FormatError):
        run_harmonise(tmp_path / "t.parquet", tmp_path / "out", job())
    assert (tmp_path / "out" / "report.html").is_file()


class TestJob:
    def test_must_name_a_batch(self):
        with pytest.raises(ConfigError, match="batch must be named to harmonise"):
            HarmoniseJob()

    def test_takes_one_batch_but_for_nested(self):
        assert job(batches=("site",), method="nested").every_batch == ("scanner", "site")
        with pytest.raises(ConfigError, match="must have one batch, got scanner, site"):
            job(batches=("site",))

    def test_keeps_options_with_their_method(self):
        with pytest.raises(ConfigError, match="no-eb must go with ComBat"):
            job(method="zscore", manner=Manner(mean_only=True))
        with pytest.raises(ConfigError, match="must go with combat or quantile"):
            job(method="zscore", manner=Manner(reference="GE"))
        with pytest.raises(ConfigError, match="columns to keep must go with ComBat"):
            job(method="quantile", keep=("age",))

    def test_keeps_the_confounders_where_nothing_else_is_said(self):
        assert job().kept == ("age",)
        assert job(keep=("sex",)).kept == ("sex",)
        assert job(method="quantile").kept == ()

    def test_hands_its_options_on(self):
        step = job(manner=Manner("GE", True, False, False)).step()
        assert step.settings() | {"tol": 0} == {
            "batch": "scanner",
            "keep": ("age",),
            "parametric": False,
            "empirical_bayes": False,
            "mean_only": True,
            "reference": "GE",
            "tol": 0,
        }


def test_far_points_stand_on_the_frame():
    values = np.concatenate((np.linspace(0, 1, 200), [50.0]))[:, None]
    framed, outside = _framed(values)
    assert outside == 1
    assert 1 < framed.max() < 2

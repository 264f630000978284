"""The report card of a survival, from the table to the page."""

import json

import numpy as np
import pandas as pd
import pytest

from vesalius.predict import Card, Curve, Description, Estimate
from vesalius.predict.validate import Split
from vesalius.study.predict import Columns, FitJob, JudgeJob, run_apply, run_fit, run_validate
from vesalius.study.predict._survival_chart import survival_chart

ROLES = Description(outcome="dead", time="days", kind="survival", subgroups=("sex",))


def frame(n=60, seed=0):
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(n, 6)).round(3)
    days = np.ceil(500 * rng.exponential(np.exp(-1.5 * values[:, 0])))
    found = pd.DataFrame(values, columns=[f"glcm_{k}" for k in range(6)])
    known = {"dead": (rng.random(n) < 0.7).astype(int), "sex": np.where(np.arange(n) % 2, "f", "m")}
    return found.assign(case=[f"s{seed}p{k}" for k in range(n)], days=days, **known)


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    folder = tmp_path_factory.mktemp("survival")
    frame().to_csv(folder / "t.csv", index=False)
    split = Split(folds=3, times=(365.0,))
    run_fit(folder / "t.csv", folder / "model", FitJob(Columns(ROLES), split=split))
    return folder


def test_the_page_shows_groups_of_risk_and_what_figures_mean(ran):
    page = (ran / "model" / "report.html").read_text()
    for words in (
        "The time to dead was predicted",
        "Risk groups",
        "AUC at 365",
        "chance that one with the event by then scores above one without it then",
        "as if nobody had been lost to follow-up (Uno)",
        "Kaplan-Meier with Greenwood",
        "log-rank",
    ):
        assert words in page


def test_the_card_holds_figures_with_intervals(ran):
    card = json.loads((ran / "model" / "card.json").read_text())["card"]
    assert set(card["scores"]) == {"concordance", "concordance_ipcw", "auc_365"}
    score = card["scores"]["concordance"]
    assert 0.5 < score["low"] < score["value"] < score["high"] <= 1


def test_another_hospital_is_judged_at_times_of_its_own(ran):
    frame(50, seed=1).to_csv(ran / "other.csv", index=False)
    job = JudgeJob(how="external", times=(200.0, 700.0))
    run_validate(ran / "model", ran / "other.csv", ran / "judged", job)
    card = json.loads((ran / "judged" / "card.json").read_text())["card"]
    assert {"auc_200", "auc_700"} <= set(card["scores"])
    assert "a guide only" not in " ".join(card["remarks"])
    assert card["scores"]["concordance"]["value"] > 0.6


def test_a_risk_is_given_to_new_cases(ran):
    frame(20, seed=2).drop(columns=["dead", "days"]).to_csv(ran / "new.csv", index=False)
    run_apply(ran / "model", ran / "new.csv", ran / "said.csv")
    said = pd.read_csv(ran / "said.csv")
    assert list(said.columns)[:2] == ["case", "risk"]
    assert np.corrcoef(said["risk"], frame(20, seed=2)["glcm_0"])[0, 1] > 0.7


def test_a_card_without_groups_has_no_chart():
    card = Card("survival", 10, 3, {"concordance": Estimate(0.5)})
    assert survival_chart(card, time="days") == []


def test_the_chart_names_the_column_of_times():
    curve = Curve(np.array([0.0, 1, 2]), *np.array([[1, 0.8, 0.5], [1, 0.6, 0.3], [1, 0.9, 0.7]]))
    curves = {"kaplan_meier_low": curve, "kaplan_meier_high": curve}
    card = Card("survival", 10, 3, {"concordance": Estimate(float("nan"), reason="none")}, curves)
    (chart,) = survival_chart(card, time="days")
    assert chart.title == "Risk groups"
    assert "concordance not known" in chart.note
    assert chart.png.startswith(b"\x89PNG")

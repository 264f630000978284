"""The page of a validation: leaks first, every figure with its interval, everything escaped."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from judged_cases import drawn, judged, table

from vesalius.core._provenance import Provenance
from vesalius.predict import (
    Curve,
    Description,
    Estimate,
    Fitted,
    Fold,
    Leak,
    Model,
    Recipe,
    Subgroup,
    Target,
    Validation,
)
from vesalius.predict._constant import Constant
from vesalius.predict._impute import Impute
from vesalius.predict._judged import judged_once
from vesalius.predict._make_card import make_card
from vesalius.predict._model import Training
from vesalius.study._stage_page import render_page
from vesalius.study.predict._card_charts import card_charts
from vesalius.study.predict._card_page import (
    MEANING,
    WORDS,
    Facts,
    broken_page,
    card_page,
    figure,
    interval,
    number,
)

SEX = np.where(np.arange(120) % 2 == 0, "f", "m")
ABOUT = Description(outcome="dead_2y", subgroups=("sex",))


def model(description=ABOUT):
    fitted = Fitted((), Constant(), {}, (), ("a", "b"), ("a",))
    made = Model(
        fitted,
        Recipe((Impute(),), Constant()),
        description,
        ("no", "yes"),
        "abc",
        Training(120, 40),
        0.5,
        Provenance("fit", {"seed": 0}),
    )
    return made


def validated(given, *, description=ABOUT):
    asked = table(120, sex=SEX)
    generator = torch.Generator().manual_seed(0)
    card = make_card(given, table=asked, description=description, generator=generator)
    held_out = pd.DataFrame({"truth": given.target.values, "score": given.scores[:, 0]})
    return Validation(card, held_out, plan="Five folds.")


@pytest.fixture(scope="module")
def found():
    made = validated(drawn(0, folds=5))
    folds = tuple(
        Fold(0, str(k), 96, 24, {"weight": 0.1}, ("a",), 0.7, 0.6 + k / 20) for k in range(5)
    )
    return replace(made, folds=folds, stability={"a": 1.0, "b": 0.4})


@pytest.fixture(scope="module")
def bare(found):
    """The same without what is drawn."""
    card = replace(found.card, curves={}, subgroups=())
    return replace(found, card=card, folds=(), stability={})


@pytest.fixture(scope="module")
def page(found):
    return card_page(found, model(), Facts("lung.csv"))


def test_every_figure_has_a_row_with_its_interval_and_meaning(page, found):
    assert {row[0] for row in page.rows} == {WORDS[name] for name in found.card.scores}
    for row in page.rows:
        assert all(row), row
    auc = found.card.scores["auc"]
    assert page.rows[0][1:3] == (number(auc.value), interval(auc))


def test_every_word_has_a_meaning():
    assert {*WORDS, "auc_"} == set(MEANING)


def test_leaks_come_first(bare):
    certain = Leak("duplicate", "certain", "Cases 'c1' and 'c2' are one.", ("c1", "c2"))
    suspect = Leak("order", "suspect", "The order of the rows knows the outcome.")
    page = card_page(replace(bare, leaks=(suspect, certain)), model(), Facts("t.csv"))
    assert page.errors == ("Cases 'c1' and 'c2' are one.",)
    assert page.findings[0] == "The order of the rows knows the outcome."
    (leaks,) = [one for one in page.tables if one.title == "Leaks"]
    assert leaks.rows[1] == ("duplicate", "certain", "Cases 'c1' and 'c2' are one.", "c1, c2")


def test_all_charts_are_there(page):
    assert [chart.title for chart in page.charts] == [
        "ROC",
        "Precision and recall",
        "Calibration",
        "Decision curve",
        "AUC of each part",
        "Sensitivity of each part",
        "Specificity of each part",
        "AUC of each training",
        "Stability of the selection",
    ]
    assert all(chart.png.startswith(b"\x89PNG") for chart in page.charts)


def test_all_tables_are_there(page):
    titles = [one.title for one in page.tables]
    assert titles[0] == "Confusion: 120 decisions"
    assert titles[1] == "Fairness: parts of the cases"
    assert titles[2] == "Fairness: gaps, each part less the rest"
    assert titles[3] == "Each of the 5 trainings"
    assert titles[4] == "Features used"
    assert titles[5].startswith("TRIPOD+AI: ")
    assert titles[6].startswith("CLEAR: ")
    for one in page.tables:
        assert all(len(row) == len(one.columns) for row in one.rows), one.title


def test_a_part_too_small_says_why_in_a_column_of_its_own(bare):
    small = Subgroup(
        "site",
        "small",
        12,
        3,
        {
            "auc": Estimate(float("nan"), reason="3 patients with the event: fewer than 10"),
            "brier": Estimate(0.2, 0.1, 0.3),
            "ppv": Estimate(float("nan"), reason="5 patients called an event: fewer than 10"),
            "auc_gap": Estimate(-0.1, -0.2, 0.05),
        },
    )
    card = replace(bare.card, subgroups=(small,))
    tables = card_page(replace(bare, card=card), model(), Facts("t.csv")).tables
    assert tables[1].columns == ("Part", "Cases", "Events", "AUC", "Brier score", "PPV", "Left out")
    assert tables[1].rows[0][3:] == (
        "–",
        "0.20 (0.10\u00a0to\u00a00.30)",
        "–",
        "3 patients with the event, 5 patients called an event: fewer than 10",
    )
    assert tables[2].rows[0][3] == "−0.10 (−0.20\u00a0to\u00a00.05)"


def test_a_training_tells_its_settings(page):
    assert page.tables[3].rows[0] == ("1.0", "96", "24", "weight 0.1", "1", "0.700", "0.600")


def test_says_that_folds_widen_the_intervals_only_where_they_do(page, bare):
    assert "widened" in page.rows_note
    assert any("Nadeau" in text for text in page.methods)
    outside = card_page(bare, model(), Facts("t.csv", "external"))
    assert "widened" not in outside.rows_note
    assert not any("Nadeau" in text for text in outside.methods)
    assert "had not been fitted on" in outside.methods[0]
    assert "recalibrated" not in outside.methods[0]
    moved = card_page(bare, model(), Facts("t.csv", "external", recalibrate=True))
    assert "also recalibrated on these cases" in moved.methods[0]


def test_the_methods_name_the_recipe(page):
    assert "impute -> constant" in page.methods[0]
    assert "Five folds." in page.methods[0]


def test_the_page_is_one_file_and_escapes_what_it_is_given(bare):
    scores = {"brier": Estimate(0.2, 0.1, 0.3)}
    part = Subgroup("sex", "<script>alert(1)</script>", 60, 20, scores)
    bad = replace(bare, card=replace(bare.card, subgroups=(part,)), remarks=("<b>bold</b>",))
    html = render_page(card_page(bad, model(), Facts("<i>t</i>.csv")))
    assert "<script" not in html
    assert "<b>bold" not in html
    assert "<i>t" not in html
    assert "http://" not in html.replace("http://www.w3.org", "")


def test_a_broken_run_says_why():
    page = broken_page("the outcome must have two classes, got one", "t.csv")
    assert page.errors == ("the outcome must have two classes, got one",)
    assert "the outcome must have two classes" in render_page(page)


def test_one_class_still_has_a_page():
    found = validated(judged(np.ones(120), np.linspace(0, 1, 120)))
    page = card_page(found, model(), Facts("t.csv"))
    assert [chart.title for chart in page.charts][:1] == ["Calibration"]
    assert any("Every case judged has the event" in text for text in page.findings)


def test_a_number_has_a_page():
    rng = np.random.default_rng(0)
    truth = rng.normal(60, 9, 120)
    given = judged_once(Target("number", truth), (truth + rng.normal(0, 4, 120))[:, None])
    found = validated(given, description=Description(outcome="age", kind="number"))
    page = card_page(found, model(Description(outcome="age", kind="number")), Facts("t.csv"))
    assert [chart.title for chart in page.charts] == ["Agreement"]
    assert page.heading.lead.startswith("The value of age")
    assert "bootstrap" in page.methods[1]


def test_classes_and_survival_have_a_page():
    rng = np.random.default_rng(0)
    p = rng.dirichlet([1, 1, 1], 120)
    target = Target("classes", np.arange(120.0) % 3, ("a", "b", "c"))
    card = make_card(
        judged_once(target, p),
        table=table(120),
        description=Description(),
        generator=torch.Generator(),
    )
    page = card_page(Validation(card, pd.DataFrame()), model(), Facts("t.csv"))
    assert page.tables[0].columns == ("", "decision: a", "decision: b", "decision: c")
    times = Target("survival", rng.exponential(size=120), events=rng.random(120) < 0.5)
    card = make_card(
        judged_once(times, p[:, :1]),
        table=table(120),
        description=Description(),
        generator=torch.Generator(),
    )
    page = card_page(Validation(card, pd.DataFrame()), model(), Facts("t.csv"))
    assert page.rows[0][0] == "Concordance (C-index)"


def test_a_learning_curve_is_drawn_where_there_is_one(bare):
    curve = Curve(np.array([30.0, 60.0]), np.array([0.6, 0.7]))
    card = replace(bare.card, curves={"learning": curve})
    titles = [chart.title for chart in card_charts(replace(bare, card=card))]
    assert titles == ["Learning curve"]


def test_figures_are_written_for_people():
    assert number(-0.12345) == "−0.123"
    assert number(12345.678) == "1.235e+04"
    assert number(float("nan")) == "–"
    assert figure(Estimate(0.5, 0.4, 0.6)) == "0.500 (0.400 to 0.600)"
    assert figure(Estimate(float("nan"), reason="one class only")) == "one class only"
    assert interval(Estimate(0.5, reason="no interval")) == "no interval"

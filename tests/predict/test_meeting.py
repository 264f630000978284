"""A model meets a table: which columns are known, which cases were learned from."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from made_tables import made

from vesalius.errors import ConfigError
from vesalius.io.tables import write_csv
from vesalius.predict import Description, as_table, frame_of
from vesalius.predict.models import (
    apply_model,
    default_recipe,
    fit_model,
    recalibrated_validation,
    seen_cases,
    table_for,
)
from vesalius.predict.validate import Split, duplicates, external

ASKED = Description(outcome="dead", group="patient", batch="batch", subgroups=("sex", "site"))


def frame(*, seed=0, cases=60):
    table, target = made(cases, 5, seed=seed, shift=1.5)
    columns = table.columns.assign(dead=target.values)
    return frame_of(replace(table, columns=columns))


@pytest.fixture(scope="module")
def model():
    table = as_table(frame(), ASKED, leave_out=["age"])
    generator = torch.Generator().manual_seed(0)
    return fit_model(table, ASKED, default_recipe(), generator=generator)


class TestTableFor:
    def test_takes_the_features_that_the_model_wants(self, model, tmp_path):
        write_csv(tmp_path / "t.csv", frame(seed=1).assign(more=1.5))
        table, description = table_for(model, tmp_path / "t.csv")
        assert table.features == model.fitted.wanted
        assert description == ASKED

    def test_forgets_columns_that_are_not_there(self, model, tmp_path):
        write_csv(tmp_path / "t.csv", frame(seed=1).drop(columns=["patient", "sex"]))
        _, description = table_for(model, tmp_path / "t.csv")
        assert description.group == ""
        assert description.subgroups == ("site",)
        assert description.batch == "batch"

    def test_does_without_the_outcome_where_told(self, model, tmp_path):
        write_csv(tmp_path / "t.csv", frame(seed=1).drop(columns="dead"))
        table, description = table_for(model, tmp_path / "t.csv", outcome=False)
        assert description.outcome == ""
        assert table.features == model.fitted.wanted

    def test_a_feature_that_no_case_has_is_a_gap_of_each(self, model, tmp_path):
        write_csv(tmp_path / "t.csv", frame(seed=1)[:1].assign(f01=float("nan")))
        table, _ = table_for(model, tmp_path / "t.csv", outcome=False)
        assert np.isnan(table.values).tolist() == [[False, True, False, False, False]]
        assert np.isfinite(apply_model(model, table).scores).all()

    def test_refuses_a_feature_of_texts(self, model, tmp_path):
        write_csv(tmp_path / "t.csv", frame(seed=1)[:2].assign(f01=["", "1,5"]))
        with pytest.raises(ConfigError, match="'f01' holds text such as '1,5': write it with a"):
            table_for(model, tmp_path / "t.csv", outcome=False)

    def test_refuses_a_table_without_the_outcome(self, model, tmp_path):
        write_csv(tmp_path / "t.csv", frame(seed=1).drop(columns="dead"))
        with pytest.raises(ConfigError, match="must have the outcome of the model, 'dead'"):
            table_for(model, tmp_path / "t.csv")

    def test_refuses_survival_without_times(self, model, tmp_path):
        timed = replace(ASKED, kind="survival", time="days")
        write_csv(tmp_path / "t.csv", frame(seed=1))
        with pytest.raises(ConfigError, match="must have the times of the model, 'days'"):
            table_for(replace(model, description=timed), tmp_path / "t.csv")

    def test_refuses_a_table_without_a_feature(self, model, tmp_path):
        write_csv(tmp_path / "t.csv", frame(seed=1).drop(columns="f02"))
        with pytest.raises(ConfigError, match="must have the feature 'f02'"):
            table_for(model, tmp_path / "t.csv")


class TestSeenCases:
    def test_knows_its_own_under_other_names(self, model):
        table = as_table(frame(), ASKED, leave_out=["age"])
        renamed = replace(table, cases=tuple(f"x{k}" for k in range(60))).rows([7, 3])
        assert seen_cases(model, renamed) == ("x7", "x3")

    def test_knows_them_after_a_trip_through_text(self, model, tmp_path):
        write_csv(tmp_path / "t.csv", frame())
        table, _ = table_for(model, tmp_path / "t.csv")
        assert len(seen_cases(model, table)) == 60

    def test_knows_no_other(self, model):
        table = as_table(frame(seed=1), ASKED, leave_out=["age"])
        assert seen_cases(model, table) == ()


class TestRecalibratedValidation:
    def test_a_case_is_moved_by_other_cases_alone(self, model):
        table = as_table(frame(seed=1, cases=90), ASKED, leave_out=["age"])
        sites = replace(ASKED, site="site")
        split = Split("leave_one_site_out")

        def scores(of):
            generator = torch.Generator().manual_seed(0)
            found = recalibrated_validation(model, of, sites, split=split, generator=generator)
            return found.held_out.set_index("case")["score"].to_dict()

        before = scores(table)
        assert sorted(before) == sorted(table.cases)
        flipped = table.columns.copy()
        flipped.loc[0, "dead"] = 1 - flipped.loc[0, "dead"]
        after = scores(replace(table, columns=flipped))
        here = set(table.columns["site"].to_numpy()[[0]])
        same = [case for k, case in enumerate(table.cases) if table.columns["site"][k] in here]
        assert all(before[case] == after[case] for case in same)
        assert any(before[case] != after[case] for case in table.cases if case not in same)

    @pytest.mark.parametrize("repeats", [1, 2])
    def test_ranks_by_the_model_as_it_is_with_intervals_of_one_model(self, model, repeats):
        table = as_table(frame(seed=1, cases=90), ASKED, leave_out=["age"])
        generator = torch.Generator().manual_seed(0)
        before = external(model, table, ASKED, generator=generator).card
        split = Split(folds=5, repeats=repeats)
        after = recalibrated_validation(model, table, ASKED, split=split, generator=generator).card
        one, other = before.scores["auc"], after.scores["auc"]
        assert (one.value, one.low, one.high) == pytest.approx((other.value, other.low, other.high))
        assert after.scores["average_precision"].value == pytest.approx(
            before.scores["average_precision"].value
        )
        assert np.allclose(before.curves["roc"].y, after.curves["roc"].y)
        assert abs(after.scores["calibration_intercept"].value) < 0.1
        # no wider than before: the shift alone moves the curvature a little
        width = [card.scores["calibration_intercept"] for card in (before, after)]
        assert width[1].high - width[1].low < 1.2 * (width[0].high - width[0].low)

    def test_keeps_the_event_of_the_model_where_it_is_not_the_rarer_class(self, model):
        table = as_table(frame(seed=1, cases=90), ASKED, leave_out=["age"])
        said = table.columns.assign(dead=np.where(table.columns["dead"] == 1, "sick", "well"))
        known = replace(model, classes=("well", "sick"))
        common = replace(table, columns=said).rows(np.flatnonzero(_mostly(said["dead"], "sick")))
        split, generator = Split(folds=3), torch.Generator().manual_seed(0)
        asked = replace(ASKED, positive="")
        found = recalibrated_validation(known, common, asked, split=split, generator=generator)
        assert found.card.classes == ("well", "sick")
        assert found.card.events > 0.5 * found.card.cases

    def test_accepts_other_parameters_only_where_told(self, model):
        table = as_table(frame(seed=1, cases=90), ASKED, leave_out=["age"])
        known, other = replace(model, parameters="a1"), replace(table, parameters="b2")
        split, generator = Split(folds=3), torch.Generator().manual_seed(0)
        with pytest.raises(ConfigError, match="parameters of the model"):
            recalibrated_validation(known, other, ASKED, split=split, generator=generator)
        found = recalibrated_validation(
            known, other, ASKED, split=split, generator=generator, other_parameters=True
        )
        assert found.card.cases == 90


def _mostly(said, event):
    """Every case with the event and 15 without."""
    others = np.flatnonzero(said.to_numpy() != event)
    kept = said.to_numpy() == event
    kept[others[:15]] = True
    return kept


class TestDuplicates:
    def test_names_the_later_of_two(self):
        table, _ = made(30, 6)
        twice = np.concatenate([table.values, table.values[[4, 9]]])
        names = (*table.cases, "again4", "again9")
        columns = table.columns.iloc[[*range(30), 4, 9]].reset_index(drop=True)
        found = duplicates(replace(table, cases=names, values=twice, columns=columns))
        assert found == (30, 31)

    def test_finds_none_where_there_is_none(self):
        assert duplicates(made(30, 6)[0]) == ()

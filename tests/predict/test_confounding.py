"""Design: whether batch and outcome can be told apart, refusals, what is adjusted for."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from vesalius.errors import ConfigError
from vesalius.predict import Description, Table, Target
from vesalius.predict._confounding import counts_text, share_of, span
from vesalius.predict.adjust import adjustment_plan, check_design, describe_design

BATCH = Description(batch="site")


def table(site, **columns):
    cases = tuple(f"c{k}" for k in range(len(site)))
    return Table(cases, (), np.zeros((len(site), 0)), pd.DataFrame({"site": site, **columns}))


def binary(values):
    return Target("binary", np.asarray(values, dtype=float), ("no", "yes"))


class TestRefuses:
    def test_batches_of_one_class_each_with_the_counts_and_the_ways_out(self):
        site = ["A"] * 6 + ["B"] * 5
        target = binary([1] * 6 + [0] * 5)
        with pytest.raises(ConfigError, match="batch and outcome must differ enough") as caught:
            check_design(table(site), BATCH, target)
        text = str(caught.value)
        assert "every batch has one class only" in text
        assert "A: 0 no, 6 yes; B: 5 no, 0 yes" in text
        assert "phantom" in text
        assert "within one batch" in text

    def test_an_outcome_that_is_nearly_the_batch(self):
        site = ["A"] * 200 + ["B"] * 200
        values = np.r_[np.ones(200), np.zeros(200)]
        values[:3] = 0  # 1 - V^2 is about .03
        design = describe_design(table(site), BATCH, binary(values))
        assert 0 < design.left < 0.05
        with pytest.raises(ConfigError, match="of the outcome's variance is left within batches"):
            check_design(table(site), BATCH, binary(values))

    def test_a_number_that_does_not_differ_within_any_batch(self):
        with pytest.raises(ConfigError, match="outcome does not differ within any batch"):
            check_design(
                table(["A"] * 4 + ["B"] * 4),
                Description(batch="site", kind="number"),
                Target("number", np.r_[np.full(4, 2.5), np.full(4, 7.1)]),
            )

    def test_confounders_that_give_the_outcome_within_batches(self):
        rng = np.random.default_rng(0)
        site = ["A", "B"] * 30
        values = (rng.random(60) < 0.5).astype(float)
        asked = Description(batch="site", confounders=("stage",))
        shown = table(site, stage=np.where(values == 1, "late", "early"))
        assert describe_design(shown, BATCH, binary(values)).left > 0.9
        with pytest.raises(ConfigError, match="so nothing is left to be learned"):
            check_design(shown, asked, binary(values))

    def test_three_classes_that_are_three_scanners(self):
        target = Target("classes", np.repeat([0.0, 1, 2], 5), ("x", "y", "z"))
        with pytest.raises(ConfigError, match="every batch has one class only"):
            check_design(table(list("AAAAABBBBBCCCCC")), BATCH, target)

    def test_events_that_were_seen_at_one_hospital_alone(self):
        events = np.repeat([True, False], 8)
        target = Target("survival", np.arange(1.0, 17), ("censored", "event"), events)
        with pytest.raises(ConfigError, match="every batch has one class only"):
            check_design(table(["A"] * 8 + ["B"] * 8), BATCH, target)

    def test_a_description_without_a_batch(self):
        with pytest.raises(ConfigError, match="description must name the batch"):
            describe_design(table(["A", "B"]), Description(), binary([0, 1]))


class TestFigures:
    def test_association_is_cramers_v_and_p_is_fishers(self):
        counts = np.array([[26, 14], [9, 17]])
        site = np.repeat(["A", "B"], counts.sum(axis=1)).tolist()
        values = np.r_[np.repeat([0, 1], counts[0]), np.repeat([0, 1], counts[1])]
        design = describe_design(table(site), BATCH, binary(values))
        chi = stats.chi2_contingency(counts, correction=False).statistic
        assert design.counts == ((26, 14), (9, 17))
        assert design.association == pytest.approx(np.sqrt(chi / counts.sum()))
        assert design.p_value == pytest.approx(stats.fisher_exact(counts).pvalue)
        assert design.left == pytest.approx(1 - chi / counts.sum())

    def test_more_classes_take_pearsons_test(self):
        rng = np.random.default_rng(1)
        site, number = rng.integers(0, 4, 90), rng.integers(0, 3, 90)
        counts = stats.contingency.crosstab(site, number).count
        target = Target("classes", number.astype(float), ("x", "y", "z"))
        design = describe_design(table(site.tolist()), BATCH, target)
        assert design.p_value == pytest.approx(stats.chi2_contingency(counts).pvalue)
        assert design.association == pytest.approx(stats.contingency.association(counts))

    def test_a_number_takes_the_f_test_of_one_way_analysis(self):
        rng = np.random.default_rng(2)
        site = np.repeat(["A", "B", "C"], 12)
        values = rng.normal(size=36) + (site == "B")
        design = describe_design(table(site.tolist()), BATCH, Target("number", values))
        parts = [values[site == name] for name in "ABC"]
        assert design.p_value == pytest.approx(stats.f_oneway(*parts).pvalue)
        assert design.classes == ("low", "middle", "high")
        assert design.cases == 36

    def test_inflation_is_that_of_least_squares(self):
        rng = np.random.default_rng(3)
        n = 80
        site, age = rng.integers(0, 2, n), rng.normal(60, 9, n)
        values = (age + rng.normal(0, 9, n) > 60).astype(float)
        asked = Description(batch="site", confounders=("age",))
        design = describe_design(table(site.tolist(), age=age), asked, binary(values))
        on = np.column_stack((np.ones(n), site, values))
        left = age - on @ np.linalg.lstsq(on, age, rcond=None)[0]
        assert design.inflation["age"] == pytest.approx(age.var() / left.var())
        assert design.left_adjusted < design.left

    def test_condition_does_not_depend_on_units(self):
        rng = np.random.default_rng(4)
        site, age = rng.integers(0, 3, 50).tolist(), rng.normal(60, 9, 50)
        values = binary(rng.random(50) < 0.5)
        asked = Description(batch="site", confounders=("age",))
        years = describe_design(table(site, age=age), asked, values)
        days = describe_design(table(site, age=age * 365.25), asked, values)
        assert years.condition == pytest.approx(days.condition)
        assert years.condition < 10

    @given(st.integers(0, 2**32 - 1))
    def test_order_of_the_cases_does_not_matter(self, seed):
        rng = np.random.default_rng(seed)
        site, values = rng.integers(0, 3, 30), (rng.random(30) < 0.4).astype(float)
        order = rng.permutation(30)
        one = describe_design(table(site.tolist()), BATCH, binary(values))
        two = describe_design(table(site[order].tolist()), BATCH, binary(values[order]))
        assert one.left == pytest.approx(two.left)
        assert one.counts == two.counts
        assert one.verdicts == two.verdicts


class TestVerdicts:
    def said(self, site, values, **columns):
        asked = Description(batch="site", confounders=tuple(columns))
        return " ".join(describe_design(table(site, **columns), asked, binary(values)).verdicts)

    def test_say_that_all_is_well(self):
        assert "can be told apart: 100%" in self.said(["A", "A", "B", "B"] * 5, [0, 1] * 10)

    def test_name_batches_of_a_single_case_and_of_one_class(self):
        said = self.said(["A"] * 10 + ["B"] * 4 + ["C"], [0, 1] * 5 + [1] * 4 + [0])
        assert "1 batches have a single case (C)" in said
        assert "1 of 3 batches have one class only (B)" in said

    def test_say_how_few_cases_are_worth_something_near_separation(self):
        said = self.said(["A"] * 20 + ["B"] * 20, [1] * 19 + [0] * 20 + [1])
        assert "Batch and outcome are close to each other" in said
        assert "as sure as one from about 8 of 40 cases" in said

    def test_name_a_confounder_that_is_the_batch(self):
        field = ["1.5 T"] * 10 + ["3 T"] * 10
        said = self.said(["A"] * 10 + ["B"] * 10, [0, 1] * 10, field=field)
        assert "'field' is the same within each batch" in said

    def test_name_a_confounder_that_lies_between_batches_for_the_most_part(self):
        age = np.r_[np.linspace(40, 44, 10), np.linspace(70, 74, 10)]
        said = self.said(["A"] * 10 + ["B"] * 10, [0, 1] * 10, age=age)
        assert "of the variance of 'age' lies between batches" in said

    def test_name_a_confounder_that_is_the_same_for_all(self):
        said = self.said(["A", "B"] * 5, [0, 0, 1, 1, 0] * 2, sex=["f"] * 10)
        assert "'sex' is the same for all cases" in said

    def test_say_that_one_batch_needs_nothing(self):
        assert "There is one batch, 'A'" in self.said(["A"] * 6, [0, 1] * 3)

    def test_warn_of_confounders_that_are_each_other(self):
        age = np.linspace(40, 70, 12)
        design = describe_design(
            table(["A", "B"] * 6, age=age, born=2026 - age),
            Description(batch="site", confounders=("age", "born")),
            binary([0, 0, 1, 1] * 3),
        )
        assert design.condition == np.inf
        assert design.inflation["age"] == design.inflation["born"] == np.inf
        assert "depend strongly on each other" in " ".join(design.verdicts)


def test_counts_of_many_batches_are_cut():
    design = describe_design(table([str(k) for k in range(20)] * 2), BATCH, binary([0, 1] * 20))
    assert counts_text(design).endswith("and 8 more")


def test_a_basis_leaves_dependent_columns_out():
    rng = np.random.default_rng(5)
    x = rng.normal(size=(10, 2))
    assert span(np.column_stack((x, x[:, 0] * 2 - x[:, 1], np.zeros(10)))).shape == (10, 2)
    assert share_of(np.ones((10, 1)), x) == 0.0


class TestPlan:
    def test_gives_each_role_its_treatment(self):
        plan = adjustment_plan(
            Description(outcome="y", batch="site", confounders=("age",), exposure="dose")
        )
        said = " ".join(plan)
        assert len(plan) == 4
        assert "'site' changes the measurement" in said
        assert "harmonised" in said
        assert "'age' may change features and outcome both" in said
        assert "'y' is what is asked" in said
        assert "'dose' is the exposure" in said
        assert "both cause" in said

    def test_is_empty_where_nothing_is_known(self):
        assert adjustment_plan(Description()) == ()

"""Similar cases: who is near, in what, how near that is, and what is said of it."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hosny import hospital
from made_tables import made

from vesalius.errors import ConfigError, IntensityError, RegionError, ShapeError, UnitError
from vesalius.predict import Description, Table
from vesalius.predict._spaces import make_space
from vesalius.predict.retrieve import Likeness, similar, similar_to

METRICS = ("standardised", "mahalanobis", "cosine", "learned")


def table(cases=40, features=6, seed=0, **columns):
    made_table, target = made(cases, features, seed=seed)
    frame = made_table.columns.assign(outcome=np.where(target.values > 0, "yes", "no"), **columns)
    return replace(made_table, columns=frame)


OUTCOME = Description(outcome="outcome", positive="yes")


def with_values(one, values):
    return Table(one.cases, one.features, values, one.columns)


class TestConcentration:
    def test_noise_in_many_directions_is_told(self):
        found = similar(table(60, 400), "case003", k=3)
        assert any("Nearest neighbours mean little here" in text for text in found.remarks)

    def test_few_features_are_let_alone(self):
        found = similar(table(60, 2), "case003", k=3)
        assert not any("Nearest neighbours mean little" in text for text in found.remarks)


class TestNeighbours:
    @pytest.mark.parametrize("metric", METRICS)
    def test_gives_as_many_as_asked_nearest_first_and_never_the_case_itself(self, metric):
        found = similar(table(), "case003", k=7, likeness=Likeness(metric), description=OUTCOME)
        far = [one.distance for one in found.neighbours]
        assert len(far) == 7
        assert far == sorted(far)
        assert "case003" not in [one.case for one in found.neighbours]

    @pytest.mark.parametrize("metric", METRICS)
    def test_does_not_depend_on_the_order_of_cases(self, metric):
        one = table()
        order = np.random.default_rng(1).permutation(len(one.cases))
        ask = {"k": 5, "likeness": Likeness(metric), "description": OUTCOME}
        a, b = similar(one, "case010", **ask), similar(one.rows(order), "case010", **ask)
        assert [x.case for x in a.neighbours] == [x.case for x in b.neighbours]
        np.testing.assert_allclose(
            [x.distance for x in a.neighbours], [x.distance for x in b.neighbours], rtol=1e-6
        )

    @pytest.mark.parametrize("metric", ["standardised", "mahalanobis", "cosine"])
    def test_does_not_depend_on_units_and_offsets_of_features(self, metric):
        one = table()
        other = with_values(one, one.values * [1, 10, 0.1, 7, 1e3, 2] + [5, 0, 1, -3, 2, 9])
        a = similar(one, "case001", k=5, likeness=Likeness(metric))
        b = similar(other, "case001", k=5, likeness=Likeness(metric))
        assert [x.case for x in a.neighbours] == [x.case for x in b.neighbours]
        np.testing.assert_allclose(
            [x.distance for x in a.neighbours], [x.distance for x in b.neighbours], rtol=1e-8
        )

    def test_standardised_is_the_distance_in_standard_deviations_of_the_others(self):
        one = table()
        others = one.values[1:]
        z = (one.values - others.mean(axis=0)) / others.std(axis=0)
        far = np.sqrt(((z[1:] - z[0]) ** 2).sum(axis=1))
        found = similar(one, "case000", k=3)
        np.testing.assert_allclose([x.distance for x in found.neighbours], np.sort(far)[:3])

    def test_cosine_is_one_minus_the_cosine(self):
        one = table()
        others = one.values[1:]
        z = (one.values - others.mean(axis=0)) / others.std(axis=0)
        cosine = z[1:] @ z[0] / np.linalg.norm(z[1:], axis=1) / np.linalg.norm(z[0])
        found = similar(one, "case000", k=3, likeness=Likeness("cosine"))
        np.testing.assert_allclose(
            [x.distance for x in found.neighbours], np.sort(1 - cosine)[:3], rtol=1e-9
        )

    @pytest.mark.parametrize("features", [4, 60])
    def test_mahalanobis_agrees_with_the_shrunk_covariance_of_scikit_learn(self, features):
        from sklearn.covariance import LedoitWolf

        one = table(30, features)
        others = one.values[1:]
        z = (one.values - others.mean(axis=0)) / others.std(axis=0)
        inverse = np.linalg.inv(LedoitWolf(assume_centered=True).fit(z[1:]).covariance_)
        apart = z[1:] - z[0]
        far = np.sqrt(np.einsum("ij,jk,ik->i", apart, inverse, apart))
        found = similar(one, "case000", k=4, likeness=Likeness("mahalanobis"))
        np.testing.assert_allclose(
            [x.distance for x in found.neighbours], np.sort(far)[:4], rtol=1e-8
        )

    def test_a_learned_distance_brings_cases_of_one_outcome_together(self):
        one, target = made(120, 12, shift=3.0)
        one = replace(one, columns=one.columns.assign(outcome=target.values))
        said = Description(outcome="outcome")

        def agreeing(metric):
            total = 0
            for row in range(0, 120, 6):
                found = similar(one, one.cases[row], likeness=Likeness(metric), description=said)
                own = f"{target.values[row]:g}"
                total += sum(x.outcome == own for x in found.neighbours)
            return total

        assert agreeing("learned") > agreeing("standardised") + 5

    def test_the_outcome_of_the_case_itself_is_not_looked_at(self):
        one = table(60)
        flipped = one.columns.copy()
        flipped.loc[4, "outcome"] = "no" if flipped.loc[4, "outcome"] == "yes" else "yes"
        ask = {"k": 5, "likeness": Likeness("learned"), "description": OUTCOME}
        a = similar(one, "case004", **ask)
        b = similar(replace(one, columns=flipped), "case004", **ask)
        assert a.neighbours == b.neighbours

    def test_an_approximate_search_says_how_many_it_finds(self):
        one = table(300)
        exact = similar(one, "case005", k=5)
        found = similar(one, "case005", k=5, likeness=Likeness(approximate=True))
        assert found.neighbours == exact.neighbours
        assert found.recall > 0.95
        assert any("approximate and finds" in text for text in found.remarks)

    def test_input_stays_as_it_is(self):
        one = table()
        before = one.values.copy()
        similar(one, "case000", k=3, likeness=Likeness("mahalanobis"))
        np.testing.assert_array_equal(one.values, before)


class TestPatients:
    def test_other_cases_of_the_patient_are_left_out(self):
        one = table(visit=[f"p{k // 4}" for k in range(40)])
        found = similar(one, "case000", k=36, description=Description(group="visit"))
        assert not {"case001", "case002", "case003"} & {x.case for x in found.neighbours}
        assert found.compared == 36

    def test_they_are_neighbours_where_that_is_asked_for(self):
        one = table(visit=[f"p{k // 4}" for k in range(40)])
        found = similar(
            one,
            "case000",
            k=39,
            likeness=Likeness(same_patient=True),
            description=Description(group="visit"),
        )
        assert "case001" in {x.case for x in found.neighbours}

    def test_a_patient_is_known_by_number_however_it_is_written(self):
        one = table(visit=[k // 4 for k in range(40)])
        outside = one.rows([0])
        outside = replace(outside, cases=("new",), columns=outside.columns.assign(visit=[0.0]))
        found = similar_to(one, outside, k=3, description=Description(group="visit"))
        assert found.compared == 36

    def test_cases_of_nobody_are_not_one_patient(self):
        one = table(visit=[None] * 40)
        found = similar(one, "case000", k=39, description=Description(group="visit"))
        assert found.compared == 39


class TestFeatures:
    def one_like(self):
        rng = np.random.default_rng(0)
        values = rng.normal(size=(50, 5))
        values[0] = [6.0, -5.0, 0.0, 0.0, 0.0]
        values[1] = [6.1, -5.2, 0.0, 2.5, 0.1]
        names = ("a", "b", "c", "d", "e")
        return Table(
            tuple(f"c{k}" for k in range(50)), names, values, pd.DataFrame(index=range(50))
        )

    def test_names_what_is_unusual_in_both_and_what_differs(self):
        first = similar(self.one_like(), "c0", k=1).neighbours[0]
        assert first.case == "c1"
        assert [x.feature for x in first.agree] == ["a", "b"]
        assert first.differ[0].feature == "d"
        assert first.agree[0].here == pytest.approx(first.agree[0].there, abs=0.2)

    def test_no_feature_is_named_as_both(self):
        one = table(40, 8)
        for neighbour in similar(one, "case002", k=39).neighbours:
            agree = {x.feature for x in neighbour.agree}
            assert not agree & {x.feature for x in neighbour.differ}

    def test_of_features_that_go_together_one_is_named(self):
        one = self.one_like()
        twice = np.column_stack([one.values, 3 * one.values[:, 0] + 1])
        wide = Table(one.cases, (*one.features, "copy"), twice, one.columns)
        first = similar(wide, "c0", k=1).neighbours[0]
        assert len({"a", "copy"} & {x.feature for x in first.agree}) == 1


class TestRemarks:
    def test_names_a_copy(self):
        one = table()
        values = one.values.copy()
        values[9] = values[0]
        found = similar(with_values(one, values), "case000", k=3)
        assert found.neighbours[0].distance == 0
        assert found.contrast == np.inf
        assert "'case009' has the values of 'case000'" in found.remarks[0]

    def test_says_that_a_case_stands_alone(self):
        one = table()
        values = one.values.copy()
        values[5] += 30
        found = similar(with_values(one, values), "case005", k=3)
        assert found.percentile == 100
        assert any("stands alone" in text for text in found.remarks)

    def test_a_case_in_the_middle_does_not_stand_alone(self):
        one = table(200, 3)
        values = one.values.copy()
        values[5] = np.median(values, axis=0)
        found = similar(with_values(one, values), "case005", k=3)
        assert found.percentile < 60
        assert not any("stands alone" in text for text in found.remarks)

    def test_the_percentile_is_that_of_nearest_distances(self):
        one = table(30)
        others = one.values[1:]
        z = (one.values - others.mean(axis=0)) / others.std(axis=0)
        far = np.sqrt(((z[:, None] - z[None]) ** 2).sum(axis=2))
        np.fill_diagonal(far, np.inf)
        mine, rest = far[0].min(), far[1:, 1:].min(axis=1)
        found = similar(one, "case000", k=1)
        assert found.percentile == pytest.approx(100 * (rest < mine).mean())
        np.testing.assert_allclose(found.usual, np.sort(rest))

    def test_counts_cases_as_far_as_the_last(self):
        values = np.array([[0.0, 0.0], [1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
        one = Table(tuple("abcde"), ("x", "y"), values, pd.DataFrame(index=range(5)))
        found = similar(one, "a", k=2)
        assert [x.case for x in found.neighbours] == ["b", "c"]
        assert any(text.startswith("2 further cases are exactly as far") for text in found.remarks)

    def test_says_what_is_missing(self):
        one = table()
        values = one.values.copy()
        values[0, :2] = np.nan
        values[7, 3] = np.nan
        reasons = {("case000", "f00"): "x", ("case000", "f01"): "x", ("case007", "f03"): "x"}
        gaps = Table(one.cases, one.features, values, one.columns, reasons)
        said = similar(gaps, "case000", k=3).remarks
        assert any("2 of 6 features of 'case000' are missing" in text for text in said)
        assert any("1 case has gaps" in text for text in said)

    def test_says_that_a_learned_distance_has_seen_the_outcomes(self):
        found = similar(table(), "case000", k=3, likeness=Likeness("learned"), description=OUTCOME)
        assert any("learned from the outcomes of these very cases" in t for t in found.remarks)

    def test_contrast_falls_with_dimensions_that_say_nothing(self):
        rng = np.random.default_rng(3)
        few, many = (
            similar(
                Table(
                    tuple(f"c{k}" for k in range(80)),
                    tuple(f"f{j}" for j in range(width)),
                    rng.normal(size=(80, width)),
                    pd.DataFrame(index=range(80)),
                ),
                "c0",
                k=3,
            ).contrast
            for width in (2, 400)
        )
        assert few > 3
        assert many < 0.5


class TestOutside:
    def test_a_case_from_elsewhere_is_compared_with_all(self):
        one = table()
        new = replace(one.rows([0]), cases=("new",))
        found = similar_to(one, new, k=1)
        assert found.neighbours[0].case == "case000"
        assert found.compared == 40

    def test_a_name_that_is_taken_is_told(self):
        one = table()
        found = similar_to(one, one.rows([3]), k=1)
        assert any("A case called 'case003' stands in the table" in t for t in found.remarks)

    def test_refuses_two_cases_at_once(self):
        one = table()
        with pytest.raises(RegionError, match="one case must be asked for at a time, got 2"):
            similar_to(one, one.rows([0, 1]))

    def test_refuses_features_of_other_parameters(self):
        one = replace(table(), parameters="abc")
        with pytest.raises(ConfigError, match="measured as the table was"):
            similar_to(one, replace(one.rows([0]), parameters="def"))

    def test_refuses_another_unit(self):
        one = replace(table(), units={"f00": "mm"})
        with pytest.raises(UnitError, match="'f00' is in 'cm' here and in 'mm'"):
            similar_to(one, replace(one.rows([0]), units={"f00": "cm"}))

    def test_refuses_a_case_without_a_feature(self):
        one = table()
        with pytest.raises(ConfigError, match="must have the feature 'f05'"):
            similar_to(one, one.rows([0]).select(one.features[:5]))


class TestRefusals:
    def test_a_case_that_is_not_there(self):
        with pytest.raises(RegionError, match=r"none of 40: did you mean 'case003'"):
            similar(table(), "case0003")
        with pytest.raises(RegionError, match="the first is 'case000'"):
            similar(table(), "?")

    def test_a_case_of_several_regions(self):
        one = table()
        named = replace(one, cases=("p1:1", "p1:2", *one.cases[2:]))
        with pytest.raises(RegionError, match="'p1' has 2: say 'p1:1' or 'p1:2'"):
            similar(named, "p1")

    def test_more_neighbours_than_cases(self):
        with pytest.raises(RegionError, match="from 1 to the 39 cases"):
            similar(table(), "case000", k=40)

    def test_more_neighbours_than_other_patients(self):
        one = table(visit=[f"p{k // 20}" for k in range(40)])
        with pytest.raises(RegionError, match="from 1 to the 20 cases"):
            similar(one, "case000", k=30, description=Description(group="visit"))

    def test_a_learned_distance_without_an_outcome(self):
        with pytest.raises(ConfigError, match="an outcome to learn from"):
            similar(table(), "case000", k=2, likeness=Likeness("learned"))

    def test_features_that_never_differ(self):
        one = table()
        with pytest.raises(RegionError, match="at least one feature must differ"):
            similar(with_values(one, np.ones_like(one.values)), "case000", k=2)

    def test_a_table_of_one_case(self):
        one = table().rows([0, 1])
        with pytest.raises(RegionError, match="at least 2 cases"):
            similar(one, "case000", k=1)

    def test_a_cosine_of_the_mean(self):
        one = table()
        middle = replace(one.rows([0]), cases=("m",), values=one.values.mean(axis=0)[None])
        space = make_space(one, one.rows([0]), "cosine")
        np.testing.assert_allclose(np.linalg.norm(space.points, axis=1), 1)
        with pytest.raises(IntensityError, match="the direction of 'm' must be known"):
            make_space(one, middle, "cosine")

    def test_tables_that_do_not_fit_are_no_tables(self):
        one = table()
        with pytest.raises(ShapeError, match="values must be"):
            Table(one.cases, one.features, one.values[:, :3], one.columns)


class TestRealData:
    def test_constant_features_tell_nothing_and_a_planted_copy_is_found(self, data_dir):
        one, _ = hospital(data_dir, "A")
        values = one.values.copy()
        values[17] = values[200] + 1e-9
        found = similar(with_values(one, values), one.cases[200], k=5)
        assert found.neighbours[0].case == one.cases[17]
        assert "a copy" in found.remarks[0]

    def test_hospital_b_is_searched_from_hospital_a(self, data_dir):
        here, _ = hospital(data_dir, "A")
        there, _ = hospital(data_dir, "B")
        found = similar_to(here, there.rows([0]), k=10, description=Description(outcome="Target"))
        assert {one.outcome for one in found.neighbours} <= {"0", "1"}
        assert found.features == 984


class TestGaps:
    @pytest.mark.parametrize("kind", ["string", "object", "Int64"])
    def test_patients_and_outcomes_may_be_unknown_in_any_kind_of_column(self, kind):
        words = {"Int64": [1, 2, None]}.get(kind, ["a", "b", None])
        column = pd.array(words * 13 + words[:1], dtype=kind)
        given = replace(table(), columns=pd.DataFrame({"patient": column, "outcome": column}))
        meaning = Description(outcome="outcome", group="patient")
        found = similar(given, "case003", k=20, description=meaning)
        assert found.compared == 40 - 14
        assert {one.outcome for one in found.neighbours} == {str(words[1]), ""}

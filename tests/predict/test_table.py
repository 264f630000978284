"""The table, its description and its outcome: what they give, and what they refuse."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from made_tables import made

from vesalius.core._provenance import Provenance
from vesalius.errors import (
    ConfigError,
    FormatError,
    IntensityError,
    RegionError,
    ShapeError,
    UnitError,
)
from vesalius.io.tables import write_csv, write_parquet
from vesalius.predict import Description, as_table, read_table, target_of
from vesalius.predict._read import frame_of, note_of
from vesalius.predict.harmonise import ZScore

FRAME = pd.DataFrame(
    {
        "subject": ["a", "b", "c", "d"],
        "age": [50.0, 60.0, 70.0, 80.0],
        "scanner": ["x", "x", "y", "y"],
        "f1": [1.0, 2.0, float("nan"), 4.0],
        "f2": [4.0, 3.0, 2.0, 1.0],
        "dead": [1.0, 0.0, 0.0, 1.0],
    }
)
ASKED = Description(outcome="dead", batch="scanner", confounders=("age",))


class TestDescription:
    def test_names_each_column_once(self):
        asked = Description(outcome="y", batch="site", site="site", confounders=("age", "sex"))
        assert set(asked.named) == {"y", "site", "age", "sex"}
        assert len(asked.named) == 4

    @pytest.mark.parametrize("role", ["case", "group", "batch", "exposure", "site", "date"])
    def test_refuses_an_outcome_with_another_role(self, role):
        with pytest.raises(ConfigError, match=f"as outcome and as {role}"):
            Description(outcome="y", **{role: "y"})

    def test_refuses_an_outcome_that_confounds_itself(self):
        with pytest.raises(ConfigError, match="confounder of itself"):
            Description(outcome="y", confounders=("y",))

    def test_refuses_survival_without_times(self):
        with pytest.raises(ConfigError, match="must have a column of times"):
            Description(outcome="y", kind="survival")


class TestTable:
    def test_keeps_rows_in_the_order_given(self):
        table = as_table(FRAME, ASKED)
        few = table.rows([2, 0])
        assert few.cases == ("c", "a")
        assert few.columns["age"].tolist() == [70.0, 50.0]
        assert few.reasons == {("c", "f1"): "not given"}

    def test_keeps_features_in_the_order_given(self):
        table = as_table(FRAME, ASKED).select(["f2", "f1"])
        assert table.features == ("f2", "f1")
        np.testing.assert_array_equal(table.values[:, 0], FRAME["f2"])

    def test_a_filled_gap_loses_its_reason(self):
        table = as_table(FRAME, ASKED)
        assert table.with_values(np.nan_to_num(table.values)).reasons == {}

    def test_remembers_what_was_done(self):
        table = as_table(FRAME, ASKED).noted(Provenance("harmonise"))
        assert [record.step for record in table.history] == ["harmonise"]

    def test_refuses_parts_that_do_not_fit(self):
        table, _ = made(4, 2)
        with pytest.raises(ShapeError, match=r"\(cases, features\) = \(4, 2\)"):
            replace(table, values=table.values[:3])

    def test_refuses_a_case_twice(self):
        table, _ = made(4, 2)
        with pytest.raises(ConfigError, match="each case must occur once, got 'a' again"):
            replace(table, cases=("a", "b", "c", "a"))

    def test_a_column_that_is_a_feature_is_named_as_one(self):
        table = as_table(pd.DataFrame({"x": [1.0, 2.0], "age": [50.0, 60.0]}))
        with pytest.raises(ConfigError, match="must be no feature, 'age' is one: give it a role"):
            table.column("age")

    def test_refuses_a_feature_twice(self):
        table, _ = made(4, 2)
        with pytest.raises(ConfigError, match="each feature must occur once, got 'f' again"):
            replace(table, features=("f", "f"))

    def test_refuses_infinite_values(self):
        table, _ = made(4, 2)
        table.values[1, 1] = np.inf
        with pytest.raises(IntensityError, match=r"at most 1e\+150, got inf for 'f01'"):
            replace(table, parameters="x")

    def test_refuses_values_whose_squares_are_infinite(self):
        table, _ = made(4, 2)
        table.values[1, 1] = -1e200
        with pytest.raises(IntensityError, match=r"at most 1e\+150, got -1e\+200 for 'f01'"):
            replace(table, parameters="x")

    def test_refuses_a_gap_without_a_reason(self):
        table, _ = made(4, 2)
        table.values[1, 1] = np.nan
        with pytest.raises(IntensityError, match="'f01' of case 'case001' has none"):
            replace(table, parameters="x")

    def test_refuses_an_absent_feature(self):
        with pytest.raises(ConfigError, match="must have the feature 'f9'"):
            as_table(FRAME, ASKED).select(["f1", "f9"])

    def test_refuses_an_absent_column(self):
        with pytest.raises(ConfigError, match="must have the column 'sex'"):
            as_table(FRAME, ASKED).column("sex")


class TestAsTable:
    def test_numbers_without_a_role_are_features(self):
        table = as_table(FRAME, ASKED)
        assert table.features == ("f1", "f2")
        assert table.cases == ("a", "b", "c", "d")
        assert list(table.columns.columns) == ["subject", "age", "scanner", "dead"]

    def test_every_gap_gets_a_reason(self):
        assert as_table(FRAME, ASKED).reasons == {("c", "f1"): "not given"}

    def test_a_reason_that_was_given_is_kept(self):
        said = FRAME.assign(reason=["", "", "f1: the region has one voxel", ""])
        assert as_table(said, ASKED).reasons == {("c", "f1"): "the region has one voxel"}

    def test_patterns_choose(self):
        assert as_table(FRAME, ASKED, features=["f*"], leave_out=["f2"]).features == ("f1",)

    def test_rows_are_numbered_where_nothing_names_them(self):
        assert as_table(FRAME.drop(columns="subject"), ASKED).cases[0] == "row1"

    @pytest.mark.parametrize("name", ["ID", "Subject", "PatientID", "patient_id", "MRN"])
    def test_a_number_that_says_who_is_no_feature(self, name):
        table = as_table(
            FRAME.drop(columns="subject").assign(**{name: [4.0, 3.0, 2.0, 1.0]}), ASKED
        )
        assert table.features == ("f1", "f2")
        assert table.cases == ("4", "3", "2", "1")

    def test_a_patient_seen_twice_does_not_name_the_cases(self):
        table = as_table(FRAME.drop(columns="subject").assign(patient=["p", "p", "q", "r"]), ASKED)
        assert table.cases == ("row1", "row2", "row3", "row4")

    def test_refuses_an_id_twice(self):
        with pytest.raises(ConfigError, match="each case must occur once, got 'a' again"):
            as_table(FRAME.assign(subject=["a", "a", "c", "d"]), ASKED)

    def test_regions_of_one_subject_are_cases(self):
        two = pd.DataFrame({"subject": ["a", "a"], "label": ["1", "2"], "f": [1.0, 2.0]})
        assert as_table(two).cases == ("a:1", "a:2")

    def test_refuses_a_misspelt_column(self):
        with pytest.raises(ConfigError, match=r"'scaner', it has not \(did you mean 'scanner'\?\)"):
            as_table(FRAME, Description(batch="scaner"))

    def test_refuses_a_feature_with_a_role(self):
        with pytest.raises(ConfigError, match="'age' is both"):
            as_table(FRAME, ASKED, features=["f*", "age"])

    def test_refuses_text_as_a_feature(self):
        with pytest.raises(ConfigError, match="'scanner' holds text such as 'x'"):
            as_table(FRAME, features=["scanner"])

    def test_refuses_a_table_without_features(self):
        with pytest.raises(ConfigError, match="at least one feature"):
            as_table(FRAME, ASKED, leave_out=["f*"])

    def test_refuses_a_case_without_a_name(self):
        with pytest.raises(ConfigError, match="row 2 has none in 'subject'"):
            as_table(FRAME.assign(subject=["a", "", "c", "d"]), Description(case="subject"))

    def test_numbers_a_case_without_a_name_where_no_column_was_asked_for(self):
        table = as_table(FRAME.assign(subject=["a", "", "c", "d"]), ASKED)
        assert table.cases == ("a", "row2", "c", "d")

    def test_refuses_one_name_for_two_columns(self):
        twice = pd.concat([FRAME, FRAME[["f1"]]], axis=1)
        with pytest.raises(ConfigError, match="got 'f1' twice"):
            as_table(twice, ASKED)

    def test_refuses_mixed_parameters(self):
        mixed = FRAME.assign(config_hash=["aa", "aa", "bb", "bb"])
        with pytest.raises(ConfigError, match=r"got 2 \(aa, bb\)"):
            as_table(mixed, ASKED)

    def test_knows_its_parameters(self):
        assert as_table(FRAME.assign(config_hash="aa"), ASKED).parameters == "aa"

    def test_refuses_mixed_units(self):
        with pytest.raises(UnitError, match="'f1' has 'HU', '1'"):
            as_table(FRAME, ASKED, note={"units": {"f1": ["HU", "1"]}})


class TestRead:
    def test_gives_back_what_was_written(self, tmp_path):
        table = as_table(FRAME.assign(config_hash="aa"), ASKED).noted(Provenance("x", {"n": 4}))
        write_parquet(tmp_path / "t.parquet", frame_of(table), note=note_of(table))
        back = read_table(tmp_path / "t.parquet", ASKED)
        assert back.cases == table.cases
        assert back.features == table.features
        np.testing.assert_array_equal(back.values, table.values)
        assert back.reasons == table.reasons
        assert back.parameters == "aa"
        assert back.history == table.history

    def test_csv_keeps_values_and_reasons(self, tmp_path):
        table = as_table(FRAME, ASKED)
        write_csv(tmp_path / "t.csv", frame_of(table))
        back = read_table(tmp_path / "t.csv", ASKED)
        np.testing.assert_array_equal(back.values, table.values)
        assert back.reasons == table.reasons

    def test_a_patient_once_each_does_not_take_the_place_of_a_case(self, tmp_path):
        table, _ = made(6, 2)
        write_csv(tmp_path / "t.csv", frame_of(table))
        assert (
            read_table(tmp_path / "t.csv", Description(confounders=("age",))).cases == table.cases
        )

    def test_cases_that_no_column_names_are_written(self):
        table = as_table(FRAME.drop(columns="subject"), ASKED)
        assert frame_of(table)["case"].tolist() == ["row1", "row2", "row3", "row4"]

    def test_refuses_a_folder_that_is_no_cohort(self, tmp_path):
        with pytest.raises(FormatError, match=r"holds no wide\.parquet"):
            read_table(tmp_path)

    def test_reads_the_published_tables(self, data_dir):
        table = read_table(data_dir / "tables" / "Hosny2018B.csv.gz", Description(outcome="Target"))
        assert table.values.shape == (207, 984)
        target = target_of(table, Description(outcome="Target"))
        assert target.classes == ("0", "1")
        assert target.values.mean() == pytest.approx(60 / 207)


def asked(values, **more):
    frame = pd.DataFrame({"f": range(len(values)), "y": values}).astype({"f": float})
    description = Description(outcome="y", **more)
    return target_of(as_table(frame, description), description)


class TestOutcome:
    def test_one_is_the_event(self):
        assert asked([0.0, 1.0, 1.0]).values.tolist() == [0.0, 1.0, 1.0]

    def test_words_for_yes_are_the_event(self):
        target = asked(["Yes", "no", "Yes"])
        assert target.classes == ("no", "Yes")
        assert target.values.tolist() == [1.0, 0.0, 1.0]

    def test_else_the_rarer_class_is(self):
        assert asked(["benign", "malignant", "benign"]).classes == ("benign", "malignant")

    def test_the_positive_class_can_be_named(self):
        assert asked([0.0, 1.0, 1.0], positive="0").values.tolist() == [1.0, 0.0, 0.0]

    def test_classes_are_in_order(self):
        target = asked(["10", "9", "2"], kind="classes")
        assert target.classes == ("2", "9", "10")
        assert target.values.tolist() == [2.0, 1.0, 0.0]

    def test_numbers_stay(self):
        assert asked([0.5, 2.0, 1.0], kind="number").values.tolist() == [0.5, 2.0, 1.0]

    def test_survival_has_times_and_events(self):
        frame = pd.DataFrame({"f": [1.0, 2.0], "dead": ["yes", "no"], "days": [3.0, 9.0]})
        description = Description(outcome="dead", kind="survival", time="days")
        target = target_of(as_table(frame, description), description)
        assert target.values.tolist() == [3.0, 9.0]
        assert target.events.tolist() == [True, False]

    def test_strata_balance_each_kind(self):
        assert asked([0.0, 1.0, 1.0]).strata.tolist() == [0, 1, 1]
        numbers = asked([float(k) for k in range(9)], kind="number").strata
        assert np.bincount(numbers).tolist() == [3, 3, 3]

    def test_rows_keep_events(self):
        _, target = made(20, 2, kind="survival")
        few = target.rows(np.array([3, 1]))
        assert few.events.tolist() == target.events[[3, 1]].tolist()

    def test_refuses_no_outcome(self):
        with pytest.raises(ConfigError, match="an outcome must be named"):
            target_of(as_table(FRAME), Description())

    def test_refuses_one_class(self):
        with pytest.raises(RegionError, match="at least two classes, 'y' is '1' in all 3 cases"):
            asked([1.0, 1.0, 1.0])

    def test_refuses_three_classes_as_two(self):
        with pytest.raises(ConfigError, match="must have two classes, 'y' has 3"):
            asked(["a", "b", "c"])

    def test_refuses_a_positive_class_that_is_not_there(self):
        with pytest.raises(ConfigError, match="one of '0' and '1', got '2'"):
            asked([0.0, 1.0], positive="2")

    def test_refuses_a_missing_outcome(self):
        with pytest.raises(IntensityError, match=r"1 have none in 'y' \(the first is 'row2'\)"):
            asked(["a", "", "b"])

    def test_refuses_too_many_classes(self):
        with pytest.raises(ConfigError, match="at most 20, 'y' has 30"):
            asked([float(k) for k in range(30)], kind="classes")

    def test_refuses_text_as_a_number(self):
        with pytest.raises(ConfigError, match="'y' must hold numbers, got 'a'"):
            asked(["a", "b"], kind="number")

    def test_refuses_an_infinite_number(self):
        with pytest.raises(IntensityError, match="'y' must be finite"):
            asked([1.0, float("inf")], kind="number")

    def test_refuses_a_constant_number(self):
        with pytest.raises(RegionError, match="must differ between cases"):
            asked([2.0, 2.0], kind="number")

    def survival(self, events, times):
        frame = pd.DataFrame({"f": [1.0] * len(times), "dead": events, "days": times})
        description = Description(outcome="dead", kind="survival", time="days")
        return target_of(as_table(frame, description), description)

    def test_refuses_a_negative_time(self):
        with pytest.raises(IntensityError, match="'days' is -1 for case 'row1'"):
            self.survival([1.0, 0.0], [-1.0, 2.0])

    def test_refuses_events_that_are_neither(self):
        with pytest.raises(ConfigError, match=r"must be 1 \(seen\) or 0"):
            self.survival([1.0, 2.0], [1.0, 2.0])

    def test_refuses_no_event(self):
        with pytest.raises(RegionError, match="has none in 2 cases"):
            self.survival([0.0, 0.0], [1.0, 2.0])


class TestOddFrames:
    def test_a_blank_text_is_a_gap_as_in_a_column_of_numbers(self):
        frame = pd.DataFrame({"x": [1.0, 2.0, 3.0], "scanner": ["A", " ", "B"], "m": ["", "", ""]})
        columns = as_table(frame, Description(batch="scanner")).columns
        assert columns["scanner"].isna().tolist() == [False, True, False]
        assert columns["m"].isna().all()

    def test_a_case_without_a_batch_is_in_no_batch_of_its_own(self, tmp_path):
        (tmp_path / "t.csv").write_text("case,x,y,scanner\na,1,2,A\nb,2,1,\nc,3,5,B\nd,4,2,A\n")
        table = read_table(tmp_path / "t.csv", Description(batch="scanner"))
        with pytest.raises(ConfigError, match="1 have none, the first is 'b'"):
            ZScore("scanner").fit(table)

    def test_every_word_of_pandas_for_a_gap_is_read(self):
        frame = pd.DataFrame(
            {
                "x": pd.array([1.5, None, 3.0], "Float64"),
                "n": pd.array([1, None, 0], "Int64"),
                "q": pd.array([True, None, False], "boolean"),
                "t": pd.array(["a", None, "b"], "string"),
                "o": pd.Series(["a", pd.NaT, "b"], dtype=object),
                "c": pd.Categorical(["a", " ", "b"]),
            }
        )
        table = as_table(frame, Description(confounders=("n", "q", "t", "o", "c")))
        np.testing.assert_array_equal(table.values[:, 0], [1.5, np.nan, 3.0])
        for name in ("n", "q", "t", "o", "c"):
            assert table.columns[name].isna().tolist() == [False, True, False]
            with pytest.raises(IntensityError, match="1 have none"):
                target_of(table, Description(outcome=name))

    def test_whole_switches_stay_switches(self):
        frame = pd.DataFrame({"x": [1.0, 2.0], "q": pd.array([True, False], "boolean")})
        assert as_table(frame, Description(batch="q")).columns["q"].dtype == np.dtype(bool)

    def test_columns_named_by_numbers_are_named_by_text(self):
        assert as_table(pd.DataFrame(np.eye(3))).features == ("0", "1", "2")

    def test_two_columns_with_one_text_are_refused(self):
        with pytest.raises(ConfigError, match="named once, got '1' twice"):
            as_table(pd.DataFrame(np.eye(2), columns=[1, "1"]))

    def test_the_frame_stays_as_it_was(self):
        frame = pd.DataFrame({"x": [1.0, 2.0], "b": ["", "a"]}, index=[5, 7])
        before = frame.copy(deep=True)
        as_table(frame)
        pd.testing.assert_frame_equal(frame, before)

    @pytest.mark.parametrize(
        "note", [{"features": 5}, {"features": [5]}, {"units": ["mm"]}, {"history": "x"}]
    )
    def test_refuses_a_note_of_another_kind(self, note):
        with pytest.raises(FormatError, match="note of a table must hold"):
            as_table(FRAME, note=note)

    @pytest.mark.parametrize("entry", [3, {"parameters": 3}, {"parents": [[]]}])
    def test_refuses_a_history_of_another_kind(self, entry):
        with pytest.raises(FormatError, match="history of a table must hold records"):
            as_table(FRAME, note={"history": [entry]})


class TestOddOutcomes:
    def target(self, cells, **said):
        asked = Description(outcome="o", **said)
        frame = pd.DataFrame({"x": np.arange(float(len(cells))), "o": cells})
        return target_of(as_table(frame, asked), asked)

    def test_classes_that_differ_in_the_seventh_digit_stay_apart(self):
        found = self.target([1000001.0, 1000002.0, 1000003.0, 1000001.0], kind="classes")
        assert found.classes == ("1000001", "1000002", "1000003")
        assert self.target([0.1234567, 0.1234568]).classes == ("0.1234568", "0.1234567")

    def test_zero_has_no_sign(self):
        assert self.target([0.0, -0.0, 1.0, 1.0]).classes == ("0", "1")

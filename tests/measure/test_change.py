"""Change over sessions, volume doubling, RECIST."""

import io
import math

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vesalius.errors import IntensityError, ShapeError
from vesalius.measure._change import change, doubling_days, recist
from vesalius.measure._measurement import as_table


def session(value: float, sd: float | None = None, feature: str = "morph_volume") -> pd.DataFrame:
    row = {
        "label": "nodule",
        "filter": "original",
        "feature": feature,
        "aggregation": "",
        "discretisation": "",
        "value": value,
        "unit": "mm^3",
        "perturb_sd": sd,
        "config_hash": "abc",
        "reason": "",
    }
    return as_table([row])


def test_gives_absolute_and_relative_change_and_doubling_time():
    row = change((session(500.0), session(1000.0)), days=(0.0, 90.0)).iloc[0]
    assert row["difference"] == 500
    assert row["percent"] == 100
    assert row["doubling_days"] == pytest.approx(90)
    assert row["days"] == 90


def test_a_change_below_what_the_scans_could_show_is_marked():
    tables = (session(500.0, sd=10.0), session(520.0, sd=10.0), session(540.0, sd=10.0))
    found = change(tables, days=(0.0, 30.0, 60.0))
    assert found["mdc95"].iloc[0] == pytest.approx(1.96 * math.sqrt(2) * 10)
    assert list(found["detectable"]) == ["no", "yes"]


def test_without_error_bars_it_is_unknown_whether_a_change_is_real():
    assert change((session(1.0), session(2.0)), days=(0.0, 1.0)).iloc[0]["detectable"] == "unknown"


def test_the_nadir_is_the_smallest_value_before():
    tables = tuple(session(v) for v in (100.0, 60.0, 80.0))
    row = change(tables, days=(0.0, 1.0, 2.0)).iloc[1]
    assert row["nadir"] == 60
    assert row["percent_nadir"] == pytest.approx(100 / 3)


def test_a_quantity_missing_at_a_session_says_so():
    found = change((session(1.0), session(2.0, feature="stat_mean")), days=(0.0, 1.0))
    assert found.iloc[0]["reason"] == "not measured at this session"


def test_a_baseline_of_zero_has_no_percentage_and_says_why():
    tables = (session(0.0, feature="stat_mean"), session(1.0, feature="stat_mean"))
    row = change(tables, days=(0.0, 1.0)).iloc[0]
    assert math.isnan(row["percent"])
    assert "the baseline is 0" in row["reason"]


def test_a_vanished_volume_has_no_doubling_time_and_says_why():
    row = change((session(5.0), session(0.0)), days=(0.0, 1.0)).iloc[0]
    assert math.isnan(row["doubling_days"])
    assert "no doubling time" in row["reason"]


def test_refuses_one_session():
    with pytest.raises(ShapeError, match="change needs two or more sessions"):
        change((session(1.0),), days=(0.0,))


def test_refuses_times_that_do_not_increase():
    with pytest.raises(ShapeError, match="days must increase"):
        change((session(1.0), session(2.0)), days=(5.0, 5.0))


def test_refuses_tables_of_different_configurations():
    other = session(2.0).assign(config_hash="def")
    with pytest.raises(ShapeError, match="sessions must be measured with one configuration"):
        change((session(1.0), other), days=(0.0, 1.0))


@given(
    st.floats(1, 1e6), st.floats(0.1, 10).filter(lambda r: abs(r - 1) > 1e-3), st.floats(1, 1000)
)
def test_doubling_time_doubles(first, ratio, days):
    time = doubling_days(first, first * ratio, days)
    assert first * 2 ** (days / time) == pytest.approx(first * ratio, rel=1e-9)


def test_no_growth_never_doubles():
    assert doubling_days(3.0, 3.0, 10.0) == math.inf


@pytest.mark.parametrize(
    ("sums", "verdicts"),
    [
        ((100, 69), ["PR"]),
        ((100, 70), ["PR"]),
        ((100, 71), ["SD"]),
        ((100, 119), ["SD"]),
        ((100, 120), ["PD"]),
        ((100, 50, 60), ["PR", "PD"]),  # against the nadir, not the baseline
        ((20, 10, 13), ["PR", "PR"]),  # +30% but only 3 mm
        ((100, 0), ["CR"]),
        ((100, 0, 8), ["CR", "PD"]),
    ],
)
def test_recist_follows_its_published_limits(sums, verdicts):
    found = recist(tuple((float(s),) for s in sums))
    assert [r.verdict for r in found] == verdicts


def test_recist_adds_up_the_targets():
    found = recist(((10.0, 20.0, 30.0), (7.0, 14.0, 20.0)))
    assert found[0].sum_mm == 41
    assert found[0].from_baseline == pytest.approx(41 / 60 - 1)


@pytest.mark.parametrize("sizes", [((1.0,),), ((1.0,), (1.0, 2.0)), ((1.0,) * 6, (1.0,) * 6)])
def test_recist_refuses_other_numbers_of_lesions(sizes):
    with pytest.raises(ShapeError, match="the same 1 to 5 target lesions"):
        recist(sizes)


def test_a_quantity_that_appears_later_says_so():
    early, late = session(1.0), pd.concat([session(2.0), session(7.0, feature="stat_mean")])
    found = change((early, late), days=(0.0, 1.0))
    new = found[found["feature"] == "stat_mean"].iloc[0]
    assert len(found) == 2
    assert (new["value"], new["session"]) == (7.0, 1)
    assert math.isnan(new["baseline"])
    assert math.isnan(new["percent"])
    assert new["reason"] == "not measured at the first session"


def test_tables_read_from_csv_compare_like_those_in_memory():
    tables = (session(500.0, sd=10.0), session(520.0, sd=10.0))
    read = tuple(pd.read_csv(io.StringIO(table.to_csv(index=False))) for table in tables)
    for pair in (read, (read[0], tables[1]), (tables[0], read[1])):
        pd.testing.assert_frame_equal(
            change(pair, days=(0.0, 9.0)), change(tables, days=(0.0, 9.0)), check_dtype=False
        )


def test_refuses_tables_of_several_subjects():
    both = pd.concat([session(1.0).assign(subject="A"), session(2.0).assign(subject="B")])
    with pytest.raises(ShapeError, match="one subject, one table has 2"):
        change((both, both), days=(0.0, 1.0))


def test_refuses_sessions_of_two_subjects():
    first, second = session(1.0).assign(subject="A"), session(2.0).assign(subject="B")
    with pytest.raises(ShapeError, match="one subject, got 'A', 'B': if they are"):
        change((first, second), days=(0.0, 1.0))


def test_a_session_without_a_name_may_be_compared():
    first, second = session(1.0).assign(subject=""), session(2.0).assign(subject="B")
    assert len(change((first, second), days=(0.0, 1.0)))


def test_refuses_a_table_with_a_quantity_twice():
    both = pd.concat([session(1.0), session(2.0)])
    with pytest.raises(ShapeError, match="every quantity once, 2 rows are 1"):
        change((session(1.0), both), days=(0.0, 1.0))


@pytest.mark.parametrize("last", [math.nan, math.inf])
def test_refuses_times_that_are_no_number(last: float):
    with pytest.raises(ShapeError, match="days must increase"):
        change((session(1.0), session(2.0)), days=(0.0, last))


@pytest.mark.parametrize("diameter", [-1.0, math.nan, math.inf])
def test_recist_refuses_diameters_that_are_none(diameter: float):
    with pytest.raises(IntensityError, match="diameters_mm must be 0 or more"):
        recist(((10.0,), (diameter,)))


@pytest.mark.parametrize(("first", "second"), [(0.0, 1.0), (1.0, 0.0), (-1.0, 1.0)])
def test_only_positive_volumes_double(first: float, second: float):
    with pytest.raises(IntensityError, match="volumes must be positive"):
        doubling_days(first, second, 10.0)

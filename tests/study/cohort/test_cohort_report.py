"""The page of a cohort: failures first, then what stands out, all of it escaped."""

import re
from html import unescape

import numpy as np
import pytest
from cohort_tables import FEATURES, made_tables, write_state, write_tables

from vesalius.errors import ConfigError, FormatError
from vesalius.io.tables import read_rows, write_parquet
from vesalius.study.cohort._report import write_report
from vesalius.study.cohort._report_charts import feature_charts, other_charts
from vesalius.study.cohort._report_page import cohort_page, key_features
from vesalius.study.cohort._tell import costs_of, robust_z, tell


def told_of(tmp_path, frame=None, note=None, *, batch="", **given):
    made, said = made_tables(tmp_path)
    frame, note = made if frame is None else frame, said if note is None else note
    return tell(write_tables(tmp_path / "out", frame, note, **given), batch=batch)


def page_of(tmp_path, *given, **named):
    return cohort_page(told_of(tmp_path, *given, **named))


def table_of(page, title):
    (found,) = [table for table in page.tables if table.title.startswith(title)]
    return found


def test_failures_come_first_with_cause_and_detail(tmp_path):
    frame, note = made_tables(tmp_path)
    failed = {"X1": "FormatError: broken", "X2": "its process was ended by signal SIGKILL"}
    out = write_tables(tmp_path / "out", frame, note, failed=failed)
    write_state(out, [("X2", "after 3 s with 900 MB of memory", 2, 3.0, 0.0, 9 << 20, 0)])
    page = cohort_page(tell(out))
    assert page.errors == (
        "X1: FormatError: broken",
        "X2: its process was ended by signal SIGKILL (after 3 s with 900 MB of memory)",
    )
    assert page.heading.lead == "40 of 42 cases measured: 40 regions with 6 features."
    assert dict(page.facts) | {"Failed": "2", "Begun more than once": "1"} == dict(page.facts)
    text = unescape(write_report(out).read_text())
    assert text.index("X2: its process") < text.index("How the features are distributed")


def test_many_failures_are_counted_by_kind(tmp_path):
    failed = {f"X{k:02d}": "FormatError: broken" for k in range(25)} | {"Y": "RegionError: none"}
    page = page_of(tmp_path, failed=failed)
    assert len(page.errors) == 21
    assert page.errors[-1] == "6 more cases failed: they stand in cases.csv."
    rows = table_of(page, "Failures by kind (26)").rows
    assert [row[:2] for row in rows] == [("FormatError", "25"), ("RegionError", "1")]


def test_a_case_measured_in_part_is_a_finding(tmp_path):
    page = page_of(tmp_path, partial={"P003": "node: RegionError: empty"})
    assert "Only some regions of P003 could be measured: node: RegionError: empty" in page.findings
    page = page_of(tmp_path, partial={f"P{k:03d}": "node: gone" for k in range(30)})
    assert "10 more cases are measured in part: see cases.csv." in page.findings


def test_a_cohort_of_which_nothing_was_measured_has_a_page(tmp_path):
    frame, _ = made_tables(tmp_path)
    about = frame.iloc[:0, :8]
    note = {"features": [], "units": {}, "parameters": ""}
    page = page_of(tmp_path, about, note, failed={"X1": "FormatError: broken"})
    assert page.heading.lead == "0 of 1 case measured: 0 regions with 0 features."
    assert page.rows[0][1] == "no region was measured"
    assert page.charts == ()


def test_robust_z_is_that_of_its_definition():
    values = np.random.default_rng(1).standard_cauchy((21, 4))
    values[3, 1] = np.nan
    found = robust_z(values)
    for j in range(4):
        own = values[:, j][~np.isnan(values[:, j])]
        spread = np.median(np.abs(own - np.median(own))) * 1.4826
        expected = (values[:, j] - np.median(own)) / spread
        np.testing.assert_allclose(found[:, j], expected, rtol=1e-12)


def test_few_values_and_equal_values_are_far_from_nothing():
    values = np.random.default_rng(2).normal(size=(8, 3))
    values[0, 0] = np.nan
    values[:5, 1] = 4.0
    found = robust_z(values)
    assert np.isnan(found[:, :2]).all()
    assert np.isfinite(found[:, 2]).all()
    assert np.isnan(robust_z(np.full((9, 2), np.nan))).all()


def test_a_region_far_from_the_others_is_named(tmp_path):
    frame, note = made_tables(tmp_path)
    frame.loc[7, ["morph_volume", "stat_mean"]] = [1e7, -900.0]
    page = page_of(tmp_path, frame, note)
    ((case, group, far, share, name, z),) = table_of(page, "Regions far from the others (1)").rows
    assert (case, group, far, share) == ("P007", "tumour", "2", "40%")
    assert name in ("morph_volume", "stat_mean")
    assert abs(float(z.replace("−", "-"))) > 50
    (told,) = [text for text in page.findings if "look at their images" in text]
    assert told.startswith("10% or more of the features of 1 region lie far from the others (P007)")


def test_regions_of_two_labels_are_not_compared(tmp_path):
    frame, note = made_tables(tmp_path)
    frame.loc[frame.index % 2 == 0, "label"] = "node"
    frame.loc[frame["label"] == "node", "stat_mean"] += 5000
    told = told_of(tmp_path, frame, note)
    assert [(g.name, len(g.rows)) for g in told.groups] == [("node", 20), ("tumour", 20)]
    assert not any((np.abs(np.nan_to_num(g.z)) >= 5).any() for g in told.groups)


def test_groups_of_one_name_are_told_apart_by_their_configuration(tmp_path):
    frame, note = made_tables(tmp_path)
    frame.loc[:9, "config_hash"] = "abcdef0123"
    page = page_of(tmp_path, frame, note | {"units": {"stat_mean": ["HU", "SUV"]}})
    assert {row[0] for row in page.rows} == {"tumour (c0ffee)", "tumour (abcdef)"}
    assert any("2 configurations: do not pool their rows" in text for text in page.findings)
    assert not any("more than one unit" in text for text in page.findings)


def test_two_units_under_one_configuration_are_a_finding(tmp_path):
    frame, note = made_tables(tmp_path)
    note["units"]["stat_mean"] = ["HU", "1"]
    page = page_of(tmp_path, frame, note)
    assert any(
        "More than one unit is in 1 feature, stat_mean has 'HU' and '1'" in t for t in page.findings
    )
    (chart,) = [chart for chart in page.charts if chart.title == "stat_mean"]
    assert "each group has its own scale" in chart.note


def test_few_regions_are_said_to_be_few(tmp_path):
    frame, note = made_tables(tmp_path, cases=5)
    page = page_of(tmp_path, frame, note)
    assert any("Fewer than 8 regions are in 1 group (tumour)" in text for text in page.findings)


def test_missing_values_are_counted_by_reason(tmp_path):
    frame, note = made_tables(tmp_path)
    frame.loc[:2, "stat_var"] = np.nan
    frame.loc[:2, "reason"] = "stat_var: region has one voxel"
    frame.loc[3, ["stat_mean", "stat_var"]] = np.nan
    frame.loc[3, "reason"] = "stat_mean: no samples; stat_var: region has one voxel"
    page = page_of(tmp_path, frame, note)
    assert table_of(page, "Missing values (5)").rows == (
        ("region has one voxel", "4", "4", "stat_var"),
        ("no samples", "1", "1", "stat_mean"),
    )
    assert dict(page.facts)["Values missing"] == "5"
    (row,) = [row for row in page.rows if row[1] == "stat_var"]
    assert (row[2], row[6]) == ("36", "4")


def test_what_another_configuration_measures_is_not_missing(tmp_path):
    frame, note = made_tables(tmp_path)
    frame["reason"] = "others: not measured with this configuration"
    page = page_of(tmp_path, frame, note)
    assert dict(page.facts)["Values missing"] == "0"
    assert not [table for table in page.tables if table.title.startswith("Missing")]


def test_key_features_differ_between_regions_and_end_in_known_names(tmp_path):
    assert key_features(told_of(tmp_path)) == (
        *FEATURES[:3],
        "morph_sphericity",
        "log_stat_mean",
    )


def test_rows_are_quantiles_of_the_group(tmp_path):
    frame, note = made_tables(tmp_path)
    page = page_of(tmp_path, frame, note)
    (row,) = [row for row in page.rows if row[1] == "stat_mean"]
    low, middle, high = np.quantile(frame["stat_mean"], (0.25, 0.5, 0.75))
    assert row[3] == f"{middle:.4g} HU"
    assert row[4] == f"{low:.4g} to {high:.4g}"
    (volume,) = [row for row in page.rows if row[1] == "morph_volume"]
    assert re.fullmatch(r"\d{5,6} mm\^3", volume[3])


def test_a_scanner_that_shifts_features_is_found(tmp_path):
    frame, note = made_tables(tmp_path)
    frame.loc[frame["scanner"] == "north", ["stat_mean", "stat_var"]] += 30
    told = told_of(tmp_path, frame, note, batch="scanner")
    page = cohort_page(told)
    (text,) = [text for text in page.findings if "harmonise" in text]
    assert text.startswith("40% of the features of tumour differ between the 2 values of scanner")
    rows = table_of(page, "What scanner changes in tumour").rows
    assert {rows[0][0], rows[1][0]} == {"stat_mean", "stat_var"}
    north, south = (
        frame.loc[frame["scanner"] == name, rows[0][0]].median() for name in ("north", "south")
    )
    assert rows[0][2:] == (f"{north:.4g}", f"{south:.4g}")
    assert "What scanner changes" in [chart.title for chart in page.charts]
    assert any("Anderson-Darling" in text for text in page.methods)


def test_a_scanner_that_changes_nothing_is_no_finding(tmp_path):
    page = cohort_page(told_of(tmp_path, batch="scanner"))
    assert not any("scanner" in text for text in page.findings)
    assert table_of(page, "What scanner changes in tumour").rows


def test_a_batch_that_cannot_be_tested_says_why(tmp_path):
    frame, note = made_tables(tmp_path)
    frame["scanner"] = "one"
    page = cohort_page(told_of(tmp_path, frame, note, batch="scanner"))
    assert any(
        text.startswith("scanner could not be tested in tumour: batch effects need two batches")
        for text in page.findings
    )


def test_a_batch_that_is_no_column_is_refused_with_those_that_are(tmp_path):
    with pytest.raises(ConfigError, match=r"the batch must be a column .* 'scaner'.*scanner"):
        told_of(tmp_path, batch="scaner")


def test_time_and_memory_come_from_the_state(tmp_path):
    frame, note = made_tables(tmp_path)
    out = write_tables(tmp_path / "out", frame, note)
    rows = [(f"P{k:03d}", None, 1, 2.0, 1.0 + k, 100 << 20, 10**6) for k in range(40)]
    write_state(out, rows)
    told = tell(out)
    page = cohort_page(told)
    facts = dict(page.facts)
    assert facts["Processor time"] == "14 min"
    assert facts["Longest case"] == "P039, 40.0 s"
    assert facts["Most memory"] == "100 MB"
    table = table_of(page, "The 40 cases that took longest")
    assert table.rows[0] == ("P039", "1.00", "2.0", "40.0", "100", "1")
    assert [chart.title for chart in other_charts(told)] == ["Time", "Memory"]


@pytest.mark.parametrize("body", [None, b"", b"damaged, all of it"])
def test_without_a_state_there_are_no_times(tmp_path, body):
    out = write_tables(tmp_path / "out", *made_tables(tmp_path))
    if body is not None:
        (out / "state.sqlite").write_bytes(body)
    assert costs_of(out) == {}
    page = cohort_page(tell(out))
    assert "Processor time" not in dict(page.facts)
    assert other_charts(tell(out)) == ()


def test_charts_are_the_same_bytes_and_draw_many_regions(tmp_path):
    frame, note = made_tables(tmp_path, cases=5000)
    frame.loc[4999, "stat_mean"] = 1e5
    told = told_of(tmp_path, frame, note)
    (one,) = feature_charts(told, ("stat_mean",))
    (two,) = feature_charts(told, ("stat_mean",))
    assert one.png == two.png
    frame.loc[4999, "stat_mean"] = 100.0
    (other,) = feature_charts(told_of(tmp_path, frame, note), ("stat_mean",))
    assert one.png != other.png


def test_the_page_is_one_file_without_script_or_network_and_escaped(tmp_path):
    frame, note = made_tables(tmp_path)
    frame.loc[0, "label"] = "<script>alert(1)</script>"
    out = write_tables(tmp_path / "out", frame, note, failed={"<img src=x>": "&bad"})
    path = write_report(out, show=("stat_mean",))
    text = path.read_text()
    assert path == out / "report.html"
    assert "<script" not in text
    assert "<img src=x>" not in text
    assert "&lt;script&gt;" in text
    assert "http://" not in text
    assert text.count("<figure>") == 1
    assert "&#34;step&#34;: &#34;cohort&#34;" in text
    assert str(tmp_path) not in text


def test_a_feature_that_is_not_there_is_refused_with_one_like_it(tmp_path):
    out = write_tables(tmp_path / "out", *made_tables(tmp_path))
    with pytest.raises(ConfigError, match=r"must be one of the 6 .* 'stat_men': perhaps stat_mean"):
        write_report(out, show=("stat_men",))


@pytest.mark.parametrize("name", ["wide.parquet", "cases.parquet"])
def test_a_folder_without_tables_is_refused(tmp_path, name):
    out = write_tables(tmp_path / "out", *made_tables(tmp_path))
    (out / name).unlink()
    with pytest.raises(FormatError, match=rf"must be that of a cohort, 'out' holds no {name}"):
        write_report(out)


def test_a_lost_record_leaves_the_page(tmp_path):
    out = write_tables(tmp_path / "out", *made_tables(tmp_path))
    (out / "provenance.json").write_text("[1")
    assert tell(out).record == {}
    (out / "provenance.json").write_text("[1]")
    assert tell(out).record == {}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"features": ["nope"]}, "it lacks 'nope'"),
        ({"features": "stat_mean"}, "its note names no features and units"),
        ({"units": [1]}, "its note names no features and units"),
    ],
)
def test_refuses_a_note_that_is_none(tmp_path, change, told):
    frame, note = made_tables(tmp_path)
    with pytest.raises(FormatError, match=f"must be as 'vesalius cohort run' wrote them, {told}"):
        told_of(tmp_path, frame, note | change)


def test_refuses_tables_that_were_changed(tmp_path):
    frame, note = made_tables(tmp_path)
    with pytest.raises(FormatError, match="it lacks 'reason'"):
        told_of(tmp_path, frame.drop(columns="reason"), note)
    with pytest.raises(FormatError, match="'stat_mean' holds texts"):
        told_of(tmp_path, frame.assign(stat_mean="much"), note)
    out = write_tables(tmp_path / "cut", frame, note)
    write_parquet(out / "cases.parquet", read_rows(out / "cases.parquet").drop(columns="cause"))
    with pytest.raises(FormatError, match=r"cases.parquet lacks 'cause'"):
        tell(out)


def test_refuses_a_feature_as_a_batch(tmp_path):
    with pytest.raises(ConfigError, match="must be a column of the manifest, got 'stat_mean'"):
        told_of(tmp_path, batch="stat_mean")

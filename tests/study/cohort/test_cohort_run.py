"""A cohort is measured once, joined in the order of its manifest, the same bytes every time."""

import json
from collections import Counter

import pyarrow.parquet
import pytest
from cohort_cases import (
    Here,
    contents,
    quick,
    quick_job,
    write_cohort,
    write_manifest,
    write_scan,
)

from vesalius import io
from vesalius.errors import ConfigError, FormatError, OutputError, VesaliusError
from vesalius.io.tables import read_note, read_rows
from vesalius.measure import COLUMNS, extract, parse_config, wide
from vesalius.predict._description import Description
from vesalius.predict._read import read_table
from vesalius.study.cohort import Job, Runner, read_manifest, run_cohort
from vesalius.study.cohort._lock import only_one


def run(manifest, out, **given):
    """Run in this process; give what came out and which cases were measured."""
    runner = Here()
    given = {"job": quick_job()} | given
    return run_cohort(read_manifest(manifest), out, runner=runner, **given), runner.measured


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    return write_cohort(tmp_path_factory.mktemp("cohort"), 3)


@pytest.fixture(scope="module")
def out(manifest, tmp_path_factory):
    """A finished cohort; not to be written to."""
    folder = tmp_path_factory.mktemp("out")
    run(manifest, folder)
    return folder


def long(out):
    return pyarrow.parquet.read_table(out / "features.parquet").to_pandas()


def test_all_cases_are_measured(manifest, tmp_path):
    done, measured = run(manifest, tmp_path / "deep" / "out")
    assert measured == ["P00", "P01", "P02"]
    assert (done.cases, done.cached, done.failures, done.partial) == (3, 0, (), ())
    assert (done.rows, done.complete, done.folder) == (6, True, tmp_path / "deep" / "out")


def test_the_long_table_is_that_of_each_case_in_turn(manifest, out):
    table = long(out)
    assert list(table.columns) == [*COLUMNS, "case", "session", "role"]
    assert list(dict.fromkeys(table["case"])) == ["P00", "P01", "P02"]
    image, labels = manifest.parent / "scan1.nii.gz", manifest.parent / "scan1_labels.nii.gz"
    whole = extract(io.open(image).read(), io.open_labels(labels), config=quick()).table
    one = table[table["case"] == "P01"]
    assert one["value"].tolist() == whole["value"].tolist()
    assert set(one["subject"]) == {"P01"}


def test_the_wide_table_is_that_of_measure(out):
    table = long(out)
    expected = wide(table).set_index(["subject", "label"])
    found = read_rows(out / "wide.parquet").set_index(["subject", "label"])
    names = read_note(out / "wide.parquet")["features"]
    assert names == list(expected.columns)
    for key, row in expected.iterrows():
        assert found.loc[key, names].tolist() == row.tolist()


def test_the_wide_table_says_what_it_is(out):
    table = read_rows(out / "wide.parquet")
    about = ["case", "subject", "session", "role", "label", "config_hash", "reason"]
    assert list(table.columns[:9]) == [*about, "age", "note"]
    assert table["age"].tolist() == [40, 40, 41, 41, 42, 42]
    note = read_note(out / "wide.parquet")
    assert note["parameters"] == quick().digest
    assert note["units"]["stat_mean"] == "HU"
    assert set(note["units"]) == set(note["features"])


def test_predict_reads_the_folder(out):
    table = read_table(out, Description(outcome="age", kind="number"))
    assert table.cases[:2] == ("P00:tumour", "P00:node")
    assert table.parameters == quick().digest
    assert table.units["stat_mean"] == "HU"
    assert "age" not in table.features


def test_csv_and_parquet_agree_and_no_cell_is_a_formula(out):
    assert read_rows(out / "wide.csv").equals(read_rows(out / "wide.parquet"))
    assert read_rows(out / "cases.csv").equals(read_rows(out / "cases.parquet"))
    for name in ("wide.csv", "cases.csv", "manifest.csv"):
        assert ",'=1+1" in (out / name).read_text()


def test_each_case_has_a_row_that_says_what_became_of_it(out):
    table = read_rows(out / "cases.parquet")
    assert table["case"].tolist() == ["P00", "P01", "P02"]
    assert set(table["status"]) == {"done"}
    assert table["regions_measured"].tolist() == [2, 2, 2]
    assert set(table["cause"]) == {""}
    assert table["image"].tolist()[0] == "scan0.nii.gz"
    assert set(table["findings"]) == {""}


def test_provenance_names_content_and_no_path(manifest, out):
    text = (out / "provenance.json").read_text()
    record = json.loads(text)
    assert record["step"] == "cohort"
    assert set(record["inputs"]) == {"manifest", "case P00", "case P01", "case P02"}
    assert record["parameters"]["configs"][0]["features"]["families"] == ["statistics"]
    assert str(manifest.parent) not in text


def test_a_second_run_measures_nothing_and_writes_the_same_bytes(manifest, tmp_path):
    run(manifest, tmp_path)
    before = contents(tmp_path)
    done, measured = run(manifest, tmp_path)
    assert measured == []
    assert done.cached == 3
    assert contents(tmp_path) == before


def test_another_folder_gets_the_same_bytes(manifest, out, tmp_path):
    run(manifest, tmp_path)
    assert contents(tmp_path) == contents(out)


class _Stops(Here):
    """Breaks off after some cases, as a lost power supply does."""

    def __init__(self, after):
        super().__init__()
        self.after = after

    def run(self, orders):
        for result in super().run(orders):
            yield result
            if len(self.measured) == self.after:
                raise KeyboardInterrupt


@pytest.mark.parametrize("after", [1, 2])
def test_a_run_that_was_broken_off_goes_on_where_it_was(manifest, out, tmp_path, after):
    with pytest.raises(KeyboardInterrupt):
        run_cohort(read_manifest(manifest), tmp_path, job=quick_job(), runner=_Stops(after))
    assert not (tmp_path / "wide.csv").exists()
    done, measured = run(manifest, tmp_path)
    assert len(measured) == 3 - after
    assert done.cached == after
    assert contents(tmp_path) == contents(out)


def test_results_may_come_in_any_order(manifest, out, tmp_path):
    class Backwards(Runner):
        def run(self, orders):
            yield from reversed(list(Here().run(orders)))

    run_cohort(read_manifest(manifest), tmp_path, job=quick_job(), runner=Backwards())
    assert contents(tmp_path) == contents(out)


def test_a_damaged_entry_is_measured_again(manifest, out, tmp_path):
    run(manifest, tmp_path)
    (first, *_) = sorted((tmp_path / "journal").iterdir())
    first.write_bytes(first.read_bytes()[:-9])
    _, measured = run(manifest, tmp_path)
    assert len(measured) == 1
    assert contents(tmp_path) == contents(out)


def test_a_lost_state_loses_no_measurement(manifest, out, tmp_path):
    run(manifest, tmp_path)
    (tmp_path / "state.sqlite").write_bytes(b"damaged")
    _, measured = run(manifest, tmp_path)
    assert measured == []
    assert contents(tmp_path) == contents(out)


def test_only_what_changed_is_measured_again(tmp_path):
    manifest = write_cohort(tmp_path, 3)
    run(manifest, tmp_path / "out")
    write_scan(tmp_path, "scan1", seed=9)
    done, measured = run(manifest, tmp_path / "out")
    assert measured == ["P01"]
    assert done.cached == 2


def test_more_rows_measure_only_the_new_ones(tmp_path):
    manifest = write_cohort(tmp_path, 2)
    run(manifest, tmp_path / "out")
    manifest = write_cohort(tmp_path, 4)
    _, measured = run(manifest, tmp_path / "out")
    assert measured == ["P02", "P03"]


def test_cases_of_one_content_are_measured_once(tmp_path):
    write_scan(tmp_path, "s", seed=1)
    files = ["s.nii.gz", "s_labels.nii.gz"]
    header = ["subject", "session", "image", "labels"]
    path = write_manifest(tmp_path, header, [["a", "1", *files], ["a", "2", *files]])
    done, measured = run(path, tmp_path / "out")
    assert measured == ["a_1"]
    assert (done.rows, done.complete) == (4, True)
    table = long(tmp_path / "out")
    assert Counter(table["case"]).keys() == {"a_1", "a_2"}
    assert set(table["session"]) == {"1", "2"}


def failing(tmp_path):
    """Three cases: one without its image, one with a broken one, one sound."""
    manifest = write_cohort(tmp_path, 3)
    (tmp_path / "scan0.nii.gz").unlink()
    (tmp_path / "scan1.nii.gz").write_bytes(b"broken")
    return manifest


def test_cases_that_fail_stop_no_other(tmp_path):
    done, measured = run(failing(tmp_path), tmp_path / "out")
    assert sorted(measured) == ["P01", "P02"]
    assert [name for name, _, _ in done.failures] == ["P00", "P01"]
    assert not done.complete
    table = read_rows(tmp_path / "out" / "cases.parquet")
    assert table["status"].tolist() == ["failed", "failed", "done"]
    assert table["cause"].tolist()[0].startswith("FormatError: image 'scan0.nii.gz' is not there")
    assert table["cause"].tolist()[1].startswith("FormatError: ")
    assert set(read_rows(tmp_path / "out" / "wide.parquet")["case"]) == {"P02"}


def test_failures_are_the_same_bytes_in_every_run(tmp_path):
    manifest = failing(tmp_path)
    run(manifest, tmp_path / "one")
    run(manifest, tmp_path / "two")
    run(manifest, tmp_path / "two")
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_a_failed_case_is_tried_again(tmp_path):
    manifest = failing(tmp_path)
    run(manifest, tmp_path / "out")
    write_scan(tmp_path, "scan0", seed=0)
    write_scan(tmp_path, "scan1", seed=1)
    done, measured = run(manifest, tmp_path / "out")
    assert measured == ["P00", "P01"]
    assert done.complete


def test_a_cohort_without_any_file_is_refused_with_their_names(tmp_path):
    header = ["subject", "image", "labels"]
    path = write_manifest(tmp_path, header, [["a", "i.nii", "l.nii"], ["b", "j.nii", "m.nii"]])
    with pytest.raises(
        FormatError, match=r"at least one case of a manifest must have its files, n"
    ):
        run(path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_modality_without_configuration_is_refused_before_anything_is_measured(tmp_path):
    write_scan(tmp_path, "s", seed=1)
    header = ["subject", "image", "labels", "modality"]
    path = write_manifest(tmp_path, header, [["a", "s.nii.gz", "s_labels.nii.gz", "MR"]])
    with pytest.raises(ConfigError, match="every modality must have a configuration"):
        run(path, tmp_path / "out", job=Job((parse_config("modality: CT"),)))


def test_a_clinical_column_called_as_a_feature_is_refused(tmp_path):
    write_scan(tmp_path, "s", seed=1)
    header = ["subject", "image", "labels", "stat_mean"]
    path = write_manifest(tmp_path, header, [["a", "s.nii.gz", "s_labels.nii.gz", 3]])
    with pytest.raises(FormatError, match="must not be called as a feature, 'stat_mean' is"):
        run(path, tmp_path / "out")


def test_two_runs_into_one_folder_are_refused(manifest, tmp_path):
    with (
        only_one(tmp_path),
        pytest.raises(OutputError, match="a folder must have one run at a time"),
    ):
        run(manifest, tmp_path)


def test_whoever_watches_is_told_of_every_case(tmp_path):
    steps = []
    run(failing(tmp_path), tmp_path / "out", on_step=steps.append)
    assert [step.done for step in steps] == [0, 1, 2, 3]
    assert {step.total for step in steps} == {3}
    assert {step.what for step in steps[1:]} == {"P00", "P01", "P02"}


def test_a_region_that_cannot_be_measured_makes_the_case_partial(tmp_path):
    write_scan(tmp_path, "s", seed=1)
    image = io.open(tmp_path / "s.nii.gz").read()
    labels = io.open_labels(tmp_path / "s_labels.nii.gz")
    image.data[0][labels.data[0] == 2] = float("nan")
    io.save(image, tmp_path / "s.nii.gz")
    header = ["subject", "image", "labels"]
    path = write_manifest(tmp_path, header, [["a", "s.nii.gz", "s_labels.nii.gz"]])
    done, _ = run(path, tmp_path / "out")
    ((name, cause),) = done.partial
    assert name == "a"
    assert cause.startswith("node: IntensityError: ")
    table = read_rows(tmp_path / "out" / "cases.parquet")
    assert table["status"].tolist() == ["partial"]
    assert read_rows(tmp_path / "out" / "wide.parquet")["label"].tolist() == ["tumour"]


def test_no_value_is_missing_without_a_reason(tmp_path):
    write_scan(tmp_path, "s", seed=1)
    image = io.open(tmp_path / "s.nii.gz").read()
    io.save(image.map(lambda x: x * 0 + 7), tmp_path / "s.nii.gz")
    header = ["subject", "image", "labels"]
    path = write_manifest(tmp_path, header, [["a", "s.nii.gz", "s_labels.nii.gz"]])
    run(path, tmp_path / "out")
    table = read_table(tmp_path / "out")
    said = long(tmp_path / "out")
    missing = said[said["value"].isna()]
    assert len(missing) == len(table.reasons) > 0
    assert set(table.reasons.values()) == {why.replace("; ", ", ") for why in missing["reason"]}


def test_cases_of_two_modalities_are_kept_apart(tmp_path):
    write_scan(tmp_path, "s", seed=1)
    files = ["s.nii.gz", "s_labels.nii.gz"]
    header = ["subject", "role", "image", "labels", "modality", "unit"]
    rows = [["a", "ct", *files, "CT", "HU"], ["a", "pet", *files, "PET", "SUV"]]
    text = "features: {{families: [statistics, histogram]}}\nmodality: {}"
    job = Job(tuple(parse_config(text.format(name)) for name in ("CT", "PET")))
    done, _ = run(write_manifest(tmp_path, header, rows), tmp_path / "out", job=job)
    assert any("2 configurations: do not pool their rows" in text for text in done.remarks)
    assert any("more than one unit, stat_mean has 'HU' and 'SUV'" in text for text in done.remarks)
    assert read_note(tmp_path / "out" / "wide.parquet")["parameters"] == ""
    reasons = read_rows(tmp_path / "out" / "wide.parquet")["reason"]
    assert all("not measured with this configuration" in text for text in reasons)
    with pytest.raises(VesaliusError, match=r"must have one unit|one set of parameters"):
        read_table(tmp_path / "out")


def test_what_is_noticed_about_a_case_stands_beside_it(tmp_path):
    manifest = write_cohort(tmp_path, 2)
    job = Job((parse_config("features: {families: [statistics]}\nmodality: MR"),))
    done, _ = run(manifest, tmp_path / "out", job=job)
    (remark,) = done.remarks
    assert remark.startswith("2 cases: The modality is MR and nothing normalises")
    found = read_rows(tmp_path / "out" / "cases.parquet")["findings"].tolist()
    assert found == [remark.removeprefix("2 cases: ")] * 2


def test_error_bars_stand_in_the_long_table(tmp_path):
    manifest = write_cohort(tmp_path, 1)
    run(manifest, tmp_path / "out", job=quick_job(uncertainty=True))
    table = long(tmp_path / "out")
    assert (table["perturb_sd"] > 0).any()


def test_the_longest_work_comes_first_and_the_tables_keep_their_order(tmp_path):
    from vesalius.study.cohort._run import _largest_first

    cases = []
    for name, size in (("small", 10), ("large", 900), ("middle", 100)):
        (tmp_path / f"{name}.nii").write_bytes(b"x" * size)
        (tmp_path / f"{name}_seg.nii").write_bytes(b"x")
        cases.append(f"{name},{name}.nii,{name}_seg.nii")
    cases.append("gone,gone.nii,gone_seg.nii")
    path = tmp_path / "manifest.csv"
    path.write_text("\n".join(["subject,image,labels", *cases]) + "\n")
    manifest = read_manifest(path)
    order = [case.subject for case in _largest_first(manifest.cases)]
    assert order == ["large", "middle", "small", "gone"]
    assert [case.subject for case in manifest.cases] == ["small", "large", "middle", "gone"]

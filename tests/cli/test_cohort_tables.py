"""The verbs cohort query and cohort report: what they show and what they leave with."""

import pytest
from cohort_cases import Here, quick_job, write_cohort

from vesalius.io.tables import read_rows
from vesalius.study.cohort import read_manifest, run_cohort


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    root = tmp_path_factory.mktemp("tables")
    manifest = read_manifest(write_cohort(root, 3))
    run_cohort(manifest, root / "out", job=quick_job(), runner=Here())
    return root / "out"


def test_an_answer_is_a_table_on_the_screen(vesalius, out):
    sql = 'select "case", age, note, null::double gone from wide limit 1'
    ended = vesalius("cohort", "query", out, sql)
    assert ended.code == 0
    assert ended.out.splitlines() == [
        "case  age  note  gone",
        "P00    40  =1+1     -",
        "1 row",
    ]


def test_long_answers_are_cut_and_say_so(vesalius, out):
    ended = vesalius("cohort", "query", out, "select * from range(50)")
    assert len(ended.out.splitlines()) == 1 + 40 + 2
    assert "note: 40 of 50 rows and 1 of 1 columns are shown" in ended.out
    ended = vesalius("cohort", "query", out, "select * from range(50)", "--limit-free")
    assert len(ended.out.splitlines()) == 1 + 50 + 1


def test_what_could_steer_a_terminal_is_not_printed(vesalius, out):
    ended = vesalius("cohort", "query", out, "select 'a' || chr(27) || '[2J' as a")
    assert "a?[2J" in ended.out
    assert "\x1b" not in ended.out


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.parquet"])
def test_an_answer_is_kept(vesalius, out, tmp_path, name):
    sql = 'select "case", stat_mean, note from wide'
    ended = vesalius("cohort", "query", out, sql, "-o", tmp_path / name)
    assert ended.code == 0
    assert ended.out.startswith("6 rows, 3 columns: ")
    kept = read_rows(tmp_path / name)
    whole = read_rows(out / "wide.parquet")
    assert kept["stat_mean"].tolist() == whole["stat_mean"].tolist()
    assert set(kept["note"]) == {"=1+1"}


def test_another_kind_of_file_is_a_wrong_command(vesalius, out, tmp_path):
    ended = vesalius("cohort", "query", out, "from wide", "-o", tmp_path / "a.xlsx")
    assert ended.code == 2
    assert "-o takes a .csv, .csv.gz or .parquet file, got 'a.xlsx'" in " ".join(ended.err.split())


def test_a_query_that_fails_leaves_with_3_and_names_the_columns(vesalius, out):
    ended = vesalius("cohort", "query", out, "select nope from wide")
    assert ended.code == 3
    assert "error: a query must be one that DuckDB can answer" in ended.err
    assert "wide: case, subject" in ended.err


def test_a_report_is_written(vesalius, out):
    ended = vesalius("cohort", "report", out, "--batch", "age", "--show", "stat_mean")
    assert ended.code == 0
    assert ended.out.startswith("report: ")
    text = (out / "report.html").read_text()
    assert text.count("<figure>") >= 1
    assert "age could not be tested in" in text


def test_a_report_of_no_cohort_leaves_with_3(vesalius, tmp_path):
    ended = vesalius("cohort", "report", tmp_path)
    assert ended.code == 3
    assert "error: a folder must be that of a cohort" in ended.err


def test_a_scheduler_has_its_own_workers(vesalius, tmp_path):
    manifest = write_cohort(tmp_path, 1)
    words = ["cohort", "run", manifest, "-o", tmp_path / "out", "--scheduler", "tcp://127.0.0.1:9"]
    for more in (["--workers", 2], ["--timeout-s", 5]):
        ended = vesalius(*words, *more)
        assert ended.code == 2
        assert "leave --workers and --timeout-s" in " ".join(ended.err.split())
    ended = vesalius(*words, "--dry-run")
    assert ended.code == 0

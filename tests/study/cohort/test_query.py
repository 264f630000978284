"""Queries see the three tables of a cohort, and nothing else of the machine."""

import shutil
import sys
from pathlib import Path

import pandas as pd
import pytest
from cohort_cases import Here, contents, quick_job, write_cohort

from vesalius.errors import ConfigError, ExtraError, FormatError
from vesalius.io.tables import read_rows
from vesalius.study.cohort import read_manifest, run_cohort
from vesalius.study.cohort._query import query


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    root = tmp_path_factory.mktemp("query")
    manifest = read_manifest(write_cohort(root, 3))
    run_cohort(manifest, root / "out", job=quick_job(), runner=Here())
    return root / "out"


def test_the_wide_table_is_all_there(out):
    found = query(out, "select * from wide")
    kept = read_rows(out / "wide.parquet")
    assert list(found.columns) == list(kept.columns)
    pd.testing.assert_frame_equal(found.astype(kept.dtypes.to_dict()), kept)


def test_the_long_table_can_be_filtered_and_counted(out):
    found = query(
        out,
        "select label, count(*) n, avg(value) mean from features "
        "where feature = 'stat_mean' group by label order by label",
    )
    kept = read_rows(out / "wide.parquet")
    assert found["label"].tolist() == ["node", "tumour"]
    assert found["n"].tolist() == [3, 3]
    for label, mean in zip(found["label"], found["mean"], strict=True):
        own = kept.loc[kept["label"] == label, "stat_mean"].mean()
        assert mean == pytest.approx(own, rel=1e-12)


def test_tables_can_be_joined(out):
    found = query(
        out,
        'select c."case", c.status, w.age, w.stat_mean from cases c join wide w using ("case") '
        "where w.label = 'tumour' order by 1",
    )
    assert found["case"].tolist() == ["P00", "P01", "P02"]
    assert found["age"].tolist() == [40, 41, 42]
    assert set(found["status"]) == {"done"}


@pytest.mark.parametrize(
    "sql",
    [
        "describe wide",
        "summarize cases",
        "show tables",
        "from wide",
        "explain select 1",
        'pivot features on label using avg(value) group by "case"',
        "with a as (from wide) from a",
    ],
)
def test_whatever_reads_is_answered(out, sql):
    assert len(query(out, sql))


def test_an_empty_answer_keeps_its_columns(out):
    assert list(query(out, "select age from wide where age > 99").columns) == ["age"]


@pytest.mark.parametrize(
    "sql",
    [
        "select * from read_csv('{}')",
        "select * from read_text('{}')",
        "select * from read_blob('{}')",
        "select * from read_parquet('{}')",
        "select * from parquet_metadata('{}')",
        "select * from sniff_csv('{}')",
        "select * from glob('{}*')",
        "select * from '{}'",
    ],
)
def test_no_other_file_can_be_read(out, tmp_path, sql):
    secret = tmp_path / "secret.parquet"
    secret.write_bytes((out / "wide.parquet").read_bytes())
    with pytest.raises(ConfigError, match=r"disabled by configuration|does not exist"):
        query(out, sql.format(secret))
    with pytest.raises(ConfigError, match=r"disabled by configuration|does not exist"):
        query(out, sql.format(out / "wide.parquet"))


@pytest.mark.parametrize(
    "sql",
    [
        "copy wide to '{}'",
        "copy (select 1) to '{}' (format parquet)",
        "attach '{}' as other",
        "export database '{}'",
        "import database '{}'",
        "install httpfs",
        "load httpfs",
        "set enable_external_access = true",
        "reset lock_configuration",
        "pragma database_list",
        "create table other as from wide",
        "drop view wide",
        "delete from wide",
        "create secret (type s3)",
        "select 1; copy wide to '{}'",
        "select 1; select 2",
        "",
        "-- nothing",
    ],
)
def test_nothing_is_written_and_no_lock_undone(out, tmp_path, sql):
    before = contents(out)
    with pytest.raises(ConfigError, match=r"must be one statement that reads|it says: "):
        query(out, sql.format(tmp_path / "written"))
    assert list(tmp_path.iterdir()) == []
    assert contents(out) == before


def test_variables_of_python_are_no_tables(out):
    hidden = pd.DataFrame({"a": [1]})
    with pytest.raises(ConfigError, match="hidden does not exist"):
        query(out, "select * from hidden")
    assert len(hidden) == 1


def test_a_column_that_is_not_there_names_those_that_are(out):
    with pytest.raises(ConfigError, match=r'"agee" not found.*wide: case, subject, .*more') as told:
        query(out, "select agee from wide")
    assert "LINE 1" not in str(told.value)
    assert "\n" not in str(told.value)
    assert "cases: case, subject" in str(told.value)


def test_the_word_case_is_explained(out):
    with pytest.raises(ConfigError, match='write "case" with quotes'):
        query(out, "select case from wide")


def test_a_value_that_cannot_be_made_is_an_error_of_the_query(out):
    with pytest.raises(ConfigError, match="it says: Conversion Error"):
        query(out, "select cast(label as integer) from wide")


def test_a_folder_without_tables_is_refused(tmp_path):
    with pytest.raises(FormatError, match=r"must be that of a cohort, .* holds no features.parque"):
        query(tmp_path, "select 1")


def test_a_damaged_table_is_refused(out, tmp_path):
    for name in ("features.parquet", "wide.parquet", "cases.parquet"):
        (tmp_path / name).write_bytes((out / name).read_bytes())
    whole = (tmp_path / "wide.parquet").read_bytes()
    (tmp_path / "wide.parquet").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(FormatError, match=r"the table 'wide.parquet' must be whole"):
        query(tmp_path, "select 1")


def test_without_duckdb_the_extra_is_named(out, monkeypatch):
    monkeypatch.setitem(sys.modules, "duckdb", None)
    with pytest.raises(ExtraError, match=r"pip install 'vesalius\[tables\]'"):
        query(out, "select 1")


def test_no_damage_to_a_table_gives_other_numbers(out, tmp_path):
    """One byte changed, at many places: the same answer, or an error that says so."""
    out = Path(shutil.copytree(out, tmp_path / "copy"))
    wrong = []
    for file, ask in (("wide.parquet", "select * from wide"), ("cases.parquet", "from cases")):
        path = out / file
        whole, expected = path.read_bytes(), query(out, ask)
        refused = 0
        for place in range(4, len(whole) - 1, max(1, len(whole) // 60)):
            path.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
            try:
                if not query(out, ask).equals(expected):
                    wrong.append((file, place))
            except FormatError as error:
                refused += "must be whole" in str(error)
        path.write_bytes(whole)
        assert refused > 10
    assert not wrong


def test_refuses_a_query_that_is_no_text(out):
    with pytest.raises(ConfigError, match="a query must be one that DuckDB can answer"):
        query(out, "select '\udc80'")

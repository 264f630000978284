"""Tables of cases: read strictly, written so that nothing can run, equal after a round trip."""

import gzip
import tracemalloc
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

import vesalius.io._rows as rows
from vesalius.errors import FormatError, OutputError
from vesalius.io.tables import read_note, read_rows, safe_cell, write_csv, write_note, write_parquet

FRAME = pd.DataFrame(
    {"case": ["a", "b", "c"], "x": [1.5, float("nan"), -2e-300], "sex": ["f", "", "m"]}
)


@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz", "t.parquet"])
class TestRoundTrip:
    def test_gives_the_table_back(self, tmp_path, name):
        write = write_parquet if name.endswith("parquet") else write_csv
        write(tmp_path / name, FRAME)
        pd.testing.assert_frame_equal(read_rows(tmp_path / name), FRAME, check_dtype=False)

    def test_writes_the_same_bytes_twice(self, tmp_path, name):
        write = write_parquet if name.endswith("parquet") else write_csv
        write(tmp_path / name, FRAME)
        first = (tmp_path / name).read_bytes()
        write(tmp_path / name, FRAME)
        assert (tmp_path / name).read_bytes() == first

    def test_a_folder_that_is_not_there_is_refused(self, tmp_path, name):
        write = write_parquet if name.endswith("parquet") else write_csv
        with pytest.raises(OutputError, match="folder"):
            write(tmp_path / "no" / name, FRAME)


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=20))
def test_every_number_comes_back_exactly(tmp_path_factory, numbers):
    path = tmp_path_factory.mktemp("exact") / "t.csv"
    write_csv(path, pd.DataFrame({"x": numbers}))
    np.testing.assert_array_equal(read_rows(path)["x"].to_numpy(), np.array(numbers))


@given(st.text(st.characters(blacklist_categories=("Cs", "Cc")), max_size=12))
def test_no_text_is_a_formula_and_all_come_back(tmp_path_factory, text):
    path = tmp_path_factory.mktemp("text") / "t.csv"
    write_csv(path, pd.DataFrame({"who": ["plain", text]}))
    for line in path.read_text(encoding="utf-8").splitlines():
        assert not line.startswith(("=", "+", "-", "@"))
    back = read_rows(path)["who"].tolist()[1]
    assert back == text or (text.strip().lower() in rows.MISSING and back == "")


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@sum", "\tx"])
def test_a_formula_gets_an_apostrophe(text):
    assert safe_cell(text) == "'" + text


def test_a_carriage_return_does_not_end_a_line():
    assert safe_cell("a\rb") == "a b"


class TestTypes:
    def read(self, tmp_path, text, name="t.csv"):
        (tmp_path / name).write_text(text, encoding="utf-8")
        return read_rows(tmp_path / name)

    def test_numbers_are_numbers_and_names_stay(self, tmp_path):
        found = self.read(tmp_path, "id,x,y\n007,1,NA\n008,2.5,3e2\n")
        assert found["id"].tolist() == ["007", "008"]
        assert found["x"].tolist() == [1.0, 2.5]
        assert np.isnan(found["y"][0])
        assert found["y"][1] == 300.0

    def test_a_fraction_below_one_is_a_number(self, tmp_path):
        assert self.read(tmp_path, "x\n0.5\n00.25\n")["x"].tolist() == [0.5, 0.25]

    def test_one_text_makes_the_column_text(self, tmp_path):
        assert self.read(tmp_path, "x,y\n1,1\nlarge,2\n")["x"].tolist() == ["1", "large"]

    @pytest.mark.parametrize("word", ["", "NA", "n/a", "NaN", "null", "None", "-", "."])
    def test_knows_the_words_for_missing(self, tmp_path, word):
        assert np.isnan(self.read(tmp_path, f"id,x\na,{word}\nb,2\n")["x"][0])

    def test_a_column_of_nothing_is_text(self, tmp_path):
        assert self.read(tmp_path, "id,x\na,\nb,\n")["x"].tolist() == ["", ""]

    def test_a_mark_of_byte_order_is_no_name(self, tmp_path):
        assert list(self.read(tmp_path, "\ufeffid,x\na,1\n").columns) == ["id", "x"]

    def test_tabs_part_a_tsv(self, tmp_path):
        assert self.read(tmp_path, "id\tx\na\t1\n", "t.tsv")["x"].tolist() == [1.0]

    def test_switches_and_dates_of_parquet(self, tmp_path):
        table = pyarrow.table(
            {"b": [True, False], "t": pyarrow.array([0, 1], pyarrow.timestamp("s"))}
        )
        pyarrow.parquet.write_table(table, tmp_path / "t.parquet")
        found = read_rows(tmp_path / "t.parquet")
        assert found["b"].tolist() == [1.0, 0.0]
        assert found["t"].tolist() == ["1970-01-01 00:00:00", "1970-01-01 00:00:01"]


class TestRefuses:
    def test_what_is_not_there(self, tmp_path):
        with pytest.raises(FormatError, match=r"must be a file, there is none at 'no.csv'"):
            read_rows(tmp_path / "no.csv")

    def test_other_kinds(self, tmp_path):
        with pytest.raises(FormatError, match="must be one of"):
            read_rows(tmp_path / "t.xlsx")

    @pytest.mark.parametrize("name", ["t.parquet", "t.csv.gz"])
    @pytest.mark.parametrize("keep", [0, 3, 20, -9])
    def test_damaged_files(self, tmp_path, name, keep):
        (write_parquet if name.endswith("parquet") else write_csv)(tmp_path / name, FRAME)
        body = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(body[:keep])
        with pytest.raises(FormatError, match=r"must be whole|must have a header"):
            read_rows(tmp_path / name)

    def test_a_note_of_a_damaged_file(self, tmp_path):
        (tmp_path / "t.parquet").write_bytes(b"PAR1 no more")
        with pytest.raises(FormatError, match="must be whole"):
            read_note(tmp_path / "t.parquet")

    def test_bytes_that_are_no_text(self, tmp_path):
        (tmp_path / "t.csv").write_bytes(b"a,b\n\xff\xfe,1\n")
        with pytest.raises(FormatError, match="must be whole"):
            read_rows(tmp_path / "t.csv")

    def test_zero_bytes(self, tmp_path):
        (tmp_path / "t.csv").write_bytes(b"a,b\n\0,1\n")
        with pytest.raises(FormatError, match="must be whole"):
            read_rows(tmp_path / "t.csv")

    def test_a_header_alone(self, tmp_path):
        (tmp_path / "t.csv").write_text("a,b\n")
        with pytest.raises(FormatError, match="header and at least one row"):
            read_rows(tmp_path / "t.csv")

    def test_lines_of_other_lengths(self, tmp_path):
        (tmp_path / "t.csv").write_text("a,b\n1,2\n3\n")
        with pytest.raises(FormatError, match=r"line 3 of 't.csv' has 1"):
            read_rows(tmp_path / "t.csv")

    def test_a_name_that_stands_twice(self, tmp_path):
        (tmp_path / "t.csv").write_text("a,a\n1,2\n")
        with pytest.raises(FormatError, match="has 'a' twice"):
            read_rows(tmp_path / "t.csv")

    def test_a_column_without_a_name(self, tmp_path):
        (tmp_path / "t.csv").write_text("a,,c\n1,2,3\n")
        with pytest.raises(FormatError, match=r"column 2 of 't.csv' has none"):
            read_rows(tmp_path / "t.csv")

    def test_lists_in_cells(self, tmp_path):
        pyarrow.parquet.write_table(pyarrow.table({"x": [[1, 2]]}), tmp_path / "t.parquet")
        with pytest.raises(FormatError, match=r"'x' of 't.parquet' holds"):
            read_rows(tmp_path / "t.parquet")

    def test_what_unpacks_to_too_much(self, tmp_path, monkeypatch):
        monkeypatch.setattr(rows, "MOST_BYTES", 1 << 10)
        (tmp_path / "t.csv.gz").write_bytes(gzip.compress(b"a,b\n" + b"1,2\n" * 4096))
        with pytest.raises(FormatError, match="must unpack to at most"):
            read_rows(tmp_path / "t.csv.gz")


class TestNote:
    def test_comes_back(self, tmp_path):
        write_parquet(tmp_path / "t.parquet", FRAME, note={"parameters": "ab", "features": ["x"]})
        assert read_note(tmp_path / "t.parquet") == {"parameters": "ab", "features": ["x"]}

    def test_of_a_text_file_is_empty(self, tmp_path):
        write_csv(tmp_path / "t.csv", FRAME)
        assert read_note(tmp_path / "t.csv") == {}

    def test_of_a_text_file_stands_beside_it(self, tmp_path):
        write_csv(tmp_path / "t.csv", FRAME)
        write_note(tmp_path / "t.csv", {"features": ["x"], "history": []})
        assert (tmp_path / "t.csv.note.json").is_file()
        assert read_note(tmp_path / "t.csv") == {"features": ["x"], "history": []}

    def test_beside_a_text_file_that_is_damaged_is_refused(self, tmp_path):
        write_csv(tmp_path / "t.csv", FRAME)
        (tmp_path / "t.csv.note.json").write_text("{")
        with pytest.raises(FormatError, match=r"t\.csv\.note\.json"):
            read_note(tmp_path / "t.csv")

    def test_beside_a_text_file_that_is_too_large_is_refused(self, tmp_path, monkeypatch):
        write_csv(tmp_path / "t.csv", FRAME)
        write_note(tmp_path / "t.csv", {"features": ["x"] * 500})
        monkeypatch.setattr(rows, "MOST_BYTES", 1 << 10)
        with pytest.raises(FormatError, match="must unpack to at most"):
            read_note(tmp_path / "t.csv")

    def test_of_a_stranger_is_empty(self, tmp_path):
        FRAME.to_parquet(tmp_path / "t.parquet")
        assert read_note(tmp_path / "t.parquet") == {}

    def test_that_is_no_mapping_is_empty(self, tmp_path):
        table = pyarrow.table({"x": [1.0]}).replace_schema_metadata({b"vesalius": b"[1]"})
        pyarrow.parquet.write_table(table, tmp_path / "t.parquet")
        assert read_note(tmp_path / "t.parquet") == {}


class TestWhatIsNoNumber:
    def read(self, tmp_path, text):
        (tmp_path / "t.csv").write_text(text, encoding="utf-8")
        return read_rows(tmp_path / "t.csv")

    @pytest.mark.parametrize("name", ["1_1", "١٢", "0x1A", "1 2", "infx", "--1"])
    def test_a_name_that_python_or_a_person_may_read_as_one_stays(self, tmp_path, name):
        assert self.read(tmp_path, f"id,x\n{name},1\n11,2\n")["id"].tolist() == [name, "11"]

    @pytest.mark.parametrize(
        "cell", ["1", "-1.", "+.5", "1e3", "1.5E-300", " 2 ", "inf", "-Infinity"]
    )
    def test_every_way_to_write_one_is_read(self, tmp_path, cell):
        assert self.read(tmp_path, f"id,x\na,{cell}\nb,2\n")["x"][0] == float(cell)

    def test_whole_numbers_that_float64_cannot_hold_stay_apart(self, tmp_path):
        ids = ["1000000000000000001", "1000000000000000002"]
        found = self.read(tmp_path, f"id,x\n{ids[0]},1\n{ids[1]},10000000000000000\n")
        assert found["id"].tolist() == ids
        assert found["x"].tolist() == [1.0, 1e16]

    def test_whole_numbers_of_parquet_that_float64_cannot_hold_stay_apart(self, tmp_path):
        ids = pyarrow.array([2**60 + 1, 2**60 + 2, None])
        pyarrow.parquet.write_table(pyarrow.table({"id": ids}), tmp_path / "t.parquet")
        found = read_rows(tmp_path / "t.parquet")["id"].tolist()
        assert found == [str(2**60 + 1), str(2**60 + 2), ""]

    def test_decimals_of_parquet_are_numbers(self, tmp_path):
        array = pyarrow.array([Decimal("1.50"), None])
        pyarrow.parquet.write_table(pyarrow.table({"x": array}), tmp_path / "t.parquet")
        np.testing.assert_array_equal(read_rows(tmp_path / "t.parquet")["x"], [1.5, np.nan])

    def test_a_quote_that_is_never_closed_swallows_no_line(self, tmp_path):
        with pytest.raises(FormatError, match=r"quotes that close, 't\.csv' has not"):
            self.read(tmp_path, 'id,x\n1,"abc\n2,def\n3,g\n')

    @pytest.mark.parametrize("text", ["id,x\r1,2\r3,4\r", "id,x\n1," + "a" * 200_000 + "\n"])
    def test_lines_that_cannot_be_parted_are_refused(self, tmp_path, text):
        (tmp_path / "t.csv").write_bytes(text.encode())
        with pytest.raises(FormatError, match="must have lines that end"):
            read_rows(tmp_path / "t.csv")

    def test_semicolons_are_named(self, tmp_path):
        with pytest.raises(FormatError, match=r"cells must be parted by ',', 't\.csv' parts them"):
            self.read(tmp_path, "id;x\n1;2,5\n3;4,5\n")


@pytest.mark.parametrize("name", ["t.csv", "t.parquet"])
def test_every_word_of_pandas_for_a_gap_is_written_as_one(tmp_path, name):
    frame = pd.DataFrame(
        {
            "case": ["a", "b"],
            "n": pd.array([1, None], "Int64"),
            "q": pd.array([True, None], "boolean"),
            "t": pd.array(["x", None], "string"),
            "o": pd.Series(["x", pd.NA], dtype=object),
        }
    )
    write = write_parquet if name.endswith("parquet") else write_csv
    write(tmp_path / name, frame)
    found = read_rows(tmp_path / name)
    assert found["t"].tolist() == found["o"].tolist() == ["x", ""]
    np.testing.assert_array_equal(found[["n", "q"]], [[1, 1], [np.nan, np.nan]])


def test_a_small_table_is_read_in_little_memory(tmp_path):
    """Of the machine, too: a limit on memory counts what is set aside, used or not."""
    path = tmp_path / "a.csv"
    path.write_text("a,b\n1,2\n")
    read_rows(path)
    tracemalloc.start()
    assert read_rows(path)["b"].tolist() == [2.0]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 << 20

"""Rows: CSV and Parquet tables, read strictly and written so that nothing in a cell can run."""
# SPDX-License-Identifier: Apache-2.0

import csv
import gzip
import io
import json
import re
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vesalius.errors import FormatError
from vesalius.io._atomic import atomic_write

if TYPE_CHECKING:
    import pandas as pd

SUFFIXES = (".csv", ".csv.gz", ".tsv", ".parquet")
MISSING = frozenset({"", "na", "n/a", "nan", "null", "none", "-", "."})
"""Words for a value that is not there, in small letters."""

_FORMULA = re.compile(r"'*[=+\-@\t]")
"""What a spreadsheet would run, or would be if an apostrophe of ours were taken away."""
_CODE = re.compile(r"\s*[+-]?0\d[^.]*$")
"""Digits with a leading zero: the name of a case, not a number."""
_LONG = re.compile(r"\s*[+-]?\d{16,}\s*$")
"""As many digits as a number may not be able to keep."""
_NUMBER = re.compile(r"\s*[+-]?((\d+\.?\d*|\.\d+)(e[+-]?\d+)?|inf(inity)?)\s*$", re.ASCII | re.I)
"""How a number is written; Python itself also takes 1_2, which is the name of something."""
_KEY = b"vesalius"
_BLOCK = 1 << 20
MOST_BYTES = 4 << 30
"""Largest table that is taken into memory, unpacked."""


def safe_cell(text: str) -> str:
    """Write a text so that no spreadsheet runs it as a formula.

    Args:
        text: Any text.

    Returns:
        The text, with an apostrophe in front where a spreadsheet would calculate; a carriage return
        becomes a blank, since it would end the line for some readers.
    """
    text = text.replace("\r", " ")
    return "'" + text if _FORMULA.match(text) else text


def read_rows(path: str | Path) -> "pd.DataFrame":
    """Read a table: CSV (also gzipped), TSV or Parquet.

    A column of a text file is numeric where every cell that is not missing is a number and none
    has a leading zero as in ``007`` or is a whole number that float64 cannot hold; else it stays
    text to the letter. Missing are empty cells and the words NA, N/A, NaN, null, none, ``-`` and
    ``.``.

    Args:
        path: The file.

    Returns:
        One row for each line: float64 and text columns; missing is NaN and the empty text.

    Raises:
        FormatError: There is no such file, the kind is not known, the file is damaged, too large,
            empty, a line has another number of cells than the header, or a name stands twice.
    """
    path = Path(path)
    kind = _kind(path)
    if not path.is_file():
        raise FormatError(f"a table must be a file, there is none at {path.name!r}: check the path")
    return _read_parquet(path) if kind == ".parquet" else _read_text(path, kind)


def read_note(path: str | Path) -> dict[str, Any]:
    """Read what a table of ours says of itself: in a Parquet file, else in a file beside it.

    Args:
        path: The table.

    Returns:
        The note, JSON types; empty where there is none.

    Raises:
        FormatError: The file, or the one beside it, is damaged.
    """
    path = Path(path)
    beside = note_file(path)
    try:
        if _kind(path) != ".parquet":
            if not beside.is_file():
                return {}
            _check_size(beside, beside.stat().st_size)
            note = json.loads(beside.read_bytes())
        else:
            import pyarrow.parquet

            metadata = pyarrow.parquet.read_schema(path).metadata or {}
            note = json.loads(metadata.get(_KEY, b"{}"))
    except (OSError, ValueError, RecursionError) as error:
        if isinstance(error, FormatError):
            raise  # says it already
        raise _damaged(path if _kind(path) == ".parquet" else beside, error) from None
    return note if isinstance(note, dict) else {}


def note_file(path: str | Path) -> Path:
    """Give the name of the file in which a table of text keeps its note."""
    return Path(path).with_name(f"{Path(path).name}.note.json")


def write_note(path: str | Path, note: Mapping[str, object]) -> None:
    """Write the note of a table of text beside it, where ``read_note`` finds it.

    Args:
        path: The table.
        note: JSON types.

    Raises:
        OutputError: It cannot be written.
    """
    with atomic_write(note_file(path)) as file:
        file.write((json.dumps(dict(note), indent=2, sort_keys=True) + "\n").encode())


def write_csv(path: str | Path, frame: "pd.DataFrame") -> None:
    r"""Write a table as CSV, whole or not at all.

    Args:
        path: The file; ``.csv.gz`` is packed.
        frame: Numbers come back exactly; text that a spreadsheet would run gets an apostrophe,
            which ``read_rows`` takes away again; missing is an empty cell.

    Raises:
        OutputError: It cannot be written.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([safe_cell(str(name)) for name in frame.columns])
    cells = [_cells(frame.iloc[:, j]) for j in range(frame.shape[1])]
    writer.writerows(zip(*cells, strict=True))
    body = out.getvalue().encode()
    with atomic_write(path) as file:
        # no time and no name in the packed file: equal tables are equal bytes
        file.write(gzip.compress(body, mtime=0) if str(path).endswith(".gz") else body)


def write_parquet(
    path: str | Path, frame: "pd.DataFrame", *, note: Mapping[str, object] | None = None
) -> None:
    """Write a table as Parquet, whole or not at all, without time stamps.

    Args:
        path: The file.
        frame: Numbers and text.
        note: JSON types that ``read_note`` gives back.

    Raises:
        OutputError: It cannot be written.
    """
    import pyarrow
    import pyarrow.parquet

    arrays = [_array(frame.iloc[:, j]) for j in range(frame.shape[1])]
    table = pyarrow.Table.from_arrays(arrays, names=[str(name) for name in frame.columns])
    if note:
        text = json.dumps(dict(note), sort_keys=True, separators=(",", ":"))
        table = table.replace_schema_metadata({_KEY: text.encode()})
    out = io.BytesIO()
    pyarrow.parquet.write_table(table, out, compression="zstd", write_page_checksum=True)
    with atomic_write(path) as file:
        file.write(out.getvalue())


def _kind(path: Path) -> str:
    for suffix in SUFFIXES:
        if path.name.lower().endswith(suffix):
            return suffix
    raise FormatError(
        f"a table must be one of {', '.join(SUFFIXES)}, got {path.name!r}: save it as CSV"
    )


def _damaged(path: Path, error: Exception) -> FormatError:
    return FormatError(
        f"the table {path.name!r} must be whole, it cannot be read ({type(error).__name__}): "
        "export it again"
    )


def _read_parquet(path: Path) -> "pd.DataFrame":
    import pandas as pd
    import pyarrow
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(path, page_checksum_verification=True) as file:
            size = sum(
                file.metadata.row_group(k).total_byte_size for k in range(file.num_row_groups)
            )
            _check_size(path, size)
            table = file.read()
    except (OSError, ValueError, pyarrow.ArrowException) as error:
        if isinstance(error, FormatError):
            raise
        raise _damaged(path, error) from None
    _check_names(path, table.column_names)
    columns = {name: _typed(path, name, table.column(name)) for name in table.column_names}
    return pd.DataFrame(columns, index=pd.RangeIndex(table.num_rows))


def _typed(path: Path, name: str, column: Any) -> Any:
    """Numbers and switches as float64, all else as text."""
    import pyarrow
    import pyarrow.types as kinds

    kind = column.type
    if kinds.is_integer(kind) or kinds.is_floating(kind) or kinds.is_boolean(kind):
        try:
            return column.cast("double").to_numpy(zero_copy_only=False)
        except pyarrow.ArrowInvalid:  # beyond 2^53: the name of something
            return ["" if value is None else str(value) for value in column.to_pylist()]
    if kinds.is_decimal(kind):
        return column.cast("double").to_numpy(zero_copy_only=False)
    if kinds.is_nested(kind) or kinds.is_binary(kind):
        raise FormatError(
            f"a column must hold numbers or text, {name!r} of {path.name!r} holds {kind}: leave it "
            "out"
        )
    if kinds.is_null(kind):
        return column.cast("double").to_numpy(zero_copy_only=False)
    return ["" if value is None else str(value) for value in column.to_pylist()]


def _read_text(path: Path, kind: str) -> "pd.DataFrame":
    import pandas as pd

    try:
        with gzip.open(path, "rb") if kind == ".csv.gz" else path.open("rb") as file:
            parts, size = [], 0
            # in blocks: to ask for the most at once would set that much memory aside
            while block := file.read(_BLOCK):
                parts.append(block)
                size += len(block)
                _check_size(path, size)
        body = b"".join(parts)
        text = body.decode("utf-8-sig")
    except (OSError, EOFError, UnicodeDecodeError, zlib.error) as error:
        raise _damaged(path, error) from None
    if "\0" in text:
        raise _damaged(path, ValueError())
    rows = _lines(path, text, "\t" if kind == ".tsv" else ",")
    while rows and not rows[-1]:
        rows.pop()
    if len(rows) < 2:
        raise FormatError(
            f"a table must have a header and at least one row, {path.name!r} has {len(rows)} lines"
        )
    header = [_plain(name).strip() for name in rows[0]]
    _check_names(path, header)
    for line, row in enumerate(rows[1:], start=2):
        if len(row) != len(header):
            raise FormatError(
                f"every line must have the {len(header)} cells of the header, line {line} of "
                f"{path.name!r} has {len(row)}: quote cells that hold a comma"
            )
    columns = {name: _column([row[j] for row in rows[1:]]) for j, name in enumerate(header)}
    return pd.DataFrame(columns)


def _lines(path: Path, text: str, delimiter: str) -> list[list[str]]:
    try:
        # strict, since a quote that is never closed would swallow all lines after it
        rows = list(csv.reader(io.StringIO(text), delimiter=delimiter, strict=True))
    except csv.Error as error:
        raise FormatError(
            f"a table must have lines that end and quotes that close, {path.name!r} has not "
            f"({error}): export it again as CSV"
        ) from None
    if rows and len(rows[0]) == 1 and ";" in rows[0][0]:
        raise FormatError(
            f"cells must be parted by {delimiter!r}, {path.name!r} parts them by ';': export it "
            "again with commas between cells and points in numbers"
        )
    return rows


def _check_size(path: Path, size: int) -> None:
    if size > MOST_BYTES:
        raise FormatError(
            f"a table must unpack to at most {MOST_BYTES >> 30} GiB, {path.name!r} is larger: "
            "leave out columns, or query it with DuckDB first"
        )


def _check_names(path: Path, names: list[str]) -> None:
    seen: set[str] = set()
    for place, name in enumerate(names, start=1):
        if not name and place > 1:
            raise FormatError(
                f"every column must have a name, column {place} of {path.name!r} has none"
            )
        if name in seen:
            raise FormatError(
                f"each column must be named once, {path.name!r} has {name!r} twice: rename one"
            )
        seen.add(name)


def _column(cells: list[str]) -> Any:
    import numpy as np

    missing = [cell.strip().lower() in MISSING for cell in cells]
    found = np.full(len(cells), np.nan)
    for k, cell in enumerate(cells):
        if missing[k]:
            continue
        if _CODE.match(cell) or not _NUMBER.match(cell):
            break
        found[k] = float(cell)
        if _LONG.match(cell) and int(found[k]) != int(cell):
            break
    else:
        if not all(missing):
            return found
    return ["" if gone else _plain(cell) for cell, gone in zip(cells, missing, strict=True)]


def _plain(cell: str) -> str:
    return cell[1:] if cell[:1] == "'" and _FORMULA.match(cell[1:]) else cell


def _cells(column: "pd.Series") -> list[str]:
    kind = column.dtype.kind

    def said(value: Any) -> str:
        if kind == "f":
            return repr(float(value))
        return str(int(value)) if kind in "iub" else safe_cell(str(value))

    gone = column.isna().tolist()
    return ["" if none else said(v) for v, none in zip(column.tolist(), gone, strict=True)]


def _array(column: "pd.Series") -> Any:
    import pyarrow

    cells = list(zip(column.tolist(), column.isna().tolist(), strict=True))
    if column.dtype.kind in "fiub":
        return pyarrow.array([None if none else float(v) for v, none in cells], "double")
    return pyarrow.array(["" if none else str(v) for v, none in cells], pyarrow.string())

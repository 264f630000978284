"""Query: the tables of a cohort by SQL, with no way from a query to any other file."""
# SPDX-License-Identifier: Apache-2.0

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vesalius.errors import ConfigError, ExtraError, FormatError
from vesalius.study.cohort._join import CASES, FEATURES, WIDE

if TYPE_CHECKING:
    import pandas as pd

VIEWS = {"features": FEATURES, "wide": WIDE, "cases": CASES}
"""Names in a query, and the files behind them."""

_READING = ("SELECT", "MULTI", "EXPLAIN")
"""Kinds of statements that give a table and change nothing; MULTI is a PIVOT."""
_SHOWN = 12
_STREAM = "reading the stream registered as"
"""What DuckDB says where Arrow cannot read a table."""

_SETTINGS = {
    "python_enable_replacements": "false",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
}
_LOCKS = (
    "SET temp_directory = ''",
    "SET enable_external_access = false",
    "SET lock_configuration = true",
)


def query(out: str | Path, sql: str) -> "pd.DataFrame":
    """Ask the tables of a cohort.

    The query sees ``features`` (one row for each number), ``wide`` (one for each case and region)
    and ``cases`` (one for each case), and nothing else: it can open no file, write none and load
    no extension, so that a query from elsewhere can be run. ``case`` is a word of SQL: the column
    is written ``"case"``.

    Args:
        out: The folder of the cohort.
        sql: One statement that gives a table, in the SQL of DuckDB.

    Returns:
        The table.

    Raises:
        FormatError: The folder has no tables, or one is damaged.
        ConfigError: The query is not one statement that reads, or DuckDB refuses it.
        ExtraError: DuckDB is not installed.
    """
    duckdb = _duckdb()
    with _opened(duckdb, Path(out)) as base:
        try:
            kinds = [str(one.type).rpartition(".")[2] for one in base.extract_statements(sql)]
            if len(kinds) != 1 or kinds[0] not in _READING:
                told = ", ".join(kinds) or "none"
                raise ConfigError(
                    f"a query must be one statement that reads (select ...), got {told}: the "
                    "tables of a cohort are written by 'vesalius cohort run' alone"
                )
            found: pd.DataFrame = base.execute(sql).df()
            return found
        except (duckdb.Error, TypeError) as error:  # a text that is no Unicode is a TypeError
            if _STREAM in str(error):
                name = str(error).partition(_STREAM)[2].split("'")[1]
                raise _damaged(VIEWS.get(name, name), error) from None
            raise ConfigError(_refused(base, str(error))) from None


def _damaged(file: str, error: Exception) -> FormatError:
    return FormatError(
        f"the table {file!r} must be whole, it cannot be read ({type(error).__name__}): run "
        "'vesalius cohort run' again, which writes it from the journal"
    )


def _opened(duckdb: Any, out: Path) -> Any:
    """Open an empty data base in memory, show it the tables, and lock it."""
    import pyarrow
    from pyarrow import dataset

    # a page that lost a bit must not pass for other numbers
    checked = dataset.ParquetFileFormat(
        default_fragment_scan_options=dataset.ParquetFragmentScanOptions(
            page_checksum_verification=True
        )
    )
    base = duckdb.connect(":memory:", config=_SETTINGS)
    for name, file in VIEWS.items():
        path = out / file
        if not path.is_file():
            raise FormatError(
                f"a folder must be that of a cohort, {out.name!r} holds no {file}: run 'vesalius "
                "cohort run' to its end first"
            )
        try:
            # read by Arrow as far as a query needs it: DuckDB itself may open nothing
            base.register(name, dataset.dataset(path, format=checked))
            _columns(base, name)  # names that are no text show only here
        except (OSError, pyarrow.ArrowException, duckdb.Error) as error:
            raise _damaged(file, error) from None
    for text in _LOCKS:
        base.execute(text)
    return base


def _refused(base: Any, error: str) -> str:
    told = " ".join(error.partition("\n\nLINE")[0].split())
    views = "; ".join(f"{name}: {_columns(base, name)}" for name in VIEWS)
    hint = ' (write "case" with quotes, it is a word of SQL)' if "syntax error" in told else ""
    return f"a query must be one that DuckDB can answer, it says: {told}{hint}. There are {views}"


def _columns(base: Any, view: str) -> str:
    names = [name for name, *_ in base.execute(f"DESCRIBE {view}").fetchall()]
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _duckdb() -> Any:
    try:
        return import_module("duckdb")
    except ImportError as error:
        raise ExtraError(
            "DuckDB must be installed to query a cohort, it is not: pip install 'vesalius[tables]'"
        ) from error

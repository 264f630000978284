"""Tables: the long table as CSV and Parquet, the same bytes for the same numbers."""
# SPDX-License-Identifier: Apache-2.0

import csv
import io
import math
from typing import TYPE_CHECKING

from vesalius.io.tables import safe_cell
from vesalius.measure import COLUMNS
from vesalius.study._part import NUMBERS

if TYPE_CHECKING:
    from pandas import DataFrame


def csv_text(table: "DataFrame") -> str:
    r"""Write the table as CSV: every float comes back exactly, no text can act as a formula.

    Args:
        table: Columns of the canonical long table; others follow after them.

    Returns:
        Text with ``\n`` line ends. A text cell that a spreadsheet would run as a formula gets a
        leading apostrophe; a missing number is an empty cell.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    columns = _columns(table)
    writer.writerow([safe_cell(name) for name in columns])
    cells = [_cells(table, name) for name in columns]
    writer.writerows(zip(*cells, strict=True))
    return out.getvalue()


def parquet_bytes(table: "DataFrame") -> bytes:
    """Write the table as Parquet, without time stamps or the writer's own notes.

    Args:
        table: As for ``csv_text``.

    Returns:
        The file.
    """
    import pyarrow
    import pyarrow.parquet

    columns = _columns(table)
    kinds = {name: pyarrow.float64() if name in NUMBERS else pyarrow.string() for name in columns}
    arrays = [
        pyarrow.array(_numbers(table, name) if name in NUMBERS else _strings(table, name), kind)
        for name, kind in kinds.items()
    ]
    out = io.BytesIO()
    pyarrow.parquet.write_table(
        pyarrow.Table.from_arrays(arrays, names=columns), out, compression="zstd"
    )
    return out.getvalue()


def wide_csv(table: "DataFrame") -> str:
    """Write one row for each region as CSV, names of ``[A-Za-z0-9_]`` only.

    Args:
        table: The canonical long table.

    Returns:
        Text as ``csv_text`` makes it.
    """
    from vesalius.measure import wide

    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    rows = wide(table)
    writer.writerow(rows.columns)
    for row in rows.itertuples(index=False):
        writer.writerow([safe_cell(v) if isinstance(v, str) else _number(v) for v in row])
    return out.getvalue()


def _number(value: float) -> str:
    return "" if math.isnan(value) else repr(float(value))


def _columns(table: "DataFrame") -> list[str]:
    known = [name for name in COLUMNS if name in table.columns]
    return known + [str(name) for name in table.columns if name not in COLUMNS]


def _cells(table: "DataFrame", name: str) -> list[str]:
    if name in NUMBERS:
        return ["" if v is None else repr(v) for v in _numbers(table, name)]
    return [safe_cell(value) for value in _strings(table, name)]


def _numbers(table: "DataFrame", name: str) -> list[float | None]:
    values = [float(v) for v in table[name].tolist()]
    return [None if math.isnan(v) else v for v in values]


def _strings(table: "DataFrame", name: str) -> list[str]:
    return ["" if v is None or v != v else str(v) for v in table[name].tolist()]

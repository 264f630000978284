"""Tables of cases: CSV and Parquet, read strictly, written so that nothing in a cell can run."""
# SPDX-License-Identifier: Apache-2.0

from vesalius.io._rows import (
    SUFFIXES,
    read_note,
    read_rows,
    safe_cell,
    write_csv,
    write_note,
    write_parquet,
)

__all__ = [
    "SUFFIXES",
    "read_note",
    "read_rows",
    "safe_cell",
    "write_csv",
    "write_note",
    "write_parquet",
]

"""Tables of cases: CSV and Parquet, read strictly, written so that nothing in a cell can run."""
# SPDX-License-Identifier: Apache-2.0

from vesalius.io._rows import read_note, read_rows, safe_cell, write_csv, write_parquet

__all__ = ["read_note", "read_rows", "safe_cell", "write_csv", "write_parquet"]

"""IBSI compliance: pass or fail for every row that has a tolerance, and the table of the docs.

    python benchmarks/ibsi.py            # the rows that fail, and the counts
    python benchmarks/ibsi.py --all      # every row

IBSI-1: the digital phantom and configurations A, B and C of the CT phantom. IBSI-2: response maps
and intensity statistics. The counts are written to ``ibsi_summary.json``, from which the docs make
their table; no reference data are written anywhere.
"""
# SPDX-License-Identifier: Apache-2.0

import csv
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from math import floor, isfinite, log10
from pathlib import Path

from _ibsi2 import map_rows, value_rows
from _measure_cases import data_root

from vesalius.io import as_labels, open
from vesalius.measure import extract, load_config
from vesalius.measure._catalogue import by_tag

HERE = Path(__file__).parent
CONFIGS = HERE.parent / "examples" / "ibsi1"
SETS = {
    "digital phantom": ("phantom", "ibsi1_digital_phantom", "ibsi_1_dig_phantom"),
    "CT, configuration A": ("config_a", "ibsi1_ct_phantom", "ibsi_1_chest_config_a"),
    "CT, configuration B": ("config_b", "ibsi1_ct_phantom", "ibsi_1_chest_config_b"),
    "CT, configuration C": ("config_c", "ibsi1_ct_phantom", "ibsi_1_chest_config_c"),
}


@dataclass(frozen=True)
class Row:
    """One comparison."""

    family: str
    name: str
    value: float
    reference: float
    tolerance: float

    @property
    def passes(self) -> bool:
        """Whether the value, rounded to three significant digits, is within the tolerance."""
        slack = 1e-9 * max(abs(self.reference), 1e-12)
        return abs(rounded(self.value) - self.reference) <= self.tolerance + slack


def rounded(value: float) -> float:
    """Round to three significant digits."""
    if value == 0 or not isfinite(value):
        return value
    return round(value, 2 - floor(log10(abs(value))))


def references(path: Path) -> Iterator[tuple[str, float, float]]:
    """Give tag, reference and tolerance of every feature row that has a tolerance."""
    with path.open(encoding="utf-8-sig") as file:
        for row in csv.DictReader(file, delimiter=";"):
            if row["tolerance"].strip():
                yield row["tag"].strip(), float(row["reference value"]), float(row["tolerance"])


def compare_set(root: Path, name: str) -> list[Row]:
    """Measure one data set and put every value beside its reference."""
    config, folder, reference = SETS[name]
    image = open(root / "ibsi" / folder / "image.nii.gz").read()
    labels = as_labels(open(root / "ibsi" / folder / "mask.nii.gz").read())
    table = extract(image, labels, config=load_config(CONFIGS / f"{config}.yaml")).table
    joined = (table.feature + "_" + table.aggregation).str.strip("_")
    values = dict(zip(joined, table.value, strict=True))
    family = dict(zip(joined, table.family, strict=True))
    path = root / "ibsi" / "ibsi1_reference_values" / f"{reference}.csv"
    tags = by_tag()
    found = []
    for tag, target, tolerance in references(path):
        if tag in values:
            found.append(Row(family[tag], tag, values[tag], target, tolerance))
        elif any(tag.startswith(known) for known in tags):
            found.append(Row("missing", tag, float("nan"), target, tolerance))
    return found


def report(name: str, rows: list[Row], *, every: bool) -> dict[str, dict[str, int]]:
    """Print the rows of one set and count them by family."""
    counts: dict[str, dict[str, int]] = {}
    for row in rows:
        entry = counts.setdefault(row.family, {"pass": 0, "of": 0})
        entry["of"] += 1
        entry["pass"] += row.passes
        if every or not row.passes:
            verdict = "pass" if row.passes else "FAIL"
            print(
                f"  {verdict}  {row.name:<34} {row.value:14.6g}  "
                f"reference {row.reference:g} +- {row.tolerance:g}"
            )
    passed = sum(entry["pass"] for entry in counts.values())
    print(f"{name:<44} {passed} / {len(rows)}")
    return counts


def main() -> int:
    """Run everything; 0 where every row passes."""
    root = data_root()
    if root is None:
        print("skipped: the reference data are absent, set VESALIUS_TEST_DATA")
        return 0
    every = "--all" in sys.argv
    sets = {name: report(name, compare_set(root, name), every=every) for name in SETS}
    filters = [Row("response maps", n, v, 0.0, 0.01) for n, v in map_rows(root)]
    filters += [Row(f"filter {n.split()[0]}", n, v, r, t) for n, v, r, t in value_rows(root)]
    if filters:
        sets["filters (IBSI-2)"] = report("filters (IBSI-2)", filters, every=every)
    text = json.dumps({"rule": "3 significant digits", "sets": sets}, indent=1) + "\n"
    (HERE / "ibsi_summary.json").write_text(text, encoding="utf-8")
    return 0 if all(e["pass"] == e["of"] for s in sets.values() for e in s.values()) else 1


if __name__ == "__main__":
    sys.exit(main())

"""A small Sphinx extension: tables of the docs that come from the code, written at build time."""
# SPDX-License-Identifier: Apache-2.0

import json
import re
from itertools import groupby
from pathlib import Path

HERE = Path(__file__).parent
GENERATED = HERE / "reference" / "generated"
IBSI = HERE.parent / "benchmarks" / "ibsi_summary.json"

TITLES = {
    "morphology": "Morphology",
    "local_intensity": "Local intensity",
    "statistics": "Intensity statistics",
    "histogram": "Intensity histogram",
    "ivh": "Intensity-volume histogram",
    "glcm": "Grey level co-occurrence (GLCM)",
    "glrlm": "Grey level runs (GLRLM)",
    "glszm": "Grey level zones (GLSZM)",
    "gldzm": "Grey level distance zones (GLDZM)",
    "ngtdm": "Neighbourhood grey tone differences (NGTDM)",
    "ngldm": "Neighbouring grey level dependence (NGLDM)",
    "distance_shape": "Shape on the signed distance",
    "shape_2d": "Shape of one slice",
    "diameters": "Diameters",
    "pet": "PET",
}


def cell(text):
    """Escape what a Markdown table would take for itself."""
    return text.replace("|", "\\|").replace("*", "\\*").replace("_", "\\_").replace("<", "\\<")


def features_page(features):
    """Write the page of all features, one table for each family."""
    lines = [
        "# Every feature\n",
        "Names are IBSI's tags, codes are IBSI's four letters; a feature outside the standard has "
        "none. `{unit}` stands for the unit of the image. *No value* says when a feature is "
        "undefined: the table then has a reason in place of a number. "
        "`vesalius features` prints the same list.\n",
    ]
    for family, group in groupby(features, key=lambda f: f.family):
        lines += [f"## {TITLES.get(family, family)}\n"]
        lines += [
            "| tag | name | code | unit | definition | no value |",
            "|---|---|---|---|---|---|",
        ]
        for f in group:
            lines.append(
                f"| `{f.tag}` | {cell(f.name)} | {f.code} | {cell(f.unit)} "
                f"| `{f.formula.replace('|', chr(0x2223))}` | {cell(f.undefined)} |"
            )
        lines.append("")
    return "\n".join(lines) + "\n"


def ibsi_table(summary):
    """Write the table of passes: one row for each family, one column for each data set."""
    sets = list(summary["sets"])
    families = list(dict.fromkeys(k for s in sets for k in summary["sets"][s]))
    lines = ["| | " + " | ".join(sets) + " |", "|---" + "|---:" * len(sets) + "|"]
    for family in families:
        cells = []
        for name in sets:
            entry = summary["sets"][name].get(family)
            cells.append(f"{entry['pass']} / {entry['of']}" if entry else "")
        lines.append(f"| {TITLES.get(family, family)} | " + " | ".join(cells) + " |")
    totals = []
    for name in sets:
        rows = summary["sets"][name].values()
        totals.append(f"**{sum(r['pass'] for r in rows)} / {sum(r['of'] for r in rows)}**")
    lines.append("| **all** | " + " | ".join(totals) + " |")
    return "\n".join(lines) + "\n"


def write_if_new(path, text):
    """Write a file only where its text changed, so that the build stays incremental."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


def generate(app):
    """Write the generated pages before Sphinx looks for its sources."""
    from vesalius.measure import catalogue

    write_if_new(GENERATED / "features.md", features_page(catalogue()))
    summary = json.loads(IBSI.read_text(encoding="utf-8")) if IBSI.exists() else {"sets": {}}
    table = ibsi_table(summary) if summary["sets"] else "*Run `benchmarks/ibsi.py` first.*\n"
    write_if_new(GENERATED / "_ibsi.md", table)


def escape(app, what, name, obj, options, lines):
    """Keep what docstrings write plainly, such as (*batch, z) or name_, from being markup."""
    for i, line in enumerate(lines):
        if line.lstrip().startswith((">>>", "...", "..")):
            continue
        pieces = line.split("``")
        for k in range(0, len(pieces), 2):
            pieces[k] = re.sub(r"(?<![\\*])\*(?=[A-Za-z]+[, )])", r"\\*", pieces[k])
            pieces[k] = re.sub(r"(?<=\w)_(?![\w`])", r"\\_", pieces[k])
            pieces[k] = re.sub(r"(?<=\w)\^", r"\\ ^", pieces[k])
            if k and pieces[k][:1] not in ("", " ", ".", ",", ";", ":", ")"):
                pieces[k] = "\\ " + pieces[k]
        lines[i] = "``".join(pieces)


def setup(app):
    """Register with Sphinx."""
    app.connect("builder-inited", generate, priority=100)
    app.connect("autodoc-process-docstring", escape, priority=100)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}

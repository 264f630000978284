"""``vesalius info``: what is at a path, and whether it can be trusted."""
# SPDX-License-Identifier: Apache-2.0

import json as json_module
from pathlib import Path
from typing import Annotated, Any

import typer

from vesalius.cli._exits import PARTIAL, REFUSED
from vesalius.cli._words import printable, split_words

PATH_HELP = "File, folder, archive or DICOMDIR."
WORDS = {"good": "good", "check": "CHECK", "refused": "REFUSED"}
LETTERS = {"info": "note", "warning": "warning", "error": "error"}


def info(
    path: Annotated[Path, typer.Argument(help=PATH_HELP)],
    json: Annotated[bool, typer.Option("--json", help="Everything, for programs.")] = False,
    validate: Annotated[
        bool, typer.Option("--validate", help="Check an OME-Zarr or a BIDS folder by its rules.")
    ] = False,
    patient: Annotated[
        bool, typer.Option("--patient", help="Show what identifies the patient, too.")
    ] = False,
    allow: Annotated[
        str, typer.Option("--allow", help="What to accept, such as tilt,gaps; see the errors.")
    ] = "",
) -> None:
    """Show every volume and file of outlines at a path: grid, unit, findings, one-line verdict.

    Only headers are read. A verdict is 'good', 'CHECK' (a finding may change a number) or
    'REFUSED' (the volume would be wrong; the finding names the word for --allow that accepts it).

    Leaves with 0, with 3 where nothing can be read, with 4 where --validate finds an error.
    """
    if validate:
        _validate(path, json=json)
        return
    from vesalius.io import describe, survey

    found = describe(survey(path, patient=patient, allow=split_words(allow)))
    if json:
        typer.echo(json_module.dumps(found, indent=2, allow_nan=False))
        _leave(found)
        return
    for volume in found["volumes"]:
        typer.echo(printable(_line(volume)))
        _show_findings(volume["findings"])
    for outlines in found["outlines"]:
        names = ", ".join(roi["name"] or "(no name)" for roi in outlines["regions"])
        many = _count(len(outlines["regions"]), "outlined region")
        text = f"{WORDS[outlines['verdict']]:<8} {outlines['name']}  {many}: {names}"
        typer.echo(printable(text))
        _show_findings(outlines["findings"])
    for text in found["refused"]:
        typer.echo(printable(f"REFUSED  {text}"))
    if found["skipped"]:
        more = f" and {len(found['skipped']) - 3} more" if len(found["skipped"]) > 3 else ""
        typer.echo(f"passed over: {', '.join(map(repr, found['skipped'][:3]))}{more}")
    typer.echo(_total(found))
    _leave(found)


def _leave(found: dict[str, Any]) -> None:
    """Leave with 3 where nothing can be read."""
    if not found["volumes"] and not found["outlines"]:
        raise typer.Exit(REFUSED)


def _line(volume: dict[str, Any]) -> str:
    z, y, x = volume["shape"]
    dz, dy, dx = volume["spacing_mm"]
    scale, name = (1000.0, "um") if max(volume["spacing_mm"]) < 0.01 else (1.0, "mm")
    spacing = " x ".join(f"{v * scale:.4g}" for v in (dx, dy, dz))
    unit = "" if volume["unit"] == "1" else volume["unit"]
    words = [
        f"{WORDS[volume['verdict']]:<8} {volume['name']}",
        " ".join(str(volume["meta"].get(k, "")) for k in ("format", "Modality")).strip(),
        f"{x} x {y} x {z}",
        f"{spacing} {name}",
        volume["orientation"][::-1],
        f"{volume['meta'].get('stored', '')} {unit}".strip(),
    ]
    words += [f"{volume['frames']} frames"] if volume["frames"] > 1 else []
    words += [f"{len(volume['channels'])} channels"] if volume["channels"] else []
    words += [f"{len(volume['labels'])} named labels"] if volume["labels"] else []
    words += [f"{1 + len(volume['levels'])} levels"] if volume["levels"] else []
    return "  ".join(word for word in words if word)


def _show_findings(findings: list[dict[str, str]]) -> None:
    words = dict.fromkeys(one["allow"] for one in findings if one["severity"] == "error")
    for one in findings:
        if one["code"] == "skipped":
            continue  # told once, at the end
        # one word alone would not do where there are several errors
        accepted = one["severity"] == "error" and all(words)
        way = f"  [--allow {','.join(words)}]" if accepted else ""
        text = one["message"].strip()
        shown = f"         {LETTERS[one['severity']]:<8}{one['code']}: {text}{way}"
        typer.echo(printable(shown))


def _total(found: dict[str, Any]) -> str:
    refused = len(found["refused"])
    refused += sum(v["verdict"] == "refused" for v in found["volumes"] + found["outlines"])
    parts = [
        _count(len(found["volumes"]), "volume"),
        _count(len(found["outlines"]), "file") + " of outlines" if found["outlines"] else "",
        f"{refused} refused" if refused else "",
        _count(len(found["skipped"]), "file") + " passed over" if found["skipped"] else "",
    ]
    return ", ".join(part for part in parts if part)


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'s' * (number != 1)}"


def _validate(path: Path, *, json: bool) -> None:
    from vesalius.io.bids import validate_bids
    from vesalius.io.micro import validate
    from vesalius.io.micro._store import is_zarr

    findings = validate(path) if is_zarr(path) else validate_bids(path)
    rows = [{"severity": f.severity, "code": f.code, "message": f.message} for f in findings]
    wrong = sum(f.severity == "error" for f in findings)
    if json:
        typer.echo(json_module.dumps({"valid": wrong == 0, "findings": rows}, indent=2))
    else:
        for row in rows:
            typer.echo(f"{LETTERS[row['severity']]:<8}{row['code']}: {row['message']}")
        typer.echo(f"{'NOT VALID' if wrong else 'valid'}  {_count(wrong, 'error')}")
    if wrong:
        raise typer.Exit(PARTIAL)

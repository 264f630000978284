"""``vesalius features``: everything that can be measured."""
# SPDX-License-Identifier: Apache-2.0

import json
from typing import Annotated

import typer


def features(
    family: Annotated[str, typer.Option("--family", help="Only this family, such as glcm.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, with every field.")] = False,
) -> None:
    """List every feature with its IBSI code, unit, formula and reference."""
    from dataclasses import asdict

    from vesalius.measure import catalogue

    entries = catalogue()
    families = list(dict.fromkeys(entry.family for entry in entries))
    if family and family not in families:
        raise typer.BadParameter(f"--family must be one of {', '.join(families)}; got {family!r}")
    chosen = [entry for entry in entries if not family or entry.family == family]
    if as_json:
        typer.echo(json.dumps([asdict(entry) for entry in chosen], indent=2, ensure_ascii=False))
        return
    for name in dict.fromkeys(entry.family for entry in chosen):
        typer.echo(f"\n{name}")
        for entry in chosen:
            if entry.family == name:
                typer.echo(f"  {entry.code or '-':<5}{entry.tag:<28} [{entry.unit}]  {entry.name}")
                typer.echo(f"       {entry.formula}")
                typer.echo(f"       {entry.reference}")

"""``vesalius measure audit``: somebody's feature table, recomputed and explained."""
# SPDX-License-Identifier: Apache-2.0

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    import pandas as pd

    from vesalius.measure import Audited


def audit(
    features: Annotated[Path, typer.Argument(help="CSV of PyRadiomics or MIRP, or features.csv.")],
    image: Annotated[Path, typer.Argument(help="The image it was made from.")],
    labels: Annotated[Path, typer.Argument(help="The labels it was made from.")],
    label: Annotated[int, typer.Option("--label", help="Which region.")] = 1,
    row: Annotated[int, typer.Option("--row", help="Which case of the table, from 0.")] = 0,
    config: Annotated[
        Path | None,
        typer.Option("--config", help="How a table of MIRP or vesalius was made."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="CSV file for one line per column.")
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Print the columns that agree too.")
    ] = False,
) -> None:
    """Recompute a feature table and say per column: agrees, or differs and why."""
    from vesalius import io
    from vesalius.measure import audit as run
    from vesalius.measure import load_config

    settings = None if config is None else load_config(config)
    findings = run(
        _read(features, row),
        io.open(image).read(),
        io.open_labels(labels),
        label=label,
        config=settings,
    )
    _show(findings, everything=everything)
    if out is not None:
        import pandas as pd

        table = pd.DataFrame([f._asdict() for f in findings])
        with io.atomic_write(out) as file:
            file.write(table.to_csv(index=False, lineterminator="\n").encode())
        typer.echo(f"written: {out}")


def _read(path: Path, row: int) -> "pd.DataFrame":
    import pandas as pd

    from vesalius.errors import FormatError

    try:
        table = pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise FormatError(
            f"feature table must be a CSV file, {path.name} is not: {type(error).__name__}"
        ) from error
    if table.shape[1] == 2 or len(table) == 0 or {"feature", "value"} <= set(table.columns):
        return table
    if not 0 <= row < len(table):
        raise FormatError(f"--row must be below the {len(table)} cases of the table, got {row}")
    return table.iloc[[row]]


def _show(findings: "tuple[Audited, ...]", *, everything: bool) -> None:
    """Print the columns by verdict and reason; a ratio, which each has of its own, behind each."""
    groups: dict[tuple[str, str], list[str]] = {}
    for finding in findings:
        why, _, own = finding.why.partition(" (ratio ")
        behind = f"  (ratio {own}" if own else ""
        groups.setdefault((finding.verdict, why), []).append(f"{finding.column}{behind}")
    for (verdict, why), columns in sorted(groups.items(), key=lambda item: -len(item[1])):
        number = "1 column" if len(columns) == 1 else f"{len(columns)} columns"
        typer.echo(f"{verdict}: {number}" + (f" - {why}" if why else ""))
        if everything or verdict == "differs":
            for name in columns:
                typer.echo(f"    {name}")

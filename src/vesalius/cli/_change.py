"""``vesalius measure change``: what differs between sessions, and whether it can be seen."""
# SPDX-License-Identifier: Apache-2.0

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    import pandas as pd


def change(
    tables: Annotated[
        list[Path], typer.Argument(help="features.csv of each session, earliest first.")
    ],
    days: Annotated[str, typer.Option("--days", help="Time of each session, such as 0,90.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="CSV file for the comparison.")],
) -> None:
    """Compare sessions: difference, percent, doubling time, and what these scans could show."""
    from vesalius import io
    from vesalius.measure import change as run

    compared = run(tuple(_read(path) for path in tables), days=_days(days))
    with io.atomic_write(out) as file:
        file.write(compared.to_csv(index=False, lineterminator="\n").encode())
    seen = int((compared["detectable"] == "yes").sum())
    unknown = int((compared["detectable"] == "unknown").sum())
    typer.echo(
        f"{len(compared)} comparisons: {seen} larger than these scans' repeatability, "
        f"{len(compared) - seen - unknown} not, {unknown} unknown; written: {out}"
    )


def _read(path: Path) -> "pd.DataFrame":
    import pandas as pd

    from vesalius.errors import FormatError
    from vesalius.measure import COLUMNS

    text = {"reason": str, "filter": str, "aggregation": str, "discretisation": str}
    try:
        table = pd.read_csv(path, dtype=text, keep_default_na=True)
    except (OSError, ValueError) as error:
        raise FormatError(
            f"session must be a features.csv of vesalius, {path.name} is not: "
            f"{type(error).__name__}"
        ) from error
    missing = [name for name in COLUMNS if name not in table.columns]
    if missing:
        raise FormatError(
            f"session must be a features.csv of vesalius, {path.name} lacks the columns "
            f"{', '.join(missing[:5])}"
        )
    filled = {name: table[name].fillna("") for name in text}
    return table.assign(**filled)


def _days(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(word) for word in text.split(","))
    except ValueError as error:
        raise typer.BadParameter(
            f"must be numbers with commas between, such as 0,90; got {text!r}"
        ) from error

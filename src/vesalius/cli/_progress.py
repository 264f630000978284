"""Progress: a bar with the time left on a terminal, lines or JSON elsewhere, or nothing."""
# SPDX-License-Identifier: Apache-2.0

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from vesalius.core import Step


class Progress(StrEnum):
    """How progress is shown."""

    auto = "auto"
    json = "json"
    none = "none"


@contextmanager
def watch(progress: Progress, *, quiet: bool) -> "Iterator[Callable[[Step], None]]":
    """Show the steps of a run on standard error while it works.

    Args:
        progress: ``auto`` draws a bar on a terminal and writes lines elsewhere; ``json`` writes
            one JSON object for each step; ``none`` is silent.
        quiet: Silent, whatever ``progress`` says but ``json``.

    Yields:
        What to call at each step.
    """
    if progress is Progress.json:
        yield _json_line
    elif quiet or progress is Progress.none:
        yield _nothing
    elif sys.stderr.isatty():
        with _bar() as show:
            yield show
    else:
        yield _line


def _nothing(step: "Step") -> None:
    """Show nothing."""


def _json_line(step: "Step") -> None:
    typer.echo(json.dumps({"what": step.what, "done": step.done, "total": step.total}), err=True)


def _line(step: "Step") -> None:
    typer.echo(f"[{step.done}/{step.total}] {step.what}", err=True)


@contextmanager
def _bar() -> "Iterator[Callable[[Step], None]]":
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("starting", total=None)

        def show(step: "Step") -> None:
            bar.update(task, description=step.what, completed=step.done, total=step.total)

        yield show

"""Progress: a bar with the time left on a terminal, lines or JSON elsewhere, or nothing."""
# SPDX-License-Identifier: Apache-2.0

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from vesalius.core import Step

_WORTH_SAYING_S = 3.0
"""A shorter time left is not shown."""

_PAUSE_S = 1.0
"""Lines for people come no faster than this, but for the last one."""


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
            one JSON object for each step, with the seconds gone and probably left; ``none`` is
            silent.
        quiet: Silent, whatever ``progress`` says but ``json``.

    Yields:
        What to call at each step.
    """
    clock = _Clock()
    if progress is Progress.json:
        yield clock.json_line
    elif quiet or progress is Progress.none:
        yield _nothing
    elif sys.stderr.isatty():
        with _bar() as show:
            yield show
    else:
        yield clock.line


def _nothing(step: "Step") -> None:
    """Show nothing."""


class _Clock:
    """Writes a line for each step, with the time left as the pieces done so far tell it."""

    def __init__(self) -> None:
        self._begun = time.monotonic()
        self._told = -_PAUSE_S

    def json_line(self, step: "Step") -> None:
        """Write a JSON object; ``left_s`` is null until there is something to tell it from."""
        gone, left = self._times(step)
        times = {"elapsed_s": round(gone, 1), "left_s": None if left is None else round(left, 1)}
        place = {"what": step.what, "done": step.done, "total": step.total}
        typer.echo(json.dumps(place | times), err=True)

    def line(self, step: "Step") -> None:
        """Write a line for people."""
        gone, left = self._times(step)
        if gone - self._told < _PAUSE_S and step.done < step.total:
            return
        self._told = gone
        told = f" (about {left:.0f} s left)" if left is not None and left > _WORTH_SAYING_S else ""
        typer.echo(f"[{step.done}/{step.total}] {step.what}{told}", err=True)

    def _times(self, step: "Step") -> tuple[float, float | None]:
        gone = time.monotonic() - self._begun
        return gone, gone / step.done * (step.total - step.done) if step.done else None


@contextmanager
def _bar() -> "Iterator[Callable[[Step], None]]":
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("starting", total=None)

        def show(step: "Step") -> None:
            bar.update(task, description=step.what, completed=step.done, total=step.total)

        yield show

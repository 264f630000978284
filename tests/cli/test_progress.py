"""Progress is a bar on a terminal and lines elsewhere."""

import io
import json
import os
import pty
import select

import pytest

from vesalius.cli._progress import Progress, watch
from vesalius.core import Step


def test_lines_where_there_is_no_terminal(capsys):
    with watch(Progress.auto, quiet=False) as on_step:
        on_step(Step("heart", 0, 2))
    assert capsys.readouterr().err == "[0/2] heart\n"


@pytest.fixture
def clock(monkeypatch):
    """A clock that is put by hand."""
    now = [100.0]
    monkeypatch.setattr("vesalius.cli._progress.time.monotonic", lambda: now[0])
    return now


def test_a_line_tells_the_time_left(capsys, clock):
    with watch(Progress.auto, quiet=False) as on_step:
        clock[0] = 110.0
        on_step(Step("heart, 8 of 30 perturbed", 1, 4))
        on_step(Step("done", 4, 4))
    told = capsys.readouterr().err.splitlines()
    assert told == ["[1/4] heart, 8 of 30 perturbed (about 30 s left)", "[4/4] done"]


def test_lines_come_no_faster_than_one_a_second(capsys, clock):
    with watch(Progress.auto, quiet=False) as on_step:
        for k in range(1, 41):
            clock[0] += 0.1
            on_step(Step("turn", k, 40))
    told = [line.split("]")[0] for line in capsys.readouterr().err.splitlines()]
    assert told[0] == "[1/40"
    assert told[-1] == "[40/40"
    assert 4 <= len(told) <= 6


def test_json_tells_the_time_gone_and_left(capsys, clock):
    with watch(Progress.json, quiet=True) as on_step:
        on_step(Step("heart", 0, 4))
        clock[0] = 110.0
        on_step(Step("heart", 2, 4))
    first, second = map(json.loads, capsys.readouterr().err.splitlines())
    assert first["left_s"] is None
    assert (second["elapsed_s"], second["left_s"]) == (10.0, 10.0)


@pytest.mark.parametrize(("progress", "quiet"), [(Progress.none, False), (Progress.auto, True)])
def test_nothing_when_asked_for_nothing(capsys, progress, quiet):
    with watch(progress, quiet=quiet) as on_step:
        on_step(Step("heart", 0, 2))
    assert capsys.readouterr().err == ""


def test_a_bar_with_the_time_left_on_a_terminal(monkeypatch):
    ours, theirs = pty.openpty()
    with io.TextIOWrapper(os.fdopen(theirs, "wb", buffering=0), write_through=True) as terminal:
        monkeypatch.setattr("sys.stderr", terminal)
        with watch(Progress.auto, quiet=False) as on_step:
            on_step(Step("heart", 0, 2))
            on_step(Step("liver", 1, 2))
        shown = b""
        while select.select([ours], [], [], 0.5)[0]:  # a terminal gives what it has in pieces
            shown += os.read(ours, 65536)
    os.close(ours)
    assert b"heart" in shown or b"liver" in shown
    assert b"left" in shown

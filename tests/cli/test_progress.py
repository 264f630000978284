"""Progress is a bar on a terminal and lines elsewhere."""

import io
import os
import pty

import pytest

from vesalius.cli._progress import Progress, watch
from vesalius.core import Step


def test_lines_where_there_is_no_terminal(capsys):
    with watch(Progress.auto, quiet=False) as on_step:
        on_step(Step("heart", 0, 2))
    assert capsys.readouterr().err == "[0/2] heart\n"


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
        shown = os.read(ours, 65536).decode()
    os.close(ours)
    assert "heart" in shown or "liver" in shown
    assert "left" in shown

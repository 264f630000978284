"""``vesalius deidentify face``: what is written and said, and that refusals write nothing."""

import pytest
import torch
from deface_heads import TURN, brain_of, drawn, face_of, head

from vesalius import io
from vesalius.core import Image


@pytest.fixture
def disk(tmp_path):
    io.save(head(TURN).map(lambda x: x.to(torch.int16)), tmp_path / "scan.nii.gz")
    io.save(head(), tmp_path / "template.nii.gz")
    io.save(drawn(face_of), tmp_path / "face.nii.gz")
    io.save(drawn(brain_of, TURN), tmp_path / "brain.nii.gz")
    return tmp_path


def words(disk, *more):
    given = ["--template", disk / "template.nii.gz", "--face", disk / "face.nii.gz"]
    return ["deidentify", "face", disk / "scan.nii.gz", *given, "--init", "header", *more]


def test_a_scan_without_a_face_is_written_and_the_figures_told(vesalius, disk):
    more = ["--keep", disk / "brain.nii.gz", "--margin", "2", "--report", disk / "page.html"]
    ended = vesalius(*words(disk, "-o", disk / "out.nii.gz", *more, "--progress", "none"))
    assert ended.code == 0, ended.err
    for text in ("% of the head", "both ways agree within", "distance to what was kept"):
        assert text in ended.out
    assert "look at the result before you pass it on" in ended.out
    assert (disk / "page.html").is_file()
    before, after = (io.open(disk / n).read().data for n in ("scan.nii.gz", "out.nii.gz"))
    changed = before != after
    assert changed.any()
    assert not (changed & (drawn(brain_of, TURN).data > 0)).any()


def test_quiet_says_nothing(vesalius, disk):
    ended = vesalius(*words(disk, "-o", disk / "out.nii.gz", "-q"))
    assert (ended.code, ended.out, ended.err) == (0, "", "")


def test_what_is_no_head_ends_with_3_and_writes_nothing(vesalius, disk, generator):
    noise = Image(torch.rand(head().data.shape, generator=generator) * 900, head().grid)
    io.save(noise, disk / "scan.nii.gz")
    ended = vesalius(*words(disk, "-o", disk / "out.nii.gz", "--report", disk / "page.html"))
    assert ended.code == 3
    assert "nothing was removed or written" in ended.err
    assert not (disk / "out.nii.gz").exists()
    assert not (disk / "page.html").exists()


def test_a_template_and_its_face_must_be_given(vesalius, disk):
    ended = vesalius("deidentify", "face", disk / "scan.nii.gz", "-o", disk / "out.nii.gz")
    assert ended.code == 2
    assert "--template" in ended.err


def test_the_help_can_be_found_and_warns(vesalius):
    assert "deidentify face" in vesalius("deidentify", "--help").out
    told = " ".join(vesalius("deidentify", "face", "--help").out.split())
    assert "nothing is written and the command leaves with 3" in told
    assert "IT SHOWS THE FACE" in told

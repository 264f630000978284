"""``vesalius predict harmonise`` from the shell."""

import numpy as np
import pandas as pd
import pytest


@pytest.fixture
def table(tmp_path):
    rng = np.random.default_rng(0)
    site = np.repeat(["A", "B"], 25)
    frame = pd.DataFrame(rng.normal(size=(50, 6)), columns=[f"f{j}" for j in range(6)])
    frame += (site == "B")[:, None] * 2.0
    frame = frame.assign(site=site, age=rng.integers(40, 80, 50), sick=np.arange(50) % 2)
    frame.to_csv(tmp_path / "t.csv", index=False)
    return tmp_path / "t.csv"


def test_harmonises_and_says_what_changed(vesalius, table, tmp_path):
    words = ("predict", "harmonise", table, "--batch", "site", "--keep", "age", "--outcome", "sick")
    ended = vesalius(*words, "-o", tmp_path / "out", "--progress", "none")
    assert ended.code == 0
    assert "note: This table was harmonised on all of its cases together." in ended.out
    assert "features that differ     100.0% -> " in ended.out
    assert ended.out.rstrip().endswith(f"report: {tmp_path / 'out' / 'report.html'}")
    assert (tmp_path / "out" / "harmonised.csv").is_file()


def test_is_silent_where_asked(vesalius, table, tmp_path):
    words = ("predict", "harmonise", table, "--batch", "site", "--leave-out", "age", "-q")
    ended = vesalius(*words, "-o", tmp_path / "out", "--method", "none")
    assert (ended.code, ended.out) == (0, "")


def test_refuses_what_cannot_be_told_apart(vesalius, table, tmp_path):
    words = ("predict", "harmonise", table, "--batch", "site", "--outcome", "also")
    frame = pd.read_csv(table)
    frame.assign(also=(frame["site"] == "A").astype(int)).to_csv(table, index=False)
    ended = vesalius(*words, "-o", tmp_path / "out", "--progress", "none")
    assert ended.code == 3
    assert "every batch has one class only" in ended.err
    ended = vesalius(*words, "-o", tmp_path / "out", "--accept-confounded", "--progress", "none")
    assert ended.code == 0
    assert "you asked to go on" in ended.out


def test_refuses_a_column_that_is_not_there(vesalius, table, tmp_path):
    ended = vesalius("predict", "harmonise", table, "--batch", "sites", "-o", tmp_path / "out")
    assert ended.code == 3
    assert "did you mean 'site'?" in ended.err

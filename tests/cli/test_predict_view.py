"""``vesalius predict view`` from the shell."""

import numpy as np
import pandas as pd
import pytest


@pytest.fixture
def table(tmp_path):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(40, 4)), columns=[f"f{k}" for k in range(4)])
    frame.assign(sick=np.arange(40) % 2, age=rng.integers(40, 80, 40)).to_csv(
        tmp_path / "t.csv", index=False
    )
    return tmp_path / "t.csv"


def test_the_verb_tells_what_matters(vesalius, table, tmp_path):
    words = ("predict", "view", table, "--outcome", "sick", "--colour", "age", "--neighbours", "5")
    ended = vesalius(*words, "--progress", "none", "-o", tmp_path / "out")
    assert ended.code == 0
    assert "cases                40 x 4 features" in ended.out
    assert "pca                  trustworthiness" in ended.out
    assert ended.out.rstrip().endswith(f"report: {tmp_path / 'out' / 'report.html'}")


def test_refuses_a_method_that_is_not_there(vesalius, table, tmp_path):
    ended = vesalius("predict", "view", table, "--method", "pcb", "-o", tmp_path / "out")
    assert ended.code == 2
    assert "pcb" in ended.err

"""``vesalius predict similar``: what a person at the shell sees and gets."""

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from vesalius.cli._main import app, main

run = CliRunner()


@pytest.fixture
def table(tmp_path):
    rng = np.random.default_rng(0)
    rows = {"case": [f"p{k:02d}" for k in range(25)], "dead": np.arange(25) % 2}
    rows |= {f"f{j}": rng.normal(size=25) for j in range(5)}
    pd.DataFrame(rows).to_csv(tmp_path / "t.csv", index=False)
    return str(tmp_path / "t.csv")


class TestSimilar:
    def test_shows_as_many_cases_as_asked_for(self, table):
        done = run.invoke(app, ["predict", "similar", "p04", "--in", table, "-k", "4"])
        assert done.exit_code == 0, done.output
        lines = done.output.splitlines()
        assert [line.split()[0] for line in lines[-4:]] == ["1", "2", "3", "4"]
        assert any(line.startswith("Cases compared") and line.endswith("24") for line in lines)
        assert "report:" not in done.output

    def test_tells_the_outcome_where_it_is_named(self, table):
        words = ["predict", "similar", "p04", "--in", table, "-k", "3", "--outcome", "dead"]
        done = run.invoke(app, words)
        head = next(line for line in done.output.splitlines() if "distance" in line.split())
        assert head.split()[:3] == ["case", "distance", "dead"]
        assert "of 3 similar cases" in done.output

    def test_writes_a_page_where_a_folder_is_named(self, table, tmp_path):
        words = ["predict", "similar", "p04", "--in", table, "-o", str(tmp_path / "out")]
        done = run.invoke(app, words)
        assert done.exit_code == 0, done.output
        assert (tmp_path / "out" / "similar.html").is_file()
        assert (tmp_path / "out" / "similar.csv").is_file()
        assert "report: " in done.output

    def test_is_quiet(self, table):
        done = run.invoke(app, ["predict", "similar", "p04", "--in", table, "-q"])
        assert (done.exit_code, done.output) == (0, "")

    @pytest.mark.parametrize("metric", ["mahalanobis", "cosine", "learned"])
    def test_takes_other_distances(self, table, metric):
        words = ["predict", "similar", "p04", "--in", table, "--metric", metric]
        done = run.invoke(app, [*words, "--outcome", "dead", "-k", "2"])
        assert done.exit_code == 0, done.output

    def test_searches_approximately(self, table):
        words = ["predict", "similar", "p04", "--in", table, "--approximate", "-k", "2"]
        done = run.invoke(app, words)
        assert "Recall of the search" in done.output

    def test_a_case_that_is_not_there_is_an_error_with_a_hint(self, table, capsys):
        with pytest.raises(SystemExit) as ended:
            main(["predict", "similar", "p4", "--in", table])
        assert ended.value.code == 3
        assert "did you mean" in capsys.readouterr().err

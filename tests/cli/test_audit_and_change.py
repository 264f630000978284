"""``vesalius measure audit`` and ``vesalius measure change``."""

from pathlib import Path

import pandas as pd
import pytest
import torch
from measure.cases import blob, image

from vesalius import io
from vesalius.cli import main
from vesalius.core import Labels
from vesalius.measure import Config, extract
from vesalius.measure.compat import RadiomicsFeatureExtractor


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    values, mask = blob()
    img = image(values.float() * 7, unit="HU")
    io.save(img, tmp_path / "image.nii.gz")
    io.save(Labels(mask[None].to(torch.uint8), img.grid), tmp_path / "labels.nii.gz")
    return tmp_path


def run(*words: str | Path) -> int:
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in words])
    return int(ended.value.code or 0)


def files(folder: Path) -> tuple[Path, Path]:
    return folder / "image.nii.gz", folder / "labels.nii.gz"


def test_a_pyradiomics_table_is_explained(folder, capsys):
    made = RadiomicsFeatureExtractor().execute(*map(str, files(folder)))
    pd.DataFrame([dict(made)] * 2).to_csv(folder / "theirs.csv", index=False)
    out = folder / "audit.csv"
    assert (
        run("measure", "audit", folder / "theirs.csv", *files(folder), "--row", "1", "-o", out) == 0
    )
    told = capsys.readouterr().out
    assert "kurtosis is not excess" in told
    assert "    original_firstorder_Kurtosis" in told
    written = pd.read_csv(out)
    assert set(written["verdict"]) <= {"agrees", "differs", "not compared"}
    assert len(written) > 100


def test_a_table_of_our_own_is_read_as_it_was_written(folder, capsys):
    out = folder / "out"
    assert run("measure", *files(folder), "-o", out, "-q") == 0
    assert run("measure", "audit", out / "features.csv", *files(folder)) == 0
    told = capsys.readouterr().out
    assert "agrees: 2" in told
    assert "differs" not in told


def test_unexplained_columns_are_listed_together(folder, capsys):
    table = pd.DataFrame({"name": ["stat_mean", "stat_max"], "value": [1.0, 2.0]})
    table.to_csv(folder / "t.csv", index=False)
    assert run("measure", "audit", folder / "t.csv", *files(folder)) == 0
    told = capsys.readouterr().out
    assert "differs: 2 columns - no known convention explains it\n" in told
    assert "    stat_mean  (ratio 0." in told


def test_a_file_that_is_no_table_is_refused(folder, capsys):
    (folder / "empty.csv").write_text("")
    assert run("measure", "audit", folder / "empty.csv", *files(folder)) == 3
    assert "feature table must be a CSV file, empty.csv is not" in capsys.readouterr().err


def test_a_row_that_is_not_there_is_refused(folder, capsys):
    pd.DataFrame({"stat_mean": [1.0], "b": [2], "c": [3]}).to_csv(folder / "t.csv", index=False)
    assert run("measure", "audit", folder / "t.csv", *files(folder), "--row", "4") == 3
    assert "--row must be below the 1 cases of the table, got 4" in capsys.readouterr().err


def sessions(folder: Path, gains: tuple[float, ...]) -> list[Path]:
    values, mask = blob()
    quick = Config(features={"families": ["statistics"]}, perturb={"count": 5})
    made = []
    for k, gain in enumerate(gains):
        img = image(values * gain)
        labels = Labels(mask[None].to(torch.uint8), img.grid)
        table = extract(img, labels, config=quick, uncertainty=True).table
        made.append(folder / f"session{k}.csv")
        table.to_csv(made[-1], index=False)
    return made


def test_sessions_are_compared(tmp_path, capsys):
    out = tmp_path / "change.csv"
    first, second = sessions(tmp_path, (1.0, 3.0))
    assert run("measure", "change", first, second, "--days", "0,90", "-o", out) == 0
    assert "18 comparisons" in capsys.readouterr().out
    table = pd.read_csv(out).set_index("feature")
    assert table.loc["stat_mean", "percent"] == pytest.approx(200)
    assert table.loc["stat_mean", "detectable"] == "yes"


def test_times_that_are_no_numbers_are_a_usage_error(tmp_path, capsys):
    first, second = sessions(tmp_path, (1.0, 1.0))
    words = ("measure", "change", first, second, "--days", "a,b", "-o", tmp_path / "c.csv")
    assert run(*words) == 2
    assert "must be numbers with commas between" in capsys.readouterr().err


def test_a_file_of_another_kind_is_refused_with_what_it_lacks(tmp_path, capsys):
    (tmp_path / "a.csv").write_text("x,y\n1,2\n")
    words = ("measure", "change", tmp_path / "a.csv", tmp_path / "a.csv", "--days", "0,1")
    assert run(*words, "-o", tmp_path / "c.csv") == 3
    assert "a.csv lacks the columns subject, label" in capsys.readouterr().err


def test_a_session_that_is_not_there_is_refused(tmp_path, capsys):
    words = ("measure", "change", tmp_path / "no.csv", tmp_path / "no.csv", "--days", "0,1")
    assert run(*words, "-o", tmp_path / "c.csv") == 3
    assert "session must be a features.csv of vesalius, no.csv is not" in capsys.readouterr().err

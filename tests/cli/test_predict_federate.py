"""``vesalius predict federate simulate``: tables of hospitals to a model, in one command."""

import json

from made_tables import made
from typer.testing import CliRunner

from vesalius.cli._main import app


def test_trains_over_two_tables_and_applies_the_model(tmp_path):
    paths = []
    for seed, name in enumerate(("north", "south")):
        table, target = made(60, 3, seed=seed)
        features = dict(zip(table.features, table.values.T, strict=True))
        paths.append(str(tmp_path / f"{name}.csv"))
        frame = table.columns[["patient"]].assign(**features, event=target.values.astype(int))
        frame.to_csv(paths[-1], index=False)
    model, scores = str(tmp_path / "model"), str(tmp_path / "scores.csv")
    words = ["predict", "federate", "simulate", *paths, "--outcome", "event", "--case", "patient"]
    done = CliRunner().invoke(app, [*words, "--secure", "-o", model])
    assert done.exit_code == 0, done.output
    assert "hospitals" in done.output
    assert "120, " in done.output
    told = json.loads((tmp_path / "model" / "federation.json").read_text())
    assert told["plan"]["secure"]
    assert (
        CliRunner().invoke(app, ["predict", "apply", model, paths[0], "-o", scores]).exit_code == 0
    )
    assert len((tmp_path / "scores.csv").read_text().splitlines()) == 61


def test_says_what_the_verbs_are_for():
    said = CliRunner().invoke(app, ["predict", "federate", "--help"]).output
    assert all(verb in said for verb in ("simulate", "serve", "join"))

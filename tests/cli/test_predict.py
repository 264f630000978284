"""``vesalius predict fit|validate|apply``: what a person at the shell sees and gets."""

import json

import numpy as np
import pandas as pd
import pytest
from made_tables import made
from typer.testing import CliRunner

from vesalius.cli import main
from vesalius.cli._main import app
from vesalius.errors import ConfigError
from vesalius.io.tables import read_rows, write_csv
from vesalius.predict.models import load_model

run = CliRunner()


def table(path, *, seed=0, cases=90, outcome=True, **more):
    """Write a made table with an outcome that two features tell."""
    found, target = made(cases, 6, seed=seed, shift=1.5)
    frame = pd.DataFrame(found.values, columns=list(found.features))
    frame.insert(0, "case", [f"s{seed}_{name}" for name in found.cases])
    frame = pd.concat([frame, found.columns], axis=1)
    if outcome:
        frame["dead"] = target.values
    write_csv(path, frame.assign(**more))
    return path


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    """A folder with a table and a model fitted to it by the command."""
    folder = tmp_path_factory.mktemp("fitted")
    path = table(folder / "here.csv")
    words = ["--outcome", "dead", "--group", "patient", "--leave-out", "age"]
    done = run.invoke(app, ["predict", "fit", str(path), *words, "-o", str(folder / "model")])
    assert done.exit_code == 0, done.output
    return folder, done.output


class TestFit:
    def test_writes_model_card_predictions_and_report(self, fitted):
        folder, _ = fitted
        names = {path.name for path in (folder / "model").iterdir()}
        assert names == {"model.json", "model.npz", "card.json", "held_out.csv", "report.html"}

    def test_says_what_matters_first(self, fitted):
        _, said = fitted
        assert "AUC" in said
        assert "calibration slope" in said
        assert "report: " in said

    def test_every_case_is_predicted_by_a_model_that_did_not_see_it(self, fitted):
        folder, _ = fitted
        held = read_rows(folder / "model" / "held_out.csv")
        assert sorted(held["case"]) == sorted(read_rows(folder / "here.csv")["case"])

    def test_the_model_tells_what_there_is(self, fitted):
        folder, _ = fitted
        card = json.loads((folder / "model" / "card.json").read_text())["card"]
        auc = card["scores"]["auc"]
        assert 0.7 < auc["value"] < 1.0
        assert auc["low"] < auc["value"] < auc["high"]

    def test_is_the_same_twice(self, fitted, tmp_path):
        folder, _ = fitted
        words = ["--outcome", "dead", "--group", "patient", "--leave-out", "age", "-q"]
        path = str(folder / "here.csv")
        again = tmp_path / "again"
        done = run.invoke(app, ["predict", "fit", path, *words, "-o", str(again)])
        assert done.exit_code == 0
        assert done.output == ""
        for name in ("model.json", "model.npz", "card.json", "held_out.csv"):
            assert (again / name).read_bytes() == (folder / "model" / name).read_bytes()

    def test_a_recipe_is_followed_and_the_shell_goes_before_it(self, tmp_path):
        path = table(tmp_path / "t.csv")
        recipe = tmp_path / "model.yaml"
        recipe.write_text(
            "description: {outcome: age, batch: batch}\n"
            "steps: [impute, combat, scale]\nestimator: ridge\n"
        )
        words = ["--config", str(recipe), "--outcome", "dead", "--no-validate"]
        done = run.invoke(app, ["predict", "fit", str(path), *words, "-o", str(tmp_path / "m")])
        assert done.exit_code == 0, done.output
        model = json.loads((tmp_path / "m" / "model.json").read_text())
        assert '"dead"' in json.dumps(model)
        assert '"combat"' in json.dumps(model)
        assert "none, as asked" in done.output

    def test_features_that_are_not_stable_elsewhere_are_left_out(self, tmp_path):
        path = table(tmp_path / "t.csv")
        rows = [
            ("original", f"f{j:02d}", "", "", "x", float(k), 0.01 if j < 3 else 50.0, np.nan)
            for j in range(6)
            for k in range(9)
        ]
        names = ["filter", "feature", "aggregation", "discretisation", "label", "value"]
        long = pd.DataFrame(rows, columns=[*names, "perturb_sd", "icc_low"])
        write_csv(tmp_path / "features.csv", long)
        words = ["--outcome", "dead", "--stable-in", str(tmp_path / "features.csv"), "-q"]
        done = run.invoke(
            app, ["predict", "fit", str(path), *words, "--no-validate", "-o", str(tmp_path / "m")]
        )
        assert done.exit_code == 0, done.output
        assert set(load_model(tmp_path / "m").fitted.features) <= {"f00", "f01", "f02"}

    def test_permutations_give_a_p_value(self, tmp_path):
        path = table(tmp_path / "t.csv", cases=48)
        words = ["--outcome", "dead", "--permutations", "4", "--folds", "3"]
        done = run.invoke(app, ["predict", "fit", str(path), *words, "-o", str(tmp_path / "m")])
        assert done.exit_code == 0, done.output
        p = json.loads((tmp_path / "m" / "card.json").read_text())["p_value"]
        assert p in (0.2, 0.4, 0.6, 0.8, 1.0)

    def test_copies_are_refused_or_dropped(self, tmp_path):
        path = table(tmp_path / "t.csv", cases=48)
        frame = read_rows(path)
        copy = frame.iloc[[5]].assign(case="again", patient="other")
        write_csv(path, pd.concat([frame, copy], ignore_index=True))
        words = ["predict", "fit", str(path), "--outcome", "dead", "-o", str(tmp_path / "m")]
        with pytest.raises(SystemExit, match="3"):
            main(words)
        assert "have the same values" in (tmp_path / "m" / "report.html").read_text()
        done = run.invoke(app, [*words, "--drop-duplicates", "--no-validate"])
        assert done.exit_code == 0, done.output
        assert "1 case has the values of an earlier one" in done.output

    def test_a_leak_can_be_accepted_and_is_reported(self, tmp_path):
        path = table(tmp_path / "t.csv", cases=48)
        frame = read_rows(path)
        write_csv(path, frame.assign(twin=frame["dead"] * 2 + 1))
        words = ["predict", "fit", str(path), "--outcome", "dead", "-o", str(tmp_path / "m")]
        with pytest.raises(SystemExit, match="3"):
            main(words)
        done = run.invoke(app, [*words, "--accept-leaks"])
        assert done.exit_code == 0, done.output
        leaks = json.loads((tmp_path / "m" / "card.json").read_text())["leaks"]
        assert any(leak["kind"] == "outcome_in_features" for leak in leaks)

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            (["--outcome", "deed"], "did you mean 'dead'"),
            ([], "an outcome must be named"),
            (["--outcome", "dead", "--feature", "sex"], "a feature must be a number"),
            (["--outcome", "dead", "--positive", "2"], "positive class must be one of"),
            (["--outcome", "dead", "--config", "no.yaml"], "must be a readable text file"),
        ],
    )
    def test_what_does_not_fit_is_refused_in_words(self, fitted, tmp_path, capsys, words, said):
        folder, _ = fitted
        with pytest.raises(SystemExit, match="3"):
            main(["predict", "fit", str(folder / "here.csv"), *words, "-o", str(tmp_path / "m")])
        assert said in " ".join(capsys.readouterr().err.split())
        assert not (tmp_path / "m" / "model.json").exists()


class TestValidate:
    def test_another_hospital_is_judged_as_it_is(self, fitted, tmp_path):
        folder, _ = fitted
        other = table(tmp_path / "there.csv", seed=1, cases=70)
        words = ["predict", "validate", str(folder / "model"), str(other)]
        done = run.invoke(app, [*words, "-o", str(tmp_path / "r")])
        assert done.exit_code == 0, done.output
        found = json.loads((tmp_path / "r" / "card.json").read_text())
        assert "external" in found["plan"].lower()
        assert found["card"]["cases"] == 70
        assert not found["folds"]

    def test_its_own_cases_are_judged_in_folds(self, fitted, tmp_path):
        folder, _ = fitted
        words = ["predict", "validate", str(folder / "model"), str(folder / "here.csv")]
        done = run.invoke(app, [*words, "-o", str(tmp_path / "r")])
        assert done.exit_code == 0, done.output
        assert len(json.loads((tmp_path / "r" / "card.json").read_text())["folds"]) == 5

    def test_its_own_cases_are_refused_as_external(self, fitted, tmp_path, capsys):
        folder, _ = fitted
        words = ["predict", "validate", str(folder / "model"), str(folder / "here.csv")]
        with pytest.raises(SystemExit, match="3"):
            main([*words, "--how", "external", "-o", str(tmp_path / "r")])
        assert "must be of other cases" in capsys.readouterr().err

    def test_a_table_without_the_outcome_is_refused(self, fitted, tmp_path, capsys):
        folder, _ = fitted
        other = table(tmp_path / "there.csv", seed=1, outcome=False)
        with pytest.raises(SystemExit, match="3"):
            main(["predict", "validate", str(folder / "model"), str(other), "-o", str(tmp_path)])
        assert "must have the outcome of the model" in capsys.readouterr().err


class TestApply:
    def test_a_case_needs_no_outcome(self, fitted, tmp_path):
        folder, _ = fitted
        other = table(tmp_path / "new.csv", seed=2, cases=12, outcome=False)
        words = ["predict", "apply", str(folder / "model"), str(other)]
        done = run.invoke(app, [*words, "-o", str(tmp_path / "p.csv")])
        assert done.exit_code == 0, done.output
        said = read_rows(tmp_path / "p.csv")
        assert list(said.columns) == ["case", "probability", "decision", "flags"]
        assert said["probability"].between(0, 1).all()

    def test_a_folder_or_parquet_will_do(self, fitted, tmp_path):
        folder, _ = fitted
        other = table(tmp_path / "new.csv", seed=2, cases=12)
        words = ["predict", "apply", str(folder / "model"), str(other), "-q"]
        assert run.invoke(app, [*words, "-o", str(tmp_path / "out")]).exit_code == 0
        assert run.invoke(app, [*words, "-o", str(tmp_path / "p.parquet")]).exit_code == 0
        a = read_rows(tmp_path / "out" / "predictions.csv")
        b = read_rows(tmp_path / "p.parquet")
        np.testing.assert_array_equal(a["probability"], b["probability"])

    @pytest.mark.parametrize("name", ["p.tsv", "p.xlsx"])
    def test_another_suffix_is_refused(self, fitted, tmp_path, capsys, name):
        folder, _ = fitted
        other = table(tmp_path / "new.csv", seed=2, cases=12)
        with pytest.raises(SystemExit, match="3"):
            main(
                [
                    "predict",
                    "apply",
                    str(folder / "model"),
                    str(other),
                    "-o",
                    str(tmp_path / name),
                ]
            )
        assert "written as CSV or Parquet" in capsys.readouterr().err

    def test_a_model_that_tells_nothing_says_so(self, tmp_path):
        path = table(tmp_path / "t.csv")
        frame = read_rows(path)
        write_csv(path, frame.assign(dead=[float(k % 2) for k in range(len(frame))]))
        (tmp_path / "r.yaml").write_text("estimator: constant\n")
        words = ["--outcome", "dead", "--config", str(tmp_path / "r.yaml"), "--no-validate"]
        done = run.invoke(app, ["predict", "fit", str(path), *words, "-o", str(tmp_path / "m")])
        assert done.exit_code == 0, done.output
        words = ["predict", "apply", str(tmp_path / "m"), str(path)]
        done = run.invoke(app, [*words, "-o", str(tmp_path / "p.csv")])
        assert "Every case got the same score" in done.output

    def test_cases_that_it_learned_from_are_flagged(self, fitted, tmp_path):
        folder, _ = fitted
        words = ["predict", "apply", str(folder / "model"), str(folder / "here.csv"), "-q"]
        assert run.invoke(app, [*words, "-o", str(tmp_path / "p.csv")]).exit_code == 0
        assert read_rows(tmp_path / "p.csv")["flags"].str.contains("trained on").all()

    def test_features_of_other_parameters_are_refused_unless_told(self, tmp_path, capsys):
        here = table(tmp_path / "a.csv", config_hash="aaaa")
        there = table(tmp_path / "b.csv", seed=3, cases=12, config_hash="bbbb")
        words = ["--outcome", "dead", "--no-validate", "-q", "-o", str(tmp_path / "m")]
        assert run.invoke(app, ["predict", "fit", str(here), *words]).exit_code == 0
        apply = ["predict", "apply", str(tmp_path / "m"), str(there), "-o", str(tmp_path / "p.csv")]
        with pytest.raises(SystemExit, match="3"):
            main(apply)
        assert "parameters" in capsys.readouterr().err
        assert run.invoke(app, [*apply, "--other-parameters"]).exit_code == 0

    def test_a_model_without_validation_keeps_no_card_of_an_older_one(self, fitted, tmp_path):
        folder, _ = fitted
        for name in ("card.json", "held_out.csv", "report.html"):
            (tmp_path / name).write_bytes((folder / "model" / name).read_bytes())
        words = [
            str(folder / "here.csv"),
            "--outcome",
            "dead",
            "--no-validate",
            "-o",
            str(tmp_path),
        ]
        assert run.invoke(app, ["predict", "fit", *words]).exit_code == 0
        assert {path.name for path in tmp_path.iterdir()} == {"model.json", "model.npz"}

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            (["--permutations", "-1"], "got -1 with one"),
            (["--permutations", "9", "--no-validate"], "got 9 without one"),
            (["--threshold", "fixed", "--threshold-at", "2"], "within 0 and 1, got 2"),
        ],
    )
    def test_nonsense_is_refused_before_any_training(self, fitted, tmp_path, words, said):
        folder, _ = fitted
        asked = ["predict", "fit", str(folder / "here.csv"), "--outcome", "dead"]
        with pytest.raises(ConfigError, match=said):
            run.invoke(app, [*asked, "-o", str(tmp_path / "m"), *words], catch_exceptions=False)


class TestRecalibrate:
    def test_the_shift_is_learned_in_folds_and_kept(self, fitted, tmp_path):
        folder, _ = fitted
        other = table(tmp_path / "there.csv", seed=1, cases=120)
        frame = read_rows(other)
        events = frame["dead"] > 0
        rare = pd.concat([frame[~events], frame[events].iloc[::3]])
        write_csv(other, rare)
        words = ["predict", "validate", str(folder / "model"), str(other), "--recalibrate"]
        done = run.invoke(app, [*words, "-o", str(tmp_path / "r")])
        assert done.exit_code == 0, done.output
        found = json.loads((tmp_path / "r" / "card.json").read_text())
        before = found["card"]["scores"]["calibration_intercept"]["value"]
        after = found["recalibrated"]["card"]["scores"]["calibration_intercept"]["value"]
        assert before < -0.5
        assert abs(after) < 0.25
        assert "After recalibration" in (tmp_path / "r" / "report.html").read_text()
        words = ["predict", "apply", str(tmp_path / "r" / "recalibrated"), str(other)]
        assert run.invoke(app, [*words, "-o", str(tmp_path / "p.csv")]).exit_code == 0
        said = read_rows(tmp_path / "p.csv")["probability"].mean()
        assert said == pytest.approx(rare["dead"].mean(), abs=0.02)

    def test_few_cases_with_the_event_make_few_folds(self, fitted, tmp_path):
        folder, _ = fitted
        other = table(tmp_path / "there.csv", seed=1, cases=60)
        frame = read_rows(other)
        events = frame["dead"] > 0
        write_csv(other, pd.concat([frame[~events], frame[events].head(4)]))
        words = ["predict", "validate", str(folder / "model"), str(other), "--recalibrate"]
        done = run.invoke(app, [*words, "-o", str(tmp_path / "r")])
        assert done.exit_code == 0, done.output
        found = json.loads((tmp_path / "r" / "card.json").read_text())
        assert ", 4 times" in found["recalibrated"]["plan"]
        assert found["recalibrated"]["card"]["scores"]["auc"] == found["card"]["scores"]["auc"]

    def test_features_of_other_parameters_are_moved_where_told(self, tmp_path):
        here = table(tmp_path / "a.csv", config_hash="aaaa")
        there = table(tmp_path / "b.csv", seed=3, cases=40, config_hash="bbbb")
        words = ["--outcome", "dead", "--no-validate", "-q", "-o", str(tmp_path / "m")]
        assert run.invoke(app, ["predict", "fit", str(here), *words]).exit_code == 0
        words = ["predict", "validate", str(tmp_path / "m"), str(there), "-o", str(tmp_path / "r")]
        done = run.invoke(app, [*words, "--recalibrate", "--other-parameters"])
        assert done.exit_code == 0, done.output

    def test_its_own_cases_are_refused(self, fitted, tmp_path, capsys):
        folder, _ = fitted
        words = ["predict", "validate", str(folder / "model"), str(folder / "here.csv")]
        with pytest.raises(SystemExit, match="3"):
            main([*words, "--recalibrate", "-o", str(tmp_path / "r")])
        assert "leave out --recalibrate" in capsys.readouterr().err


class TestLeaks:
    def test_a_clean_table_leaves_with_zero(self, tmp_path):
        path = table(tmp_path / "t.csv", cases=48)
        words = ["--outcome", "dead", "--group", "patient"]
        done = run.invoke(app, ["predict", "leaks", str(path), *words])
        assert done.exit_code == 0, done.output
        assert "certain" not in done.output

    def test_a_twin_of_the_outcome_leaves_with_three(self, tmp_path):
        path = table(tmp_path / "t.csv", cases=48)
        frame = read_rows(path)
        write_csv(path, frame.assign(grade=frame["dead"] * 3 - 1))
        done = run.invoke(app, ["predict", "leaks", str(path), "--outcome", "dead"])
        assert done.exit_code == 3
        assert "certain: " in done.output
        assert "grade" in done.output


class TestSize:
    def test_says_which_criterion_decides(self):
        words = ["--parameters", "20", "--share", "0.3", "--auc", "0.75"]
        done = run.invoke(app, ["predict", "size", *words])
        assert done.exit_code == 0, done.output
        first, *criteria = done.output.splitlines()
        cases = int(first.split()[0])
        assert cases == max(int(line.split()[0]) for line in criteria)

    def test_a_number_and_survival_are_known_too(self):
        assert (
            run.invoke(app, ["predict", "size", "--parameters", "9", "--r2", "0.4"]).exit_code == 0
        )
        words = ["--rate", "0.065", "--mean-time", "2", "--at", "2", "--r2-cox-snell", "0.05"]
        assert run.invoke(app, ["predict", "size", "--parameters", "9", *words]).exit_code == 0

    def test_one_kind_must_be_said(self):
        done = run.invoke(app, ["predict", "size", "--parameters", "9"])
        assert done.exit_code == 2
        assert "one of them" in done.output


class TestLearningCurve:
    def test_is_drawn_and_read(self, tmp_path):
        path = table(tmp_path / "t.csv", cases=60)
        words = ["--outcome", "dead", "--learning-curve", "--folds", "3", "-o", str(tmp_path / "m")]
        done = run.invoke(app, ["predict", "fit", str(path), *words])
        assert done.exit_code == 0, done.output
        assert "Learning curve" in (tmp_path / "m" / "report.html").read_text()

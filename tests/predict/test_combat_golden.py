"""Combat beside the authors' R, Python and Matlab: every golden file, and neuroCombat itself."""

import contextlib
import io

import numpy as np
import pandas as pd
import pytest

from vesalius.predict import Table
from vesalius.predict.harmonise import Combat

# ten cases of two batches of five; the covariate alternates (Fortin, ComBatHarmonization, Testing/)
BATCH = ["1"] * 5 + ["2"] * 5
PHENO = [1.0, 0.0] * 5
START = "testdata_combat_"


def golden(data_dir, name):
    """Read (cases, features) of a golden file; those of R have a head line."""
    path = data_dir / "combat" / "golden" / f"{name}.csv"
    head = 0 if name.endswith(("python", "matlab")) else 1
    return np.genfromtxt(path, delimiter=",", skip_header=head).T


def as_cases(values, **columns):
    return Table(
        tuple(f"case{k}" for k in range(len(values))),
        tuple(f"f{k}" for k in range(values.shape[1])),
        np.ascontiguousarray(values),
        pd.DataFrame(columns),
    )


def settings_of(name):
    """Give the settings that the name of a golden file stands for."""
    return {
        "batch": "scanner",
        "keep": ("pheno",) if "_adjusted" in name else (),
        "parametric": not name.startswith("nonparametric"),
        "empirical_bayes": "_noeb" not in name,
        "mean_only": "_meanonl" in name,
        "reference": "1" if "_batchref" in name else "",
        # the Matlab code stops its iteration ten times earlier
        "tol": 1e-3 if name.endswith("matlab") else 1e-4,
    }


def test_agrees_with_every_golden_file(data_dir):
    table = as_cases(golden(data_dir, "testdata"), scanner=BATCH, pheno=PHENO)
    files = sorted((data_dir / "combat" / "golden").glob(f"{START}*.csv"))
    assert len(files) == 71
    for file in files:
        name = file.stem.removeprefix(START)
        found = Combat(**settings_of(name)).fit(table).transform(table).values
        assert np.abs(found - golden(data_dir, file.stem)).max() < 1e-9, name


@pytest.mark.parametrize("language", ["python", "r"])
def test_harmonises_cases_without_covariates_as_from_training(data_dir, language):
    # scenario 2 of the authors: covariates in training, none for new cases, which get their mean
    values = golden(data_dir, "testdata")
    step = Combat(batch="scanner", keep=("pheno",))
    step.fit(as_cases(values, scanner=BATCH, pheno=PHENO))
    new = as_cases(values[[0, 1, 5, 6]], scanner=["1", "1", "2", "2"], pheno=[np.nan] * 4)
    wanted = golden(data_dir, f"training_test_scenario2_{language}")
    assert np.abs(step.transform(new).values - wanted).max() < 1e-9


def test_the_matlab_files_are_of_an_iteration_that_stops_earlier(data_dir):
    table = as_cases(golden(data_dir, "testdata"), scanner=BATCH, pheno=PHENO)
    wanted = golden(data_dir, f"{START}parametric_adjusted_matlab")
    found = Combat(batch="scanner", keep=("pheno",)).fit(table).transform(table).values
    assert 1e-5 < np.abs(found - wanted).max() < 1e-3


def test_the_iteration_run_to_its_end_differs_little(data_dir):
    # what the published stop of 1e-4 leaves on the table
    table = as_cases(golden(data_dir, "testdata"), scanner=BATCH)
    usual = Combat(batch="scanner").fit(table).transform(table).values
    ended = Combat(batch="scanner", tol=1e-13).fit(table).transform(table).values
    assert 1e-6 < np.abs(usual - ended).max() < 1e-4


def neuro(values, batch, age, sex, **options):
    from neuroCombat import neuroCombat

    frame = pd.DataFrame({"batch": batch, "age": age, "sex": sex})
    with contextlib.redirect_stdout(io.StringIO()):
        found = neuroCombat(
            dat=values.T,
            covars=frame,
            batch_col="batch",
            categorical_cols=["sex"],
            continuous_cols=["age"],
            **options,
        )
    return found["data"].T


def unequal(seed=5, features=30):
    """Give cases of four batches of unequal size, with covariates that go with the batch."""
    rng = np.random.default_rng(seed)
    batch = np.repeat(["a", "b", "c", "d"], [6, 11, 20, 13])
    place = np.repeat(np.arange(4), [6, 11, 20, 13])
    age = np.round(rng.uniform(30, 70, 50) + 5 * place)
    sex = np.where(rng.uniform(size=50) < 0.3 + 0.15 * place, "f", "m")
    values = rng.normal(size=(50, features)) * (1 + 0.3 * place)[:, None]
    values += 0.05 * age[:, None] + rng.normal(size=(4, features))[place]
    return values, batch, age, sex


@pytest.mark.parametrize("parametric", [True, False])
@pytest.mark.parametrize("mean_only", [True, False])
def test_agrees_with_neurocombat_on_unequal_batches(parametric, mean_only):
    values, batch, age, sex = unequal()
    table = as_cases(values, batch=batch, age=age, sex=sex)
    options = {"parametric": parametric, "mean_only": mean_only}
    step = Combat(batch="batch", keep=("age", "sex"), **options)
    wanted = neuro(values, batch, age, sex, **options)
    np.testing.assert_allclose(step.fit(table).transform(table).values, wanted, atol=1e-8)


def test_agrees_with_neurocombat_without_empirical_bayes():
    values, batch, age, sex = unequal(seed=6)
    table = as_cases(values, batch=batch, age=age, sex=sex)
    step = Combat(batch="batch", keep=("age", "sex"), empirical_bayes=False)
    wanted = neuro(values, batch, age, sex, eb=False)
    np.testing.assert_allclose(step.fit(table).transform(table).values, wanted, atol=1e-8)

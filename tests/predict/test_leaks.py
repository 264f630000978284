"""Leaks: each planted one is found, clean tables are left in peace, and texts say what to do."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from planted_leaks import (
    CLEAN,
    PLANTED,
    base,
    clean,
    columned,
    copied,
    described,
    harmonised,
    named,
    ordered,
    planted,
    scaled,
    shifted,
    truth_of,
    with_feature,
    with_values,
)

from vesalius.core import Provenance
from vesalius.predict import Description, Table, Target
from vesalius.predict.validate import Split, find_leaks

# what chance cannot explain
SURE = [
    "a pair",
    "ten pairs",
    "a pair with gaps",
    "a column of patients",
    "the outcome",
    "the outcome turned",
    "the outcome with noise",
    "absent with the event",
    "the number grown",
    "the class coded",
    "the time",
    "whether it was seen",
    "centred batches",
    "ComBat without Bayes",
    "a history of harmonising",
    "a history of selecting",
    "a count of ordered rows",
]


def leaks_of(case):
    """Look for leaks in a case."""
    return find_leaks(case.table, case.description, case.target, split=case.split)


def test_there_are_enough_planted_leaks_of_every_kind():
    assert len(PLANTED) >= 30
    assert {kind for kind, _ in PLANTED.values()} == {
        "duplicate",
        "near_duplicate",
        "group_split",
        "outcome_in_features",
        "fitted_on_all",
        "name",
        "time",
        "order",
    }


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_leak_is_found_and_nothing_else_is_called_certain(name):
    case = planted(name)
    found = leaks_of(case)
    (leak,) = [leak for leak in found if leak.kind == case.kind]
    if name in SURE:
        assert leak.severity == "certain"
    assert {leak.kind for leak in found if leak.severity == "certain"} <= {case.kind}


@pytest.mark.parametrize("number", range(CLEAN))
def test_a_clean_table_is_left_in_peace(number):
    assert leaks_of(clean(number)) == ()


def test_certain_leaks_come_first():
    case = with_feature(scaled(base(), "zscore"), truth_of(base()))
    assert [leak.severity for leak in leaks_of(case)] == ["certain", "suspect"]


def test_cases_and_features_are_named():
    case = base()
    pair = {case.table.cases[3], case.table.cases[50]}
    (leak,) = leaks_of(copied(case, [(3, 50)]))
    assert set(leak.names) == pair
    assert all(name in leak.text for name in pair)
    (leak,) = leaks_of(with_feature(case, truth_of(case), "texture_x"))
    assert leak.names == ("texture_x",)


def test_a_patient_that_is_kept_whole_does_not_leak():
    case = copied(base(), [(3, 50)], noise=0.005)
    patient = [f"p{k}" for k in range(80)]
    patient[50] = "p3"
    whole = described(columned(case, patient=patient), group="patient")
    assert [leak.kind for leak in leaks_of(case)] == ["near_duplicate"]
    assert leaks_of(whole) == ()


def test_a_copy_within_a_site_that_is_left_out_whole_does_not_leak():
    case = copied(base(), [(3, 50)])
    site = np.array(["x"] * 40 + ["y"] * 40)
    site[50] = "x"
    together = described(columned(case, house=site), site="house", batch="")
    assert leaks_of(replace(together, split=Split("leave_one_site_out"))) == ()
    assert [leak.kind for leak in leaks_of(together)] == ["duplicate"]


def test_codes_that_repeat_are_no_duplicates():
    rng = np.random.default_rng(0)
    case = base(200, 4)
    codes = with_values(case, rng.integers(0, 3, (200, 4)).astype(float))
    assert leaks_of(codes) == ()


def test_codes_of_which_a_third_is_one_were_not_scaled():
    rng = np.random.default_rng(0)
    case = base(200, 8)
    codes = with_values(case, (rng.random((200, 8)) < 0.32).astype(float))
    assert leaks_of(codes) == ()


def test_two_features_may_come_near_each_other_by_chance():
    rng = np.random.default_rng(1)
    case = base(300, 3)
    assert leaks_of(with_values(case, rng.normal(size=(300, 3)))) == ()


def test_rows_without_gaps_may_be_looked_at_in_blocks():
    case = base(400, 130, seed=2)
    found = leaks_of(copied(case, [(0, 399), (200, 201)]))
    assert [leak.kind for leak in found] == ["duplicate"]
    assert set(found[0].names) == {case.table.cases[k] for k in (0, 399, 200, 201)}


@pytest.mark.parametrize(
    "names",
    [
        [f"case_{k}" for k in range(80)],
        [f"LUNG1-{k:03d}" for k in range(80)],
        [f"{'AB'[k % 2]}_{k // 2:02d}" for k in range(80)],
        [str(k) for k in range(80)],
        [f"site{k // 10}.{k % 10}" for k in range(80)],
        [f"{k:08x}" for k in range(1000, 80000, 1000)] + ["ffff"],
    ],
)
def test_names_that_only_count_are_no_patients(names):
    assert leaks_of(named(base(), names)) == ()


def test_a_column_of_patients_with_one_case_each_is_no_leak():
    assert leaks_of(columned(base(), patient=[f"p{k}" for k in range(80)])) == ()


def test_a_feature_may_be_good():
    case = base()
    rng = np.random.default_rng(3)
    strong = truth_of(case) + rng.normal(0, 0.45, 80)
    assert leaks_of(with_feature(case, strong)) == ()


def test_a_few_cases_may_be_parted_by_chance():
    rng = np.random.default_rng(4)
    case = base(12, 200)
    target = Target("binary", np.array([1.0] * 6 + [0.0] * 6), ("no", "yes"))
    order = np.argsort(rng.random(12))
    case = replace(
        with_values(case, rng.normal(size=(12, 200))),
        target=target.rows(order),
        description=Description(outcome="outcome"),
    )
    assert not [leak for leak in leaks_of(case) if leak.severity == "certain"]


def test_too_few_cases_say_nothing_of_the_outcome():
    case = base(6, 3)
    target = Target("number", np.arange(6.0))
    case = replace(with_feature(case, np.arange(6.0)), target=target)
    assert "outcome_in_features" not in {leak.kind for leak in leaks_of(case)}


def test_names_of_radiomics_features_do_not_betray():
    table = base(40, 8).table
    names = (
        "original_shape_Sphericity",
        "log-sigma-2-mm-3D_glszm_SmallAreaEmphasis",
        "wavelet-LLH_gldm_DependenceEntropy",
        "T1_E_Intensity_CoefficientOfVariation",
        "original_firstorder_RootMeanSquared",
        "original_ngtdm_Busyness",
        "GTV-1_original_shape_Elongation",
        "stage_of_contrast_mg",
    )
    case = replace(base(40, 8), table=replace(table, features=names))
    assert leaks_of(case) == ()


def test_a_table_harmonised_on_other_cases_is_told_by_its_history():
    record = Provenance("harmonise", {"cases": 500, "outcome_kept": True})
    case = replace(base(), table=base().table.noted(record))
    (leak,) = leaks_of(case)
    assert "500 cases, with their outcome," in leak.text
    assert "put 'harmonise' among the steps" in leak.text


def test_the_history_speaks_once_for_each_step():
    case = scaled(base(), "zscore")
    record = Provenance("scale", parents=(Provenance("scale"), Provenance("read")))
    case = replace(case, table=case.table.noted(record).noted(record))
    (leak,) = leaks_of(case)
    assert leak.severity == "certain"
    assert "prepared (scale) on 80 cases" in leak.text


def test_half_of_a_table_that_was_scaled_whole_leaves_no_trace():
    case = scaled(base(), "zscore")
    rows = np.arange(0, 80, 2)
    half = replace(case, table=case.table.rows(rows), target=case.target.rows(rows))
    assert leaks_of(half) == ()


@pytest.mark.parametrize("seed", range(2))
def test_combat_that_keeps_a_confounder_is_seen_with_it(seed):
    case = harmonised(shifted(base(160, 60, seed=seed), seed), covariates=("age",))
    found = leaks_of(described(case, confounders=("age",)))
    assert "fitted_on_all" in {leak.kind for leak in found}


def test_batches_without_any_effect_are_not_taken_for_harmonised():
    for seed in range(8):
        case = base(100, 30, seed=seed)
        assert leaks_of(case) == ()


def test_dates_do_not_matter_to_a_temporal_split():
    case = planted("later is worse")
    assert leaks_of(replace(case, split=Split("temporal", folds=2))) == ()


def test_a_temporal_split_of_a_sorted_table_still_says_so():
    case = ordered(base())
    (leak,) = leaks_of(case)
    assert leak.kind == "order"
    assert "the table is sorted" in leak.text


def test_dates_that_cannot_be_read_are_left_to_the_split():
    case = described(columned(base(), seen=["soon"] * 80), date="seen")
    assert leaks_of(case) == ()


def test_published_tables_are_suspected_of_their_publisher_and_two_cases_are_one(data_dir):
    """Cases 151 and 241 of Hosny 2018 A have the same 984 features and opposite outcomes."""
    frame = pd.read_csv(data_dir / "tables" / "Hosny2018A.csv.gz")
    features = [name for name in frame.columns if name not in ("ID", "Target")]
    table = Table(
        tuple(frame["ID"].astype(str)),
        tuple(features),
        frame[features].to_numpy(dtype=np.float64),
        frame[["Target"]].rename(columns={"Target": "outcome"}),
    )
    truth = frame["Target"].to_numpy(dtype=np.float64)
    found = find_leaks(
        table,
        Description(outcome="outcome"),
        Target("binary", truth, ("0", "1")),
        split=Split(),
    )
    assert [(leak.severity, leak.kind) for leak in found] == [
        ("certain", "duplicate"),
        ("suspect", "fitted_on_all"),
    ]
    assert found[0].names == ("151", "241")
    assert "say that the publisher did it" in found[1].text


@pytest.mark.parametrize(
    "name", ["LNDb", "ISPY1", "Veeraraghavan2020", "Head-Neck-Radiomics-HN1", "Hosny2018B"]
)
def test_other_published_tables_are_suspected_of_scaling_alone(name, data_dir):
    frame = pd.read_csv(data_dir / "tables" / f"{name}.csv.gz").select_dtypes("number")
    frame = frame.dropna(axis=1)
    features = [one for one in frame.columns if one not in ("ID", "Target")]
    table = Table(
        tuple(f"case{k}" for k in range(len(frame))),
        tuple(features),
        frame[features].to_numpy(dtype=np.float64),
        frame[["Target"]],
    )
    target = Target("binary", frame["Target"].to_numpy(dtype=np.float64), ("0", "1"))
    found = find_leaks(table, Description(outcome="Target"), target, split=Split())
    assert [(leak.severity, leak.kind) for leak in found] == [("suspect", "fitted_on_all")]

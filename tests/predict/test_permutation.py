"""Permutation test: a signal is told from noise, a scanner from a patient."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from asked_tables import asked

from vesalius.errors import ConfigError, RegionError
from vesalius.predict import Description, Recipe, Target, Tuning
from vesalius.predict._permutation import _orders
from vesalius.predict.estimators import NaiveBayes
from vesalius.predict.harmonise import Combat
from vesalius.predict.validate import Split, permutation_test

QUICK = Recipe((), NaiveBayes(), Tuning(folds=2))
SPLIT = Split(folds=2)


def orders(table, description, target, count=20, seed=0):
    """Give the permutations as a list."""
    generator = torch.Generator().manual_seed(seed)
    return list(_orders(table, description, target, count, generator))


def test_a_signal_is_beyond_chance(generator):
    table, description, _ = asked(60, 6, shift=2.0)
    found = permutation_test(
        table, description, QUICK, split=SPLIT, permutations=19, generator=generator
    )
    assert found.p_value == pytest.approx(1 / 20)
    assert found.observed > found.shuffled.max()
    assert len(found.shuffled) == 19
    assert abs(found.shuffled.mean() - 0.5) < 0.1
    assert found.within == ""


def test_p_values_of_noise_are_spread_evenly():
    values = []
    for seed in range(6):
        table, description, _ = asked(40, 4, seed=seed, shift=0.0)
        generator = torch.Generator().manual_seed(seed)
        found = permutation_test(
            table, description, QUICK, split=SPLIT, permutations=9, generator=generator
        )
        count = (1 + (found.shuffled >= found.observed - 1e-12).sum()) / 10
        assert found.p_value == pytest.approx(count)
        values.append(found.p_value)
    assert min(values) >= 0.1
    assert 0.3 < np.mean(values) < 0.85


def test_the_same_generator_gives_the_same_result():
    table, description, _ = asked(45, 4)
    a, b = (
        permutation_test(
            table,
            description,
            QUICK,
            split=SPLIT,
            permutations=3,
            generator=torch.Generator().manual_seed(5),
        )
        for _ in range(2)
    )
    np.testing.assert_array_equal(a.shuffled, b.shuffled)


def test_outcomes_stay_within_their_batch():
    table, _, target = asked(60, 3)
    batch = np.asarray(table.columns["batch"])
    found = orders(table, Description(batch="batch"), target)
    for rows in found:
        assert sorted(rows.tolist()) == list(range(60))
        np.testing.assert_array_equal(batch[rows], batch)
    assert not any((rows == np.arange(60)).all() for rows in found)


def test_patients_with_one_outcome_keep_it_together():
    table, _, _ = asked(60, 3, patient=[f"p{k // 3}" for k in range(60)])
    target = Target("binary", np.repeat(np.arange(20) % 2, 3).astype(float), ("no", "yes"))
    for rows in orders(table, Description(group="patient"), target):
        said = target.values[rows].reshape(20, 3)
        assert (said == said[:, :1]).all()
        assert said[:, 0].sum() == 10


def test_patients_with_several_outcomes_are_permuted_by_case():
    table, _, target = asked(60, 3, patient=[f"p{k // 3}" for k in range(60)])
    for rows in orders(table, Description(group="patient"), target, count=3):
        assert sorted(rows.tolist()) == list(range(60))


def test_a_scanner_that_knows_the_outcome_is_not_taken_for_a_finding(generator):
    """Features show the batch, and the batch goes with the outcome; within a batch is nothing."""
    rng = np.random.default_rng(0)
    table, description, _ = asked(90, 4)
    batch = np.arange(90) % 2
    event = rng.random(90) < np.where(batch, 0.85, 0.15)
    values = rng.normal(size=(90, 4)) + 3 * batch[:, None]
    columns = table.columns.assign(
        scanner=np.where(batch, "x", "y"), grade=np.where(event, "yes", "no")
    )
    table = replace(table, values=values, columns=columns)

    def p_value(asked_for):
        return permutation_test(
            table, asked_for, QUICK, split=SPLIT, permutations=19, generator=generator
        ).p_value

    assert p_value(description) == pytest.approx(0.05)
    assert p_value(replace(description, batch="scanner")) > 0.1


def test_refuses_no_permutation(generator):
    table, description, _ = asked(40, 3)
    with pytest.raises(ConfigError, match="permutations must be 1 or more"):
        permutation_test(
            table, description, QUICK, split=SPLIT, permutations=0, generator=generator
        )


def test_refuses_a_batch_that_decides_the_outcome(generator):
    table, description, target = asked(40, 3)
    columns = table.columns.assign(scanner=np.where(target.values > 0.5, "x", "y"))
    with pytest.raises(ConfigError, match="outcomes must differ within a batch to be permuted"):
        permutation_test(
            replace(table, columns=columns),
            replace(description, batch="scanner"),
            QUICK,
            split=SPLIT,
            permutations=5,
            generator=generator,
        )


def test_a_step_gets_the_batch_that_is_described(generator):
    table, description, _ = asked(40, 4, scanner=["a", "b"] * 20)
    within, recipe = replace(description, batch="scanner"), replace(QUICK, steps=(Combat(),))
    given = {"split": SPLIT, "permutations": 2}
    found = permutation_test(table, within, recipe, generator=generator, **given)
    assert 0 <= found.observed <= 1
    assert found.within == "scanner"


def test_refuses_test_parts_of_one_class(generator):
    table, description, target = asked(40, 4)
    side = np.arange(40) % 2
    site = [f"{int(one)}{k}" for one, k in zip(target.values, side, strict=True)]
    apart = replace(table, columns=table.columns.assign(site=site))
    with pytest.raises(RegionError, match="hold cases of both classes to be scored, none of leave"):
        permutation_test(
            apart,
            replace(description, site="site"),
            QUICK,
            split=Split("leave_one_site_out"),
            permutations=2,
            generator=generator,
        )

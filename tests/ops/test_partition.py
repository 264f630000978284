"""Adapted Rand and variation of information, beside scikit-image and pairs counted one by one."""

import itertools
import math

import numpy as np
import pytest
import torch
from skimage.metrics import adapted_rand_error, variation_of_information

from vesalius.ops._contingency import contingency
from vesalius.ops._partition import adapted_rand
from vesalius.ops._partition import variation_of_information as variation


def noisy(seed, size=300):
    g = torch.Generator().manual_seed(seed)
    truth = torch.randint(0, 6, (size,), generator=g)
    other = torch.randint(0, 5, (size,), generator=g)
    return torch.where(torch.rand(size, generator=g) < 0.6, truth, other), truth


def pair_shares(pred, truth):
    """Precision and recall over all pairs of samples in the foreground of the truth."""
    p, t = (x[truth != 0].tolist() for x in (pred, truth))
    both = one = two = 0
    for i, j in itertools.combinations(range(len(t)), 2):
        both += p[i] == p[j] and t[i] == t[j]
        one += p[i] == p[j]
        two += t[i] == t[j]
    return both / one, both / two


@pytest.mark.parametrize("seed", range(5))
def test_equals_pairs_counted_one_by_one(seed):
    pred, truth = noisy(seed, 80)
    found = adapted_rand(contingency(pred, truth))
    precision, recall = pair_shares(pred, truth)
    assert found.precision == pytest.approx(precision, abs=1e-12)
    assert found.recall == pytest.approx(recall, abs=1e-12)
    assert found.error == pytest.approx(1 - 2 * precision * recall / (precision + recall))


@pytest.mark.parametrize("seed", range(10))
def test_equals_scikit_image(seed):
    pred, truth = noisy(seed)
    error, one, two = adapted_rand_error(truth.numpy(), pred.numpy())
    found = adapted_rand(contingency(pred, truth))
    assert found.error == pytest.approx(error, abs=1e-12)
    # scikit-image has had both names exchanged in some versions
    assert sorted((found.precision, found.recall)) == pytest.approx(sorted((one, two)), abs=1e-12)
    split, merge = variation_of_information(truth.numpy(), pred.numpy())
    assert variation(contingency(pred, truth)) == pytest.approx((split, merge), abs=1e-12)
    kept = variation_of_information(truth.numpy(), pred.numpy(), ignore_labels=(0,))
    assert variation(contingency(pred, truth), ignore=(0,)) == pytest.approx(tuple(kept), abs=1e-12)


def snemi(pred, truth):
    """The challenge's script in words: shares of samples, background of the prediction single."""
    p, t = pred[truth != 0].numpy(), truth[truth != 0].numpy()
    single = np.where(p == 0, 1000 + np.arange(len(p)), p)
    table = np.zeros((t.max() + 1, 1000 + len(p)))
    np.add.at(table, (t, single), 1)
    both = (table**2).sum()
    return both / (table.sum(axis=0) ** 2).sum(), both / (table.sum(axis=1) ** 2).sum()


@pytest.mark.parametrize("seed", range(5))
def test_the_challenge_takes_each_background_sample_by_itself(seed):
    pred, truth = noisy(seed)
    found = adapted_rand(contingency(pred, truth), convention="snemi3d")
    assert (found.precision, found.recall) == pytest.approx(snemi(pred, truth), abs=1e-12)


def test_splitting_lowers_recall_and_merging_lowers_precision():
    truth = torch.tensor([1] * 8 + [2] * 8)
    halves = torch.tensor([1] * 4 + [3] * 4 + [2] * 8)
    one = torch.ones(16, dtype=torch.int64)
    assert adapted_rand(contingency(halves, truth)).precision == 1
    assert adapted_rand(contingency(halves, truth)).recall < 1
    assert adapted_rand(contingency(one, truth)).recall == 1
    assert adapted_rand(contingency(one, truth)).precision < 1
    assert variation(contingency(halves, truth)) == pytest.approx((0.5, 0.0))
    assert variation(contingency(one, truth)) == pytest.approx((0.0, 1.0))
    assert variation(contingency(one, truth)).total == pytest.approx(1.0)


def test_the_truth_itself_is_perfect():
    _, truth = noisy(3)
    counts = contingency(truth, truth)
    assert adapted_rand(counts) == pytest.approx((0.0, 1.0, 1.0))
    assert variation(counts) == (0.0, 0.0)


def test_a_truth_without_objects_gives_no_score():
    zero, some = torch.zeros(4, dtype=torch.int64), torch.tensor([0, 1, 1, 2])
    assert all(math.isnan(x) for x in adapted_rand(contingency(some, zero)))
    assert all(math.isnan(x) for x in variation(contingency(some, zero), ignore=(0,)))


def test_single_samples_have_no_pairs():
    counts = contingency(torch.tensor([1, 2]), torch.tensor([1, 2]))
    assert all(math.isnan(x) for x in adapted_rand(counts))

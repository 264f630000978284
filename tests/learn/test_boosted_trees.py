"""Boosted symmetric trees: they learn what trees can, as well as scikit-learn's forest."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from vesalius.errors import ConfigError, IntensityError, RegionError, ShapeError
from vesalius.learn._boosted_trees import Boosting, grow_trees


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def rings(n=1500, seed=0, classes=2):
    """Classes by the distance from the origin in the first two of five features."""
    x = torch.randn(n, 5, generator=seeded(seed))
    radius = x[:, :2].norm(dim=1)
    edges = torch.tensor([1.2] if classes == 2 else [0.9, 1.5])
    return x, torch.bucketize(radius, edges)


def share_right(model, x, y):
    return float((model.predict(x.T).argmax(dim=1) == y).double().mean())


@pytest.mark.parametrize("classes", [2, 3])
def test_learns_rings_as_well_as_a_random_forest(classes):
    from sklearn.ensemble import RandomForestClassifier

    x, y = rings(classes=classes)
    new, truth = rings(seed=1, classes=classes)
    ours = grow_trees(x, y, generator=seeded(), boosting=Boosting(trees=60, features=5))
    forest = RandomForestClassifier(50, random_state=0).fit(x.numpy(), y.numpy())
    theirs = float((forest.predict(new.numpy()) == truth.numpy()).mean())
    assert share_right(ours, new, truth) > theirs - 0.03
    assert share_right(ours, new, truth) > 0.85


def test_prediction_is_the_slow_sum_over_trees():
    x, y = rings(300, classes=3)
    model = grow_trees(x, y, generator=seeded(), boosting=Boosting(trees=4, depth=3))
    scores = model.prior.repeat(len(x), 1)
    for t in range(4):
        leaf = torch.zeros(len(x), dtype=torch.int64)
        for d in range(3):
            asked = x[:, model.feature[t, d]] > model.threshold[t, d]
            leaf += asked.long() << d
        scores += model.value[t][:, leaf].T
    torch.testing.assert_close(model.predict(x.T), torch.softmax(scores, dim=1))


def test_more_samples_than_a_block_are_predicted_alike():
    x, y = rings(400)
    model = grow_trees(x, y, generator=seeded())
    many = x.repeat(13, 1)
    torch.testing.assert_close(model.predict(many.T), model.predict(x.T).repeat(13, 1))


def test_a_monotone_change_of_the_features_changes_no_training_label():
    x, y = rings(500)
    one = grow_trees(x, y, generator=seeded())
    two = grow_trees(x.exp(), y, generator=seeded())
    torch.testing.assert_close(one.predict(x.T), two.predict(x.exp().T))


def test_the_same_generator_grows_the_same_trees():
    x, y = rings(300)
    one, two = (grow_trees(x, y, generator=seeded(4)) for _ in range(2))
    assert torch.equal(one.threshold, two.threshold)
    assert torch.equal(one.value, two.value)


def test_a_constant_feature_leaves_the_share_of_each_class():
    y = (torch.arange(40) % 4 == 0).long()
    model = grow_trees(torch.zeros(40, 1), y, generator=seeded())
    np.testing.assert_allclose(model.predict(torch.zeros(1, 1))[0].numpy(), [0.75, 0.25], atol=1e-4)


def test_refuses_what_cannot_be_learned():
    x, y = rings(50)
    with pytest.raises(RegionError, match="at least two classes must be marked"):
        grow_trees(x, torch.zeros(50, dtype=torch.int64), generator=seeded())
    with pytest.raises(IntensityError, match="features must be finite"):
        grow_trees(x / 0, y, generator=seeded())
    with pytest.raises(ConfigError, match="trees, depth and most must be at least 1"):
        Boosting(trees=0)
    with pytest.raises(ConfigError, match="depth must be at most 10, got 11"):
        Boosting(depth=11)


def test_refuses_tables_of_a_damaged_file():
    x, y = rings(50)
    model = grow_trees(x, y, generator=seeded())
    with pytest.raises(ShapeError, match="the file is damaged"):
        replace(model, feature=model.feature + 5)
    with pytest.raises(ShapeError, match="the file is damaged"):
        replace(model, value=model.value[:, :, :3])
    with pytest.raises(ShapeError, match="planes must have the 5 features of training, got 2"):
        model.predict(torch.zeros(2, 3))

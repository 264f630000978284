"""Class head: classes to targets and back, the loss, the score, what is not known."""

import pytest
import torch

from vesalius.errors import ConfigError
from vesalius.segment._class_head import ClassHead

ONE = (1.0, 1.0, 1.0)


def outputs_of(labels, values, strength=20.0):
    """Outputs that are sure of these labels."""
    return torch.stack([strength * (labels == v).float() for v in (0, *values)])


def test_decodes_its_own_targets():
    head = ClassHead((3, 7))
    labels = torch.tensor([0, 3, 7, 3]).reshape(1, 2, 2)
    assert head.targets(labels, ONE).flatten().tolist() == [0, 1, 2, 1]
    assert bool((head.decode(outputs_of(labels, (3, 7)), ONE) == labels).all())
    assert head.outputs == 3


def test_the_loss_is_small_where_all_is_right_and_the_unknown_counts_for_nothing():
    head = ClassHead((1,))
    labels = torch.tensor([0, 1, 1, -1]).reshape(1, 2, 2)
    right = outputs_of(labels.clamp_min(0), (1,))[None]
    wrong = right.clone()
    wrong[..., 1, 1] = torch.tensor([0.0, 50.0])[:, None].reshape(1, 2, 1)
    targets, weight = head.targets(labels, ONE)[None], (labels != -1).float()[None, None]
    one, two = (float(head.loss(x, targets, weight)) for x in (right, wrong))
    assert one == pytest.approx(two, abs=1e-6)
    assert one < 1e-3
    assert float(head.loss(-right, targets, weight)) > 5


def test_the_score_is_the_mean_dice_of_the_classes_that_occur():
    head = ClassHead((1, 2, 3))
    truth = torch.tensor([1, 1, 2, 0, -1]).reshape(1, 1, 5)
    found = torch.tensor([1, 0, 2, 0, 3]).reshape(1, 1, 5)
    assert head.score(found, truth) == pytest.approx((2 / 3 + 1) / 2)


def test_an_empty_truth_that_was_found_empty_is_right():
    empty = torch.zeros(1, 2, 2, dtype=torch.int32)
    assert ClassHead((1,)).score(empty, empty) == 1.0


def test_a_class_has_no_direction():
    targets = torch.rand(2, 1, 4, 4)
    assert ClassHead((1,)).turned(targets, torch.eye(2).expand(2, 2, 2)) is targets


@pytest.mark.parametrize("values", [(), (0, 1), (2, 1), (1, 1)])
def test_refuses_classes_that_do_not_rise_from_one(values):
    with pytest.raises(ConfigError, match=r"rising label values from 1"):
        ClassHead(values)


def test_refuses_a_label_that_is_no_class():
    with pytest.raises(ConfigError, match=r"of the classes \(1,\), 0, or -1, got 5"):
        ClassHead((1,)).targets(torch.full((1, 2, 2), 5), ONE)

"""Polygons drawn greedily: against scikit-image's filling, order, overlaps, refusals."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.measure import grid_points_in_poly

from vesalius.errors import ConfigError, ShapeError
from vesalius.ops._star_objects import peaks, star_objects, star_polygons

SHAPE = (40, 50)


def discs(places, radii, rays=32):
    far = torch.tensor(radii, dtype=torch.float64)[:, None].expand(-1, rays)
    return star_polygons(torch.tensor(places, dtype=torch.float64), far)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000))
def test_draws_what_scikit_image_fills(seed):
    draw = np.random.default_rng(seed)
    centre = torch.from_numpy(draw.uniform(-3, 45, (1, 2)))
    polygon = star_polygons(centre, torch.from_numpy(draw.uniform(2, 20, (1, 16))))
    found = star_objects(polygon, torch.ones(1), SHAPE)
    wanted = grid_points_in_poly(SHAPE, polygon[0].numpy())
    # one piece is kept, without holes: thin arms may fall off
    assert not (found.labels.numpy().astype(bool) & ~wanted).any()
    assert int((found.labels > 0).sum()) >= 0.8 * wanted.sum()


def test_a_disc_holds_as_many_samples_as_a_disc():
    found = star_objects(discs([(20.0, 25.0)], [12.0], rays=64), torch.ones(1), SHAPE)
    y, x = np.ogrid[:40, :50]
    wanted = (y - 20) ** 2 + (x - 25) ** 2 <= 144
    assert abs(int(found.labels.sum()) - wanted.sum()) < 0.03 * wanted.sum()


def test_the_likelier_of_two_is_kept_and_numbers_fall_with_probability():
    polygons = discs([(10.0, 10.0), (11.0, 11.0), (28.0, 36.0)], [7.0, 7.0, 7.0])
    found = star_objects(polygons, torch.tensor([0.6, 0.7, 0.9]), SHAPE)
    assert found.probabilities.tolist() == pytest.approx([0.9, 0.7])
    assert int(found.labels[28, 36]) == 1
    assert int(found.labels[11, 11]) == 2
    assert int(found.labels[18, 11]) == 0 == int(found.labels[4, 6])


def test_the_first_of_equals_is_kept():
    polygons = discs([(10.0, 10.0), (12.0, 10.0)], [6.0, 6.0])
    found = star_objects(polygons, torch.ones(2), SHAPE)
    assert int(found.labels[5, 10]) == 1
    assert int(found.labels[17, 10]) == 0


def test_what_overlaps_a_little_gives_way_where_it_overlaps():
    polygons = discs([(20.0, 15.0), (20.0, 29.0)], [9.0, 9.0])
    found = star_objects(polygons, torch.tensor([0.5, 0.8]), SHAPE)
    assert len(found.probabilities) == 2
    assert int(found.labels[20, 22]) == 1  # in both: of the likelier
    alone = star_objects(polygons[1:], torch.ones(1), SHAPE)
    assert torch.equal(found.labels == 1, alone.labels == 1)


@pytest.mark.parametrize("first", [4.0, 12.0])
def test_one_inside_another_is_the_same_object(first):
    polygons = discs([(20.0, 25.0), (20.0, 25.0)], [first, 16.0 - first])
    found = star_objects(polygons, torch.tensor([0.9, 0.8]), SHAPE)
    assert found.probabilities.tolist() == pytest.approx([0.9])


def test_one_that_others_cover_together_is_left_out():
    polygons = discs([(20.0, 15.0), (20.0, 31.0), (20.0, 23.0)], [8.0, 8.0, 6.0])
    likely = torch.tensor([0.9, 0.9, 0.8])
    assert len(star_objects(polygons, likely, SHAPE, overlap=0.45).probabilities) == 2
    assert len(star_objects(polygons, likely, SHAPE, overlap=1.0).probabilities) == 3


def test_small_ones_and_those_outside_are_left_out():
    polygons = discs([(20.0, 20.0), (200.0, 9.0), (-50.0, 4.0), (5.0, 5.0)], [1.0, 5.0, 5.0, 6.0])
    found = star_objects(polygons, torch.ones(4), SHAPE, least_size=10)
    assert len(found.probabilities) == 1
    assert int(found.labels[5, 5]) == 1


def test_wild_distances_cost_nothing():
    polygons = star_polygons(torch.tensor([[20.0, 20.0]]), torch.full((1, 8), 1e30))
    assert int((star_objects(polygons, torch.ones(1), SHAPE).labels == 1).sum()) == 2000


def test_nothing_gives_nothing():
    found = star_objects(torch.zeros(0, 8, 2), torch.zeros(0), SHAPE)
    assert int(found.labels.max()) == 0 == len(found.probabilities)


def test_negative_distances_lie_in_the_centre():
    polygon = star_polygons(torch.tensor([[3.0, 4.0]]), torch.tensor([[-1.0, 2.0, 0.0, 1.0]]))
    wanted = [[3.0, 4.0], [5.0, 4.0], [3.0, 4.0], [2.0, 4.0]]
    torch.testing.assert_close(polygon[0], torch.tensor(wanted))


def test_peaks_are_not_exceeded_by_a_neighbour():
    values = torch.zeros(5, 6)
    values[1, 1], values[1, 2], values[3, 4], values[4, 0] = 0.9, 0.8, 0.7, 0.4
    assert peaks(values, 0.5).nonzero().tolist() == [[1, 1], [3, 4]]
    values[2, 2] = 0.9
    assert peaks(values, 0.5).nonzero().tolist() == [[1, 1], [2, 2], [3, 4]]


def test_refuses_probabilities_of_others():
    with pytest.raises(ShapeError, match="each polygon must have a probability, got 1 and 2"):
        star_objects(discs([(3.0, 3.0)], [2.0]), torch.ones(2), SHAPE)


@pytest.mark.parametrize("wrong", [{"overlap": -0.1}, {"overlap": 1.1}, {"least_size": 0}])
def test_refuses_rules_out_of_range(wrong):
    with pytest.raises(ConfigError, match="overlap must be from 0 to 1 and least_size"):
        star_objects(discs([(3.0, 3.0)], [2.0]), torch.ones(1), SHAPE, **wrong)

"""The oriented box of least volume."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vesalius.ops._bounding import minimum_box
from vesalius.ops._hull import convex_hull

CUBE = np.array(list(itertools.product((-1.0, 1.0), repeat=3)))


def rotation(seed):
    q, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    return q


@given(st.integers(0, 10_000))
@settings(max_examples=30, deadline=None)
def test_finds_a_turned_box(seed):
    corners = (CUBE * [3.0, 2.0, 0.5]) @ rotation(seed)
    sides = minimum_box(convex_hull(torch.from_numpy(corners)))
    assert sides.tolist() == pytest.approx([6, 4, 1], rel=1e-6)


@given(st.integers(0, 10_000))
@settings(max_examples=15, deadline=None)
def test_no_box_on_a_face_is_smaller_by_more_than_a_little(seed):
    cloud = np.random.default_rng(seed).normal(size=(40, 3)) * [3, 2, 1]
    hull = convex_hull(torch.from_numpy(cloud))
    ours = float(minimum_box(hull).prod())
    every = float(minimum_box(hull, starts=10_000).prod())
    assert ours <= every * 1.03
    upright = np.prod(cloud.max(axis=0) - cloud.min(axis=0))
    assert hull.volume < ours <= upright * (1 + 1e-12)


@given(st.integers(0, 10_000))
@settings(max_examples=15, deadline=None)
def test_the_sides_do_not_depend_on_the_order_of_the_axes(seed):
    cloud = torch.from_numpy(np.random.default_rng(seed).normal(size=(30, 3)) * [4, 2, 1])
    ours = minimum_box(convex_hull(cloud))
    turned = minimum_box(convex_hull(cloud[:, [2, 0, 1]] * torch.tensor([1.0, -1.0, 1.0])))
    assert turned.tolist() == pytest.approx(ours.tolist(), rel=1e-6)

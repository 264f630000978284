"""Winner: painted slice by slice, equal to interpolating all channels and taking the largest."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from vesalius.errors import GeometryError
from vesalius.ops._sampling import resample_affine
from vesalius.ops._winner import Painter, Wanted


def probabilities(k: int, shape: tuple[int, int, int], seed: int = 0) -> Tensor:
    draw = torch.randn(k, *shape, generator=torch.Generator().manual_seed(seed))
    return (3 * draw).softmax(dim=0)


def wanted(k: int, shape: tuple[int, int, int], power: float = 1.0, *, maps: bool = True) -> Wanted:
    size = shape if maps else (0, 0, 0)
    return Wanted(
        np.arange(k),
        power,
        np.zeros(shape, np.uint8),
        np.zeros((k if maps else 0, *shape), np.float32),
        np.zeros(size, np.float32),
        np.zeros(size, np.float32),
    )


def paint(source: Tensor, matrix: Tensor, want: Wanted, cuts: tuple[int, ...]) -> Wanted:
    painter = Painter(matrix, tuple(source.shape[1:]), want)
    edges = [0, *cuts, source.shape[1]]
    for a, b in itertools.pairwise(edges):
        painter.add(a, source[:, a:b])
    return want


def scaled(scale: tuple[float, float, float], shift: tuple[float, float, float]) -> Tensor:
    matrix = torch.diag(torch.tensor([*scale, 1.0], dtype=torch.float64))
    matrix[:3, 3] = torch.tensor(shift, dtype=torch.float64)
    return matrix


@given(
    scale=st.tuples(*[st.sampled_from([0.4, 1.0, 1.7])] * 3),
    shift=st.tuples(*[st.sampled_from([-0.3, 0.0, 0.45])] * 3),
    cuts=st.sets(st.integers(1, 4)),
)
def test_agrees_with_interpolating_every_channel(scale, shift, cuts):
    source = torch.cat([probabilities(3, (5, 6, 7)), torch.rand(1, 5, 6, 7)])
    matrix, shape = scaled(scale, shift), (6, 5, 4)
    found = paint(source, matrix, wanted(3, shape), tuple(sorted(cuts)))
    inside = torch.ones(shape, dtype=torch.bool)
    for axis, (s, t, n) in enumerate(zip(scale, shift, (5, 6, 7), strict=True)):
        at = s * torch.arange(shape[axis]) + t
        ok = (at >= -0.5) & (at <= n - 0.5)
        inside &= ok.reshape([-1 if a == axis else 1 for a in range(3)])
    whole = resample_affine(source, matrix, shape=shape)
    labels = whole[:3].argmax(dim=0) * inside
    assert torch.equal(torch.from_numpy(found.labels).long(), labels)
    np.testing.assert_allclose(found.probability, (whole[:3] * inside).numpy(), atol=2e-6)
    entropy = torch.special.entr(whole[:3]).sum(dim=0) * inside
    np.testing.assert_allclose(found.entropy, entropy.numpy(), atol=1e-5)
    information = (entropy - whole[3]).clamp_min(0) * inside
    np.testing.assert_allclose(found.information, information.numpy(), atol=1e-5)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 2, 0), (2, 1, 0)])
@pytest.mark.parametrize("flip", [(1, 1, 1), (-1, 1, -1), (-1, -1, -1)])
def test_axes_in_another_order_and_direction_are_followed(order, flip):
    source = probabilities(4, (5, 6, 7))
    turned = source.argmax(dim=0).permute(*order)
    turned = turned.flip([a for a in range(3) if flip[a] < 0])
    matrix = torch.zeros(4, 4, dtype=torch.float64)
    matrix[3, 3] = 1
    for a in range(3):  # target axis a runs along source axis order[a]
        matrix[order[a], a] = flip[a]
        matrix[order[a], 3] = source.shape[1 + order[a]] - 1 if flip[a] < 0 else 0
    found = paint(source, matrix, wanted(4, tuple(turned.shape), maps=False), (2, 3))
    assert np.array_equal(found.labels, turned.numpy())


@given(cuts=st.sets(st.integers(1, 8)))
def test_the_way_it_is_cut_changes_nothing(cuts):
    source = torch.cat([probabilities(2, (9, 4, 4)), torch.rand(1, 9, 4, 4)])
    matrix, shape = scaled((0.37, 1.0, 0.5), (0.1, 0.0, 0.2)), (22, 4, 7)
    one = paint(source, matrix, wanted(2, shape), ())
    two = paint(source, matrix, wanted(2, shape), tuple(sorted(cuts)))
    assert np.array_equal(one.labels, two.labels)
    np.testing.assert_allclose(one.entropy, two.entropy, atol=1e-6)


def test_a_temperature_flattens_maps_and_leaves_the_labels():
    source = torch.cat([probabilities(3, (3, 4, 4)), torch.zeros(1, 3, 4, 4)])
    eye = torch.eye(4, dtype=torch.float64)
    cold, warm = wanted(3, (3, 4, 4)), wanted(3, (3, 4, 4), 0.5)
    paint(source, eye, cold, ())
    paint(source, eye, warm, ())
    assert np.array_equal(cold.labels, warm.labels)
    expected = (source[:3].log() / 2).softmax(dim=0)
    np.testing.assert_allclose(warm.probability, expected.numpy(), atol=1e-6)
    entropy = torch.special.entr(expected).sum(dim=0)
    np.testing.assert_allclose(warm.entropy, entropy.numpy(), atol=1e-5)
    assert (warm.entropy >= cold.entropy - 1e-6).all()


def test_members_that_agree_know_the_same_and_information_is_zero():
    p = probabilities(3, (2, 3, 3))
    source = torch.cat([p, torch.special.entr(p).sum(dim=0, keepdim=True)])
    found = paint(source, torch.eye(4, dtype=torch.float64), wanted(3, (2, 3, 3)), ())
    np.testing.assert_allclose(found.information, 0, atol=1e-6)
    assert found.entropy.max() <= math.log(3) + 1e-6


def test_values_of_the_classes_are_painted_into_a_view():
    source = probabilities(2, (2, 3, 3))
    labels = np.zeros((3, 3, 2), np.int16)
    want = Wanted(
        np.array([0, 900]),
        1.0,
        labels.transpose(2, 0, 1),
        np.zeros((0, 2, 3, 3), np.float32),
        np.zeros((0, 0, 0), np.float32),
        np.zeros((0, 0, 0), np.float32),
    )
    paint(source, torch.eye(4, dtype=torch.float64), want, ())
    expected = 900 * source.argmax(dim=0).numpy()
    assert np.array_equal(labels.transpose(2, 0, 1), expected)


def test_refuses_lattices_that_are_turned_against_each_other():
    matrix = torch.eye(4, dtype=torch.float64)
    matrix[:2, :2] = torch.tensor([[0.8, -0.6], [0.6, 0.8]])
    with pytest.raises(GeometryError, match="source and target must have parallel axes"):
        Painter(matrix, (4, 4, 4), wanted(2, (4, 4, 4)))

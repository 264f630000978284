"""Minimum cuts: the flow of SciPy, the energy equal to the flow, hard constraints kept."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import maximum_flow

from vesalius.errors import IntensityError, ShapeError
from vesalius.graph import minimum_cut

SHAPES = [(1, 5, 6), (3, 4, 5), (4, 1, 7), (1, 1, 5), (5, 4, 3), (1, 1, 1)]


def costs(shape, seed, most=9):
    g = torch.Generator().manual_seed(seed)
    source, sink = (torch.randint(0, most, shape, generator=g).double() for _ in range(2))
    return source, sink, torch.randint(0, 6, (3, *shape), generator=g).double()


def flow_of_scipy(source, sink, links):
    shape, n = tuple(source.shape), source.numel()
    index = np.arange(n).reshape(shape)
    rows, columns = [np.full(n, n), np.arange(n)], [np.arange(n), np.full(n, n + 1)]
    values = [source.numpy().ravel(), sink.numpy().ravel()]
    for axis in range(3):
        a = np.take(index, range(shape[axis] - 1), axis=axis).ravel()
        b = np.take(index, range(1, shape[axis]), axis=axis).ravel()
        w = np.take(links[axis].numpy(), range(shape[axis] - 1), axis=axis).ravel()
        rows += [a, b]
        columns += [b, a]
        values += [w, w]
    whole = np.concatenate(values).astype(np.int32)
    place = (np.concatenate(rows), np.concatenate(columns))
    return maximum_flow(coo_matrix((whole, place), shape=(n + 2, n + 2)).tocsr(), n, n + 1)


@settings(max_examples=30)
@given(st.sampled_from(SHAPES), st.integers(0, 10_000))
def test_flow_and_energy_are_the_maximum_flow_of_scipy(shape, seed):
    source, sink, links = costs(shape, seed)
    cut = minimum_cut(source, sink, links)
    assert cut.flow == cut.energy == flow_of_scipy(source, sink, links).flow_value


def test_no_other_labelling_of_a_small_image_costs_less():
    source, sink, links = costs((1, 3, 3), 4)
    cut = minimum_cut(source, sink, links)
    best = min(
        _energy(torch.tensor(bits).reshape(1, 3, 3).bool(), source, sink, links)
        for bits in itertools.product((0, 1), repeat=9)
    )
    assert cut.energy == best == _energy(cut.inside, source, sink, links)


def _energy(inside, source, sink, links):
    total = float(source[~inside].sum() + sink[inside].sum())
    total += float(links[1, :, :-1][inside[:, 1:] != inside[:, :-1]].sum())
    return total + float(links[2, :, :, :-1][inside[:, :, 1:] != inside[:, :, :-1]].sum())


def test_without_links_each_sample_decides_alone():
    source, sink, links = costs((2, 3, 4), 1)
    assert torch.equal(minimum_cut(source, sink, 0 * links).inside, source > sink)


def test_among_equal_optima_the_smallest_inside_is_given():
    nothing = torch.zeros(1, 2, 2)
    assert not bool(minimum_cut(nothing, nothing, torch.ones(3, 1, 2, 2)).inside.any())


def test_real_costs_prove_the_optimum_up_to_rounding():
    g = torch.Generator().manual_seed(2)
    source, sink = torch.rand(2, 6, 20, 20, generator=g, dtype=torch.float64)
    cut = minimum_cut(source, sink, 0.2 * torch.rand(3, 6, 20, 20, generator=g))
    assert cut.flow == pytest.approx(cut.energy, rel=1e-9)


def test_a_cost_above_all_others_is_a_hard_constraint():
    source, sink, links = costs((1, 6, 6), 7)
    source[0, 0, 0] = 1e6
    sink[0, 0, 1] = 1e6
    cut = minimum_cut(source, sink, links)
    assert bool(cut.inside[0, 0, 0])
    assert not bool(cut.inside[0, 0, 1])


def test_the_costs_are_left_as_they_are():
    before = costs((1, 6, 6), 7)
    after = [x.clone() for x in before]
    minimum_cut(*after)
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


def test_refuses_costs_that_do_not_fit_or_are_negative():
    with pytest.raises(ShapeError, match="sink must have shape"):
        minimum_cut(torch.zeros(1, 2, 2), torch.zeros(1, 2, 3), torch.zeros(3, 1, 2, 2))
    with pytest.raises(IntensityError, match="costs must be finite and at least 0, links"):
        minimum_cut(torch.zeros(1, 2, 2), torch.zeros(1, 2, 2), -torch.ones(3, 1, 2, 2))

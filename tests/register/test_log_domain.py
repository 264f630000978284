"""Log domain: velocities from one side and through a mid space, with inverses."""

import pytest
import torch
from dense_cases import known_pair, levels_of, missed, stage, texture

from vesalius.core import Grid, Image, Velocity
from vesalius.ops._jacobian import folding
from vesalius.ops._warp import compose
from vesalius.register._dense import solve
from vesalius.register._gaussian import Gaussian
from vesalius.register._mse import MeanSquare
from vesalius.register._watch import Watch

both = pytest.mark.parametrize("model", ["velocity", "symmetric"])


@both
def test_recovers_a_known_warp(model, generator):
    fixed, moving, flow = known_pair((22, 24, 26), generator)
    plan = stage(model)
    found = solve(levels_of(fixed, moving, plan), plan, Watch())
    assert isinstance(found, Velocity)
    reached = found.to_field(fixed.grid).flow()
    assert missed(reached, flow) < 0.3 * missed(torch.zeros_like(flow), flow)


@both
def test_there_and_back_is_where_it_began(model, generator):
    fixed, moving, _ = known_pair((18, 20, 22), generator, size=2.5)
    plan = stage(model, scales=((2, 20), (1, 20)))
    found = solve(levels_of(fixed, moving, plan), plan, Watch())
    there = found.to_field(fixed.grid).flow()
    back = found.inverse().to_field(fixed.grid).flow()
    assert float(there.abs().max()) > 1
    assert float(compose(there, back).norm(dim=0)[3:-3, 3:-3, 3:-3].mean()) < 0.05


def test_exchanging_the_images_gives_the_inverse(generator):
    fixed, moving, _ = known_pair((16, 18, 20), generator)
    plan = stage("symmetric", scales=((1, 12),))
    one = solve(levels_of(fixed, moving, plan), plan, Watch())
    two = solve(levels_of(moving, fixed, plan), plan, Watch())
    inside = (slice(None), *[slice(3, -3)] * 3)  # beyond the border only the moving one has samples
    assert float(one.data.abs().max()) > 0.5
    assert float((one.data + two.data)[inside].abs().mean()) < 0.02


@both
def test_other_similarities_go_the_same_way(model, generator):
    fixed, moving, flow = known_pair((16, 18, 20), generator)
    plan = stage(model, scales=((1, 30),), similarity=MeanSquare())
    found = solve(levels_of(fixed, moving, plan), plan, Watch()).to_field(fixed.grid).flow()
    assert missed(found, flow) < 0.6 * missed(torch.zeros_like(flow), flow)


@both
def test_a_slice_moves_in_its_plane_alone(model, generator):
    fixed, moving, flow = known_pair((1, 36, 40), generator)
    plan = stage(model)
    found = solve(levels_of(fixed, moving, plan), plan, Watch()).to_field(fixed.grid).flow()
    assert not found[0].any()
    assert missed(found, flow) < 0.4 * missed(torch.zeros_like(flow), flow)


@both
def test_neither_way_folds(model, generator):
    """Unrelated images, rough steps: the velocity is smoothed where its exponential folds."""
    grid = Grid.from_spacing((14, 16, 18))
    one, two = (Image(texture((14, 16, 18), generator), grid) for _ in range(2))
    plan = stage(model, scales=((1, 40),), total=None, step=0.8, update=Gaussian(sigma=0.8))
    found = solve(levels_of(one, two, plan), plan, Watch())
    for way in (found, found.inverse()):
        assert float(folding(way.to_field(grid).flow()).min()) > 0

"""The contract of every transform of this room: shapes, types, derivatives, inverse, field."""

import pytest
import torch

from register.landmark_cases import cloud, pairs, somewhere
from vesalius.core import Grid, Labels, Linear, Points, Transform
from vesalius.register.atlas import polyaffine
from vesalius.register.landmarks import (
    Drift,
    GaussianKernel,
    WendlandKernel,
    drift,
    elastic_body,
    radial_spline,
    thin_plate,
)


def joined() -> Transform:
    grid = Grid.from_spacing((10, 10, 10), (10.0, 10.0, 10.0))
    data = torch.zeros(grid.shape, dtype=torch.uint8)
    data[2:8, 2:8, 1:4], data[2:8, 2:8, 6:9] = 1, 2
    maps = {1: Linear.rotation((0, 0, 8), centre_mm=(50, 50, 50)), 2: Linear.translation((3, 1, 0))}
    return polyaffine(Labels(data[None], grid), maps, sigma_mm=20.0)


def drifted() -> Transform:
    shape = cloud(40)
    return drift(
        Points(shape), Points(shape + (shape.flip(1) / 40).sin()), how=Drift(30.0)
    ).transform


MODELS = {
    "thin plate": lambda: thin_plate(*pairs(), smoothing=20.0),
    "thin plate of a plane": lambda: thin_plate(*pairs(flat=True), smoothing=200.0, dimension=2),
    "gaussian": lambda: radial_spline(*pairs(8), kernel=GaussianKernel(40.0), smoothing=0.2),
    "wendland": lambda: radial_spline(*pairs(8), kernel=WendlandKernel(90.0), smoothing=0.2),
    "elastic r": lambda: elastic_body(*pairs(8), smoothing=1e3),
    "elastic 1/r": lambda: elastic_body(*pairs(8), force="1/r", smoothing=10.0),
    "polyaffine": joined,
    "drift": drifted,
}


@pytest.fixture(params=MODELS, scope="module")
def model(request) -> Transform:
    return MODELS[request.param]()


def test_keeps_shape_and_number_type(model):
    for dtype in (torch.float32, torch.float64):
        points = somewhere(12).to(dtype).reshape(2, 6, 3)
        assert model(points).shape == (2, 6, 3)
        assert model(points).dtype == dtype
        assert model.jacobian(points).shape == (2, 6, 3, 3)
        assert model.jacobian(points).dtype == dtype
    assert model(torch.empty(0, 3)).shape == (0, 3)
    assert model(torch.zeros(3)).shape == (3,)


def test_leaves_its_input_alone(model):
    points = somewhere(9)
    before = points.clone()
    model(points)
    model.jacobian(points)
    model.inverse()(points)
    assert torch.equal(points, before)


def test_the_derivative_equals_autograd(model):
    points = somewhere(15).requires_grad_()
    moved = model(points)
    rows = [torch.autograd.grad(moved[:, i].sum(), points, retain_graph=True)[0] for i in range(3)]
    torch.testing.assert_close(
        torch.stack(rows, dim=1), model.jacobian(points).detach(), rtol=0, atol=1e-6
    )


def test_the_inverse_leads_back_both_ways(model):
    points = somewhere(30)
    back = model.inverse()
    torch.testing.assert_close(back(model(points)), points, rtol=0, atol=1e-3)
    torch.testing.assert_close(model(back(points)), points, rtol=0, atol=1e-3)
    torch.testing.assert_close(back.inverse()(points), model(points), rtol=0, atol=1e-9)


def test_the_derivative_of_the_inverse_is_the_inverse_of_the_derivative(model):
    points = somewhere(30)
    product = model.inverse().jacobian(model(points)) @ model.jacobian(points)
    eye = torch.eye(3, dtype=torch.float64).expand_as(product)
    torch.testing.assert_close(product, eye, rtol=0, atol=2e-2)


def test_is_composed_with_linear_maps(model):
    turn = Linear.rotation((3, -5, 8), centre_mm=(20, 30, 40))
    points = somewhere(20)
    whole = turn @ model @ turn.inverse()
    wanted = turn(model(turn.inverse()(points)))
    torch.testing.assert_close(whole(points), wanted, rtol=0, atol=1e-9)
    at = turn.inverse()(points)
    chain = turn.jacobian(points) @ model.jacobian(at) @ turn.inverse().jacobian(points)
    torch.testing.assert_close(whole.jacobian(points), chain, rtol=0, atol=1e-9)


def test_becomes_a_field_that_is_exact_at_its_voxels(model):
    grid = Grid.from_spacing((3, 4, 5), (30.0, 25.0, 20.0))
    field = model.to_field(grid)
    axes = [torch.arange(n).double() for n in grid.shape]
    at = grid.to_world(torch.cartesian_prod(*axes))
    torch.testing.assert_close(field(at), model(at), rtol=0, atol=1e-3)


def test_says_its_direction_unit_and_frame(model):
    assert "fixed -> moving, mm, LPS" in repr(model)

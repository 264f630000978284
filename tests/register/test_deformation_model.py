"""Deformation model: principal modes of velocities, projection, samples, and its inverses."""

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from register.landmark_cases import lattice, smooth_velocity
from vesalius.core import Grid, Image, Velocity, resample
from vesalius.errors import ConfigError, FormatError, GeometryError, ShapeError
from vesalius.io._weights import ModelCard, save_weights
from vesalius.register._mse import MeanSquare
from vesalius.register._plan import Lbfgs, Plan, Scale, Stage
from vesalius.register._register import register
from vesalius.register.atlas import DeformationModel, PrincipalBasis

GRID = Grid.from_spacing((10, 11, 12), (2.0, 2.0, 2.0))


def population(count: int = 9) -> list[Velocity]:
    """Velocities about a mean along three directions, of falling size."""
    base = [smooth_velocity(GRID, seed=s).data for s in range(4)]
    generator = torch.Generator().manual_seed(5)
    draws = torch.randn(count, 3, generator=generator, dtype=torch.float64)
    sizes = torch.tensor([1.0, 0.5, 0.2], dtype=torch.float64)
    return [
        Velocity(base[0] + sum(a * s * b for a, s, b in zip(d, sizes, base[1:], strict=True)), GRID)
        for d in draws
    ]


def fitted(components: int = 10) -> tuple[DeformationModel, list[Velocity]]:
    velocities = population()
    return DeformationModel(components).fit(velocities), velocities


def test_equals_the_principal_components_of_scikit_learn():
    model, velocities = fitted()
    rows = torch.stack([v.data.reshape(-1) for v in velocities]).numpy()
    oracle = PCA(3).fit(rows)
    voxels = rows.shape[1] / 3
    np.testing.assert_allclose(model.mean_.reshape(-1), oracle.mean_, atol=1e-10)
    np.testing.assert_allclose(model.variance_, oracle.explained_variance_ / voxels, rtol=1e-8)
    np.testing.assert_allclose(
        model.explained_variance_ratio_, oracle.explained_variance_ratio_, rtol=1e-8
    )
    turned = model.modes_.reshape(3, -1).numpy() @ oracle.components_.T / voxels**0.5
    np.testing.assert_allclose(abs(turned), np.eye(3), atol=1e-6)


def test_keeps_no_mode_that_is_rounding_and_no_more_than_asked():
    assert len(fitted()[0].modes_) == 3  # the population has three directions
    model = fitted(2)[0]
    assert len(model.modes_) == 2
    assert float(model.explained_variance_ratio_.sum()) < 1
    assert float(fitted()[0].explained_variance_ratio_.sum()) == pytest.approx(1)


def test_gives_every_member_of_the_population_back():
    model, velocities = fitted()
    for velocity in velocities:
        again = model.velocity(model.project(velocity))
        torch.testing.assert_close(again.data, velocity.data, rtol=0, atol=1e-9)


def test_a_coefficient_is_a_root_mean_square_velocity():
    model = fitted()[0]
    moved = model.velocity(torch.tensor([0.7, 0.0, 0.0]).double()).data - model.mean_
    assert float((moved**2).sum(dim=0).mean().sqrt()) == pytest.approx(0.7)


def test_samples_have_the_mean_and_the_variance_of_the_population(generator):
    model = fitted()[0]
    drawn = torch.stack([model.project(model.sample(generator=generator)) for _ in range(2000)])
    spread = model.variance_.sqrt()
    assert bool((drawn.mean(dim=0).abs() < 4 * spread / 2000**0.5).all())
    torch.testing.assert_close(drawn.var(dim=0), model.variance_, rtol=0.15, atol=0)


def test_projection_leaves_the_nearest_of_all_coefficients():
    model = fitted(2)[0]
    other = smooth_velocity(GRID, seed=77)
    best = model.project(other)
    missed = float(((model.velocity(best).data - other.data) ** 2).sum())
    for change in torch.eye(2).double() * 0.05:
        for sign in (-1, 1):
            worse = model.velocity(best + sign * change).data - other.data
            assert float((worse**2).sum()) > missed


def test_the_inverse_of_a_deformation_is_the_opposite_velocity():
    model = fitted()[0]
    forward = model.velocity(torch.tensor([0.8, -0.5, 0.3]).double())
    at = lattice(GRID)
    there_and_back = forward.inverse()(forward(at))
    assert float((there_and_back - at).norm(dim=1).mean()) < 0.05 * 2.0  # voxels
    basis = PrincipalBasis(model)
    parameters = torch.tensor([1.0, 0.8, -0.5, 0.3]).double()
    opposite = basis.transform(-parameters, GRID)
    torch.testing.assert_close(opposite.data, forward.inverse().data, rtol=0, atol=1e-12)


def test_the_basis_begins_with_no_deformation():
    basis = PrincipalBasis(fitted()[0])
    start = basis.start(GRID)
    assert start.shape == (4,)
    assert float(basis.flow(start, GRID).abs().max()) == 0


def test_the_flow_of_the_basis_is_its_transform_on_any_grid():
    basis = PrincipalBasis(fitted()[0])
    parameters = torch.tensor([1.0, 0.6, -0.4, 0.2]).double()
    for grid in (GRID, Grid.from_spacing((5, 5, 6), (4.0, 4.0, 4.0), origin_mm=(1.0, 1.0, 1.0))):
        flow = basis.flow(parameters, grid)
        wanted = basis.transform(parameters, grid).to_field(grid).flow()
        torch.testing.assert_close(flow, wanted)
        assert flow.shape == (3, *grid.shape)
    assert float(flow.abs().max()) > 0.1


def test_descent_finds_the_parameters_of_a_flow():
    basis = PrincipalBasis(fitted()[0])
    wanted = torch.tensor([1.0, 0.5, -0.4, 0.3]).double()
    goal = basis.flow(wanted, GRID).detach()
    found = basis.start(GRID).requires_grad_()
    search = torch.optim.LBFGS([found], max_iter=40, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        search.zero_grad()
        value = ((basis.flow(found, GRID) - goal) ** 2).mean()
        value.backward()
        return value

    search.step(loss)
    torch.testing.assert_close(found.detach(), wanted, rtol=0, atol=1e-3)


CARD = ModelCard(
    name="breath",
    purpose="a test",
    data="nine made-up velocities",
    training="principal components",
    limits="not for people",
    licence="Apache-2.0",
)


def test_is_written_and_read_back(tmp_path):
    model = fitted()[0]
    model.save(tmp_path / "breath.safetensors", CARD)
    again = DeformationModel.load(tmp_path / "breath.safetensors")
    wanted = torch.tensor([0.4, -0.2, 0.1]).double()
    assert torch.equal(again.velocity(wanted).data, model.velocity(wanted).data)
    assert torch.equal(again.grid_.affine, GRID.affine)
    assert torch.equal(again.explained_variance_ratio_, model.explained_variance_ratio_)


def test_refuses_a_file_of_another_kind(tmp_path):
    save_weights(tmp_path / "net.safetensors", {"layer": torch.zeros(2)}, CARD)
    with pytest.raises(FormatError, match="a deformation model holds the tensors affine, mean"):
        DeformationModel.load(tmp_path / "net.safetensors")


def test_registers_by_the_modes_of_a_population():
    """The member that the model has not seen is found from its images alone."""
    velocities = population(12)
    model = DeformationModel().fit(velocities[1:])
    axes = [torch.arange(n, dtype=torch.float32) for n in GRID.shape]
    z, y, x = torch.meshgrid(*axes, indexing="ij")
    moving = Image(((0.9 * z).sin() + (0.8 * y).cos() + (0.7 * x).sin())[None], GRID)
    truth = Velocity(velocities[0].data.float(), GRID)
    fixed = resample(moving, GRID, transform=truth, interpolation="cubic")
    plan = Plan((Stage(PrincipalBasis(model), MeanSquare(), Lbfgs(), (Scale(0, 30),)),))
    found = register(fixed, moving, plan=plan).transform
    at = lattice(GRID)
    before = float((truth(at.float()) - at).norm(dim=1).mean())
    assert float((found(at) - truth(at.float())).norm(dim=1).mean()) < 0.25 * before


def test_refuses_too_few_or_equal_or_scattered_velocities():
    velocities = population(2)
    with pytest.raises(ShapeError, match="a model needs at least two velocities, got 1"):
        DeformationModel().fit(velocities[:1])
    with pytest.raises(GeometryError, match="the velocities must differ to have modes"):
        DeformationModel().fit([velocities[0]] * 3)
    elsewhere = Velocity(velocities[0].data, Grid.from_spacing(GRID.shape))
    with pytest.raises(GeometryError, match="velocities of a model must share one grid; spacing"):
        DeformationModel().fit([velocities[0], elsewhere])
    with pytest.raises(GeometryError, match="velocities of a model must share one grid"):
        fitted()[0].project(elsewhere)


def test_refuses_counts_that_do_not_fit():
    with pytest.raises(ConfigError, match="components must be at least 1, got 0"):
        DeformationModel(0)
    with pytest.raises(ConfigError, match="a basis needs a fitted model"):
        PrincipalBasis(DeformationModel())
    with pytest.raises(ShapeError, match="one for each of 3 modes, got 2"):
        fitted()[0].velocity(torch.zeros(2))

"""The variational search: every model and optimiser, regularisers, terms, what it refuses."""

from dataclasses import dataclass, replace
from typing import final

import pytest
import torch
from register_fields import FIXED, GRID, MOVING, TRUE, error_mm, levels_of, plane_pair

from vesalius.core import BSpline, Displacement, Image, Linear, Velocity
from vesalius.errors import ConfigError, ConvergenceError
from vesalius.ops._stencils import corner_slopes, determinant
from vesalius.register import _variational
from vesalius.register._models import model_of
from vesalius.register._mse import MeanSquare
from vesalius.register._mutual_information import MutualInformation
from vesalius.register._ncc import Ncc
from vesalius.register._objective import Objective
from vesalius.register._plan import Adam, Greedy, Lbfgs, Scale, Stage
from vesalius.register._terms import Term
from vesalius.register._watch import Watch
from vesalius.register.fields import CosineBasis, FreeForm
from vesalius.register.regularise import Bending, Diffusion, FoldingBarrier, Sobolev

SCALES = (Scale(4.0, 25), Scale(2.0, 15))
REST = error_mm(Linear.identity())
DENSE = (Diffusion(0.02),)
FREE = (Bending(0.05),)
MODELS = [
    ("displacement", Displacement, DENSE),
    ("velocity", Velocity, DENSE),
    ("symmetric", Velocity, DENSE),
    (FreeForm(8.0), BSpline, FREE),
    (CosineBasis(16.0), Displacement, FREE),
]


def stage(model, optimiser=Lbfgs(), **changes) -> Stage:  # noqa: B008
    given = {"similarity": MeanSquare(), "scales": SCALES, "optimiser": optimiser}
    return Stage(**{**given, "model": model, **changes})


@final
@dataclass(frozen=True, slots=True)
class Pull(Term):
    """Pulls the middle of the lattice to a place, samples."""

    to: tuple[float, float, float]
    weight: float = 1.0

    def __call__(self, flow, level):
        """Give the squared distance of the middle sample from where it should go."""
        z, y, x = (n // 2 for n in level.grid.shape)
        target = flow.new_tensor(self.to)
        return self.weight * ((flow[:, z, y, x] - target) ** 2).sum()


@pytest.mark.parametrize(("model", "kind", "energies"), MODELS, ids=lambda m: str(m)[:14])
@pytest.mark.parametrize("optimiser", [Lbfgs(), Adam(0.15)], ids=["lbfgs", "adam"])
def test_a_known_deformation_is_recovered(model, kind, energies, optimiser):
    if isinstance(model, CosineBasis) and isinstance(optimiser, Adam):
        optimiser = Adam(0.06)  # all cosines move at once
    watch = Watch()
    plan = stage(model, optimiser, regularisers=energies)
    found = _variational.solve(levels_of(SCALES), plan, watch)
    assert isinstance(found, kind)
    assert error_mm(found) < 0.5 * REST
    assert {e.spacing_mm for e in watch.entries} == {4.0, 2.0}
    assert all(e.mean_step_mm == e.mean_step_mm for e in watch.entries)


@pytest.mark.parametrize("similarity", [MeanSquare(), Ncc(), MutualInformation()], ids=str)
def test_free_form_fields_follow_every_similarity(similarity):
    plan = stage(FreeForm(10.0), similarity=similarity, scales=(Scale(4.0, 20), Scale(2.0, 10)))
    found = _variational.solve(levels_of(plan.scales), plan, Watch())
    assert error_mm(found) < 0.75 * REST


@pytest.mark.parametrize("model", ["displacement", "velocity", FreeForm(8.0), CosineBasis(16.0)])
def test_a_slice_moves_within_its_plane(model):
    plan = stage(model, regularisers=(Diffusion(0.02),))
    levels = plane_pair(SCALES)
    watch = Watch()
    found = _variational.solve(levels, plan, watch)
    points = GRID.to_world(torch.tensor([[8.0, 10.0, 11.0], [8.0, 5.0, 7.0]]).double()).float()
    moved = found(points) - points
    assert float(moved[:, 2].abs().max()) < 1e-5  # S, through the plane
    assert float(moved.abs().max()) > 0.1
    assert watch.entries[-1].loss < 0.5 * watch.entries[0].loss


def test_no_scale_ends_worse_than_it_began():
    """A rate far too high throws Adam about; the best that it met is what it gives."""
    plan = stage("displacement", Adam(5.0), scales=(Scale(4.0, 6),))
    levels = levels_of(plan.scales)
    watch = Watch()
    found = _variational.solve(levels, plan, watch)
    objective = Objective(levels[0], plan, model_of("displacement"), ())
    loss, _ = objective(found.flow())
    assert float(loss) <= min(e.loss for e in watch.entries) + 1e-6


def test_the_loss_is_similarity_plus_energies_plus_terms():
    plan = stage("velocity", regularisers=(Diffusion(0.3), Bending(2.0)))
    (level,) = levels_of((Scale(4.0, 1),))
    velocity = 0.3 * torch.ones(3, *level.grid.shape)
    velocity[2] *= torch.linspace(0, 1, level.grid.shape[2])
    objective = Objective(level, plan, model_of("velocity"), (Pull((0.0, 1.0, 0.0)),))
    plain = Objective(level, stage("velocity"), model_of("velocity"), ())
    loss, flow = objective(velocity)
    mm = velocity * torch.tensor(level.grid.spacing_mm)[:, None, None, None]
    extra = Diffusion(0.3)(mm, level.grid) + Bending(2.0)(mm, level.grid)
    expected = plain(velocity)[0] + extra + Pull((0.0, 1.0, 0.0))(flow, level)
    torch.testing.assert_close(loss, expected)


@pytest.mark.parametrize("model", ["displacement", "velocity", "symmetric", FreeForm(12.0)])
def test_the_derivative_of_the_whole_loss_agrees_with_differences(model, generator):
    plan = stage(model, regularisers=(Diffusion(0.1),))
    (level,) = levels_of((Scale(4.0, 1),))
    level = replace(level, moving_weight=None)  # the weight is held while loss falls
    inner = model_of(model)
    start = inner.start(level, level)
    at = 0.3 * torch.randn(start.shape, generator=generator)
    push = torch.randn(start.shape, generator=generator)
    objective = Objective(level, plan, inner, ())
    tracked = at.clone().requires_grad_()
    (slope,) = torch.autograd.grad(objective(tracked)[0], tracked)
    step = 1e-3
    ahead, back = (float(objective(at + s * step * push)[0]) for s in (1, -1))
    assert float((slope * push).sum()) == pytest.approx((ahead - back) / (2 * step), rel=0.05)


def test_a_term_guides_where_images_are_silent():
    flat = Image(torch.zeros_like(FIXED.data), GRID)
    plan = stage(FreeForm(10.0), scales=(Scale(4.0, 30),), regularisers=(Bending(0.01),))
    levels = levels_of(plan.scales, fixed=flat, moving=flat)
    target = (0.5, -1.0, 2.0)
    found = _variational.solve(levels, plan, Watch(), terms=(Pull(target),))
    grid = levels[0].grid
    middle = torch.tensor([[float(n // 2) for n in grid.shape]])
    moved = grid.to_index(found(grid.to_world(middle))) - middle
    torch.testing.assert_close(moved, torch.tensor([target]), atol=0.02, rtol=0)


def test_a_mask_hides_what_is_wrong_outside_of_it(generator):
    spoilt = MOVING.data.clone()
    spoilt[..., 14:] = 4 * torch.rand(spoilt[..., 14:].shape, generator=generator)
    mask = torch.ones_like(FIXED.data)
    mask[..., 11:] = 0
    plan = stage(FreeForm(10.0), scales=(Scale(2.0, 20),), regularisers=(Bending(0.05),))
    (level,) = levels_of(plan.scales, moving=Image(spoilt, GRID))
    weighted = replace(level, fixed_weight=mask)
    points = GRID.to_world(torch.tensor([[8.0, 9.0, 6.0], [6.0, 12.0, 7.0], [9, 8, 5]]).double())
    found = [_variational.solve((lv,), plan, Watch()) for lv in (weighted, level)]
    errors = [float((f(points.float()) - TRUE(points)).norm(dim=-1).mean()) for f in found]
    assert errors[0] < errors[1]


def test_a_barrier_keeps_a_rough_search_from_folding():
    folds = []
    for energies in ((), (FoldingBarrier(10.0, 0.3),)):
        plan = stage("displacement", scales=(Scale(2.0, 25),), regularisers=energies)
        found = _variational.solve(plane_pair(plan.scales, noise=0.5), plan, Watch())
        corners = torch.stack([determinant(s) for s in corner_slopes(found.flow(), (1, 1, 1))])
        folds.append(float((corners.amin(dim=0) <= 0).float().mean()))
    assert folds[0] > 0.005
    assert folds[1] < 0.2 * folds[0]


def test_velocities_are_undone_by_their_negative():
    plan = stage("symmetric", regularisers=DENSE, scales=(Scale(2.0, 15),))
    found = _variational.solve(levels_of(plan.scales), plan, Watch())
    inside = GRID.to_world(torch.rand(200, 3).double() * 6 + 5).float()
    back = found.inverse()(found(inside))
    assert float((back - inside).norm(dim=-1).mean()) < 0.05 * 2.0


def test_what_it_cannot_search_is_refused_by_name():
    levels = levels_of(SCALES[:1])
    with pytest.raises(ConfigError, match="needs optimiser Lbfgs or Adam, got Greedy"):
        _variational.solve(levels, stage("velocity", Greedy(Sobolev())), Watch())
    with pytest.raises(ConfigError, match="needs a deformable model, got 'rigid'"):
        _variational.solve(levels, stage("rigid"), Watch())


def test_a_loss_that_is_not_finite_is_an_error():
    @final
    @dataclass(frozen=True, slots=True)
    class Broken(Term):
        def __call__(self, flow, level):
            return (flow * float("nan")).sum()

    plan = stage("displacement", scales=SCALES[:1])
    with pytest.raises(ConvergenceError, match="the loss and its derivative must be finite"):
        _variational.solve(levels_of(plan.scales), plan, Watch(), terms=(Broken(),))


def test_the_same_image_needs_no_deformation():
    plan = stage("displacement", scales=(Scale(4.0, 5),))
    found = _variational.solve(levels_of(plan.scales, moving=FIXED), plan, Watch())
    assert float(found.flow().abs().max()) < 1e-3

"""Linear maps from landmark pairs: exact on exact pairs, optimal on noisy ones, typed refusals."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from register.landmark_cases import kidney, pairs, somewhere
from vesalius.core import Linear, Points
from vesalius.errors import GeometryError, ShapeError
from vesalius.register._landmark_fit import solve_spline
from vesalius.register.landmarks import fit_linear

MODELS = ("translation", "rigid", "similarity", "affine")
angles = st.floats(-170, 170)


def truth(model: str, turn: tuple[float, float, float] = (10, -40, 25)) -> Linear:
    shift = Linear.translation((3, -20, 7))
    if model == "translation":
        return shift
    rigid = shift @ Linear.rotation(turn, centre_mm=(5, 6, 7))
    if model == "rigid":
        return rigid
    matrix = torch.eye(4, dtype=torch.float64)
    matrix[:3, :3] *= 1.3
    if model == "affine":
        matrix[0, 1], matrix[2, 0], matrix[1, 1] = 0.3, -0.2, 0.8
    return rigid @ Linear(matrix)


@pytest.mark.parametrize("model", MODELS)
def test_finds_the_map_that_made_the_pairs(model):
    fixed, _ = pairs(6)
    wanted = truth(model)
    found = fit_linear(fixed, Points(wanted(fixed.data)), model=model)
    torch.testing.assert_close(found.matrix, wanted.matrix, rtol=0, atol=1e-10)


@given(angles, angles, angles)
def test_finds_any_rotation_from_three_pairs(a, b, c):
    fixed, _ = pairs(3)
    wanted = truth("rigid", (a, b, c))
    found = fit_linear(fixed, Points(wanted(fixed.data)), model="rigid")
    torch.testing.assert_close(found.matrix, wanted.matrix, rtol=0, atol=1e-9)


def test_never_reflects_a_rigid_map():
    fixed, _ = pairs(8)
    mirrored = Points(fixed.data * torch.tensor([-1.0, 1, 1], dtype=torch.float64))
    for model in ("rigid", "similarity"):
        assert float(torch.linalg.det(fit_linear(fixed, mirrored, model=model).matrix)) > 0
    assert float(torch.linalg.det(fit_linear(fixed, mirrored, model="affine").matrix)) < 0


@pytest.mark.parametrize("model", MODELS)
def test_no_small_change_of_its_freedoms_fits_better(model):
    fixed, moving = pairs(12)
    found = fit_linear(fixed, moving, model=model)
    best = float(((found(fixed.data) - moving.data) ** 2).sum())
    eye, at = torch.eye(4, dtype=torch.float64), tuple(moving.data.mean(dim=0).tolist())
    steps = [Linear.translation(s) for s in ((0.01, 0, 0), (0, -0.01, 0), (0, 0, 0.01))]
    if model != "translation":
        turns = ((0.02, 0, 0), (0, -0.02, 0), (0, 0, 0.02))
        steps += [Linear.rotation(t, centre_mm=at) for t in turns]
    if model in {"similarity", "affine"}:
        centre = Linear.translation(at)
        scale = eye.clone()
        scale[:3, :3] *= 1.0005
        steps += [centre @ Linear(scale) @ centre.inverse()]
    for step in steps:
        for other in (step @ found, step.inverse() @ found):
            assert float(((other(fixed.data) - moving.data) ** 2).sum()) > best


def test_weighs_pairs():
    fixed, moving = pairs(8)
    wrong = moving.data.clone()
    wrong[5] += 50
    weights = torch.ones(8, dtype=torch.float64)
    weights[5] = 0
    keep = weights > 0
    for model in MODELS:
        with_zero = fit_linear(fixed, Points(wrong), model=model, weights=weights)
        without = fit_linear(Points(fixed.data[keep]), Points(moving.data[keep]), model=model)
        torch.testing.assert_close(with_zero.matrix, without.matrix, rtol=0, atol=1e-9)
        doubled = Points(torch.cat([fixed.data, fixed.data[:3]]))
        twice = fit_linear(doubled, Points(torch.cat([moving.data, moving.data[:3]])), model=model)
        weights2 = torch.tensor([2.0, 2, 2, 1, 1, 1, 1, 1], dtype=torch.float64)
        once = fit_linear(fixed, moving, model=model, weights=weights2)
        torch.testing.assert_close(twice.matrix, once.matrix, rtol=0, atol=1e-9)


@pytest.mark.parametrize("model", MODELS)
def test_a_map_of_a_plane_stays_in_it(model):
    fixed, moving = pairs(9, flat=True)
    found = fit_linear(fixed, moving, model=model, dimension=2)
    normal = torch.linalg.svd(fixed.data - fixed.data.mean(dim=0))[2][2]
    across = found.matrix[:3, :3] @ normal
    torch.testing.assert_close(across, normal, rtol=0, atol=1e-9)
    moved = found(somewhere()) - somewhere()
    assert float((moved @ normal).std()) < 1e-9


def test_a_rigid_map_of_a_mirrored_plane_does_not_turn_it_over():
    fixed = pairs(9, flat=True)[0]
    axes = torch.linalg.svd(fixed.data - fixed.data.mean(dim=0))[2]
    mirrored = Points(fixed.data - 2 * (fixed.data @ axes[0])[:, None] * axes[0])
    flat = fit_linear(fixed, mirrored, model="rigid", dimension=2).matrix[:3, :3] @ axes[2]
    solid = fit_linear(fixed, mirrored, model="rigid", dimension=3).matrix[:3, :3] @ axes[2]
    assert float(flat @ axes[2]) == pytest.approx(1)
    assert float(solid @ axes[2]) == pytest.approx(-1)


def test_the_best_affine_of_the_kidney_sections_misses_by_the_published_residual(data_dir):
    fixed, moving = kidney(data_dir)
    assert float((fixed.data - moving.data).norm(dim=1).mean()) == pytest.approx(28.0, abs=0.1)
    found = fit_linear(fixed, moving, model="affine", dimension=2)
    missed = (found(fixed.data) - moving.data).norm(dim=1).mean()
    assert float(missed) == pytest.approx(4.50, abs=0.01)


def test_refuses_sets_that_do_not_pair():
    fixed, moving = pairs(6)
    with pytest.raises(ShapeError, match="must come in pairs, got 6 fixed and 5 moving"):
        fit_linear(fixed, Points(moving.data[:5]))


def test_says_how_many_pairs_are_needed():
    fixed, moving = pairs(3)
    with pytest.raises(GeometryError, match="affine map needs at least 4 landmark pairs, got 3"):
        fit_linear(fixed, moving)
    two = Points(fixed.data[:2]), Points(moving.data[:2])
    with pytest.raises(GeometryError, match="rigid map needs at least 3 landmark pairs, got 2"):
        fit_linear(*two, model="rigid")
    none = Points(torch.empty(0, 3))
    with pytest.raises(GeometryError, match="translation map needs at least 1 landmark pairs"):
        fit_linear(none, none, model="translation")


def test_refuses_landmarks_that_leave_the_map_open():
    fixed, moving = pairs(9, flat=True)
    with pytest.raises(GeometryError, match="these 9 lie in one plane: add at least 1 elsewhere"):
        fit_linear(fixed, moving)
    line = Points(torch.linspace(0, 9, 7)[:, None].double() * torch.tensor([1.0, 2, 3]).double())
    with pytest.raises(GeometryError, match="spread over 2 directions, these 7 lie on one line"):
        fit_linear(line, line, model="rigid")
    spot = Points(torch.ones(5, 3))
    with pytest.raises(GeometryError, match="lie all in one place: add at least 3 elsewhere"):
        fit_linear(spot, spot)
    seen = Points(fixed.data * torch.tensor([1.0, 0.0, 0.0]))
    for model in ("rigid", "similarity"):
        with pytest.raises(GeometryError, match="moving landmarks must spread over 2 directions"):
            fit_linear(fixed, seen, model=model)


def test_refuses_a_plane_that_is_none():
    fixed, moving = pairs(9)
    with pytest.raises(GeometryError, match="dimension=2 needs landmarks in one plane"):
        fit_linear(fixed, moving, dimension=2)
    fixed, _ = pairs(9, flat=True)
    with pytest.raises(GeometryError, match="needs moving landmarks in a plane parallel"):
        fit_linear(fixed, moving, dimension=2)


def test_refuses_values_that_are_not_finite():
    fixed, moving = pairs(9)
    broken = moving.data.clone()
    broken[3, 1] = torch.nan
    with pytest.raises(GeometryError, match="landmarks must be finite"):
        fit_linear(fixed, Points(broken))


def test_refuses_weights_that_weigh_nothing():
    fixed, moving = pairs(9)
    with pytest.raises(ShapeError, match="weights must be one for each of 9 pairs, got 2"):
        fit_linear(fixed, moving, weights=torch.ones(2))
    for weights in (
        torch.zeros(9),
        -torch.ones(9),
        torch.full((9,), torch.nan),
        torch.full((9,), torch.inf),
    ):
        with pytest.raises(GeometryError, match="weights must be finite, at least 0"):
            fit_linear(fixed, moving, weights=weights)


def test_a_spline_system_equals_its_definition():
    generator = torch.Generator().manual_seed(0)
    half = torch.randn(9, 9, generator=generator, dtype=torch.float64)
    kernel = half @ half.T + torch.eye(9, dtype=torch.float64)
    polynomial = torch.randn(9, 4, generator=generator, dtype=torch.float64)
    values = torch.randn(9, 3, generator=generator, dtype=torch.float64)
    weights, part = solve_spline(kernel, polynomial, values)
    torch.testing.assert_close(kernel @ weights + polynomial @ part, values)
    assert float((polynomial.T @ weights).abs().max()) < 1e-12


def test_a_spline_system_without_a_solution_is_refused():
    ones = torch.ones(5, 5, dtype=torch.float64)
    with pytest.raises(GeometryError, match="its system is singular"):
        solve_spline(ones, ones[:, :1], torch.arange(5.0).double()[:, None])

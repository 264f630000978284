"""Solvers against linear algebra, SciPy and each other."""

import math
import sys
from pathlib import Path

import numpy as np
import pytest
import scipy.optimize
import scipy.sparse.linalg
import torch

sys.path.insert(0, str(Path(__file__).parent))
from matrices import Matrix, problem

from vesalius.core import Identity
from vesalius.errors import ConfigError, ConvergenceError, IntensityError, ShapeError
from vesalius.physics.sparse import Dft, Gradient, Laplacian
from vesalius.reconstruct.solve import (
    L1,
    TGV,
    TV,
    Box,
    Huber,
    Run,
    admm,
    cgls,
    fista,
    gradient_descent,
    landweber,
    lsqr,
    map_em,
    mlem,
    os_sart,
    osem,
    pdhg,
    plug_and_play,
    red,
    sirt,
    tikhonov,
)

SOLVERS = {
    "gradient descent": lambda op, y, **k: gradient_descent(op, y, **k),
    "landweber": lambda op, y, **k: landweber(op, y, **k),
    "sirt": lambda op, y, **k: sirt(op, y, **k),
    "os-sart": lambda op, y, **k: os_sart((op,), (y,), **k),
    "cgls": lambda op, y, **k: cgls(op, y, **k),
    "lsqr": lambda op, y, **k: lsqr(op, y, **k),
    "tikhonov": lambda op, y, **k: tikhonov(op, y, weight=0.0, **k),
    "fista": lambda op, y, **k: fista(op, y, Box(), weight=0.0, **k),
    "pdhg": lambda op, y, **k: pdhg(op, y, Box(), weight=0.0, **k),
    "admm": lambda op, y, **k: admm(op, y, L1(), weight=0.0, **k),
    "plug-and-play": lambda op, y, **k: plug_and_play(op, y, lambda x: x, weight=0.1, **k),
    "red": lambda op, y, **k: red(op, y, lambda x: x, weight=0.1, **k),
    "mlem": lambda op, y, **k: mlem(op, y, **k),
    "osem": lambda op, y, **k: osem((op,), (y,), **k),
    "map-em": lambda op, y, **k: map_em(op, y, weight=0.0, **k),
}
each = pytest.mark.parametrize("solve", SOLVERS.values(), ids=SOLVERS)


@each
def test_fits_consistent_data_ever_better(solve):
    op, _, y = problem()
    found = solve(op, y, steps=60)
    assert found.stopped == ("steps" if found.steps == 60 else "tol")
    assert found.residual[-1] < 0.05
    assert found.residual[-1] <= found.residual[0]
    gap = float((op(found.x) - y).norm() / y.norm())
    assert found.residual[-1] == pytest.approx(gap, rel=1e-6, abs=1e-12)


@each
def test_a_start_at_the_truth_stays_there(solve):
    op, truth, y = problem()
    found = solve(op, y, steps=3, run=Run(start=truth))
    torch.testing.assert_close(found.x, truth, rtol=1e-8, atol=1e-8)


@each
def test_ends_at_the_level_of_the_noise(solve):
    op, _, y = problem()
    found = solve(op, y, steps=300, run=Run(discrepancy=0.05 * float(y.norm())))
    assert found.stopped == "discrepancy"
    assert found.residual[-1] <= 0.05
    assert all(r > 0.05 for r in found.residual[:-1])


@each
def test_ends_where_x_no_longer_moves(solve):
    op, _, y = problem()
    found = solve(op, y, steps=5000, run=Run(tol=1e-3))
    assert found.stopped == "tol"
    assert found.steps < 5000


@each
def test_tells_every_step_and_where_it_ended(solve):
    op, _, y = problem()
    told = []
    found = solve(
        op, y, steps=300, run=Run(discrepancy=0.05 * float(y.norm()), on_step=told.append)
    )
    assert [s.done for s in told] == list(range(1, found.steps + 1))
    assert told[-1].done == told[-1].total


@each
def test_keeps_single_precision_and_batches(solve):
    op, _, y = problem()
    found = solve(op, torch.stack([y, 2 * y]).float(), steps=5)
    assert found.x.dtype == torch.float32
    assert found.x.shape == (2, 4, 5)


@each
def test_leaves_the_data_as_they_were(solve):
    op, _, y = problem()
    kept = y.clone()
    solve(op, y, steps=3)
    assert torch.equal(y, kept)


@each
def test_refuses_data_start_and_steps_that_do_not_fit(solve):
    op, _, y = problem()
    with pytest.raises(ShapeError, match="y must end in the operator's codomain"):
        solve(op, y[:-1], steps=1)
    with pytest.raises(IntensityError, match="y must be finite"):
        solve(op, y * math.nan, steps=1)
    with pytest.raises(ConfigError, match="steps must be at least 1"):
        solve(op, y, steps=0)
    with pytest.raises(ShapeError, match="start must have the shape"):
        solve(op, y, steps=1, run=Run(start=torch.zeros(3)))
    with pytest.raises(ShapeError, match="y must hold samples"):
        solve(op, y[None][:0], steps=1)
    hole = torch.zeros(4, 5, dtype=torch.float64)
    hole[1, 2] = math.nan
    with pytest.raises(IntensityError, match="start must be finite"):
        solve(op, y, steps=1, run=Run(start=hole))


@each
def test_nothing_measured_or_nothing_seen_stays_finite(solve):
    op, _, y = problem()
    blind = Matrix(torch.zeros(30, 20, dtype=torch.float64), (4, 5))
    for some, data in ((op, 0 * y), (blind, y), (blind, 0 * y)):
        found = solve(some, data, steps=4)
        assert bool(torch.isfinite(found.x).all())
        # a discrepancy of 0 is switched off, even by an exact fit
        assert found.stopped != "discrepancy"
    assert float(solve(op, 0 * y, steps=20).x.abs().max()) < 1e-9


def test_refuses_options_out_of_range():
    op, _, y = problem()
    with pytest.raises(ConfigError, match="tol and discrepancy must be at least 0"):
        Run(tol=-1.0)
    with pytest.raises(ConfigError, match="lower must be below upper, got"):
        Run(lower=1.0, upper=0.0)
    with pytest.raises(ConfigError, match="weight must be finite and at least 0"):
        fista(op, y, Box(), weight=-1.0)
    with pytest.raises(ConfigError, match="relaxation must lie above 0 and below 2"):
        landweber(op, y, relaxation=2.0)
    with pytest.raises(ShapeError, match="analysis must take what the operator takes"):
        pdhg(op, y, L1(), analysis=Identity((3,)), weight=1.0)
    with pytest.raises(ShapeError, match="analysis must take what the operator takes"):
        tikhonov(op, y, analysis=Identity((3,)), weight=1.0)
    with pytest.raises(ShapeError, match="mean must have the shape"):
        tikhonov(op, y, mean=torch.zeros(3, dtype=torch.float64), weight=1.0)
    with pytest.raises(ShapeError, match="ops and ys must be as many"):
        os_sart((op,), (y, y))


def test_tells_of_numbers_that_grow_without_end():
    op, _, y = problem()
    with pytest.raises(ConvergenceError, match="must stay finite"):
        red(op, y, lambda x: x * math.inf, weight=1.0, steps=3)


def test_fista_does_not_search_for_ever_where_the_prior_gives_nan():
    op, _, y = problem()
    prior = L1(weights=torch.full((4, 5), math.nan, dtype=torch.float64))
    with pytest.raises(ConvergenceError, match="must stay finite"):
        fista(op, y, prior, weight=1.0, steps=3)


@pytest.mark.parametrize("solve", ["tv by fista", "tv by pdhg", "tv by admm", "tikhonov"])
def test_an_immense_strength_leaves_the_best_constant(solve):
    op, _, y = problem(noise=0.1)
    slope = Gradient((4, 5), (1.0, 1.0))
    lengths = L1(group=-3)
    found = {
        "tv by fista": lambda: fista(op, y, TV(), weight=1e6, steps=60),
        "tv by pdhg": lambda: pdhg(op, y, lengths, analysis=slope, weight=1e6, steps=300),
        "tv by admm": lambda: admm(op, y, lengths, analysis=slope, weight=1e6, steps=60),
        "tikhonov": lambda: tikhonov(op, y, analysis=slope, weight=1e6, steps=60),
    }[solve]()
    level = op(torch.ones(4, 5, dtype=torch.float64))
    best = float(level @ y / (level @ level))
    torch.testing.assert_close(found.x, torch.full_like(found.x, best), atol=1e-3, rtol=0)


@pytest.mark.parametrize("solve", [cgls, lsqr])
def test_krylov_methods_agree_with_scipy_step_by_step(solve):
    op, _, y = problem(noise=0.3)
    for steps in (1, 5, 12):
        expected = scipy.sparse.linalg.lsqr(
            op.entries.numpy(), y.numpy(), iter_lim=steps, atol=0, btol=0, conlim=0
        )[0]
        found = solve(op, y, steps=steps)
        np.testing.assert_allclose(found.x.flatten().numpy(), expected, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("solve", [cgls, lsqr])
def test_krylov_methods_stand_still_at_the_least_squares_solution(solve):
    op, _, y = problem(noise=0.3)
    expected = torch.linalg.lstsq(op.entries, y[:, None]).solution[:, 0]
    found = solve(op, y, steps=80)
    torch.testing.assert_close(found.x.flatten(), expected, rtol=1e-8, atol=1e-8)
    falls = [a - b for a, b in zip(found.residual, found.residual[1:], strict=False)]
    assert min(falls) > -1e-12


def test_tikhonov_agrees_with_its_normal_equations():
    op, _, y = problem(noise=0.3)
    mean = torch.full((4, 5), 0.4, dtype=torch.float64)
    for scale in (None, Gradient((4, 5), (1.0, 0.7)), Laplacian((4, 5), (1.0, 0.7))):
        found = tikhonov(op, y, weight=0.8, analysis=scale, mean=mean, run=Run())
        eye = torch.eye(20, dtype=torch.float64).reshape(20, 4, 5)
        rows = (eye if scale is None else scale(eye)).reshape(20, -1).T
        a = op.entries
        left = a.T @ a + 0.8 * rows.T @ rows
        right = a.T @ y + 0.8 * rows.T @ rows @ mean.flatten()
        expected = torch.linalg.solve(left, right)
        torch.testing.assert_close(found.x.flatten(), expected, rtol=1e-7, atol=1e-8)
        gap, bent = op(found.x) - y, rows @ (found.x - mean).flatten()
        objective = 0.5 * float(gap.norm()) ** 2 + 0.4 * float(bent.norm()) ** 2
        assert found.objective[-1] == pytest.approx(objective, rel=1e-9)


def test_the_most_probable_image_is_the_mean_of_the_posterior():
    """Gaussian noise and prior: MAP (an optimum) equals MMSE (an average over joint samples)."""
    op, _, y = problem(rows=12, noise=0.5)
    generator = torch.Generator().manual_seed(3)
    root = torch.randn(20, 20, generator=generator, dtype=torch.float64) * 0.3
    root = root + torch.eye(20, dtype=torch.float64)
    covariance = root @ root.T
    a = op.entries
    mmse = covariance @ a.T @ torch.linalg.solve(a @ covariance @ a.T + torch.eye(12).double(), y)
    scale = Matrix(torch.linalg.inv(root), (4, 5))
    found = tikhonov(op, y, weight=1.0, analysis=scale, steps=200, run=Run())
    torch.testing.assert_close(found.x.flatten(), mmse, rtol=1e-6, atol=1e-7)
    # the average of images by how well they explain y, without any formula of the posterior
    n = 200_000
    some = Matrix(a[:2, :3].clone(), (1, 3))
    x = torch.randn(n, 1, 3, generator=generator, dtype=torch.float64)
    logs = -0.5 * (some(x) - y[:2] / 10).square().sum(dim=-1)
    average = (torch.softmax(logs, 0)[:, None] * x.reshape(n, 3)).sum(0)
    best = tikhonov(some, y[:2] / 10, weight=1.0, run=Run()).x.flatten()
    torch.testing.assert_close(average, best, rtol=0.02, atol=0.01)


def test_the_condition_number_falls_with_the_weight():
    """Textbook: (s_max^2 + w) / (s_min^2 + w) of the normal equations of Tikhonov's penalty."""
    op, _, y = problem(rows=20)
    s = torch.linalg.svdvals(op.entries)
    conditions, steps = [], []
    for weight in (1e-4, 1e-2, 1.0, 100.0):
        normal = op.entries.T @ op.entries + weight * torch.eye(20, dtype=torch.float64)
        condition = float(torch.linalg.cond(normal))
        expected = float((s[0] ** 2 + weight) / (s[-1] ** 2 + weight))
        assert condition == pytest.approx(expected, rel=1e-4)
        conditions.append(condition)
        steps.append(tikhonov(op, y, weight=weight, run=Run(tol=1e-8)).steps)
    assert conditions == sorted(conditions, reverse=True)
    assert steps[-1] < steps[0]


def test_os_sart_with_one_subset_is_sirt_and_with_rows_is_kaczmarz():
    op, _, y = problem()
    one = os_sart((op,), (y,), steps=4)
    torch.testing.assert_close(one.x, sirt(op, y, steps=4).x)
    rows = tuple(Matrix(op.entries[i : i + 1], (4, 5)) for i in range(30))
    found = os_sart(rows, tuple(y[i : i + 1] for i in range(30)), steps=2)
    # slow loop: a SART step on one row moves x by the gap shared out evenly over its voxels
    x = torch.zeros(20, dtype=torch.float64)
    for _ in range(2):
        for a, b in zip(op.entries, y, strict=True):
            x = x + (b - a @ x) / a.sum()
    torch.testing.assert_close(found.x.flatten(), x)


def test_a_box_is_held():
    op, _, y = problem(noise=0.5)
    run = Run(lower=0.2, upper=0.6)
    for solve in (SOLVERS["gradient descent"], SOLVERS["landweber"], SOLVERS["sirt"]):
        x = solve(op, y, steps=20, run=run).x
        assert float(x.min()) >= 0.2
        assert float(x.max()) <= 0.6
    by_prox = fista(op, y, Box(0.2, 0.6), weight=1.0, steps=300).x
    by_run = pdhg(op, y, Box(), weight=0.0, steps=600, run=run).x
    torch.testing.assert_close(by_prox, by_run, atol=1e-9, rtol=0)
    bounds = (np.full(20, 0.2), np.full(20, 0.6))
    expected = scipy.optimize.lsq_linear(op.entries.numpy(), y.numpy(), bounds, tol=1e-12).x
    np.testing.assert_allclose(by_prox.flatten().numpy(), expected, atol=1e-9)


def test_three_splittings_find_the_same_minimum_of_total_variation():
    op, _, y = problem(noise=0.1)
    slope = Gradient((4, 5), (1.0, 1.0))
    a = fista(op, y, TV(steps=100, tol=1e-8), weight=0.3, steps=150)
    b = pdhg(op, y, L1(group=-3), analysis=slope, weight=0.3, steps=800)
    c = admm(op, y, L1(group=-3), analysis=slope, weight=0.3, steps=150)
    assert b.objective[-1] == pytest.approx(a.objective[-1], rel=1e-7)
    assert c.objective[-1] == pytest.approx(a.objective[-1], rel=1e-7)
    torch.testing.assert_close(a.x, b.x, atol=1e-5, rtol=0)
    torch.testing.assert_close(a.x, c.x, atol=1e-5, rtol=0)
    assert a.weight == 0.3
    assert a.operator_norm == pytest.approx(
        float(torch.linalg.matrix_norm(op.entries, 2)), rel=0.02
    )


def test_proximal_solvers_meet_the_optimality_condition_of_the_lasso():
    op, _, y = problem(noise=0.1)
    for solve, steps in ((fista, 500), (pdhg, 3000), (admm, 60)):
        x = solve(op, y, L1(), weight=2.0, steps=steps).x
        force = op.H(y - op(x))
        assert float(force.abs().max()) <= 2.0 + 1e-5
        on = x.abs() > 1e-4
        assert 0 < int(on.sum()) < 20
        torch.testing.assert_close(force[on], 2.0 * x[on].sign(), atol=1e-5, rtol=0)


def test_real_images_stay_real_under_a_complex_analysis():
    op, _, y = problem(noise=0.1)
    basis = Dft((4, 5))
    a = fista(op, y, L1(basis), weight=0.5, steps=300).x
    b = pdhg(op, y, L1(), analysis=basis, weight=0.5, steps=1500).x
    c = admm(op, y, L1(), analysis=basis, weight=0.5, steps=60).x
    assert not b.is_complex()
    torch.testing.assert_close(a, b, atol=2e-3, rtol=0)
    torch.testing.assert_close(a, c, atol=2e-3, rtol=0)


def test_complex_images_are_solved_too():
    generator = torch.Generator().manual_seed(1)
    entries = torch.randn(30, 20, generator=generator, dtype=torch.complex128)
    op = Matrix(entries, (4, 5))
    truth = torch.randn(4, 5, generator=generator, dtype=torch.complex128)
    y = op(truth)
    for found in (cgls(op, y, steps=40), lsqr(op, y, steps=40), fista(op, y, L1(), weight=0.0)):
        torch.testing.assert_close(found.x, truth, atol=1e-4, rtol=0)
    rough = fista(op, y, TV(steps=20), weight=0.5, steps=20)
    assert rough.objective[-1] <= rough.objective[0]


def test_gradient_descent_on_hubers_prior_agrees_with_its_proximal_solution():
    op, _, y = problem(noise=0.1)
    prior = Huber(0.05)
    smooth = gradient_descent(op, y, penalty=prior.penalty, weight=0.5, steps=80)
    exact = fista(op, y, Huber(0.05, steps=200, tol=1e-9), weight=0.5, steps=100)
    assert smooth.objective[-1] == pytest.approx(exact.objective[-1], rel=1e-8)
    torch.testing.assert_close(smooth.x, exact.x, atol=1e-5, rtol=0)
    falls = [a - b for a, b in zip(smooth.objective, smooth.objective[1:], strict=False)]
    assert min(falls) >= -1e-12


def test_generalised_variation_costs_a_ramp_nothing():
    ramp = torch.arange(12.0, dtype=torch.float64)[None].expand(10, 12).clone()
    weak = TGV(steps=400).value(ramp)
    assert weak < 0.35 * TV().value(ramp)
    found = fista(Identity((10, 12)), ramp, TGV(steps=100), weight=0.5, steps=3)
    assert found.objective[-1] <= found.objective[0] + 1e-9


def test_likelihood_never_falls_and_counts_are_kept():
    op, truth, _ = problem()
    generator = torch.Generator().manual_seed(2)
    y = torch.poisson(40 * op(truth), generator=generator)
    found = mlem(op, y, steps=50)
    falls = [a - b for a, b in zip(found.objective, found.objective[1:], strict=False)]
    assert min(falls) >= -1e-9
    assert float(op(found.x).sum()) == pytest.approx(float(y.sum()), rel=1e-9)
    assert float(found.x.min()) >= 0.0


def test_a_background_is_modelled_and_not_subtracted():
    op, truth, _ = problem(rows=200)
    generator = torch.Generator().manual_seed(2)
    background = torch.full((200,), 30.0, dtype=torch.float64)
    y = torch.poisson(400 * op(truth) + background, generator=generator)
    found = mlem(op, y, background=background, steps=400)
    assert float(found.x.sum()) == pytest.approx(400 * float(truth.sum()), rel=0.02)
    falls = [a - b for a, b in zip(found.objective, found.objective[1:], strict=False)]
    assert min(falls) >= -1e-9


def test_map_em_never_raises_its_objective_and_meets_its_optimality_condition():
    op, truth, _ = problem()
    generator = torch.Generator().manual_seed(2)
    y = torch.poisson(40 * op(truth), generator=generator)
    found = map_em(op, y, weight=0.01, spacing=(1.0, 0.7), steps=1000)
    falls = [a - b for a, b in zip(found.objective, found.objective[1:], strict=False)]
    assert min(falls) >= -1e-9
    slope = Gradient((4, 5), (1.0, 0.7))
    x = found.x
    force = op.H(1.0 - y / op(x)) + 0.01 * slope.H(slope(x))
    inside = x > 1e-3
    assert float(force[inside].abs().max()) < 1e-6
    assert float(force.min()) > -1e-6


def test_osem_is_faster_than_mlem_at_first():
    op, _, y = problem(rows=40)
    parts = tuple(Matrix(op.entries[i::4].clone(), (4, 5)) for i in range(4))
    found = osem(parts, tuple(y[i::4] for i in range(4)), steps=5)
    assert found.objective[-1] < mlem(op, y, steps=5).objective[-1]


def test_poisson_solvers_refuse_negative_counts_backgrounds_and_starts():
    op, truth, y = problem()
    with pytest.raises(IntensityError, match="do not subtract randoms or scatter"):
        mlem(op, -y)
    with pytest.raises(IntensityError, match="give them as background"):
        mlem(op, y, background=-y)
    with pytest.raises(IntensityError, match="in a Poisson likelihood"):
        map_em(op, y, weight=1.0, run=Run(start=-truth))
    with pytest.raises(ConfigError, match="backgrounds must be one for each subset"):
        osem((op,), (y,), backgrounds=())


def test_plug_and_play_with_a_proximal_denoiser_is_admm():
    op, _, y = problem(noise=0.1)
    square = 1.02 * op.norm(like=y, steps=20, tol=1e-2) ** 2
    rho = 0.1 * 0.5 * square
    prior = L1()
    found = plug_and_play(op, y, lambda v: prior(v, 2.0 / rho), weight=0.5, steps=400)
    expected = fista(op, y, prior, weight=2.0, steps=500)
    torch.testing.assert_close(found.x, expected.x, atol=1e-4, rtol=0)


def test_red_with_a_linear_denoiser_solves_its_normal_equations():
    op, _, y = problem(noise=0.1)
    found = red(op, y, lambda x: 0.5 * x, weight=3.0, steps=500)
    normal = op.entries.T @ op.entries + 1.5 * torch.eye(20, dtype=torch.float64)
    expected = torch.linalg.solve(normal, op.entries.T @ y)
    torch.testing.assert_close(found.x.flatten(), expected, atol=1e-5, rtol=0)
    assert found.objective[-1] <= found.objective[0]

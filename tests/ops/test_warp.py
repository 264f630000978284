"""Flows beside SciPy, a slow loop, autograd and each other."""

import math

import numpy as np
import pytest
import scipy.ndimage as ndi
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vesalius.errors import ConfigError, GeometryError, ShapeError, UnitError
from vesalius.ops import _warp
from vesalius.ops._filters import gaussian
from vesalius.ops._slope import linear_with_slope
from vesalius.ops._warp import (
    compose,
    exponential,
    invert,
    positions,
    splat,
    squarings,
    warp,
    warp_with_gradient,
)

SHAPES = [(5, 6, 7), (1, 6, 7), (5, 1, 7), (5, 6, 1), (2, 2, 2), (1, 1, 9)]
OFFSETS = [(0, 0, 0), (2, -1, 3)]


def flow_of(shape, generator, amount=3.0, dtype=torch.float64):
    return (torch.rand(3, *shape, generator=generator, dtype=dtype) - 0.5) * 2 * amount


def smooth_flow(shape, generator, longest, *, width=4.0):
    """A smooth flow that is 0 at the border, with a stated largest component."""
    noise = torch.randn(3, *shape, generator=generator, dtype=torch.float64)
    sigma = tuple(width if n > 1 else 0.0 for n in shape)
    flow = gaussian(noise, sigma)
    for axis, n in enumerate(shape, start=1):
        if n > 1:
            window = torch.hann_window(n + 2, periodic=False, dtype=torch.float64)[1:-1]
            flow = flow * window.reshape([-1 if a == axis else 1 for a in range(4)])
        else:
            flow[axis - 1] = 0
    return flow * (longest / flow.abs().max())


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("offset", OFFSETS)
def test_agrees_with_scipy(shape, offset, generator):
    image = torch.randn(2, 6, 5, 8, generator=generator, dtype=torch.float64)
    flow = flow_of(shape, generator)
    index = np.indices(shape) + np.array(offset).reshape(3, 1, 1, 1) + flow.numpy()
    out = warp(image, flow, offset=offset)
    for channel in range(2):
        theirs = ndi.map_coordinates(image[channel].numpy(), index, order=1, mode="nearest")
        assert np.abs(out[channel].numpy() - theirs).max() < 1e-12


@pytest.mark.parametrize("shape", SHAPES)
def test_an_image_of_one_slice_ignores_motion_across_it(shape, generator):
    image = torch.randn(1, *shape, generator=generator, dtype=torch.float64)
    flow = flow_of(shape, generator)
    still = flow.clone()
    for axis, n in enumerate(shape):
        if n == 1:
            still[axis] = 0
    assert torch.equal(warp(image, flow), warp(image, still))
    slope = warp_with_gradient(image, flow).slope
    assert bool(torch.isfinite(slope).all())
    for axis, n in enumerate(shape):
        if n == 1:
            assert float(slope[:, axis].abs().max()) == 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_keeps_dtype_and_leaves_its_input_alone(dtype, generator):
    image = torch.rand(2, 5, 6, 7, generator=generator).to(dtype)
    flow = flow_of((5, 6, 7), generator).float()
    copies = image.clone(), flow.clone()
    assert warp(image, flow).dtype == dtype
    assert warp_with_gradient(image, flow).slope.dtype == dtype
    assert torch.equal(image, copies[0])
    assert torch.equal(flow, copies[1])


def test_no_motion_gives_the_image_back(generator):
    image = torch.rand(2, 5, 6, 7, generator=generator)
    zero = torch.zeros(3, 5, 6, 7)
    assert torch.equal(warp(image, zero), image)
    inner = warp(image, torch.zeros(3, 2, 3, 4), offset=(1, 2, 3))
    assert torch.equal(inner, image[:, 1:3, 2:5, 3:7])


def test_takes_arrays_that_are_not_contiguous(generator):
    image = torch.rand(7, 6, 5, 2, generator=generator).permute(3, 2, 1, 0)
    flow = flow_of((7, 6, 5), generator, dtype=torch.float32).permute(0, 3, 2, 1)
    expected = warp(image.contiguous(), flow.contiguous())
    assert torch.equal(warp(image, flow), expected)
    outer = flow_of((5, 6, 7), generator, dtype=torch.float32)
    torch.testing.assert_close(compose(outer, flow), flow + warp(outer, flow))


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_gives_the_same_on_any_number_of_threads(threads, generator, monkeypatch):
    monkeypatch.setattr(_warp, "LEAST", 1)
    image = torch.rand(3, 9, 10, 11, generator=generator)
    flow = flow_of((9, 10, 11), generator, dtype=torch.float32)
    tracked = image.clone().requires_grad_()
    expected = linear_with_slope(tracked, positions(flow.double()))
    had = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        found = warp_with_gradient(image, flow)
        torch.testing.assert_close(found.values, expected.values.detach(), rtol=0, atol=1e-6)
        torch.testing.assert_close(found.slope, expected.slope.detach(), rtol=0, atol=1e-6)
        back = splat(image, flow, shape=(9, 10, 11))
        torch.testing.assert_close(back.sum(), image.sum())
        gentle = smooth_flow((9, 10, 11), generator, 1.0)
        assert float(invert(gentle).residual.max()) < 1e-3
    finally:
        torch.set_num_threads(had)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("offset", OFFSETS)
def test_the_slope_is_that_of_autograd(shape, offset, generator):
    image = torch.randn(2, 6, 5, 8, generator=generator, dtype=torch.float64)
    flow = flow_of(shape, generator)
    found = warp_with_gradient(image, flow, offset=offset)
    assert torch.equal(found.values, warp(image, flow, offset=offset))
    for channel in range(2):
        tracked = flow.clone().requires_grad_()
        at = positions(tracked, offset=offset)
        linear_with_slope(image[channel : channel + 1], at).values.sum().backward()
        torch.testing.assert_close(found.slope[channel], tracked.grad)
    by_points = linear_with_slope(image, positions(flow, offset=offset))
    torch.testing.assert_close(by_points.values, found.values)
    torch.testing.assert_close(by_points.slope, found.slope)


def test_the_slope_is_that_of_finite_differences(generator):
    image = torch.randn(1, 6, 7, 8, generator=generator, dtype=torch.float64)
    flow = flow_of((6, 7, 8), generator)
    slope = warp_with_gradient(image, flow).slope
    for axis in range(3):
        step = torch.zeros_like(flow)
        step[axis] = 1e-7
        change = (warp(image, flow + step) - warp(image, flow - step)) / 2e-7
        assert float((change - slope[:, axis]).abs().median()) < 1e-6
        assert float(((change - slope[:, axis]).abs() > 1e-5).double().mean()) < 0.01


def test_the_slope_of_a_ramp_is_its_rise_up_to_the_last_sample():
    z, y, x = torch.meshgrid(*[torch.arange(4.0)] * 3, indexing="ij")
    ramp = (2 * z - 3 * y + 5 * x)[None]
    slope = warp_with_gradient(ramp, torch.zeros(3, 4, 4, 4)).slope
    assert torch.equal(slope[0, 0], torch.full((4, 4, 4), 2.0))
    assert torch.equal(slope[0, 1], torch.full((4, 4, 4), -3.0))
    assert torch.equal(slope[0, 2], torch.full((4, 4, 4), 5.0))
    beyond = warp_with_gradient(ramp, torch.full((3, 4, 4, 4), 9.0)).slope
    assert float(beyond.abs().max()) == 0


@pytest.mark.parametrize("shape", [(3, 4, 5), (1, 4, 5)])
def test_derivatives_flow_to_image_and_flow(shape, generator):
    image = torch.randn(2, 4, 5, 4, generator=generator, dtype=torch.float64).requires_grad_()
    flow = flow_of(shape, generator).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda a, b: warp(a, b, offset=(0, 1, 0)), (image, flow), fast_mode=True
    )
    small = (0.1 + 0.3 * flow_of(shape, generator, 1.0)).requires_grad_()
    assert torch.autograd.gradcheck(compose, (flow, small), fast_mode=True)


def test_derivatives_flow_through_the_slope_and_the_exponential(generator):
    image = torch.randn(1, 3, 4, 4, generator=generator, dtype=torch.float64).requires_grad_()
    flow = flow_of((3, 4, 4), generator).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda a, b: tuple(warp_with_gradient(a, b)), (image, flow), fast_mode=True
    )
    velocity = (0.3 + 0.2 * flow_of((2, 3, 3), generator, 1.0)).requires_grad_()
    assert torch.autograd.gradcheck(lambda v: exponential(v, steps=2), (velocity,), fast_mode=True)


@settings(max_examples=20)
@given(st.integers(0, 10**6), st.sampled_from(SHAPES), st.sampled_from(OFFSETS))
def test_spreading_is_the_adjoint_of_warping(seed, shape, offset):
    generator = torch.Generator().manual_seed(seed)
    image = torch.randn(2, 4, 5, 6, generator=generator, dtype=torch.float64)
    flow = flow_of(shape, generator)
    samples = torch.randn(2, *shape, generator=generator, dtype=torch.float64)
    spread = splat(samples, flow, shape=(4, 5, 6), offset=offset)
    left = (warp(image, flow, offset=offset) * samples).sum()
    torch.testing.assert_close(left, (image * spread).sum())


@pytest.mark.parametrize("shape", SHAPES)
def test_composition_is_one_map_after_the_other(shape, generator):
    outer, inner = flow_of(shape, generator), flow_of(shape, generator)
    index = np.indices(shape) + inner.numpy()
    found = compose(outer, inner)
    for axis in range(3):
        moved = ndi.map_coordinates(outer[axis].numpy(), index, order=1, mode="nearest")
        assert np.abs(found[axis].numpy() - inner[axis].numpy() - moved).max() < 1e-12


def test_composition_takes_two_dtypes(generator):
    outer, inner = flow_of((4, 5, 6), generator), flow_of((4, 5, 6), generator).float()
    found = compose(outer, inner)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, compose(outer.float(), inner))


def test_composition_is_associative_where_the_maps_are_affine():
    index = torch.stack(torch.meshgrid(*[torch.arange(8.0).double()] * 3, indexing="ij"))
    a, b, c = (0.05 * (index - 3.5) * s for s in (1.0, -1.0, 0.5))
    left, right = compose(compose(a, b), c), compose(a, compose(b, c))
    inside = (slice(None), *[slice(2, 6)] * 3)
    torch.testing.assert_close(left[inside], right[inside], rtol=0, atol=1e-9)


def test_squares_until_the_first_step_is_one_sample_long():
    for longest, count in [(0.0, 0), (0.4, 0), (1.0, 0), (1.01, 1), (4.0, 2), (9.0, 4)]:
        velocity = torch.zeros(3, 2, 2, 2)
        velocity[1, 0, 0, 0] = -longest
        assert squarings(velocity) == count


def test_a_constant_velocity_moves_by_itself():
    velocity = torch.tensor([1.5, -2.5, 7.0]).reshape(3, 1, 1, 1).expand(3, 4, 5, 6)
    torch.testing.assert_close(exponential(velocity), velocity.contiguous())


def test_a_linear_velocity_has_the_exponential_of_its_matrix():
    index = torch.stack(torch.meshgrid(*[torch.arange(21.0).double()] * 3, indexing="ij")) - 10
    matrix = torch.tensor([[0.0, -0.4, 0.1], [0.4, 0.0, 0.0], [0.0, 0.2, -0.2]]).double()
    velocity = torch.einsum("ab,bzyx->azyx", matrix, index)
    expected = torch.linalg.matrix_exp(matrix) - torch.eye(3)
    found = exponential(velocity)
    inside = (slice(None), *[slice(7, 14)] * 3)
    exact = torch.einsum("ab,bzyx->azyx", expected, index)
    torch.testing.assert_close(found[inside], exact[inside], rtol=0, atol=2e-3)


@pytest.mark.parametrize("longest", [0.7, 2.0, 5.0])
def test_the_exponential_is_near_many_small_steps(longest, generator):
    velocity = smooth_flow((16, 18, 20), generator, longest)
    small, steps = torch.zeros_like(velocity), 128
    for _ in range(steps):
        small = compose(velocity / steps, small)
    assert float((exponential(velocity) - small).norm(dim=0).mean()) < 0.01


@pytest.mark.parametrize("shape", [(24, 24, 24), (1, 40, 40)])
def test_the_opposite_velocity_leads_back(shape, generator):
    velocity = smooth_flow(shape, generator, 4.0, width=5.0)
    there, back = exponential(velocity), exponential(-velocity)
    assert float(there.norm(dim=0).max()) > 2
    assert float(compose(back, there).norm(dim=0).mean()) < 0.05
    assert float(compose(there, back).norm(dim=0).mean()) < 0.05


@pytest.mark.parametrize("shape", [(20, 22, 24), (1, 40, 40), (30, 1, 30)])
@pytest.mark.parametrize("longest", [0.5, 3.0])
def test_an_inverse_leads_back(shape, longest, generator):
    flow = exponential(smooth_flow(shape, generator, longest))
    found = invert(flow, tol=1e-4)
    assert float(found.residual.max()) <= 1e-4
    torch.testing.assert_close(compose(flow, found.flow).norm(dim=0), found.residual)
    assert float(compose(found.flow, flow).norm(dim=0).mean()) < 0.05


def test_the_inverse_of_a_strong_compression_is_found_where_the_fixed_point_diverges():
    x = torch.arange(40, dtype=torch.float64)
    flow = torch.zeros(3, 1, 1, 40, dtype=torch.float64)
    flow[2, 0, 0] = 1.9 * torch.sin(x)  # its slope exceeds 1: the fixed point does not contract
    flow[2, 0, 0] *= 0.45
    slope = torch.diff(flow[2, 0, 0]) + 1
    assert float(slope.min()) > 0
    found = invert(flow, tol=1e-9, steps=50)
    assert float(found.residual.max()) < 1e-9


def test_a_folded_flow_has_a_residual_where_it_cannot_be_inverted():
    flow = torch.zeros(3, 1, 1, 32, dtype=torch.float64)
    x = torch.arange(32, dtype=torch.float64)
    flow[2, 0, 0] = 6 * torch.exp(-(((x - 12) / 2) ** 2))
    flow[2, 0, 0, 20:] = 0
    found = invert(flow, tol=1e-6)
    assert float((flow[2, 0, 0].diff() + 1).min()) < 0
    torch.testing.assert_close(compose(flow, found.flow).norm(dim=0), found.residual)


def test_the_fixed_point_of_other_devices_agrees_with_the_search(generator, monkeypatch):
    flow = exponential(smooth_flow((16, 16, 16), generator, 2.0))
    expected = invert(flow, tol=1e-6)
    monkeypatch.setattr(_warp, "_by_loops", lambda _: False)
    found = invert(flow, tol=1e-6)
    torch.testing.assert_close(found.flow, expected.flow, rtol=0, atol=1e-4)
    few = invert(flow, tol=1e-6, steps=1)
    assert float(few.residual.max()) > float(found.residual.max())


@pytest.mark.parametrize("shape", SHAPES)
def test_the_torch_path_agrees_with_the_loops(shape, generator, monkeypatch):
    image = torch.randn(2, 5, 4, 6, generator=generator)
    flow = flow_of(shape, generator, dtype=torch.float32)
    outer = flow_of((5, 4, 6), generator, dtype=torch.float32)
    samples = torch.randn(2, *shape, generator=generator)
    jobs = [
        lambda: warp(image, flow, offset=(1, 0, -1)),
        lambda: warp_with_gradient(image, flow).slope,
        lambda: compose(outer, flow),
        lambda: splat(samples, flow, shape=(5, 4, 6)),
        lambda: exponential(outer / 3),
    ]
    expected = [job() for job in jobs]
    monkeypatch.setattr(_warp, "_by_loops", lambda _: False)
    for job, want in zip(jobs, expected, strict=True):
        torch.testing.assert_close(job(), want, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("loops", [True, False])
def test_a_displacement_that_is_not_finite_gives_nan_and_stays_alone(loops, generator, monkeypatch):
    monkeypatch.setattr(_warp, "_by_loops", lambda _: loops)
    image = torch.rand(1, 4, 5, 6, generator=generator)
    for bad in (math.nan, math.inf, -math.inf):
        flow = torch.zeros(3, 4, 5, 6)
        flow[1, 2, 3, 4] = bad
        found = warp_with_gradient(image, flow)
        tracked = linear_with_slope(image.clone().requires_grad_(), positions(flow)).values
        values = (
            tracked,
            warp(image, flow),
            found.values,
            compose(torch.ones_like(flow), flow)[1:2],
        )
        for each in values:
            lost = torch.isnan(each)
            assert bool(lost[0, 2, 3, 4])
            assert int(lost.sum()) == 1


def test_refuses_integers_and_emptiness():
    flow = torch.zeros(3, 2, 2, 2)
    with pytest.raises(UnitError, match="linear interpolation needs float32 or float64"):
        warp(torch.zeros(1, 2, 2, 2).half(), flow)
    with pytest.raises(ShapeError, match="image must have samples to be warped"):
        warp(torch.zeros(1, 0, 2, 2), flow)
    with pytest.raises(ShapeError, match="image must have samples to be warped"):
        warp_with_gradient(torch.zeros(1, 0, 2, 2), flow)


def test_an_empty_lattice_gives_an_empty_image():
    image = torch.zeros(1, 2, 2, 2)
    assert warp(image, torch.zeros(3, 2, 2, 0)).shape == (1, 2, 2, 0)
    assert (
        float(splat(torch.zeros(1, 2, 2, 0), torch.zeros(3, 2, 2, 0), shape=(2, 2, 2)).sum()) == 0
    )


def test_refuses_what_cannot_be_exponentiated_or_inverted():
    bad = torch.zeros(3, 2, 2, 2)
    bad[0, 0, 0, 0] = math.nan
    with pytest.raises(GeometryError, match="velocity must be finite"):
        exponential(bad)
    with pytest.raises(GeometryError, match=r"below 1e\+09 samples, got up to 1e\+30"):
        exponential(torch.full((3, 2, 2, 2), 1e30))
    with pytest.raises(ConfigError, match="steps must be at least 0, got -1"):
        exponential(torch.zeros(3, 2, 2, 2), steps=-1)
    with pytest.raises(GeometryError, match="flow must be finite to be inverted"):
        invert(bad)
    with pytest.raises(ConfigError, match="tol must be positive and steps at least 1"):
        invert(torch.zeros(3, 2, 2, 2), tol=0.0)
    with pytest.raises(ConfigError, match="tol must be positive and steps at least 1"):
        invert(torch.zeros(3, 2, 2, 2), steps=0)


@pytest.mark.gpu
def test_the_gpu_agrees_with_the_cpu(generator):
    image = torch.randn(2, 20, 21, 22, generator=generator)
    flow = smooth_flow((20, 21, 22), generator, 3.0).float()
    there = flow.cuda()
    pairs = [
        (warp(image, flow), warp(image.cuda(), there)),
        (warp_with_gradient(image, flow).slope, warp_with_gradient(image.cuda(), there).slope),
        (compose(flow, flow), compose(there, there)),
        (exponential(flow), exponential(there)),
        (invert(flow).flow, invert(there).flow),
    ]
    for ours, theirs in pairs:
        assert theirs.is_cuda
        inside = (slice(None), slice(None), *[slice(1, -1)] * (ours.ndim - 2))
        torch.testing.assert_close(theirs.cpu()[inside], ours[inside], rtol=1e-3, atol=1e-3)

"""Level sets in a narrow band: distances, speeds, edges, splitting, merging, refusals."""

import numpy as np
import pytest
import torch

from vesalius.errors import ConfigError, RegionError, ShapeError
from vesalius.ops._filters import gaussian
from vesalius.ops._level_set import (
    Geodesic,
    Regularised,
    edge_stop,
    geodesic_contour,
    regularised_contour,
    slope_size,
    steepest_slope,
)
from vesalius.ops._narrow_band import REACH, crossings, framed_band, rebuild, redistance

EVEN = (1.0, 1.0, 1.0)
PLANE, BLOCK = (1, 61, 63), (27, 29, 31)


def balls(shape, *centres_radii, spacing=EVEN):
    axes = torch.meshgrid(*(torch.arange(n).double() for n in shape), indexing="ij")
    inside = torch.zeros(shape, dtype=torch.bool)
    for centre, size in centres_radii:
        off = [((a - c) * s) ** 2 for a, c, s in zip(axes, centre, spacing, strict=True)]
        inside |= sum(off) <= size**2
    return inside


def middle(shape):
    return tuple((n - 1) / 2 for n in shape)


def dice(a, b):
    return 2 * int((a & b).sum()) / int(a.sum() + b.sum())


def radius(phi, spacing=EVEN):
    """Radius of a disk or ball of the size of the region."""
    size = int((phi > 0).sum()) * float(np.prod(spacing))
    return (size / np.pi) ** 0.5 if phi.shape[0] == 1 else (size * 0.75 / np.pi) ** (1 / 3)


TWO = balls((1, 72, 80), ((0, 24, 22), 12), ((0, 46, 54), 15))


def two_stop(noise=0.02):
    g = torch.Generator().manual_seed(3)
    image = TWO.float() + noise * torch.randn(TWO.shape, generator=g)
    return edge_stop(gaussian(image[None], (0.0, 1.0, 1.0))[0], EVEN, 0.06)


@pytest.mark.parametrize(
    ("shape", "spacing"), [(PLANE, EVEN), (BLOCK, EVEN), ((15, 31, 31), (2.0, 1.0, 1.0))]
)
def test_the_band_holds_the_distance(shape, spacing):
    inside = balls(shape, (middle(shape), 9), spacing=spacing)
    ratio = tuple(0.0 if n == 1 else 1 / s for n, s in zip(shape, spacing, strict=True))
    band = framed_band(inside, None, ratio)
    start = crossings(band.phi, band.state, band.steps)
    near, first = rebuild(band.phi, band.state, band.steps, start, 3)
    redistance(band.phi, band.state, band.steps, band.ratio, near, first, REACH)
    axes = torch.meshgrid(*(torch.arange(n).double() for n in shape), indexing="ij")
    far = sum(((a - c) * s) ** 2 for a, c, s in zip(axes, middle(shape), spacing, strict=True))
    exact = 9 - far.sqrt()
    found = band.unframed()
    close = found.abs() < REACH - 0.5
    assert float((found - exact)[close].abs().mean()) < 0.45
    assert torch.equal(found > 0, inside)
    assert int(close.sum()) > int(inside.sum()) / 3


@pytest.mark.parametrize(
    ("shape", "spacing"), [(PLANE, EVEN), (BLOCK, EVEN), ((15, 31, 31), (2.0, 1.0, 1.0))]
)
def test_a_balloon_grows_at_its_speed(shape, spacing):
    start = balls(shape, (middle(shape), 5), spacing=spacing)
    flow = Geodesic(curvature=0.0, time_step=0.5, steps=12, tol=0.0)
    front = geodesic_contour(torch.ones(shape), start, spacing, flow=flow)
    assert radius(front.phi, spacing) - radius(start.float(), spacing) == pytest.approx(
        6.0, abs=0.5
    )


def test_a_balloon_that_shrinks_does_so_at_its_speed():
    start = balls(PLANE, (middle(PLANE), 20))
    flow = Geodesic(curvature=0.0, balloon=-1.0, time_step=0.5, steps=16, tol=0.0)
    front = geodesic_contour(torch.ones(PLANE), start, EVEN, flow=flow)
    assert radius(front.phi) == pytest.approx(12.0, abs=0.4)


@pytest.mark.parametrize(("shape", "axes"), [(PLANE, 1), (BLOCK, 2)])
def test_curvature_shrinks_a_ball_as_the_closed_form_says(shape, axes):
    """dR/dt = -axes / R: the square of the radius falls by 2 axes t."""
    start = balls(shape, (middle(shape), 11))
    flow = Geodesic(curvature=1.0, balloon=0.0, time_step=0.1, steps=100, tol=0.0)
    front = geodesic_contour(torch.ones(shape), start, EVEN, flow=flow)
    expected = (radius(start.float()) ** 2 - 2 * axes * 10.0) ** 0.5
    assert radius(front.phi) == pytest.approx(expected, abs=0.5)


def test_grows_to_the_edges_and_stays_there():
    start = balls(TWO.shape, ((0, 24, 22), 4), ((0, 46, 54), 4))
    front = geodesic_contour(two_stop(), start, EVEN, flow=Geodesic())
    assert dice(front.phi > 0, TWO) > 0.97


def test_one_region_splits_into_two():
    start = balls(TWO.shape, ((0, 35, 38), 33))
    flow = Geodesic(balloon=-1.0, steps=400)
    front = geodesic_contour(two_stop(), start, EVEN, flow=flow)
    assert dice(front.phi > 0, TWO) > 0.97


def test_two_regions_merge_into_one():
    start = balls(PLANE, ((0, 30, 20), 5), ((0, 30, 42), 5))
    flow = Geodesic(steps=20, tol=0.0)
    front = geodesic_contour(torch.ones(PLANE), start, EVEN, flow=flow)
    assert bool((front.phi[0, 30, 15:48] > 0).all())


def test_the_weighted_length_falls_while_a_contour_comes_to_rest():
    start = balls(TWO.shape, ((0, 24, 22), 4))
    front = geodesic_contour(two_stop(), start, EVEN, flow=Geodesic())
    assert front.lengths[-1] < 0.5 * max(front.lengths)


def test_a_contour_stops_early_when_it_rests():
    front = geodesic_contour(
        two_stop(), balls(TWO.shape, ((0, 24, 22), 10)), EVEN, flow=Geodesic(steps=2000)
    )
    assert front.settled
    assert len(front.lengths) < 2000


def test_a_leak_through_a_narrow_gap_is_no_rest():
    start = balls(PLANE, (middle(PLANE), 20))
    stop = torch.zeros(PLANE)
    stop[:, 29:32] = 1
    flow = Geodesic(curvature=0.0, attraction=0.0, steps=80, tol=0.2)
    front = geodesic_contour(stop, start, EVEN, flow=flow)
    assert bool((front.phi[0, 30] > 0).all())
    assert front.settled
    assert len(front.lengths) > 10


def test_goes_nearly_a_sample_a_step_though_edges_are_steep():
    disk = balls(PLANE, (middle(PLANE), 24))
    stop = edge_stop(gaussian(disk.float()[None], (0.0, 1.0, 1.0))[0], EVEN, 0.06)
    start = balls(PLANE, (middle(PLANE), 5))
    front = geodesic_contour(stop, start, EVEN, flow=Geodesic(steps=28, tol=0.0))
    assert dice(front.phi > 0, disk) > 0.95


@pytest.mark.parametrize("area", [3.0, -3.0])
def test_a_regularised_contour_finds_the_edges(area):
    disk = ((0, 46, 54), 21) if area < 0 else ((0, 46, 54), 8)
    flow = Regularised(area=area, steps=250)
    front = regularised_contour(two_stop(), balls(TWO.shape, disk), EVEN, flow=flow)
    assert dice(front.phi > 0, balls(TWO.shape, ((0, 46, 54), 15))) > 0.95


def test_a_regularised_contour_splits():
    start = balls(TWO.shape, ((0, 35, 38), 33))
    front = regularised_contour(two_stop(), start, EVEN, flow=Regularised(area=-3.0, steps=500))
    assert dice(front.phi > 0, TWO) > 0.93
    assert not bool((front.phi[0, 34:37, 37:39] > 0).any())


def test_regularisation_keeps_the_slope_near_the_contour():
    """A gentle flow, as the force that moves the contour ends 1.5 samples from it and tilts it."""
    start = balls(PLANE, (middle(PLANE), 8))
    slopes = []
    for keep in (0.001, 0.15):
        flow = Regularised(keep, length=0.4, area=0.2, steps=200, tol=0.0)
        phi = regularised_contour(torch.ones(PLANE), start, EVEN, flow=flow).phi
        slopes.append(float(slope_size(phi, EVEN)[phi.abs() < 1].mean()))
    assert 0.8 < slopes[1] < 1.25
    assert slopes[1] < 0.8 * slopes[0]


def test_a_regularised_ball_grows_in_a_volume():
    start = balls(BLOCK, (middle(BLOCK), 5))
    flow = Regularised(length=1.0, steps=15, tol=0.0)
    front = regularised_contour(torch.ones(BLOCK), start, EVEN, flow=flow)
    grown = radius(front.phi)
    assert grown > 6
    assert dice(front.phi > 0, balls(BLOCK, (middle(BLOCK), grown))) > 0.95


@pytest.mark.parametrize("solve", ["geodesic", "regularised"])
def test_a_contour_does_not_pass_the_mask(solve):
    mask = torch.ones(PLANE, dtype=torch.bool)
    mask[:, :, 36:] = False
    start = balls(PLANE, (middle(PLANE), 4))
    stop = torch.ones(PLANE)
    if solve == "geodesic":
        front = geodesic_contour(stop, start, EVEN, flow=Geodesic(steps=30), mask=mask)
    else:
        front = regularised_contour(stop, start, EVEN, flow=Regularised(steps=60), mask=mask)
    inside = (front.phi > 0)[0]
    assert not bool(inside[:, 36:].any())
    assert bool(inside[30, 22:36].all())


def test_the_slope_counts_per_finest_sample():
    ramp = torch.arange(12.0)[None, :, None].expand(3, 12, 5) * 4
    assert torch.allclose(slope_size(ramp, (5.0, 2.0, 0.5)), torch.tensor(1.0))
    assert torch.allclose(edge_stop(ramp, (5.0, 2.0, 0.5), 1.0), torch.tensor(0.5))


def test_an_edge_between_thick_slices_is_seen_whole():
    block = torch.zeros(6, 4, 5)
    block[3:] = 10
    thick = (2.5, 1.0, 1.0)
    seen = steepest_slope(block, thick)
    assert torch.allclose(seen[2:4], torch.tensor(4.0))
    assert torch.allclose(slope_size(block, thick)[2:4], torch.tensor(2.0))
    assert not bool(seen[[0, 1, 4, 5]].any())
    ramp = torch.arange(12.0)[None, :, None].expand(1, 12, 5) * 4
    assert torch.allclose(steepest_slope(ramp, (5.0, 2.0, 0.5)), torch.tensor(1.0))


def test_tells_of_each_step():
    heard = []
    front = geodesic_contour(
        torch.ones(PLANE),
        balls(PLANE, (middle(PLANE), 5)),
        EVEN,
        flow=Geodesic(steps=5),
        on_step=lambda number, length: heard.append((number, length)),
    )
    assert heard == list(enumerate(front.lengths, start=1))


@pytest.mark.parametrize("cls", [Geodesic, Regularised])
def test_refuses_steps_and_tolerances_out_of_range(cls):
    with pytest.raises(ConfigError, match="steps must be a positive number, got 0"):
        cls(steps=0)
    with pytest.raises(ConfigError, match="tol must be 0 or a positive number, got -1"):
        cls(tol=-1.0)


def test_refuses_flows_that_are_not_finite_or_not_stable():
    with pytest.raises(ConfigError, match="balloon must be a finite speed, got inf"):
        Geodesic(balloon=float("inf"))
    with pytest.raises(ConfigError, match="area must be a finite weight, got nan"):
        Regularised(area=float("nan"))
    with pytest.raises(ConfigError, match=r"keep must be at most 0.25 for a stable flow, got 0.3"):
        Regularised(keep=0.3)


def test_refuses_a_start_of_another_shape():
    with pytest.raises(ShapeError, match="start must have the shape of the edge stop"):
        geodesic_contour(torch.ones(PLANE), torch.ones(1, 2, 3).bool(), EVEN, flow=Geodesic())


@pytest.mark.parametrize("fill", [True, False])
def test_refuses_a_start_without_a_contour(fill):
    start = torch.full(PLANE, fill)
    with pytest.raises(RegionError, match="a start must have voxels inside and outside"):
        regularised_contour(torch.ones(PLANE), start, EVEN, flow=Regularised())

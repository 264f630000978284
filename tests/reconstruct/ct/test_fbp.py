"""Filtered back-projection: values, scans, angles, and what it refuses."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vesalius.core import Grid
from vesalius.errors import ConfigError, GeometryError, UnitError
from vesalius.physics import Cylinder, Phantom, rasterise, shepp_logan
from vesalius.physics.ct import Geometry, Projections, cone, exact_projections, fan, parallel
from vesalius.reconstruct.ct import fbp, gridding

MU = 0.02
FAN = {"pitch_mm": (1.0, 1.0), "source_mm": 300.0, "detector_mm": 500.0}


def turn(views: int, span: float) -> torch.Tensor:
    """Angles over a span without its end, degrees."""
    return torch.arange(views) * (span / views)


def square(n: int, step: float = 1.0) -> Grid:
    """One slice of n x n pixels about the isocentre."""
    edge = -(n - 1) / 2 * step
    return Grid.from_spacing((1, n, n), (1.0, step, step), origin_mm=(edge, edge, 0.0))


def distance(grid: Grid, at: tuple[float, float]) -> torch.Tensor:
    """Distance of each pixel of a slice from a point (L, P), mm."""
    _, y, x = grid.shape
    index = torch.cartesian_prod(torch.zeros(1), torch.arange(float(y)), torch.arange(float(x)))
    points = grid.to_world(index.double())[:, :2]
    return (points - torch.tensor(at, dtype=torch.float64)).norm(dim=1).reshape(y, x)


def disc(at: tuple[float, float] = (0.0, 0.0), radius: float = 60.0) -> Phantom:
    """Water with a denser rod at (20, -10)."""
    water = Cylinder((*at, 0.0), (radius, radius, 500.0), MU)
    rod = Cylinder((at[0] + 20.0, at[1] - 10.0, 0.0), (10.0, 10.0, 500.0), MU)
    return Phantom((water, rod), 0.0, "1/mm", "add")


SCANS = {
    "half a turn": (parallel(turn(300, 180.0), shape=(1, 150)), "full"),
    "a whole turn, odd": (parallel(turn(601, 360.0), shape=(1, 151)), "full"),
    "two turns backwards": (parallel(-turn(700, 720.0), shape=(1, 150)), "full"),
    "parallel, detector at one side": (
        parallel(turn(400, 360.0), shape=(1, 95), offset_mm=(0.0, 30.0)),
        "half-fan",
    ),
}
for _arc in (False, True):
    _kind = "arc" if _arc else "flat"
    SCANS |= {
        f"fan, {_kind}": (fan(turn(400, 360.0), shape=(1, 260), arc=_arc, **FAN), "full"),
        f"fan, {_kind}, short": (
            fan(turn(300, 216.0), shape=(1, 260), arc=_arc, **FAN),
            "short",
        ),
        f"fan, {_kind}, 270 degrees backwards": (
            fan(33 - turn(400, 270.0), shape=(1, 260), arc=_arc, **FAN),
            "short",
        ),
        f"fan, {_kind}, half to the right": (
            fan(turn(400, 360.0), shape=(1, 170), offset_mm=(0.0, 60.0), arc=_arc, **FAN),
            "half-fan",
        ),
        f"fan, {_kind}, half to the left": (
            fan(turn(400, 360.0), shape=(1, 170), offset_mm=(0.0, -60.0), arc=_arc, **FAN),
            "half-fan",
        ),
    }


@pytest.mark.parametrize("name", SCANS)
def test_finds_the_attenuation_of_water_and_of_a_rod(name):
    geometry, scan = SCANS[name]
    grid = square(128)
    found = fbp(exact_projections(disc(), geometry), like=grid, scan=scan)
    image = found.image.data[0, 0]
    centre, rod = distance(grid, (0.0, 0.0)), distance(grid, (20.0, -10.0))
    assert found.image.unit == "1/mm"
    assert float(image[(centre < 55) & (rod > 14)].mean()) == pytest.approx(MU, rel=2e-3)
    assert float(image[rod < 7].mean()) == pytest.approx(2 * MU, rel=2e-3)
    assert float(image[centre > 64].mean()) == pytest.approx(0.0, abs=1.5e-3 * MU)
    assert float(image[centre > 64].abs().max()) < 0.1 * MU


@pytest.mark.parametrize("size", [255, 256])
def test_water_is_0_and_air_minus_1000_hounsfield(size):
    geometry = parallel(turn(720, 180.0), shape=(1, size))
    water = Phantom((Cylinder((0.0, 0.0, 0.0), (100.0, 100.0, 500.0), MU),), 0.0, "1/mm")
    grid = square(size)
    image = fbp(exact_projections(water, geometry), like=grid).image.data[0, 0]
    hounsfield = 1000 * (image / MU - 1)
    radius = distance(grid, (0.0, 0.0))
    assert abs(float(hounsfield[radius < 90].mean())) < 2
    for ring in range(0, 90, 15):  # no cupping
        part = hounsfield[(radius >= ring) & (radius < ring + 15)]
        assert abs(float(part.mean())) < 2
    assert abs(float(hounsfield[radius > 110].mean()) + 1000) < 5


@pytest.mark.parametrize("pixels", [100, 101])
@pytest.mark.parametrize("columns", [120, 121])
def test_a_blob_lies_where_it_is_for_even_and_odd_sizes(pixels, columns):
    at = (13.3, -7.6)
    blob = Phantom((Cylinder((*at, 0.0), (8.0, 8.0, 500.0), MU),), 0.0, "1/mm")
    geometry = parallel(turn(360, 180.0), shape=(1, columns))
    grid = square(pixels)
    image = fbp(exact_projections(blob, geometry), like=grid, window="hann").image.data[0, 0]
    near = image.double() * (distance(grid, at) < 14)
    index = torch.cartesian_prod(*(torch.arange(float(n)) for n in (1, pixels, pixels))).double()
    centroid = (grid.to_world(index) * near.reshape(-1, 1)).sum(dim=0) / near.sum()
    assert centroid[:2].tolist() == pytest.approx(at, abs=0.02)


def shepp(size: int, views: int) -> tuple[Projections, Grid, torch.Tensor, torch.Tensor]:
    """Shepp-Logan of range 1, exact projections; the truth averaged over 8 x 8 points a pixel."""
    phantom = shepp_logan(half_size_mm=size / 2, per_mm=1.0)
    grid = square(size)
    geometry = parallel(turn(views, 180.0), shape=(1, size))
    truth = rasterise(phantom, grid, supersample=8).data[0, 0]
    inside = distance(grid, (0.0, 0.0)) < size / 2
    return exact_projections(phantom, geometry), grid, truth, inside


def psnr(image: torch.Tensor, truth: torch.Tensor, inside: torch.Tensor) -> float:
    """Peak 1 (the phantom's range), over the field of view, dB."""
    return -10 * math.log10(float(((image - truth)[inside] ** 2).mean()))


def test_shepp_logan_at_513_from_720_views_reaches_what_every_right_tool_does():
    projections, grid, truth, inside = shepp(513, 720)
    image = fbp(projections, like=grid).image.data[0, 0]
    amplitude = float((image * truth).sum() / (truth * truth).sum())
    assert psnr(image, truth, inside) > 36.3
    assert 0.99 < amplitude < 1.01


def test_agrees_with_scikit_image_on_an_odd_size():
    from skimage.transform import iradon

    projections, grid, _, inside = shepp(129, 180)
    ours = fbp(projections, like=grid).image.data[0, 0].numpy()
    # theirs: rows are x cos + y sin, seen from above the screen; ours -x sin + y cos
    sinogram = projections.data[:, 0].numpy().T
    theirs = iradon(sinogram, theta=projections.geometry.angles_deg.numpy(), circle=True)
    best = min(
        float(np.sqrt(((t - ours)[inside.numpy()] ** 2).mean()))
        for k in range(4)
        for t in (np.rot90(theirs, k), np.rot90(theirs, k)[::-1])
    )
    assert best < 0.004


@pytest.mark.parametrize("arc", [False, True])
def test_agrees_with_a_slow_loop_over_fans(arc):
    geometry = fan(turn(40, 360.0), shape=(1, 110), arc=arc, **FAN)
    grid = square(21, 2.0)
    data = torch.rand(40, 1, 110, dtype=torch.float64)
    fast = fbp(Projections(data, geometry), like=grid).image.data[0, 0]
    slow = torch.zeros(21, 21, dtype=torch.float64)
    pitch, far = (1 / 500.0 if arc else 1.0), 500.0
    place = torch.arange(110, dtype=torch.float64) - 54.5
    lag = place[:, None] - place[None, :]
    kernel = torch.where(lag % 2 == 1, -1 / (math.pi * lag * pitch) ** 2, 0.0)
    kernel = torch.where(lag == 0, 0.25 / pitch**2, kernel)
    if arc:
        kernel = kernel / torch.sinc(lag * pitch / math.pi) ** 2
    gamma = place / 500.0 if arc else torch.atan(place / far)
    for v, beta in enumerate(torch.deg2rad(geometry.angles_deg).tolist()):
        row = kernel @ (data[v, 0] * gamma.cos()) * pitch
        for i in range(21):
            for j in range(21):
                x, y = 2.0 * (j - 10), 2.0 * (i - 10)
                deep = 300.0 - x * math.cos(beta) - y * math.sin(beta)
                side = -x * math.sin(beta) + y * math.cos(beta)
                if arc:
                    t = math.atan2(side, deep) * 500.0 + 54.5
                    weight = 300.0 / (deep**2 + side**2)
                else:
                    t = side * far / deep + 54.5
                    weight = 300.0 / far * (far / deep) ** 2
                k = math.floor(t)
                value = row[k] * (k + 1 - t) + row[k + 1] * (t - k)
                slow[i, j] += weight * value * 0.5 * 2 * math.pi / 40
    torch.testing.assert_close(fast, slow, rtol=1e-6, atol=1e-9)


@given(st.integers(0, 2**31 - 1), st.floats(-3, 3))
@settings(max_examples=5)
def test_is_linear(seed, factor):
    geometry = parallel(turn(20, 180.0), shape=(1, 30))
    grid = square(24)
    a, b = torch.rand(
        2, 20, 1, 30, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    )

    def image(data):
        return fbp(Projections(data, geometry), like=grid).image.data

    torch.testing.assert_close(
        image(factor * a + b), factor * image(a) + image(b), rtol=1e-9, atol=1e-12
    )


@pytest.mark.parametrize("name", ["half a turn", "fan, flat", "fan, arc, half to the left"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_torch_way_gives_the_same_numbers(name, dtype):
    whole, scan = SCANS[name]
    geometry = whole.take(slice(None, None, 10))
    data = exact_projections(disc(), geometry).data.to(dtype)
    grid = square(96)
    compiled = fbp(Projections(data, geometry), like=grid, scan=scan).image.data
    wanted = data.clone().requires_grad_()
    torched = fbp(Projections(wanted, geometry), like=grid, scan=scan).image.data
    assert compiled.dtype == torched.dtype == dtype
    assert float((compiled - torched.detach()).norm() / compiled.norm()) < 1e-4


def test_the_gradient_is_that_of_a_linear_map():
    geometry = parallel(turn(4, 180.0), shape=(1, 5))
    data = torch.rand(4, 1, 5, dtype=torch.float64, requires_grad=True)

    def image(x):
        return fbp(Projections(x, geometry), like=square(4)).image.data

    assert torch.autograd.gradcheck(image, (data,))


def test_a_grid_at_an_angle_shows_the_same_world():
    geometry = parallel(turn(300, 180.0), shape=(1, 150))
    measured = exact_projections(disc(), geometry)
    straight = square(96)
    c, s = math.cos(math.radians(30)), math.sin(math.radians(30))
    matrix = torch.eye(4, dtype=torch.float64)
    matrix[:2, :2] = torch.tensor([[c, -s], [s, c]], dtype=torch.float64)
    turned = Grid((1, 96, 96), matrix @ straight.affine)
    image = fbp(measured, like=turned).image.data[0, 0]
    assert float(image[distance(turned, (20.0, -10.0)) < 7].mean()) == pytest.approx(
        2 * MU, rel=3e-3
    )


def test_a_grid_tilted_out_of_the_plane_is_cut_through_the_slices():
    angles = turn(200, 180.0)
    geometry = parallel(angles, shape=(40, 100), pitch_mm=(2.0, 1.0))
    measured = exact_projections(disc(radius=40.0), geometry)
    c, s = math.cos(0.3), math.sin(0.3)
    matrix = torch.eye(4, dtype=torch.float64)
    matrix[1:3, 1:3] = torch.tensor([[c, -s], [s, c]], dtype=torch.float64)
    tilted = Grid((1, 80, 80), matrix @ square(80).affine)
    image = fbp(measured, like=tilted).image.data[0, 0]
    axis = distance(tilted, (0.0, 0.0))
    rod = distance(tilted, (20.0, -10.0))
    assert float(image[(axis < 35) & (rod > 14)].mean()) == pytest.approx(MU, rel=5e-3)


def test_slices_between_rows_are_blended_and_beyond_them_empty():
    geometry = parallel(turn(60, 180.0), shape=(4, 40))
    data = torch.arange(4.0)[None, :, None].expand(60, 4, 40).contiguous()
    projections = Projections(data, geometry)
    grid = Grid.from_spacing((9, 5, 5), (0.5, 1.0, 1.0), origin_mm=(-2.0, -2.0, -2.5))
    image = fbp(projections, like=grid).image.data[0, :, 2, 2]
    one = float(image[6] / 2.0)  # z = 0.5 is row 2
    rows = [None, None, 0, 0.5, 1, 1.5, 2, 2.5, 3]
    expected = [0.0 if r is None else r * one for r in rows]
    assert image.tolist() == pytest.approx(expected, abs=1e-5)


def test_uneven_angles_weigh_by_the_angle_they_stand_for(generator):
    angles = torch.sort(torch.rand(500, generator=generator) * 180).values
    geometry = parallel(angles, shape=(1, 150))
    grid = square(128)
    image = fbp(exact_projections(disc(), geometry), like=grid).image.data[0, 0]
    inside = (distance(grid, (0.0, 0.0)) < 55) & (distance(grid, (20.0, -10.0)) > 14)
    assert float(image[inside].mean()) == pytest.approx(MU, rel=2e-3)


def test_the_order_of_views_does_not_matter(generator):
    geometry = parallel(turn(90, 180.0), shape=(1, 60))
    measured = exact_projections(disc(radius=25.0), geometry)
    order = torch.randperm(90, generator=generator)
    mixed = Projections(measured.data[order], geometry.take(order))
    torch.testing.assert_close(
        fbp(mixed, like=square(50)).image.data,
        fbp(measured, like=square(50)).image.data,
        rtol=1e-4,
        atol=1e-7,
    )


def test_tells_of_a_missing_wedge():
    geometry = parallel(turn(120, 120.0), shape=(1, 100))
    found = fbp(exact_projections(disc(radius=30.0), geometry), like=square(64))
    assert "66.7 % of half a turn" in found.remarks[0]


@pytest.mark.parametrize("views", [1, 2, 3])
def test_few_views_do_not_pass_for_half_a_turn(views):
    geometry = parallel(turn(views, 10.0 * views), shape=(1, 100))
    found = fbp(exact_projections(disc(radius=30.0), geometry), like=square(64))
    assert "of half a turn" in found.remarks[0]


@pytest.mark.parametrize("method", [fbp, gridding])
@pytest.mark.parametrize("offset_mm", [20.0, -20.0])
def test_tells_of_rows_that_are_cut_on_one_side(method, offset_mm):
    geometry = parallel(turn(90, 360.0), shape=(1, 71), offset_mm=(0.0, offset_mm))
    cut = method(exact_projections(disc(radius=30.0), geometry), like=square(64))
    assert "rows end at the detector's edge" in cut.remarks[0]


def test_does_not_take_noise_or_half_a_fan_for_rows_that_are_cut(generator):
    geometry = fan(turn(90, 360.0), shape=(1, 100), offset_mm=(0.0, 35.0), **FAN)
    clean = exact_projections(disc(radius=30.0), geometry)
    noisy = clean.data + 0.02 * torch.randn(clean.data.shape, generator=generator)
    found = fbp(Projections(noisy, geometry), like=square(64), scan="half-fan")
    assert found.remarks == ()


def test_the_window_smooths_and_keeps_the_mean(generator):
    geometry = parallel(turn(180, 180.0), shape=(1, 100))
    clean = exact_projections(disc(radius=30.0), geometry)
    noise = 0.05 * torch.randn(clean.data.shape, generator=generator)
    grid = square(64)
    inside = (distance(grid, (0.0, 0.0)) < 27) & (distance(grid, (20.0, -10.0)) > 14)
    spreads = []
    for window in ("ram-lak", "shepp-logan", "cosine", "hamming", "hann", "parzen"):
        noisy = fbp(Projections(clean.data + noise, geometry), like=grid, window=window)
        plain = fbp(clean, like=grid, window=window).image.data[0, 0]
        spreads.append(float((noisy.image.data[0, 0] - plain)[inside].std()))
        assert float(plain[inside].mean()) == pytest.approx(MU, rel=5e-3)
    assert spreads == sorted(spreads, reverse=True)


@pytest.mark.parametrize("truncation", ["cosine", "ellipse"])
def test_continued_rows_take_the_bright_rim_of_truncation_away(truncation):
    geometry = parallel(turn(360, 180.0), shape=(1, 80))
    cut = exact_projections(disc(), geometry)
    grid = square(80)
    radius, rod = distance(grid, (0.0, 0.0)), distance(grid, (20.0, -10.0))
    rim = (radius > 34) & (radius < 38)
    plain = fbp(cut, like=grid).image.data[0, 0]
    mended = fbp(cut, like=grid, truncation=truncation)
    flat = mended.image.data[0, 0][(radius < 36) & (rod > 14)]
    assert float(plain[rim].mean()) > 1.8 * MU
    assert float(mended.image.data[0, 0][rim].mean()) == pytest.approx(MU, rel=0.25)
    assert float(flat.std()) < 0.06 * MU
    assert truncation in mended.remarks[0]


def test_refuses_what_is_not_a_line_integral():
    geometry = parallel(turn(9, 180.0), shape=(1, 8))
    counts = Projections(torch.ones(9, 1, 8), geometry, "transmission")
    with pytest.raises(UnitError, match=r"must be line integrals of mu, got transmission: use"):
        fbp(counts, like=square(8))


def test_refuses_a_cone_of_many_rows():
    geometry = cone(turn(9, 360.0), shape=(3, 8), **FAN)
    with pytest.raises(GeometryError, match=r"cone of 3 rows: use fdk"):
        fbp(Projections(torch.ones(9, 3, 8), geometry), like=square(8))


def test_a_cone_of_one_row_is_a_fan():
    angles = turn(90, 360.0)
    data = torch.rand(90, 1, 80)
    images = [
        fbp(Projections(data, make(angles, shape=(1, 80), **FAN)), like=square(32)).image.data
        for make in (fan, cone)
    ]
    torch.testing.assert_close(images[0], images[1])


@pytest.mark.parametrize("cutoff", [0.0, -1.0, 1.5])
def test_refuses_a_cutoff_out_of_range(cutoff):
    geometry = parallel(turn(9, 180.0), shape=(1, 8))
    with pytest.raises(ConfigError, match=r"cutoff must be in \(0, 1\]"):
        fbp(Projections(torch.ones(9, 1, 8), geometry), like=square(8), cutoff=cutoff)


def refused(geometry: Geometry, match: str, scan: str = "full", grid: Grid | None = None) -> None:
    """Check that a geometry is refused."""
    projections = Projections(torch.ones(geometry.codomain), geometry)
    with pytest.raises(GeometryError, match=match):
        fbp(projections, like=grid or square(32), scan=scan)


def test_refuses_a_fan_over_less_than_a_turn_without_a_weight():
    part = fan(turn(180, 170.0), shape=(1, 60), **FAN)
    refused(part, r"must cover a whole turn, got views over .* use scan='short'")


def test_refuses_a_short_scan_that_is_too_short_or_too_long():
    part = fan(turn(180, 170.0), shape=(1, 60), **FAN)
    refused(part, r"180 degrees and the fan angle, here 18\d.* degrees, got 169", "short")
    long = fan(turn(180, 400.0), shape=(1, 60), **FAN)
    refused(long, r"must not exceed one turn", "short")


def test_refuses_a_half_fan_that_does_not_reach_the_axis():
    geometry = fan(turn(90, 360.0), shape=(1, 60), offset_mm=(0.0, 40.0), **FAN)
    refused(geometry, r"must reach over the isocentre's ray", "half-fan")


def test_refuses_a_volume_that_is_missed():
    geometry = parallel(turn(9, 180.0), shape=(1, 8))
    far = Grid.from_spacing((1, 8, 8), origin_mm=(0.0, 0.0, 50.0))
    refused(geometry, r"the volume must fall on the detector, got columns", grid=far)


def test_refuses_a_source_within_the_volume():
    geometry = fan(turn(9, 360.0), shape=(1, 8), **FAN)
    refused(geometry, r"source must stay outside the volume", grid=square(700))


def test_refuses_views_that_differ():
    geometry = fan(turn(90, 360.0), shape=(1, 60), **FAN)
    source = geometry.source * torch.linspace(1.0, 1.1, 90)[:, None].double()
    moved = Geometry(
        "fan",
        source,
        geometry.centre,
        geometry.u,
        geometry.v,
        geometry.shape,
        geometry.middle,
        geometry.angles_deg,
    )
    refused(moved, r"every view to be the first one turned about the axis, got .* differ by")


def leaning(name: str) -> Geometry:
    """A scan that leans by 5 degrees, or whose angles are not those of its views."""
    flat = parallel(turn(90, 180.0), shape=(3, 60))
    wide = fan(turn(90, 360.0), shape=(61, 60), **FAN)
    cos, sin = math.cos(math.radians(5.0)), math.sin(math.radians(5.0))
    up = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)
    if name == "rolled detector":
        return replace(wide, u=cos * wide.u + sin * wide.v, v=cos * wide.v - sin * wide.u)
    if name == "detector on its side":
        return replace(flat, u=flat.v, v=-flat.u)
    if name == "tilted detector":
        return replace(wide, v=cos * wide.v + sin * wide.source / 300.0)
    if name == "laminography":
        return replace(flat, source=cos * flat.source + sin * up)
    if name == "tilted fans":
        return replace(wide, centre=wide.centre + 500.0 * math.tan(math.radians(5.0)) * up)
    return replace(flat, angles_deg=0.5 * flat.angles_deg)


@pytest.mark.parametrize(
    "name",
    ["rolled detector", "detector on its side", "tilted detector", "laminography", "tilted fans"],
)
def test_refuses_rows_or_rays_that_lean_against_the_axis(name):
    refused(leaning(name), r"rows and rays across the rotation axis, got .* lean by \d+ degrees")


def test_refuses_angles_that_are_not_those_of_the_views():
    refused(leaning("angles"), r"difference of angles_deg, got one that is 89 degrees off")


def test_refuses_half_a_turn_of_parallel_rays_beside_the_axis_without_naming_a_short_scan():
    geometry = parallel(turn(90, 180.0), shape=(1, 60), offset_mm=(0.0, 20.0))
    refused(geometry, r"over 180 degrees: use an iterative method", "half-fan")


def test_allows_a_tilt_of_two_degrees():
    wide = fan(turn(90, 360.0), shape=(3, 60), **FAN)
    tilted = replace(wide, v=wide.v + 0.03 * wide.source / 300.0)
    data = torch.ones(tilted.codomain)
    assert bool(torch.isfinite(fbp(Projections(data, tilted), like=square(16)).image.data).all())


def test_refuses_an_arc_that_is_too_wide():
    wide = fan(
        turn(90, 360.0),
        shape=(1, 300),
        pitch_mm=(1.0, 1.0),
        source_mm=90.0,
        detector_mm=100.0,
        arc=True,
    )
    refused(wide, r"columns of an arc must span less than 135 degrees")

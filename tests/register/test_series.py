"""Series: frames that moved come back, framewise displacement as its formula says."""

import math

import pytest
import torch

from vesalius.core import Grid, Image, Linear, Series, resample
from vesalius.errors import ConfigError
from vesalius.register._free_form import FreeForm
from vesalius.register._mse import MeanSquare
from vesalius.register._plan import Lbfgs, Plan, Scale, Stage
from vesalius.register.atlas import framewise_displacement, register_series

GRID = Grid.from_spacing((14, 18, 20), (3.0, 2.5, 2.5), origin_mm=(-24.0, -21.0, -20.0))
ORIGIN = (0.0, 0.0, 0.0)
MOTIONS = (
    Linear.identity(),
    Linear.translation((1.5, -1.0, 0.5)) @ Linear.rotation((0, 0, 4), centre_mm=ORIGIN),
    Linear.translation((2.0, 0.5, -1.5)) @ Linear.rotation((3, 0, 2), centre_mm=ORIGIN),
)


def head() -> Image:
    axes = [torch.linspace(-1, 1, n) for n in GRID.shape]
    z, y, x = torch.meshgrid(*axes, indexing="ij")
    bulk = torch.exp(-5 * (1.2 * z**2 + y**2 + 1.5 * x**2))
    spots = torch.exp(-40 * ((z - 0.2) ** 2 + (y + 0.3) ** 2 + (x - 0.3) ** 2))
    spots = spots - 0.7 * torch.exp(-40 * ((z + 0.3) ** 2 + (y - 0.2) ** 2 + (x + 0.1) ** 2))
    return Image((bulk + spots)[None], GRID)


def moved(motions: tuple[Linear, ...] = MOTIONS) -> Series:
    frames = [
        resample(head(), GRID, transform=m.inverse(), interpolation="cubic").data for m in motions
    ]
    return Series(torch.stack(frames), GRID, tuple(float(i) for i in range(len(motions))))


def probes() -> torch.Tensor:
    return torch.cartesian_prod(*[torch.tensor([-10.0, 0.0, 10.0]).double()] * 3)


def test_finds_how_every_frame_moved():
    found = register_series(moved())
    for transform, motion in zip(found.transforms, MOTIONS, strict=True):
        away = (transform(probes()) - motion(probes())).norm(dim=1)
        assert float(away.mean()) < 0.4  # a sixth of a voxel
    wanted = framewise_displacement(MOTIONS, centre_mm=(-0.25, 0.25, -0.5))
    assert found.framewise_displacement_mm == pytest.approx(
        wanted, abs=1.5
    )  # 50 mm make 1 of 1 deg
    assert found.mean_displacement_mm[0] == 0
    assert found.mean_displacement_mm[1] > 1.5


def test_the_corrected_series_stands_still():
    series = moved()
    found = register_series(series)
    inside = (slice(None), slice(None), slice(3, -3), slice(3, -3), slice(3, -3))
    before = float((series.data[1:] - series.data[:1])[inside].abs().mean())
    corrected = found.corrected
    assert float((corrected.data[1:] - corrected.data[:1])[inside].abs().mean()) < 0.25 * before
    assert corrected.times_s == series.times_s


def test_the_mean_may_be_the_reference_and_steps_are_told():
    told = []
    found = register_series(moved(MOTIONS[:2]), reference="mean", on_step=told.append)
    assert [t.done for t in told] == [1, 2, 3, 4]
    between = found.transforms[1] @ found.transforms[0].inverse()
    assert float((between(probes()) - MOTIONS[1](probes())).norm(dim=1).mean()) < 0.3
    assert found.reference.data.shape == (1, *GRID.shape)


def test_integers_are_registered_as_they_are():
    counts = (moved(MOTIONS[:2]).data * 500).round().to(torch.int16)
    found = register_series(Series(counts, GRID, (0.0, 1.0)))
    away = (found.transforms[1](probes()) - MOTIONS[1](probes())).norm(dim=1)
    assert float(away.mean()) < 0.3
    assert found.series.data.dtype == torch.int16


def test_framewise_displacement_is_the_sum_of_six():
    """Power et al. 2012: |shifts| + 50 mm times |angles| in radians, frame to frame."""
    one = Linear.translation((1.0, -2.0, 0.5))
    two = Linear.translation((1.0, 1.0, 0.5)) @ Linear.rotation((0, 0, 2), centre_mm=ORIGIN)
    found = framewise_displacement([Linear.identity(), one, two], centre_mm=ORIGIN)
    assert found == pytest.approx((0.0, 3.5, 3.0 + 50 * math.radians(2)))
    half = framewise_displacement([one, two], centre_mm=ORIGIN, radius_mm=25.0)
    assert half == pytest.approx((0.0, 3.0 + 25 * math.radians(2)))


def test_framewise_displacement_of_no_frames_is_empty():
    assert framewise_displacement([], centre_mm=ORIGIN) == ()
    assert framewise_displacement([MOTIONS[1]], centre_mm=ORIGIN) == (0.0,)


def test_refuses_a_frame_that_is_not_there():
    for wrong in (3, -1):
        with pytest.raises(ConfigError, match="reference must be a frame, 0 to 2, or 'mean'"):
            register_series(moved(), reference=wrong)
    with pytest.raises(ConfigError, match="radius_mm must be at least 0"):
        framewise_displacement(MOTIONS, centre_mm=ORIGIN, radius_mm=-1.0)


def test_a_deformable_plan_reports_mean_displacement_alone():
    stage = Stage(FreeForm(20.0), MeanSquare(), Lbfgs(), (Scale(5.0, 3),))
    found = register_series(moved(MOTIONS[:2]), plan=Plan((stage,)))
    assert found.framewise_displacement_mm == ()
    assert found.mean_displacement_mm[1] > 0.2


def test_slices_are_registered_in_their_plane():
    grid = Grid.from_spacing((1, 18, 20), (3.0, 2.5, 2.5), origin_mm=(-24.0, -21.0, 0.0))
    shift = Linear.translation((3.0, -2.0, 0.0))
    still = Image(head().data[:, 7:8], grid)
    frames = [still.data, resample(still, grid, transform=shift.inverse()).data]
    found = register_series(Series(torch.stack(frames), grid, (0.0, 1.0)))
    at = probes() * torch.tensor([1.0, 1.0, 0.0])
    assert float((found.transforms[1](at) - shift(at)).norm(dim=1).mean()) < 0.4
    assert float(found.transforms[1](at)[:, 2].abs().max()) < 1e-9

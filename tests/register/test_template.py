"""Template: sharper than the plain mean, in the middle of its images, whatever the first one."""

import pytest
import torch

from register.landmark_cases import lattice, smooth_velocity
from vesalius.core import Grid, Image, Linear, Transform, resample
from vesalius.errors import ConfigError, ShapeError
from vesalius.register.atlas import build_template

GRID = Grid.from_spacing((12, 14, 16), (1.0, 1.0, 1.0))


def pattern() -> Image:
    axes = [torch.arange(n, dtype=torch.float64) for n in GRID.shape]
    z, y, x = torch.meshgrid(*axes, indexing="ij")
    return Image(((1.1 * z).sin() + (1.2 * y).cos() + (0.9 * x).sin())[None], GRID)


def shifted(shifts: tuple[float, ...]) -> tuple[list[Image], list[Linear]]:
    """Images of one pattern, each moved along L."""
    maps = [Linear.translation((s, 0.0, 0.0)) for s in shifts]
    return [resample(pattern(), GRID, transform=m, interpolation="cubic") for m in maps], maps


def along_left(fixed: Image, moving: Image) -> Transform:
    """Search the shift along L by hand: sub-voxel, least squares over a row of candidates."""
    candidates = torch.arange(-4, 4.01, 0.5).tolist()
    inside = (slice(None), slice(2, -2), slice(2, -2), slice(6, -6))
    losses = []
    for shift in candidates:
        seen = resample(moving, GRID, transform=Linear.translation((shift, 0.0, 0.0)))
        losses.append(float(((seen.data - fixed.data)[inside] ** 2).mean()))
    best = min(range(len(losses)), key=losses.__getitem__)
    return Linear.translation((candidates[best], 0.0, 0.0))


def sharpness(image: Image) -> float:
    return float(image.data[..., 2:-2, 2:-2, 5:-5].diff(dim=-1).pow(2).mean())


def test_is_sharper_than_the_plain_mean():
    images, _ = shifted((-1.5, 0.0, 1.0, 1.5))
    plain = Image(torch.stack([i.data for i in images]).mean(dim=0), GRID)
    made = build_template(images, bring=along_left, rounds=3)
    assert sharpness(made.image) > 1.5 * sharpness(plain)


def test_comes_to_rest_in_the_middle_of_its_images():
    images, maps = shifted((-2.0, 0.5, 1.0, 1.5))
    made = build_template(images, bring=along_left, rounds=3)
    assert made.mean_shift_mm[-1] < 0.2
    at = lattice(GRID, 5)
    mean = torch.stack([t(at) for t in made.transforms]).mean(dim=0)
    assert float((mean - at).norm(dim=1).mean()) < 0.01
    relative = made.transforms[0](at)[:, 0] - made.transforms[3](at)[:, 0]
    wanted = (maps[3](at) - maps[0](at))[:, 0]
    torch.testing.assert_close(relative, wanted, rtol=0, atol=0.6)  # one step of the search


def test_the_mean_of_known_deformations_is_taken_out():
    """Given the truth, one round puts the template where the displacements cancel."""
    velocities = [smooth_velocity(GRID, seed=s, size_mm=1.5) for s in (1, 2, 3)]
    images = [resample(pattern(), GRID, transform=v.inverse()) for v in velocities]
    truth = dict(zip(map(id, images), velocities, strict=True))
    made = build_template(images, bring=lambda _, moving: truth[id(moving)], rounds=1)
    at = lattice(GRID, 3)
    mean = torch.stack([t(at) for t in made.transforms]).mean(dim=0)
    raw = torch.stack([v(at) for v in velocities]).mean(dim=0)
    assert float((mean - at).norm(dim=1).mean()) < 0.2 * float((raw - at).norm(dim=1).mean())


def test_tells_of_every_registration_and_keeps_unit_and_names():
    grid = Grid.from_spacing((2, 3, 4))
    image = Image(torch.rand(1, 2, 3, 4), grid, "HU", ("ct",))
    told = []
    made = build_template(
        [image, image], bring=lambda *_: Linear.identity(), rounds=3, on_step=told.append
    )
    assert [t.done for t in told] == [1, 2, 3, 4, 5, 6]
    assert told[-1].total == 6
    assert (made.image.unit, made.image.channels) == ("HU", ("ct",))
    torch.testing.assert_close(made.image.data, image.data)


def test_refuses_too_little():
    image = pattern()
    with pytest.raises(ShapeError, match="a template needs at least two images, got 1"):
        build_template([image], bring=along_left)
    double = Image(image.data.repeat(2, 1, 1, 1), GRID)
    with pytest.raises(ShapeError, match="images must have the same channels"):
        build_template([image, double], bring=along_left)
    with pytest.raises(ConfigError, match="rounds must be at least 1, got 0"):
        build_template([image, image], bring=along_left, rounds=0)

"""The front: presets end to end on small images, and every input that must be refused."""

import math

import pytest
import torch

from vesalius.core import (
    Composite,
    Grid,
    Image,
    Labels,
    Linear,
    Points,
    Velocity,
    resample,
    resample_labels,
)
from vesalius.errors import (
    ConfigError,
    GeometryError,
    IntensityError,
    RegionError,
    ShapeError,
)
from vesalius.register import (
    Adam,
    Demons,
    GaussNewton,
    Guides,
    Plan,
    Scale,
    Stage,
    preset,
    register,
)
from vesalius.register.landmarks import fit_linear
from vesalius.register.similarity import MeanSquare

GRID = Grid.from_spacing((28, 30, 32), (2.0, 2.0, 2.0), origin_mm=(-30.0, 12.0, 40.0))


def value_at(places, *, seed=0, waves=14):
    """Give a smooth random pattern at any points of the world."""
    generator = torch.Generator().manual_seed(seed)
    total = torch.zeros(places.shape[:-1], dtype=torch.float64)
    for _ in range(waves):
        k = torch.randn(3, generator=generator, dtype=torch.float64) * 0.16
        total += torch.cos(places @ k + torch.rand(1, generator=generator).double() * 6.3)
    return 100 * (total + 5)


def voxels(grid):
    axes = [torch.arange(n, dtype=torch.float64) for n in grid.shape]
    return grid.to_world(torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1))


def texture(grid=GRID, *, seed=0):
    return Image(value_at(voxels(grid), seed=seed).float()[None], grid)


def centred(grid):
    at = voxels(grid)
    return at - at.reshape(-1, 3).mean(dim=0)


def middle(grid=GRID):
    return grid.to_world((torch.tensor(grid.shape, dtype=torch.float64) - 1) / 2)


def inner_points(grid=GRID):
    half = torch.tensor(grid.shape, dtype=torch.float64) / 2
    steps = [-0.4, 0.0, 0.4]
    offsets = torch.cartesian_prod(*[torch.tensor(steps, dtype=torch.float64)] * 3) * half
    return grid.to_world(half - 0.5 + offsets)


def moved_by(truth, grid=GRID, *, seed=0):
    """Give a moving image such that ``truth`` maps fixed points to moving points."""
    return Image(value_at(truth.inverse()(voxels(grid)), seed=seed).float()[None], grid)


RIGID = Linear.translation((3.0, -2.0, 4.0)) @ Linear.rotation(
    (4.0, -5.0, 6.0), centre_mm=tuple(middle().tolist())
)


def test_rigid_finds_a_rigid_motion():
    found = register(texture(), moved_by(RIGID), plan="rigid")
    at = inner_points()
    assert (found.transform(at) - RIGID(at)).norm(dim=-1).max() < 0.6  # windows reach the faces
    assert (found.inverse(found.transform(at)) - at).norm(dim=-1).max() < 1e-9
    assert found.seconds > 0
    assert found.history


def test_affine_finds_stretch_too():
    matrix = RIGID.matrix.clone()
    matrix[:3, :3] = matrix[:3, :3] @ torch.diag(torch.tensor([1.06, 0.96, 1.03]).double())
    centre = middle()
    matrix[:3, 3] = centre + torch.tensor([2.0, 1.0, -3.0]).double() - matrix[:3, :3] @ centre
    truth = Linear(matrix)
    found = register(texture(), moved_by(truth), plan="affine")
    at = inner_points()
    assert (found.transform(at) - truth(at)).norm(dim=-1).max() < 0.6


def bend(grid=GRID, *, size_mm=5.0):
    at = centred(grid) / 24.0
    x, y, z = at.unbind(-1)
    field = torch.stack([torch.sin(2 * y), torch.cos(2 * z) - 1, torch.sin(1.5 * x + y)])
    window = torch.exp(-((at.norm(dim=-1) / 1.2) ** 4))
    return Velocity((size_mm * field * window).float(), grid)


@pytest.mark.parametrize("name", ["smooth", "accurate"])
def test_a_deformation_is_found_and_inverted(name):
    truth = bend()
    fixed = texture()
    found = register(fixed, moved_by(truth), plan=name)
    at = inner_points()
    before = (truth(at) - at).norm(dim=-1).mean()
    after = (found.transform(at) - truth(at)).norm(dim=-1).mean()
    assert after < 0.35 * before
    assert (found.inverse(found.transform(at)) - at).norm(dim=-1).mean() < 0.1
    assert isinstance(found.transform, Composite)


def test_the_warped_image_lies_on_the_fixed_grid():
    moving = moved_by(RIGID)
    found = register(texture(), moving, plan="rigid")
    assert found.warped.grid is texture().grid or found.warped.grid.shape == GRID.shape
    error = (found.warped.data - texture().data)[:, 6:-6, 6:-6, 6:-6].abs().mean()
    before = (moving.data - texture().data)[:, 6:-6, 6:-6, 6:-6].abs().mean()
    assert error < 0.2 * before


def test_integer_images_are_registered_and_the_warped_one_is_float():
    fixed = texture().map(lambda x: x.round().to(torch.int16))
    moving = moved_by(RIGID).map(lambda x: x.round().to(torch.int16))
    found = register(fixed, moving, plan="rigid")
    at = inner_points()
    assert (found.transform(at) - RIGID(at)).norm(dim=-1).max() < 0.6
    assert found.warped.dtype == torch.float32


def test_colour_images_are_registered_by_all_channels():
    def colour(image):
        return Image(torch.cat([image.data, 255 - image.data, image.data**2 / 900]), image.grid)

    found = register(colour(texture()), colour(moved_by(RIGID)), plan="rigid")
    at = inner_points()
    assert (found.transform(at) - RIGID(at)).norm(dim=-1).max() < 0.5


def test_a_slice_moves_in_its_plane_only():
    grid = Grid.from_spacing((1, 48, 52), (5.0, 1.5, 1.5))
    image = texture(grid, seed=3)
    turn = Linear.rotation((0.0, 0.0, 6.0), centre_mm=tuple(middle(grid).tolist()))
    truth = Linear.translation((3.0, -2.0, 0.0)) @ turn
    found = register(image, moved_by(truth, grid, seed=3), plan="rigid")
    at = inner_points(grid)
    assert (found.transform(at) - truth(at)).norm(dim=-1).max() < 0.4
    assert (found.transform(at) - at)[:, 2].abs().max() < 1e-9


def test_fine_spacing_needs_no_other_preset():
    """Microscopy is in mm too: the scales of a preset follow the image's own spacing."""
    small = Grid.from_spacing((1, 64, 64), (1e-3, 2e-4, 2e-4))
    axes = [torch.arange(n, dtype=torch.float64) for n in small.shape]
    at = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1)
    value = torch.cos(0.3 * at[..., 1]) * torch.cos(0.23 * at[..., 2]) + torch.cos(
        0.17 * at[..., 1] + 0.31 * at[..., 2]
    )
    image = Image(value.float()[None], small)
    truth = Linear.translation((4e-4, -6e-4, 0.0))
    moving = resample(image, small, transform=truth.inverse())
    at = small.to_world(torch.tensor([[0.0, 32, 32], [0, 20, 40]]).double())
    for name in ("rigid", "smooth"):
        found = register(image, moving, plan=name)
        assert (found.transform(at) - truth(at)).norm(dim=-1).max() < 0.5 * 2e-4


def test_a_channel_without_weight_says_nothing_about_the_start():
    image, other = texture(), texture(seed=9)
    shift = Linear.translation((6.0, -4.0, 2.0))
    ball = (-(centred(GRID) / 9).square().sum(dim=-1)).exp().float()[None]
    moving = resample(Image(ball, GRID), GRID, transform=shift.inverse()).data
    fixed = Image(torch.cat([other.data, ball]), GRID)
    moved = Image(torch.cat([image.data, moving]), GRID)
    found = register(
        fixed,
        moved,
        plan=Plan(()),
        init="moments",
        guides=Guides(channel_weights=(0.0, 1.0)),
    )
    torch.testing.assert_close(found.start.matrix, shift.matrix, atol=0.2, rtol=0)


def test_masks_say_where_the_images_count():
    fixed, moving = texture(), moved_by(RIGID)
    spoiled = moving.data.clone()
    spoiled[:, :, :, :10] = 900 * torch.rand(spoiled[:, :, :, :10].shape)
    seen = torch.ones(1, *GRID.shape, dtype=torch.uint8)
    seen[..., :10] = 0
    guides = Guides(moving_mask=Labels(seen, GRID))
    found = register(fixed, Image(spoiled, GRID), plan="rigid", guides=guides)
    at = inner_points()
    assert (found.transform(at) - RIGID(at)).norm(dim=-1).max() < 0.5


def test_landmarks_alone_bend_exactly_through_the_points():
    at = inner_points()
    generator = torch.Generator().manual_seed(2)
    there = at + 3 * torch.randn(at.shape, generator=generator, dtype=torch.float64)
    guides = Guides(fixed_points=Points(at), moving_points=Points(there))
    found = register(texture(), texture(), plan="landmarks", guides=guides)
    assert (found.transform(at) - there).norm(dim=-1).max() < 1e-6
    assert found.plan is None


def test_smoothed_landmarks_end_at_the_affine_fit():
    at = inner_points()
    generator = torch.Generator().manual_seed(2)
    there = RIGID(at) + torch.randn(at.shape, generator=generator, dtype=torch.float64)
    guides = Guides(fixed_points=Points(at), moving_points=Points(there), smoothing=1e9)
    found = register(texture(), texture(), plan="landmarks", guides=guides)
    fit = fit_linear(Points(at), Points(there), model="affine")
    assert (found.transform(at) - fit(at)).norm(dim=-1).max() < 1e-3


@pytest.mark.parametrize("kind", ["labels", "points"])
def test_guides_pull_where_the_image_says_nothing(kind):
    """Two images of noise, in which only labels or landmarks tell what belongs together."""
    truth = bend(size_mm=6.0)
    labels = Labels((texture().data > 600).to(torch.uint8), GRID)
    moving_labels = resample_labels(labels, GRID, transform=truth.inverse())
    weak, moving = noise(1), noise(2)
    at = inner_points()
    if kind == "labels":
        guides = Guides(fixed_labels=labels, moving_labels=moving_labels)
    else:
        guides = Guides(fixed_points=Points(at), moving_points=Points(truth(at)))
    found = register(weak, moving, plan=_deformable(), guides=guides)
    alone = register(weak, moving, plan=_deformable())
    if kind == "points":
        missed = (found.transform(at) - truth(at)).norm(dim=-1).mean()
        assert missed < (alone.transform(at) - truth(at)).norm(dim=-1).mean()
    else:
        pair = (labels, moving_labels)
        assert dice(found, pair) > dice(alone, pair)


def noise(seed):
    generator = torch.Generator().manual_seed(seed)
    return Image(torch.rand(1, *GRID.shape, generator=generator), GRID)


def dice(found, pair):
    pulled = found.pull_labels(pair[1]).data == 1
    fixed = pair[0].data == 1
    return 2 * float((pulled & fixed).sum()) / float(pulled.sum() + fixed.sum())


def _deformable():
    return Plan((preset("smooth", GRID).stages[-1],))


def test_a_plan_of_ones_own_is_carried_out():
    stage = Stage("translation", MeanSquare(), GaussNewton(), (Scale(4.0, 20), Scale(2.0, 10)))
    truth = Linear.translation((3.0, 1.0, -2.0))
    found = register(texture(), moved_by(truth), plan=Plan((stage,)))
    at = inner_points()
    assert (found.transform(at) - truth(at)).norm(dim=-1).max() < 0.2


def test_every_step_is_told():
    seen = []
    register(texture(), moved_by(RIGID), plan="rigid", on_step=seen.append)
    assert seen
    assert all(step.done <= step.total for step in seen)
    assert all("register" in step.what for step in seen)


@pytest.mark.parametrize("name", ["fixed", "moving"])
def test_refuses_what_is_not_finite(name):
    images = {"fixed": texture(), "moving": texture(seed=1)}
    spoiled = images[name].data.clone()
    spoiled[0, 3, 4, 5] = math.nan
    images[name] = Image(spoiled, GRID)
    with pytest.raises(IntensityError, match=f"the {name} image must be finite"):
        register(images["fixed"], images["moving"])


def test_refuses_a_constant_image():
    flat = Image(torch.full((1, *GRID.shape), 4.0), GRID)
    with pytest.raises(IntensityError, match="must vary, channel 0 is constant"):
        register(texture(), flat)


def test_refuses_other_channels():
    two = Image(torch.cat([texture().data, texture(seed=1).data]), GRID)
    with pytest.raises(ShapeError, match="must have the same channels, got 1 fixed and 2"):
        register(texture(), two)


def test_refuses_a_slice_with_a_volume():
    grid = Grid.from_spacing((1, 30, 32))
    with pytest.raises(ShapeError, match="only the fixed one is a slice"):
        register(Image(torch.rand(1, 1, 30, 32), grid), texture())


def test_refuses_a_sheared_fixed_grid():
    affine = GRID.affine.clone()
    affine[0, 1] = 0.8
    sheared = Image(texture().data, Grid(GRID.shape, affine))
    with pytest.raises(GeometryError, match="must have orthogonal axes"):
        register(sheared, texture())


def test_refuses_fields_of_view_that_do_not_meet_and_offers_moments():
    far = Grid.from_spacing((28, 30, 32), (2.0, 2.0, 2.0), origin_mm=(900.0, 0.0, 0.0))
    moving = Image(texture().data, far)
    with pytest.raises(GeometryError, match="moments"):
        register(texture(), moving, plan="rigid")
    found = register(texture(), moving, plan="rigid", init="moments")
    shift = (far.affine[:3, 3] - GRID.affine[:3, 3])[None]
    at = inner_points()
    assert (found.transform(at) - at - shift).norm(dim=-1).max() < 0.4


@pytest.mark.parametrize("side", ["fields of view", "fixed mask", "moving mask"])
def test_refuses_to_bend_what_does_not_meet(side):
    far = Grid.from_spacing(GRID.shape, (2.0, 2.0, 2.0), origin_mm=(900.0, 0.0, 0.0))
    there = Labels(torch.ones(1, *GRID.shape, dtype=torch.uint8), far)
    guides = {
        "fields of view": Guides(),
        "fixed mask": Guides(fixed_mask=there),
        "moving mask": Guides(moving_mask=there),
    }[side]
    moving = Image(texture(seed=1).data, far) if side == "fields of view" else texture(seed=1)
    with pytest.raises(GeometryError, match=r"must overlap .* start of a deformation, no sample"):
        register(texture(), moving, plan=_deformable(), init=Linear.identity(), guides=guides)


def test_refuses_linear_stages_after_a_deformation():
    linear = Stage("rigid", MeanSquare(), GaussNewton(), (Scale(4.0, 2),))
    with pytest.raises(ConfigError, match=r"a linear stage \(rigid\) must begin from a linear"):
        register(texture(), texture(seed=1), plan=Plan((linear,)), init=bend())


def test_refuses_newton_for_fields():
    stage = Stage("displacement", MeanSquare(), GaussNewton(), (Scale(4.0, 2),))
    with pytest.raises(ConfigError, match="GaussNewton searches linear models only"):
        register(texture(), texture(seed=1), plan=Plan((stage,)))


@pytest.mark.parametrize("name", ["rigid", "affine"])
def test_linear_plans_refuse_guides_that_they_would_not_hear(name):
    at = Points(inner_points())
    with pytest.raises(ConfigError, match="labels and landmarks pull deformable stages alone"):
        register(
            texture(),
            texture(seed=1),
            plan=name,
            guides=Guides(fixed_points=at, moving_points=at),
        )


def test_demons_refuse_guides():
    stage = Stage("displacement", MeanSquare(), Demons(), (Scale(4.0, 2),))
    at = Points(inner_points())
    with pytest.raises(ConfigError, match="demons follow images alone"):
        register(
            texture(),
            texture(seed=1),
            plan=Plan((stage,)),
            guides=Guides(fixed_points=at, moving_points=at),
        )


def test_refuses_landmarks_that_are_not_there():
    with pytest.raises(ConfigError, match="needs landmarks in both images"):
        register(texture(), texture(), plan="landmarks")


def test_guides_refuse_half_a_pair():
    with pytest.raises(ConfigError, match="moving_points is missing"):
        Guides(fixed_points=Points(torch.rand(4, 3)))
    with pytest.raises(ConfigError, match="fixed_labels is missing"):
        Guides(moving_labels=Labels(torch.ones(1, *GRID.shape, dtype=torch.uint8), GRID))


def test_guides_refuse_landmarks_that_do_not_pair():
    with pytest.raises(ShapeError, match="got 4 fixed and 5 moving"):
        Guides(fixed_points=Points(torch.rand(4, 3)), moving_points=Points(torch.rand(5, 3)))


def test_guides_refuse_landmarks_that_are_not_finite():
    points = torch.rand(4, 3)
    broken = points.clone()
    broken[2, 1] = math.nan
    with pytest.raises(GeometryError, match=r"landmarks must be finite, pair 2"):
        Guides(fixed_points=Points(points), moving_points=Points(broken))


def test_guides_refuse_an_empty_mask():
    with pytest.raises(RegionError, match="moving_mask must hold at least one voxel"):
        Guides(moving_mask=Labels(torch.zeros(1, *GRID.shape, dtype=torch.uint8), GRID))


def test_guides_refuse_weights():
    with pytest.raises(ConfigError, match="channel_weights must not be negative"):
        Guides(channel_weights=(1.0, -1.0))
    with pytest.raises(ShapeError, match="one number for each of the 1 channels, got 2"):
        register(texture(), texture(seed=1), guides=Guides(channel_weights=(1.0, 2.0)))


def test_adam_is_no_better_told_than_the_others():
    stage = Stage("rigid", MeanSquare(), Adam(rate=0.5), (Scale(4.0, 40), Scale(2.0, 20)))
    truth = Linear.translation((2.0, 1.0, -1.0))
    found = register(texture(), moved_by(truth), plan=Plan((stage,)))
    at = inner_points()
    before = (truth(at) - at).norm(dim=-1).mean()
    assert (found.transform(at) - truth(at)).norm(dim=-1).mean() < 0.3 * before

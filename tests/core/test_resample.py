"""Resampling onto a grid beside SciPy and SimpleITK, in physical space."""

import math

import numpy as np
import pytest
import scipy.ndimage as ndi
import SimpleITK as sitk
import torch

from vesalius.core import (
    Grid,
    Image,
    Labels,
    Linear,
    Transform,
    centred_grid,
    resample,
    resample_labels,
)
from vesalius.core._resample import anti_alias_sigma
from vesalius.errors import GeometryError, IntensityError, UnitError
from vesalius.ops._filters import gaussian

ORDER = {"linear": 1, "cubic": 3, "nearest": 0}
SITK = {"linear": sitk.sitkLinear, "cubic": sitk.sitkBSpline3, "nearest": sitk.sitkNearestNeighbor}


def oblique_grid(shape, spacing_mm, rotation_deg=(10.0, -20.0, 15.0), origin_mm=(5.0, -7.0, 30.0)):
    turn = Linear.rotation(rotation_deg, centre_mm=origin_mm)
    straight = Grid.from_spacing(shape, spacing_mm, origin_mm=origin_mm)
    return Grid(shape, turn.matrix @ straight.affine)


def to_sitk(data, grid):
    """SimpleITK wants (x, y, z) index order: its affine is ours with the columns reversed."""
    image = sitk.GetImageFromArray(data.numpy())
    image.SetSpacing(grid.spacing_mm[::-1])
    image.SetOrigin(grid.origin_mm)
    image.SetDirection(grid.direction.flip(1).flatten().tolist())
    return image


def sitk_resample(data, grid, like, transform, interpolation, fill):
    affine = sitk.AffineTransform(3)
    affine.SetMatrix(transform.matrix[:3, :3].flatten().tolist())
    affine.SetTranslation(transform.matrix[:3, 3].tolist())
    frame = to_sitk(torch.zeros(like.shape), like)
    out = sitk.Resample(to_sitk(data, grid), frame, affine, SITK[interpolation], fill)
    return torch.from_numpy(sitk.GetArrayFromImage(out))


@pytest.fixture
def image(generator):
    grid = oblique_grid((14, 18, 20), (3.0, 1.2, 0.9))
    data = torch.rand(1, 14, 18, 20, generator=generator, dtype=torch.float64)
    return Image(data, grid, "HU")


LIKES = {
    "oblique": oblique_grid((16, 15, 17), (2.1, 1.0, 0.8), (3.0, 5.0, -8.0), (7.0, -5.0, 33.0)),
    "centred": centred_grid(oblique_grid((14, 18, 20), (3.0, 1.2, 0.9)), (1.5, 1.1, 0.85)),
}
MAPS = {
    "identity": Linear.identity(),
    "affine": Linear.translation((1.0, -2.0, 3.0))
    @ Linear.rotation((4.0, 2.0, -9.0), centre_mm=(10.0, 0.0, 40.0)),
}


@pytest.mark.parametrize("interpolation", ["linear", "cubic", "nearest"])
@pytest.mark.parametrize("like", list(LIKES))
@pytest.mark.parametrize("name", list(MAPS))
def test_agrees_with_simpleitk(image, interpolation, like, name):
    options = {"interpolation": interpolation, "anti_alias": False, "fill": -5.0}
    ours = resample(image, LIKES[like], transform=MAPS[name], **options)
    theirs = sitk_resample(image.data[0], image.grid, LIKES[like], MAPS[name], interpolation, -5.0)
    both = (ours.data[0] != -5.0) | (theirs != -5.0)
    assert both.sum() > 500
    assert (ours.data[0] - theirs).abs().max() < 1e-5


@pytest.mark.parametrize("interpolation", ["linear", "cubic", "nearest"])
@pytest.mark.parametrize("like", list(LIKES))
def test_agrees_with_scipy(image, interpolation, like):
    ours = resample(image, LIKES[like], interpolation=interpolation, anti_alias=False)
    index = np.indices(LIKES[like].shape).reshape(3, -1)
    m = np.linalg.inv(image.grid.affine.numpy()) @ LIKES[like].affine.numpy()
    at = m[:3, :3] @ index + m[:3, 3:]
    theirs = ndi.map_coordinates(
        image.data[0].numpy(), at, order=ORDER[interpolation], mode="nearest"
    )
    assert np.abs(ours.data[0].numpy().ravel() - theirs).max() < 1e-5


def test_keeps_unit_channels_dtype_and_grid(generator):
    grid = Grid.from_spacing((4, 5, 6))
    image = Image(torch.rand(2, 4, 5, 6, generator=generator), grid, "SUV", ("a", "b"))
    like = Grid.from_spacing((3, 3, 3), (1.2, 1.2, 1.2))
    out = resample(image, like)
    assert (out.unit, out.channels, out.dtype) == ("SUV", ("a", "b"), torch.float32)
    assert out.grid is like


def test_the_same_grid_gives_the_same_samples(image):
    for interpolation in ("linear", "cubic", "nearest"):
        out = resample(image, image.grid, interpolation=interpolation)
        torch.testing.assert_close(out.data, image.data, rtol=0, atol=1e-12)


def test_pulls_the_image_through_the_transform():
    data = torch.zeros(1, 1, 1, 9, dtype=torch.float64)
    data[..., 6] = 1
    grid = Grid.from_spacing((1, 1, 9))
    moved = resample(Image(data, grid), grid, transform=Linear.translation((2.0, 0.0, 0.0)))
    assert int(moved.data.argmax()) == 4  # fixed point 4 maps to moving point 6


def test_two_linear_maps_are_taken_in_one_step(image):
    a, b = MAPS["affine"], Linear.rotation((0.0, 0.0, 5.0), centre_mm=(0.0, 0.0, 0.0))
    chained = Bend(0.0) @ a @ b
    like = LIKES["oblique"]
    one = resample(image, like, transform=a @ b)
    two = resample(image, like, transform=chained)
    torch.testing.assert_close(one.data, two.data, rtol=0, atol=1e-11)


class Bend(Transform):
    """A map that is not linear, for the tests: L grows by amount * sin(P / 5)."""

    def __init__(self, amount):
        self.amount = amount

    def __call__(self, points_mm):
        left, posterior, superior = points_mm.unbind(-1)
        return torch.stack(
            [left + self.amount * torch.sin(posterior / 5), posterior, superior], dim=-1
        )

    def inverse(self):
        return Bend(-self.amount)

    def jacobian(self, points_mm):
        out = torch.eye(3, dtype=points_mm.dtype).repeat(*points_mm.shape[:-1], 1, 1)
        out[..., 0, 1] = self.amount / 5 * torch.cos(points_mm[..., 1] / 5)
        return out


@pytest.mark.parametrize("interpolation", ["linear", "cubic", "nearest"])
def test_follows_a_transform_that_bends(image, interpolation):
    like = LIKES["oblique"]
    out = resample(image, like, transform=Bend(2.0), interpolation=interpolation, anti_alias=False)
    index = torch.from_numpy(np.indices(like.shape).reshape(3, -1).T.astype(float))
    at = image.grid.to_index(Bend(2.0)(like.to_world(index)))
    theirs = ndi.map_coordinates(
        image.data[0].numpy(), at.T.numpy(), order=ORDER[interpolation], mode="nearest"
    )
    assert np.abs(out.data[0].numpy().ravel() - theirs).max() < 1e-5


def test_derivatives_reach_the_samples_and_the_transform(generator):
    data = torch.rand(1, 3, 4, 3, generator=generator, dtype=torch.float64, requires_grad=True)
    grid = oblique_grid((3, 4, 3), (1.0, 1.1, 0.9))
    like = grid.crop((0, 1, 0), (2, 2, 3))

    def f(samples, shift):
        offset = torch.cat([shift, shift.new_zeros(1)])
        column = torch.tensor([[0.0, 0.0, 0.0, 1.0]], dtype=torch.float64)
        matrix = torch.eye(4, dtype=torch.float64) + offset[:, None] * column
        moved = resample(Image(samples, grid), like, transform=Linear(matrix).inverse())
        return moved.data

    shift = torch.tensor([0.21, -0.13, 0.17], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(f, (data, shift))


def test_smooths_only_the_axes_that_are_downsampled():
    grid = Grid.from_spacing((20, 20, 20), (1.0, 1.0, 2.0))
    like = Grid.from_spacing((5, 20, 10), (4.0, 1.0, 1.0))
    z, y, x = anti_alias_sigma(grid, like)
    assert z == pytest.approx(math.sqrt((4**2 - 1) / (8 * math.log(2))))
    assert (y, x) == (0.0, 0.0)


def test_smooths_by_the_stated_gaussian(image):
    like = centred_grid(image.grid, (6.0, 3.0, 0.9))
    smooth = image.map(lambda x: gaussian(x, anti_alias_sigma(image.grid, like)))
    plain = resample(smooth, like, anti_alias=False)
    torch.testing.assert_close(resample(image, like).data, plain.data)


def test_smooths_nothing_for_nearest(image):
    like = centred_grid(image.grid, (6.0, 3.0, 3.0))
    out = resample(image, like, interpolation="nearest")
    assert torch.isin(out.data, image.data).all()


def test_a_rotation_alone_smooths_nothing():
    grid = Grid.from_spacing((9, 9, 9), (1.0, 1.0, 1.0))
    turned = Linear.rotation((20.0, 30.0, 40.0), centre_mm=(4.0, 4.0, 4.0))
    assert anti_alias_sigma(grid, grid, transform=turned) == (0.0, 0.0, 0.0)


def test_a_transform_that_shrinks_counts_as_downsampling():
    grid = Grid.from_spacing((9, 9, 9))
    matrix = torch.diag(torch.tensor([3.0, 1.0, 1.0, 1.0], dtype=torch.float64))
    z, y, x = anti_alias_sigma(grid, grid, transform=Linear(matrix))
    assert (z, y) == (0.0, 0.0)
    assert x == pytest.approx(math.sqrt(8 / (8 * math.log(2))))


def test_anti_aliasing_takes_out_what_the_new_grid_cannot_hold():
    stripes = (torch.arange(64, dtype=torch.float64) % 2 * 2 - 1).expand(1, 1, 1, 64)
    image = Image(stripes.contiguous(), Grid.from_spacing((1, 1, 64)))
    like = Grid.from_spacing((1, 1, 16), (1.0, 1.0, 4.0))
    assert resample(image, like, anti_alias=False).data.abs().min() == 1
    assert resample(image, like).data[..., 2:-2].abs().max() < 1e-4


def test_fill_begins_at_the_outer_faces_of_the_voxels():
    image = Image(torch.ones(1, 4, 4, 4), Grid.from_spacing((4, 4, 4), (2.0, 2.0, 2.0)))
    like = Grid.from_spacing((1, 1, 40), (1.0, 1.0, 0.25), origin_mm=(-2.0, 3.0, 3.0))
    filled = resample(image, like, fill=-9.0).data.flatten()
    # voxels reach from -1 mm to 7 mm
    position = torch.arange(40) * 0.25 - 2.0
    inside = (position >= -1.0) & (position <= 7.0)
    assert torch.equal(filled != -9.0, inside)
    assert (resample(image, like).data == 1).all()


@pytest.mark.parametrize("interpolation", ["linear", "cubic"])
def test_refuses_to_average_integers(interpolation):
    image = Image(torch.zeros(1, 2, 2, 2, dtype=torch.int16), Grid.from_spacing((2, 2, 2)))
    with pytest.raises(UnitError, match=r"image\.map\(lambda x: x\.float\(\)\)"):
        resample(image, image.grid, interpolation=interpolation)


def test_takes_integers_by_nearest_neighbour():
    image = Image(
        torch.arange(8, dtype=torch.int16).reshape(1, 2, 2, 2), Grid.from_spacing((2,) * 3)
    )
    out = resample(image, Grid.from_spacing((4, 4, 4), (0.5,) * 3), interpolation="nearest")
    assert out.dtype == torch.int16
    assert out.data.unique().tolist() == list(range(8))


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_refuses_samples_that_a_spline_would_spread(value):
    data = torch.zeros(1, 3, 3, 3)
    data[0, 1, 1, 1] = value
    image = Image(data, Grid.from_spacing((3, 3, 3)))
    with pytest.raises(IntensityError, match="cubic interpolation needs finite samples"):
        resample(image, image.grid, interpolation="cubic")


def blobs(generator):
    seeds = torch.rand(1, 12, 14, 16, generator=generator, dtype=torch.float64)
    smooth = gaussian(seeds, (2.0, 2.0, 2.0))
    edges = torch.quantile(smooth.flatten(), torch.tensor([0.4, 0.7], dtype=torch.float64))
    return torch.bucketize(smooth, edges).to(torch.int16)


@pytest.mark.parametrize("method", ["nearest", "onehot"])
@pytest.mark.parametrize("name", ["identity", "affine"])
def test_labels_are_picked_never_averaged(method, name, generator):
    labels = Labels(blobs(generator) * 50, Grid.from_spacing((12, 14, 16), (3.0, 1.0, 1.0)))
    like = centred_grid(labels.grid, (1.0, 1.0, 1.0))
    out = resample_labels(labels, like, transform=MAPS[name], method=method)
    assert out.data.dtype == torch.int16
    assert set(out.data.unique().tolist()) <= {0, 50, 100}


def test_labels_by_nearest_agree_with_simpleitk(generator):
    grid = oblique_grid((12, 14, 16), (3.0, 1.0, 1.0))
    labels = Labels(blobs(generator), grid)
    like = oblique_grid((13, 15, 17), (2.0, 1.1, 0.8), (3.0, 5.0, -8.0), (6.0, -5.0, 33.0))
    out = resample_labels(labels, like, transform=MAPS["affine"])
    theirs = sitk_resample(labels.data[0], grid, like, MAPS["affine"], "nearest", 0)
    assert torch.equal(out.data[0].long(), theirs.long())


def test_onehot_is_the_largest_of_the_interpolated_indicators(generator):
    labels = Labels(blobs(generator), oblique_grid((12, 14, 16), (3.0, 1.0, 1.0)))
    like = labels.grid.crop((1, 1, 1), (9, 9, 9))
    move = Linear.translation((0.3, 0.2, 0.4))
    out = resample_labels(labels, like, transform=move, method="onehot")
    shares = torch.cat(
        [
            resample(Image((labels.data == v).double(), labels.grid), like, transform=move).data
            for v in (0, 1, 2)
        ]
    )
    assert torch.equal(out.data[0].long(), shares.argmax(dim=0))


def test_labels_follow_a_transform_that_bends(generator):
    labels = Labels(blobs(generator), Grid.from_spacing((12, 14, 16)), {(0, 1): "shell"})
    image = Image(labels.data.clone(), labels.grid)
    out = resample_labels(labels, labels.grid, transform=Bend(2.0))
    same = resample(image, labels.grid, transform=Bend(2.0), interpolation="nearest", fill=0)
    assert torch.equal(out.data, same.data)
    assert out.names == {(0, 1): "shell"}


@pytest.mark.parametrize("method", ["nearest", "onehot"])
def test_labels_are_background_outside(method):
    labels = Labels(torch.ones(1, 3, 3, 3, dtype=torch.uint8), Grid.from_spacing((3, 3, 3)))
    like = labels.grid.crop((-2, -2, -2), (7, 7, 7))
    out = resample_labels(labels, like, method=method)
    assert int(out.data.sum()) == 27


def test_layers_are_resampled_by_themselves():
    data = torch.zeros(2, 3, 3, 3, dtype=torch.uint8)
    data[1] = 4
    out = resample_labels(Labels(data, Grid.from_spacing((3, 3, 3))), Grid.from_spacing((2, 2, 2)))
    assert out.values == ((1, 4),)


@pytest.mark.parametrize(
    ("n", "old", "new", "expected"),
    [
        (10, 3.0, 2.0, 15),
        (10, 0.3, 0.1, 30),
        (7, 0.7, 0.1, 49),
        (204, 0.977, 2.0, 100),
        (1, 1, 5, 1),
    ],
)
def test_centred_grid_has_as_many_samples_as_ibsi_says(n, old, new, expected):
    grid = Grid.from_spacing((5, n, n), (1.0, old, old))
    assert centred_grid(grid, (1.0, new, new)).shape == (5, expected, expected)


def test_centred_grid_keeps_the_centre_and_the_directions():
    grid = oblique_grid((12, 20, 31), (3.0, 0.97, 0.97))
    new = centred_grid(grid, (2.0, 2.0, 2.0))
    for g in (grid, new):
        middle = (torch.tensor(g.shape, dtype=torch.float64) - 1) / 2
        g_centre = g.to_world(middle)
        torch.testing.assert_close(
            g_centre, grid.to_world((torch.tensor(grid.shape, dtype=torch.float64) - 1) / 2)
        )
    torch.testing.assert_close(new.direction, grid.direction)
    assert new.spacing_mm == pytest.approx((2.0, 2.0, 2.0))


def test_centred_grid_keeps_the_z_axis_of_a_flat_image():
    new = centred_grid(Grid.from_spacing((1, 10, 10), (7.0, 1.0, 1.0)), (2.0, 2.0, 2.0))
    assert new.shape == (1, 5, 5)
    assert new.spacing_mm == (7.0, 2.0, 2.0)


@pytest.mark.parametrize("bad", [0.0, -1.0, math.nan, math.inf])
def test_centred_grid_refuses_a_spacing_that_is_not_positive(bad):
    with pytest.raises(GeometryError, match="spacing_mm must be positive"):
        centred_grid(Grid.from_spacing((2, 2, 2)), (1.0, bad, 1.0))


@pytest.mark.gpu
def test_gives_the_same_on_the_gpu(image, generator):
    like = LIKES["oblique"]
    options = {"transform": MAPS["affine"], "interpolation": "cubic"}
    cpu, gpu = resample(image, like, **options), resample(image.to("cuda"), like, **options)
    assert (gpu.data.cpu() - cpu.data).abs().max() < 1e-9
    labels = Labels(blobs(generator), Grid.from_spacing((12, 14, 16)))
    one = resample_labels(labels, like, method="onehot")
    two = resample_labels(labels.to("cuda"), like, method="onehot")
    assert torch.equal(two.data.cpu(), one.data)

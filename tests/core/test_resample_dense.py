"""Resampling through fields: whole grids at once, the same as point by point and as SimpleITK."""

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from vesalius.core import (
    BSpline,
    Displacement,
    Grid,
    Image,
    Labels,
    Linear,
    Transform,
    Velocity,
    resample,
    resample_labels,
)
from vesalius.core._resample import anti_alias_sigma
from vesalius.ops._filters import gaussian
from vesalius.ops._sampling import sample

LINE = Linear.rigid((5.0, -4.0, 3.0), (1.0, 2.0, -1.0), centre_mm=(10.0, 10.0, 10.0))


def oblique(shape, spacing_mm, turn=(6.0, -8.0, 10.0)):
    straight = Grid.from_spacing(shape, spacing_mm, origin_mm=(3.0, 4.0, 5.0))
    return Grid(shape, Linear.rotation(turn, centre_mm=(9.0, 9.0, 9.0)).matrix @ straight.affine)


GRID = oblique((14, 15, 16), (2.0, 1.5, 1.0))
OTHER = oblique((9, 12, 11), (1.4, 1.6, 1.2), (1.0, 2.0, 3.0))


def moves():
    generator = torch.Generator().manual_seed(3)
    field = gaussian(torch.randn(3, 14, 15, 16, generator=generator), (2.0, 2.0, 2.0)) * 10
    field = field + 1
    control = Grid.from_spacing((6, 6, 6), (9.0, 9.0, 9.0), origin_mm=(-10.0, -10.0, -10.0))
    spline = BSpline(torch.randn(3, 6, 6, 6, generator=generator, dtype=torch.float64), control)
    dense, flowing = Displacement(field, GRID), Velocity(field, GRID)
    return {
        "displacement": dense,
        "zero border": Displacement(field, GRID, "zero"),
        "velocity": flowing,
        "bspline": spline,
        "linear after": LINE @ dense,
        "linear before": dense @ LINE,
        "between": LINE @ dense @ LINE,
        "two fields": flowing @ dense @ LINE,
        "spline then field": dense @ spline,
        "field then spline": spline @ dense,
        "inverse": spline.inverse(),
    }


MOVES = moves()


def point_by_point(image, like, move, *, interpolation="linear", border="nearest", fill=0.0):
    axes = [torch.arange(n, dtype=torch.float64) for n in like.shape]
    points = like.to_world(torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1))
    at = image.grid.to_index(move(points))
    return sample(image.data, at, interpolation=interpolation, border=border, fill=fill)


@pytest.fixture
def image(generator):
    return Image(torch.rand(2, *GRID.shape, generator=generator), GRID, "HU", ("a", "b"))


@pytest.mark.parametrize("name", list(MOVES))
@pytest.mark.parametrize("like", [GRID, OTHER], ids=["same", "other"])
def test_agrees_with_point_by_point(name, like, image):
    move = MOVES[name]
    found = resample(image, like, transform=move, anti_alias=False)
    assert (found.unit, found.channels, found.dtype) == ("HU", ("a", "b"), torch.float32)
    expected = point_by_point(image, like, move)
    torch.testing.assert_close(found.data, expected, rtol=0, atol=1e-5)
    filled = resample(image, like, transform=move, anti_alias=False, fill=7.0)
    expected = point_by_point(image, like, move, border="extent", fill=7.0)
    torch.testing.assert_close(filled.data, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ["displacement", "between", "bspline"])
@pytest.mark.parametrize("interpolation", ["cubic", "nearest"])
def test_other_interpolations_agree_with_point_by_point(name, interpolation, image):
    move = MOVES[name]
    found = resample(
        image, OTHER, transform=move, anti_alias=False, interpolation=interpolation
    ).data
    expected = point_by_point(image, OTHER, move, interpolation=interpolation)
    assert float(((found - expected).abs() > 1e-5).double().mean()) < 0.001


@pytest.mark.parametrize("name", ["displacement", "linear after", "velocity"])
@pytest.mark.parametrize("method", ["nearest", "onehot"])
def test_labels_follow_the_same_way(name, method, generator):
    values = torch.randint(0, 4, (1, *GRID.shape), generator=generator, dtype=torch.int16)
    labels = Labels(values, GRID)
    found = resample_labels(labels, OTHER, transform=MOVES[name], method=method).data
    if method == "nearest":
        expected = point_by_point(
            labels, OTHER, MOVES[name], interpolation="nearest", border="extent"
        )
    else:
        shares = torch.stack([(values[0] == v).float() for v in range(4)])
        shares = point_by_point(Image(shares, GRID), OTHER, MOVES[name], border="extent")
        expected = shares.argmax(dim=0, keepdim=True)
    assert float((found != expected).double().mean()) < 0.002


def test_agrees_with_simpleitk(image):
    move = Displacement(MOVES["displacement"].data.double(), GRID, "zero")

    def described(picture, grid):
        picture.SetSpacing(grid.spacing_mm[::-1])
        picture.SetOrigin(grid.origin_mm)
        picture.SetDirection(grid.direction.flip(1).flatten().tolist())
        return picture

    field = sitk.GetImageFromArray(move.data.movedim(0, -1).contiguous().numpy(), isVector=True)
    theirs = sitk.DisplacementFieldTransform(described(field, GRID))
    moving = described(sitk.GetImageFromArray(image.data[0].double().numpy()), GRID)
    target = described(sitk.Image(*OTHER.shape[::-1], sitk.sitkFloat64), OTHER)
    expected = sitk.GetArrayFromImage(sitk.Resample(moving, target, theirs, sitk.sitkLinear, -9.0))
    found = resample(image, OTHER, transform=move, anti_alias=False, fill=-9.0).data[0].numpy()
    assert 0 < (expected == -9).mean() < 0.9
    assert (np.abs(found - expected) > 1e-4).mean() < 0.002  # the rim is theirs or ours to fill


def test_derivatives_flow_to_samples_and_to_every_parameter(image):
    small = Grid.from_spacing((3, 3, 3), (3.0, 3.0, 3.0), origin_mm=(8.0, 9.0, 10.0))
    samples = image.data.double().requires_grad_()
    field = MOVES["displacement"].data.double().requires_grad_()
    bend = MOVES["bspline"].coefficients.clone().requires_grad_()
    turn = LINE.matrix[:3, :3].clone().requires_grad_()

    def job(samples, field, bend, turn):
        line = Linear.affine(turn, (0.1, 0.2, 0.3), centre_mm=(9.0, 9.0, 9.0))
        chain = line @ Displacement(field, GRID) @ BSpline(bend, MOVES["bspline"].grid) @ line
        return resample(Image(samples, GRID), small, transform=chain, anti_alias=False).data

    assert torch.autograd.gradcheck(job, (samples, field, bend, turn), fast_mode=True)


def test_an_unknown_transform_is_asked_point_by_point(image):
    class Bent(Transform):
        def __call__(self, points_mm):
            left, posterior, superior = points_mm.unbind(-1)
            return torch.stack([left + 0.01 * posterior**2, posterior, superior], dim=-1)

        def inverse(self):
            raise AssertionError("nobody asks for it")

        def jacobian(self, points_mm):
            return torch.eye(3, dtype=points_mm.dtype).expand(*points_mm.shape, 3)

    for move in (Bent(), LINE @ Bent() @ MOVES["displacement"]):
        found = resample(image, OTHER, transform=move, anti_alias=False).data
        torch.testing.assert_close(found, point_by_point(image, OTHER, move), rtol=0, atol=1e-5)


def test_one_slice_moves_in_its_plane(generator):
    grid = Grid.from_spacing((1, 20, 20), (5.0, 1.0, 1.0))
    data = torch.zeros(3, 1, 20, 20)
    data[0] = 2.0
    image = Image(torch.rand(1, 1, 20, 20, generator=generator), grid)
    found = resample(image, grid, transform=Displacement(data, grid)).data
    assert torch.equal(found[..., :18], image.data[..., 2:])


@pytest.mark.gpu
@pytest.mark.parametrize("name", ["displacement", "between", "velocity", "bspline"])
def test_the_gpu_agrees_with_the_cpu(name, image):
    expected = resample(image, OTHER, transform=MOVES[name], anti_alias=False).data
    there = Image(image.data.cuda(), GRID)
    found = resample(there, OTHER, transform=MOVES[name], anti_alias=False).data
    assert found.is_cuda
    torch.testing.assert_close(found.cpu(), expected, rtol=1e-4, atol=1e-4)


def test_a_stretch_in_one_place_is_no_downsampling():
    grid = Grid.from_spacing((16, 16, 16))
    z, y, x = torch.meshgrid(*[torch.arange(16.0) - 7.5] * 3, indexing="ij")
    bump = torch.exp(-(z**2 + y**2 + x**2) / 8)
    swelling = Displacement(0.9 * torch.stack([x, y, z]) * bump, grid)
    middle = torch.full((1, 3), 7.5, dtype=torch.float64)
    assert float(swelling.jacobian(middle)[0, 0, 0]) > 1.5
    assert anti_alias_sigma(grid, grid, transform=swelling) == (0.0, 0.0, 0.0)
    twice = Linear.affine(2 * torch.eye(3), (0.0, 0.0, 0.0), centre_mm=(7.5, 7.5, 7.5))
    field = twice.to_field(grid)
    assert anti_alias_sigma(grid, grid, transform=field) == pytest.approx(
        anti_alias_sigma(grid, grid, transform=twice)
    )

"""Radiographs from a CT: the projector's numbers, their derivatives, and a pose found again."""

import pytest
import torch

from vesalius.core import Grid, Image, Linear
from vesalius.errors import GeometryError, ShapeError, UnitError
from vesalius.physics.ct import Projector, cone, drr, parallel
from vesalius.physics.quality import mu_water

GRID = Grid.from_spacing((10, 12, 14), (1.1, 0.9, 1.2), origin_mm=(-7.8, -5.0, -5.0))
VIEWS = cone(
    torch.tensor([10.0, 95.0, 200.0]),
    shape=(8, 9),
    pitch_mm=(2.0, 2.1),
    source_mm=60.0,
    detector_mm=90.0,
)
STILL = torch.zeros(6)


def blob(dtype=torch.float64, unit="1/mm"):
    """A smooth lump without symmetry."""
    z, y, x = torch.meshgrid(*(torch.arange(n, dtype=dtype) for n in GRID.shape), indexing="ij")
    lump = torch.exp(-((z - 5.1) ** 2 / 9 + (y - 4.7) ** 2 / 7 + (x - 7.9) ** 2 / 14))
    lump = lump + 0.7 * torch.exp(-((z - 3) ** 2 + (y - 8) ** 2 + (x - 4) ** 2) / 6)
    return Image(0.03 * lump[None], GRID, unit)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_is_the_projector_then_beer_lambert(dtype):
    image = blob(dtype)
    integral = Projector(VIEWS, GRID)(image.data[0])
    found = drr(image, VIEWS, pose=STILL, quantity="line integral")
    assert found.data.dtype == dtype
    assert float((found.data - integral).abs().max() / integral.max()) < 1e-4
    light = drr(image, VIEWS, pose=STILL)
    assert light.quantity == "transmission"
    torch.testing.assert_close(light.data, torch.exp(-found.data))
    assert 0 < float(light.data.min()) < float(light.data.max()) <= 1


def test_a_moved_patient_is_a_detector_moved_the_other_way():
    pose = torch.tensor([7.0, -4.0, 12.0, 1.5, -0.8, 2.2], dtype=torch.float64)
    placed = Linear.translation((1.5, -0.8, 2.2)) @ Linear.rotation(
        (7.0, -4.0, 12.0), centre_mm=VIEWS.isocentre_mm
    )
    opposite = VIEWS.moved(placed.inverse())
    image = blob()
    expected = Projector(opposite, GRID)(image.data[0])
    found = drr(image, VIEWS, pose=pose, quantity="line integral").data
    torch.testing.assert_close(found, expected)


def test_a_patient_moved_along_the_rays_of_a_parallel_beam_looks_the_same():
    beam = parallel(torch.tensor([0.0]), shape=(8, 9), pitch_mm=(2.0, 2.1))
    image = blob()
    pose = torch.tensor([0.0, 0.0, 0.0, 25.0, 0.0, 0.0])
    torch.testing.assert_close(drr(image, beam, pose=pose).data, drr(image, beam, pose=STILL).data)


def test_hounsfield_units_become_attenuation_and_what_is_below_air_is_air():
    hu = Image(torch.full((1, *GRID.shape), 0.0), GRID, "HU")
    hu.data[0, :, :6] = -2000.0
    mu = Image(torch.full((1, *GRID.shape), mu_water(70.0)), GRID, "1/mm")
    mu.data[0, :, :6] = 0.0
    torch.testing.assert_close(
        drr(hu, VIEWS, pose=STILL, kev=70.0).data, drr(mu, VIEWS, pose=STILL).data
    )


def test_derivatives_in_image_and_pose_are_right(generator):
    view = VIEWS.take(slice(1, 2))
    image = blob()
    pose = torch.tensor([3.0, -2.0, 4.0, 0.5, 0.3, -0.7], dtype=torch.float64)
    weights = torch.rand(view.codomain, generator=generator, dtype=torch.float64)

    def shown(x, pose):
        return (weights * drr(Image(x, GRID, "1/mm"), view, pose=pose).data).sum()

    inputs = (image.data.clone().requires_grad_(), pose.requires_grad_())
    assert torch.autograd.gradcheck(shown, inputs, eps=1e-7, atol=1e-6, fast_mode=True)
    (gradient,) = torch.autograd.grad(shown(image.data, pose), pose)
    for i in range(6):
        step = torch.zeros(6, dtype=torch.float64)
        step[i] = 1e-6
        with torch.no_grad():
            slope = (shown(image.data, pose + step) - shown(image.data, pose - step)) / 2e-6
        assert float(gradient[i]) == pytest.approx(float(slope), rel=1e-4, abs=1e-7)
        assert abs(float(slope)) > 1e-6


def test_the_derivative_in_the_image_is_the_adjoint():
    x = blob().data.requires_grad_()
    found = drr(Image(x, GRID, "1/mm"), VIEWS, pose=STILL, quantity="line integral", memory_mb=1)
    y = torch.rand_like(found.data)
    (gradient,) = torch.autograd.grad(found.data, x, y)
    torch.testing.assert_close(gradient[0], Projector(VIEWS, GRID).H(y), rtol=1e-6, atol=1e-6)


def test_asking_for_derivatives_does_not_change_the_view():
    image = blob()
    for beam in (VIEWS, parallel(torch.tensor([0.0, 50.0]), shape=(8, 9), pitch_mm=(2.0, 2.1))):
        pose = torch.tensor([3.0, 2.0, 1.0, 0.0, 1.0, 0.0])
        plain = drr(image, beam, pose=pose).data
        graphed = drr(image, beam, pose=pose.requires_grad_()).data
        assert graphed.requires_grad
        assert not plain.requires_grad
        torch.testing.assert_close(graphed.detach(), plain)


def test_blocks_within_the_memory_give_the_same():
    image = blob()
    pose = torch.tensor([3.0, 2.0, 1.0, 0.0, 1.0, 0.0], requires_grad=True)
    torch.testing.assert_close(
        drr(image, VIEWS, pose=pose, memory_mb=1).data, drr(image, VIEWS, pose=pose).data
    )


def test_a_known_pose_is_found_again_by_its_gradient():
    image = blob()
    truth = torch.tensor([4.0, -3.0, 5.0, 1.0, -1.5, 0.8], dtype=torch.float64)
    two = VIEWS.take(slice(0, 2))
    seen = drr(image, two, pose=truth, quantity="line integral").data
    size = torch.tensor([12.0] * 3 + [1.0] * 3, dtype=torch.float64)  # 12 degrees move as 1 mm does
    x = torch.zeros(6, dtype=torch.float64, requires_grad=True)
    descent = torch.optim.LBFGS([x], max_iter=20, line_search_fn="strong_wolfe")

    def misfit():
        descent.zero_grad()
        shown = drr(image, two, pose=size * x, quantity="line integral").data
        loss = 1e3 * (shown - seen).square().mean()
        loss.backward()
        return loss.detach()

    descent.step(misfit)
    torch.testing.assert_close(size * x.detach(), truth, rtol=0.0, atol=0.01)


@pytest.mark.gpu
def test_a_gpu_shows_the_same():
    image, pose = blob(torch.float32), torch.tensor([3.0, 2.0, 1.0, 0.0, 1.0, 0.0])
    found = drr(image.to("cuda"), VIEWS, pose=pose.cuda())
    assert found.data.is_cuda
    torch.testing.assert_close(found.data.cpu(), drr(image, VIEWS, pose=pose).data)


def test_refuses_an_unknown_unit():
    with pytest.raises(UnitError, match="a radiograph needs an image in HU or 1/mm"):
        drr(blob(unit="SUV"), VIEWS, pose=STILL)


def test_refuses_integers():
    image = Image(torch.zeros(1, *GRID.shape, dtype=torch.int16), GRID, "HU")
    with pytest.raises(UnitError, match="a radiograph needs float32 or float64 samples"):
        drr(image, VIEWS, pose=STILL)


def test_refuses_two_channels():
    image = Image(torch.zeros(2, *GRID.shape), GRID, "HU")
    with pytest.raises(ShapeError, match="a radiograph needs an image of one channel"):
        drr(image, VIEWS, pose=STILL)


def test_refuses_a_pose_of_five_numbers():
    with pytest.raises(ShapeError, match="pose must have six numbers"):
        drr(blob(), VIEWS, pose=torch.zeros(5))


def test_refuses_a_pose_that_is_not_finite():
    with pytest.raises(GeometryError, match="pose must be finite"):
        drr(blob(), VIEWS, pose=torch.full((6,), torch.nan))


def test_refuses_a_sheared_grid():
    affine = GRID.affine.clone()
    affine[0, 1] = 0.5
    image = Image(torch.zeros(1, *GRID.shape), Grid(GRID.shape, affine), "HU")
    with pytest.raises(GeometryError, match="a radiograph needs a grid with axes at right angles"):
        drr(image, VIEWS, pose=STILL)


def test_refuses_no_memory():
    with pytest.raises(GeometryError, match="memory_mb must be at least 1 MiB"):
        drr(blob(), VIEWS, pose=STILL, memory_mb=0)

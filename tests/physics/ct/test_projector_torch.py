"""The projector in torch: the numbers of the compiled loops, on any device."""

import pytest
import torch

from vesalius.core import Grid, Linear
from vesalius.physics.ct import Projector, cone, fan, helical, parallel, tomosynthesis
from vesalius.physics.ct._joseph_rays import RayTraversal, index_rays
from vesalius.physics.ct._projector_torch import Rays, TorchTraversal, line_integrals

ANGLES = torch.arange(0.0, 360.0, 45.0)  # with the diagonals, where x and y tie
SOME = {"shape": (9, 11), "pitch_mm": (1.9, 2.1)}
NEAR = {"source_mm": 30.0, "detector_mm": 50.0}
GRID = Grid.from_spacing((9, 12, 14), (1.1, 0.9, 1.2), origin_mm=(-7.0, -5.0, -4.0))
TILT = Linear.rotation((8.0, -50.0, 1.0), centre_mm=(0.0, 0.0, 0.0))
GEOMETRIES = {
    "parallel": parallel(ANGLES, **SOME),
    "parallel, one row": parallel(ANGLES, shape=(1, 11), pitch_mm=(1.9, 2.1)),
    "fan": fan(ANGLES, **SOME, **NEAR),
    "fan on an arc": fan(ANGLES, arc=True, **SOME, **NEAR),
    "cone": cone(ANGLES, offset_mm=(0.4, 3.0), **SOME, **NEAR),
    "cone on an arc": cone(ANGLES, arc=True, **SOME, **NEAR),
    "helix": helical(cone(2 * ANGLES, **SOME, **NEAR), pitch_mm_per_turn=6.0),
    "tomosynthesis": tomosynthesis(torch.tensor([-20.0, 0.0, 17.0]), **SOME, **NEAR),
    "leaning": cone(ANGLES, **SOME, **NEAR).moved(TILT),
    "source in the volume": cone(ANGLES, source_mm=4.0, detector_mm=50.0, **SOME),
}
each = pytest.mark.parametrize("name", GEOMETRIES)


@each
def test_agrees_with_the_compiled_loops(name, generator):
    geometry = GEOMETRIES[name]
    compiled, torched = Projector(geometry, GRID), TorchTraversal(geometry, GRID)
    for dtype, bar in ((torch.float64, 1e-8), (torch.float32, 1e-4)):
        x = torch.rand(2, *GRID.shape, generator=generator, dtype=dtype)
        y = torch.rand(2, *geometry.codomain, generator=generator, dtype=dtype)
        ax, ay = compiled(x), compiled.H(y)
        assert float((torched.forward(x) - ax).abs().max() / ax.abs().max()) < bar
        assert float((torched.back(y) - ay).abs().max() / ay.abs().max()) < bar


@each
def test_the_adjoint_is_exact(name, generator):
    torched = TorchTraversal(GEOMETRIES[name], GRID)
    for dtype, bar in ((torch.float64, 1e-12), (torch.float32, 1e-5)):
        x = torch.randn(1, *GRID.shape, generator=generator, dtype=dtype)
        ax = torched.forward(x)
        y = torch.randn(ax.shape, generator=generator, dtype=dtype)
        ay = torched.back(y).double()
        left, right = (ax.double() * y).sum(), (ay * x).sum()
        assert float((left - right).abs() / (ax.double().norm() * y.norm())) < bar
        assert ax.dtype == dtype


def test_less_memory_gives_the_same(generator):
    geometry = GEOMETRIES["leaning"]
    x = torch.rand(1, *GRID.shape, generator=generator, dtype=torch.float64)
    y = torch.rand(1, *geometry.codomain, generator=generator, dtype=torch.float64)
    wide = TorchTraversal(geometry, GRID)
    narrow = TorchTraversal(geometry, GRID, memory_mb=1)
    torch.testing.assert_close(narrow.forward(x), wide.forward(x))
    torch.testing.assert_close(narrow.back(y), wide.back(y))


def some_rays(generator):
    """Eight oblique rays of all three kinds through a small grid."""
    start, step = index_rays(GEOMETRIES["leaning"], GRID, slice(0, 8))
    which = torch.randperm(len(start), generator=generator)[:8]
    return start[which], step[which]


def test_derivatives_in_image_and_rays_are_right(generator):
    start, step = some_rays(generator)
    x = torch.rand(1, *GRID.shape, generator=generator, dtype=torch.float64)

    def along(x, start, step):
        return line_integrals(x, Rays(start, step, True))

    inputs = [t.requires_grad_() for t in (x, start, step)]
    assert torch.autograd.gradcheck(along, inputs, eps=1e-7, atol=1e-5, fast_mode=True)


def test_working_out_again_gives_the_same_derivative(generator):
    start, step = some_rays(generator)
    x = torch.rand(1, *GRID.shape, generator=generator, dtype=torch.float64).requires_grad_()
    gradients = []
    for keep in (True, False):
        total = line_integrals(x, Rays(start, step, True), memory_mb=1, keep=keep).square().sum()
        gradients.append(torch.autograd.grad(total, x)[0])
    assert gradients[0].abs().max() > 0
    assert torch.equal(*gradients)


def test_rays_that_miss_read_nothing():
    x = torch.ones(1, *GRID.shape)
    away = Rays(
        torch.tensor([[0.0, 0.0, 40.0]]).double(), torch.tensor([[0.0, 1.0, 0.2]]).double(), False
    )
    assert float(line_integrals(x, away)) == 0.0


@pytest.mark.gpu
@each
def test_a_gpu_agrees_with_the_cpu(name, generator):
    project = Projector(GEOMETRIES[name], GRID)
    x = torch.rand(GRID.shape, generator=generator)
    y = torch.rand(project.codomain, generator=generator)
    assert project(x.cuda()).is_cuda
    torch.testing.assert_close(project(x.cuda()).cpu(), project(x), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(project.H(y.cuda()).cpu(), project.H(y), rtol=1e-4, atol=1e-4)


@pytest.mark.gpu
def test_footprints_come_back_to_the_gpu(generator):
    project = Projector(GEOMETRIES["cone"], GRID, "footprint")
    x = torch.rand(GRID.shape, generator=generator)
    assert torch.equal(project(x.cuda()).cpu(), project(x))


def test_the_way_ray_by_ray_is_the_same_too(generator):
    geometry = GEOMETRIES["leaning"]
    x = torch.rand(1, *GRID.shape, generator=generator, dtype=torch.float64)
    expected = RayTraversal(geometry, GRID).forward(x)
    torch.testing.assert_close(TorchTraversal(geometry, GRID).forward(x), expected)

"""One contract for every regulariser and every smoother of the room, found automatically."""

import functools
import importlib
import inspect
import re
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import vesalius.register
from vesalius.core import Grid, Image, Linear
from vesalius.errors import ConfigError, GeometryError, IntensityError, ShapeError
from vesalius.register.regularise import (
    Curvature,
    Diffusion,
    InverseConsistency,
    LocalRegulariser,
    Regulariser,
    Rigidity,
    Smoother,
    Varying,
    VolumePreserving,
)

SHAPE = (6, 5, 4)
GRID = Grid.from_spacing(SHAPE, (3.0, 1.0, 2.0))
PLANE = Grid.from_spacing((1, 7, 6), (5.0, 1.0, 2.0))


def ramp(grid: Grid) -> Image:
    data = torch.linspace(0.2, 1.0, grid.shape[0] * grid.shape[1] * grid.shape[2])
    return Image(data.reshape(1, *grid.shape).double(), grid)


def world() -> Image:
    """A region of ones that covers both grids."""
    return Image(torch.ones(1, 8, 8, 8), Grid.from_spacing((8, 8, 8), (4.0, 2.0, 2.0)))


MAKERS = {
    "InverseConsistency": lambda: InverseConsistency(Linear.identity()),
    "Rigidity": lambda: Rigidity(world()),
    "Varying": lambda: Varying(Diffusion(2.0), world()),
    "VolumePreserving": lambda: VolumePreserving(world()),
}


@functools.cache
def finals(interface: type) -> tuple[type, ...]:
    """Find every final class of an interface in the room."""
    for path in sorted(Path(vesalius.register.__path__[0]).glob("*.py")):
        if re.search(r"^class \w+\(.*(Regulariser|Smoother)\)", path.read_text(), re.MULTILINE):
            importlib.import_module(f"vesalius.register.{path.stem}")
    found, todo = set(), [interface]
    while todo:
        children = todo.pop().__subclasses__()
        todo += children
        found.update(c for c in children if c.__module__.startswith("vesalius."))
    # a dataclass with slots is made twice: only the second can be reached by its name
    found = {c for c in found if getattr(sys.modules[c.__module__], c.__name__, None) is c}
    return tuple(sorted((c for c in found if not inspect.isabstract(c)), key=lambda c: c.__name__))


def make(kind: type):
    return MAKERS.get(kind.__name__, kind)()


def noise(grid: Grid, generator, size: float = 0.3) -> torch.Tensor:
    field = size * torch.randn(3, *grid.shape, generator=generator, dtype=torch.float64)
    if grid.shape[0] == 1:
        field[0] = 0
    return field


regularisers = pytest.mark.parametrize("kind", finals(Regulariser), ids=lambda c: c.__name__)
smoothers = pytest.mark.parametrize("kind", finals(Smoother), ids=lambda c: c.__name__)
grids = pytest.mark.parametrize("grid", [GRID, PLANE], ids=["volume", "plane"])


def test_all_of_them_are_found():
    assert len(finals(Regulariser)) >= 10
    assert len(finals(Smoother)) >= 6


@regularisers
@grids
def test_an_energy_is_zero_at_rest_and_positive_elsewhere(kind, grid, generator):
    energy = make(kind)
    assert float(energy(torch.zeros(3, *grid.shape), grid)) == pytest.approx(0.0, abs=1e-12)
    found = energy(noise(grid, generator, 1.0), grid)
    assert found.shape == ()
    assert float(found) > 0


@regularisers
@grids
def test_an_energy_has_an_exact_derivative(kind, grid, generator):
    energy = make(kind)
    field = noise(grid, generator, 0.1).requires_grad_()
    assert torch.autograd.gradcheck(lambda f: energy(f, grid), field, fast_mode=True)


@regularisers
def test_the_derivative_is_exact_at_every_sample(kind, generator):
    energy = make(kind)
    field = noise(GRID, generator, 0.1).requires_grad_()
    (slope,) = torch.autograd.grad(energy(field, GRID), field)
    with torch.no_grad():
        for at in ((0, 0, 0, 0), (1, 5, 4, 3), (2, 3, 2, 0), (0, 2, 4, 1)):
            step = torch.zeros_like(field)
            step[at] = 1e-6
            slow = (energy(field + step, GRID) - energy(field - step, GRID)) / 2e-6
            assert float(slope[at]) == pytest.approx(float(slow), rel=1e-4, abs=1e-9)


@regularisers
@grids
def test_a_shift_costs_nothing_but_for_a_fixed_inverse(kind, grid, generator):
    if kind is InverseConsistency:
        return
    energy = make(kind)
    field = noise(grid, generator)
    shift = torch.tensor([0.0, 3.0, -1.0])[:, None, None, None].double()
    torch.testing.assert_close(energy(field + shift, grid), energy(field, grid))


@regularisers
def test_the_weight_is_a_factor(kind, generator):
    if kind is Varying:
        return
    one = make(kind)
    fields = {f: getattr(one, f) for f in kind.__dataclass_fields__}
    thrice = kind(**{**fields, "weight": 3 * fields["weight"]})
    field = noise(GRID, generator)
    torch.testing.assert_close(thrice(field, GRID), 3 * one(field, GRID))


@regularisers
def test_the_lattice_may_be_turned_and_moved_in_the_world(kind, generator):
    if kind in (InverseConsistency, Rigidity, VolumePreserving, Varying):
        return  # these hold data that stands in the world
    turned = Linear.rotation((20, -30, 40), centre_mm=(1, 2, 3)).matrix @ GRID.affine
    field = noise(GRID, generator)
    torch.testing.assert_close(make(kind)(field, Grid(SHAPE, turned)), make(kind)(field, GRID))


@regularisers
def test_float32_is_kept_and_the_field_is_left_alone(kind, generator):
    field = noise(GRID, generator).float()
    before = field.clone()
    assert make(kind)(field, GRID).dtype == torch.float32
    assert torch.equal(field, before)


@regularisers
def test_a_field_of_another_size_is_refused(kind):
    with pytest.raises(ShapeError, match="to fit its grid"):
        make(kind)(torch.zeros(3, 2, 2, 2), GRID)


@regularisers
def test_a_sheared_lattice_is_refused(kind):
    affine = GRID.affine.clone()
    affine[0, 1] = 0.5
    with pytest.raises(GeometryError, match="must be at right angles"):
        make(kind)(torch.zeros(3, *SHAPE), Grid(SHAPE, affine))


@regularisers
@pytest.mark.parametrize("value", [-1.0, float("nan"), float("inf")])
def test_a_weight_that_is_none_is_refused(kind, value):
    if kind is Varying:
        return
    one = make(kind)
    fields = {f: getattr(one, f) for f in kind.__dataclass_fields__}
    with pytest.raises(IntensityError, match="weight must be finite and at least 0"):
        kind(**{**fields, "weight": value})


@pytest.mark.parametrize(
    "kind",
    [c for c in finals(LocalRegulariser) if c is not InverseConsistency],
    ids=lambda c: c.__name__,
)
def test_a_smooth_field_costs_the_same_on_a_finer_lattice(kind):
    energies = []
    for n in (24, 48):
        grid = Grid.from_spacing((n, n, n), (24 / n,) * 3, origin_mm=(12 / n,) * 3)
        # even about the borders, so that no rule for them matters
        z, y, x = torch.meshgrid(
            *[(torch.arange(n).double() + 0.5) * torch.pi / n] * 3, indexing="ij"
        )
        field = torch.stack([torch.cos(y) * torch.cos(x), torch.cos(z), torch.cos(2 * x)])
        region = Image(torch.ones(1, 5, 5, 5), Grid.from_spacing((5, 5, 5), (8.0, 8.0, 8.0)))
        maker = {
            Rigidity: lambda region=region: Rigidity(region),
            VolumePreserving: lambda region=region: VolumePreserving(region),
            Varying: lambda region=region: Varying(Diffusion(), region),
        }
        energy = maker.get(kind, kind)()
        energies.append(float(energy(field, grid)))
    assert energies[1] == pytest.approx(energies[0], rel=0.12, abs=2e-6)


@smoothers
@grids
def test_a_smoother_is_linear(kind, grid, generator):
    smooth = make(kind)
    a, b = noise(grid, generator), noise(grid, generator)
    torch.testing.assert_close(
        smooth(2 * a - b, grid), 2 * smooth(a, grid) - smooth(b, grid), rtol=1e-7, atol=1e-9
    )


@smoothers
@grids
def test_a_smoother_makes_gentle_and_points_along(kind, grid, generator):
    """A step along the smoothed force must lower the loss: <K f, f> > 0."""
    smooth = make(kind)
    force = noise(grid, generator)
    found = smooth(force, grid)
    assert found.shape == force.shape
    assert float((found * force).sum()) > 0
    rough = [
        float(Diffusion()(f / f.norm(), grid)) for f in (found, force - force.mean((1, 2, 3), True))
    ]
    assert rough[0] < rough[1]


@smoothers
@grids
def test_no_motion_along_an_axis_of_one_sample_and_no_nan(kind, grid, generator):
    found = make(kind)(noise(grid, generator), grid)
    assert torch.isfinite(found).all()
    if grid is PLANE:
        assert not found[0].any()


@smoothers
def test_a_smoother_is_differentiable_and_keeps_float32(kind, generator):
    smooth = make(kind)
    field = noise(GRID, generator).requires_grad_()
    assert torch.autograd.gradcheck(lambda f: smooth(f, GRID), field, fast_mode=True)
    assert smooth(field.detach().float(), GRID).dtype == torch.float32


@smoothers
def test_the_spacing_in_mm_counts(kind, generator):
    """On a lattice twice as coarse along z, z is smoothed less, in samples."""
    if kind.__name__ == "ElasticStep":
        return  # its Gaussian is in samples; for its divergence see test_thick_slices_weigh_less
    smooth = kind(sigma_mm=2.0) if kind.__name__ == "Gaussian" else make(kind)
    impulse = torch.zeros(3, 9, 9, 9, dtype=torch.float64)
    impulse[2, 4, 4, 4] = 1
    found = smooth(impulse, Grid.from_spacing((9, 9, 9), (2.0, 1.0, 1.0)))[2]
    assert float(found[4, 5, 4]) > float(found[5, 4, 4])


@smoothers
def test_smoothers_of_this_room_are_their_own_adjoint(kind, generator):
    if kind.__name__ in ("Gaussian", "ElasticStep"):
        return  # their borders repeat samples, which is not symmetric
    smooth = make(kind)
    a, b = noise(GRID, generator), noise(GRID, generator)
    one, other = (smooth(a, GRID) * b).sum(), (smooth(b, GRID) * a).sum()
    torch.testing.assert_close(one, other)


@smoothers
def test_a_smoother_refuses_coefficients_that_are_none(kind):
    name = next(iter(kind.__dataclass_fields__))
    with pytest.raises((IntensityError, ConfigError), match="must be finite and at least 0"):
        kind(**{name: -1.0})


@given(st.floats(0.1, 5), st.floats(0.1, 5))
def test_energies_add_up(a, b):
    field = torch.sin(torch.arange(3 * 120.0)).reshape(3, *SHAPE).double()
    both = Diffusion(a)(field, GRID) + Diffusion(b)(field, GRID)
    torch.testing.assert_close(both, Diffusion(a + b)(field, GRID))


def test_a_map_makes_an_energy_stronger_where_it_is_larger(generator):
    field = noise(GRID, generator)
    weight = ramp(GRID)
    expected = (2.0 * Curvature(1.0).density(field, GRID) * weight.data[0]).mean()
    torch.testing.assert_close(Varying(Curvature(2.0), weight)(field, GRID), expected)
    half = Image(weight.data * (torch.arange(4) < 2), GRID)
    field[..., 2:] = 0
    apart = field.clone()
    apart[..., 3] = 5.0  # two samples away from where the map is not 0
    held = Varying(Diffusion(), Image((half.data > 0).double(), GRID))
    assert float(held(field, GRID)) == float(held(apart, GRID))
    assert float(Diffusion()(field, GRID)) < float(Diffusion()(apart, GRID))


def test_a_map_lies_in_the_world_and_is_0_beyond_its_own_grid(generator):
    field = noise(GRID, generator)
    part = Grid.from_spacing((2, 5, 4), (3.0, 1.0, 2.0))
    found = Varying(Diffusion(), Image(torch.ones(1, 2, 5, 4), part))(field, GRID)
    density = Diffusion().density(field, GRID)
    torch.testing.assert_close(found, density[:2].sum() / density.numel())


def test_a_map_with_nan_or_two_channels_is_refused():
    bad = Image(torch.full((1, *SHAPE), float("nan")), GRID)
    with pytest.raises(IntensityError, match="map must be finite and at least 0 everywhere"):
        Varying(Diffusion(), bad)
    with pytest.raises(ShapeError, match="region must have one channel, got 2"):
        Rigidity(Image(torch.ones(2, *SHAPE), GRID))
    with pytest.raises(IntensityError, match="region must be finite"):
        VolumePreserving(Image(-torch.ones(1, *SHAPE), GRID))


@pytest.mark.gpu
@regularisers
def test_an_energy_is_the_same_on_the_gpu(kind, generator):
    if kind is InverseConsistency:
        return
    field = noise(GRID, generator)
    found = make(kind)(field.cuda(), GRID)
    assert found.is_cuda
    torch.testing.assert_close(found.cpu(), make(kind)(field, GRID))


@pytest.mark.gpu
@smoothers
def test_a_smoother_is_the_same_on_the_gpu(kind, generator):
    field = noise(GRID, generator)
    torch.testing.assert_close(make(kind)(field.cuda(), GRID).cpu(), make(kind)(field, GRID))

"""Contract: every method keeps its promises. The classes are found by themselves."""

import importlib
import pkgutil
import sys

import pytest
import torch
from segment_scenes import BLOCK, PLANE, circle, corner, dice, marks, middle, scene, start, truth

import vesalius.segment
from vesalius.core import Image, Labels
from vesalius.errors import ConfigError, GeometryError, IntensityError, RegionError
from vesalius.segment import Hints, Method, Segmentation, segment

for _module in pkgutil.iter_modules(vesalius.segment.__path__):
    importlib.import_module(f"vesalius.segment.{_module.name}")

# a trained model is no method without its networks; its own tests have it
NOT_HERE = {"Trained"}


def _published(cls):
    ours = cls.__module__.startswith("vesalius.")
    return getattr(sys.modules[cls.__module__], cls.__name__, None) if ours else None


def _all(cls):
    # a dataclass with slots is made twice: the first one lives on until it is collected
    found = [one for one in cls.__subclasses__() if one is _published(one)]
    return found + [deep for one in found for deep in _all(one)]


METHODS = sorted(
    {cls for cls in _all(Method) if cls.__name__ not in NOT_HERE}, key=lambda cls: cls.__name__
)
GRIDS = {"2-D": PLANE, "3-D": BLOCK}

# finds something else than the one ball: edges, many superpixels, contours in one plane alone
NOT_A_BALL = {"Canny", "Supervoxels"}
FLAT_ONLY = {"Snake"}


def hints(grid, **more):
    """Everything that a person can say, so that each method finds what it needs."""
    said = {
        "seeds_mm": (middle(grid),),
        "outside_mm": (corner(grid),),
        "marks": marks(grid),
        "start": start(grid),
        "contour": circle(grid),
    }
    return Hints(**{**said, **more})


def tried(cls, grid, **more):
    """Segment the ball; a method for one plane may refuse a volume, by a typed error."""
    try:
        return segment(scene(grid), cls(), hints=hints(grid, **more))
    except (ConfigError, GeometryError) as error:
        assert cls.__name__ in FLAT_ONLY
        assert grid.shape[0] > 1
        pytest.skip(f"refused, as it may: {error}")


def test_there_are_methods():
    assert len(METHODS) >= 5


@pytest.mark.parametrize("cls", METHODS)
@pytest.mark.parametrize("kind", GRIDS)
def test_labels_lie_on_the_grid_and_find_the_ball(cls, kind):
    grid = GRIDS[kind]
    found = tried(cls, grid)
    assert isinstance(found, Segmentation)
    assert found.labels.grid is grid
    assert found.labels.data.shape == (1, *grid.shape)
    assert not found.labels.data.is_floating_point()
    if cls.__name__ in NOT_A_BALL:
        assert int((found.labels.data != 0).sum()) > 0
        return
    best = max(
        dice(found.labels.data[0] == int(v), truth(grid)) for v in found.labels.data.unique()
    )
    assert best > 0.85


@pytest.mark.parametrize("cls", METHODS)
def test_the_same_input_gives_the_same_labels_and_stays_as_it_is(cls):
    image, said = scene(PLANE), hints(PLANE)
    before = image.data.clone(), said.marks.data.clone(), said.start.data.clone()
    first = segment(image, cls(), hints=said)
    again = segment(image, cls(), hints=said)
    assert torch.equal(first.labels.data, again.labels.data)
    after = image.data, said.marks.data, said.start.data
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


@pytest.mark.parametrize("cls", METHODS)
def test_nothing_is_found_outside_the_mask(cls):
    inside = torch.zeros(PLANE.shape, dtype=torch.uint8)
    inside[:, :, :24] = 1
    found = segment(scene(PLANE), cls(), hints=hints(PLANE, mask=Labels(inside[None], PLANE)))
    assert int((found.labels.data[0] * (inside == 0)).abs().sum()) == 0


@pytest.mark.parametrize("cls", METHODS)
def test_what_lies_outside_the_mask_changes_nothing_inside(cls):
    inside = torch.zeros(PLANE.shape, dtype=torch.bool)
    inside[:, :, :30] = True
    mask = Labels(inside.to(torch.uint8)[None], PLANE)
    image, said = scene(PLANE), hints(PLANE, mask=mask)
    other = Image(torch.where(inside, image.data, 50.0), PLANE)
    drawn = torch.where(inside, said.marks.data, 3 - said.marks.data.clamp(1, 2))
    turned = hints(PLANE, mask=mask, marks=Labels(drawn, PLANE))
    found = segment(image, cls(), hints=said).labels.data
    assert torch.equal(segment(other, cls(), hints=said).labels.data, found)
    assert torch.equal(segment(image, cls(), hints=turned).labels.data, found)


@pytest.mark.parametrize("cls", METHODS)
def test_hints_may_be_of_any_integer_type(cls):
    said = hints(PLANE, mask=Labels(torch.ones(1, *PLANE.shape, dtype=torch.uint8), PLANE))
    wide = hints(
        PLANE,
        marks=Labels(said.marks.data.to(torch.uint16), PLANE),
        start=Labels(said.start.data.to(torch.uint16), PLANE),
        mask=Labels(said.mask.data.to(torch.uint16), PLANE),
    )
    found = segment(scene(PLANE), cls(), hints=said).labels.data
    assert torch.equal(segment(scene(PLANE), cls(), hints=wide).labels.data, found)


@pytest.mark.parametrize("cls", METHODS)
@pytest.mark.parametrize(
    "dtype", [torch.int16, torch.uint16, torch.int32, torch.float16, torch.float64]
)
def test_takes_integers_and_doubles_alike(cls, dtype):
    found = segment(scene(PLANE, dtype=dtype), cls(), hints=hints(PLANE))
    if cls.__name__ not in NOT_A_BALL and cls.__name__ != "Fixed":
        parts = found.labels.data.unique()
        assert max(dice(found.labels.data[0] == int(v), truth(PLANE)) for v in parts) > 0.85


@pytest.mark.parametrize("cls", METHODS)
def test_curves_and_values_are_finite(cls):
    found = segment(scene(PLANE), cls(), hints=hints(PLANE))
    for curve in found.curves:
        assert curve.title
        assert curve.x.shape == curve.y.shape
        assert bool(torch.isfinite(curve.x).all())
        assert bool(torch.isfinite(curve.y).all())
    assert all(value == value for value in found.values.values())
    for image in found.maps.values():
        assert image.grid is PLANE


@pytest.mark.parametrize("cls", METHODS)
def test_refuses_an_image_that_is_not_finite(cls):
    image = scene(PLANE)
    image.data[0, 0, 3, 4] = float("nan")
    with pytest.raises(IntensityError, match="1 samples are NaN or infinite"):
        segment(image, cls(), hints=hints(PLANE))


@pytest.mark.parametrize("cls", METHODS)
def test_does_without_hints_or_names_the_one_that_is_missing(cls):
    try:
        found = segment(scene(PLANE), cls())
    except (RegionError, ConfigError) as error:
        text = str(error).lower()
        assert any(word in text for word in ("seed", "mark", "start", "contour"))
    else:
        assert found.labels.data.shape == (1, *PLANE.shape)


def constant(cls, value):
    """Segment an image of one value; None where that is refused."""
    image = Image(torch.full((1, *PLANE.shape), value, dtype=torch.float64), PLANE)
    try:
        return segment(image, cls(), hints=hints(PLANE)).labels.data.tolist()
    except (IntensityError, RegionError):
        return None


@pytest.mark.parametrize("cls", METHODS)
@pytest.mark.parametrize("value", [0.7, 1e5 + 0.7])
def test_the_rounding_of_a_constant_image_divides_nothing(cls, value):
    assert constant(cls, value) == constant(cls, 1.0)


def test_hints_on_another_grid_are_refused():
    with pytest.raises(GeometryError, match="marks must lie on the grid of the image"):
        segment(scene(BLOCK), METHODS[0](), hints=Hints(marks=marks(PLANE)))


def test_hints_must_be_finite_and_hold_something():
    with pytest.raises(GeometryError, match="a seed must have finite coordinates"):
        Hints(seeds_mm=((0.0, float("nan"), 0.0),))
    empty = Labels(torch.zeros(1, *PLANE.shape, dtype=torch.uint8), PLANE)
    with pytest.raises(RegionError, match="mask must hold at least one voxel"):
        Hints(mask=empty)

"""The contract of every similarity, found by itself: derivative, weight, borders, invariance."""

import importlib
import inspect
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.autograd import gradcheck

from vesalius.errors import IntensityError, RegionError, ShapeError, VesaliusError
from vesalius.register import similarity as room
from vesalius.register._pairing import check_pair
from vesalius.register.similarity import FeatureCosine, Features, LocalNcc, Similarity

ISOTROPIC = (1.0, 1.0, 1.0)
SHAPES = ((6, 7, 8), (1, 9, 8))
FLOATS = st.floats(0.2, 5.0)


def polynomial(x):
    """Three channels of one: a stand-in for a network."""
    return torch.cat([x, x.square(), 1 - x])


def built(kind):
    if kind is FeatureCosine:
        return kind(Features(polynomial, "polynomial"))
    return kind()


def found():
    """Every similarity of the room register, with its defaults, and the box's other window."""
    kinds = set()
    for path in Path(room.__file__).parent.rglob("*.py"):
        if "(Similarity)" in path.read_text(encoding="utf-8"):
            module = importlib.import_module(f"vesalius.register.{path.stem}")
            classes = [k for _, k in inspect.getmembers(module, inspect.isclass)]
            kinds |= {k for k in classes if issubclass(k, Similarity) and k is not Similarity}
    return [*map(built, sorted(kinds, key=lambda k: k.__name__)), LocalNcc(window="gaussian")]


ALL = found()
NAMES = [f"{type(s).__name__}{'-gaussian' * (s is ALL[-1])}" for s in ALL]
each = pytest.mark.parametrize("similarity", ALL, ids=NAMES)
separable = pytest.mark.parametrize(
    "similarity", [s for s in ALL if not isinstance(s, FeatureCosine)], ids=repr
)
flat_or_not = pytest.mark.parametrize("shape", SHAPES, ids=("volume", "slice"))


def images(shape, generator, *, channels=1):
    """Two smooth images that resemble one another, float64, about 0 to 1."""
    z, y, x = (torch.linspace(0, 2, n, dtype=torch.float64) for n in shape)
    base = torch.sin(3 * z)[:, None, None] + torch.cos(2 * y)[:, None] * torch.sin(4 * x)
    noise = torch.rand(2, channels, *shape, generator=generator, dtype=torch.float64)
    first = (base + 2) / 5 + 0.3 * noise[0]
    return first, 0.7 * first.square() + 0.1 + 0.2 * noise[1]


def weights(shape, generator):
    """Weights of which a third are 0."""
    w = torch.rand(1, *shape, generator=generator, dtype=torch.float64)
    return torch.where(w < 0.33, 0, w)


def prepared(similarity, shape, generator, *, channels=1):
    pair = images(shape, generator, channels=channels)
    return tuple(similarity.features(image, ISOTROPIC) for image in pair)


def test_all_published_similarities_are_found_and_no_other():
    published = {getattr(room, name) for name in room.__all__}
    published = {k for k in published if inspect.isclass(k) and issubclass(k, Similarity)}
    assert {type(s) for s in ALL} == published - {Similarity}
    assert len(ALL) >= 9


@each
@flat_or_not
@pytest.mark.parametrize("weighted", [False, True], ids=("whole", "weighted"))
def test_the_fast_gradient_equals_autograd(similarity, shape, weighted, generator):
    fixed, warped = prepared(similarity, shape, generator)
    weight = weights(shape, generator) if weighted else None
    loss, slope = similarity.gradient(fixed, warped, weight)
    tracked = warped.clone().requires_grad_()
    value = similarity(fixed, tracked, weight)
    (expected,) = torch.autograd.grad(value, tracked)
    assert loss == pytest.approx(float(value.detach()), rel=1e-9, abs=1e-12)
    scale = float(expected.abs().max())
    assert scale > 0
    assert float((slope - expected).abs().max()) <= 1e-9 * scale


@each
def test_in_single_precision_the_fast_gradient_agrees_to_a_hundred_thousandth(
    similarity, generator
):
    fixed, warped = prepared(similarity, (6, 7, 8), generator)
    loss, slope = similarity.gradient(fixed.float(), warped.float(), None)
    exact, expected = similarity.gradient(fixed, warped, None)
    assert slope.dtype == torch.float32
    assert loss == pytest.approx(exact, rel=1e-5, abs=1e-6)
    assert float((slope - expected).abs().max()) <= 3e-5 * float(expected.abs().max())


@each
@flat_or_not
def test_the_derivative_is_that_of_the_loss(similarity, shape, generator):
    small = tuple(min(n, 4) for n in shape)
    fixed, warped = prepared(similarity, small, generator)
    weight = weights(small, generator)

    def loss(f, w):
        return similarity(f, w, weight)

    if isinstance(similarity, LocalNcc) and similarity.window == "box":
        checked = gradcheck(lambda w: loss(fixed, w), (warped.requires_grad_(),), fast_mode=True)
    else:
        both = (fixed.requires_grad_(), warped.requires_grad_())
        checked = gradcheck(loss, both, fast_mode=True)
    assert checked


@each
@flat_or_not
def test_samples_without_weight_have_no_influence(similarity, shape, generator):
    fixed, warped = prepared(similarity, shape, generator)
    weight = weights(shape, generator)
    loss, slope = similarity.gradient(fixed, warped, weight)
    changed = warped.where(weight > 0, torch.rand_like(warped))
    other, other_slope = similarity.gradient(fixed, changed, weight)
    assert other == pytest.approx(loss, rel=1e-9, abs=1e-12)
    torch.testing.assert_close(other_slope, slope, rtol=1e-7, atol=1e-12)
    assert float(slope.where(weight > 0, 0).sub(slope).abs().max()) == 0


@each
def test_the_scale_of_the_weight_does_not_matter(similarity, generator):
    fixed, warped = prepared(similarity, (6, 7, 8), generator)
    weight = weights((6, 7, 8), generator)
    one, by_one = similarity.gradient(fixed, warped, weight)
    half, by_half = similarity.gradient(fixed, warped, weight / 2)
    assert half == pytest.approx(one, rel=1e-3, abs=1e-9)
    torch.testing.assert_close(by_half, by_one, rtol=2e-2, atol=1e-2 * float(by_one.abs().max()))


@each
def test_a_weight_of_one_is_no_weight(similarity, generator):
    fixed, warped = prepared(similarity, (6, 7, 8), generator)
    loss, slope = similarity.gradient(fixed, warped, None)
    same, same_slope = similarity.gradient(fixed, warped, torch.ones_like(fixed[:1]))
    assert same == pytest.approx(loss, rel=1e-9)
    torch.testing.assert_close(same_slope, slope)


@each
def test_an_image_is_more_like_itself_than_like_another(similarity, generator):
    fixed, warped = prepared(similarity, (6, 7, 8), generator)
    assert float(similarity(fixed, fixed)) < float(similarity(fixed, warped)) - 1e-4


@each
def test_a_step_down_the_gradient_lowers_the_loss(similarity, generator):
    fixed, warped = prepared(similarity, (6, 7, 8), generator)
    loss, slope = similarity.gradient(fixed, warped, None)
    inside = slope.where((warped > 0.01) & (warped < 0.99), 0)
    step = 1e-3 * inside / inside.abs().max()
    assert float(similarity(fixed, warped - step)) < loss


@each
def test_images_and_weight_stay_as_they_were(similarity, generator):
    fixed, warped = prepared(similarity, (6, 7, 8), generator)
    weight = weights((6, 7, 8), generator)
    copies = [t.clone() for t in (fixed, warped, weight)]
    similarity.gradient(fixed, warped, weight)
    similarity(fixed, warped, weight)
    assert all(torch.equal(a, b) for a, b in zip((fixed, warped, weight), copies, strict=True))


@separable
def test_channels_count_alike_and_each_for_itself(similarity, generator):
    fixed, warped = images((6, 7, 8), generator, channels=3)
    together = similarity(
        similarity.features(fixed, ISOTROPIC), similarity.features(warped, ISOTROPIC)
    )
    alone = [
        similarity(similarity.features(f[None], ISOTROPIC), similarity.features(w[None], ISOTROPIC))
        for f, w in zip(fixed, warped, strict=True)
    ]
    torch.testing.assert_close(together, torch.stack(alone).mean())


@each
@pytest.mark.parametrize("side", ["fixed", "warped"])
def test_a_constant_image_is_refused_or_gives_finite_numbers(similarity, side, generator):
    fixed, warped = images((6, 7, 8), generator)
    if side == "fixed":
        fixed = torch.full_like(fixed, 0.4)
    else:
        warped = torch.full_like(warped, 0.4)
    if type(similarity).__name__ in RANGED:
        with pytest.raises(IntensityError, match=r"more than one value|must vary"):
            [similarity.features(i, ISOTROPIC) for i in (fixed, warped)]
        return
    pair = [similarity.features(i, ISOTROPIC) for i in (fixed, warped)]
    loss, slope = similarity.gradient(*pair, None)
    assert torch.isfinite(torch.tensor(loss))
    assert bool(torch.isfinite(slope).all())


@each
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_nan_and_infinity_are_refused_never_passed_on(similarity, bad, generator):
    fixed, warped = images((6, 7, 8), generator)
    warped[0, 3, 3, 3] = bad
    with pytest.raises(VesaliusError, match="finite"):
        similarity.gradient(
            similarity.features(fixed, ISOTROPIC), similarity.features(warped, ISOTROPIC), None
        )


@each
def test_a_weight_of_nothing_is_refused(similarity, generator):
    fixed, warped = prepared(similarity, (6, 7, 8), generator)
    with pytest.raises(RegionError, match="do not overlap"):
        similarity.gradient(fixed, warped, torch.zeros_like(fixed[:1]))
    with pytest.raises(RegionError, match="weights must be 0 or more"):
        similarity(fixed, warped, -torch.ones_like(fixed[:1]))


def test_images_that_do_not_fit_are_refused():
    fixed = torch.rand(1, 3, 4, 5)
    for other, weight in (
        (fixed[:, 1:], None),
        (fixed.double(), None),
        (fixed, torch.ones(1, 2, 2, 2)),
    ):
        with pytest.raises(ShapeError, match="must have one shape"):
            check_pair(fixed, other, weight)
    with pytest.raises(ShapeError, match="must have samples"):
        check_pair(fixed[:, :0], fixed[:, :0], None)


RANGED = ("LocalNcc", "MutualInformation", "NormalisedMutualInformation")
LINEAR = ("Ncc", "LocalNcc", "Mind", "MutualInformation", "NormalisedMutualInformation")
LINEAR = (*LINEAR, "GradientFields")


@each
@settings(max_examples=8)
@given(scale=FLOATS, shift=st.floats(-10, 10))
def test_a_brighter_image_of_more_contrast_is_the_same_to_those_that_say_so(
    similarity, scale, shift
):
    fixed, warped = images((5, 6, 5), torch.Generator().manual_seed(3))
    ready = similarity.features(fixed, ISOTROPIC)
    plain = float(similarity(ready, similarity.features(warped, ISOTROPIC)))
    other = float(similarity(ready, similarity.features(scale * warped + shift, ISOTROPIC)))
    if type(similarity).__name__ in LINEAR:
        assert other == pytest.approx(plain, rel=1e-3, abs=1e-4)
    elif abs(shift) > 1:
        assert other != pytest.approx(plain, rel=1e-3, abs=1e-4)


@pytest.mark.gpu
@each
def test_the_gpu_gives_the_loss_and_gradient_of_the_cpu(similarity, generator):
    fixed, warped = (i.float() for i in prepared(similarity, (6, 7, 8), generator))
    weight = weights((6, 7, 8), generator).float()
    loss, slope = similarity.gradient(fixed, warped, weight)
    there, there_slope = similarity.gradient(fixed.cuda(), warped.cuda(), weight.cuda())
    assert there_slope.device.type == "cuda"
    assert there == pytest.approx(loss, rel=1e-4, abs=1e-6)
    error = (there_slope.cpu() - slope).abs().max()
    assert float(error) <= 1e-4 * float(slope.abs().max())

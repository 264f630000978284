"""Interpolation against SciPy, its own two paths against each other, and its derivatives."""

import math

import numpy as np
import pytest
import scipy.ndimage as ndi
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vesalius.errors import GeometryError, ShapeError, UnitError
from vesalius.ops._sampling import resample_affine, sample, sample_labels

ORDER = {"nearest": 0, "linear": 1, "cubic": 3}
TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-6}  # of the range, which is 1 here
INTERPOLATIONS = ["linear", "cubic", "nearest"]
SCIPY_BORDERS = ["nearest", "mirror", "constant"]


def rotation(angle_deg, shape, *, scale=1.0):
    a, b, c = np.array([1.0, 2.0, 3.0]) / math.sqrt(14.0) * math.radians(angle_deg)
    skew = torch.tensor([[0, -c, b], [c, 0, -a], [-b, a, 0]], dtype=torch.float64)
    m = torch.eye(4, dtype=torch.float64)
    m[:3, :3] = scale * torch.linalg.matrix_exp(skew)
    centre = (torch.tensor(shape, dtype=torch.float64) - 1) / 2
    m[:3, 3] = centre - m[:3, :3] @ centre + 0.03  # no position on an edge but for rounding
    return m


def positions(matrix, shape):
    index = torch.stack(
        torch.meshgrid(*(torch.arange(n, dtype=torch.float64) for n in shape), indexing="ij"), -1
    )
    return index @ matrix[:3, :3].T + matrix[:3, 3]


def scipy_sample(volume, points, interpolation, border, fill=0.0):
    at = np.moveaxis(points.double().numpy(), -1, 0)
    return np.stack(
        [
            ndi.map_coordinates(
                v.double().numpy(), at, order=ORDER[interpolation], mode=border, cval=fill
            )
            for v in volume
        ]
    )


def scaled(scale=(0.8, 1.3, 1.0), shift=(0.3, -0.7, 0.05)):
    m = torch.diag(torch.tensor([*scale, 1.0], dtype=torch.float64))
    m[:3, 3] = torch.tensor(shift, dtype=torch.float64)
    return m


SWAPPED = torch.tensor(
    [[0, 0, -0.7, 8.1], [1.2, 0, 0, -1.3], [0, 0.9, 0, 0.4], [0, 0, 0, 1]], dtype=torch.float64
)
MAPS = {"rotated": rotation(17, (9, 11, 13)), "scaled": scaled(), "swapped": SWAPPED}


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
@pytest.mark.parametrize("border", SCIPY_BORDERS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_agrees_with_scipy_at_any_position(interpolation, border, dtype, generator):
    volume = torch.rand(2, 7, 8, 9, generator=generator, dtype=torch.float64).to(dtype)
    points = torch.rand(500, 3, generator=generator, dtype=torch.float64) * 40 - 16
    ours = sample(volume, points, interpolation=interpolation, border=border, fill=-3.0)
    theirs = scipy_sample(volume, points, interpolation, border, -3.0)
    assert ours.dtype == dtype
    assert np.abs(ours.numpy() - theirs).max() < TOLERANCE[dtype]


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
@pytest.mark.parametrize("border", SCIPY_BORDERS)
@pytest.mark.parametrize("name", list(MAPS))
def test_agrees_with_scipy_on_a_lattice(interpolation, border, name, generator):
    volume = torch.rand(2, 9, 11, 13, generator=generator, dtype=torch.float64)
    shape = (10, 9, 12)
    options = {"interpolation": interpolation, "border": border, "fill": 5.0}
    ours = resample_affine(volume, MAPS[name], shape=shape, **options)
    theirs = scipy_sample(volume, positions(MAPS[name], shape), interpolation, border, 5.0)
    assert np.abs(ours.numpy() - theirs).max() < 1e-6


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("interpolation", ["linear", "cubic"])
def test_keeps_within_a_hundred_thousandth_of_the_range_for_ct_numbers(
    dtype, interpolation, generator
):
    volume = (torch.rand(1, 20, 24, 28, generator=generator, dtype=torch.float64) * 4000 - 1000).to(
        dtype
    )
    m = rotation(5, (20, 24, 28))
    ours = resample_affine(volume, m, shape=(20, 24, 28), interpolation=interpolation)
    theirs = scipy_sample(volume, positions(m, (20, 24, 28)), interpolation, "nearest")
    assert np.abs(ours.numpy() - theirs).max() < 1e-5 * 4000


@pytest.mark.parametrize("shape", [(1, 6, 7), (2, 2, 2), (3, 1, 5), (1, 1, 1), (2, 5, 3)])
@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
@pytest.mark.parametrize("border", SCIPY_BORDERS)
def test_handles_axes_of_few_samples_as_scipy_does(shape, interpolation, border, generator):
    volume = torch.rand(1, *shape, generator=generator, dtype=torch.float64)
    points = torch.rand(60, 3, generator=generator, dtype=torch.float64) * 8 - 3
    inside = torch.rand(30, 3, generator=generator, dtype=torch.float64)
    points[:30] = inside * (torch.tensor(shape) - 1)
    ours = sample(volume, points, interpolation=interpolation, border=border)
    theirs = scipy_sample(volume, points, interpolation, border)
    assert np.abs(ours.numpy() - theirs).max() < 1e-6


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
@pytest.mark.parametrize("border", ["nearest", "mirror", "constant", "extent"])
@pytest.mark.parametrize("name", list(MAPS))
def test_gives_the_same_by_lattice_by_positions_and_by_torch(
    interpolation, border, name, generator
):
    volume = torch.rand(2, 9, 11, 13, generator=generator, dtype=torch.float64)
    shape = (12, 9, 14)
    options = {"interpolation": interpolation, "border": border, "fill": 2.0}
    points = positions(MAPS[name], shape)
    lattice = resample_affine(volume, MAPS[name], shape=shape, **options)
    torch.testing.assert_close(lattice, sample(volume, points, **options), rtol=0, atol=1e-12)
    tracked = sample(volume.clone().requires_grad_(), points, **options)
    torch.testing.assert_close(lattice, tracked.detach(), rtol=0, atol=1e-12)
    slow = resample_affine(volume.clone().requires_grad_(), MAPS[name], shape=shape, **options)
    torch.testing.assert_close(lattice, slow.detach(), rtol=0, atol=1e-12)


def test_extent_reaches_to_the_outer_faces_of_the_samples():
    volume = torch.tensor([[[[10.0, 20.0, 30.0]]]])
    points = torch.zeros(5, 3)
    points[:, 2] = torch.tensor([-0.6, -0.4, 1.0, 2.4, 2.6])
    out = sample(volume, points, border="extent", fill=-1.0)
    assert out.tolist() == [[-1.0, 10.0, 20.0, 30.0, -1.0]]


def test_constant_ends_at_the_centres_of_the_edge_samples():
    volume = torch.tensor([[[[10.0, 20.0, 30.0]]]])
    points = torch.zeros(4, 3)
    points[:, 2] = torch.tensor([-0.1, 0.0, 2.0, 2.1])
    out = sample(volume, points, border="constant", fill=float("nan"))
    assert torch.isnan(out[0]).tolist() == [True, False, False, True]


def test_an_integer_position_gives_the_sample_back(generator):
    volume = torch.rand(1, 5, 6, 7, generator=generator, dtype=torch.float64)
    at = positions(torch.eye(4, dtype=torch.float64), (5, 6, 7))
    for interpolation in INTERPOLATIONS:
        for border in ("nearest", "mirror", "constant", "extent"):
            out = sample(volume, at, interpolation=interpolation, border=border)
            torch.testing.assert_close(out, volume, rtol=0, atol=1e-12)


def test_the_identity_gives_a_copy_not_the_input(generator):
    volume = torch.rand(1, 3, 4, 5, generator=generator)
    out = resample_affine(volume, torch.eye(4, dtype=torch.float64), shape=(3, 4, 5))
    assert torch.equal(out, volume)
    assert out.data_ptr() != volume.data_ptr()


def test_leaves_the_input_untouched(generator):
    volume = torch.rand(1, 6, 7, 8, generator=generator)
    before = volume.clone()
    for m in MAPS.values():
        for interpolation in INTERPOLATIONS:
            resample_affine(volume, m, shape=(4, 5, 6), interpolation=interpolation)
    assert torch.equal(volume, before)


@settings(max_examples=15, deadline=None)
@given(st.floats(-50, 50), st.floats(-90, 90), st.sampled_from(["linear", "cubic"]))
def test_keeps_a_constant(value, angle, interpolation):
    volume = torch.full((1, 6, 7, 5), value, dtype=torch.float64)
    out = resample_affine(
        volume, rotation(angle, (6, 7, 5)), shape=(6, 7, 5), interpolation=interpolation
    )
    torch.testing.assert_close(out, volume, rtol=0, atol=1e-11)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from(["linear", "cubic"]))
def test_is_linear_in_the_samples(seed, interpolation):
    g = torch.Generator().manual_seed(seed)
    a, b = torch.rand(2, 1, 5, 6, 7, generator=g, dtype=torch.float64)
    m = rotation(23, (5, 6, 7))

    def f(x):
        return resample_affine(x, m, shape=(6, 5, 8), interpolation=interpolation)

    torch.testing.assert_close(f(2 * a - b), 2 * f(a) - f(b))


@pytest.mark.parametrize("interpolation", ["linear", "cubic"])
def test_reproduces_a_plane_exactly_inside(interpolation):
    index = positions(torch.eye(4, dtype=torch.float64), (30, 31, 32))
    volume = (index @ torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64))[None]
    at = torch.rand(200, 3, dtype=torch.float64) * 3 + 14
    out = sample(volume, at, interpolation=interpolation)
    expected = at @ torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
    torch.testing.assert_close(out[0], expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("interpolation", ["linear", "cubic"])
@pytest.mark.parametrize("border", ["nearest", "mirror", "constant", "extent"])
def test_derivatives_by_samples_and_positions_are_right(interpolation, border, generator):
    volume = torch.rand(1, 3, 4, 3, generator=generator, dtype=torch.float64, requires_grad=True)
    points = torch.rand(6, 3, generator=generator, dtype=torch.float64) * 4 - 0.9
    points.requires_grad_()

    def f(v, p):
        return sample(v, p, interpolation=interpolation, border=border)

    assert torch.autograd.gradcheck(f, (volume, points))


@pytest.mark.parametrize("interpolation", ["linear", "cubic"])
@pytest.mark.parametrize("name", list(MAPS))
def test_derivatives_by_samples_of_a_lattice_are_right(interpolation, name, generator):
    volume = torch.rand(1, 3, 2, 3, generator=generator, dtype=torch.float64, requires_grad=True)

    def f(v):
        return resample_affine(v, MAPS[name], shape=(2, 3, 2), interpolation=interpolation)

    assert torch.autograd.gradcheck(f, (volume,))
    assert torch.autograd.gradgradcheck(f, (volume,))


def test_does_not_depend_on_the_number_of_threads(generator):
    volume = torch.rand(1, 110, 100, 100, generator=generator)
    m = rotation(9, (110, 100, 100))
    before = torch.get_num_threads()
    try:
        results = []
        for threads in (1, 3):
            torch.set_num_threads(threads)
            results.append(resample_affine(volume, m, shape=(110, 100, 100)))
            results.append(resample_affine(volume, scaled(), shape=(110, 100, 100)))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(results[0], results[2])
    assert torch.equal(results[1], results[3])


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int64, torch.float32])
def test_nearest_keeps_any_number_type(dtype, generator):
    volume = torch.randint(0, 100, (1, 5, 6, 7), generator=generator).to(dtype)
    for m in MAPS.values():
        out = resample_affine(volume, m, shape=(4, 4, 4), interpolation="nearest")
        assert out.dtype == dtype
        assert set(out.unique().tolist()) <= set(volume.unique().tolist())


def test_takes_volumes_that_are_not_contiguous(generator):
    volume = torch.rand(7, 6, 5, 2, generator=generator, dtype=torch.float64)
    turned = volume.permute(3, 2, 1, 0)
    for interpolation in INTERPOLATIONS:
        for m in MAPS.values():
            one = resample_affine(turned, m, shape=(4, 4, 4), interpolation=interpolation)
            two = resample_affine(
                turned.contiguous(), m, shape=(4, 4, 4), interpolation=interpolation
            )
            assert torch.equal(one, two)


def test_no_positions_give_no_values():
    assert sample(torch.zeros(2, 3, 3, 3), torch.zeros(0, 3)).shape == (2, 0)


def one_hot_by_hand(labels, points):
    values = labels.unique()
    shares = torch.stack(
        [sample((labels == v).double(), points, interpolation="linear") for v in values]
    )
    best = shares.max(dim=0).values
    # the first (smallest) value whose share is the largest, rounding aside
    return values[((shares >= best - 1e-12).double()).argmax(dim=0)]


def test_vote_is_one_hot_interpolation_and_the_largest(generator):
    labels = torch.randint(0, 4, (2, 5, 6, 7), generator=generator, dtype=torch.int16)
    points = torch.rand(400, 3, generator=generator, dtype=torch.float64) * torch.tensor(
        [4.0, 5.0, 6.0]
    )
    out = sample_labels(labels, points)
    assert out.dtype == torch.int16
    assert torch.equal(out.long(), one_hot_by_hand(labels.long(), points))


def test_vote_gives_a_tie_to_the_smaller_label():
    labels = torch.tensor([[[[7, 3]]]])
    assert sample_labels(labels, torch.tensor([[0.0, 0.0, 0.5]])).tolist() == [[3]]


def test_vote_fills_outside_of_the_samples():
    labels = torch.ones(1, 2, 2, 2, dtype=torch.uint8)
    at = torch.tensor([[0.0, 0.0, -0.4], [0.0, 0.0, -0.6]])
    assert sample_labels(labels, at, fill=9).tolist() == [[1, 9]]


@pytest.mark.parametrize("interpolation", ["linear", "cubic"])
def test_refuses_to_average_integers(interpolation):
    volume = torch.zeros(1, 2, 2, 2, dtype=torch.int16)
    with pytest.raises(UnitError, match="never cast silently"):
        sample(volume, torch.zeros(1, 3), interpolation=interpolation)
    with pytest.raises(UnitError, match="never cast silently"):
        resample_affine(volume, torch.eye(4), shape=(2, 2, 2), interpolation=interpolation)


def test_refuses_positions_that_are_not_finite_or_too_coarse():
    volume = torch.zeros(1, 2, 2, 2)
    with pytest.raises(GeometryError, match="index_points must be finite"):
        sample(volume, torch.tensor([[0.0, math.nan, 0.0]]))
    with pytest.raises(GeometryError, match="half precision"):
        sample(volume, torch.zeros(1, 3, dtype=torch.float16))


def test_refuses_a_matrix_that_is_not_finite():
    m = torch.eye(4, dtype=torch.float64)
    m[0, 1] = math.inf
    with pytest.raises(GeometryError, match="matrix must be finite"):
        resample_affine(torch.zeros(1, 2, 2, 2), m, shape=(2, 2, 2))


def test_refuses_an_empty_shape():
    with pytest.raises(ShapeError, match="at least 1"):
        resample_affine(torch.zeros(1, 2, 2, 2), torch.eye(4), shape=(2, 0, 2))


@pytest.mark.gpu
@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
@pytest.mark.parametrize("name", list(MAPS))
def test_gives_the_same_on_the_gpu(interpolation, name, generator):
    volume = torch.rand(2, 20, 21, 22, generator=generator)
    options = {"shape": (18, 17, 19), "interpolation": interpolation}
    cpu = resample_affine(volume, MAPS[name], **options)
    gpu = resample_affine(volume.cuda(), MAPS[name], **options)
    assert gpu.device.type == "cuda"
    assert (gpu.cpu() - cpu).abs().max() < 1e-5


@pytest.mark.parametrize("fill", [0.5, -1.0, 256.0, math.nan])
def test_refuses_a_fill_value_that_integers_cannot_hold(fill):
    volume = torch.zeros(1, 2, 2, 2, dtype=torch.uint8)
    with pytest.raises(UnitError, match="fill must be a whole number from 0 to 255"):
        sample(volume, torch.zeros(1, 3), interpolation="nearest", fill=fill)

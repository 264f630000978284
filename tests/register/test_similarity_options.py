"""What single similarities promise beyond the contract: values, invariances, options, refusals."""

import math

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from skimage.metrics import normalized_mutual_information

from vesalius.errors import ConfigError, IntensityError, RegionError, ShapeError
from vesalius.register.similarity import (
    FeatureCosine,
    Features,
    GradientFields,
    MeanSquare,
    Mind,
    MutualInformation,
    Ncc,
    NormalisedMutualInformation,
    SoftDice,
)

ONE = (1.0, 1.0, 1.0)


def blobs(shape=(12, 14, 16), seed=0):
    generator = torch.Generator().manual_seed(seed)
    z, y, x = torch.meshgrid(*[torch.linspace(0, 3, n) for n in shape], indexing="ij")
    noise = 0.05 * torch.rand(1, *shape, generator=generator)
    return ((torch.sin(2 * z) + torch.cos(3 * y) * torch.sin(2 * x))[None] + noise).double()


def compared(similarity, fixed, warped):
    pair = (similarity.features(i, ONE) for i in (fixed, warped))
    return float(similarity(*pair))


def test_the_mean_square_has_the_unit_of_the_values_squared():
    fixed = blobs()
    assert float(MeanSquare()(fixed, fixed + 3)) == pytest.approx(9)


def test_correlation_is_minus_that_of_simpleitk():
    fixed, warped = blobs(), blobs(seed=1).square()
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsCorrelation()
    method.SetInterpolator(sitk.sitkLinear)
    method.SetInitialTransform(sitk.TranslationTransform(3))
    pair = [sitk.GetImageFromArray(i[0].numpy()) for i in (fixed, warped)]
    squared = -method.MetricEvaluate(*pair)  # theirs is -r^2
    assert (1 - float(Ncc()(fixed, warped))) ** 2 == pytest.approx(squared, rel=1e-6)


def test_information_agrees_with_a_plain_histogram_of_many_samples():
    generator = np.random.default_rng(5)
    a = generator.random((1, 60, 60, 60))
    b = np.clip(0.5 * a + 0.25 + 0.1 * generator.standard_normal(a.shape), 0, 1)
    counts = np.histogram2d(a.ravel(), b.ravel(), bins=48)[0]
    p = counts / counts.sum()
    plain = np.nansum(p * np.log(p / np.outer(p.sum(1), p.sum(0)), where=p > 0, out=0 * p))
    found = compared(MutualInformation(53), torch.from_numpy(a), torch.from_numpy(b))
    assert -found == pytest.approx(plain, rel=0.05)


def test_the_normalised_ratio_is_near_that_of_scikit_image():
    a = blobs((24, 24, 24))
    b = a.square() + 0.05 * torch.rand_like(a)
    theirs = normalized_mutual_information(a[0].numpy(), b[0].numpy(), bins=32)
    ours = -compared(NormalisedMutualInformation(32), a, b)
    assert ours == pytest.approx(theirs, rel=0.2)  # the window is wider than their box
    assert 1 < ours < 2


MAPS = {
    "falling": lambda x: -x,
    "exponential": lambda x: torch.exp(x / 2),
    "s-shaped": lambda x: torch.tanh(x),
}


@pytest.mark.parametrize("change", MAPS.values(), ids=MAPS.keys())
@pytest.mark.parametrize("kind", [MutualInformation, NormalisedMutualInformation])
def test_information_hardly_changes_under_a_one_to_one_map(kind, change):
    image = blobs((20, 20, 20))
    unlike = compared(kind(), image, image.flip(1))
    alike, mapped = (compared(kind(), image, i) for i in (image, change(image)))
    assert mapped - alike < 0.2 * (unlike - alike)


def test_information_is_symmetric():
    a, b = blobs(), blobs(seed=1).square()
    for kind in (MutualInformation, NormalisedMutualInformation):
        assert compared(kind(), a, b) == pytest.approx(compared(kind(), b, a), rel=1e-12)


def test_the_range_leaves_outliers_out_and_takes_the_mask_alone():
    image = torch.rand(1, 20, 20, 20, dtype=torch.float64)
    image[0, 0, 0, :4] = 1000
    ready = MutualInformation().features(image, ONE)
    assert float(ready.max()) == 1
    assert float(ready.median()) == pytest.approx(0.5, abs=0.05)
    weight = (image < 0.5).double()
    inside = MutualInformation().features(image, ONE, weight)
    assert float(inside[weight > 0].median()) == pytest.approx(0.5, abs=0.05)


def test_a_sparse_image_has_its_extremes_for_a_range():
    image = torch.zeros(1, 20, 20, 20)
    image[0, 4, 4, 4] = 8
    ready = MutualInformation().features(image, ONE)
    assert ready.unique().tolist() == [0, 1]


def test_information_refuses_an_empty_mask_for_its_range():
    with pytest.raises(IntensityError, match="more than one value"):
        MutualInformation().features(blobs(), ONE, torch.zeros_like(blobs()))


@pytest.mark.parametrize("kind", [MutualInformation, NormalisedMutualInformation])
@pytest.mark.parametrize("bins", [7, 1001])
def test_information_refuses_a_useless_number_of_bins(kind, bins):
    with pytest.raises(ConfigError, match=f"bins must be 8 to 1000, got {bins}"):
        kind(bins)


def test_information_refuses_images_that_were_not_scaled():
    with pytest.raises(IntensityError, match="must lie in 0 to 1"):
        MutualInformation()(10 * blobs(), blobs())


def test_mind_makes_twelve_channels_and_shrinks_along_a_coarse_axis():
    image = blobs()
    wide = Mind(distance=2, radius=2).features(image, (2.0, 1.0, 1.0))
    assert wide.shape == (12, *image.shape[1:])
    from vesalius.ops._self_similarity import mind_ssc

    torch.testing.assert_close(wide, mind_ssc(image, distance=(1, 2, 2), radius=(1, 2, 2)))
    far = Mind(distance=1, radius=0).features(image, (9.0, 1.0, 1.0))
    torch.testing.assert_close(far, mind_ssc(image, distance=(1, 1, 1), radius=(0, 0, 0)))


def test_mind_finds_the_place_under_an_inverted_contrast():
    image = blobs((16, 16, 16))
    other = torch.exp(-image)
    losses = [compared(Mind(), image, other.roll(s, dims=2)) for s in (-2, -1, 0, 1, 2)]
    assert min(losses) == losses[2]


@pytest.mark.parametrize(("distance", "radius"), [(0, 1), (1, -1)])
def test_mind_refuses_options_that_are_too_small(distance, radius):
    with pytest.raises(ConfigError, match="distance must be 1 sample or more"):
        Mind(distance=distance, radius=radius)


def test_gradient_fields_see_no_sign_and_no_strength():
    image = blobs()
    fields = GradientFields(edge=1e-3)
    for other in (image, -image, 5 * image):
        assert compared(fields, image, other) == pytest.approx(0, abs=1e-3)


def test_gradient_fields_are_in_the_world():
    z = torch.arange(6.0)[:, None, None] * torch.ones(6, 6, 6)
    x = z.permute(2, 1, 0)
    plane = (2 * z + x)[None]  # samples of 2 mm along z: slope (1, 0, 1) per mm
    field = GradientFields(edge=1e-6).features(plane, (2.0, 1.0, 1.0))
    torch.testing.assert_close(field[:, 2, 2, 2], torch.tensor([1.0, 0.0, 1.0]) / math.sqrt(2))


def test_gradient_fields_that_cross_are_unlike():
    z = torch.arange(6.0)[:, None, None] * torch.ones(6, 6, 6)
    fields = GradientFields(edge=1e-3)
    assert compared(fields, z[None], z.permute(2, 1, 0)[None]) == pytest.approx(1)


def test_gradient_fields_refuse_a_useless_edge_and_other_channels():
    with pytest.raises(ConfigError, match="edge must be above 0"):
        GradientFields(edge=0)
    with pytest.raises(ShapeError, match="3 channels for each"):
        GradientFields()(blobs(), blobs())


def test_dice_of_masks_is_the_known_fraction():
    a, b = torch.zeros(2, 1, 4, 4, 4)
    a[0, :2], b[0, 1:3] = 1, 1
    assert float(SoftDice()(a, b)) == pytest.approx(0.5)
    assert float(SoftDice()(a, a)) == 0
    assert float(SoftDice()(0.3 * a, 0.3 * a)) == pytest.approx(0)


def test_dice_leaves_out_what_the_fixed_image_lacks():
    a = torch.zeros(2, 4, 4, 4)
    a[0, :2] = 1
    b = torch.rand(2, 4, 4, 4)
    assert float(SoftDice()(a, b)) == pytest.approx(float(SoftDice()(a[:1], b[:1])))
    with pytest.raises(RegionError, match="must not all be 0"):
        SoftDice()(torch.zeros(1, 4, 4, 4), b[:1])


def test_the_cosine_sees_directions_and_no_lengths():
    pair = FeatureCosine(Features(lambda x: x, "itself"))
    a = torch.rand(3, 4, 4, 4, dtype=torch.float64)
    assert float(pair(a, 7 * a)) == pytest.approx(0, abs=1e-12)
    assert float(pair(a, -a)) == pytest.approx(2, abs=1e-12)
    assert float(pair(a, 0 * a)) == pytest.approx(1)


def test_features_are_checked_and_keep_the_number_type():
    image = blobs()
    assert Features(lambda x: x.float(), "single")(image).dtype == torch.float64
    with pytest.raises(ShapeError, match="features 'half' must keep the lattice"):
        Features(lambda x: x[..., ::2], "half")(image)
    with pytest.raises(IntensityError, match="features 'log' must be finite"):
        Features(lambda x: torch.log(x - 100), "log")(image)

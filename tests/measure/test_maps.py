"""Feature maps: every fast way gives what a region cut out around one voxel gives."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vesalius.core import Grid, Image, Step
from vesalius.errors import ConfigError, RegionError, ShapeError
from vesalius.measure import Config, catalogue, feature_maps, parse_config
from vesalius.measure._feature import DIRECTIONAL, ZONAL
from vesalius.measure._map_names import MAPPED
from vesalius.measure._pair_features import PAIR_FEATURES
from vesalius.measure._prepare import prepare
from vesalius.measure._region import Levels
from vesalius.measure._statistics import statistics
from vesalius.measure._texture import texture

EVERY = (*DIRECTIONAL, *ZONAL)
CO = tuple(f.tag for f in catalogue() if f.family == "glcm")
EXTENT = (6, 7, 8)


def config(**sections: object) -> Config:
    """Whole numbers are the levels: 1 to 6."""
    plain = {"discretise": {"method": "none"}, "features": {"aggregations": EVERY}}
    return Config.model_validate(plain | sections)


def case(seed: int = 0, top: int = 6) -> tuple[Image, torch.Tensor]:
    """A region with holes in an image of whole numbers."""
    random = np.random.default_rng(seed)
    values = torch.from_numpy(random.integers(1, top + 1, EXTENT).astype(float))
    mask = torch.from_numpy(random.random(EXTENT) < 0.7)
    return Image(values[None], Grid.from_spacing(EXTENT, (2.0, 1.0, 1.0)), "HU"), mask


def one_cube(
    image: Image, mask: torch.Tensor, centre: tuple[int, ...], radius: int, distance: int = 1
) -> dict[str, float]:
    """Measure the cube around one voxel as a region of its own: the slow, obvious way."""
    cube = tuple(slice(max(0, c - radius), c + radius + 1) for c in centre)
    data, inside = image.data[0][cube], mask[cube]
    border = (distance,) * 6
    levels = Levels(
        torch.nn.functional.pad((data * inside).to(torch.int16), border),
        torch.nn.functional.pad(inside, border),
        int(image.data[0][mask].max()),
        distance,
        image.grid.spacing_mm,
    )
    families = MAPPED - {"statistics", "histogram"}
    found = texture(levels, families=families, aggregations=EVERY, distance=distance)
    found += statistics(np.sort(data[inside].numpy()))
    return {value.key: value.value for value in found}


def box_of(mask: torch.Tensor) -> tuple[int, ...]:
    return tuple(int(v) for v in mask.nonzero().min(0).values)


def some_voxels(mask: torch.Tensor, count: int = 5) -> list[tuple[int, ...]]:
    inside = mask.nonzero()
    pick = np.random.default_rng(1).choice(len(inside), count, replace=False)
    return [tuple(inside[k].tolist()) for k in pick]


def assert_maps_are_local_regions(
    features: tuple[str, ...], radius: int, distance: int = 1, seed: int = 0
) -> None:
    image, mask = case(seed)
    chosen = config(features={"aggregations": EVERY, "distance": distance})
    maps = feature_maps(image, mask, features=features, radius=radius, config=chosen)
    start = box_of(mask)
    for voxel in some_voxels(mask):
        expected = one_cube(image, mask, voxel, radius, distance)
        place = tuple(v - s for v, s in zip(voxel, start, strict=True))
        for name, found in maps.items():
            value = float(found.data[0][place])
            assert value == pytest.approx(expected[name], rel=1e-9, abs=1e-9, nan_ok=True), name


@pytest.mark.parametrize("radius", [1, 2])
def test_every_co_occurrence_map_equals_the_cube_measured_alone(radius):
    assert_maps_are_local_regions(CO, radius)


def test_neighbours_further_away_are_found_in_the_cube():
    assert_maps_are_local_regions(("cm_contrast", "cm_joint_entr", "ngt_contrast"), 2, distance=2)


def test_steps_longer_than_the_cube_leave_nothing_to_count():
    image, mask = case()
    chosen = config(features={"aggregations": ("3D_avg",), "distance": 3})
    names = ("cm_contrast", "cm_energy")
    for found in feature_maps(image, mask, features=names, radius=1, config=chosen).values():
        assert bool(found.data.isnan().all())


@pytest.mark.parametrize(
    "feature", ["stat_median", "rlm_sre", "szm_lze", "dzm_sde", "ngt_coarseness", "ngl_lde"]
)
def test_maps_of_the_other_families_equal_the_cube_measured_alone(feature):
    assert_maps_are_local_regions((feature,), 1)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), radius=st.integers(1, 3), tag=st.sampled_from(CO))
def test_a_co_occurrence_map_equals_the_cube_measured_alone_for_any_region(seed, radius, tag):
    assert_maps_are_local_regions((f"{tag}_3D_avg", f"{tag}_3D_comb"), radius, seed=seed)


def test_first_order_maps_are_moving_statistics():
    image, mask = case()
    whole = torch.ones_like(mask)
    names = ("stat_mean", "stat_max", "ih_max", "ih_mean")
    maps = feature_maps(image, whole, features=names, radius=1, config=config())
    cube = image.data[0, 1:4, 2:5, 3:6]
    at = (0, 2, 3, 4)
    assert float(maps["stat_mean"].data[at]) == pytest.approx(float(cube.mean()))
    assert float(maps["ih_mean"].data[at]) == pytest.approx(float(cube.mean()))
    assert float(maps["stat_max"].data[at]) == float(maps["ih_max"].data[at]) == float(cube.max())


def test_the_map_is_nan_outside_the_region_and_lies_where_the_region_lies():
    image, mask = case()
    mask[:2] = False
    mask[:, :, 6:] = False
    (found,) = feature_maps(image, mask, features=("stat_mean",), config=config()).values()
    start = box_of(mask)
    inside = mask[tuple(slice(s, s + n) for s, n in zip(start, found.grid.shape, strict=True))]
    assert bool((found.data[0].isfinite() == inside).all())
    corner = torch.zeros(1, 3, dtype=torch.float64)
    expected = image.grid.to_world(torch.tensor([start], dtype=torch.float64))
    assert torch.allclose(found.grid.to_world(corner), expected)
    assert found.unit == "HU"
    assert found.channels == ("stat_mean",)


def test_voxels_outside_the_region_never_count():
    image, mask = case()
    other = Image(torch.where(mask, image.data, 1000.0), image.grid, image.unit)
    names = ("cm_contrast_3D_avg", "cm_joint_entr_3D_comb", "stat_energy", "szm_sze_3D")
    before = feature_maps(image, mask, features=names, radius=1, config=config())
    after = feature_maps(other, mask, features=names, radius=1, config=config())
    for name in before:
        assert torch.equal(before[name].data.nan_to_num(), after[name].data.nan_to_num())


def test_levels_are_those_of_the_whole_region():
    """A cube with two of six values has a contrast of (6 - 1)^2, not of one step."""
    values = torch.ones(1, 9, 9, 9, dtype=torch.float64)
    values[..., ::2] = 6.0
    image = Image(values, Grid.from_spacing((9, 9, 9)))
    mask = torch.ones(9, 9, 9, dtype=torch.bool)
    chosen = config(discretise={"method": "bin_count", "bin_count": 6})
    names = ("cm_contrast_2_5D_avg",)
    (found,) = feature_maps(image, mask, features=names, config=chosen).values()
    assert float(found.data[0, 4, 4, 4]) == pytest.approx(3 / 4 * 25)


def test_a_quarter_turn_of_the_image_turns_the_map():
    image, mask = case()
    names = ("cm_contrast_3D_avg", "cm_corr_3D_comb", "cm_info_corr1_3D_avg", "szm_sze_3D")
    maps = feature_maps(image, mask, features=names, radius=1, config=config())
    turned = torch.rot90(image.data, 1, (1, 2))
    grid = Grid.from_spacing(tuple(turned.shape[1:]))
    there = torch.rot90(mask, 1, (0, 1))
    again = feature_maps(Image(turned, grid), there, features=names, radius=1, config=config())
    for name in names:
        expected = torch.rot90(maps[name].data, 1, (1, 2)).nan_to_num()
        assert torch.allclose(again[name].data.nan_to_num(), expected, atol=1e-10)


def test_a_flat_region_has_no_correlation_and_no_contrast():
    image = Image(torch.full((1, 5, 5, 5), 3.0), Grid.from_spacing((5, 5, 5)))
    mask = torch.ones(5, 5, 5, dtype=torch.bool)
    chosen = config(features={"aggregations": ("3D_avg", "3D_comb")})
    names = ("cm_corr", "cm_contrast", "cm_joint_var")
    maps = feature_maps(image, mask, features=names, config=chosen)
    assert bool(maps["cm_corr_3D_avg"].data.isnan().all())
    assert float(maps["cm_contrast_3D_comb"].data.abs().max()) == 0
    assert float(maps["cm_joint_var_3D_avg"].data.abs().max()) == 0


def test_the_map_lies_on_the_lattice_that_is_measured():
    image, mask = case()
    chosen = config(
        resample={"spacing_mm": (1.0, 1.0, 1.0)},
        resegment={"range": (2.0, 5.0)},
        discretise={"method": "bin_width", "bin_width": 1.0},
    )
    (found,) = feature_maps(image, mask, features=("cm_contrast_3D_comb",), config=chosen).values()
    region = prepare(image, mask, chosen)
    assert found.grid.spacing_mm == pytest.approx((1.0, 1.0, 1.0))
    assert int(found.data.isfinite().sum()) <= int(region.mask.sum())
    assert int(found.data.isfinite().sum()) > 0


def test_normalisation_comes_first():
    image, mask = case()
    chosen = config(
        normalise={"method": "zscore_mask"}, discretise={"method": "bin_count", "bin_count": 4}
    )
    (found,) = feature_maps(image, mask, features=("stat_mean",), config=chosen).values()
    inside = found.data[found.data.isfinite()]
    assert float(inside.abs().max()) < 2


def test_a_tag_alone_gives_the_aggregations_of_the_configuration():
    image, mask = case()
    chosen = config(features={"aggregations": ("3D_comb", "2_5D_avg", "3D")})
    maps = feature_maps(image, mask, features=("cm_energy", "szm_sze"), radius=1, config=chosen)
    assert set(maps) == {"cm_energy_2_5D_avg", "cm_energy_3D_comb", "szm_sze_3D"}


def test_progress_is_told_by_family_and_within_a_slow_one():
    image, mask = case()
    steps: list[Step] = []
    names = ("cm_contrast_3D_avg", "stat_mean")
    feature_maps(image, mask, features=names, radius=1, config=config(), on_step=steps.append)
    assert [s.what for s in steps if "voxels" not in s.what] == ["map: glcm", "map: statistics"]
    assert any(s.what == "map: statistics, voxels" for s in steps)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("cm_contrst", "did you mean 'cm_contrast'"),
        ("morph_volume", "cannot be mapped"),
        ("\u4e2d", "vesalius features"),
    ],
)
def test_a_feature_that_cannot_be_mapped_is_refused(name, says):
    image, mask = case()
    with pytest.raises(ConfigError, match=says):
        feature_maps(image, mask, features=(name,), config=config())


def test_a_tag_without_any_of_its_aggregations_is_refused():
    image, mask = case()
    chosen = config(features={"aggregations": ("3D_avg",)})
    with pytest.raises(ConfigError, match=r"szm_sze.*aggregations 2D, 2_5D, 3D.*szm_sze_3D"):
        feature_maps(image, mask, features=("szm_sze",), config=chosen)


def test_a_radius_of_nothing_is_refused():
    image, mask = case()
    with pytest.raises(ShapeError, match="radius must be at least 1 voxel"):
        feature_maps(image, mask, features=("stat_mean",), radius=0, config=config())


def test_an_empty_mask_is_refused():
    image, mask = case()
    with pytest.raises(RegionError, match="mask must have at least one voxel"):
        feature_maps(image, torch.zeros_like(mask), features=("stat_mean",), config=config())


def test_a_configuration_with_an_unknown_map_is_refused_before_anything_is_measured():
    with pytest.raises(ConfigError, match="did you mean 'cm_contrast'"):
        parse_config("maps: {features: [cm_contrats]}")
    assert parse_config("maps: {features: [cm_contrast]}").maps.features == ("cm_contrast",)


def test_pair_features_are_catalogued():
    assert set(PAIR_FEATURES) < set(CO)


def test_a_real_tumour_has_rougher_and_smoother_parts(data_dir):
    from vesalius.io import open as open_volume
    from vesalius.io import open_labels

    folder = data_dir / "radiomics_cases"
    image = open_volume(folder / "brain1_image.nrrd").read()
    mask = open_labels(folder / "brain1_label.nrrd").mask(1, 0)
    names = ("cm_contrast_3D_avg",)
    chosen = Config.model_validate({"discretise": {"method": "bin_width", "bin_width": 25.0}})
    (found,) = feature_maps(image, mask, features=names, config=chosen).values()
    values = found.data[found.data.isfinite()]
    assert len(values) == int(mask.sum())
    assert math.isfinite(float(values.max()))
    assert float(values.max()) > 4 * float(values.median()) > 0

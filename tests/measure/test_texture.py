"""Tests of texture: reference values, invariances, determinism, undefined values."""

import csv
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from texture_cases import EVERY, SOLID, measured, of_one, pad_levels, random_case

from vesalius.errors import ShapeError
from vesalius.measure._feature import DIRECTIONAL, ZONAL, Value
from vesalius.measure._region import Levels
from vesalius.measure._texture import CATALOGUE, texture
from vesalius.ops import _cooccurrence, _counts, _neighbourhood, _runs, _zones

PREFIXES = ("cm_", "rlm_", "szm_", "dzm_", "ngt_", "ngl_")


def nifti(path: Path) -> NDArray[np.float64]:
    """Read the samples of a small NIfTI file as (z, y, x)."""
    import nibabel

    return np.asarray(nibabel.load(path).dataobj).T


def references(root: Path, name: str) -> dict[str, tuple[float, float]]:
    path = root / "ibsi" / "ibsi1_reference_values" / f"{name}.csv"
    with path.open() as file:
        rows = [row for row in csv.DictReader(file, delimiter=";") if row["tolerance"]]
    every = {r["tag"]: (float(r["reference value"]), float(r["tolerance"])) for r in rows}
    return {tag: pair for tag, pair in every.items() if tag.startswith(PREFIXES)}


def failures(values: dict[str, Value], wanted: dict[str, tuple[float, float]]) -> list[str]:
    """List the rows that fail IBSI's rule: rounded to 3 digits, within the tolerance."""
    return [
        f"{tag}: {values[tag].value} is not {reference} +- {tolerance}"
        for tag, (reference, tolerance) in wanted.items()
        if not abs(float(f"{values[tag].value:.3g}") - reference) <= tolerance * (1 + 1e-9) + 1e-12
    ]


def test_every_row_of_the_ibsi_digital_phantom_agrees(data_dir: Path) -> None:
    folder = data_dir / "ibsi" / "ibsi1_digital_phantom"
    mask = nifti(folder / "mask.nii.gz") > 0
    levels = pad_levels(np.where(mask, nifti(folder / "image.nii.gz"), 0), mask, 6)
    wanted = references(data_dir, "ibsi_1_dig_phantom")
    assert len(wanted) == 408
    values = measured(levels)
    assert len(values) == 25 * 6 + 16 * 6 + (16 + 16 + 5 + 17) * 3 == 408
    assert failures(values, wanted) == []


def test_every_row_of_ibsi_configuration_a_agrees(data_dir: Path) -> None:
    folder = data_dir / "ibsi" / "ibsi1_ct_phantom"
    image, mask = nifti(folder / "image.nii.gz").astype(float), nifti(folder / "mask.nii.gz") > 0
    kept = mask & (image >= -500) & (image <= 400)
    levels = pad_levels(np.where(kept, np.floor((image + 500) / 25) + 1, 0), mask, 36)
    wanted = references(data_dir, "ibsi_1_chest_config_a")
    assert len(wanted) == 272
    assert failures(measured(levels), wanted) == []


def test_names_and_codes_are_those_of_the_standard(data_dir: Path) -> None:
    with (data_dir / "ibsi" / "ibsi_feature_codes.csv").open() as file:
        known = {row["tag"]: row for row in csv.DictReader(file, delimiter=";")}
    ours = {feature.tag: feature for features in CATALOGUE.values() for feature in features}
    assert set(ours) == {tag for tag in known if tag.startswith(PREFIXES)}
    for tag, feature in ours.items():
        assert (feature.name, feature.code) == (known[tag]["name"], known[tag]["ibsi_code"])


def test_the_order_is_family_aggregation_feature() -> None:
    values = texture(random_case(), families=tuple(CATALOGUE), aggregations=EVERY)
    wanted = [
        (feature.tag, name)
        for family, features in CATALOGUE.items()
        for name in (DIRECTIONAL if family in ("glcm", "glrlm") else ZONAL)
        for feature in features
    ]
    assert [(value.tag, value.aggregation) for value in values] == wanted


@pytest.mark.parametrize("family", list(CATALOGUE))
@pytest.mark.parametrize("aggregation", EVERY)
def test_what_is_asked_alone_is_the_same_as_asked_together(family: str, aggregation: str) -> None:
    levels = random_case(4)
    alone = texture(levels, families=(family,), aggregations=(aggregation,))
    together = texture(levels, families=tuple(CATALOGUE), aggregations=EVERY)
    tags = {feature.tag for feature in CATALOGUE[family]}
    assert alone == [v for v in together if v.tag in tags and v.aggregation == aggregation]


def same(found: dict[str, Value], wanted: dict[str, Value], tolerance: float) -> None:
    assert found.keys() == wanted.keys()
    for key, value in wanted.items():
        assert found[key].reason == value.reason
        assert found[key].value == pytest.approx(
            value.value, rel=tolerance, abs=tolerance, nan_ok=True
        )


def turned(levels: Levels, turns: int, axes: tuple[int, int], flip: int) -> Levels:
    data, morphological = (
        torch.rot90(x, turns, axes).flip(flip).contiguous()
        for x in (levels.data, levels.morphological)
    )
    return Levels(data, morphological, levels.count, levels.pad, levels.spacing_mm)


@pytest.mark.parametrize("axes", [(0, 1), (0, 2), (1, 2)])
@pytest.mark.parametrize("flip", [0, 1, 2])
def test_turning_and_flipping_changes_no_3d_value(axes: tuple[int, int], flip: int) -> None:
    levels = random_case(7)
    wanted = {k: v for k, v in measured(levels).items() if v.aggregation in SOLID}
    found = measured(turned(levels, 1, axes, flip))
    same({key: found[key] for key in wanted}, wanted, 1e-10)


def test_turning_within_the_slices_changes_no_value() -> None:
    levels = random_case(8)
    same(measured(turned(levels, 1, (1, 2), 1)), measured(levels), 1e-10)


def test_padding_changes_nothing() -> None:
    assert str(measured(random_case(2, pad=4))) == str(measured(random_case(2, pad=1)))


def test_empty_slices_change_no_value_that_is_measured_by_slice() -> None:
    data = np.zeros((7, 6, 6), np.int16)
    data[2:5] = np.random.default_rng(0).integers(1, 4, (3, 6, 6))
    spread = data[[2, 0, 3, 0, 0, 4]]
    whole, apart = measured(of_one(data)), measured(of_one(spread))
    for key in whole:
        if "_2D" in key or "_2_5D" in key:
            assert apart[key] == whole[key]


def test_threads_change_nothing() -> None:
    levels = random_case(3, (12, 20, 21))
    alone = str(measured(levels))
    with ThreadPoolExecutor(4) as pool:
        assert {str(found) for found in pool.map(measured, [levels] * 8)} == {alone}


def test_a_larger_pad_allows_a_larger_distance() -> None:
    near = measured(random_case(2, pad=2), distance=1)
    far = measured(random_case(2, pad=2), distance=2)
    assert far["cm_contrast_3D_avg"].value != near["cm_contrast_3D_avg"].value
    assert far["rlm_sre_3D_avg"] == near["rlm_sre_3D_avg"]
    assert far["szm_sze_3D"] == near["szm_sze_3D"]
    with pytest.raises(ShapeError, match="levels must have a border of 2 zeros"):
        measured(random_case(2, pad=1), distance=2)


def test_coarseness_makes_more_voxels_alike() -> None:
    strict, loose = (measured(random_case(2), coarseness=k) for k in (0, 1))
    assert loose["ngl_hde_3D"].value > strict["ngl_hde_3D"].value
    assert loose["ngt_contrast_3D"] == strict["ngt_contrast_3D"]


def force_torch(patch: pytest.MonkeyPatch) -> None:
    for module in (_cooccurrence, _runs, _neighbourhood):
        patch.setattr(module, "vectorised", lambda levels, cells: True)
    patch.setattr(_zones, "vectorised", lambda levels: True)


def test_the_torch_path_gives_the_same_values(monkeypatch: pytest.MonkeyPatch) -> None:
    levels = random_case(5)
    wanted = measured(levels)
    force_torch(monkeypatch)
    same(measured(levels), wanted, 1e-13)


@pytest.mark.parametrize("cells", [1, 300, 3000])
def test_small_tables_give_the_same_values(monkeypatch: pytest.MonkeyPatch, cells: int) -> None:
    levels = random_case(6)
    wanted = measured(levels)
    from vesalius.measure import _texture

    for module in (_counts, _cooccurrence, _zones, _texture):
        monkeypatch.setattr(module, "TABLE_CELLS", cells)
    same(measured(levels), wanted, 1e-13)


@pytest.mark.gpu
def test_the_gpu_gives_the_same_values() -> None:
    levels = random_case(5, (20, 30, 31))
    on_gpu = Levels(levels.data.cuda(), levels.morphological.cuda(), 5, 1, levels.spacing_mm)
    same(measured(on_gpu), measured(levels), 1e-10)


def test_nan_always_has_a_reason() -> None:
    for shape in [(1, 1, 1), (1, 1, 2), (2, 1, 1), (3, 3, 3), (1, 4, 4)]:
        for value in measured(of_one(np.full(shape, 2, np.int16))).values():
            assert not np.isnan(value.value) or value.reason
            assert np.isfinite(value.value) or np.isnan(value.value)


def undefined(levels: Levels, aggregation: str) -> set[str]:
    values = measured(levels).values()
    return {v.tag for v in values if v.aggregation == aggregation and np.isnan(v.value)}


def test_one_voxel_has_no_pairs_and_no_differences() -> None:
    levels = of_one(np.full((1, 1, 1), 3, np.int16))
    assert undefined(levels, "3D_comb") == {f.tag for f in CATALOGUE["glcm"]}
    assert undefined(levels, "3D") == {f.tag for f in CATALOGUE["ngtdm"]}
    values = measured(levels)
    assert "the matrix is empty" in values["cm_contrast_3D_avg"].reason
    assert "no voxel has a neighbour" in values["ngt_complexity_3D"].reason
    assert values["szm_lze_3D"] == Value("szm_lze", "3D", 1.0)


def test_one_level_has_no_correlation_and_no_contrast() -> None:
    levels = of_one(np.full((3, 4, 5), 2, np.int16))
    assert undefined(levels, "3D_avg") == {"cm_corr", "cm_info_corr1"}
    flat = {"ngt_coarseness", "ngt_contrast", "ngt_busyness", "ngt_strength"}
    assert undefined(levels, "3D") == flat
    values = measured(levels)
    assert values["cm_corr_3D_comb"].reason.startswith("0/0: all neighbouring voxels have one")
    assert values["ngt_busyness_2D"].reason.startswith("division by zero")
    assert values["ngt_contrast_2D"].reason.startswith("0/0: fewer than two grey levels")
    assert values["ngt_coarseness_2D"].reason.startswith("division by zero: every voxel equals")
    assert values["cm_info_corr2_3D_comb"].value == 0.0
    assert values["cm_joint_entr_3D_comb"].value == 0.0


def test_a_mean_over_some_matrices_says_how_many_it_left_out() -> None:
    data = np.zeros((2, 4, 4), np.int16)
    data[0] = np.arange(16).reshape(4, 4) + 1
    data[1, 2, 2] = 5
    value = measured(of_one(data))["cm_contrast_2D_comb"]
    assert value.value > 0
    assert value.reason.startswith("left out 1 of 2 matrices: no two voxels")


def test_many_levels_are_measured_in_little_memory() -> None:
    random = np.random.default_rng(0)
    data = random.integers(1, 65536, (3, 12, 12))
    padded = torch.from_numpy(np.pad(data, 1).astype(np.int32))
    levels = Levels(padded, padded > 0, 65535, 1, (1.0, 1.0, 1.0))
    values = measured(levels)
    assert all(np.isfinite(value.value) for value in values.values())

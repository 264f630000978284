"""PET uptake measures."""

import math

import pytest
import torch

from vesalius.core import Grid
from vesalius.errors import UnitError
from vesalius.measure._config import Pet
from vesalius.measure._pet import FEATURES, pet
from vesalius.measure._region import Region


def lesion(unit: str = "SUV") -> Region:
    """A 2 x 2 x 2 hot core of SUV 10 in a shell of SUV 2, 2 mm voxels."""
    values = torch.full((12, 12, 12), 2.0, dtype=torch.float64)
    values[5:7, 5:7, 5:7] = 10.0
    mask = torch.zeros(12, 12, 12, dtype=torch.bool)
    mask[3:9, 3:9, 3:9] = True
    return Region(Grid.from_spacing((12, 12, 12), (2.0, 2.0, 2.0)), values, mask, mask, unit)


def table(settings: Pet) -> dict[str, float]:
    return {v.tag: v.value for v in pet(lesion(), settings)}


def test_forty_one_percent_of_the_maximum_finds_the_core():
    found = table(Pet())
    assert found["pet_suv_max"] == 10
    assert found["pet_threshold"] == pytest.approx(4.1)
    assert found["pet_suv_mean"] == 10
    assert found["pet_mtv"] == pytest.approx(8 * 8 / 1000)
    assert found["pet_tlg"] == pytest.approx(10 * 8 * 8 / 1000)


def test_a_fixed_threshold_counts_every_voxel_at_or_above_it():
    found = table(Pet(method="fixed", threshold=2.0))
    assert found["pet_mtv"] == pytest.approx(216 * 8 / 1000)
    assert found["pet_suv_mean"] == pytest.approx((8 * 10 + 208 * 2) / 216)


def test_suv_peak_is_the_mean_of_a_cubic_centimetre():
    found = table(Pet())
    assert 2 < found["pet_suv_peak"] < 10


def test_nothing_above_a_fixed_threshold_gives_no_volume_and_says_why():
    found = {v.tag: v for v in pet(lesion(), Pet(method="fixed", threshold=50.0))}
    assert found["pet_mtv"].value == 0
    assert found["pet_tlg"].value == 0
    assert math.isnan(found["pet_suv_mean"].value)
    assert found["pet_suv_mean"].reason == "no voxel reaches the threshold"


def test_refuses_counts_that_are_no_suv():
    with pytest.raises(UnitError, match="pet needs intensities in SUV, got unit 'Bq/mL'"):
        pet(lesion("Bq/mL"), Pet())


def test_values_come_in_the_order_of_the_catalogue():
    assert [v.tag for v in pet(lesion(), Pet())] == [f.tag for f in FEATURES]

"""Made volumes of nuclei: truth, crowding, looks, and that they can be made again."""

import pytest
import torch

from vesalius.errors import ConfigError
from vesalius.physics.optics._nuclei import NucleiLook, nuclei

SHAPE = (16, 40, 44)


def made(seed=0, **look):
    return nuclei(SHAPE, look=NucleiLook(**look), generator=torch.Generator().manual_seed(seed))


def test_can_be_made_again():
    one, two, other = made(3), made(3), made(4)
    assert torch.equal(one.image.data, two.image.data)
    assert torch.equal(one.labels.data, two.labels.data)
    assert not torch.equal(one.labels.data, other.labels.data)


def test_labels_are_numbered_without_gaps_and_named():
    labels = made().labels
    numbers = labels.data.unique().tolist()
    assert numbers == list(range(len(numbers)))
    assert len(numbers) > 4
    assert labels.name(1) == "nucleus"


def test_nuclei_are_brighter_than_what_is_between_them():
    volume = made(contrast=(0.8, 1.0), noise=(0.02, 0.05))
    inside = volume.labels.data > 0
    data = volume.image.data
    assert float(data[inside].mean()) > 2 * float(data[~inside].mean())
    assert bool(torch.isfinite(data).all())


def test_crowded_nuclei_touch_and_sparse_ones_do_not_fill():
    def touching(labels):
        right, left = labels[..., 1:], labels[..., :-1]
        return int(((right != left) & (right > 0) & (left > 0)).sum())

    crowded, sparse = made(crowding=(0.9, 0.9)).labels.data, made(crowding=(0.1, 0.1)).labels.data
    assert touching(crowded) > 50 > touching(sparse)
    assert float((crowded > 0).float().mean()) > 2 * float((sparse > 0).float().mean())


def test_thick_slices_hold_flatter_nuclei():
    def height(across):
        labels = made(5, across=(across, across), diameter=(12, 12), longest=1.0).labels.data[0]
        spans = []
        for value in labels.unique().tolist()[1:]:
            where = (labels == value).nonzero()
            spans.append((where.amax(0) - where.amin(0) + 1).tolist())
        middle = torch.tensor(spans).double().median(dim=0).values
        return float(middle[0] / middle[2])

    assert height(2.5) < 0.65 * height(1.0)


@pytest.mark.parametrize(
    "wrong", [{"diameter": (9.0, 3.0)}, {"across": (0.5, 1.0)}, {"noise": (-0.1, 0.1)}]
)
def test_refuses_pairs_that_do_not_rise(wrong):
    with pytest.raises(ConfigError, match="looks of nuclei must be rising pairs"):
        NucleiLook(**wrong)


@pytest.mark.parametrize("wrong", [{"spread": -0.1}, {"bumps": -1.0}])
def test_refuses_negative_deviations(wrong):
    with pytest.raises(ConfigError, match="spread and bumps must not be negative"):
        NucleiLook(**wrong)

"""Objects without weights: touching discs, sizes, grounds, real nuclei, refusals."""

import numpy as np
import pytest
import torch

from vesalius.core import Grid, Image
from vesalius.errors import ConfigError, ShapeError
from vesalius.segment import Hints, segment
from vesalius.segment._flow_head import found_share
from vesalius.segment.instances import DistanceWatershed


def balls(shape, centres, radius, spacing=(1.0, 1.0, 1.0)):
    place = torch.stack(torch.meshgrid(*[torch.arange(float(n)) for n in shape], indexing="ij"), -1)
    far = torch.stack(
        [((place - torch.tensor(c)) * torch.tensor(spacing)).norm(dim=-1) for c in centres]
    )
    return torch.where(far.amin(0) <= radius, far.argmin(0) + 1, 0).int()


def picture(labels, spacing=(1.0, 1.0, 1.0), noise=0.05):
    draw = torch.Generator().manual_seed(0)
    data = (labels > 0).float() + noise * torch.randn(labels.shape, generator=draw)
    return Image(data[None], Grid.from_spacing(labels.shape, spacing))


TWO = balls((1, 50, 60), [(0.0, 25, 20), (0.0, 25, 37)], 10)


def test_touching_discs_are_two_objects():
    found = segment(picture(TWO), DistanceWatershed())
    assert found_share(found.labels.data[0], TWO, 0.8) == 1.0
    assert found.values["objects"] == 2
    assert found.values["median diameter"] == pytest.approx(20, rel=0.08)
    assert found.labels.name(2) == "object"


def test_touching_balls_in_thick_slices_are_two_objects():
    spacing = (2.5, 1.0, 1.0)
    labels = balls((13, 36, 44), [(6.0, 18, 13), (6.0, 18, 30)], 10, spacing)
    found = segment(picture(labels, spacing), DistanceWatershed())
    assert found_share(found.labels.data[0], labels, 0.75) == 1.0


def test_a_deeper_pass_is_asked_for_and_they_are_one():
    found = segment(picture(TWO), DistanceWatershed(depth_share=0.9))
    assert found.values["objects"] == 1


def test_dark_objects_are_found_too():
    image = picture(TWO).map(lambda x: -x)
    found = segment(image, DistanceWatershed(foreground="dark"))
    assert found_share(found.labels.data[0], TWO, 0.8) == 1.0


def test_a_local_threshold_follows_an_uneven_ground():
    ramp = torch.linspace(0, 4, 60).expand(1, 50, 60)
    image = picture(TWO).map(lambda x: x + ramp)
    method = DistanceWatershed(threshold="local", radius_mm=25.0)
    local = segment(image, method)
    whole = segment(image, DistanceWatershed())
    found = [found_share(one.labels.data[0], TWO, 0.5) for one in (local, whole)]
    assert found[0] > found[1]
    assert "threshold" in local.maps


def test_small_objects_are_left_out():
    labels = TWO.clone()
    labels[0, 2:5, 2:5] = 3
    few = segment(picture(labels, noise=0.0), DistanceWatershed(blur_samples=0.0))
    all_ = segment(picture(labels, noise=0.0), DistanceWatershed(blur_samples=0.0, least_samples=4))
    assert (few.values["objects"], all_.values["objects"]) == (2, 3)


def test_stays_within_the_mask():
    from vesalius.core import Labels

    mask = torch.zeros(1, 1, 50, 60, dtype=torch.uint8)
    mask[..., :30] = 1
    image = picture(TWO)
    found = segment(image, DistanceWatershed(), hints=Hints(mask=Labels(mask, image.grid)))
    assert int(found.labels.data[..., 30:].max()) == 0
    assert int(found.labels.data[..., :30].max()) >= 1


def test_real_nuclei_as_well_as_a_watershed_can(data_dir):
    import tifffile

    folder = data_dir / "segmentation" / "stardist"
    data = tifffile.imread(folder / "img2d.tif").astype(np.int32)
    truth = torch.from_numpy(tifffile.imread(folder / "mask2d.tif").astype(np.int32))[None]
    image = Image(torch.from_numpy(data)[None, None], Grid.from_spacing((1, *data.shape)))
    found = segment(image, DistanceWatershed())
    assert found_share(found.labels.data[0], truth, 0.5) > 0.5  # scikit-image's: .531


@pytest.mark.parametrize(
    "wrong", [{"blur_samples": -1.0}, {"depth_share": 0.0}, {"least_samples": 0}]
)
def test_refuses_numbers_that_mean_nothing(wrong):
    with pytest.raises(ConfigError, match="blur_samples must not be negative"):
        DistanceWatershed(**wrong)


def test_refuses_several_channels():
    image = picture(TWO).map(lambda x: x)
    many = Image(image.data.expand(2, -1, -1, -1).contiguous(), image.grid)
    with pytest.raises(ShapeError, match="DistanceWatershed needs an image of one channel"):
        segment(many, DistanceWatershed())

"""What a notebook shows of an image."""

import base64
import io
import re

import matplotlib.image
import numpy as np
import pytest
import torch

from vesalius.core import Grid, Image


def pictures(html):
    found = re.findall(r'src="data:image/png;base64,([A-Za-z0-9+/=]+)"', html)
    return [matplotlib.image.imread(io.BytesIO(base64.b64decode(f)), format="png") for f in found]


def test_shows_three_planes_of_a_volume_and_one_of_a_flat_image(generator):
    volume = Image(torch.rand(1, 4, 5, 6, generator=generator), Grid.from_spacing((4, 5, 6)))
    assert [p.shape for p in pictures(volume._repr_html_())] == [(5, 6), (4, 6), (4, 5)]
    flat = Image(torch.rand(1, 1, 5, 6, generator=generator), Grid.from_spacing((1, 5, 6)))
    assert [p.shape for p in pictures(flat._repr_html_())] == [(5, 6)]


def test_the_picture_is_a_readable_png_of_the_samples():
    data = torch.linspace(0, 1, 101).repeat(1, 1, 50, 1)
    html = Image(data, Grid.from_spacing((1, 50, 101)))._repr_html_()
    (picture,) = pictures(html)
    expected = np.clip((data[0, 0].numpy() - 0.01) / 0.98, 0, 1)
    assert np.abs(picture - expected).max() < 0.01


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_flipped_array_looks_the_same(axis, generator):
    data = torch.rand(1, 5, 7, 9, generator=generator)
    grid = Grid.from_spacing((5, 7, 9), (2.0, 1.0, 1.0))
    affine = grid.affine.clone()
    affine[:3, 3] += affine[:3, axis] * (grid.shape[axis] - 1)
    affine[:3, axis] *= -1
    flipped = Image(data.flip(axis + 1), Grid(grid.shape, affine))
    one, two = pictures(Image(data, grid)._repr_html_()), pictures(flipped._repr_html_())
    assert all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))


def test_writes_the_letters_of_the_sides_in_the_radiological_way():
    html = Image(torch.zeros(1, 4, 4, 4), Grid.from_spacing((4, 4, 4)))._repr_html_()
    text = re.sub(r"<img[^>]*>", "#", html)
    text = re.sub(r"<br>", " ", text)
    text = re.sub(r"<[^>]+>", "", text)
    assert re.sub(r"\s+", " ", text).startswith("A R # L PS R # L IS A # P I")


def test_says_size_spacing_orientation_range_and_unit():
    data = torch.arange(8, dtype=torch.int16).reshape(1, 2, 2, 2)
    html = Image(data, Grid.from_spacing((2, 2, 2), (3.0, 1.5, 1.5)), "HU")._repr_html_()
    assert "zyx 2 x 2 x 2, 3 x 1.5 x 1.5 mm, axes to SPL, 0 to 7 HU, int16" in html


def test_says_which_channel_it_shows():
    html = Image(torch.zeros(3, 2, 2, 2), Grid.from_spacing((2, 2, 2)))._repr_html_()
    assert "channel 1 of 3" in html


def test_escapes_what_it_did_not_write_itself():
    image = Image(
        torch.zeros(1, 2, 2, 2), Grid.from_spacing((2, 2, 2)), "<script>alert(1)</script>"
    )
    assert "<script>" not in image._repr_html_()
    assert "&lt;script&gt;" in image._repr_html_()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_shows_samples_that_are_not_finite(value):
    data = torch.zeros(1, 3, 3, 3)
    data[0, 1] = value
    html = Image(data, Grid.from_spacing((3, 3, 3)))._repr_html_()
    assert len(pictures(html)) == 3
    everything = Image(torch.full((1, 3, 3, 3), value), Grid.from_spacing((3, 3, 3)))
    assert "no finite value" in everything._repr_html_()


def test_a_large_plane_is_thinned_out():
    html = Image(torch.zeros(1, 1, 1300, 700), Grid.from_spacing((1, 1300, 700)))._repr_html_()
    (picture,) = pictures(html)
    assert max(picture.shape) <= 512


def test_planes_keep_the_proportions_of_the_world():
    html = Image(torch.zeros(1, 10, 20, 20), Grid.from_spacing((10, 20, 20), (4.0, 1.0, 1.0)))
    sizes = re.findall(r'width="(\d+)" height="(\d+)"', html._repr_html_())
    assert sizes == [("192", "192"), ("96", "192"), ("96", "192")]

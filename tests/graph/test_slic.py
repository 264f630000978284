"""SLIC: every sample labelled, every piece connected, edges followed, the same always."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import label

from vesalius.errors import IntensityError, RegionError, ShapeError
from vesalius.graph import slic

SPACING = (2.0, 1.0, 1.0)


def _blocks(shape=(10, 30, 30), seed=0):
    noise = torch.rand(shape, generator=torch.Generator().manual_seed(seed))
    x = 0.1 * noise
    x[:, 11:, :] += 1.0
    x[:, :, 17:] += 2.0
    return x[None]


def _slic(x, *, size=6.0, compactness=0.5, steps=10, mask=None, spacing=SPACING):
    if mask is None:
        mask = torch.ones(x.shape[1:], dtype=torch.bool)
    return slic(x, spacing=spacing, size=size, compactness=compactness, steps=steps, mask=mask)


@settings(max_examples=10, deadline=None)
@given(
    st.integers(0, 99),
    st.floats(2.0, 9.0),
    st.sampled_from([(8, 20, 22), (1, 30, 31), (5, 1, 40)]),
)
def test_labels_every_sample_of_the_mask_and_no_other(seed, size, shape):
    mask = torch.rand(shape, generator=torch.Generator().manual_seed(seed)) > 0.2
    labels = _slic(_blocks(shape, seed)[:, :, :, :], size=size, mask=mask)
    assert torch.equal(labels > 0, mask)
    present = torch.unique(labels[mask])
    assert present.tolist() == list(range(1, int(labels.max()) + 1))


@pytest.mark.parametrize("shape", [(10, 30, 30), (1, 40, 40)])
def test_every_piece_is_connected(shape):
    labels = _slic(_blocks(shape)).numpy()
    for k in range(1, labels.max() + 1):
        assert label(labels == k)[1] == 1


def test_pieces_have_about_the_size_asked_for():
    x = 0.01 * torch.rand(1, 12, 48, 48, generator=torch.Generator().manual_seed(1))
    labels = _slic(x, size=6.0, compactness=1.0)
    sizes = torch.bincount(labels.flatten())[1:].double() * 2.0  # mm^3 a voxel
    assert float(sizes.mean()) == pytest.approx(216.0, rel=0.35)
    assert float(sizes.min()) >= 0.2 * 216


def test_follows_edges_that_are_stronger_than_the_compactness():
    x = _blocks()
    labels = _slic(x, compactness=0.2).numpy()
    truth = (torch.arange(30) >= 11).long()[:, None] + 2 * (torch.arange(30) >= 17).long()[None]
    truth = truth.expand(10, 30, 30).numpy()
    mixed = sum(len(np.unique(truth[labels == k])) > 1 for k in range(1, labels.max() + 1))
    assert mixed == 0


def test_explains_as_much_variance_as_scikit_image():
    from skimage.segmentation import slic as reference

    x = _blocks((12, 40, 40), seed=3) + torch.linspace(0, 1, 40)
    ours = _slic(x, compactness=0.3).numpy()
    theirs = reference(
        x[0].numpy(),
        n_segments=int(ours.max()),
        compactness=0.05,
        spacing=SPACING,
        channel_axis=None,
        start_label=1,
    )

    def within(labels):
        values = x[0].numpy().ravel().astype(float)
        n = np.maximum(np.bincount(labels.ravel()), 1)
        sums = np.bincount(labels.ravel(), values)
        return float((values**2).sum() - (sums**2 / n).sum())

    assert within(ours) < 1.2 * within(theirs)


def test_the_same_input_gives_the_same_labels():
    assert torch.equal(_slic(_blocks()), _slic(_blocks()))


def test_a_spacing_in_other_units_changes_nothing():
    metres = tuple(s * 1e-3 for s in SPACING)
    assert torch.equal(_slic(_blocks()), _slic(_blocks(), size=6e-3, spacing=metres))


def test_equal_channels_weigh_like_one_with_a_larger_value():
    x = _blocks()
    twice = _slic(torch.cat([x, x]), compactness=0.5 * 2**0.5)
    assert torch.equal(_slic(x, compactness=0.5), twice)


def test_one_voxel_is_one_piece():
    mask = torch.zeros(10, 30, 30, dtype=torch.bool)
    mask[4, 5, 6] = True
    assert int(_slic(_blocks(), mask=mask).max()) == 1


def test_samples_outside_the_mask_may_be_nan():
    x, mask = _blocks(), torch.ones(10, 30, 30, dtype=torch.bool)
    x[0, 0], mask[0] = float("nan"), False
    assert int(_slic(x, mask=mask)[0].max()) == 0


def test_refuses_an_empty_mask():
    with pytest.raises(RegionError, match="at least one sample"):
        _slic(_blocks(), mask=torch.zeros(10, 30, 30, dtype=torch.bool))


def test_refuses_a_mask_of_another_shape():
    with pytest.raises(ShapeError, match="mask must have shape"):
        _slic(_blocks(), mask=torch.ones(10, 30, 29, dtype=torch.bool))


def test_refuses_nan_inside_the_mask():
    x = _blocks()
    x[0, 3, 3, 3] = float("nan")
    with pytest.raises(IntensityError, match="must be finite"):
        _slic(x)


@pytest.mark.parametrize(("size", "compactness"), [(0.0, 1.0), (1.0, -1.0)])
def test_refuses_a_size_or_compactness_that_is_not_positive(size, compactness):
    with pytest.raises(IntensityError, match="must be positive"):
        _slic(_blocks(), size=size, compactness=compactness)

"""The page of a segmentation: long curves are drawn by few points, peaks and pits kept."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vesalius.core import Grid, Image
from vesalius.segment import segment
from vesalius.segment.threshold import Otsu
from vesalius.study.segment._tell import thinned


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 9000), st.integers(0, 2**16))
def test_few_points_keep_ends_order_and_extremes(n, seed):
    y = np.random.default_rng(seed).standard_normal(n)
    kept = thinned(y)
    assert len(kept) <= max(2000, min(n, 2000))
    assert (np.diff(kept) > 0).all()
    assert (kept[0], kept[-1]) == (0, n - 1)
    assert {int(y.argmin()), int(y.argmax())} <= set(kept.tolist())
    assert n > 2000 or len(kept) == n


def test_each_peak_of_a_16_bit_histogram_is_drawn():
    spikes = torch.arange(0, 65536, 1311, dtype=torch.int32)
    values = torch.cat([torch.arange(65536, dtype=torch.int32), spikes.repeat(20)])
    image = Image(values.reshape(1, 1, 1, -1), Grid.from_spacing((1, 1, len(values)), (1.0,) * 3))
    curve = segment(image, Otsu()).curves[0]
    counts = curve.y.numpy()
    assert len(counts) == 65536
    drawn = thinned(counts)
    assert len(drawn) <= 2000
    assert set(np.flatnonzero(counts == 21)) <= set(drawn.tolist())

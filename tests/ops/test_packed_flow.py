"""Packed flow: what a byte keeps of a vector."""

import pytest
import torch

from vesalius.errors import ShapeError
from vesalius.ops._packed_flow import packed, unpacked


@pytest.mark.parametrize("shape", [(1, 9, 8), (4, 6, 5)])
def test_unit_vectors_come_back_to_a_byte(shape):
    draw = torch.Generator().manual_seed(2)
    flow = torch.randn(3, *shape, generator=draw)
    if shape[0] == 1:
        flow[0] = 0
    flow = torch.nn.functional.normalize(flow, dim=0)
    back = unpacked(packed(flow, torch.ones(shape, dtype=torch.bool)))
    torch.testing.assert_close(back, flow, atol=0.5 / 127 + 1e-6, rtol=0)


def test_longer_vectors_are_cut_and_shorter_ones_kept():
    flow = torch.zeros(3, 1, 1, 2)
    flow[2, 0, 0] = torch.tensor([4.0, 0.5])
    back = unpacked(packed(flow, torch.ones(1, 1, 2, dtype=torch.bool)))[2, 0, 0]
    assert back.tolist() == pytest.approx([1.0, 0.5], abs=0.004)


def test_nothing_is_kept_outside_the_mask_nor_across_a_plane():
    mask = torch.tensor([[[True, False]]])
    back = unpacked(packed(torch.ones(3, 1, 1, 2), mask))
    assert float(back[..., 1].abs().max()) == 0
    assert float(back[0].abs().max()) == 0
    assert float(back[1, 0, 0, 0]) == pytest.approx(0.5**0.5, abs=0.004)


def test_refuses_a_flow_of_another_shape():
    with pytest.raises(ShapeError, match=r"flow must have shape \(3, \*mask\)"):
        packed(torch.zeros(2, 1, 4, 4), torch.zeros(1, 4, 4, dtype=torch.bool))

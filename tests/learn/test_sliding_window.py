"""Sliding windows: equal to slow loops and to the untiled network, slice by slice, in order."""

import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from vesalius.errors import ConfigError, IntensityError, ShapeError
from vesalius.learn._sliding_window import (
    Skip,
    Window,
    importance,
    sliding_slabs,
    sliding_window,
    starts_along,
)


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def centred(x: Tensor) -> Tensor:
    """A network that looks at the whole patch: each tile gives another value for one voxel."""
    axes = tuple(range(2, x.ndim))
    return torch.cat([x - x.mean(dim=axes, keepdim=True), x.square()], dim=1)


def slow(image: Tensor, patch: tuple[int, int, int], overlap: float) -> Tensor:
    """Weighted mean over all patches, voxel by voxel, straight from the definition."""
    sums: dict[tuple[int, ...], Tensor] = {}
    weights: dict[tuple[int, ...], float] = {}
    starts = [starts_along(n, p, overlap) for n, p in zip(image.shape[1:], patch, strict=True)]
    for corner in itertools.product(*starts):
        tile = torch.zeros(1, image.shape[0], *patch)
        for at in itertools.product(*(range(p) for p in patch)):
            where = tuple(c + a for c, a in zip(corner, at, strict=True))
            if all(0 <= w < n for w, n in zip(where, image.shape[1:], strict=True)):
                tile[(0, slice(None), *at)] = image[(slice(None), *where)]
        out = centred(tile)[0]
        for at in itertools.product(*(range(p) for p in patch)):
            where = tuple(c + a for c, a in zip(corner, at, strict=True))
            if all(0 <= w < n for w, n in zip(where, image.shape[1:], strict=True)):
                away = sum(
                    ((a - (p - 1) / 2) / (p / 8)) ** 2 for a, p in zip(at, patch, strict=True)
                )
                w = max(1e-3, math.exp(-0.5 * away))
                sums[where] = sums.get(where, 0) + w * out[(slice(None), *at)]
                weights[where] = weights.get(where, 0.0) + w
    result = torch.empty(len(next(iter(sums.values()))), *image.shape[1:])
    for where, value in sums.items():
        result[(slice(None), *where)] = value / weights[where]
    return result


@pytest.mark.parametrize("shape", [(5, 6, 7), (3, 9, 4), (2, 3, 2), (9, 4, 5)])
@pytest.mark.parametrize("overlap", [0.0, 0.5, 0.7])
def test_agrees_with_a_slow_loop(shape, overlap):
    image = noise(1, *shape)
    found = sliding_window(centred, image, Window((4, 3, 4), overlap))
    torch.testing.assert_close(found, slow(image, (4, 3, 4), overlap), atol=1e-5, rtol=1e-5)


@given(
    shape=st.tuples(st.integers(1, 14), st.integers(1, 14), st.integers(1, 14)),
    patch=st.tuples(st.integers(1, 8), st.integers(1, 8), st.integers(1, 8)),
    overlap=st.sampled_from([0.0, 0.25, 0.5, 0.75]),
    batch=st.integers(1, 5),
)
def test_a_network_that_sees_one_voxel_gives_the_untiled_output(shape, patch, overlap, batch):
    image = noise(2, *shape)
    found = sliding_window(torch.sin, image, Window(patch, overlap, batch))
    torch.testing.assert_close(found, image.sin(), atol=1e-6, rtol=1e-5)


@given(
    shape=st.tuples(st.integers(1, 12), st.integers(2, 8), st.integers(2, 8)),
    depth=st.integers(1, 6),
    overlap=st.sampled_from([0.0, 0.5, 0.8]),
)
def test_slabs_come_in_order_cover_every_slice_once_and_equal_the_whole(shape, depth, overlap):
    image, window = noise(1, *shape), Window((depth, 4, 4), overlap)
    slabs = list(sliding_slabs(centred, image, window))
    edges = [s.start for s in slabs] + [shape[0]]
    assert edges == sorted(set(edges))
    assert [s.start + s.values.shape[1] for s in slabs] == edges[1:]
    whole = sliding_window(centred, image, window)
    torch.testing.assert_close(torch.cat([s.values for s in slabs], dim=1), whole)


def test_long_slabs_are_handed_out_in_pieces(monkeypatch):
    import vesalius.learn._sliding_window as room

    image, window = noise(1, 9, 4, 4), Window((6, 4, 4))
    whole = sliding_window(centred, image, window)
    monkeypatch.setattr(room, "PIECE", 64)
    slabs = list(sliding_slabs(centred, image, window))
    assert max(s.values.shape[1] for s in slabs) == 2
    torch.testing.assert_close(torch.cat([s.values for s in slabs], dim=1), whole)


@given(batch=st.integers(1, 7))
def test_the_batch_changes_nothing(batch):
    image = noise(1, 6, 7, 8)
    one = sliding_window(centred, image, Window((4, 4, 4), batch=1))
    torch.testing.assert_close(sliding_window(centred, image, Window((4, 4, 4), batch=batch)), one)


def test_a_flat_network_sees_one_slice_after_the_other():
    image = noise(1, 3, 7, 8)

    def flat(x: Tensor) -> Tensor:
        assert x.shape[1:] == (1, 4, 5)
        return centred(x)

    found = sliding_window(flat, image, Window((4, 5)))
    for z in range(3):
        alone = sliding_window(centred, image[:, z : z + 1], Window((1, 4, 5)))
        torch.testing.assert_close(found[:, z : z + 1], alone)


def test_a_small_convolution_is_the_same_tiled_and_whole_away_from_the_seams_of_padding():
    torch.manual_seed(0)
    layer = torch.nn.Conv3d(1, 3, 3)  # unpadded: its own output is exact, and smaller
    image = noise(1, 10, 11, 12)

    def network(x: Tensor) -> Tensor:
        return layer(torch.nn.functional.pad(x, (1,) * 6))

    with torch.no_grad():
        whole = network(image[None])[0]
    # where only patches that hold the whole neighbourhood are summed: the middle of one patch
    found = sliding_window(network, image, Window((10, 11, 12)))
    torch.testing.assert_close(found, whole)
    tiled = sliding_window(network, image, Window((6, 6, 6), 0.75))
    assert (tiled - whole)[:, 3:-3, 3:-3, 3:-3].abs().max() < 0.05 * whole.abs().max()


def test_empty_patches_are_not_looked_at_and_hold_the_fill():
    image = torch.zeros(1, 4, 4, 16)
    image[..., 10:] = 1 + noise(1, 4, 4, 6).abs()
    seen = []

    def network(x: Tensor) -> Tensor:
        seen.append(len(x))
        return torch.cat([x, x + 1], dim=1)

    skip = Skip((image == 0).all(dim=0), torch.tensor([5.0, 7.0]))
    found = sliding_window(network, image, Window((4, 4, 4), 0.0), skip=skip)
    assert sum(seen) == 2
    assert found[0, :, :, :8].unique().tolist() == [5.0]
    assert found[1, :, :, :8].unique().tolist() == [7.0]
    torch.testing.assert_close(found[0, :, :, 8:], image[0, :, :, 8:])


def test_layers_without_anything_are_filled_too():
    image = torch.zeros(1, 9, 4, 4)
    image[:, 6:] = 1.0
    skip = Skip((image == 0)[0], torch.tensor([-1.0]))
    found = sliding_window(torch.exp, image, Window((3, 4, 4), 0.0), skip=skip)
    assert found[0, :6].unique().tolist() == [-1.0]
    torch.testing.assert_close(found[0, 6:], image[0, 6:].exp())
    nothing = Skip(torch.ones(9, 4, 4, dtype=torch.bool), torch.tensor([-1.0]))
    assert sliding_window(torch.exp, image, Window((3, 4, 4)), skip=nothing).unique().item() == -1


def test_a_voxel_that_one_looked_at_patch_covers_takes_that_patch_alone():
    image = torch.zeros(1, 1, 1, 6)
    image[..., 5] = 1.0
    skip = Skip((image == 0)[0], torch.tensor([9.0]))
    found = sliding_window(lambda x: x + 2, image, Window((1, 1, 4)), skip=skip)
    assert found.flatten().tolist() == pytest.approx([9.0, 9.0, 2.0, 2.0, 2.0, 3.0])


def test_tells_of_every_batch():
    steps = []
    image = noise(1, 8, 4, 4)
    sliding_window(torch.exp, image, Window((4, 4, 4), batch=2), on_step=steps.append)
    assert [s.done for s in steps] == [1, 2, 3]
    assert {s.total for s in steps} == {3}


def test_records_no_gradient_and_leaves_the_input_alone():
    image = noise(1, 5, 5, 5).requires_grad_()
    before = image.detach().clone()
    found = sliding_window(lambda x: x.mul(2), image, Window((3, 3, 3)))
    assert not found.requires_grad
    torch.testing.assert_close(image.detach(), before)


def test_half_precision_outputs_are_summed_in_float32():
    image = noise(1, 6, 6, 6)
    found = sliding_window(lambda x: x.bfloat16(), image, Window((3, 3, 3)))
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, image, atol=0.02, rtol=0.01)


def test_sums_in_half_precision_keep_three_digits_of_probabilities():
    p = noise(3, 9, 8, 8).softmax(dim=0)
    found = sliding_window(lambda x: x, p, Window((4, 4, 4), half=True))
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, p, atol=2e-3, rtol=0)


@given(n=st.integers(1, 60), patch=st.integers(1, 30), overlap=st.floats(0, 0.9))
def test_starts_cover_the_axis_with_at_least_the_overlap(n, patch, overlap):
    starts = starts_along(n, patch, overlap)
    if n <= patch:
        assert len(starts) == 1
        assert starts[0] <= 0 <= n <= starts[0] + patch
        return
    assert starts[0] == 0
    assert starts[-1] == n - patch
    gaps = [b - a for a, b in itertools.pairwise(starts)]
    assert all(1 <= g <= max(1, math.ceil(patch * (1 - overlap))) for g in gaps)


def test_the_weight_is_a_gaussian_with_a_floor():
    found = importance((1, 9, 16), 0.125)
    assert found[0, 4].max() == pytest.approx(math.exp(-0.5 * (0.5 / 2) ** 2))
    assert found[0, 0, 0] == pytest.approx(1e-3)
    torch.testing.assert_close(found, found.flip(1, 2))


@pytest.mark.parametrize("patch", [(4,), (4, 4, 4, 4), (0, 4)])
def test_refuses_a_patch_of_other_than_two_or_three_sizes(patch):
    with pytest.raises(ConfigError, match="patch must be two or three sizes of at least 1"):
        Window(patch)


@pytest.mark.parametrize("wrong", [{"overlap": 1.0}, {"overlap": -0.1}, {"batch": 0}, {"sigma": 0}])
def test_refuses_numbers_out_of_range(wrong):
    with pytest.raises(ConfigError, match=r"overlap must lie in \[0, 1\), batch be at least 1"):
        Window((4, 4, 4), **wrong)


def test_refuses_an_empty_volume():
    with pytest.raises(ShapeError, match="a volume must have samples"):
        sliding_window(torch.exp, torch.zeros(1, 0, 4, 4), Window((4, 4, 4)))


def test_refuses_an_empty_map_of_another_shape():
    skip = Skip(torch.zeros(4, 4, 5, dtype=torch.bool), torch.zeros(1))
    with pytest.raises(ShapeError, match=r"empty must have the shape \(4, 4, 4\)"):
        sliding_window(torch.exp, torch.zeros(1, 4, 4, 4), Window((4, 4, 4)), skip=skip)


def test_refuses_a_fill_of_another_number_of_channels():
    skip = Skip(torch.zeros(4, 4, 4, dtype=torch.bool), torch.zeros(3))
    with pytest.raises(ShapeError, match="fill must have one value for each of the 1 outputs"):
        sliding_window(torch.exp, torch.zeros(1, 4, 4, 4), Window((4, 4, 4)), skip=skip)


def test_refuses_a_network_that_changes_the_size():
    with pytest.raises(ShapeError, match="sliding windows are for networks that keep the size"):
        sliding_window(lambda x: x[..., 1:], torch.zeros(1, 4, 4, 4), Window((4, 4, 4)))


def test_refuses_outputs_that_are_not_finite():
    with pytest.raises(IntensityError, match="the network must give finite values, slices 0"):
        sliding_window(torch.log, torch.zeros(1, 4, 4, 4), Window((4, 4, 4)))

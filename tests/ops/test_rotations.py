"""Pooling over rotations against the slow way: turn the image, filter, turn back."""
# SPDX-License-Identifier: Apache-2.0

import itertools

import numpy as np
import pytest
import torch

from vesalius.errors import UnitError
from vesalius.ops._convolve import Taps, convolve_separable
from vesalius.ops._laws import laws_kernels
from vesalius.ops._rotations import pool_rotations, rotations
from vesalius.ops._wavelets import wavelet_chain

TURNS = (("z", (-2, -1)), ("y", (-3, -1)), ("x", (-3, -2)))


def volume(shape=(1, 8, 8, 8), seed=4):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def turned(x):
    """Every orientation of a cube that is not a reflection, with the way back."""
    found = {}
    planes = [plane for _, plane in TURNS]
    for steps in itertools.product(range(4), repeat=3):
        index = torch.arange(x[0].numel()).reshape(x.shape[-3:])
        for k, plane in zip(steps, planes, strict=True):
            index = torch.rot90(index, k, plane)
        found.setdefault(tuple(index.flatten().tolist()), (steps, planes))
    return list(found.values())


def slow_responses(x, chains, boundary):
    out = []
    for steps, planes in turned(x):
        y = x
        for k, plane in zip(steps, planes, strict=True):
            y = torch.rot90(y, k, plane)
        y = convolve_separable(y, chains, boundary)
        for k, plane in reversed(list(zip(steps, planes, strict=True))):
            y = torch.rot90(y, -k, plane)
        out.append(y)
    return torch.stack(out)


def kernels(name):
    if name.startswith("coif1"):
        return tuple(wavelet_chain("coif1", band, 1) for band in name[-3:])
    if name.startswith("db2"):
        return tuple(wavelet_chain("db2", band, 2) for band in name[-3:])
    if name == "skew":
        return ((Taps.of((1.0, 2.0, 5.0)),), (Taps.of((1.0, -1.0)),), (Taps.of((3.0, 1.0, 2.0)),))
    return laws_kernels(name)


NAMES = ["E5L5S5", "L5E5E5", "L5L5L5", "E3E3E3", "coif1 LHL", "db2 LLH", "db2 HHH", "skew"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("boundary", ["mirror", "zero", "periodic", "nearest"])
def test_mean_equals_turning_the_image(name, boundary):
    x = volume()
    slow = slow_responses(x, kernels(name), boundary)
    assert len(slow) == 24
    fast = pool_rotations(x, kernels(name), boundary, rotation="mean", in_plane=False)
    torch.testing.assert_close(fast, slow.mean(0), rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("boundary", ["mirror", "zero"])
def test_max_equals_turning_the_image(name, boundary):
    x = volume(seed=7)
    slow = slow_responses(x, kernels(name), boundary)
    fast = pool_rotations(x, kernels(name), boundary, rotation="max", in_plane=False)
    torch.testing.assert_close(fast, slow.amax(0), rtol=0, atol=1e-12)


@pytest.mark.parametrize("rotation", ["mean", "max"])
@pytest.mark.parametrize("name", ["L5E5", "E5S5", "E5E5", "E3R5"])
def test_in_the_plane_four_turns_are_pooled(name, rotation):
    x = volume((1, 3, 9, 9))
    kx, ky = laws_kernels(name)
    chains = ((), ky, kx)
    all_turns = torch.stack(
        [
            torch.rot90(
                convolve_separable(torch.rot90(x, k, (-2, -1)), chains, "mirror"), -k, (-2, -1)
            )
            for k in range(4)
        ]
    )
    want = all_turns.mean(0) if rotation == "mean" else all_turns.amax(0)
    got = pool_rotations(x, chains, "mirror", rotation=rotation, in_plane=True)
    torch.testing.assert_close(got, want, rtol=0, atol=1e-12)


@pytest.mark.parametrize("rotation", ["mean", "max"])
def test_a_turned_image_gives_the_turned_response(rotation):
    x = volume()
    chains = laws_kernels("E5L5S5")
    plain = pool_rotations(x, chains, "mirror", rotation=rotation, in_plane=False)
    for _, plane in TURNS:
        got = pool_rotations(
            torch.rot90(x, 1, plane), chains, "mirror", rotation=rotation, in_plane=False
        )
        torch.testing.assert_close(got, torch.rot90(plain, 1, plane), rtol=0, atol=1e-12)


def test_without_pooling_the_kernel_is_applied_once():
    x = volume((1, 5, 6, 7))
    chains = laws_kernels("E5L5S5")
    got = pool_rotations(x, chains, "mirror", rotation="none", in_plane=False)
    torch.testing.assert_close(got, convolve_separable(x, chains, "mirror"))


def test_axes_of_different_length_are_pooled_too():
    x = volume((2, 5, 9, 7))
    got = pool_rotations(x, laws_kernels("L5S5S5"), "mirror", rotation="mean", in_plane=False)
    parts = [
        convolve_separable(x, laws_kernels(name), "mirror")
        for name in ("L5S5S5", "S5L5S5", "S5S5L5")
    ]
    torch.testing.assert_close(got, sum(parts) / 3, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("count", "expected"), [(2, 4), (3, 24)])
def test_there_are_4_turns_of_a_square_and_24_of_a_cube(count, expected):
    found = list(rotations(count))
    assert len(found) == len(set(found)) == expected
    for order, flips in found:
        assert round(np.linalg.det(np.eye(count)[list(order)] * np.array(flips))) == 1


def test_refuses_integers():
    x = torch.ones(1, 4, 4, 4, dtype=torch.int64)
    with pytest.raises(UnitError, match="x must be floating point"):
        pool_rotations(x, laws_kernels("L5L5L5"), "zero", rotation="mean", in_plane=False)

"""The fast way of parallel and fan beams: against the ray-by-ray way, and its symmetries."""

import math

import numpy as np
import pytest
import torch

from vesalius.core import Grid
from vesalius.physics.ct import Projector, cone, fan, helical, parallel
from vesalius.physics.ct._joseph2d import PlaneTraversal, plane_traversal
from vesalius.physics.ct._joseph_rays import RayTraversal
from vesalius.physics.ct._symmetry import POSES, pose_image, unpose_image

EVEN = torch.arange(0, 180, 7.5, dtype=torch.float64)
ROUND = torch.arange(0, 360, 7.5, dtype=torch.float64)
ODD = torch.tensor([0.013, 4.7, 33.1, 44.9, 61.0, 88.8, 120.7, 201.3], dtype=torch.float64)
NEAR = {"source_mm": 60.0, "detector_mm": 90.0}


def centred(shape, spacing_mm=(1.0, 1.0, 1.0), shift_mm=(0.0, 0.0, 0.0)):
    half = [(n - 1) / 2 * s for n, s in zip(shape, spacing_mm, strict=True)]
    origin = tuple(m - h for m, h in zip(shift_mm, reversed(half), strict=True))
    return Grid.from_spacing(shape, spacing_mm, origin_mm=origin)


def row(angles, columns=33, offset_mm=0.0):
    return parallel(angles, shape=(1, columns), offset_mm=(0.0, offset_mm))


def fans(angles, rows=1, *, arc=False, offset_mm=0.0):
    sizes = {"shape": (rows, 33), "pitch_mm": (1.0, 1.5), "offset_mm": (0.0, offset_mm)}
    return fan(angles, arc=arc, **sizes, **NEAR)


SLICE = centred((1, 21, 21))
CASES = {
    "symmetric views, odd detector": (row(EVEN), SLICE),
    "symmetric views, even detector": (row(EVEN, 32), centred((1, 22, 22))),
    "one column": (row(EVEN, 1), SLICE),
    "two columns": (row(EVEN, 2), SLICE),
    "views twice": (row(torch.cat([EVEN, EVEN + 180])), SLICE),
    "views at random": (row(ODD), SLICE),
    "detector moved by a whole step": (row(EVEN, offset_mm=3.0), SLICE),
    "detector moved": (row(EVEN, offset_mm=3.3), SLICE),
    "not square": (row(EVEN), centred((1, 21, 16))),
    "pixels not square": (row(EVEN), centred((1, 21, 21), (1.0, 0.8, 0.9))),
    "grid moved": (row(EVEN), centred((1, 21, 21), shift_mm=(2.3, -1.1, 0.4))),
    "one pixel": (row(EVEN), centred((1, 1, 1))),
    "one image row": (row(ODD), centred((1, 1, 20))),
    "stack": (parallel(ODD, shape=(13, 33)), centred((13, 21, 21))),
    "rows between slices": (
        parallel(EVEN, shape=(10, 33), pitch_mm=(1.3, 1.0)),
        centred((13, 21, 21), shift_mm=(0.0, 0.0, 0.3)),
    ),
    "rows beyond the volume": (parallel(ODD, shape=(13, 33)), centred((4, 21, 21))),
    "fan": (fans(ROUND), SLICE),
    "fan at random": (fans(ODD), SLICE),
    "fan on an arc": (fans(ROUND + 0.3, 2, arc=True), centred((2, 21, 21))),
    "half fan": (fans(ROUND, offset_mm=10.0), SLICE),
    "fan, grid moved": (fans(ROUND), centred((1, 21, 21), shift_mm=(1.5, 2.5, 0.0))),
    "stack of fans": (fans(ODD, 11), centred((11, 18, 21))),
}


def pair(name):
    geometry, grid = CASES[name]
    fast = plane_traversal(geometry, grid)
    assert fast is not None
    return fast, RayTraversal(geometry, grid)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("batch", [1, 3])
def test_agrees_with_the_way_ray_by_ray(name, batch, generator):
    fast, slow = pair(name)
    x = torch.rand(batch, *fast.grid.shape, generator=generator, dtype=torch.float64)
    y = torch.rand(batch, *fast.codomain, generator=generator, dtype=torch.float64)
    torch.testing.assert_close(fast.forward(x), slow.forward(x), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(fast.back(y), slow.back(y), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("arc", [False, True])
@pytest.mark.parametrize("above_mm", [0.0, 4.0])
def test_a_single_row_of_a_cone_may_lie_above_its_source(above_mm, arc, generator):
    geometry = cone(
        ROUND,
        shape=(1, 33),
        pitch_mm=(1.0, 1.5),
        offset_mm=(above_mm, 0.0),
        arc=arc,
        **NEAR,
    )
    grid = centred((9, 21, 21))
    # rays that climb are no plane
    assert (plane_traversal(geometry, grid) is None) == (above_mm > 0)
    x = torch.rand(1, *grid.shape, generator=generator, dtype=torch.float64)
    slow = RayTraversal(geometry, grid).forward(x)
    torch.testing.assert_close(Projector(geometry, grid)(x), slow, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize(("dtype", "tol"), [(torch.float32, 1e-6), (torch.float64, 1e-14)])
def test_back_is_the_transpose_of_forward(name, dtype, tol, generator):
    fast, _ = pair(name)
    x = torch.randn(2, *fast.grid.shape, generator=generator, dtype=dtype)
    y = torch.randn(2, *fast.codomain, generator=generator, dtype=dtype)
    there, here = fast.forward(x), fast.back(y)
    gap = float((there.double() * y.double()).sum() - (x.double() * here.double()).sum())
    assert abs(gap) <= tol * float(there.norm() * y.norm())


@pytest.mark.parametrize(
    ("name", "groups"),
    [
        ("symmetric views, odd detector", 7),  # 24 views, two halves each, by eight; 0 and 45 deg
        ("symmetric views, even detector", 7),
        ("pixels not square", 13),
        ("fan", 7),
        ("half fan", 12),  # quarter turns only
        ("detector moved", 7),  # whole views, by four
        ("views at random", 8),  # the two halves of each view
        ("fan, grid moved", 48),
    ],
)
def test_one_walk_serves_all_poses_that_there_are(name, groups):
    assert pair(name)[0].by_pose.lanes.shape[0] == groups


def test_angles_in_single_precision_find_their_symmetry_too():
    angles = torch.arange(200) * 0.9 + 0.45
    assert angles.dtype == torch.float32
    fast = plane_traversal(row(angles), SLICE)
    assert fast.by_pose.lanes.shape[0] <= 60  # of 400 half views; 50 where all are found


def test_the_number_of_images_does_not_change_the_values(generator):
    geometry = row(torch.arange(200) * 0.9 + 0.45)
    fast = plane_traversal(geometry, SLICE)
    x = torch.rand(40, *SLICE.shape, generator=generator, dtype=torch.float64)
    y = torch.rand(40, *fast.codomain, generator=generator, dtype=torch.float64)
    assert fast._prefers_poses(1)
    assert not fast._prefers_poses(40)
    torch.testing.assert_close(fast.forward(x[:1]), fast.forward(x)[:1], rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(fast.back(y[:1]), fast.back(y)[:1], rtol=1e-12, atol=1e-12)


def test_rays_that_are_only_nearly_poses_of_each_other_keep_their_place(generator):
    # 0.002 deg is 5e-4 voxel at the rim: the same key, but not the same line
    geometry = row(torch.tensor([30.0, 60.002, 120.0, 150.0], dtype=torch.float64))
    fast, slow = plane_traversal(geometry, SLICE), RayTraversal(geometry, SLICE)
    x = torch.rand(1, *SLICE.shape, generator=generator, dtype=torch.float64)
    assert fast.by_pose.lanes.shape[0] == 3
    torch.testing.assert_close(fast.forward(x), slow.forward(x), rtol=1e-9, atol=1e-9)


def test_threads_do_not_change_the_values(generator):
    fast, _ = pair("stack")
    tall = plane_traversal(row(EVEN, 301), centred((1, 200, 200)))
    threads = torch.get_num_threads()
    try:
        for way in (fast, tall):
            x = torch.rand(1, *way.grid.shape, generator=generator)
            y = torch.rand(1, *way.codomain, generator=generator)
            torch.set_num_threads(1)
            there, here = way.forward(x), way.back(y)
            torch.set_num_threads(3)
            assert torch.equal(way.forward(x), there)
            assert torch.equal(way.back(y), here)
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize("pose", range(8))
def test_a_pose_is_undone(pose):
    image = torch.arange(20.0).view(4, 5)
    assert torch.equal(unpose_image(pose_image(image, pose), pose), image)


def test_the_eight_poses_are_all_different():
    image = torch.arange(9.0).view(3, 3)
    assert len({tuple(pose_image(image, pose).flatten().tolist()) for pose in range(8)}) == 8
    assert POSES[0] == (False, False, False)


def test_every_ray_of_every_view_has_one_lane():
    for name in CASES:
        fast, _ = pair(name)
        views, _, columns = fast.codomain
        seen = np.zeros((views, columns), dtype=int)
        for view, column, step, count in fast.by_pose.lanes.reshape(-1, 4):
            if view >= 0:
                seen[view, column + step * np.arange(count)] += 1
        assert (seen == 1).all(), name


@pytest.mark.parametrize(
    "geometry",
    [
        helical(fans(ROUND), pitch_mm_per_turn=4.0),
        fan(ODD, shape=(1, 9), pitch_mm=(1.0, 1.0), source_mm=8.0, detector_mm=90.0),
    ],
    ids=["rows move along the axis", "source in the volume"],
)
def test_leaves_what_does_not_hold_to_the_other_ways(geometry):
    assert plane_traversal(geometry, centred((9, 21, 21))) is None


def test_leaves_an_axis_across_no_slice_to_the_other_ways():
    tilt = math.radians(20)
    affine = torch.eye(4, dtype=torch.float64)
    affine[1:3, 1:3] = torch.tensor(
        [[math.cos(tilt), -math.sin(tilt)], [math.sin(tilt), math.cos(tilt)]]
    )
    tilted = Grid((9, 21, 21), affine)
    assert plane_traversal(row(EVEN), tilted) is None


@pytest.mark.parametrize("name", ["fan", "stack", "symmetric views, even detector"])
def test_the_projector_takes_the_fast_way(name):
    assert isinstance(Projector(*CASES[name])._traversal, PlaneTraversal)

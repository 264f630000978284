"""Find rays of a plane that are mirror images or quarter turns of each other about the grid."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass, replace
from typing import final

import numpy as np
import numpy.typing as npt
from torch import Tensor

# what counts as the same line, voxels inside the grid: angles in float32 are this far off
SAME = 1e-4

Integers = npt.NDArray[np.int64]
Reals = npt.NDArray[np.float64]

# how an image can be laid on itself: (exchange rows and columns, mirror rows, mirror columns)
POSES: tuple[tuple[bool, bool, bool], ...] = tuple(
    (bool(pose & 4), bool(pose & 2), bool(pose & 1)) for pose in range(8)
)

_MATRICES = np.array(
    [
        np.diag([-1.0 if rows else 1.0, -1.0 if columns else 1.0]) @ np.eye(2)[:: -1 if swap else 1]
        for swap, rows, columns in POSES
    ]
)


@final
@dataclass(frozen=True, slots=True, eq=False)
class Fans:
    """Rays of one plane in array indices about the middle of the grid.

    Attributes:
        start: (view, column, 2) a point (row, column) of each ray.
        step: (view, column, 2) index per mm.
        swap: Whether rows and columns may be exchanged: as many, and as long.
        radius: Half the diagonal of the grid, voxels.
    """

    start: Reals
    step: Reals
    swap: bool
    radius: float


@final
@dataclass(frozen=True, slots=True, eq=False)
class Groups:
    """Rays sorted so that one walk through eight poses of the image serves a whole group.

    Attributes:
        lanes: (group, 8, 4) view (-1 where empty), first column, step, number of rays; lane k holds
            rays that run through the image in pose k.
        start: (group, ray, 2) a point of each ray in the poses.
        step: (group, ray, 2) index per mm.
    """

    lanes: Integers
    start: Reals
    step: Reals


def pose_image(image: Tensor, pose: int) -> Tensor:
    """Lay (..., row, column) in one of the eight poses; a view, no copy of the samples for most."""
    swap, rows, columns = POSES[pose]
    turned = image.transpose(-1, -2) if swap else image
    axes = [axis for axis, mirrored in ((-2, rows), (-1, columns)) if mirrored]
    return turned.flip(axes) if axes else turned


def unpose_image(image: Tensor, pose: int) -> Tensor:
    """Undo :func:`pose_image`."""
    swap, rows, columns = POSES[pose]
    axes = [axis for axis, mirrored in ((-2, rows), (-1, columns)) if mirrored]
    turned = image.flip(axes) if axes else image
    return turned.transpose(-1, -2) if swap else turned


def _pose_vectors(vectors: Reals, pose: int | Integers) -> Reals:
    """Lay (run, ray, 2) in one pose, or each run in its own."""
    turned: Reals = vectors @ np.swapaxes(_MATRICES[pose], -1, -2)
    return turned


def plain(fans: Fans) -> Groups:
    """Put each view in a group of its own, for eight images at once."""
    views, columns = fans.start.shape[:2]
    lanes = np.full((views, 8, 4), -1, dtype=np.int64)
    lanes[:, :, 0] = np.arange(views)[:, None]
    lanes[:, :, 1:] = 0, 1, columns
    return Groups(lanes, fans.start, fans.step)


def grouped(fans: Fans) -> Groups:
    """Sort rays into groups of up to eight that are poses of each other.

    A detector of parallel rays that is symmetric about the middle gives two rows of rays a view.
    What is found by a key of three rays is checked ray by ray: lines that stay within 1e-4 voxel of
    each other count as the same.
    """
    views, columns = fans.start.shape[:2]
    halves = _is_even(fans)
    many = (columns + 1) // 2 if halves else columns
    view = np.arange(views).repeat(2)
    runs = np.zeros((2 * views, 4), dtype=np.int64)  # the same view read from either end
    runs[:, 0], runs[:, 3] = view, many
    runs[0::2, 1:3], runs[1::2, 1:3] = (0, 1), (columns - 1, -1)
    if halves:
        # the middle ray of an odd detector belongs to one half only
        runs[1::2, 3] = columns // 2
    at = runs[:, 1:2] + runs[:, 2:3] * np.arange(many)
    start, step = fans.start[view[:, None], at], fans.step[view[:, None], at]
    keys = np.stack([_keys(start, step, pose, swap=fans.swap) for pose in range(8)], axis=1)
    if not halves:  # one of the two readings stands for the view
        pairs = keys.reshape(views, 2, 8).min(axis=2)
        chosen = 2 * np.arange(views) + (pairs[:, 1] < pairs[:, 0])
        runs, start, step, keys = runs[chosen], start[chosen], step[chosen], keys[chosen]
    return _fill(runs, replace(fans, start=start, step=step), keys)


def snapped(fans: Fans, groups: Groups) -> Fans:
    """Put every ray exactly where its group walks, so that any way to walk gives the same sums."""
    start, step = fans.start.copy(), fans.step.copy()
    for group, poses in enumerate(groups.lanes):
        for pose in np.flatnonzero(poses[:, 0] >= 0):
            view, column, way, count = poses[pose]
            place = (view, column + way * np.arange(count))
            back = _MATRICES[pose].T
            start[place] = groups.start[group, :count] @ back.T
            step[place] = groups.step[group, :count] @ back.T
    return replace(fans, start=start, step=step)


def _is_even(fans: Fans) -> bool:
    """Whether each view's lines are the same from either end after half a turn: parallel rays."""
    turned, back = fans.start + fans.start[:, ::-1], fans.step[:, ::-1]
    size = np.linalg.norm(fans.step, axis=-1)
    off = np.abs(_cross(turned, fans.step)) / size
    tilt = np.abs(_cross(back, fans.step)) / (size * size[:, ::-1])
    return bool((off + tilt * fans.radius < SAME).all())


def _cross(one: Reals, two: Reals) -> Reals:
    area: Reals = one[..., 0] * two[..., 1] - one[..., 1] * two[..., 0]
    return area


def _keys(start: Reals, step: Reals, pose: int, *, swap: bool) -> Integers:
    """Give one number for each run of rays in a pose, equal where three rays are equal."""
    if POSES[pose][0] and not swap:
        return np.full(start.shape[0], np.iinfo(np.int64).max)
    some = [0, start.shape[1] // 2, start.shape[1] - 1]
    if start.shape[1] % 2 == 0:
        some.insert(1, start.shape[1] // 2 - 1)  # the same from either end
    at, along = _pose_vectors(start[:, some], pose), _pose_vectors(step[:, some], pose)
    along = along / np.linalg.norm(along, axis=-1, keepdims=True)
    # of a line, not of a ray: the foot of the perpendicular, and twice the angle
    far = -_cross(at, along)
    double = along[..., 0] ** 2 - along[..., 1] ** 2, 2 * along[..., 0] * along[..., 1]
    marks = np.stack([*double, -far * along[..., 1] / 64, far * along[..., 0] / 64], axis=-1)
    whole = np.floor(marks.reshape(marks.shape[0], -1) * 1e4 + 0.3).astype(np.int64)
    mix = np.random.default_rng(0).integers(1, 2**62, whole.shape[1], dtype=np.int64)
    keys = np.bitwise_and((whole * mix).sum(axis=1), 2**62 - 1)
    # rays should run along the rows' axis: other poses come last
    level = double[0].sum(axis=1) < -1e-4
    found: Integers = np.where(level, keys + 2**62, keys)
    return found


def _fill(runs: Integers, fans: Fans, keys: Integers) -> Groups:
    """Give each run of rays a lane in a group whose rays are the same as its own."""
    taken: list[dict[int, int]] = []  # run in each pose of each group
    known: dict[int, list[int]] = {}
    for run, key in enumerate(keys.min(axis=1).tolist()):
        poses = np.flatnonzero(keys[run] == key).tolist()
        free = ((g, p) for g in known.get(key, []) for p in poses if p not in taken[g])
        group, pose = next(free, (len(taken), poses[0]))
        if group == len(taken):
            taken.append({})
            known.setdefault(key, []).append(group)
        taken[group][pose] = run
    taken = _parted(taken, fans)
    lanes = np.full((len(taken), 8, 4), -1, dtype=np.int64)
    for group, members in enumerate(taken):
        lanes[group, list(members)] = runs[list(members.values())]
    pose, run = np.array([next(iter(members.items())) for members in taken]).T
    return Groups(lanes, _pose_vectors(fans.start[run], pose), _pose_vectors(fans.step[run], pose))


def _parted(taken: list[dict[int, int]], fans: Fans) -> list[dict[int, int]]:
    """Move runs whose rays are not all those of their group to groups of their own."""
    rows = [
        (group, pose, run, *next(iter(members.items())))
        for group, members in enumerate(taken)
        for pose, run in members.items()
    ]
    group, pose, run, lead_pose, lead = np.array(rows).T
    start, step = fans.start, fans.step / np.linalg.norm(fans.step, axis=-1, keepdims=True)
    one, along = _pose_vectors(start[lead], lead_pose), _pose_vectors(step[lead], lead_pose)
    two, bend = _pose_vectors(start[run], pose), _pose_vectors(step[run], pose)
    nearest = one - (one * along).sum(axis=-1, keepdims=True) * along
    ends = (nearest + way * fans.radius * along for way in (-1, 1))
    off = np.max([np.abs(_cross(end - two, bend)) for end in ends], axis=(0, 2))
    alone = []
    for k in np.flatnonzero(off > SAME):
        del taken[group[k]][pose[k]]
        alone.append({int(pose[k]): int(run[k])})
    return taken + alone

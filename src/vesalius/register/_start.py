"""Start: where the search for a transform begins."""
# SPDX-License-Identifier: Apache-2.0

import math
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor

from vesalius.core import Grid, Image, Linear, resample
from vesalius.errors import ConfigError, GeometryError, IntensityError
from vesalius.register._level import Masks
from vesalius.register._linear import EVERYWHERE, fit_of, solve_level
from vesalius.register._linear_level import LinearLevel, make_linear_level
from vesalius.register._linear_model import freedoms
from vesalius.register._linear_squares import normal_equations
from vesalius.register._ncc import Ncc
from vesalius.register._plan import GaussNewton, Scale, Stage
from vesalius.register._similarity import Similarity
from vesalius.register._watch import Watch

Init = Literal["header", "centre", "moments", "search"]

PROBES = 16  # places along each axis at which the fields of view are compared
COARSE, FINE = 20, 40  # samples along the longest axis of the two scales of a search
TURNS = 400  # orientations that are scored
PLANE_TURNS = 36  # the same, in a plane
KEPT = 8  # of them that are refined
BETTER = 0.03  # by how much another orientation must beat that of the header
LEAST_GAIN = 1e-3  # and at least this much of the loss
LEAST = 0.3  # overlap below which a candidate is passed over, as a part of the largest

WORST = 9e9  # the loss of what cannot be compared
STEPS = Scale(0, 15)  # of each refinement, at each of its scales

CORRELATION = Ncc()


def start_transform(
    fixed: Image,
    moving: Image,
    init: Init = "header",
    *,
    masks: Masks = EVERYWHERE,
    similarity: Similarity = CORRELATION,
    channel_weights: tuple[float, ...] = (),
) -> Linear:
    """Give the rigid map that a search begins from.

    Args:
        fixed: Floating point.
        moving: Floating point, same channels.
        init: ``"header"``: both files say the truth about where the patient lies, the identity.
            ``"centre"``: the centres of the fields of view (of the masks, where given) are laid on
            each other. ``"moments"``: so are the centres of mass of the foreground, what differs
            from the value at the border. ``"search"``: besides, some 400 orientations and the
            principal axes are tried at low resolution, the best ones refined, and the best of
            them kept; for images whose headers do not agree about orientation.
        masks: Where the images count.
        similarity: What ``"search"`` compares by.
        channel_weights: How much each channel counts, for ``"moments"`` and ``"search"``; empty
            for all alike.

    Returns:
        Fixed world to moving world. Two 2-D images are brought into one plane but by
        ``"header"``.

    Raises:
        ConfigError: There is no such start.
        GeometryError: By ``"header"``, the fields of view do not overlap.
        IntensityError: An image is constant or not finite, for ``"moments"`` and ``"search"``.

    Example:
        >>> ball = Image(torch.zeros(1, 8, 8, 8), Grid.from_spacing((8, 8, 8)))
        >>> away = Grid.from_spacing((8, 8, 8), origin_mm=(100.0, 0.0, 0.0))
        >>> start_transform(ball, Image(ball.data, away), "centre").matrix[:3, 3]
        tensor([100.,   0.,   0.], dtype=torch.float64)
    """
    if init not in get_args(Init):
        raise ConfigError(f"init must be one of {', '.join(get_args(Init))}, got {init!r}")
    if init == "header":
        _require_overlap(fixed.grid, moving.grid)
        return Linear.identity()
    if init == "centre":
        return _about(
            _base(fixed, moving), _middle(fixed, masks.fixed), _middle(moving, masks.moving)
        )
    shares = channel_weights or (1.0,) * len(fixed.data)
    one, two = _mass(fixed, masks.fixed, shares), _mass(moving, masks.moving, shares)
    if init == "moments":
        return _about(_base(fixed, moving), one[0], two[0])
    return _search((fixed, moving), (one, two), masks, similarity, shares)


def overlap(fixed: Grid, moving: Grid) -> float:
    """Give the larger share of one field of view that lies in the other, 0 to 1, by probing."""
    return max(_share(fixed, moving), _share(moving, fixed))


def _share(one: Grid, other: Grid) -> float:
    axes = [
        torch.linspace(-0.5, n - 0.5, PROBES, dtype=torch.float64)
        if n > 1
        else torch.zeros(1, dtype=torch.float64)
        for n in one.shape
    ]
    places = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).reshape(-1, 3)
    index = other.to_index(one.to_world(places))
    size = torch.tensor(other.shape, dtype=torch.float64)
    inside = (index >= -0.5 - 1e-6) & (index <= size - 0.5 + 1e-6)
    return float(inside.all(dim=1).double().mean())


def _require_overlap(fixed: Grid, moving: Grid) -> None:
    if overlap(fixed, moving) > 0:
        return
    one, two = (g.to_world((torch.tensor(g.shape).double() - 1) / 2) for g in (fixed, moving))
    apart = float((one - two).norm())
    raise GeometryError(
        "the fields of view must overlap in the world to begin from the headers, their centres "
        f'are {apart:.1f} mm apart: use init="moments" (or "centre", "search")'
    )


def _base(fixed: Image, moving: Image) -> Tensor:
    """Give the least rotation that brings the planes of two 2-D images together; else none."""
    if fixed.grid.shape[0] > 1 or moving.grid.shape[0] > 1:
        return torch.eye(3, dtype=torch.float64)
    a, b = fixed.grid.direction[:, 0], moving.grid.direction[:, 0]
    b = b if float(a @ b) >= 0 else -b  # a plane has two sides, either will do
    axis = torch.linalg.cross(a, b)
    sine = float(axis.norm())
    if sine < 1e-9:
        return torch.eye(3, dtype=torch.float64)
    angle = math.degrees(math.atan2(sine, float(a @ b)))
    x, y, z = (axis / sine * angle).tolist()
    return Linear.rotation((x, y, z), centre_mm=(0.0, 0.0, 0.0)).matrix[:3, :3]


def _about(turn: Tensor, one: Tensor, two: Tensor) -> Linear:
    """Give the map x -> turn (x - one) + two."""
    matrix = torch.eye(4, dtype=torch.float64)
    matrix[:3, :3] = turn
    matrix[:3, 3] = two - turn @ one
    return Linear(matrix)


def _middle(image: Image, mask: Image | None) -> Tensor:
    if mask is not None:
        return _mean(mask.data[0].double().cpu(), mask.grid)[0]
    size = torch.tensor(image.grid.shape, dtype=torch.float64)
    return image.grid.to_world((size - 1) / 2)


def _mass(image: Image, mask: Image | None, shares: tuple[float, ...]) -> tuple[Tensor, Tensor]:
    """Give centre of mass and covariance of the foreground, mm and mm^2."""
    step = max(1, max(image.grid.shape) // 64)
    data = image.data[:, ::step, ::step, ::step].double().cpu()
    affine = image.grid.affine.clone()
    affine[:3, :3] *= step
    z, y, x = data.shape[1:]
    grid = Grid((z, y, x), affine)
    within = None if mask is None else resample(mask, grid, fill=0).data[0].double().cpu()
    parts = [
        share * _foreground(channel, within)
        for channel, share in zip(data, shares, strict=True)
        if share > 0
    ]
    return _mean(torch.stack(parts).sum(dim=0), grid)


def _foreground(data: Tensor, within: Tensor | None) -> Tensor:
    """Give how much each sample differs from the border, 1 at most."""
    apart = (data - _border(data)).abs()
    if within is not None:
        apart = apart * within
    typical = float(apart.sum()) / max(1, int((apart > 0).sum()))
    if not (math.isfinite(typical) and typical > 0):
        raise IntensityError(
            "an image must be finite and hold something that differs from its border to have a "
            f'centre of mass, its mean difference is {typical:g}: use init="centre"'
        )
    return (apart / typical).clamp(max=1)


def _border(data: Tensor) -> Tensor:
    """Give the median of the samples on the faces: what surrounds the object."""
    faces = [
        data.select(axis, k).flatten()
        for axis, n in enumerate(data.shape)
        if n > 1
        for k in (0, n - 1)
    ]
    return torch.cat(faces or [data.flatten()]).median()


def _mean(weight: Tensor, grid: Grid) -> tuple[Tensor, Tensor]:
    axes = [torch.arange(n, dtype=torch.float64) for n in weight.shape]
    places = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).reshape(-1, 3)
    share = weight.reshape(-1) / weight.sum()
    mean = share @ places
    apart = places - mean
    columns = grid.affine[:3, :3]
    return grid.to_world(mean), columns @ (apart.T @ (share[:, None] * apart)) @ columns.T


def _search(
    images: tuple[Image, Image],
    mass: tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]],
    masks: Masks,
    similarity: Similarity,
    shares: tuple[float, ...],
) -> Linear:
    """Score orientations about the centres of mass, refine the best, keep the best of them."""
    (one, spread_one), (two, spread_two) = mass
    base = _base(*images)
    if images[0].grid.shape[0] == 1 and images[1].grid.shape[0] == 1:
        turns = _plane_turns(base, images[0].grid)
    else:
        turns = [base, *_axis_turns(spread_one, spread_two), *_turns(TURNS)]
    starts = [_about(turn, one, two).matrix.numpy() for turn in turns]
    coarse, fine = (_level(images, masks, similarity, shares, n) for n in (COARSE, FINE))
    scored = [_score(coarse, similarity, s) for s in starts]
    enough = LEAST * max(shared for _, shared in scored)
    order = sorted(
        range(len(starts)), key=lambda k: scored[k][0] if scored[k][1] >= enough else WORST
    )
    ends = [
        _refine((coarse, fine), similarity, starts[k]) for k in dict.fromkeys((0, *order[:KEPT]))
    ]
    first, best = ends[0], min(ends, key=lambda end: end[0])
    gain = first[0] - best[0]
    chosen = best if gain > max(LEAST_GAIN, BETTER * abs(first[0])) else first
    return Linear(torch.from_numpy(chosen[1]))


def _level(
    images: tuple[Image, Image],
    masks: Masks,
    similarity: Similarity,
    shares: tuple[float, ...],
    samples: int,
) -> LinearLevel:
    grid = images[0].grid
    longest = max(n * s for n, s in zip(grid.shape, grid.spacing_mm, strict=True))
    flat = all(image.grid.shape[0] == 1 for image in images)
    return make_linear_level(
        images,
        longest / samples,
        masks=masks,
        shares=tuple(share / sum(shares) for share in shares),
        allowed=freedoms("rigid", images[0], flat=flat, mask=masks.fixed),
        stage=_stage(similarity),
    )


def _score(level: LinearLevel, similarity: Similarity, start: np.ndarray) -> tuple[float, float]:
    """Give loss and overlap; no loss counts as the worst."""
    fit = fit_of(similarity)
    if fit is None:
        loss, _, shared = level.slope(similarity, start)
    else:
        normal = normal_equations(level, start, fit)
        loss, shared = normal.loss, normal.overlap
    return (loss if math.isfinite(loss) else WORST), shared


def _refine(
    levels: tuple[LinearLevel, ...], similarity: Similarity, start: np.ndarray
) -> tuple[float, np.ndarray]:
    """Improve a candidate by a few rigid steps; give its loss at the finest scale."""
    stage = _stage(similarity)
    for level in levels:
        if _score(level, similarity, start)[0] < WORST:
            start = solve_level(level, stage, STEPS, start, Watch())
    return _score(levels[-1], similarity, start)[0], start


def _stage(similarity: Similarity) -> Stage:
    return Stage("rigid", similarity, GaussNewton(), (STEPS,), tol=1e-4)


def _plane_turns(base: Tensor, grid: Grid) -> list[Tensor]:
    normal = grid.direction[:, 0]
    turns = []
    for k in range(PLANE_TURNS):
        x, y, z = (normal * (360.0 * k / PLANE_TURNS)).tolist()
        turns.append(base @ Linear.rotation((x, y, z), centre_mm=(0.0, 0.0, 0.0)).matrix[:3, :3])
    return turns


def _axis_turns(one: Tensor, two: Tensor) -> list[Tensor]:
    """Give the four rotations that lay principal axes on principal axes."""
    a, b = torch.linalg.eigh(one)[1], torch.linalg.eigh(two)[1]
    found = []
    for signs in ((1, 1), (1, -1), (-1, 1), (-1, -1)):
        turned = b * torch.tensor([*signs, 1.0], dtype=torch.float64)
        turn = turned @ a.T
        if float(torch.linalg.det(turn)) < 0:
            turned = turned * torch.tensor([1.0, 1.0, -1.0], dtype=torch.float64)
            turn = turned @ a.T
        found.append(turn)
    return found


def _turns(count: int) -> list[Tensor]:
    """Spread rotations evenly: super-Fibonacci spirals, Alexa (2022).

    doi:10.1109/CVPR52688.2022.00811, algorithm 1.
    """
    phi, psi = math.sqrt(2.0), 1.533751168755204288118041
    found = []
    for i in range(count):
        s = i + 0.5
        r, q = math.sqrt(s / count), math.sqrt(1 - s / count)
        a, b = 2 * math.pi * s / phi, 2 * math.pi * s / psi
        found.append(_matrix(r * math.sin(a), r * math.cos(a), q * math.sin(b), q * math.cos(b)))
    return found


def _matrix(x: float, y: float, z: float, w: float) -> Tensor:
    """Give the rotation of a unit quaternion with scalar part ``w``."""
    return torch.tensor(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ],
        dtype=torch.float64,
    )

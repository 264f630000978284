"""The pairs that registration is measured on: real ones, and ones with a known, seeded warp.

Nothing here uses the transforms, warps or fields under test: the known warps are made by SciPy.
The folder of the data is ``VESALIUS_TEST_DATA``.
"""
# SPDX-License-Identifier: Apache-2.0

import functools
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from _cases import SEED
from torch import Tensor

from vesalius import io
from vesalius.core import (
    Grid,
    Image,
    Labels,
    Linear,
    Points,
    Transform,
    centred_grid,
    resample,
    resample_labels,
)

# the 30 structures of the set of FreeSurfer labels that brain registration is scored by
FREESURFER = (2, 3, 4, 7, 8, 10, 11, 12, 13, 14, 15, 16, 17, 18, 24, 28, 31)
FREESURFER += (41, 42, 43, 46, 47, 49, 50, 51, 52, 53, 54, 60, 63)
AAL = tuple(range(1, 117))
SLICES = ((1, 2), (3, 7), (5, 4), (8, 6), (10, 9), (2, 5), (6, 1), (9, 3), (4, 10), (7, 8))
TUNING, TEST = 4, 10


@dataclass(frozen=True)
class Pair:
    """Two images to bring together, and what is known of them.

    Attributes:
        name: What they are.
        fixed: One channel, float32.
        moving: One channel, float32.
        fixed_labels: On a grid of its own, at which the overlap is scored; or None.
        moving_labels: On a grid of its own, or None.
        scored: The labels that count.
        fixed_points: Landmarks, or None.
        moving_points: The same landmarks in the moving image.
        truth: The known map, fixed to moving, or None.
    """

    name: str
    fixed: Image
    moving: Image
    fixed_labels: Labels | None = None
    moving_labels: Labels | None = None
    scored: tuple[int, ...] = ()
    fixed_points: Points | None = None
    moving_points: Points | None = None
    truth: Transform | None = None


class KnownWarp(Transform):
    """A displacement on a lattice, looked up linearly by SciPy, then a linear map.

    ``there`` is the way fixed -> moving; ``back`` its inverse by the negated velocity.
    """

    __slots__ = ("back", "grid", "linear", "there")

    def __init__(self, there: np.ndarray, back: np.ndarray, grid: Grid, linear: Linear) -> None:
        self.there, self.back, self.grid, self.linear = there, back, grid, linear

    def __call__(self, points_mm: Tensor) -> Tensor:
        return self.linear(points_mm + _look_up(self.there, self.grid, points_mm))

    def inverse(self) -> Transform:
        return _Back(self)

    def jacobian(self, points_mm: Tensor) -> Tensor:
        """Take central differences over 1 mm."""
        step = torch.eye(3, dtype=points_mm.dtype) / 2
        columns = [self(points_mm + e) - self(points_mm - e) for e in step]
        return torch.stack(columns, dim=-1)


class _Back(Transform):
    __slots__ = ("way",)

    def __init__(self, way: KnownWarp) -> None:
        self.way = way

    def __call__(self, points_mm: Tensor) -> Tensor:
        before = self.way.linear.inverse()(points_mm)
        return before + _look_up(self.way.back, self.way.grid, before)

    def inverse(self) -> Transform:
        return self.way

    def jacobian(self, points_mm: Tensor) -> Tensor:
        step = torch.eye(3, dtype=points_mm.dtype) / 2
        return torch.stack([self(points_mm + e) - self(points_mm - e) for e in step], dim=-1)


def folder() -> Path:
    """Give the folder of the registration data."""
    return Path(os.environ["VESALIUS_TEST_DATA"]) / "registration"


def brain_pair(spacing_mm: float = 2.0) -> Pair:
    """Give the pair of the bars: two T1 brains, the header of the moving one moved away.

    The moved header is ``M @ affine`` with M = scale by 1.06, then turn by 10 degrees about S and
    by -7 degrees about L (in this order), all about the world's origin, then shift by (7, -6, 6)
    mm, 11 mm long. The labels stay at the 1 mm of their files, where the overlap is scored.
    """
    fixed, fixed_labels = _brain("subjA", spacing_mm)
    moving, moving_labels = _brain("subjB", spacing_mm)
    move = moved_header((0.0, 0.0, 10.0), (-7.0, 0.0, 0.0), 1.06, (7.0, -6.0, 6.0))
    moving, moving_labels = _with_header(moving, moving_labels, move)
    return Pair("brain3d_fs", fixed, moving, fixed_labels, moving_labels, FREESURFER)


def brain_pair_own_header(spacing_mm: float = 2.0) -> Pair:
    """Give the same two brains on the grids of their files: mean Dice .522 at 1 mm."""
    fixed, fixed_labels = _brain("subjA", spacing_mm)
    moving, moving_labels = _brain("subjB", spacing_mm)
    return Pair("brain3d_fs aligned", fixed, moving, fixed_labels, moving_labels, FREESURFER)


def moved_header(
    first_deg: tuple[float, float, float],
    second_deg: tuple[float, float, float],
    scale: float,
    shift_mm: tuple[float, float, float],
) -> Linear:
    """Make scale, then the first rotation, then the second, about the origin, then a shift."""
    origin = (0.0, 0.0, 0.0)
    size = torch.eye(4, dtype=torch.float64)
    size[:3, :3] *= scale
    one = Linear.rotation(first_deg, centre_mm=origin)
    two = Linear.rotation(second_deg, centre_mm=origin)
    return Linear((Linear.translation(shift_mm) @ two @ one @ Linear(size)).matrix)


# (fixed, moving) of each seeded pair: the first four are for tuning, the rest for the figures
SOURCES = (("A", "A"), ("B", "B"), ("A", "B"), ("M", "M"))
SOURCES += (("A", "A"), ("B", "B"), ("A", "B"), ("B", "A"), ("M", "M"), ("C", "C"))
SOURCES += (("A", "B"), ("B", "A"), ("B", "B"), ("M", "M"))


def known_pairs(part: str = "test", spacing_mm: float = 2.0) -> list[Pair]:
    """Make the labelled pairs with a known warp; ``part`` is ``"tuning"`` (4) or ``"test"`` (10).

    Pairs of one brain have a truth; pairs of two (A with a warped B) are scored by labels alone.
    """
    which = range(TUNING) if part == "tuning" else range(TUNING, TUNING + TEST)
    return [known_pair(k, spacing_mm) for k in which]


def known_pair(k: int, spacing_mm: float = 2.0) -> Pair:
    """Make the seeded pair of number ``k``, 0 to 13.

    The moving image is a brain seen through a smooth random diffeomorphism of 12 to 15 mm at its
    largest, with another contrast (gamma .8 to 1.25), a bias field of 10 %, noise of 2 % of the
    range, and a header turned by up to 10 degrees, scaled by .95 to 1.05, shifted up to 10 mm.
    The fixed image has the same noise.
    """
    one, two = SOURCES[k]
    rng = np.random.default_rng(SEED + 100 + k)
    fixed, fixed_labels, scored = _source(one, spacing_mm)
    fine, fine_labels = _full(two)
    grid = centred_grid(fine.grid, (spacing_mm,) * 3)
    coarse = resample(fine, grid)
    back, there = random_warp(coarse, rng, size_mm=rng.uniform(12, 15))
    turn = rng.uniform(-1, 1, (3, 3)) * np.array([[8.0], [6.0], [5.0]])
    shift = (turn[2, 0], turn[2, 1], turn[2, 2])
    move = moved_header(
        (turn[0, 0], turn[0, 1], turn[0, 2]), (0.0, 0.0, 0.0), rng.uniform(0.95, 1.05), shift
    )
    way = KnownWarp(there, back, grid, move)
    seen = KnownWarp(back, there, grid, Linear.identity())
    moving = _degraded(resample(fine, grid, transform=seen), rng)
    moving_labels = resample_labels(fine_labels, grid, transform=seen)
    moving, moving_labels = _with_header(moving, moving_labels, move)
    return Pair(
        name=f"known {k}: {one} {two}",
        fixed=_noisy(fixed, rng),
        moving=moving,
        fixed_labels=fixed_labels,
        moving_labels=moving_labels,
        scored=scored,
        truth=way if one == two else None,
    )


def random_warp(
    image: Image, rng: np.random.Generator, *, size_mm: float, smooth_mm: float = 18.0
) -> tuple[np.ndarray, np.ndarray]:
    """Draw a smooth diffeomorphism and its inverse: exp(v) and exp(-v), seven squarings.

    Args:
        image: The warp lives on its lattice.
        rng: Where the noise comes from.
        size_mm: Largest displacement where the image is above its mean, to within a few percent.
        smooth_mm: Standard deviation of the Gaussian that smooths white noise into v, mm.

    Returns:
        Two displacements, (3, z, y, x), components (L, P, S), mm.
    """
    from scipy.ndimage import gaussian_filter

    grid, body = image.grid, (image.data[0] > image.data.mean()).numpy()
    spacing = np.array(grid.spacing_mm)
    velocity = np.zeros((3, *grid.shape))
    for part in velocity:
        for wide, share in ((smooth_mm, 1.0), (smooth_mm / 2, 0.35)):
            noise = gaussian_filter(rng.standard_normal(grid.shape), wide / spacing, mode="wrap")
            part += share * noise / noise.std()
    velocity *= size_mm / _longest(velocity, body)
    velocity *= size_mm / _longest(_exponential(velocity, grid), body)
    return _exponential(velocity, grid), _exponential(-velocity, grid)


def slice_pairs() -> list[Pair]:
    """Give the ten 2-D pairs of brain slices; all labels that both slices have are scored."""
    found = []
    for one, two in SLICES:
        fixed, fixed_labels = _slice(one)
        moving, moving_labels = _slice(two)
        both = {v for _, v in fixed_labels.values} & {v for _, v in moving_labels.values}
        scored = tuple(sorted(both))
        found.append(
            Pair(f"brain2d_dkt {one} {two}", fixed, moving, fixed_labels, moving_labels, scored)
        )
    return found


def kidney_pair() -> Pair:
    """Give the two stains of the rat kidney; 1 mm stands for 1 pixel; the first 69 landmarks."""
    fixed, one = _histology("HE")
    moving, two = _histology("PanCytokeratin")
    n = min(len(one), len(two))
    return Pair(
        "rat kidney",
        fixed,
        moving,
        fixed_points=Points(one[:n]),
        moving_points=Points(two[:n]),
    )


def prostate_pairs() -> list[Pair]:
    """Give the MR and ultrasound pairs; ultrasound is fixed; label 1 is the gland."""
    found = []
    for k in range(3):
        fixed, fixed_labels = _prostate(k, "us")
        moving, moving_labels = _prostate(k, "mr")
        found.append(Pair(f"prostate {k}", fixed, moving, fixed_labels, moving_labels, (1,)))
    return found


def chest_pair(spacing_mm: float = 2.5, size_mm: float = 12.0) -> Pair:
    """Give the sample chest CT and itself through a known smooth warp, with noise of 10 HU.

    Landmarks are 2000 random voxels of the body; ``truth`` maps them.
    """
    from vesalius.study._sample import cache_folder, sample_ct

    sample = sample_ct(cache_folder())
    grid = centred_grid(sample.image.grid, (spacing_mm,) * 3)
    rng = np.random.default_rng(SEED + 50)
    fixed = resample(sample.image, grid)
    back, there = random_warp(fixed, rng, size_mm=size_mm, smooth_mm=25.0)
    way = KnownWarp(there, back, grid, Linear.identity())
    moving = resample(sample.image, grid, transform=way.inverse())
    body = torch.nonzero(fixed.data[0] > -400)
    chosen = body[torch.from_numpy(rng.integers(0, len(body), 2000))]
    points = grid.to_world(chosen.double())
    noise = torch.from_numpy(10 * rng.standard_normal((2, *grid.shape))).to(fixed.dtype)
    return Pair(
        "sample CT",
        fixed.map(lambda x: x + noise[:1]),
        moving.map(lambda x: x + noise[1:]),
        resample_labels(sample.labels, grid),
        resample_labels(sample.labels, grid, transform=way.inverse()),
        tuple(v for _, v in sample.labels.values),
        Points(points),
        Points(way(points)),
        way,
    )


def _look_up(field: np.ndarray, grid: Grid, points_mm: Tensor) -> Tensor:
    from scipy.ndimage import map_coordinates

    at = grid.to_index(points_mm.double()).numpy()
    where = np.moveaxis(at, -1, 0)
    found = [map_coordinates(part, where, order=1, mode="nearest") for part in field]
    return torch.from_numpy(np.stack(found, axis=-1)).to(points_mm.dtype)


def _longest(field: np.ndarray, inside: np.ndarray) -> float:
    return float(np.sqrt((field**2).sum(0))[inside].max())


def _exponential(velocity: np.ndarray, grid: Grid) -> np.ndarray:
    from scipy.ndimage import map_coordinates

    inverse = np.linalg.inv(grid.affine[:3, :3].numpy())
    index = np.indices(grid.shape, dtype=np.float64)
    total = velocity / 2**7
    for _ in range(7):
        at = index + np.tensordot(inverse, total, 1)
        moved = [map_coordinates(part, at, order=1, mode="nearest") for part in total]
        total = total + np.stack(moved)
    return total


def _with_header(image: Image, labels: Labels, move: Linear) -> tuple[Image, Labels]:
    one, two = (Grid(x.grid.shape, move.matrix @ x.grid.affine) for x in (image, labels))
    return Image(image.data, one), Labels(labels.data, two, labels.names)


@functools.cache
def _full(letter: str) -> tuple[Image, Labels]:
    """Give a brain at 1 mm with its labels: FreeSurfer's (A, B) or the AAL's (MNI, Colin)."""
    if letter in "AB":
        base = folder() / "brain3d_fs"
        image = io.open(base / f"subj{letter}_t1.nii.gz").read()
        labels = io.open_labels(base / f"subj{letter}_seg.nii.gz")
    else:
        base = folder() / "brain_mni"
        image = io.open(base / ("mni.nii.gz" if letter == "M" else "ch2.nii.gz")).read()
        labels = resample_labels(io.open_labels(base / "mnia.nii.gz"), image.grid)
    return image.map(lambda x: x.float() / float(x.max())), labels


def _source(letter: str, spacing_mm: float) -> tuple[Image, Labels, tuple[int, ...]]:
    image, labels = _full(letter)
    grid = centred_grid(image.grid, (spacing_mm,) * 3)
    scored = FREESURFER if letter in "AB" else AAL
    return resample(image, grid), resample_labels(labels, grid), scored


def _brain(name: str, spacing_mm: float) -> tuple[Image, Labels]:
    image, labels = _full(name[-1])
    grid = centred_grid(image.grid, (spacing_mm,) * 3)
    return resample(image, grid), labels


def _noisy(image: Image, rng: np.random.Generator) -> Image:
    noise = torch.from_numpy(0.02 * rng.standard_normal(image.data.shape)).float()
    return image.map(lambda x: (x + noise * (x > 0)).clamp(min=0))


def _degraded(image: Image, rng: np.random.Generator) -> Image:
    from scipy.ndimage import gaussian_filter

    sigma = 30 / np.array(image.grid.spacing_mm)
    bias = gaussian_filter(rng.standard_normal(image.grid.shape), sigma, mode="nearest")
    bias = torch.from_numpy(1 + 0.1 * bias / np.abs(bias).max()).float()
    gamma = float(np.exp(rng.uniform(np.log(0.8), np.log(1.25))))
    return _noisy(image.map(lambda x: x.clamp(min=0) ** gamma * bias), rng)


def _slice(k: int) -> tuple[Image, Labels]:
    base = folder() / "brain2d_dkt"
    image = io.open(base / f"OASIS-TRT-20-{k}_slice118.nii.gz").read()
    labels = io.open_labels(base / f"OASIS-TRT-20-{k}_labels.nii.gz")
    return image.map(lambda x: x.float()), labels


def _histology(stain: str) -> tuple[Image, Tensor]:
    from PIL import Image as Picture

    base = folder() / "histology"
    grey = np.asarray(Picture.open(base / f"Rat-Kidney_{stain}.jpg").convert("L"))
    data = torch.from_numpy(grey.astype(np.float32))[None, None]
    z, y, x = data.shape[1:]
    table = np.loadtxt(base / f"Rat-Kidney_{stain}.csv", delimiter=",", skiprows=1, ndmin=2)
    points = np.column_stack([table[:, 1:3], np.zeros(len(table))])
    return Image(data, Grid.from_spacing((z, y, x))), torch.from_numpy(points)


def _prostate(k: int, kind: str) -> tuple[Image, Labels]:
    base = folder() / "prostate_mr_us"
    image = io.open(base / f"case{k:06d}_{kind}_images.nii.gz").read()
    frames = io.open(base / f"case{k:06d}_{kind}_labels.nii.gz", frames="channels").read()
    gland = (frames.data[:1] > 0).to(torch.uint8)
    return image.map(lambda x: x.float()), Labels(gland, frames.grid)

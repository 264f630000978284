"""Landmarks, shapes and smooth fields that several test files use."""

import csv
from pathlib import Path

import torch

from vesalius.core import Grid, Linear, Mesh, Points, Velocity


def pairs(n: int = 20, *, flat: bool = False) -> tuple[Points, Points]:
    """Random places in a cube (or a tilted plane) of 100 mm, moved by a few mm (within it)."""
    generator = torch.Generator().manual_seed(n)
    source = torch.rand(n, 3, dtype=torch.float64, generator=generator) * 100
    moved = torch.randn(n, 3, dtype=torch.float64, generator=generator) * 3
    if flat:
        source[:, 2], moved[:, 2] = 0, 0
        turn = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64, generator=generator))[0]
        source, moved = source @ turn.T - 40, moved @ turn.T
    return Points(source), Points(source + moved)


def somewhere(n: int = 200) -> torch.Tensor:
    """Random points in and around that cube."""
    generator = torch.Generator().manual_seed(n + 1)
    return torch.rand(n, 3, dtype=torch.float64, generator=generator) * 140 - 20


def cloud(n: int = 80) -> torch.Tensor:
    """A lopsided cloud of points, mm."""
    generator = torch.Generator().manual_seed(0)
    spread = torch.tensor([40.0, 25.0, 15.0], dtype=torch.float64)
    points = torch.randn(n, 3, dtype=torch.float64, generator=generator) * spread
    points[: n // 5] += torch.tensor([60.0, 30.0, 0.0], dtype=torch.float64)
    return points


def sheet(n: int = 16) -> Mesh:
    """A bumpy closed surface: a sphere of uneven radius, triangulated, open at its poles."""
    theta = torch.linspace(0.15, torch.pi - 0.15, n, dtype=torch.float64)
    phi = torch.arange(2 * n, dtype=torch.float64) * torch.pi / n
    t, p = (a.reshape(-1) for a in torch.meshgrid(theta, phi, indexing="ij"))
    r = 40 + 6 * (2 * p + t).sin() * t.sin() + 5 * (3 * t).cos() + 9 * t.sin() ** 2 * p.cos()
    places = torch.stack([r * t.sin() * p.cos(), r * t.sin() * p.sin(), 1.4 * r * t.cos()], dim=1)
    i, j = (
        a.reshape(-1)
        for a in torch.meshgrid(torch.arange(n - 1), torch.arange(2 * n), indexing="ij")
    )
    a, b = i * 2 * n + j, i * 2 * n + (j + 1) % (2 * n)
    c, d = a + 2 * n, b + 2 * n
    return Mesh(places, torch.cat([torch.stack([a, c, b], 1), torch.stack([b, c, d], 1)]))


def motion(model: str, size: float = 1.0) -> Linear:
    """Give a small motion of a model: some degrees and mm."""
    turn = (3 * size, -2 * size, 4 * size)
    rigid = Linear.translation((2, -1, 1)) @ Linear.rotation(turn, centre_mm=(1, 2, 3))
    matrix = torch.eye(4, dtype=torch.float64)
    if model != "rigid":
        matrix[:3, :3] *= 1.03
    if model == "affine":
        matrix[0, 1], matrix[2, 2] = 0.03, 0.99
    return rigid @ Linear(matrix)


def lattice(grid: Grid, margin: int = 2) -> torch.Tensor:
    """Give every voxel but those near the border, mm."""
    axes = [torch.arange(margin, n - margin).double() for n in grid.shape]
    return grid.to_world(torch.cartesian_prod(*axes))


def smooth_velocity(grid: Grid, *, seed: int, size_mm: float = 2.0) -> Velocity:
    """Give a few random waves that vanish at the border; longest vector ``size_mm``."""
    generator = torch.Generator().manual_seed(seed)
    axes = [torch.linspace(0, 1, n, dtype=torch.float64) for n in grid.shape]
    z, y, x = torch.meshgrid(*axes, indexing="ij")
    data = torch.zeros(3, *grid.shape, dtype=torch.float64)
    for part in data:
        a, b, c, d = torch.rand(4, generator=generator, dtype=torch.float64) * 4 - 2
        part += (a * z + b * y + c * x + 3 * d).sin()
    pi = torch.pi
    data = data * (pi * z).sin() * (pi * y).sin() * (pi * x).sin()
    return Velocity(data * size_mm / data.norm(dim=0).max(), grid)


def slope_by_differences(transform, points: torch.Tensor, step: float = 1e-4) -> torch.Tensor:
    """Give the derivative by central differences."""
    columns = [
        (transform(points + h) - transform(points - h)) / (2 * step)
        for h in torch.eye(3, dtype=torch.float64) * step
    ]
    return torch.stack(columns, dim=-1)


def kidney(data_dir: Path) -> tuple[Points, Points]:
    """Give the 69 landmark pairs of the two stained kidney sections, pixels, in the plane S = 0."""
    folder = data_dir / "registration" / "histology"
    found = []
    for name in ("Rat-Kidney_HE.csv", "Rat-Kidney_PanCytokeratin.csv"):
        with (folder / name).open() as file:
            rows = [(float(r["X"]), float(r["Y"]), 0.0) for r in csv.DictReader(file)]
        found.append(Points(torch.tensor(rows[:69], dtype=torch.float64)))
    return found[0], found[1]


def lung(data_dir: Path, case: int, kind: str = "landmarks") -> tuple[Points, Points]:
    """Give landmark pairs of a lung CT at both ends of a breath, voxels."""
    folder = data_dir / "registration" / "l2r_eval_landmarks"
    sets = []
    for phase in (0, 1):
        text = (folder / f"{kind}Tr_LungCT_{case:04d}_{phase:04d}.csv").read_text()
        rows = [[float(v) for v in line.split(",")] for line in text.split()]
        sets.append(Points(torch.tensor(rows, dtype=torch.float64)))
    return sets[0], sets[1]

"""Landmark pairs that several test files of this folder use."""

import csv
from pathlib import Path

import torch

from vesalius.core import Points


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

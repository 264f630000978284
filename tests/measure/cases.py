"""Small images and regions that several tests of measure/ share."""

import csv
from pathlib import Path

import torch
from torch import Tensor

from vesalius.core import Grid, Image
from vesalius.measure._region import Region

SPACING = (2.0, 1.0, 1.5)


def blob(shape: tuple[int, int, int] = (9, 10, 11), seed: int = 3) -> tuple[Tensor, Tensor]:
    """Give random whole intensities 1 to 8 and an irregular connected mask."""
    generator = torch.Generator().manual_seed(seed)
    values = torch.randint(1, 9, shape, generator=generator).double()
    axes = [torch.linspace(-1, 1, n) if n > 1 else torch.zeros(1) for n in shape]
    z, y, x = torch.meshgrid(*axes, indexing="ij")
    mask = (z**2 + (y - 0.1) ** 2 + 0.6 * x**2 + 0.2 * z * x) < 0.7
    return values, mask


def region(values: Tensor, mask: Tensor, spacing: tuple[float, float, float] = SPACING) -> Region:
    """Wrap a block as a region whose two masks are the same."""
    grid = Grid.from_spacing(tuple(values.shape), spacing)
    return Region(grid, values.double(), mask, mask, "1")


def image(values: Tensor, spacing: tuple[float, float, float] = SPACING, unit: str = "1") -> Image:
    """Wrap a block as an image."""
    return Image(values[None], Grid.from_spacing(tuple(values.shape), spacing), unit)


def references(root: Path, name: str) -> dict[str, tuple[float, float]]:
    """Read an IBSI-1 reference file: tag -> (value, tolerance), rows with a tolerance only."""
    path = root / "ibsi" / "ibsi1_reference_values" / f"{name}.csv"
    with path.open() as file:
        rows = list(csv.DictReader(file, delimiter=";"))
    return {
        row["tag"]: (float(row["reference value"]), float(row["tolerance"]))
        for row in rows
        if row["tolerance"]
    }


def passes(value: float, reference: float, tolerance: float) -> bool:
    """Apply IBSI's rule: rounded to 3 significant digits, within the tolerance."""
    return abs(float(f"{value:.3g}") - reference) <= tolerance * (1 + 1e-9) + 1e-12

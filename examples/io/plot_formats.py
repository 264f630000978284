"""
Left stays left
===============

Every format has a convention of its own for where a voxel lies: RAS or LPS, corner or centre,
millimetres or micrometres. An oblique volume without two equal voxels goes from every format
to every other. How far do its corners move?
"""

# SPDX-License-Identifier: Apache-2.0

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import torch
from matplotlib.colors import LogNorm

from vesalius import io
from vesalius.core import Grid, Image
from vesalius.io.dicom import save_series

# %%
# Turned about all axes, three spacings, far from 0.

turn = torch.tensor([[0.8, 0.5, -0.3], [-0.4, 0.9, 0.2], [0.4, -0.1, 0.9]]).double()
turn = torch.linalg.qr(turn)[0] * torch.tensor([-1.0, 1.0, 1.0])
affine = torch.eye(4).double()
affine[:3, :3] = turn * torch.tensor([3.3, 0.7, 1.1])
affine[:3, 3] = torch.tensor([101.5, -220.25, 333.125])
grid = Grid((4, 5, 6), affine)
image = Image(torch.arange(120, dtype=torch.int16).reshape(1, *grid.shape), grid)
corners = torch.cartesian_prod(*(torch.tensor([0.0, n - 1.0]) for n in grid.shape)).double()
folder = Path(tempfile.mkdtemp())


def through(image: Image, suffix: str, name: str) -> Image:
    """Write an image in a format and read it back."""
    path = folder / f"{name}{suffix}"
    if suffix == "dicom":
        save_series(image, path)
    else:
        io.save(image, path)
    return io.open(path).read()


# %%
# First through the format of the row, then through that of the column.

formats = [".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd", ".ome.tif", ".tif", ".zarr", "dicom"]
moved_mm = torch.zeros(len(formats), len(formats))
for row, first in enumerate(formats):
    once = through(image, first, f"{row}")
    for column, second in enumerate(formats):
        twice = through(once, second, f"{row}-{column}")
        assert torch.equal(twice.data.long(), image.data.long())
        away = twice.grid.to_world(corners) - grid.to_world(corners)
        moved_mm[row, column] = away.norm(dim=1).max()
print(f"farthest: {float(moved_mm.max()):.2g} mm; no value changed")

figure, axis = plt.subplots(figsize=(7.4, 6))
shown = axis.imshow(moved_mm.clamp(min=1e-12), norm=LogNorm(1e-12, 1e-3), cmap="YlOrBr")
for row, values in enumerate(moved_mm.tolist()):
    for column, value in enumerate(values):
        word = f"{value:.0e}".replace("e-0", "e-") if value else "0"
        axis.text(column, row, word, ha="center", va="center", fontsize=8)
axis.set_xticks(range(len(formats)), formats, rotation=40, ha="right")
axis.set_yticks(range(len(formats)), formats)
axis.set(title="Largest movement of a corner, mm", xlabel="then", ylabel="first")
axis.grid(False)
figure.colorbar(shown, ax=axis, label="mm", extend="min")
plt.show()

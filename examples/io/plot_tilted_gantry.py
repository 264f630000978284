"""
A gantry that was tilted
========================

To spare the eyes, a head is often scanned with the gantry tilted. Slices then lean against the row
they lie in. A reader that stacks them at right angles shears the head. Here the grid leans too,
and is set upright only when somebody asks for it.
"""

# SPDX-License-Identifier: Apache-2.0

import math
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import torch

from vesalius import io
from vesalius.core import Grid, Image
from vesalius.io.dicom import save_series
from vesalius.study import Conversion, convert

# %%
# A ball with a rod along the body, in slices tilted by 20 degrees while the table moves along S.

tilt = math.radians(20)
cos, sin = math.cos(tilt), math.sin(tilt)
affine = torch.eye(4, dtype=torch.float64)
affine[:3, 0] = torch.tensor([0.0, 0.0, 5.0])  # the table
affine[:3, 1] = 3 * torch.tensor([0.0, cos, sin])  # down the picture
affine[:3, 2] = torch.tensor([3.0, 0.0, 0.0])
grid = Grid((33, 64, 64), affine)
grid.affine[:3, 3] = -grid.to_world(torch.tensor([16.0, 31.5, 31.5]).double())
index = torch.stack(torch.meshgrid(*(torch.arange(n) for n in grid.shape), indexing="ij"), -1)
at = grid.to_world(index.double())
head = torch.where(at.norm(dim=-1) < 75, 40, -1000)
head[(at[..., :2].norm(dim=-1) < 8) & (head > 0)] = 700
folder = Path(tempfile.mkdtemp())
save_series(Image(head[None].to(torch.int16), grid, "HU"), folder / "ct")

# %%
# The finding tells the angle; the grid that was read is sheared, as the scan was.

handle = io.open(folder / "ct")
print([f"{f.severity}: {f.message}" for f in handle.findings])
convert(io.survey(folder / "ct"), folder / "upright.nii.gz", Conversion(upright=True))
upright = io.open(folder / "upright.nii.gz").read()
stacked = Grid(grid.shape, handle.grid.affine.clone())
normal = torch.linalg.cross(*(grid.affine[:3, k] / grid.spacing_mm[k] for k in (2, 1)))
stacked.affine[:3, 0] = normal * float(grid.affine[:3, 0] @ normal)
last = torch.tensor([32.0, 0.0, 0.0]).double()
away_mm = float((stacked.to_world(last) - grid.to_world(last)).norm())
print(f"stacked at right angles, the last slice would lie {away_mm:.1f} mm off")

# %%
# The same plane through the middle, every pixel drawn where its grid says that it is.

views = ((head, handle.grid, "as read: the grid leans"),)
views += ((head, stacked, f"stacked at right angles: {away_mm:.0f} mm off"),)
views += ((upright.data[0], upright.grid, "set upright, on request"),)
figure, axes = plt.subplots(1, 3, figsize=(11, 4.2), sharex=True, sharey=True)
for panel, (values, where, title) in zip(axes, views, strict=True):
    z, y = torch.meshgrid(*(torch.arange(n).double() for n in where.shape[:2]), indexing="ij")
    place = where.to_world(torch.stack((z, y, torch.full_like(z, 31.0)), -1))
    panel.pcolormesh(place[..., 1], place[..., 2], values[:, :, 31], vmin=-1000, vmax=700)
    panel.set(title=title, xlabel="P, mm", aspect="equal")
    panel.grid(False)
axes[0].set_ylabel("S, mm")
plt.show()

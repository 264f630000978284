"""
One slice is missing
====================

A series of a CT lost one file on its way through an archive. A reader that stacks what is there, or
takes the distance of the first two slices for all, gives a ball that is too short or in the wrong
place, and says nothing. Here the volume is refused until somebody accepts the gap by name.
"""

# SPDX-License-Identifier: Apache-2.0

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch

from vesalius import io
from vesalius.core import Grid, Image
from vesalius.errors import FormatError
from vesalius.io.dicom import save_series

# %%
# A ball of 30 mm on slices 3 mm apart, written as a DICOM series.

grid = Grid.from_spacing((25, 64, 64), (3.0, 1.0, 1.0), origin_mm=(-32.0, -32.0, -36.0))
index = torch.stack(torch.meshgrid(*(torch.arange(n) for n in grid.shape), indexing="ij"), -1)
radius_mm = grid.to_world(index.double()).norm(dim=-1)
body = torch.where(radius_mm < 25, 40, -1000).to(torch.int16)
folder = Path(tempfile.mkdtemp())
save_series(Image(body[None], grid, "HU"), folder / "ct")

# %%
# Four files in the middle go astray. Opening still works: it only reads headers. Reading does not.

for path in sorted((folder / "ct").rglob("*.dcm"))[8:12]:
    path.unlink()
handle = io.open(folder / "ct")
for finding in handle.findings:
    print(f"{finding.severity:8} {finding.code}: {finding.message}")
try:
    handle.read()
except FormatError as error:
    print("\nrefused:", error)

# %%
# Accepted by name, the slices that are there stay where they were, and the hole is bridged by
# straight lines. Stacked without a thought, the ball loses its waist and 12 mm of its height.

bridged = io.open(folder / "ct", allow=("gaps",)).read()
stacked = np.delete(body.numpy(), slice(8, 12), axis=0)
views = {
    "as it was": body.numpy()[:, 32],
    "stacked without a thought": stacked[:, 32],
    'allow=("gaps",)': bridged.data[0, :, 32].numpy(),
}
figure, axes = plt.subplots(1, 3, figsize=(10, 4.2), sharey=True)
for axis, (title, view) in zip(axes, views.items(), strict=True):
    axis.imshow(view, cmap="gray", origin="lower", extent=(-32, 32, -37.5, 3 * len(view) - 37.5))
    axis.set(title=title, xlabel="L, mm", ylim=(-40, 40), facecolor="#e9e4de")
    axis.grid(False)
axes[0].set_ylabel("S, mm")
plt.show()

"""
What a score sees, and how sure a mean is
=========================================

Four ways to be wrong, and figures that disagree on which is worst. Dice counts voxels and does not
care where they are; the Hausdorff distance is ruled by one stray voxel, its 95th percentile is
not; surface Dice asks how much of the surface is right to within a tolerance. A mean over few
cases is uncertain, and two runs should be compared case by case.
"""

# SPDX-License-Identifier: Apache-2.0

import matplotlib.pyplot as plt
import torch

from vesalius import Grid, Labels
from vesalius.measure.evaluate import compare, contest, summarise
from vesalius.physics import Ellipsoid, Phantom, phantom_labels
from vesalius.segment.morphology import Ball, erode

grid = Grid.from_spacing((1, 80, 80), (1.0, 1.0, 1.0), origin_mm=(-39.5, -39.5, 0.0))


def body(size: float, left: float = 0.0) -> Labels:
    organ = Ellipsoid((left, 0.0, 0.0), (size, 0.7 * size, 9.0), 1.0, name="organ")
    return phantom_labels(Phantom((organ,)), grid)


def changed(labels: Labels, change: torch.Tensor) -> Labels:
    return Labels((labels.data != 0).logical_xor(change).to(torch.int16), grid, labels.names)


# %%
# Moved by two, eroded by one, a far speck, a fifth missing.

truth = body(26.0)
speck, lost = torch.zeros(2, 1, *grid.shape, dtype=torch.bool)
speck[..., 4:7, 4:7] = True
lost[..., 54:] = truth.data[..., 54:] != 0
wrong = {
    "moved": body(26.0, 2.0),
    "eroded": erode(truth, Ball(1.0)),
    "speck": changed(truth, speck),
    "a part lost": changed(truth, lost),
}
figure, axes = plt.subplots(1, 4, figsize=(12.5, 4.2))
for axis, (name, pred) in zip(axes, wrong.items(), strict=True):
    axis.imshow(truth.data[0, 0], vmax=2)
    axis.contour(pred.data[0, 0], [0.5], colors="#e08a6d", linewidths=2)
    s = compare(pred, truth, tau_mm=1.0).labels[0]
    told = f"Dice {s.dice:.2f}, surface Dice {s.nsd:.2f}\nHD {s.hausdorff_mm:.0f}"
    axis.set(title=name, xticks=[], yticks=[])
    axis.set_xlabel(f"{told}, HD95 {s.hd95_mm:.1f}, ASSD {s.assd_mm:.2f} mm")
    axis.grid(False)

# %%
# Sixteen cases, two runs: one is off by a little more, in nearly every case.

draw = torch.Generator().manual_seed(5)
runs: tuple[dict, dict] = ({}, {})
for case in range(16):
    size, error = 15 + 12 * float(torch.rand((), generator=draw)), torch.randn(3, generator=draw)
    for run, extra in zip(runs, (0.0, 0.6), strict=True):
        off = 2.0 + 0.8 * float(error[0]) + extra + 0.3 * float(error[1])
        run[f"case {case}"] = compare(body(size + 0.5 * float(error[2]), off), body(size))
figure, axis = plt.subplots(figsize=(7, 2.6))
for row, run in enumerate(runs):
    mean = next(s for s in summarise(run, generator=draw) if s.score == "dice").interval
    values = [found.mean("dice") for found in run.values()]
    axis.plot(values, [row + 0.18] * len(values), "|", color="#8c8279", ms=9)
    axis.plot([mean.low, mean.high], [row, row], lw=4)
    axis.plot(mean.mean, row, "o", color="#2b2622")
test = next(c for c in contest(*runs, generator=draw) if c.score == "dice").test
axis.set(yticks=[0, 1], yticklabels=["run A", "run B"], ylim=(1.5, -0.5), xlabel="Dice")
axis.set_title(
    f"A - B: {test.difference.mean:+.3f} ({test.difference.low:+.3f} to "
    f"{test.difference.high:+.3f}), p = {test.p_value:.1g}"
)
plt.show()

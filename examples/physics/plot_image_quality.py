"""
One MTF for a linear method, one per contrast for others
========================================================

Filtered back-projection is linear: it keeps a fixed part of each frequency, its MTF. Total
variation keeps strong edges and takes weak ones for noise, so what it transfers depends on the
contrast: the task transfer function of AAPM TG-233. Judge such a method by how well a task can be
done in its images, d', and not by how quiet they look.
"""

# SPDX-License-Identifier: Apache-2.0

import matplotlib.pyplot as plt
import torch

from vesalius import Grid, Image
from vesalius.physics import Cylinder, Phantom, to_attenuation
from vesalius.physics.ct import exact_projections, parallel
from vesalius.physics.noise import scan, to_transmission
from vesalius.physics.quality import DiscTask, detectability, disc_mtf, noise_power, to_hu
from vesalius.reconstruct.ct import Iterative, fbp, iterate, to_line_integrals

# %%
# A rod in water, in closed form, of strong and of weak contrast; four noisy slices of each.

grid = Grid.from_spacing((1, 96, 96), (1.0, 1.0, 1.0), origin_mm=(-47.5, -47.5, 0.0))
views = parallel(torch.arange(120) * 1.5, shape=(1, 115), pitch_mm=(1.0, 1.0))
stack = Grid.from_spacing((4, 96, 96), (1.0, 1.0, 1.0), origin_mm=(-47.5, -47.5, 0.0))
generator = torch.Generator().manual_seed(8)
methods = {
    "FBP": lambda lines: fbp(lines, like=grid),
    "TV": lambda lines: iterate(lines, like=grid, method=Iterative("tv", steps=15, weight=0.05)),
}
slices = {}
for contrast in (800.0, 60.0):
    water = Cylinder((0, 0, 0), (44.0, 44.0, 500.0), 0.0)
    rod = Cylinder((0.0, -20.0, 0.0), (12.0, 12.0, 500.0), contrast)
    object_ = to_attenuation(Phantom((water, rod), -1000.0, "HU"), water_per_mm=0.0193)
    exact = exact_projections(object_, views, subrays=(1, 4))
    for _ in range(4):
        counts = scan(exact, photons=3e4, generator=generator)
        lines = to_line_integrals(to_transmission(counts, photons=3e4, least=0.5))
        for name, method in methods.items():
            slices.setdefault((name, contrast), []).append(method(lines).image.data)

# %%
# Transfer at the rod's edge, noise in the water beside it, and d' of a disc of 6 mm.

figure, (left, middle, right) = plt.subplots(1, 3, figsize=(11.5, 3.9))
task = DiscTask(diameter_mm=6.0, contrast=25.0)
bars = {}
for (name, contrast), found in slices.items():
    image = to_hu(Image(torch.cat(found, dim=1), stack, "1/mm"), kev=70.0)
    transfer = disc_mtf(image, centre_mm=(0.0, -20.0), radius_mm=12.0)
    noise = noise_power((image.crop((0, 52, 34), (4, 28, 28)),))
    bars[f"{name}\n{contrast:g} HU"] = detectability(task, transfer=transfer, noise=noise)
    look = {"color": "C0" if name == "FBP" else "C1", "ls": "-" if contrast > 100 else "--"}
    label = f"{name}, {contrast:g} HU"
    low = transfer.frequency_per_mm <= 0.5
    left.plot(transfer.frequency_per_mm[low], transfer.value[low], label=label, **look)
    if contrast < 100:
        middle.plot(*noise.radial(), label=f"{name}, {noise.variance**0.5:.0f} HU", **look)
left.set(title="Transfer", xlabel="frequency, 1/mm", ylim=(0, 1.3))
middle.set(title="Noise power", xlabel="frequency, 1/mm", ylabel="HU^2 mm^2")
right.bar(list(bars), list(bars.values()), color=["C0", "C1", "C0", "C1"], width=0.6)
right.set(title="d' of a disc, 6 mm, 25 HU")
left.legend(fontsize=8)
middle.legend(fontsize=8)
plt.show()

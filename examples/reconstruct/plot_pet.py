"""
PET: model what was counted, do not subtract it
===============================================

A PET counts true pairs, less what the body absorbs, plus randoms and scatter. MLEM puts all of
this into the expectation and climbs the Poisson likelihood. Leave attenuation out and the middle
goes dark; leave the background out and the cold rod fills up. Every step fits the counts better,
and too many fit their noise.
"""

# SPDX-License-Identifier: Apache-2.0

from dataclasses import replace

import matplotlib.pyplot as plt
import torch

from vesalius import Grid
from vesalius.physics import Cylinder, Phantom, rasterise
from vesalius.physics.ct import Projections, exact_projections, parallel
from vesalius.physics.noise import poisson
from vesalius.reconstruct.pet import Corrections, Emission, emission

# %%
# A body of water with a hot and a cold rod; line integrals are exact.

views = parallel(torch.arange(90) * 2.0, shape=(1, 121), pitch_mm=(1.0, 3.0))
grid = Grid.from_spacing((1, 96, 96), (3.0, 3.5, 3.5), origin_mm=(-166.25, -166.25, 0.0))
ellipse = (140.0, 105.0, 500.0)
water = Phantom((Cylinder((0, 0, 0), ellipse, 0.0096),), 0.0, "1/mm")
hot = Cylinder((60.0, -20.0, 0.0), (12.0, 12.0, 500.0), 40.0)
cold = Cylinder((-55.0, 15.0, 0.0), (25.0, 25.0, 500.0), 0.0)
activity = Phantom((Cylinder((0, 0, 0), ellipse, 10.0), hot, cold), 0.0, "1/mm")
passed = torch.exp(-exact_projections(water, views).data)
trues = passed * exact_projections(activity, views, subrays=(1, 3)).data
background = torch.full_like(trues, 0.4 * float(trues.mean()))
prompts = poisson(trues + background, generator=torch.Generator().manual_seed(7))
prompts = Projections(prompts, views, "counts")

# %%
# All corrections, and each of them left out; steps early and late.

full = Corrections(attenuation=passed, background=background)
few, many = Emission(steps=3, subsets=6), Emission(steps=15, subsets=6)
found = {
    "All corrections": emission(prompts, like=grid, corrections=full, options=few),
    "No attenuation": emission(
        prompts, like=grid, corrections=replace(full, attenuation=None), options=few
    ),
    "No background": emission(
        prompts, like=grid, corrections=replace(full, background=None), options=few
    ),
    "Five times the steps": emission(prompts, like=grid, corrections=full, options=many),
}
truth = rasterise(activity, grid).data[0, 0]

figure, axes = plt.subplots(1, 5, figsize=(13, 3.2))
images = {name: result.image.data[0, 0] for name, result in found.items()} | {"Truth": truth}
for axis, (name, image) in zip(axes, images.items(), strict=True):
    inside = image[48:56, 28:36].mean() / image[48:56, 44:52].mean()
    axis.imshow(image / image[48:56, 44:52].mean(), cmap="inferno", vmin=0, vmax=4)
    axis.set(title=name, xlabel=f"cold over warm: {inside:.2f}", xticks=[], yticks=[])
    axis.grid(False)
plt.show()

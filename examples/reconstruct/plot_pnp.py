"""
A learned denoiser in the place of a prior
==========================================

Plug-and-play alternates between fitting the data and denoising. The packaged denoiser was trained
on generated images of random shapes alone, never on anatomy; here it meets a chest. It knows more
about edges than total variation does, and like every prior it paints what the data do not say:
so the small things are what to look at.
"""

# SPDX-License-Identifier: Apache-2.0

import matplotlib.pyplot as plt
import torch

from vesalius import Grid
from vesalius.core import Linear
from vesalius.physics import chest_phantom, rasterise, to_attenuation
from vesalius.physics.ct import exact_projections, parallel
from vesalius.physics.noise import scan, to_transmission
from vesalius.physics.quality import mu_water, to_hu
from vesalius.reconstruct.ct import Iterative, fbp, iterate, to_line_integrals
from vesalius.reconstruct.learned import Denoiser, PlugAndPlay, plug_and_play_ct

# %%
# A slice of the chest phantom at low dose, from 90 views; line integrals are exact.

chest = chest_phantom()
mu = to_attenuation(chest, water_per_mm=mu_water(70.0))
height = 40.0
grid = Grid.from_spacing((1, 96, 136), (1.0, 2.7, 2.7), origin_mm=(-182.0, -128.0, height))
views = parallel(torch.arange(90) * 2.0, shape=(1, 171), pitch_mm=(1.0, 2.4))
views = views.moved(Linear.translation((0.0, 0.0, height)))
exact = exact_projections(mu, views, subrays=(1, 4))
counts = scan(exact, photons=2e4, generator=torch.Generator().manual_seed(3))
lines = to_line_integrals(to_transmission(counts, photons=2e4, least=0.5))

# %%
# Three ways, none of which knows the truth.

sparse = Iterative("tv", steps=15, strength="balance", photons=2e4)
plug = PlugAndPlay(steps=8, photons=2e4)
found = {
    "FBP, Hann": fbp(lines, like=grid, window="hann"),
    "TV, balanced": iterate(lines, like=grid, method=sparse),
    "Plug-and-play": plug_and_play_ct(
        lines, like=grid, denoiser=Denoiser.pretrained(), method=plug
    ),
}
truth = rasterise(chest, grid)

figure, axes = plt.subplots(2, 2, figsize=(9.5, 7))
images = {name: to_hu(one.image, kev=70.0) for name, one in found.items()} | {"Truth": truth}
for axis, (name, image) in zip(axes.flat, images.items(), strict=True):
    error = float((image.data - truth.data).square().mean().sqrt())
    axis.imshow(image.data[0, 0], vmin=-1000, vmax=400)
    axis.set(title=name if name == "Truth" else f"{name}: {error:.0f} HU", xticks=[], yticks=[])
    axis.grid(False)
plt.show()

"""
Few numbers hold an image, in the right basis
=============================================

Keep only the k largest coefficients of an orthonormal transform. How fast the error falls tells
how compressible images are in it, which is what L1 priors live on. Fourier pays for the jump at
the border, cosines do not, wavelets pay least for edges inside.
"""

# SPDX-License-Identifier: Apache-2.0

import matplotlib.pyplot as plt
import torch

from vesalius import Grid
from vesalius.physics import chest_phantom, rasterise
from vesalius.physics.sparse import Dct, Dft, Wavelet, keep_largest

# %%
# A slice through the chest, cut so that the body touches the border.

grid = Grid.from_spacing((1, 192, 256), (1.0, 1.0, 1.0), origin_mm=(-127.5, -60.0, 20.0))
image = rasterise(chest_phantom(), grid).data[0, 0].double()
transforms = {
    "Fourier": Dft((192, 256)),
    "cosine": Dct((192, 256)),
    "wavelet, Haar": Wavelet((192, 256), "haar"),
    "wavelet, Daubechies-4": Wavelet((192, 256), "db4"),
}

# %%
# The energy that is missing with k coefficients, for every k at once: the transforms are
# orthonormal, so it is the energy of the coefficients that are left out.

figure, axes = plt.subplot_mosaic([["curve"] * 4, list(transforms)], figsize=(10, 6.6))
total = float((image - image.mean()).square().sum())
for name, transform in transforms.items():
    energy = transform(image).abs().square().flatten().sort(descending=True).values
    left = (energy.flip(0).cumsum(0).flip(0)[1:] / total).sqrt()
    axes["curve"].loglog(torch.arange(1, len(energy)) / len(energy) * 100, left, label=name)
    kept = keep_largest(image, transform, image.numel() // 100)
    error = float((kept - image).square().mean().sqrt())
    axes[name].imshow(kept, vmin=-1100, vmax=300)
    axes[name].set(title=f"{name}\n1 %, {error:.0f} HU", xticks=[], yticks=[])
    axes[name].grid(False)
axes["curve"].set(xlim=(0.03, 60), ylim=(1e-3, 1), xlabel="coefficients kept, %")
axes["curve"].set(ylabel="relative error", title="The error falls fastest in wavelets")
axes["curve"].axvline(1.0, color="k", lw=0.8, ls=":")
axes["curve"].legend()
plt.show()

"""
How much regularisation an inverse problem needs
================================================

Undo a blur by least squares, and noise is amplified by the inverse of the smallest singular
value. The penalty of Tikhonov adds its weight to the square of each of them, so the condition
number of the normal equations falls from s1^2 / sn^2 to (s1^2 + weight) / (sn^2 + weight). The
error first falls with it, and then rises again, because the penalty also takes signal.
"""

# SPDX-License-Identifier: Apache-2.0

import matplotlib.pyplot as plt
import numpy as np
import torch

from vesalius.physics.optics import Blur
from vesalius.reconstruct.solve import tikhonov

# %%
# A row of 128 samples with two boxes, blurred and measured with 1 % noise.

blur = Blur((1, 1, 128), sigma=(0.0, 0.0, 2.0))
truth = torch.zeros(1, 1, 128, dtype=torch.float64)
truth[..., 30:55], truth[..., 75:85] = 1.0, 0.6
generator = torch.Generator().manual_seed(4)
measured = blur(truth)
measured = measured + 0.01 * torch.randn(measured.shape, generator=generator, dtype=torch.float64)

# %%
# The operator as a matrix: each column is what one sample becomes.

matrix = blur(torch.eye(128, dtype=torch.float64).reshape(128, 1, 1, 128)).reshape(128, 128)
singular = torch.linalg.svdvals(matrix).numpy()
weights = np.logspace(-9, 1, 41)
condition = (singular[0] ** 2 + weights) / (singular[-1] ** 2 + weights)
error, kept = [], {}
for k, weight in enumerate(weights):
    x = tikhonov(blur, measured, weight=float(weight), steps=800).x
    error.append(float((x - truth).norm() / truth.norm()))
    kept[k] = x.flatten()
best = int(np.argmin(error))

# %%
# Too little, best, too much.

figure, (left, right) = plt.subplots(1, 2, figsize=(10.5, 4))
left.loglog(weights, condition, label="condition number of A'A + weight")
left.set(xlabel="weight", ylabel="condition number", title="Tame the operator")
twin = left.twinx()
twin.semilogx(weights, error, "C1", label="relative error of x")
twin.set(ylabel="relative error", ylim=(0, 2.5))
twin.grid(False)
twin.plot(weights[best], error[best], "C1o")
left.legend(*(a + b for a, b in zip(left.get_legend_handles_labels(),
    twin.get_legend_handles_labels(), strict=True)), loc="upper right")  # fmt: skip
for k, name in ((19, "too little"), (best, "best"), (38, "too much")):
    right.plot(kept[k], lw=1.5 if k == best else 1.0, label=f"{name}, weight {weights[k]:.0e}")
right.plot(truth.flatten(), ":k", lw=1.2, label="truth")
right.set(ylim=(-0.8, 2.2), xlabel="sample", title="What comes out")
right.legend(fontsize=8, loc="upper right")
plt.show()

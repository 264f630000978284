"""Networks, losses and the training loop: what a learned method of any stage is made of.

Floor 3. Takes iterables of tensors and a ``save`` callable; opens no file. Works today: the N-D
U-Net and the training loop; later: ViT, diffusion.
"""
# SPDX-License-Identifier: Apache-2.0

from vesalius.learn._train import Schedule, Training, load_average, train
from vesalius.learn._unet import UNet, UNetPlan

__all__ = ["Schedule", "Training", "UNet", "UNetPlan", "load_average", "train"]

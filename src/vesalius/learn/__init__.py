"""Networks, losses and the training loop: what a learned method of any stage is made of.

Floor 3. Takes iterables of tensors and a ``save`` callable; opens no file. Works today: the N-D
U-Net, the training loop, ``learn.losses`` and ``learn.augment``; later: ViT, diffusion.
"""
# SPDX-License-Identifier: Apache-2.0

from vesalius.learn._schedule import Schedule
from vesalius.learn._train import Drawn, Taught, Training, train
from vesalius.learn._training_state import load_average
from vesalius.learn._unet import UNet, UNetPlan

__all__ = [
    "Drawn",
    "Schedule",
    "Taught",
    "Training",
    "UNet",
    "UNetPlan",
    "load_average",
    "train",
]

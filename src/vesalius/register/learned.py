"""Learned registration: a network that guesses a deformation at once.

Part of the room ``register``.
"""
# SPDX-License-Identifier: Apache-2.0

from vesalius.register._learned import REFINE, Registrar
from vesalius.register._learned_plan import Example, RegistrarPlan, Shapes

__all__ = ["REFINE", "Example", "Registrar", "RegistrarPlan", "Shapes"]

"""How strong a prior should be, chosen from the data alone, or learned from pairs.

Part of the room ``reconstruct``.
"""
# SPDX-License-Identifier: Apache-2.0

from vesalius.reconstruct.strength._bilevel import bilevel_gradient
from vesalius.reconstruct.strength._rules import Choice, discrepancy, gcv, l_curve, sure

__all__ = ["Choice", "bilevel_gradient", "discrepancy", "gcv", "l_curve", "sure"]

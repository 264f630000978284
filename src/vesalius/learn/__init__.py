"""Networks, losses and the training loop will live here.

Floor 3. Takes iterables of tensors and a ``save`` callable; opens no file. Empty today.
"""
# SPDX-License-Identifier: Apache-2.0

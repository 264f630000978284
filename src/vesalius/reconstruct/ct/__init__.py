"""CT: filtered back-projection, FDK, corrections of raw data, iterative recipes.

Part of the room ``reconstruct``.
"""
# SPDX-License-Identifier: Apache-2.0

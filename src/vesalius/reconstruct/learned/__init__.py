"""Learned reconstruction, on the same projectors.

Part of the room ``reconstruct``.
"""
# SPDX-License-Identifier: Apache-2.0

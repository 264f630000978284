"""MR images from k-space: coil maps, SENSE, compressed sensing.

Part of the room ``reconstruct``.
"""
# SPDX-License-Identifier: Apache-2.0

"""Image quality: MTF, noise power, task transfer, detectability, HU and mu.

Part of the room ``physics``.
"""
# SPDX-License-Identifier: Apache-2.0

"""Noise: how measurements scatter, and how likely one is.

Part of the room ``physics``.
"""
# SPDX-License-Identifier: Apache-2.0

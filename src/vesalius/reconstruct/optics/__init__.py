"""Microscope images: deconvolution, super-resolution, light-field volumes.

Part of the room ``reconstruct``.
"""
# SPDX-License-Identifier: Apache-2.0

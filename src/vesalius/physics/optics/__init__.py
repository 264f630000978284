"""Microscope physics: point spread functions, convolution, light-field.

Part of the room ``physics``.
"""
# SPDX-License-Identifier: Apache-2.0

"""Pure functions on tensors, in samples: no files, no Image, no millimetres.

Floor 1. Imports nothing of vesalius but ``errors``.
"""
# SPDX-License-Identifier: Apache-2.0

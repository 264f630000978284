"""Raw measurements: HDF5, BART, NumPy and TIFF stacks, and geometry files.

Part of the room ``io``.
"""
# SPDX-License-Identifier: Apache-2.0

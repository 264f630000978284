"""Image and labels to quantities: radiomics by the IBSI standard, every number with an error bar.

Floor 6.
"""
# SPDX-License-Identifier: Apache-2.0

"""From tables of features to validated models: harmonise, select, fit, explain will live here.

Floor 7. Empty today.
"""
# SPDX-License-Identifier: Apache-2.0

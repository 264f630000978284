"""A run: recipe, provenance, resumable steps, and the only place that renders reports.

Floor 8.
"""
# SPDX-License-Identifier: Apache-2.0

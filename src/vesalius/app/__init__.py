"""The local web app will live here.

Floor 9. Empty today.
"""
# SPDX-License-Identifier: Apache-2.0

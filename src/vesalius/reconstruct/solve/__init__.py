"""Solvers and priors for any linear operator.

Part of the room ``reconstruct``.
"""
# SPDX-License-Identifier: Apache-2.0

"""The command line: parse, call, show. No arithmetic.

Floor 9.
"""
# SPDX-License-Identifier: Apache-2.0

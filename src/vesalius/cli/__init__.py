"""The command line: parse, call, show. No arithmetic.

Floor 9. Importing it loads neither torch nor numpy: each command imports what it needs.
"""
# SPDX-License-Identifier: Apache-2.0

from vesalius.cli._main import main

__all__ = ["main"]

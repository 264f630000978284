"""Objects as a run: from an image and its labels to a table and a report.

Part of the room ``study``.
"""
# SPDX-License-Identifier: Apache-2.0

from vesalius.study.objects._run import Done, run_objects

__all__ = ["Done", "run_objects"]

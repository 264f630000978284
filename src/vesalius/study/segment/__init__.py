"""Segmentation as a run: from files to labels, maps, a record and a report.

Part of the room ``study``.
"""
# SPDX-License-Identifier: Apache-2.0

from vesalius.study.segment._job import HintFiles, Job
from vesalius.study.segment._run import Done, make_method, run_segment
from vesalius.study.segment._words import METHODS, Setting, build, method_class, purpose, settings

__all__ = [
    "METHODS",
    "Done",
    "HintFiles",
    "Job",
    "Setting",
    "build",
    "make_method",
    "method_class",
    "purpose",
    "run_segment",
    "settings",
]

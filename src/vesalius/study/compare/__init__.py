"""Comparison as a run: labels of a case or a cohort against the truth, tables and a report.

Part of the room ``study``.
"""
# SPDX-License-Identifier: Apache-2.0

from vesalius.study.compare._cases import Case, find_cases
from vesalius.study.compare._job import Job
from vesalius.study.compare._run import Done, run_compare

__all__ = ["Case", "Done", "Job", "find_cases", "run_compare"]

"""Prediction as a run: tables harmonised, models fitted, judged, applied; tables, pages, models.

Part of the room ``study``.
"""
# SPDX-License-Identifier: Apache-2.0

from vesalius.study.predict._done import Done
from vesalius.study.predict._job import Columns, FitJob, JudgeJob
from vesalius.study.predict._run import run_apply, run_fit, run_validate

__all__ = ["Columns", "Done", "FitJob", "JudgeJob", "run_apply", "run_fit", "run_validate"]

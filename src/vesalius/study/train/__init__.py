"""Training as a run: from a folder of images and labels to a model, its scores and a report.

Part of the room ``study``.
"""
# SPDX-License-Identifier: Apache-2.0

from vesalius.study.train._job import Job, hold_out_names
from vesalius.study.train._run import Done, run_evaluate, run_fingerprint, run_plan, run_train

__all__ = [
    "Done",
    "Job",
    "hold_out_names",
    "run_evaluate",
    "run_fingerprint",
    "run_plan",
    "run_train",
]

"""Prediction as a run: tables harmonised, models fitted, judged, applied; tables, pages, models.

Part of the room ``study``.
"""
# SPDX-License-Identifier: Apache-2.0

from vesalius.study.predict._done import Done
from vesalius.study.predict._explain import run_explain
from vesalius.study.predict._explain_job import ExplainJob, Picture
from vesalius.study.predict._federate import (
    Hospital,
    read_plan,
    run_join,
    run_serve,
    run_simulate,
)
from vesalius.study.predict._harmonise import run_harmonise
from vesalius.study.predict._harmonise_job import HarmoniseJob, Manner
from vesalius.study.predict._job import Columns, FitJob, JudgeJob
from vesalius.study.predict._run import run_apply, run_fit, run_validate
from vesalius.study.predict._similar import run_similar, write_similar
from vesalius.study.predict._similar_job import SimilarJob
from vesalius.study.predict._view import ViewJob, run_view

__all__ = [
    "Columns",
    "Done",
    "ExplainJob",
    "FitJob",
    "HarmoniseJob",
    "Hospital",
    "JudgeJob",
    "Manner",
    "Picture",
    "SimilarJob",
    "ViewJob",
    "read_plan",
    "run_apply",
    "run_explain",
    "run_fit",
    "run_harmonise",
    "run_join",
    "run_serve",
    "run_similar",
    "run_simulate",
    "run_validate",
    "run_view",
    "write_similar",
]

"""Reconstruction as a run: from raw files and a geometry to an image, with its report.

Part of the room ``study``.
"""
# SPDX-License-Identifier: Apache-2.0

from vesalius.study._stage_page import Page, render_page
from vesalius.study.reconstruct._files import Camera, run_drr, run_simulate
from vesalius.study.reconstruct._job import Job
from vesalius.study.reconstruct._plan import Plan, open_plan
from vesalius.study.reconstruct._quality import Error, compare
from vesalius.study.reconstruct._rescan import Rescan, Way, rescan
from vesalius.study.reconstruct._run import Done, run_plan
from vesalius.study.reconstruct._simulate import Exposure, simulate

__all__ = [
    "Camera",
    "Done",
    "Error",
    "Exposure",
    "Job",
    "Page",
    "Plan",
    "Rescan",
    "Way",
    "compare",
    "open_plan",
    "render_page",
    "rescan",
    "run_drr",
    "run_plan",
    "run_simulate",
    "simulate",
]

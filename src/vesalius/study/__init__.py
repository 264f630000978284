"""A run: recipe, provenance, resumable steps, and the only place that renders reports.

Floor 8.
"""
# SPDX-License-Identifier: Apache-2.0

from vesalius.study._convert import Conversion, convert
from vesalius.study._demo import run_demo
from vesalius.study._dicom_report import save_dicom_report
from vesalius.study._load import Pair, load_pair, read_names
from vesalius.study._part import Part
from vesalius.study._report import (
    Heading,
    Report,
    Scene,
    build_report,
    failed_report,
    render_html,
    render_json,
)
from vesalius.study._run import (
    Outcome,
    Task,
    measure_part,
    open_folder,
    plan,
    run_measure,
    write_failure,
    write_study,
)
from vesalius.study._targets import Dicom

__all__ = [
    "Conversion",
    "Dicom",
    "Heading",
    "Outcome",
    "Pair",
    "Part",
    "Report",
    "Scene",
    "Task",
    "build_report",
    "convert",
    "failed_report",
    "load_pair",
    "measure_part",
    "open_folder",
    "plan",
    "read_names",
    "render_html",
    "render_json",
    "run_demo",
    "run_measure",
    "save_dicom_report",
    "write_failure",
    "write_study",
]

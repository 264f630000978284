"""Registration as a run: from files to transform, inverse, warped images, metrics and a report.

Part of the room ``study``.
"""
# SPDX-License-Identifier: Apache-2.0

from vesalius.study.register._files import (
    Dialect,
    apply_to_image,
    apply_to_points,
    compose_files,
    convert_file,
    invert_file,
    open_transform,
)
from vesalius.study.register._job import Inputs, Job
from vesalius.study.register._run import Done, run_register
from vesalius.study.register._series import DoneSeries, run_series

__all__ = [
    "Dialect",
    "Done",
    "DoneSeries",
    "Inputs",
    "Job",
    "apply_to_image",
    "apply_to_points",
    "compose_files",
    "convert_file",
    "invert_file",
    "open_transform",
    "run_register",
    "run_series",
]

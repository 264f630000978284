"""A measured case for the archive: its regions as DICOM SEG, its numbers as a DICOM report."""
# SPDX-License-Identifier: Apache-2.0

from pathlib import Path

from vesalius.core import Labels
from vesalius.errors import FormatError
from vesalius.io import survey
from vesalius.io.dicom import save_seg
from vesalius.study._dicom_report import save_dicom_report
from vesalius.study._run import Outcome, plan

SEGMENTATION, MEASUREMENTS = "segmentation.dcm", "measurements.dcm"


def save_dicom_case(outcome: Outcome, labels: Labels, out: Path, *, like: Path) -> tuple[str, ...]:
    """Write the regions and the numbers of a run beside its report.

    Args:
        outcome: What the run gave.
        labels: What was measured, on the grid of the series.
        out: The run's folder.
        like: Folder of the DICOM series that was measured.

    Returns:
        Names of the files written: the segmentation, then the report that refers to it.

    Raises:
        FormatError: Nothing was measured, or ``like`` is no DICOM series.
        GeometryError: The labels lie on another grid.
        OutputError: A file cannot be written.
    """
    if not outcome.parts:
        raise FormatError("a DICOM report must hold measurements, no region could be measured")
    table = outcome.parts[0].table
    save_seg(_named(labels), out / SEGMENTATION, like=like)
    save_dicom_report(table, out / MEASUREMENTS, like=like, seg=out / SEGMENTATION)
    return SEGMENTATION, MEASUREMENTS


def check_source(like: Path) -> None:
    """Check, before anything is measured, that DICOM objects can refer to what is measured.

    Args:
        like: What is measured.

    Raises:
        FormatError: It is no DICOM series.
    """
    handles = [h for h in survey(like).handles if h.meta.get("format") == "DICOM"]
    if not handles:
        raise FormatError(
            f"{like.name!r} must be a DICOM series for a DICOM report to refer to, it is none: "
            "leave --dicom away, or name the folder of the series"
        )


def _named(labels: Labels) -> Labels:
    """Call every region what the tables call it."""
    names = {(region.layer, region.value): region.name for region in plan(labels)}
    return Labels(labels.data, labels.grid, names)

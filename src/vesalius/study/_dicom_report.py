"""DICOM report: the long table as a structured report (TID 1500) beside the images it speaks of."""
# SPDX-License-Identifier: Apache-2.0

from pathlib import Path
from typing import TYPE_CHECKING

from vesalius.errors import FormatError
from vesalius.io.dicom import Caption, Measurement, save_report
from vesalius.io.dicom._write_report import ReportWritten
from vesalius.measure._catalogue import by_tag

if TYPE_CHECKING:
    from pandas import DataFrame, Series

PLAIN = ("", "original")
"""Words for values that were measured on the image itself."""
TOLD = ("filter", "discretisation", "normalisation", "config_hash", "image_hash", "mask_hash")
"""Columns that go into a report as parameters of the algorithm."""


def save_dicom_report(
    table: "DataFrame",
    path: str | Path,
    *,
    like: str | Path,
    seg: str | Path,
    caption: Caption = Caption("Measurements"),  # noqa: B008  frozen
) -> ReportWritten:
    """Write the long table of one case as a DICOM structured report.

    Values keep their IBSI codes, UCUM units, way of aggregation, and the percentiles of their
    perturbations as error bars; features outside the standard are coded by their name in the
    house. Filter, discretisation and hashes stand beside each value.

    Args:
        table: Columns of the canonical long table; ``label`` names segments of ``seg``.
        path: Where it goes; an existing file is replaced.
        like: Folder of the DICOM series that was measured.
        seg: DICOM segmentation of the regions, such as ``io.dicom.save_seg`` writes.
        caption: Description, number and date of the series.

    Returns:
        How many values were written, and which have none.

    Raises:
        FormatError: The table holds several cases or no value, or a region has no segment.
        UnitError: A unit cannot be coded.
        ExtraError: highdicom is not installed.
        OutputError: The file cannot be written.
    """
    subjects = sorted({_text(row, "subject") for _, row in table.iterrows()})
    if len(subjects) > 1:
        raise FormatError(
            f"a DICOM report must be of one case, the table holds {len(subjects)} "
            f"({', '.join(subjects[:3])}): write one report for each"
        )
    rows = [_measurement(row) for _, row in table.iterrows()]
    return save_report(rows, path, like=like, seg=seg, caption=caption)


def _measurement(row: "Series") -> Measurement:
    tag = _text(row, "feature")
    known = by_tag().get(tag)
    words = known.name if known is not None else tag
    told = tuple(f"{name}: {_text(row, name)}" for name in TOLD if _text(row, name) not in PLAIN)
    return Measurement(
        name=words,
        code=_text(row, "ibsi_code"),
        value=float(row["value"]),
        unit=_text(row, "unit"),
        region=_text(row, "label"),
        tag=tag,
        aggregation=_text(row, "aggregation"),
        parameters=told,
        low=float(row["perturb_p2_5"]),
        high=float(row["perturb_p97_5"]),
    )


def _text(row: "Series", name: str) -> str:
    value = row.get(name, "")
    return "" if value is None or value != value else str(value)

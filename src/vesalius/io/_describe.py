"""Describe: what is at a path, as plain values for a table or JSON."""
# SPDX-License-Identifier: Apache-2.0

import math
from collections.abc import Mapping
from typing import Any

from vesalius.io._contours import Contours
from vesalius.io._handle import Finding, Handle
from vesalius.io._open import Survey

SCHEMA = 1


def describe(survey: Survey) -> dict[str, Any]:
    """Describe what was found at a path in values that JSON can hold.

    Args:
        survey: What ``io.survey`` gave.

    Returns:
        ``schema`` (1); ``volumes``, each with name, verdict (``"good"``; ``"check"`` where a
        finding is a warning; ``"refused"`` where ``read`` would refuse), shape (z, y, x),
        spacing_mm, orientation (letters of the directions in which z, y, x grow), affine, unit,
        frames, times_s, channels, labels, levels, meta and findings; ``outlines``, each with name,
        regions and findings; ``refused``, texts; ``skipped``, names.
    """
    return {
        "schema": SCHEMA,
        "volumes": [_volume(handle) for handle in survey.handles],
        "outlines": [_outlines(contours) for contours in survey.contours],
        "refused": [str(error) for error in survey.refused],
        "skipped": list(survey.skipped),
    }


def verdict(findings: tuple[Finding, ...]) -> str:
    """Give one word for findings: good, check or refused."""
    worst = {finding.severity for finding in findings}
    if "error" in worst:
        return "refused"
    return "check" if "warning" in worst else "good"


def _volume(handle: Handle) -> dict[str, Any]:
    grid, content = handle.grid, handle.content
    names = sorted(content.names.items())
    return {
        "name": handle.name,
        "verdict": verdict(handle.findings),
        "shape": list(grid.shape),
        "spacing_mm": [_short(v) for v in grid.spacing_mm],
        "orientation": grid.orientation,
        "affine": grid.affine.tolist(),
        "unit": content.unit,
        "frames": content.frames,
        "times_s": list(content.times_s),
        "channels": list(content.channels),
        "labels": [{"layer": k, "value": v, "name": name} for (k, v), name in names],
        "levels": [list(level.shape) for level in handle.coarser],
        "meta": _plain(handle.meta),
        "findings": [_finding(f) for f in handle.findings],
    }


def _outlines(contours: Contours) -> dict[str, Any]:
    rois = [
        {
            "name": roi.name,
            "value": roi.value,
            "outlines": len(roi.outlines),
            "points": sum(len(outline.points) for outline in roi.outlines),
        }
        for roi in contours.rois
    ]
    return {
        "name": contours.name,
        "verdict": verdict(contours.findings),
        "regions": rois,
        "meta": _plain(contours.meta),
        "findings": [_finding(f) for f in contours.findings],
    }


def _finding(finding: Finding) -> dict[str, str]:
    return {
        "severity": finding.severity,
        "code": finding.code,
        "message": finding.message,
        "allow": finding.allow,
    }


def _plain(meta: Mapping[str, object]) -> dict[str, Any]:
    return {key: _value(value) for key, value in meta.items()}


def _value(value: object) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, Mapping):
        return {str(k): _value(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_value(v) for v in value]
    return str(value)


def _short(value: float) -> float:
    """Drop the last, meaningless digits of a length."""
    return float(f"{value:.7g}")

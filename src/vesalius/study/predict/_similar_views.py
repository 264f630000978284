"""Thumbnails: one slice of each similar case, where the cohort's images are still there."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import replace
from pathlib import Path
from typing import final

from vesalius.core import Image
from vesalius.errors import VesaliusError
from vesalius.io.tables import read_rows
from vesalius.measure import Config
from vesalius.study._load import load_pair
from vesalius.study._views import Outline, View, Window, choose_window, close_up, outline
from vesalius.study.predict._similar_job import Searched

MANIFEST = "manifest.csv"
_PLAIN = Config()


@final
class _Pictures:
    """Images of a cohort, found by the name of the case."""

    def __init__(self, folder: Path) -> None:
        self.files: dict[str, tuple[str, str, str]] = {}
        self.folders = (folder, folder.parent)
        if (folder / MANIFEST).is_file():
            frame = read_rows(folder / MANIFEST)
            wanted = ("case", "image", "labels")
            if all(name in frame.columns for name in wanted):
                unit = frame["unit"] if "unit" in frame.columns else [""] * len(frame)
                rows = zip(*(frame[name].tolist() for name in wanted), unit, strict=True)
                for case, image, labels, one in rows:
                    told = one if isinstance(one, str) else ""
                    self.files[str(case)] = (str(image), str(labels), told)

    def open(self, case: str, label: str) -> tuple[Image, Outline] | None:
        """Load a case and the outline of its region; None where its files are not there."""
        if case not in self.files:
            return None
        image, labels, unit = self.files[case]
        for folder in self.folders:
            if (folder / image).exists() and (folder / labels).exists():
                return _loaded(folder / image, folder / labels, unit, label)
        return None


def thumbnails(searched: Searched) -> tuple[tuple[View, ...], tuple[str, ...]]:
    """Cut the slice through the middle of the region from the case and each similar one.

    Args:
        searched: The search. For paths that are not absolute the folder of the cohort and the one
            above it are tried.

    Returns:
        The views, all in the grey levels of the first, and what to say of those that are missing;
        nothing where the table is no cohort.
    """
    table = searched.table
    if "case" not in table.columns or not (searched.folder / MANIFEST).is_file():
        return (), ()
    pictures = _Pictures(searched.folder)
    label = table.columns["label"] if "label" in table.columns else [""] * len(table.cases)
    place = dict(
        zip(
            table.cases,
            zip(map(str, table.columns["case"]), map(_text, label), strict=True),
            strict=True,
        )
    )
    names = (searched.similar.case, *(one.case for one in searched.similar.neighbours))
    views: list[View] = []
    missing = 0
    window: Window | None = None
    for rank, name in enumerate(names):
        found = pictures.open(*place[name]) if name in place else None
        if found is None:
            missing += 1
            continue
        image, region = found
        window = window or choose_window(image, (region,))
        title = name if rank == 0 else f"{rank}. {name}"
        cut = close_up(image, (region,), focus=region, window=window)[:1]
        views += [replace(view, title=title) for view in cut]
    if not views:
        return (), ("No image of these cases is where the manifest says; there are no pictures.",)
    note = f"{missing} of {len(names)} cases have no picture: their files are not there."
    return tuple(views), (note,) if missing else ()


def _loaded(image: Path, labels: Path, unit: str, label: str) -> tuple[Image, Outline] | None:
    try:
        pair = load_pair(image, labels, config=_PLAIN, unit=unit)
    except VesaliusError:
        return None  # it could be measured once, and cannot be read now
    regions = [
        key for key in pair.labels.values if label in (_text(key[1]), pair.labels.names.get(key))
    ]
    regions = regions or list(pair.labels.values)[:1]
    if not regions or pair.labels.grid.shape != pair.image.grid.shape:
        return None
    return pair.image, outline(pair.labels, (regions[0],), names=("region",))[0]


def _text(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)

"""Code: a hash of the source that decides what a case measures, and of no other."""
# SPDX-License-Identifier: Apache-2.0

import hashlib
from functools import cache
from pathlib import Path

import vesalius

MEASURING = (
    "_version.py",
    "errors.py",
    "core",
    "ops",
    "graph",
    "physics",
    "io",
    "enhance",
    "measure",
    "study/_load.py",
    "study/_part.py",
    "study/_run.py",
    "study/_tables.py",
    "study/cohort/_execute.py",
    "study/cohort/_journal.py",
)
"""Files and rooms that a number passes through from the image to the journal."""


@cache
def measuring_code() -> str:
    """Hash them, so that an entry outlives a change of the models, but not one of the measure."""
    root = Path(vesalius.__file__).parent
    digest = hashlib.sha256()
    for name in MEASURING:
        place = root / name
        for path in sorted(place.rglob("*.py")) if place.is_dir() else (place,):
            digest.update(path.relative_to(root).as_posix().encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]

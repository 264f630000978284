"""Step file: one fitted step as JSON and arrays, to treat further cases the same way."""
# SPDX-License-Identifier: Apache-2.0

import io
import json
from pathlib import Path
from typing import Any

import numpy as np

from vesalius._version import __version__
from vesalius.errors import FormatError, VesaliusError
from vesalius.io._atomic import staged
from vesalius.predict._catalogue import step_class
from vesalius.predict._learned import Step
from vesalius.predict._state_text import Arrays, check_state, packed, unpacked
from vesalius.predict._store import _arrays, _bytes, _canonical, _sealed, _sha
from vesalius.predict._typed import plain, typed

FORMAT, VERSION = "vesalius step", 1


def save_step(step: Step, folder: str | Path, *, name: str = "step") -> None:
    """Write a fitted step as ``NAME.json`` and ``NAME.npz``, both or neither.

    Args:
        step: Fitted.
        folder: It exists.
        name: Of the files.

    Raises:
        ConvergenceError: It is not fitted.
        OutputError: The folder cannot be written.
    """
    arrays: Arrays = {}
    state = {key: packed(value, arrays, key) for key, value in step.state().items()}
    blob = io.BytesIO()
    np.savez(blob, **arrays)  # type: ignore[arg-type]
    text: dict[str, Any] = {
        "format": FORMAT,
        "format_version": VERSION,
        "version": __version__,
        "word": step.word,
        "settings": plain(step.settings()),
        "state": state,
        "arrays": _sha(blob.getvalue()),
    }
    text["sha256"] = _sha(_canonical(text))
    with staged(Path(folder) / f"{name}.json") as stage:
        stage.with_suffix(".npz").write_bytes(blob.getvalue())
        stage.write_text(json.dumps(text, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def load_step(folder: str | Path, *, name: str = "step") -> Step:
    """Read a fitted step.

    Args:
        folder: With ``NAME.json`` and ``NAME.npz``.
        name: Of the files.

    Returns:
        A step that treats cases to the bit as the one that was saved.

    Raises:
        FormatError: A file is absent, damaged, of another version, or no step.
        ConfigError: Its word is not in the catalogue.
    """
    text_file, arrays_file = Path(folder) / f"{name}.json", Path(folder) / f"{name}.npz"
    said = _said(_bytes(text_file), text_file.name)
    blob = _bytes(arrays_file)
    if said.get("arrays") != _sha(blob):
        raise FormatError(
            f"{arrays_file.name} must be the file that {text_file.name} was written with, its "
            "SHA-256 is another: copy both files again"
        )
    arrays = _arrays(blob)
    cls = step_class(str(said.get("word")))
    try:
        state = {key: unpacked(value, arrays) for key, value in said["state"].items()}
        check_state(cls, state)
        return typed(cls, said["settings"], str(said["word"])).restored(state)
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        if isinstance(error, VesaliusError):
            raise
        raise FormatError(
            f"{text_file.name} must describe a fitted step, it does not: {error}"
        ) from error


def _said(blob: bytes, name: str) -> dict[str, Any]:
    try:
        text = json.loads(blob)
    except (ValueError, RecursionError) as error:
        raise FormatError(
            f"{name} must be the text of a step, it does not parse: {error}"
        ) from None
    if not isinstance(text, dict) or text.get("format") != FORMAT:
        raise FormatError(f"{name} must be the text of a step of vesalius, it does not say so")
    if text.get("format_version") != VERSION:
        raise FormatError(
            f"{name} must have the format version {VERSION} of a step, got "
            f"{text.get('format_version')}: write it with this version of vesalius"
        )
    if text.pop("sha256", None) != _sealed(text):
        raise FormatError(
            f"{name} must be as it was written, its SHA-256 is another: copy it again"
        )
    return text

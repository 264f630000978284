"""Store: a model as one JSON file and one file of arrays; nothing in it runs when it is read."""
# SPDX-License-Identifier: Apache-2.0

import hashlib
import io
import json
import math
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vesalius._version import __version__
from vesalius.core._provenance import Provenance
from vesalius.errors import ConfigError, FormatError, OutputError, VesaliusError
from vesalius.io._atomic import staged
from vesalius.predict._catalogue import class_of, estimator_class, step_class
from vesalius.predict._description import Description
from vesalius.predict._learned import Learned
from vesalius.predict._model import Model, Training
from vesalius.predict._pipeline import Fitted
from vesalius.predict._recipe_text import recipe_from_json, recipe_to_json
from vesalius.predict._state_text import Arrays, check_state, packed, unpacked
from vesalius.predict._typed import plain, typed

TEXT, ARRAYS = "model.json", "model.npz"
FORMAT, VERSION = "vesalius model", 1
MOST_BYTES = 1 << 30
"""Longest file that is read."""
_NO_MODEL = (
    VesaliusError,
    KeyError,
    TypeError,
    ValueError,
    AttributeError,
    IndexError,
    RecursionError,
)


def save_model(model: Model, folder: str | Path) -> None:
    """Write a model as ``model.json`` and ``model.npz``, both or neither.

    The text holds the SHA-256 of the arrays and of itself. The same model gives the same bytes.

    Args:
        model: Fitted.
        folder: Made where it is absent; a model that stands there is replaced, other files stay.

    Raises:
        ConfigError: A step or the estimator is not in the catalogue.
        FormatError: Something was learned that is neither JSON nor an array of numbers.
        OutputError: The folder cannot be written.
    """
    folder = Path(folder)
    text, arrays = _written(model)
    blob = io.BytesIO()
    np.savez(blob, **arrays)  # type: ignore[arg-type]
    text["arrays"] = {"bytes": blob.tell(), "sha256": _sha(blob.getvalue())}
    text["sha256"] = _sha(_canonical(text))
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"a model must go into a folder, {folder.name!r} cannot be one: {error.strerror}"
        ) from error
    with staged(folder / TEXT) as stage:
        stage.with_name(ARRAYS).write_bytes(blob.getvalue())
        stage.write_text(json.dumps(text, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def load_model(folder: str | Path) -> Model:
    """Read a model.

    Args:
        folder: With ``model.json`` and ``model.npz``.

    Returns:
        A model that predicts the same bits as the one that was saved.

    Raises:
        FormatError: A file is absent, too long, damaged or of a newer version, or names a step
            that is not in the catalogue.
    """
    folder = Path(folder)
    text = _text(_bytes(folder / TEXT))
    blob = _bytes(folder / ARRAYS)
    said = text.get("arrays")
    if not isinstance(said, dict) or said.get("sha256") != _sha(blob):
        raise FormatError(
            f"{ARRAYS} must be the file that {TEXT} was written with, its SHA-256 is another: "
            "copy both files of the model again"
        )
    try:
        return _read(text, _arrays(blob))
    except FormatError:
        raise
    except _NO_MODEL as error:
        raise FormatError(f"{TEXT} must describe a model, it does not: {error}") from error


def _written(model: Model) -> tuple[dict[str, Any], Arrays]:
    arrays: Arrays = {}
    fitted = model.fitted
    parts = [_part(one, arrays, f"step{k}") for k, one in enumerate(fitted.steps)]
    rest = {
        "chosen": dict(fitted.chosen),
        "inner": tuple((dict(setting), score) for setting, score in fitted.inner),
        "training": plain(model.training),
        "threshold": model.threshold,
        "card": plain(dict(model.card)),
        "recalibration": model.recalibration,
    }
    text = {
        "format": FORMAT,
        "format_version": VERSION,
        "version": __version__,
        "recipe": recipe_to_json(model.recipe),
        "description": plain(model.description),
        "classes": list(model.classes),
        "parameters": model.parameters,
        "steps": parts,
        "estimator": _part(fitted.estimator, arrays, "estimator"),
        "wanted": list(fitted.wanted),
        "features": list(fitted.features),
        "rest": packed(rest, arrays, "rest"),
        "provenance": model.provenance.to_json(),
    }
    return text, arrays


def _part(one: Learned, arrays: Arrays, name: str) -> dict[str, Any]:
    if class_of(one.word) is not type(one):
        raise ConfigError(
            f"a saved model must be made of what the catalogue lists, {type(one).__name__} is not "
            f"what {one.word!r} means there"
        )
    state = {key: packed(v, arrays, f"{name}.{key}") for key, v in one.state().items()}
    return {"word": one.word, "settings": plain(one.settings()), "state": state}


def _read(text: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Model:
    rest = unpacked(text["rest"], arrays)
    threshold, moved = float(rest["threshold"]), tuple(float(x) for x in rest["recalibration"])
    if not (math.isnan(threshold) or 0 <= threshold <= 1) or not np.isfinite(moved).all():
        raise FormatError(
            f"{TEXT} must have a threshold from 0 to 1 and a finite recalibration, got {threshold} "
            f"and {moved}"
        )
    description = typed(Description, text["description"], "description")
    fitted = Fitted(
        steps=tuple(_learned(step_class, one, arrays) for one in text["steps"]),
        estimator=_learned(estimator_class, text["estimator"], arrays),
        chosen=rest["chosen"],
        inner=rest["inner"],
        wanted=_texts(text["wanted"]),
        features=_texts(text["features"]),
    )
    return Model(
        fitted=fitted,
        recipe=recipe_from_json(text["recipe"], kind=description.kind),
        description=description,
        classes=_texts(text["classes"]),
        parameters=str(text["parameters"]),
        training=_training(rest["training"]),
        threshold=threshold,
        provenance=_provenance(text["provenance"]),
        card=rest["card"],
        recalibration=(moved[0], moved[1]),
    )


def _learned(find: Any, said: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Any:
    cls: type[Learned] = find(said["word"])
    state = {name: unpacked(value, arrays) for name, value in said["state"].items()}
    check_state(cls, state)
    return typed(cls, said["settings"], said["word"]).restored(state)


def _training(said: Mapping[str, Any]) -> Training:
    columns = {name: _texts(seen) for name, seen in said["columns"].items()}
    hashes = _texts(said["case_hashes"])
    edges = {
        name: {str(one): float(edge) for one, edge in said[name].items()}
        for name in ("low", "high")
    }
    return Training(**{**said, **edges, "columns": columns, "case_hashes": hashes})


def _provenance(said: Mapping[str, Any]) -> Provenance:
    parents = tuple(_provenance(one) for one in said["parents"])
    return Provenance(said["step"], said["parameters"], said["inputs"], said["version"], parents)


def _texts(said: Any) -> tuple[str, ...]:
    if not isinstance(said, list | tuple) or not all(isinstance(one, str) for one in said):
        raise FormatError(f"{TEXT} must hold a list of names, got {str(said)[:60]!r}")
    return tuple(said)


def _bytes(path: Path) -> bytes:
    try:
        size = path.stat().st_size
        if size > MOST_BYTES:
            raise FormatError(f"{path.name} must have at most {MOST_BYTES} bytes, it has {size}")
        return path.read_bytes()
    except OSError as error:
        raise FormatError(
            f"a model must be a folder with {TEXT} and {ARRAYS}, {path.name} of "
            f"{path.parent.name!r} cannot be read: {error.strerror}; "
            "give the folder that 'vesalius predict fit' wrote"
        ) from error


def _text(blob: bytes) -> dict[str, Any]:
    try:
        text = json.loads(blob)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{TEXT} must be JSON text, it does not parse: {error}") from error
    if not isinstance(text, dict) or text.get("format") != FORMAT:
        raise FormatError(f"{TEXT} must be a model of vesalius, it does not say so")
    version = text.get("format_version")
    if version != VERSION:
        raise FormatError(
            f"{TEXT} must have format version {VERSION}, got {version}: it was saved by another "
            "version of vesalius; install that one, or fit again"
        )
    if text.pop("sha256", None) != _sealed(text):
        raise FormatError(
            f"{TEXT} must hold the SHA-256 of itself, it was damaged or edited: copy it again"
        )
    return text


def _arrays(blob: bytes) -> Mapping[str, NDArray[Any]]:
    try:
        with zipfile.ZipFile(io.BytesIO(blob)) as parts:
            size = sum(part.file_size for part in parts.infolist())
        if size > MOST_BYTES:
            raise FormatError(f"{ARRAYS} must unpack to at most {MOST_BYTES} bytes, it has {size}")
        with np.load(io.BytesIO(blob), allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (OSError, ValueError, zipfile.BadZipFile, EOFError, MemoryError) as error:
        if isinstance(error, FormatError):
            raise
        raise FormatError(f"{ARRAYS} must be a file of arrays, it is not: {error}") from error


def _canonical(text: Mapping[str, Any]) -> bytes:
    compact = json.dumps(text, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return compact.encode()


def _sealed(text: Mapping[str, Any]) -> str:
    try:
        return _sha(_canonical(text))
    except (ValueError, RecursionError):  # no number that JSON knows, or too deep
        return ""


def _sha(blob: bytes) -> str:
    return hashlib.sha256(blob).hexdigest()

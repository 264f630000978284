"""Geometry files: a scanner's geometry and the wanted grid, as YAML that a person can write."""
# SPDX-License-Identifier: Apache-2.0

import difflib
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import torch
from jaxtyping import Float
from torch import Tensor

from vesalius.core import Grid
from vesalius.errors import ConfigError, VesaliusError
from vesalius.io._atomic import atomic_write
from vesalius.physics.ct import Geometry, cone, fan, helical, parallel, tomosynthesis

if TYPE_CHECKING:
    from pydantic import ValidationError

    from vesalius.io.raw import _schema

FILE_LIMIT = 1 << 27
DEEPEST = 8  # sections and lists inside each other; the parser takes the square of it in time
PLACES = ("shape", "middle", "arc_mm", "isocentre_mm", "axis")
VECTORS = ("source", "centre", "u", "v")


@final
@dataclass(frozen=True, slots=True, eq=False)
class Scanner:
    """What a geometry file says.

    Attributes:
        geometry: Where the rays run.
        grid: Where the image is wanted; ``None`` where the file does not say.
    """

    geometry: Geometry
    grid: Grid | None = None


def open_geometry(path: str | Path, *, angles_deg: Float[Tensor, " view"] | None = None) -> Scanner:
    """Read a geometry file.

    ``kind`` is parallel, fan, cone, helical, tomosynthesis or vectors; the other keys are the
    parameters of the function of that name in ``physics.ct``, with the detector's in a section::

        kind: cone
        angles_deg: {start: 0, stop: 360, count: 720}   # or a list, or: from the raw file
        source_mm: 500
        detector_mm: 1000
        detector: {shape: [256, 256], pitch_mm: [1, 1], offset_mm: [0, 0], arc: false}
        grid: {shape: [128, 128, 128], spacing_mm: [1, 1, 1]}

    ``stop`` is left out: 720 angles from 0 to 360 are half a degree apart. ``grid`` may have
    ``centre_mm`` or ``origin_mm`` (L, P, S), else it is centred on the isocentre.

    Args:
        path: YAML or JSON.
        angles_deg: (view,) angles that the raw file holds, for a geometry file that leaves them
            to it.

    Returns:
        Geometry and grid.

    Raises:
        ConfigError: The file cannot be read, a key is unknown (the nearest is named), comes twice
            or has a value out of range, or there are no angles.
        GeometryError: The rays cannot run so.
    """
    given = _mapping(Path(path))
    lattice = given.pop("grid", None)
    geometry = _geometry(given, angles_deg)
    grid = None if lattice is None else _grid(lattice, geometry.isocentre_mm)
    return Scanner(geometry, grid)


def save_geometry(scanner: Scanner, path: str | Path) -> None:
    """Write a geometry file of kind vectors, which holds any geometry exactly.

    Args:
        scanner: Geometry and, where there is one, grid.
        path: Where to; an existing file is replaced.

    Raises:
        OutputError: It cannot be written.
    """
    import yaml

    geometry = scanner.geometry
    told: dict[str, Any] = {"kind": "vectors", "beam": geometry.beam}
    for name in PLACES:
        value = getattr(geometry, name)
        told[name] = list(value) if isinstance(value, tuple) else value
    told |= {name: getattr(geometry, name).tolist() for name in ("angles_deg", *VECTORS)}
    if scanner.grid is not None:
        grid = scanner.grid
        told["grid"] = {"shape": list(grid.shape), "affine": grid.affine.tolist()}
    text: str = yaml.safe_dump(told, sort_keys=False, default_flow_style=None, width=100)
    with atomic_write(path) as file:
        file.write(text.encode())


def _mapping(path: Path) -> dict[str, Any]:
    import yaml

    if not path.is_file():
        raise ConfigError(
            f"geometry file {path.name!r} must be a YAML file, there is none: check the path"
        )
    try:
        if path.stat().st_size > FILE_LIMIT:
            raise ConfigError(
                f"geometry file must have at most {FILE_LIMIT >> 20} MiB, {path.name!r} has "
                f"{path.stat().st_size >> 20} MiB: keep vectors in the raw file instead"
            )
        text = path.read_text(encoding="utf-8")
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        twice = _twice(yaml.parse(text, Loader=loader))
        given = {} if twice else loader(text).get_single_data()
    except (OSError, UnicodeDecodeError, yaml.YAMLError, ValueError, RecursionError) as error:
        if isinstance(error, VesaliusError):
            raise
        said = " ".join(str(error).replace(str(path), path.name).split())[:300]
        raise ConfigError(
            f"geometry file must be readable YAML, {path.name!r} is not: {said}"
        ) from error
    if twice:
        raise ConfigError(f"geometry file {path.name!r} must have {twice}")
    if not isinstance(given, dict):
        raise ConfigError(
            f"geometry file must be a mapping of keys, {path.name!r} holds "
            f"{type(given).__name__}: begin with 'kind: parallel'"
        )
    return given


def _twice(events: Any) -> str:
    """Name a key that a mapping has twice, an alias or a deep nest; empty where there is none."""
    import yaml

    open_now: list[set[str] | None] = []
    expects_key: list[bool] = []
    for event in events:
        if isinstance(event, yaml.AliasEvent):
            return f"no alias (*), got {event.anchor!r}: write its value out"
        ends = isinstance(event, yaml.CollectionEndEvent)
        if ends:
            open_now.pop()
            expects_key.pop()
        starts = isinstance(event, yaml.CollectionStartEvent)
        if not (ends or starts or isinstance(event, yaml.ScalarEvent)):
            continue
        if not starts and not ends and open_now and open_now[-1] is not None and expects_key[-1]:
            if event.value in open_now[-1]:
                line = event.start_mark.line + 1
                return f"every key once, got {event.value!r} again in line {line}: join them"
            open_now[-1].add(event.value)
        if not starts and expects_key:
            expects_key[-1] = not expects_key[-1]
        if starts:
            open_now.append(set() if isinstance(event, yaml.MappingStartEvent) else None)
            expects_key.append(True)
        if len(open_now) > DEEPEST:
            return f"at most {DEEPEST} levels, got more in line {event.start_mark.line + 1}"
    return ""


def _geometry(given: dict[str, Any], angles_deg: Tensor | None) -> Geometry:
    from pydantic import ValidationError

    from vesalius.io.raw import _schema

    kind = given.get("kind")
    if not isinstance(kind, str) or kind not in _schema.KINDS:
        near = get_close_matches(str(kind), _schema.KINDS, n=1)
        hint = f"did you mean '{near[0]}'?" if near else "it says how the rays run"
        raise ConfigError(f"'kind' must be one of {', '.join(_schema.KINDS)}, got {kind!r}: {hint}")
    model = _schema.KINDS[kind]
    try:
        section = model.model_validate(given)
    except ValidationError as error:
        raise ConfigError(_explain(error, model, "")) from error
    if isinstance(section, _schema.Vectors):
        return _from_vectors(section)
    assert isinstance(section, _schema.Turning)
    return _from_section(section, _angles(section.angles_deg, angles_deg))


def _angles(told: "_schema.Steps | tuple[float, ...] | str", raw: Tensor | None) -> Tensor:
    if isinstance(told, tuple):
        return torch.tensor(told, dtype=torch.float64)
    if not isinstance(told, str):
        step = (told.stop - told.start) / told.count
        return told.start + step * torch.arange(told.count, dtype=torch.float64)
    if raw is None:
        raise ConfigError(
            "angles_deg must be in the geometry file where the raw file has none, got neither: "
            "write angles_deg: {start: 0, stop: 180, count: ...}"
        )
    return raw.double()


def _from_section(section: "_schema.Turning", angles: Tensor) -> Geometry:
    from vesalius.io.raw import _schema

    if isinstance(section, _schema.Parallel):
        plate = section.detector
        return parallel(
            angles, shape=plate.shape, pitch_mm=plate.pitch_mm, offset_mm=plate.offset_mm
        )
    if isinstance(section, _schema.Tomosynthesis):
        return tomosynthesis(
            angles,
            shape=section.detector.shape,
            pitch_mm=section.detector.pitch_mm,
            source_mm=section.source_mm,
            detector_mm=section.detector_mm,
        )
    assert isinstance(section, _schema.Divergent)
    make = fan if isinstance(section, _schema.Fan) else cone
    curved = section.detector
    circular = make(
        angles,
        shape=curved.shape,
        pitch_mm=curved.pitch_mm,
        source_mm=section.source_mm,
        detector_mm=section.detector_mm,
        offset_mm=curved.offset_mm,
        arc=curved.arc,
    )
    if isinstance(section, _schema.Helical):
        return helical(circular, pitch_mm_per_turn=section.pitch_mm_per_turn)
    return circular


def _from_vectors(section: "_schema.Vectors") -> Geometry:
    source, centre, u, v = (
        torch.tensor(getattr(section, name), dtype=torch.float64) for name in VECTORS
    )
    return Geometry(
        section.beam,
        source,
        centre,
        u,
        v,
        section.shape,
        section.middle,
        torch.tensor(section.angles_deg, dtype=torch.float64),
        section.arc_mm,
        section.isocentre_mm,
        section.axis,
    )


def _grid(given: object, isocentre_mm: tuple[float, float, float]) -> Grid:
    from pydantic import ValidationError

    from vesalius.io.raw import _schema

    oblique = isinstance(given, dict) and "affine" in given
    model: type[_schema.Section] = _schema.Oblique if oblique else _schema.Lattice
    try:
        section = model.model_validate(given)
    except ValidationError as error:
        raise ConfigError(_explain(error, model, "grid.")) from error
    if isinstance(section, _schema.Oblique):
        return Grid(section.shape, torch.tensor(section.affine, dtype=torch.float64))
    assert isinstance(section, _schema.Lattice)
    if section.origin_mm is not None:
        return Grid.from_spacing(section.shape, section.spacing_mm, origin_mm=section.origin_mm)
    middle = isocentre_mm if section.centre_mm is None else section.centre_mm
    sizes = zip(middle, section.shape[::-1], section.spacing_mm[::-1], strict=True)
    x, y, z = (m - (n - 1) / 2 * s for m, n, s in sizes)
    return Grid.from_spacing(section.shape, section.spacing_mm, origin_mm=(x, y, z))


def _explain(error: "ValidationError", model: "type[_schema.Section]", where: str) -> str:
    lines = []
    for item in error.errors()[:5]:
        place = where + ".".join(str(part) for part in item["loc"])
        if item["type"] == "extra_forbidden":
            lines.append(f"unknown key '{place}': {_nearest(item['loc'], model)}")
        else:
            came = "" if isinstance(item["input"], dict) else f", got {str(item['input'])[:60]}"
            said = item["msg"].removeprefix("Value error, ")
            lines.append(f"'{place}': {said}{came}" if place else said)
    return "geometry file is not valid: " + "; ".join(lines)


def _nearest(loc: tuple[int | str, ...], model: "type[_schema.Section]") -> str:
    fields: dict[str, Any] = dict(model.model_fields)
    for part in loc[:-1]:
        inner = getattr(fields.get(str(part)), "annotation", None)
        fields = dict(getattr(inner, "model_fields", fields))
    close = difflib.get_close_matches(str(loc[-1]), list(fields), n=1, cutoff=0.4)
    return f"did you mean '{close[0]}'?" if close else f"valid keys are {', '.join(fields)}"

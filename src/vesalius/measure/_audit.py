"""Audit: recompute somebody's feature table and say, column by column, what agrees and why not."""
# SPDX-License-Identifier: Apache-2.0

import ast
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

from jaxtyping import Bool
from torch import Tensor

from vesalius.core import Image, Labels
from vesalius.errors import FormatError
from vesalius.measure._catalogue import by_tag
from vesalius.measure._config import ALL_AGGREGATIONS, Config, Discretise, Features, Ivh
from vesalius.measure._engine import level_counts, measure_region
from vesalius.measure._feature import Aggregation, Family
from vesalius.measure._histogram import histogram
from vesalius.measure._measurement import check_pair, wide
from vesalius.measure._prepare import discretise_region, prepare
from vesalius.measure._region import Levels, Region
from vesalius.measure._texture import texture
from vesalius.measure.compat._names import OWN, SAME
from vesalius.measure.compat._settings import Parameters, Settings, read_settings
from vesalius.measure.compat._values import (
    pyradiomics_values,
    radiomics_levels,
    radiomics_region,
)

if TYPE_CHECKING:
    import pandas as pd

Verdict = Literal["agrees", "differs", "not compared"]

_TEXTURE: frozenset[Family] = frozenset({"glcm", "glrlm", "glszm", "gldzm", "ngtdm", "ngldm"})
_MESH_TAGS = {
    *("morph_volume", "morph_area_mesh", "morph_av", "morph_comp_1", "morph_comp_2"),
    *("morph_sph_dispr", "morph_sphericity", "morph_asphericity", "morph_integ_int"),
}
_MIRP: dict[str, Aggregation] = {
    "2d_avg": "2D_avg",
    "2d_s_mrg": "2D_comb",
    "2.5d_d_mrg": "2_5D_avg",
    "2.5d_v_mrg": "2_5D_comb",
    "3d_avg": "3D_avg",
    "3d_v_mrg": "3D_comb",
    "2d": "2D",
    "2.5d": "2_5D",
    "3d": "3D",
}
_OTHER_BINS = (
    *(Discretise(method="bin_width", bin_width=float(w)) for w in (1, 5, 10, 20, 25, 32, 50)),
    *(Discretise(method="bin_count", bin_count=n) for n in (8, 16, 32, 64, 128, 256)),
)
_MOST_LEVELS = 1024
_LONG = {"subject", "label", "filter", "feature", "aggregation", "discretisation", "value"}
_ALIGNED = "bins start at a multiple of the bin width; IBSI's start at the smallest intensity"


class Audited(NamedTuple):
    """What the audit says of one column.

    ``ours`` is IBSI's value, or that of the definition named in ``why``; ``tag`` is empty where
    the column is no feature that is known here.
    """

    column: str
    tag: str
    aggregation: Aggregation
    theirs: float
    ours: float
    verdict: Verdict
    why: str


class _Column(NamedTuple):
    """A column read: what it claims to be."""

    tag: str
    aggregation: Aggregation
    discretise: Discretise | None


@dataclass(frozen=True, slots=True, eq=False)
class _Bench:
    """Everything recomputed once: plain values, and texture for each way to make bins."""

    plain: Mapping[str, float]
    textures: tuple[tuple[str, Mapping[str, float]], ...]
    voxels: int
    total: float
    squares: float


def audit(
    table: "pd.DataFrame",
    image: Image,
    labels: Labels,
    *,
    label: int = 1,
    config: Config | None = None,
) -> tuple[Audited, ...]:
    """Recompute a feature table made elsewhere and compare it column by column.

    Args:
        table: One row of a wide table of PyRadiomics (``original_glcm_Contrast``), MIRP
            (``cm_contrast_d1_3d_avg_fbs_w25.0``) or vesalius; or two columns, name and value; or
            the long table of vesalius, of which the rows of the region are taken.
        image: The image it was made from.
        labels: The regions.
        label: Which region.
        config: How the table was made, where it is MIRP's or vesalius'; PyRadiomics' settings are
            read from its diagnostic column where there is one, else its defaults hold.

    Returns:
        One finding for each column that holds a number: it agrees with IBSI's definition (to 1e-6;
        of mesh features to 1e-3), or differs and why, as far as a known convention explains it.

    Raises:
        FormatError: The table has not exactly one case, no row of the region, or no column that
            is known.
        GeometryError: Image and labels are on different grids.
        RegionError: The label does not occur.
    """
    check_pair(image, labels)
    mask = labels.mask(label)
    cells = _cells(_region_rows(table, labels.name(label)) if set(table) >= _LONG else table)
    foreign = any(name.startswith("original_") for name in cells)
    found = list(_audit_pyradiomics(cells, image, mask) if foreign else ())
    found += [] if foreign else _audit_ibsi(cells, image, mask, config or Config())
    if not any(finding.tag for finding in found):
        raise FormatError(
            "table must hold features named as PyRadiomics, MIRP or vesalius name them, none of "
            f"{len(cells)} columns is known: {', '.join(list(cells)[:5])}"
        )
    return tuple(found)


def _region_rows(table: "pd.DataFrame", name: str) -> "pd.DataFrame":
    """Turn a long table into the wide row of one region; the only one has any name."""
    text = sorted(_LONG - {"value"})
    table = table.assign(
        **{column: table[column].astype(object).fillna("").astype(str) for column in text}
    )
    names = list(dict.fromkeys(table["label"]))
    if name not in names and len(names) != 1:
        raise FormatError(
            f"table must have rows of the region {name!r}, it has those of "
            f"{', '.join(names[:20]) or 'none'}: name the labels alike, or pick the rows"
        )
    rows = table[table["label"] == name] if name in names else table
    return wide(rows).drop(columns=["subject", "label"])


def _cells(table: "pd.DataFrame") -> dict[str, object]:
    if table.shape[1] == 2 and len(table) > 1:
        return {str(k): v for k, v in zip(table.iloc[:, 0], table.iloc[:, 1], strict=True)}
    if len(table) != 1:
        raise FormatError(
            f"table must hold one case, got {len(table)} rows: pick one with --row, or with "
            "table.iloc[[k]]"
        )
    return {str(name): table[name].iloc[0] for name in table.columns}


def _number(value: object) -> float | None:
    try:
        number = float(str(value))
    except ValueError:
        return None
    return None if math.isnan(number) else number


def _audit_pyradiomics(
    cells: Mapping[str, object], image: Image, mask: Bool[Tensor, "z y x"]
) -> Iterator[Audited]:
    settings = _settings_of(cells)
    theirs_own = pyradiomics_values(image, mask, Parameters(settings=settings))
    region = radiomics_region(image, mask, settings)
    bins = _settings_bins(settings)
    bench = _bench(region, bins, aligned=radiomics_levels(region, settings))
    for name, cell in cells.items():
        value = _number(cell)
        if value is None or name.startswith("diagnostics_"):
            continue
        kind, _, feature = name.removeprefix("original_").partition("_")
        tag = _tag_of(kind, feature)
        if not name.startswith("original_") or (not tag and feature not in OWN.get(kind, {})):
            yield Audited(name, "", "", value, math.nan, "not compared", "not known here")
        elif not tag:
            ours = theirs_own.get(f"{kind}_{feature}", math.nan)
            same = _same(value, ours, "")
            why = f"not in IBSI; PyRadiomics' own definition: {OWN[kind][feature]}"
            yield Audited(name, "", "", value, ours, "agrees" if same else "differs", why)
        else:
            family = by_tag()[tag].family
            wanted = _plain_aggregation(family, "3D_avg")
            yield _judge(name, _Column(tag, wanted, None), value, bench)


def _audit_ibsi(
    cells: Mapping[str, object], image: Image, mask: Bool[Tensor, "z y x"], config: Config
) -> list[Audited]:
    region = prepare(image, mask, config)
    benches: dict[str, _Bench] = {}
    found = []
    for name, cell in cells.items():
        value = _number(cell)
        if value is None:
            continue
        column = _parse(name)
        if column is None:
            found.append(Audited(name, "", "", value, math.nan, "not compared", "not known here"))
            continue
        bins = column.discretise or config.discretise
        key = bins.model_dump_json()
        if key not in benches:
            bound = config.resegment.range[0]
            benches[key] = _bench(region, bins, lower_bound=bound, ivh=config.ivh, config=config)
        found.append(_judge(name, column, value, benches[key]))
    return found


def _settings_of(cells: Mapping[str, object]) -> Settings:
    text = cells.get("diagnostics_Configuration_Settings")
    try:
        given = ast.literal_eval(str(text)) if text is not None else {}
    except (ValueError, SyntaxError):
        given = {}
    if not isinstance(given, dict):
        return Settings()
    keep = {k: v for k, v in given.items() if v is not None and k in Settings.model_fields}
    return read_settings(keep)


def _settings_bins(settings: Settings) -> Discretise:
    if settings.binCount is not None:
        return Discretise(method="bin_count", bin_count=max(2, settings.binCount))
    return Discretise(method="bin_width", bin_width=settings.binWidth)


def _tag_of(kind: str, feature: str) -> str:
    special = {
        ("firstorder", "Energy"): "stat_energy",
        ("firstorder", "RootMeanSquared"): "stat_rms",
        ("firstorder", "Kurtosis"): "stat_kurt",
        ("shape", "MajorAxisLength"): "morph_pca_maj_axis",
        ("shape", "MinorAxisLength"): "morph_pca_min_axis",
        ("shape", "LeastAxisLength"): "morph_pca_least_axis",
    }
    return special.get((kind, feature), SAME.get(kind, {}).get(feature, ""))


def _parse(name: str) -> _Column | None:
    """Read a column name of MIRP's or vesalius' wide tables."""
    plain = name.removeprefix("original_")
    tags = [tag for tag in by_tag() if plain == tag or plain.startswith(f"{tag}_")]
    if not tags:
        return None
    tag = max(tags, key=len)
    rest = plain[len(tag) :].strip("_")
    bins: Discretise | None = None
    match = re.search(r"_?(?:fbs_w|bin_width_)([\d.]+(?:_\d+)?)$", rest)
    if match:
        width = float(match.group(1).replace("_", "."))
        bins = Discretise(method="bin_width", bin_width=width)
    else:
        match = re.search(r"_?(?:fbn_n|bin_count_)(\d+)$", rest)
        if match:
            bins = Discretise(method="bin_count", bin_count=int(match.group(1)))
    rest = rest[: match.start()] if match else rest
    rest = re.sub(r"^d1_?", "", rest)
    if rest == "":
        return _Column(tag, "", bins)
    known: dict[str, Aggregation] = {**_MIRP, **{str(a): a for a in ALL_AGGREGATIONS}}
    return _Column(tag, known[rest], bins) if rest in known else None


def _plain_aggregation(family: Family, directional: Aggregation) -> Aggregation:
    if family in ("glcm", "glrlm"):
        return directional
    return "3D" if family in _TEXTURE else ""


def _bench(
    region: Region,
    bins: Discretise,
    *,
    lower_bound: float | None = None,
    ivh: Ivh | None = None,
    config: Config | None = None,
    aligned: Levels | None = None,
) -> _Bench:
    families = tuple(f for f in Features().families if f not in _TEXTURE and f != "histogram")
    features = Features(families=families, spatial_autocorrelation=False)
    resegment = {} if config is None else {"resegment": config.resegment}
    plain = Config(features=features, ivh=ivh or Ivh(), **resegment)
    values = {v.key: v.value for v in measure_region(region, plain)}
    textures = [
        ("", _texture_values(discretise_region(region, bins, lower_bound=lower_bound, pad=1)))
    ]
    if aligned is not None:
        textures.append((_ALIGNED, _texture_values(aligned)))
    inside = region.intensity[region.mask]
    low, high = float(inside.min()), float(inside.max())
    for other in _OTHER_BINS:
        many = (high - low) / other.bin_width if other.method == "bin_width" else 0
        if other == bins or many > _MOST_LEVELS:
            continue
        levels = discretise_region(region, other, lower_bound=lower_bound, pad=1)
        textures.append((f"made with {_describe(other)}", _texture_values(levels)))
    return _Bench(
        values,
        tuple(textures),
        len(inside),
        float(inside.sum()),
        float((inside * inside).sum()),
    )


def _describe(bins: Discretise) -> str:
    if bins.method == "bin_width":
        return f"bin width {bins.bin_width:g}"
    return f"{bins.bin_count} bins"


def _texture_values(levels: Levels) -> dict[str, float]:
    values = texture(levels, families=_TEXTURE, aggregations=ALL_AGGREGATIONS)
    values += histogram(level_counts(levels))
    return {v.key: v.value for v in values}


def _judge(name: str, column: _Column, theirs: float, bench: _Bench) -> Audited:
    tag, wanted, _ = column
    if by_tag()[tag].family in _TEXTURE or tag.startswith("ih_"):
        return _judge_texture(name, column, theirs, bench)
    ours = bench.plain.get(tag, math.nan)
    if math.isnan(ours):
        why = "not recomputed here (switched off, or it has no value for this region)"
        return Audited(name, tag, wanted, theirs, ours, "not compared", why)
    if _same(theirs, ours, tag):
        return Audited(name, tag, wanted, theirs, ours, "agrees", "")
    why = _plain_reason(tag, theirs, ours, bench)
    return Audited(name, tag, wanted, theirs, ours, "differs", why or _unexplained(theirs, ours))


def _judge_texture(name: str, column: _Column, theirs: float, bench: _Bench) -> Audited:
    tag, wanted, _ = column
    first = bench.textures[0][1].get(_key(tag, wanted), math.nan)
    for binned, values in bench.textures:
        for aggregation in _aggregations(tag, wanted):
            if not _same(theirs, values.get(_key(tag, aggregation), math.nan), tag):
                continue
            reasons = [binned] if binned else []
            if aggregation != wanted:
                reasons.append(f"aggregated as {aggregation}, not as {wanted}")
            verdict: Verdict = "differs" if reasons else "agrees"
            return Audited(name, tag, wanted, theirs, first, verdict, "; ".join(reasons))
    if math.isnan(first):
        why = "it has no value for this region by IBSI's definition"
        return Audited(name, tag, wanted, theirs, first, "differs", why)
    return Audited(name, tag, wanted, theirs, first, "differs", _unexplained(theirs, first))


def _key(tag: str, aggregation: Aggregation) -> str:
    return f"{tag}_{aggregation}" if aggregation else tag


def _aggregations(tag: str, wanted: Aggregation) -> tuple[Aggregation, ...]:
    if tag.startswith("ih_"):
        return ("",)
    return (wanted, *(a for a in ALL_AGGREGATIONS if a != wanted))


def _plain_reason(tag: str, theirs: float, ours: float, bench: _Bench) -> str:
    n = bench.voxels
    if tag.endswith("_kurt") and _same(theirs, ours + 3, tag):
        return "kurtosis is not excess: IBSI's is 3 less"
    if tag.endswith("_axis") and _same(theirs, ours * math.sqrt((n - 1) / n), tag):
        return "covariance of the principal axes divided by N, IBSI's by N - 1"
    if tag.endswith("_var") and _same(theirs, ours * n / (n - 1), tag):
        return "variance divided by N - 1, IBSI's by N"
    if tag in ("stat_energy", "stat_rms"):
        shift = _shift(theirs if tag == "stat_energy" else theirs**2 * n, bench)
        if shift is not None:
            return f"intensities were shifted by {shift:g} (voxelArrayShift), IBSI's are not"
    if tag == "morph_volume" and _same(theirs, bench.plain["morph_vol_approx"], ""):
        return "volume by counting voxels (morph_vol_approx), not of the mesh"
    return ""


def _shift(energy: float, bench: _Bench) -> float | None:
    """Solve sum (x + c)^2 = energy for c; a whole number is a shift somebody chose."""
    mean = bench.total / bench.voxels
    inner = mean * mean - (bench.squares - energy) / bench.voxels
    if inner < 0:
        return None
    for root in (-mean + math.sqrt(inner), -mean - math.sqrt(inner)):
        if abs(root) > 0.5 and abs(root - round(root)) < 1e-3:
            return float(round(root))
    return None


def _same(theirs: float, ours: float, tag: str) -> bool:
    rel = 1e-3 if tag in _MESH_TAGS else 1e-6
    return math.isclose(theirs, ours, rel_tol=rel, abs_tol=1e-9)


def _unexplained(theirs: float, ours: float) -> str:
    if ours == 0:
        return f"no known convention explains it (difference {theirs:.6g})"
    return f"no known convention explains it (ratio {theirs / ours:.10g})"

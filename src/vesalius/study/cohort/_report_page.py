"""Page of a cohort: what failed first, then what is there and what stands out."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Iterator

import numpy as np

from vesalius.study._report import Heading
from vesalius.study._stage_page import Page, Table, Titles
from vesalius.study.cohort._report_charts import feature_charts, other_charts
from vesalius.study.cohort._tell import FAR, LEAST, Floats, Told

TITLES = Titles(
    findings="Before you use the tables",
    charts="How the features are distributed",
    rows="Key features",
)
KEY = (
    "morph_volume",
    "stat_mean",
    "stat_median",
    "stat_var",
    "stat_skew",
    "morph_sphericity",
    "stat_max",
    "cm_joint_entr",
    "szm_zsnu_norm",
)
"""Features that are looked at first, by the names of IBSI, where a cohort has them."""
_KEYS = 6
_ERRORS = 20
_ROWS = 40
_SUSPECT = 0.1
"""Share of the features beyond which a region is one to look at."""


def cohort_page(told: Told, *, show: tuple[str, ...] = ()) -> Page:
    """Make the page.

    Args:
        told: The cohort.
        show: Features to draw; empty takes those that are looked at first.

    Returns:
        The page.
    """
    names = show or key_features(told)
    return Page(
        Heading(f"Cohort {told.folder}", _lead(told)),
        errors=tuple(_errors(told)),
        findings=tuple(_findings(told)),
        facts=tuple(_facts(told)),
        charts=(*feature_charts(told, names), *other_charts(told)),
        columns=("Group", "Feature", "Regions", "Median", "Quartiles", "Range", "Missing"),
        rows=tuple(_rows(told, names)) or _NOTHING,
        rows_note="A group is one configuration, role and label: regions that may be compared.",
        tables=tuple(_tables(told)),
        methods=tuple(_methods(told)),
        provenance=told.record,
        titles=TITLES,
    )


_NOTHING = (("–", "no region was measured", "0", "–", "–", "–", "–"),)


def key_features(told: Told) -> tuple[str, ...]:
    """Choose the features that are looked at first, of those that differ between regions."""
    spread = [
        name
        for k, name in enumerate(told.features)
        if any(_spread(group.values[:, k]) for group in told.groups)
    ]
    found = [next((n for n in spread if n.endswith(want)), "") for want in KEY]
    chosen = list(dict.fromkeys(name for name in found if name))
    more = [name for name in spread if name not in chosen]
    return tuple((chosen + more)[:_KEYS])


def _spread(values: Floats) -> bool:
    known = values[~np.isnan(values)]
    return bool(len(known)) and bool(known.min() < known.max() or len(known) == 1)


def _lead(told: Told) -> str:
    measured = int((told.cases["status"] != "failed").sum())
    return (
        f"{measured} of {_counted(len(told.cases), 'case')} measured: "
        f"{_counted(len(told.wide), 'region')} with {_counted(len(told.features), 'feature')}."
    )


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'s' * (count != 1)}"


def _of(told: Told, status: str) -> list[tuple[str, str]]:
    rows = told.cases[told.cases["status"] == status]
    return [(str(n), str(c)) for n, c in zip(rows["case"], rows["cause"], strict=True)]


def _errors(told: Told) -> Iterator[str]:
    failed = _of(told, "failed")
    for name, cause in failed[:_ERRORS]:
        detail = told.costs[name].detail if name in told.costs else ""
        yield f"{name}: {cause}{f' ({detail})' if detail else ''}"
    if len(failed) > _ERRORS:
        yield f"{len(failed) - _ERRORS} more cases failed: they stand in cases.csv."


def _findings(told: Told) -> Iterator[str]:
    partial = _of(told, "partial")
    for name, cause in partial[:_ERRORS]:
        yield f"Only some regions of {name} could be measured: {cause}"
    if len(partial) > _ERRORS:
        yield f"{len(partial) - _ERRORS} more cases are measured in part: see cases.csv."
    digests = set(told.wide["config_hash"]) if len(told.wide) else set()
    if len(digests) > 1:
        yield (
            f"The cases were measured with {len(digests)} configurations: do not pool their rows."
        )
    mixed = [name for name, unit in told.units.items() if len(unit) > 1]
    if mixed and len(digests) == 1:  # each configuration may have its own
        yield (
            f"More than one unit is in {_counted(len(mixed), 'feature')}, {mixed[0]} has "
            f"{' and '.join(map(repr, told.units[mixed[0]]))}: state the unit of the images in the "
            "column unit of the manifest."
        )
    suspects = [row for row in _suspects(told) if row[3] >= _SUSPECT]
    if suspects:
        names = ", ".join(dict.fromkeys(case for case, *_ in suspects[:5]))
        names += ", …" if len(suspects) > 5 else ""
        yield (
            f"{_SUSPECT:.0%} or more of the features of {_counted(len(suspects), 'region')} lie "
            f"far from the others ({names}): look at their images and labels."
        )
    few = [group.name for group in told.groups if len(group.rows) < LEAST]
    if few:
        yield (
            f"Fewer than {LEAST} regions are in {_counted(len(few), 'group')} "
            f"({', '.join(few[:5])}): none of them is called far from the others."
        )
    yield from _shift_findings(told)


def _shift_findings(told: Told) -> Iterator[str]:
    for shift in told.shifts:
        if shift.effects is None:
            yield f"{told.batch} could not be tested in {shift.group}: {shift.why}"
            continue
        share = shift.effects.affected["anderson"]
        if share >= 0.05:
            yield (
                f"{share:.0%} of the features of {shift.group} differ between the "
                f"{len(shift.effects.batches)} values of {told.batch}: harmonise them inside the "
                "model ('vesalius predict harmonise' shows what that changes)."
            )


def _facts(told: Told) -> Iterator[tuple[str, str]]:
    status = told.cases["status"].tolist()
    yield "Cases", str(len(status))
    yield "Measured", str(status.count("done"))
    for word, name in (("partial", "Measured in part"), ("failed", "Failed")):
        if word in status:
            yield name, str(status.count(word))
    if "subject" in told.cases.columns:
        yield "Subjects", str(told.cases["subject"].nunique())
    yield "Regions", str(len(told.wide))
    yield "Features", str(len(told.features))
    total = sum(gap.values for gap in told.gaps if not _other(gap.why))
    yield "Values missing", str(total)
    known = [cost for cost in told.costs.values() if cost.cpu_seconds > 0]
    if known:
        yield "Processor time", _time(sum(cost.cpu_seconds for cost in known))
        longest = max(known, key=lambda cost: cost.cpu_seconds)
        yield "Longest case", f"{longest.case}, {_time(longest.cpu_seconds)}"
        yield "Most memory", f"{max(cost.peak_bytes for cost in known) / 2**20:.0f} MB"
    again = sum(cost.attempts > 1 for cost in told.costs.values())
    if again:
        yield "Begun more than once", str(again)


def _other(why: str) -> bool:
    """Say whether values are missing since the case was measured with another configuration."""
    return why == "not measured with this configuration"


def _time(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _rows(told: Told, names: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    for group in told.groups:
        for name in names:
            values = group.values[:, told.features.index(name)]
            known = values[~np.isnan(values)]
            if not len(known):
                continue
            low, middle, high = np.quantile(known, (0.25, 0.5, 0.75))
            units = told.units.get(name, ())
            unit = f" {units[0]}" if len(units) == 1 and units[0] not in ("", "1") else ""
            yield (
                group.name,
                name,
                str(len(known)),
                f"{_number(middle)}{unit}",
                f"{_number(low)} to {_number(high)}",
                f"{_number(known.min())} to {_number(known.max())}",
                str(len(values) - len(known)) if len(values) > len(known) else "–",
            )


def _number(value: float) -> str:
    large = 1000 <= abs(value) < 1e7
    return (f"{value:.0f}" if large else f"{value:.4g}").replace("-", "−")


def _suspects(told: Told) -> list[tuple[str, str, str, float, str, float]]:
    """List regions with values far from the others: case, group, count, share, farthest, z."""
    found = []
    for group in told.groups:
        size = np.abs(np.nan_to_num(group.z))
        tested = (~np.isnan(group.z)).sum(axis=1)
        for k in np.flatnonzero((size >= FAR).any(axis=1)):
            far, at = int((size[k] >= FAR).sum()), int(size[k].argmax())
            case = str(told.wide["case"].iloc[int(group.rows[k])])
            share = far / int(tested[k])
            found.append(
                (case, group.name, str(far), share, told.features[at], float(group.z[k, at]))
            )
    return sorted(found, key=lambda row: (-row[3], row[0]))


def _tables(told: Told) -> Iterator[Table]:
    yield from _failed_table(told)
    suspects = _suspects(told)
    if suspects:
        shown = tuple(
            (case, group, far, f"{share:.0%}", name, f"{z:+.1f}".replace("-", "−"))
            for case, group, far, share, name, z in suspects[:_ROWS]
        )
        columns = ("Case", "Group", "Far", "Of its features", "Farthest", "Robust z")
        yield Table(_titled("Regions far from the others", suspects), columns, shown)
    yield from _gap_table(told)
    yield from _shift_tables(told)
    yield from _cost_table(told)


def _titled(title: str, rows: list[tuple[str, str, str, float, str, float]]) -> str:
    more = f", the first {_ROWS}" if len(rows) > _ROWS else ""
    return f"{title} ({len(rows)}{more})"


def _failed_table(told: Told) -> Iterator[Table]:
    failed = _of(told, "failed")
    if len(failed) > 1:
        causes: dict[str, list[str]] = {}
        for name, cause in failed:
            causes.setdefault(cause.partition(":")[0], []).append(name)
        rows = tuple(
            (cause, str(len(names)), ", ".join(names[:8]) + (" …" if len(names) > 8 else ""))
            for cause, names in sorted(causes.items(), key=lambda pair: -len(pair[1]))
        )
        yield Table(f"Failures by kind ({len(failed)})", ("Kind", "Cases", "Which"), rows)


def _gap_table(told: Told) -> Iterator[Table]:
    gaps = [gap for gap in told.gaps if not _other(gap.why)]
    if gaps:
        rows = tuple(
            (
                gap.why,
                str(gap.values),
                str(gap.regions),
                ", ".join(gap.features[:5])
                + (f" and {len(gap.features) - 5} more" if len(gap.features) > 5 else ""),
            )
            for gap in gaps[:_ROWS]
        )
        total = sum(gap.values for gap in gaps)
        columns = ("Why", "Values", "Regions", "Features")
        yield Table(f"Missing values ({total})", columns, rows)


def _shift_tables(told: Told) -> Iterator[Table]:
    groups = {group.name: group for group in told.groups}
    for shift in told.shifts:
        if shift.effects is None:
            continue
        effects, group = shift.effects, groups[shift.group]
        shown = effects.batches[:6]
        test = effects.tests["anderson"]
        rows = []
        for name in effects.most_affected(20):
            values = group.values[:, told.features.index(name)]
            medians = [_median(values[effects.codes == k]) for k in range(len(shown))]
            rows.append((name, f"{test.q[effects.features.index(name)]:.2g}", *medians))
        heads = [
            f"median, {name} ({count})" for name, count in zip(shown, effects.counts, strict=False)
        ]
        title = f"What {told.batch} changes in {shift.group}"
        yield Table(title, ("Feature", "q", *heads), tuple(rows))


def _median(values: Floats) -> str:
    known = values[~np.isnan(values)]
    return _number(float(np.median(known))) if len(known) else "–"


def _cost_table(told: Told) -> Iterator[Table]:
    known = [cost for cost in told.costs.values() if cost.attempts or cost.cpu_seconds]
    if known:
        ordered = sorted(known, key=lambda cost: -cost.cpu_seconds)
        rows = tuple(
            (
                cost.case,
                f"{cost.voxels / 1e6:.2f}",
                f"{cost.seconds:.1f}",
                f"{cost.cpu_seconds:.1f}",
                f"{cost.peak_bytes / 2**20:.0f}" if cost.peak_bytes else "–",
                str(cost.attempts),
            )
            for cost in ordered[:_ROWS]
        )
        columns = ("Case", "Voxels, millions", "Seconds", "Processor, s", "Memory, MB", "Begun")
        yield Table(f"The {len(rows)} cases that took longest", columns, rows)


def _methods(told: Told) -> Iterator[str]:
    yield (
        f"The {len(told.cases)} cases were measured with vesalius, each by one process with one "
        "thread; a case that failed stopped no other. A value was called far from the others "
        f"where it lay {FAR:g} robust standard deviations or more (1.4826 times the median "
        "absolute deviation) from the median of its configuration, role and label; skewed "
        "features have such values without any fault, a region with many of them deserves a look."
    )
    if told.batch:
        yield (
            f"Values of {told.batch} were compared by the k-sample Anderson-Darling test "
            "(doi:10.1080/01621459.1987.10478517) with q-values of Benjamini and Hochberg."
        )

"""Run: cases scored one by one, everything written, and the report beside it."""
# SPDX-License-Identifier: Apache-2.0

import csv
import io as text_io
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from vesalius.core import Labels, Step, hash_samples
from vesalius.core._provenance import Provenance
from vesalius.errors import FormatError, VesaliusError
from vesalius.measure._compare import plain
from vesalius.measure.evaluate import (
    Comparison,
    Contest,
    ObjectComparison,
    Summary,
    compare,
    compare_objects,
    contest,
    summarise,
)
from vesalius.study._folder import make_folder, put
from vesalius.study._report import Heading
from vesalius.study._stage_page import Page, render_page
from vesalius.study.compare._cases import Case, find_cases, lacks_spacing, read_labels
from vesalius.study.compare._job import Job
from vesalius.study.compare._tell import TITLES, Told, page_of, table_of

OnStep = Callable[[Step], None]
Scores = Comparison | ObjectComparison

REPORT = "report.html"


@dataclass(frozen=True, slots=True, eq=False)
class Done:
    """What a run found and wrote.

    Attributes:
        cases: Scores by name of the case.
        summary: Over the cases.
        contests: Against the other run; empty where there is none.
        table: Rows for the screen, names of the columns first.
        remarks: What must be known before the scores are used.
        errors: Cases that could not be scored, and why.
        report: The report's file; None where nothing was to be written.
    """

    cases: dict[str, Scores]
    summary: tuple[Summary, ...]
    contests: tuple[Contest, ...]
    table: tuple[tuple[str, ...], ...]
    remarks: tuple[str, ...]
    errors: tuple[str, ...]
    report: Path | None


def run_compare(
    pred: Path,
    truth: Path,
    out: Path | None,
    *,
    job: Job,
    against: Path | None = None,
    on_step: OnStep | None = None,
) -> Done:
    """Score labels against the truth and write tables (CSV, JSON) and a report.

    Args:
        pred: A file of labels, or a folder of them.
        truth: The same of the truth.
        out: The folder of the results, made where absent; None writes nothing.
        job: What is scored.
        against: The predictions of another run on the same cases; None for no contest.
        on_step: Told of each case.

    Returns:
        What was found. Cases that fail are named; the others are scored.

    Raises:
        FormatError: The files do not pair, or no case could be scored.
        OutputError: The folder cannot be written.
    """
    if out is not None:
        make_folder(out)
    try:
        told = _told(pred, truth, job, against, on_step)
    except VesaliusError as error:
        if out is not None:
            lead = "An input was refused; see below. Nothing else was written."
            heading = Heading("Nothing was compared", lead)
            page = Page(heading, errors=(str(error),), provenance=job.to_json(), titles=TITLES)
            put(out / REPORT, render_page(page))
        raise
    if out is not None:
        _write(out, told)
    return Done(
        dict(told.cases),
        told.summary,
        told.contests,
        table_of(told),
        told.remarks,
        told.errors,
        None if out is None else out / REPORT,
    )


def _told(pred: Path, truth: Path, job: Job, against: Path | None, on_step: OnStep | None) -> Told:
    cases, remarks = find_cases(pred, truth)
    scored = _score(cases, job, on_step)
    other = _Scored({}, {}, ())
    if against is not None:
        rivals, more = find_cases(against, truth)
        remarks += tuple(f"Other run: {text}" for text in more)
        other = _score(_renamed(rivals, cases), job, on_step)
    assumed = [] if job.spacing_mm else [c.name for c in cases if lacks_spacing(c.truth)]
    if assumed:
        remarks += (
            f"{len(assumed)} of {len(cases)} truths have no spacing, 1 mm was assumed: lengths and "
            "volumes are in samples. Give it with --spacing Z,Y,X.",
        )
    if not scored.cases or (against is not None and not other.cases):
        raise FormatError(
            "at least one case must be fit to be scored, none is: "
            f"{'; '.join((*scored.errors, *other.errors)[:3])}"
        )
    generator = torch.Generator().manual_seed(job.seed)
    summary = summarise(scored.cases, generator=generator)
    contests: tuple[Contest, ...] = ()
    if against is not None:
        contests = contest(scored.cases, other.cases, generator=generator)
    worst = {case.name: case for case in cases}[min(scored.cases, key=lambda c: _rank(scored, c))]
    return Told(
        job=job,
        cases=scored.cases,
        summary=summary,
        contests=contests,
        remarks=remarks,
        errors=(*scored.errors, *other.errors),
        worst=(worst.name, *_both(worst, job)),
        record=Provenance("compare", job.to_json(), scored.hashes).to_json(),
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Scored:
    cases: dict[str, Scores]
    hashes: dict[str, str]
    errors: tuple[str, ...]


def _score(cases: tuple[Case, ...], job: Job, on_step: OnStep | None) -> _Scored:
    found: dict[str, Scores] = {}
    hashes: dict[str, str] = {}
    errors = []
    for k, case in enumerate(cases):
        try:
            pred, truth = _both(case, job)
            found[case.name] = score(pred, truth, job)
            for role, labels in (("prediction", pred), ("truth", truth)):
                hashes[f"{case.name} {role}"] = hash_samples(labels.data, labels.grid.affine)
        except VesaliusError as error:
            errors.append(f"{case.name}: {error}")
        if on_step is not None:
            on_step(Step("compare", k + 1, len(cases)))
    return _Scored(found, hashes, tuple(errors))


def score(pred: Labels, truth: Labels, job: Job) -> Scores:
    """Score one case as the job says."""
    if job.objects:
        return compare_objects(pred, truth)
    return compare(pred, truth, measures=job.groups, tau_mm=job.tau_mm, rim_mm=job.rim_mm)


def _both(case: Case, job: Job) -> tuple[Labels, Labels]:
    return read_labels(case.pred, job.spacing_mm), read_labels(case.truth, job.spacing_mm)


def _renamed(rivals: tuple[Case, ...], cases: tuple[Case, ...]) -> tuple[Case, ...]:
    """Give a single rival file the name of the single case."""
    if len(rivals) == len(cases) == 1:
        return (Case(cases[0].name, rivals[0].pred, rivals[0].truth),)
    return rivals


def _rank(scored: _Scored, case: str) -> float:
    """Give what the worst case is chosen by; a case with nothing to find is not bad."""
    scores = scored.cases[case]
    value = scores.mean("dice") if isinstance(scores, Comparison) else scores.mean_ap
    return value if value == value else 2.0


def _write(out: Path, told: Told) -> None:
    put(out / "compare.csv", csv_of(told.cases))
    summary = [_flat(s.label, s.score, asdict(s), asdict(s.interval)) for s in told.summary]
    contests = [
        _flat(c.label, c.score, asdict(c.test), asdict(c.test.difference)) for c in told.contests
    ]
    body = {
        "cases": {name: scores.to_dict() for name, scores in told.cases.items()},
        "summary": summary,
        "contest": contests,
        "remarks": told.remarks,
        "errors": told.errors,
        "provenance": told.record,
    }
    put(out / "compare.json", json.dumps(body, indent=2, sort_keys=True) + "\n")
    for name, rows in (("summary.csv", summary), ("contest.csv", contests)):
        if rows:
            put(out / name, _csv(tuple(rows[0]), [tuple(row.values()) for row in rows]))
        else:  # of an earlier run
            (out / name).unlink(missing_ok=True)
    put(out / REPORT, render_page(page_of(told)))


def _flat(label: str, score: str, *parts: dict[str, object]) -> dict[str, object]:
    merged = {k: v for part in parts for k, v in part.items() if not isinstance(v, dict)}
    return {"label": label, "score": score} | {
        k: plain(v) for k, v in merged.items() if k not in ("label", "score")
    }


def csv_of(cases: Mapping[str, Scores]) -> str:
    r"""Write one row for each case and label (or threshold); an absent figure is an empty cell.

    Args:
        cases: Scores by name of the case.

    Returns:
        Text with ``\n`` line ends.
    """
    rows: list[dict[str, object]] = []
    for name, scores in cases.items():
        body = scores.to_dict()
        own = body["labels"] if isinstance(scores, Comparison) else body["found"]
        assert isinstance(own, list)
        single = {k: v for k, v in body.items() if isinstance(scores, ObjectComparison)}
        single.pop("found", None)
        rows += [{"case": name} | row | single for row in own]
    return _csv(tuple(rows[0]), [tuple(row.values()) for row in rows])


def _csv(columns: tuple[str, ...], rows: list[tuple[object, ...]]) -> str:
    out = text_io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([[_cell(value) for value in row] for row in rows])
    return out.getvalue()


def _cell(value: object) -> object:
    if value is None:
        return ""
    if isinstance(value, str):  # no name may act as a formula in a spreadsheet
        return "'" + value if value.startswith(("=", "+", "-", "@", "\t")) else value
    return repr(value)

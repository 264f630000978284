"""Run: measure every case of a cohort that is not measured yet, and join the tables."""
# SPDX-License-Identifier: Apache-2.0

import json
import os
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import final

from vesalius.core import Provenance, Step
from vesalius.core._provenance import hash_json
from vesalius.errors import FormatError
from vesalius.study._folder import make_folder, put
from vesalius.study.cohort._job import Job, Prepared, prepare_all
from vesalius.study.cohort._join import Fate, write_cases, write_tables
from vesalius.study.cohort._journal import CaseEntry, is_recorded, recall_case
from vesalius.study.cohort._lock import only_one
from vesalius.study.cohort._manifest import Case, Manifest
from vesalius.study.cohort._runner import CaseOrder, CaseResult, Runner
from vesalius.study.cohort._state import State

OnStep = Callable[[Step], None]
JOURNAL = "journal"
_SHOWN = 5


@final
@dataclass(frozen=True, slots=True)
class Done:
    """What a run gave.

    Attributes:
        folder: The output folder.
        cases: Number of cases.
        cached: Cases that an earlier run had measured.
        failures: Case, cause and detail of each case that could not be measured.
        partial: Case and cause of each case of which only some regions could be measured.
        rows: Rows of the wide table.
        remarks: What must be known before the tables are used.
    """

    folder: Path
    cases: int
    cached: int
    failures: tuple[tuple[str, str, str], ...]
    partial: tuple[tuple[str, str], ...]
    rows: int
    remarks: tuple[str, ...]

    @property
    def complete(self) -> bool:
        """Whether every region of every case was measured."""
        return not self.failures and not self.partial


def run_cohort(
    manifest: Manifest,
    out: Path,
    *,
    job: Job,
    runner: Runner,
    on_step: OnStep | None = None,
) -> Done:
    """Measure the cases of a manifest and write the tables of the cohort.

    Killed at any moment and run again it measures only what is missing, and ends with the same
    bytes in every table.

    Args:
        manifest: The cases.
        out: The output folder; made where absent.
        job: What is measured.
        runner: Where it is measured.
        on_step: Called when a case has ended.

    Returns:
        What was measured and what not; a case that fails stops no other.

    Raises:
        FormatError: None of the files is there, or a clinical column is called as a feature.
        ConfigError: A modality has no configuration.
        OutputError: Another run holds the folder, or it cannot be written.
    """
    check_files(manifest)
    for case in manifest.cases:
        job.config_for(case)
    make_folder(out)
    journal = out / JOURNAL
    with only_one(out):
        make_folder(journal)
        ledger = _Ledger(manifest, State(out), on_step)
        try:
            ledger.begin()
            for result in runner.run(_orders(ledger, job, journal)):
                ledger.settle(result)
            ledger.end()
        finally:
            ledger.state.end()
        return _write(out, job, ledger)


def check_files(manifest: Manifest) -> None:
    """Refuse a manifest none of whose cases is there.

    Args:
        manifest: The cases.

    Raises:
        FormatError: No case has both files.
    """
    missing = [case for case in manifest.cases if case.missing]
    if len(missing) == len(manifest.cases):
        told = "; ".join(f"{case.name}: {case.missing}" for case in missing[:_SHOWN])
        raise FormatError(
            f"at least one case of a manifest must have its files, none of {len(missing)} has: "
            f"{told}: paths are relative to the folder of the manifest"
        )


@dataclass(slots=True, eq=False)
class _Ledger:
    """What is known of each case so far; kept by the thread of the run."""

    manifest: Manifest
    state: State
    on_step: OnStep | None
    ready: deque[tuple[CaseResult, bool]] = field(default_factory=deque)
    """Results that need no measurement, and whether they come from the journal; other threads
    put them here."""
    keys: dict[str, str] = field(default_factory=dict)
    inputs: dict[str, str] = field(default_factory=dict)
    kinds: dict[str, str] = field(default_factory=dict)
    same: dict[str, str] = field(default_factory=dict)
    """The case of the same content that is measured for a case."""
    results: dict[str, CaseResult] = field(default_factory=dict)
    cached: set[str] = field(default_factory=set)

    def begin(self) -> None:
        """Say that the run begins."""
        self.state.begin((case.name for case in self.manifest.cases), os.getpid())
        self._tell("cases")

    def settle(self, result: CaseResult) -> None:
        """Take the result of a measurement, and of what was waiting for the same."""
        key = self.keys[result.case]
        if result.ended == "done":
            self.state.learn(result, key=key, kind=self.kinds[result.case])
        self._keep(result, cached=False)
        self.drain()

    def drain(self) -> None:
        """Take the results that needed no measurement."""
        while self.ready:
            result, cached = self.ready.popleft()
            self._keep(result, cached=cached)

    def end(self) -> None:
        """Take what is left when nothing is being measured any more."""
        self.drain()
        # not earlier: a thread may still be adding to the cases of a content that is measured
        for name, first in self.same.items():
            self._keep(replace(self.results[first], case=name), cached=False)

    def _keep(self, result: CaseResult, *, cached: bool) -> None:
        self.results[result.case] = result
        if cached:
            self.cached.add(result.case)
        self.state.settle(result, key=self.keys.get(result.case, ""), cached=cached)
        self._tell(result.case)

    def _tell(self, what: str) -> None:
        if self.on_step is not None:
            self.on_step(Step(what, len(self.results), len(self.manifest.cases)))


def _orders(ledger: _Ledger, job: Job, journal: Path) -> Iterator[CaseOrder]:
    """Give the orders of what is missing; the threads of a runner may draw from it in turn."""
    ordered: dict[str, str] = {}
    for found in prepare_all(_largest_first(ledger.manifest.cases), job, journal):
        name = found.case.name
        ledger.inputs[name] = found.inputs
        if found.order is None:
            ledger.ready.append((_refused(found), False))
            continue
        key = ledger.keys[name] = found.order.key
        ledger.kinds[name] = job.kind_for(found.case)
        if key in ordered:
            ledger.same[name] = ordered[key]
        elif is_recorded(journal, key):
            ledger.ready.append((CaseResult(name, "done", attempts=0), True))
        else:
            ordered[key] = name
            yield found.order


def _largest_first(cases: tuple[Case, ...]) -> tuple[Case, ...]:
    """Put the longest work first, so that no worker begins it when the others have ended."""
    return tuple(sorted(cases, key=lambda case: -_bytes(case.labels) - _bytes(case.image)))


def _bytes(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:  # what is not there is told when it is prepared
        return 0


def _refused(found: Prepared) -> CaseResult:
    return CaseResult(found.case.name, "failed", found.cause, attempts=0)


def _write(out: Path, job: Job, ledger: _Ledger) -> Done:
    """Write all tables."""
    cases, journal = ledger.manifest.cases, out / JOURNAL
    fates: dict[str, Fate] = {}

    def entries() -> Iterator[tuple[Case, CaseEntry]]:
        for case in cases:
            result = ledger.results[case.name]
            entry = recall_case(journal, ledger.keys[case.name]) if result.ended == "done" else None
            if entry is None:
                cause = result.cause or "its entry in the journal is gone: run again"
                fates[case.name] = Fate("failed", cause)
                continue
            told = "; ".join(f"{label}: {why}" for label, why in sorted(entry.failures.items()))
            regions = len(entry.table.column("label").unique())
            fates[case.name] = Fate("partial" if told else "done", told, regions, entry.findings)
            yield case, entry

    rows, remarks = write_tables(out, ledger.manifest, entries())
    write_cases(out, ledger.manifest, fates)
    notes = Counter(text for fate in fates.values() for text in fate.findings)
    inputs = {"manifest": hash_json(ledger.manifest.columns.astype(str).to_dict("list"))}
    inputs |= {f"case {case.name}": ledger.inputs[case.name] for case in cases}
    record = Provenance("cohort", job.to_json(), inputs).to_json()
    put(out / "provenance.json", json.dumps(record, indent=2, sort_keys=True) + "\n")
    return Done(
        out,
        len(cases),
        len(ledger.cached),
        tuple(
            (name, fate.cause, ledger.results[name].detail)
            for name, fate in fates.items()
            if fate.status == "failed"
        ),
        tuple((name, fate.cause) for name, fate in fates.items() if fate.status == "partial"),
        rows,
        (*remarks, *_notes(notes), *_lost(ledger.state.lost)),
    )


def _lost(why: str) -> tuple[str, ...]:
    if not why:
        return ()
    return (f"The history of the run is not whole ({why}); the tables do not need it.",)


def _notes(notes: "Counter[str]") -> Iterator[str]:
    """Give what was noticed about cases, once each with the number of cases."""
    for text, count in notes.most_common():
        yield text if count == 1 else f"{count} cases: {text}"

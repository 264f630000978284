"""De-identification of DICOM files by PS3.15 Annex E: names out, geometry and samples kept.

The basic profile with the options of ``Profile``. Deviations, all to the safe side: texts that no
row of Table E.1-1 names are reduced to known words; meanings of codes are those of the standard;
codes of local schemes are hashed; every text of a report is replaced; clock times are kept where
dates are moved; character sets become UTF-8. Not done: searching pixels for text, removing faces,
encrypting what was removed (PS3.15 E.1.1 leaves that free).
"""
# SPDX-License-Identifier: Apache-2.0

from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from vesalius.core import Step
from vesalius.errors import ConfigError, FormatError
from vesalius.io._budget import DEFAULT, Budget
from vesalius.io.dicom._annex_e import EDITION
from vesalius.io.dicom._deid_file import Run, process
from vesalius.io.dicom._deid_journal import Journal, sweep
from vesalius.io.dicom._deid_refuse import Profile
from vesalius.io.dicom._deid_report import DeidReport, FileRow, action_rows, write_report
from vesalius.io.dicom._deid_uids import read_key

NOBODY: Mapping[str, str] = MappingProxyType({})


def deidentify(
    source: str | Path,
    out: str | Path,
    *,
    key: str | Path,
    options: Profile = Profile(),  # noqa: B008 - frozen
    pseudonyms: Mapping[str, str] = NOBODY,
    budget: Budget = DEFAULT,
    on_step: Callable[[Step], None] | None = None,
) -> DeidReport:
    """De-identify DICOM files.

    UIDs, pseudonyms and the days that dates go back are made with the key: equal in every run and
    for every file, so that references hold between runs. Each file is written whole or not at all;
    a run that was cut off goes on where it was. Nothing of the input's names, paths and values
    comes into names, messages or the report.

    Args:
        source: A DICOM file, or a folder; unpack archives first. Links are not followed.
        out: Folder for ``patient/study/series/instance.dcm`` and ``report/``.
        key: File with the key, readable by its owner only; made where it does not exist. Whoever
            has it can test guesses of names: keep it apart from the output.
        options: What is kept, cleaned and accepted.
        pseudonyms: Pseudonym of each patient ID; empty makes them with the key.
        budget: What reading may cost.
        on_step: Called after each file.

    Returns:
        What was done; it is written to ``report/`` too.

    Raises:
        FormatError: The source is absent, or holds too many files.
        ConfigError: Source, output and key are in each other's way, or the key is unfit.
        OutputError: A file cannot be written.
    """
    root, target, secret = (Path(p).absolute() for p in (source, out, key))
    _check_places(root.resolve(), target.resolve(), secret.resolve())
    files = _files(root, budget)
    made = read_key(secret)
    target.mkdir(parents=True, exist_ok=True)
    sweep(target)
    run = Run(target, made, options, pseudonyms, budget)
    rows: list[FileRow] = []
    counts = Counter[tuple[str, str, str]]()
    with Journal.open(target, run.fingerprint) as journal:
        for number, path in enumerate(files, 1):
            done = process(path, number, run, journal)
            rows.append(done.row)
            counts.update(done.actions)
            if on_step is not None:
                on_step(Step(f"deidentify: file {number}", number, len(files)))
        report = DeidReport(
            EDITION, options.options, options.allow, tuple(rows), action_rows(counts)
        )
        write_report(report, target)
    return report


def _check_places(source: Path, out: Path, key: Path) -> None:
    if not source.exists():
        raise FormatError("the source must exist to be de-identified, it does not: check the path")
    if out == source or out.is_relative_to(source) or source.is_relative_to(out):
        raise ConfigError(
            "source and output must lie apart, one is inside the other: choose another output"
        )
    if key.is_relative_to(out):
        raise ConfigError(
            "the key must not lie in the output, whoever gets that would have it: "
            "choose another place for the key"
        )
    if out.exists() and not out.is_dir():
        raise ConfigError("the output must be a folder, a file is there: choose another output")


def _files(source: Path, budget: Budget) -> list[Path]:
    """List the files, sorted by name, links left out."""
    if source.is_file():
        return [source]
    found: list[Path] = []
    waiting = [(source, 0)]
    while waiting:
        folder, depth = waiting.pop()
        for entry in folder.iterdir():
            if entry.is_symlink():
                continue
            if entry.is_dir() and depth < budget.depth:
                waiting.append((entry, depth + 1))
            elif entry.is_file():
                found.append(entry)
        if len(found) > budget.files:
            raise FormatError(
                f"the source must hold at most {budget.files} files, it holds more: "
                "de-identify it in parts, or raise the budget"
            )
    return sorted(found)

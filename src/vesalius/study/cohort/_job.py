"""Job: what is measured in every case of a cohort, and the orders that follow from it."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import final

from vesalius._version import __version__
from vesalius.core._provenance import hash_json
from vesalius.errors import ConfigError
from vesalius.measure import Config
from vesalius.study._load import OnMismatch
from vesalius.study.cohort._code import measuring_code
from vesalius.study.cohort._inputs import hash_path, hashed_once, stamp_of
from vesalius.study.cohort._manifest import Case
from vesalius.study.cohort._runner import CaseOrder

_READERS = 2
"""Threads that read files ahead to name their content."""


@final
@dataclass(frozen=True, slots=True)
class Job:
    """What is measured, and how.

    Attributes:
        configs: One configuration; or several of different modalities, of which a row of the
            manifest takes that of its ``modality``, and the first where it names none. Empty takes
            the defaults of the modality.
        uncertainty: Whether every number gets an error bar.
        on_mismatch: What is done with labels on another grid than the image's.

    Raises:
        ConfigError: Two configurations are for one modality.
    """

    configs: tuple[Config, ...] = ()
    uncertainty: bool = False
    on_mismatch: OnMismatch = "error"

    def __post_init__(self) -> None:
        found = [config.modality for config in self.configs]
        if len(set(found)) < len(found):
            raise ConfigError(
                f"several configurations must be of different modalities, got {', '.join(found)}: "
                "write 'modality:' into each"
            )

    def config_for(self, case: Case) -> Config:
        """Give the configuration of a case.

        Args:
            case: Its ``modality`` is used.

        Raises:
            ConfigError: There is none for it.
        """
        if not self.configs:
            return Config.model_validate({"modality": case.modality} if case.modality else {})
        if not case.modality:
            return self.configs[0]
        for config in self.configs:
            if config.modality == case.modality:
                return config
        known = ", ".join(config.modality for config in self.configs)
        raise ConfigError(
            f"every modality must have a configuration, case {case.name!r} is {case.modality} and "
            f"there is one for {known}: give another --config with 'modality: {case.modality}'"
        )

    def kind_for(self, case: Case) -> str:
        """Hash what makes one case as costly as another of its size.

        Args:
            case: Its ``modality`` is used.
        """
        return hash_json([self.config_for(case).digest, self.uncertainty])

    def to_json(self) -> dict[str, object]:
        """Give the job as JSON types."""
        configs = self.configs or (Config(),)
        return {
            "configs": [c.model_dump(mode="json", exclude={"compute", "output"}) for c in configs],
            "uncertainty": self.uncertainty,
            "on_mismatch": self.on_mismatch,
        }


@final
@dataclass(frozen=True, slots=True)
class Prepared:
    """A case whose files have been looked at.

    Attributes:
        case: The case.
        inputs: Hash of the bytes of its files; empty where they cannot be read.
        order: What is to be done.
        cause: Why nothing can be done; empty else.
    """

    case: Case
    inputs: str
    order: CaseOrder | None
    cause: str = ""


def prepare(
    case: Case, job: Job, journal: Path, *, hashed: Callable[[Path], str] = hash_path
) -> Prepared:
    """Look at the files of a case and say what is to be done.

    Args:
        case: The case.
        job: What is measured.
        journal: Folder of the journal.
        hashed: Hashes a file or a folder.

    Returns:
        The order, or why there is none.
    """
    if case.missing:
        return Prepared(case, "", None, f"FormatError: {case.missing}: check its path")
    try:
        config = job.config_for(case)
        stamp = stamp_of(case.image, case.labels)
        inputs = hash_json([hashed(case.image), hashed(case.labels)])
    except ConfigError as error:
        return Prepared(case, "", None, f"ConfigError: {error}")
    except OSError as error:
        return Prepared(case, "", None, f"FormatError: a file cannot be read: {error.strerror}")
    code = measuring_code()
    decides = [inputs, case.regions, case.roi, case.unit, config.digest, job.uncertainty]
    key = hash_json([*decides, job.on_mismatch, __version__, code])
    order = CaseOrder(
        case.name,
        key,
        # links are kept: what they lead to may have no suffix, and no samples beside its header
        str(case.image.absolute()),
        str(case.labels.absolute()),
        str(journal.resolve()),
        config.model_dump_json(),
        code,
        stamp,
        case.regions,
        case.roi,
        case.unit,
        job.uncertainty,
        job.on_mismatch,
    )
    return Prepared(case, inputs, order)


def prepare_all(cases: tuple[Case, ...], job: Job, journal: Path) -> Iterator[Prepared]:
    """Look at the files of all cases, a few ahead of whoever takes them.

    Args:
        cases: The cases.
        job: What is measured.
        journal: Folder of the journal.

    Yields:
        In the order of the cases.
    """
    hashed = hashed_once()
    with ThreadPoolExecutor(_READERS) as pool:
        ahead: list[Future[Prepared]] = []
        rest = iter(cases)
        try:
            for case in rest:
                ahead.append(pool.submit(prepare, case, job, journal, hashed=hashed))
                if len(ahead) > 2 * _READERS:
                    yield ahead.pop(0).result()
            while ahead:
                yield ahead.pop(0).result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

"""Report: the page of a cohort, written beside its tables."""
# SPDX-License-Identifier: Apache-2.0

from pathlib import Path

from vesalius.errors import ConfigError
from vesalius.study._folder import put

PAGE = "report.html"


def write_report(out: str | Path, *, batch: str = "", show: tuple[str, ...] = ()) -> Path:
    """Write the report of a cohort: failures, distributions, outliers, missing values, shifts.

    Args:
        out: The folder of the cohort; ``report.html`` is written there.
        batch: Column of the manifest that names scanner or site; empty compares none.
        show: Features to draw; empty takes volume, mean and others that are looked at first.

    Returns:
        The page. It tells times, too, and is not the same bytes in every run.

    Raises:
        FormatError: The folder has no tables, or one is damaged.
        ConfigError: The batch is no column of the manifest, or a feature is none of the cohort.
        OutputError: It cannot be written.
    """
    # not above: every worker loads this room, and needs neither tests nor pages
    from vesalius.study._stage_page import render_page
    from vesalius.study.cohort._report_page import cohort_page
    from vesalius.study.cohort._tell import tell

    out = Path(out)
    told = tell(out, batch=batch)
    for name in show:
        if name not in told.features:
            near = ", ".join(_like(name, told.features)) or "those in wide.csv"
            raise ConfigError(
                f"a feature to show must be one of the {len(told.features)} of the cohort, got "
                f"{name!r}: perhaps {near}"
            )
    put(out / PAGE, render_page(cohort_page(told, show=show)))
    return out / PAGE


def _like(name: str, names: tuple[str, ...]) -> list[str]:
    from difflib import get_close_matches

    return get_close_matches(name, names, n=3)

"""Part: the measurements made with one configuration, as a study hands them to its report."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from vesalius.measure import Config

if TYPE_CHECKING:
    from pandas import DataFrame

NUMBERS = ("value", "perturb_sd", "perturb_p2_5", "perturb_p97_5", "mdc95", "icc", "icc_low")
"""Columns that hold numbers; all others hold text."""


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """Measurements made with one configuration.

    Attributes:
        name: What was measured, such as ``"organs"``.
        table: The canonical long table.
        config: What decided the values.
        perturbations: Perturbed measurements behind the error bars of each region; empty where
            there are none.
        findings: What a reader must know before the numbers are used.
        failures: Error text of each region that could not be measured, by name.
        preparation: What was done to image or labels before, in a sentence for the methods.
    """

    name: str
    table: "DataFrame"
    config: Config
    perturbations: Mapping[str, int] = field(default_factory=dict)
    findings: tuple[str, ...] = ()
    failures: Mapping[str, str] = field(default_factory=dict)
    preparation: str = ""

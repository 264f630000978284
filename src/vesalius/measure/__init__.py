"""Image and labels to quantities: radiomics by the IBSI standard, every number with an error bar.

Floor 6. ``extract`` measures; ``Config`` says what and how; ``catalogue`` lists what there is.
``compat`` answers scripts written for PyRadiomics.
"""
# SPDX-License-Identifier: Apache-2.0

from vesalius.measure._audit import Audited, audit
from vesalius.measure._catalogue import catalogue
from vesalius.measure._change import change, recist
from vesalius.measure._cohort import cohort_table
from vesalius.measure._config import (
    Config,
    config_schema,
    dump_config,
    load_config,
    parse_config,
)
from vesalius.measure._feature import Feature, Value
from vesalius.measure._maps import feature_maps
from vesalius.measure._measurement import COLUMNS, Measurement, check_pair, extract, wide
from vesalius.measure._reliability import agreement, grade, icc
from vesalius.measure._uncertainty import Repeatability, cohort_reliability, repeatability

__all__ = [
    "COLUMNS",
    "Audited",
    "Config",
    "Feature",
    "Measurement",
    "Repeatability",
    "Value",
    "agreement",
    "audit",
    "catalogue",
    "change",
    "check_pair",
    "cohort_reliability",
    "cohort_table",
    "config_schema",
    "dump_config",
    "extract",
    "feature_maps",
    "grade",
    "icc",
    "load_config",
    "parse_config",
    "recist",
    "repeatability",
    "wide",
]

"""A cohort: every case of a manifest measured, wherever there is room, and joined into tables."""
# SPDX-License-Identifier: Apache-2.0

from vesalius.study.cohort._execute import execute
from vesalius.study.cohort._pool import PoolRunner
from vesalius.study.cohort._runner import CaseOrder, CaseResult, Runner

__all__ = ["CaseOrder", "CaseResult", "PoolRunner", "Runner", "execute"]

"""A cohort: every case of a manifest measured, wherever there is room, and joined into tables."""
# SPDX-License-Identifier: Apache-2.0

from vesalius.study.cohort._dask import DaskRunner
from vesalius.study.cohort._estimate import CasePlan, plan_cohort
from vesalius.study.cohort._execute import execute
from vesalius.study.cohort._job import Job
from vesalius.study.cohort._manifest import Case, Manifest, read_manifest
from vesalius.study.cohort._pool import PoolRunner, usable_cores
from vesalius.study.cohort._query import query
from vesalius.study.cohort._report import write_report
from vesalius.study.cohort._run import Done, run_cohort
from vesalius.study.cohort._runner import CaseOrder, CaseResult, Runner

__all__ = [
    "Case",
    "CaseOrder",
    "CasePlan",
    "CaseResult",
    "DaskRunner",
    "Done",
    "Job",
    "Manifest",
    "PoolRunner",
    "Runner",
    "execute",
    "plan_cohort",
    "query",
    "read_manifest",
    "run_cohort",
    "usable_cores",
    "write_report",
]

"""Deface: a face mask drawn once on a template, carried to a scan of a head and cut out of it.

Part of the room ``study``.
"""
# SPDX-License-Identifier: Apache-2.0

from vesalius.study.deface._deface import Defaced, Rules, Template, deface
from vesalius.study.deface._run import Files, figures, run_deface

__all__ = ["Defaced", "Files", "Rules", "Template", "deface", "figures", "run_deface"]

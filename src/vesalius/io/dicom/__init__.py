"""DICOM beyond opening: segmentations, reports, contours out; names removed; the network."""
# SPDX-License-Identifier: Apache-2.0

from vesalius.io.dicom._context import Caption
from vesalius.io.dicom._deid_refuse import Profile
from vesalius.io.dicom._deid_report import DeidReport
from vesalius.io.dicom._deid_uids import read_pseudonyms
from vesalius.io.dicom._deidentify import deidentify
from vesalius.io.dicom._network import echo, fetch, find, listen, send
from vesalius.io.dicom._peers import Match, Node, Query, Receiver, Tls, WebNode
from vesalius.io.dicom._transfer import Outcome, Retry, Transfer
from vesalius.io.dicom._write_map import save_parametric_map
from vesalius.io.dicom._write_report import Measurement, save_report
from vesalius.io.dicom._write_rtstruct import save_rtstruct
from vesalius.io.dicom._write_seg import save_seg
from vesalius.io.dicom._write_series import save_series

__all__ = [
    "Caption",
    "DeidReport",
    "Match",
    "Measurement",
    "Node",
    "Outcome",
    "Profile",
    "Query",
    "Receiver",
    "Retry",
    "Tls",
    "Transfer",
    "WebNode",
    "deidentify",
    "echo",
    "fetch",
    "find",
    "listen",
    "read_pseudonyms",
    "save_parametric_map",
    "save_report",
    "save_rtstruct",
    "save_seg",
    "save_series",
    "send",
]

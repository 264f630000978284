"""Open and read each file given, in this process, and tell what that cost: one line of JSON each.

Run by test_hostile.py in a process of its own, so that its memory can be measured.
"""

import json
import resource
import sys
import time
from pathlib import Path

import h5py
import nibabel
import nrrd
import numpy as np
import pydicom
import tifffile
import zarr
from PIL import JpegImagePlugin, PngImagePlugin

from vesalius import io
from vesalius.errors import VesaliusError

LIBRARIES = (h5py, nibabel, nrrd, np, pydicom, tifffile, zarr, JpegImagePlugin, PngImagePlugin)
"""Imported first, so that their size is not taken for that of a file."""


def status(key: str) -> int:
    """A line of this process's status, in bytes."""
    text = Path("/proc/self/status").read_text()
    return int(text.split(f"{key}:")[1].split()[0]) * 1024


def defuse(path: Path) -> dict[str, object]:
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    before, start = status("VmRSS"), time.process_time()
    kind, said = "", ""
    try:
        io.open(path).read()
    except Exception as error:
        kind = "typed" if isinstance(error, VesaliusError) else type(error).__name__
        said = str(error)
    seconds = time.process_time() - start
    peak = status("VmHWM")
    return {"kind": kind, "said": said, "seconds": seconds, "peak": peak, "grown": peak - before}


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_AS, (16 << 30, 16 << 30))
    for name in sys.argv[1:]:
        sys.stdout.write(json.dumps(defuse(Path(name))) + "\n")
        sys.stdout.flush()

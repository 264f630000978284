"""Workers add to the cache of compiled loops one at a time."""

import fcntl
import os
import subprocess
import sys
import time
from pathlib import Path

from vesalius.study.cohort import _kernel_cache

CODE = """
import importlib.util, sys
spec = importlib.util.spec_from_file_location("kernel_cache", sys.argv[1])
found = importlib.util.module_from_spec(spec)
spec.loader.exec_module(found)
found.write_in_turn()
found.write_in_turn()
import loop
print("compiled", loop.double(21), flush=True)
"""
LOOP = """
from numba import njit

@njit("int64(int64)", cache=True)
def double(x):
    return 2 * x
"""


def test_a_process_waits_until_the_other_has_written(tmp_path):
    (tmp_path / "loop.py").write_text(LOOP)
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    environment.pop("NUMBA_CACHE_DIR", None)
    folder = tmp_path / "__pycache__"
    folder.mkdir()
    with (folder / _kernel_cache.LOCK).open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        process = subprocess.Popen(
            [sys.executable, "-c", CODE, str(Path(_kernel_cache.__file__))],
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        # it has come to the lock when it has opened its file
        lock = folder / _kernel_cache.LOCK
        for _ in range(3000):
            opened = Path(f"/proc/{process.pid}/fd")
            if lock in [p.readlink() for p in opened.iterdir() if p.is_symlink()]:
                break
            time.sleep(0.02)
        assert not list(folder.glob("*.nbi")), "it must not write while another does"
        assert process.poll() is None
    told, _ = process.communicate()
    assert told == "compiled 42\n"
    assert len(list(folder.glob("*.nbi"))) == len(list(folder.glob("*.nbc"))) == 1

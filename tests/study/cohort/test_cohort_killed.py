"""Killed for real: the run, and then a worker of the next one; the tables are the same bytes."""

import os
import signal
import sqlite3
import subprocess
import sys
import time

import psutil
import pytest
from cohort_cases import Here, contents, write_cohort

from vesalius.measure import parse_config
from vesalius.study.cohort import Job, read_manifest, run_cohort

CASES = 4
CONFIG = "features: {families: [statistics, histogram, glcm]}\nperturb: {count: 8}\n"


def start(tmp_path, workers):
    """Run the cohort in a process of its own."""
    words = ["cohort", "run", "manifest.csv", "-o", "out", "--config", "config.yaml"]
    code = (
        f"from vesalius.cli import main; main({[*words, '--uncertainty', '--workers', workers]!r})"
    )
    return subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def wait_for_cases(out, count, process):
    """Wait until the journal has more than so many cases."""
    for _ in range(3000):
        if len(list((out / "journal").glob("*.case"))) > count:
            return
        assert process.poll() is None, process.stdout.read()
        time.sleep(0.02)
    pytest.fail("no case was measured")


def workers_of(process):
    return [child.pid for child in psutil.Process(process.pid).children()]


def gone(pids):
    """Wait until processes have ended."""
    for _ in range(500):
        if not any(psutil.pid_exists(pid) for pid in pids):
            return True
        time.sleep(0.02)
    return False


@pytest.mark.slow
def test_a_killed_run_and_a_killed_worker_cost_nothing_but_time(tmp_path):
    manifest = write_cohort(tmp_path, CASES, side=24)
    (tmp_path / "config.yaml").write_text(CONFIG)
    out = tmp_path / "out"

    first = start(tmp_path, "1")
    wait_for_cases(out, 0, first)
    workers = workers_of(first)
    first.kill()
    assert first.wait() == -signal.SIGKILL
    first.stdout.close()
    assert len(workers) == 1
    assert gone(workers), "a worker must notice that its run was killed"
    assert not (out / "wide.csv").exists()
    known = {path: path.stat().st_mtime_ns for path in (out / "journal").glob("*.case")}
    assert 1 <= len(known) < CASES

    second = start(tmp_path, "1")
    wait_for_cases(out, len(known), second)
    (worker,) = workers_of(second)
    os.kill(worker, signal.SIGKILL)
    told, _ = second.communicate()
    assert second.returncode == 0, told
    assert f"{CASES} of {CASES} cases measured" in told
    assert known == {path: path.stat().st_mtime_ns for path in known}, "measured twice"
    base = sqlite3.connect(out / "state.sqlite")
    tries = [row[0] for row in base.execute("SELECT attempts FROM cases ORDER BY attempts")]
    base.close()
    assert tries[-1] == 2, "the case of the killed worker is begun once more"
    assert tries.count(2) == 1

    job = Job((parse_config(CONFIG),), uncertainty=True)
    run_cohort(read_manifest(manifest), tmp_path / "whole", job=job, runner=Here())
    assert contents(out) == contents(tmp_path / "whole")

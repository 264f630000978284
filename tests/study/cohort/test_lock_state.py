"""One run at a time holds a folder; what happened there is history that may be lost."""

import os
import signal
import sqlite3
import subprocess
import sys

import pytest

from vesalius.errors import OutputError
from vesalius.study.cohort import CaseResult
from vesalius.study.cohort._lock import LOCK, only_one
from vesalius.study.cohort._state import FILE, Cost, State, costs_in

HOLD = """
import fcntl, os, sys, time
file = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
fcntl.flock(file, fcntl.LOCK_EX)
os.write(file, f"{os.getpid()}\\n".encode())
print("held", flush=True)
time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the folder."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / LOCK)], stdout=subprocess.PIPE
    )
    assert process.stdout.readline() == b"held\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_a_folder_that_another_process_holds_is_refused_with_its_number(tmp_path, holder):
    with (
        pytest.raises(OutputError, match=f"one run at a time, process {holder.pid} is writing"),
        only_one(tmp_path),
    ):
        pass


def test_a_killed_holder_leaves_nothing_locked(tmp_path, holder):
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    with only_one(tmp_path):
        assert (tmp_path / LOCK).read_text() == f"{os.getpid()}\n"


def test_a_folder_is_free_after_use(tmp_path):
    for _ in range(2):
        with only_one(tmp_path):
            pass


def test_a_folder_that_cannot_hold_a_lock_is_refused(tmp_path):
    (tmp_path / LOCK).mkdir()
    with pytest.raises(OutputError, match="must be writable, it is not"), only_one(tmp_path):
        pass


def rows(out, query):
    base = sqlite3.connect(out / FILE)
    try:
        return base.execute(query).fetchall()
    finally:
        base.close()


def begun(out, names=("a", "b")):
    state = State(out)
    state.begin(names, 42)
    return state


DONE = CaseResult("a", "done", attempts=2, seconds=3.0, cpu_seconds=2.0, peak_bytes=9, voxels=8)


def test_cases_wait_until_they_are_settled(tmp_path):
    state = begun(tmp_path)
    assert rows(tmp_path, 'SELECT "case", status FROM cases ORDER BY place') == [
        ("a", "waiting"),
        ("b", "waiting"),
    ]
    state.settle(DONE, key="k")
    state.end()
    query = "SELECT status, key, attempts, cached, seconds, peak_bytes FROM cases WHERE key = 'k'"
    assert rows(tmp_path, query) == [("done", "k", 2, 0, 3.0, 9)]


def test_a_case_from_the_journal_keeps_what_it_took(tmp_path):
    state = begun(tmp_path)
    state.settle(DONE, key="k")
    state.end()
    state = begun(tmp_path)
    state.settle(CaseResult("a", "done", attempts=0), key="k", cached=True)
    state.end()
    assert rows(tmp_path, "SELECT cached, seconds FROM cases WHERE key = 'k'") == [(1, 3.0)]


def test_cases_that_left_the_manifest_leave_the_state(tmp_path):
    begun(tmp_path).end()
    begun(tmp_path, ("b", "c")).end()
    assert rows(tmp_path, 'SELECT "case" FROM cases ORDER BY place') == [("b",), ("c",)]
    assert rows(tmp_path, "SELECT run, pid, cases FROM runs") == [(1, 42, 2), (2, 42, 2)]


def test_costs_are_told_by_kind(tmp_path):
    state = begun(tmp_path)
    state.learn(DONE, key="k", kind="ct")
    assert state.costs("ct") == (Cost(8, 2.0, 9),)
    assert state.costs("pet") == ()
    state.end()
    assert costs_in(tmp_path, "ct") == (Cost(8, 2.0, 9),)
    assert costs_in(tmp_path / "absent", "ct") == ()


def test_it_is_written_ahead_so_that_others_may_read_meanwhile(tmp_path):
    state = begun(tmp_path)
    assert rows(tmp_path, "PRAGMA journal_mode") == [("wal",)]
    state.end()


@pytest.mark.parametrize("damage", ["text", "cut", "other tables"])
def test_a_damaged_state_is_begun_anew(tmp_path, damage):
    state = begun(tmp_path)
    state.settle(DONE, key="k")
    state.end()
    path = tmp_path / FILE
    if damage == "text":
        path.write_bytes(b"no data base" * 1000)
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[:5000])
    else:
        path.unlink()
        base = sqlite3.connect(path)
        base.execute("CREATE TABLE cases (x)")
        base.close()
    state = begun(tmp_path)
    state.settle(DONE, key="k")
    state.end()
    assert rows(tmp_path, 'SELECT "case", status FROM cases ORDER BY place') == [
        ("a", "done"),
        ("b", "waiting"),
    ]


def test_costs_of_a_damaged_state_are_none(tmp_path):
    (tmp_path / FILE).write_bytes(b"no data base" * 1000)
    assert costs_in(tmp_path, "ct") == ()


def test_a_state_that_another_program_locks_is_not_thrown_away(tmp_path, monkeypatch):
    begun(tmp_path).end()
    base = sqlite3.connect(tmp_path / FILE)
    base.execute("PRAGMA locking_mode = EXCLUSIVE")
    base.execute("BEGIN EXCLUSIVE")
    monkeypatch.setattr("vesalius.study.cohort._state.WAIT_S", 0.01)
    try:
        with pytest.raises(OutputError, match="must be free, another program has locked it"):
            State(tmp_path)
    finally:
        base.close()
    assert rows(tmp_path, "SELECT cases FROM runs") == [(2,)]


def test_a_state_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / FILE).mkdir()
    with pytest.raises(OutputError, match="must be writable in the output folder, it is not"):
        State(tmp_path)

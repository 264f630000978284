"""A worker that dies costs its case alone; nothing is left running."""

import os
import signal
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from vesalius.errors import ConfigError
from vesalius.study.cohort import CaseOrder, PoolRunner, usable_cores

STAND_IN = Path(__file__).parent.parent / "cohort_stand_in.py"


@pytest.fixture
def python(tmp_path):
    """An interpreter whose worker does what the name of a case says."""
    path = tmp_path / "python"
    path.write_text(f"#!/bin/sh\nexec {sys.executable} -S {STAND_IN}\n")
    path.chmod(0o755)
    return str(path)


def orders(tmp_path, *names):
    return [CaseOrder(name, name, "i", "l", str(tmp_path), "{}", "c") for name in names]


def run(python, tmp_path, *names, workers=1, **given):
    pool = PoolRunner(workers, python=python, **given)
    return {one.case: one for one in pool.run(orders(tmp_path, *names))}


def children():
    return {child.pid for child in psutil.Process().children()}


def test_every_case_comes_back_once(python, tmp_path):
    names = [f"case{k}" for k in range(20)]
    found = run(python, tmp_path, *names, workers=3)
    assert sorted(found) == sorted(names)
    assert {one.ended for one in found.values()} == {"done"}
    assert {one.attempts for one in found.values()} == {1}


def test_a_worker_measures_many_cases(python, tmp_path):
    found = run(python, tmp_path, *(f"case{k}" for k in range(10)), workers=1)
    assert len({one.detail for one in found.values()}) == 1


def test_several_workers_share_the_cases(python, tmp_path):
    found = run(python, tmp_path, *(f"slow{k}" for k in range(4)), workers=2)
    assert len({one.detail for one in found.values()}) == 2


def test_a_case_that_kills_its_worker_is_begun_twice_and_no_other_is_lost(python, tmp_path):
    found = run(python, tmp_path, "a", "die", "b", "c")
    assert {name for name, one in found.items() if one.ended == "done"} == {"a", "b", "c"}
    lost = found["die"]
    assert (lost.ended, lost.attempts) == ("died", 2)
    assert lost.cause == (
        "its process was ended by signal SIGKILL, each time it was measured; "
        "the system does so where memory runs out"
    )
    assert lost.detail.startswith("after 0.")


def test_the_cause_of_a_death_is_the_same_in_every_run(python, tmp_path):
    assert len({run(python, tmp_path, "die", "exit")["die"].cause for _ in range(2)}) == 1


def test_a_case_whose_worker_is_killed_once_is_measured(python, tmp_path):
    found = run(python, tmp_path, "die-once", "a")
    assert (found["die-once"].ended, found["die-once"].attempts) == ("done", 2)
    assert (found["a"].ended, found["a"].attempts) == ("done", 1)


def test_a_worker_that_leaves_by_itself_is_told_with_its_code(python, tmp_path):
    found = run(python, tmp_path, "exit", "a")
    assert "was ended by itself with exit code 7" in found["exit"].cause
    assert found["exit"].detail.endswith("its last words: OSError: no space")
    assert found["a"].ended == "done"


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_memory_of_a_worker_that_is_killed_is_told(python, tmp_path):
    found = run(python, tmp_path, "sleep", timeout_s=0.5)
    assert found["sleep"].peak_bytes > 1 << 20
    assert "MB of memory" in found["sleep"].detail


def test_a_case_that_takes_too_long_is_ended_and_not_begun_again(python, tmp_path):
    begun = time.monotonic()
    found = run(python, tmp_path, "sleep", "a", timeout_s=0.3)
    assert time.monotonic() - begun < 10
    assert (found["sleep"].ended, found["sleep"].attempts) == ("died", 1)
    assert found["sleep"].cause == "took longer than the 0.3 s that a case may take"
    assert found["a"].ended == "done"


def test_orders_are_taken_only_as_there_is_room(python, tmp_path):
    taken = []

    def lazily():
        for order in orders(tmp_path, *(f"slow{k}" for k in range(6))):
            taken.append(order.case)
            yield order

    results = PoolRunner(1, python=python).run(lazily())
    next(results)
    assert len(taken) <= 2
    results.close()


def test_no_order_starts_no_process(tmp_path):
    assert list(PoolRunner(2, python=str(tmp_path / "absent")).run([])) == []


def test_nothing_runs_after_the_end(python, tmp_path):
    before = children()
    run(python, tmp_path, "a", "die", "sleep", timeout_s=0.2)
    assert children() == before


def test_a_run_that_is_given_up_ends_its_workers(python, tmp_path):
    before = children()
    results = PoolRunner(2, python=python).run(iter(orders(tmp_path, "a", "sleep", "sleep2")))
    next(results)
    assert len(children() - before) >= 1
    results.close()
    assert children() == before


def test_an_error_while_orders_are_made_reaches_the_caller(python, tmp_path):
    def broken():
        yield from orders(tmp_path, "a", "sleep")
        raise ConfigError("no more")

    with pytest.raises(ConfigError, match="no more"):
        list(PoolRunner(2, python=python).run(broken()))


def test_a_worker_that_cannot_start_is_told(tmp_path):
    path = tmp_path / "python"
    path.write_text("#!/bin/sh\necho no such module >&2\nexit 3\n")
    path.chmod(0o755)
    told = "a worker must start to measure, it ended by itself with exit code 3; .*: no such module"
    with pytest.raises(RuntimeError, match=told):
        list(PoolRunner(1, python=str(path)).run(orders(tmp_path, "a")))


def test_no_file_stays_open(python, tmp_path):
    before = psutil.Process().num_fds()
    run(python, tmp_path, "a", "die", "exit", "b", workers=2)
    assert psutil.Process().num_fds() <= before


def test_no_workers_and_negative_times_are_refused():
    with pytest.raises(ConfigError, match="workers must be at least 1, got 0"):
        PoolRunner(0)
    with pytest.raises(ConfigError, match=r"time for a case must not be negative, got -1\.0 s"):
        PoolRunner(1, -1.0)


def test_cores_are_those_that_this_process_may_use():
    assert 1 <= usable_cores() <= (os.cpu_count() or 1)


def test_no_thread_is_left(python, tmp_path):
    run(python, tmp_path, "a", "b", workers=2)
    time.sleep(0.3)
    names = [thread.name for thread in threading.enumerate()]
    assert not [name for name in names if "_lead" in name or "_watch" in name]


def test_an_interrupt_ends_the_workers(python, tmp_path):
    before = children()
    threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        run(python, tmp_path, "sleep", "sleep2", workers=2)
    assert children() == before

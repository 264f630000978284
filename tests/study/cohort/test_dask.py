"""Cases measured on a Dask scheduler: the same bytes, and nothing lost with a worker."""

import json
import os
import signal
import socket
import sys
import time
from contextlib import contextmanager

import pytest
from cohort_cases import Here, contents, quick_job, write_cohort, write_scan

from vesalius.errors import ConfigError, ExtraError, NetworkError
from vesalius.study.cohort import DaskRunner, read_manifest, run_cohort
from vesalius.study.cohort._dask import _check_workers, describe_worker, measure_line
from vesalius.study.cohort._job import prepare
from vesalius.study.cohort._journal import is_recorded
from vesalius.study.cohort._runner import result_of

NOWHERE = "tcp://127.0.0.1:9"


@contextmanager
def cluster(workers, *, processes=False, threads=1):
    """Start a scheduler of this machine; its workers are threads of this process, or processes."""
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=workers,
        threads_per_worker=threads,
        processes=processes,
        dashboard_address="127.0.0.1:0",
        protocol="tcp",
        silence_logs="CRITICAL",
    ) as made:
        yield made


@pytest.fixture(scope="module")
def near():
    """A worker that is a thread of this process."""
    with cluster(1) as made:
        yield made


def orders_of(folder, count=1):
    """Give orders of small scans and the journal that they go to."""
    journal = folder / "journal"
    journal.mkdir()
    manifest = read_manifest(write_cohort(folder, count))
    return [prepare(case, quick_job(), journal).order for case in manifest.cases], journal


def until(ready, limit_s=30.0):
    end = time.monotonic() + limit_s
    while not ready():
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.02)


class _Client:
    """Stands in for a client of Dask whose workers say what a test wants."""

    def __init__(self, **said):
        self.said = said
        self.threads = 1

    def run(self, function, *given, on_error):
        assert on_error == "return"
        return {"tcp://w:1": function(*given)} | self.said

    def nthreads(self):
        return dict.fromkeys(["tcp://w:1", *self.said], self.threads)


def test_a_cohort_is_the_same_bytes_as_in_this_process(near, tmp_path):
    manifest = read_manifest(write_cohort(tmp_path, 3))
    run_cohort(manifest, tmp_path / "here", job=quick_job(), runner=Here())
    runner = DaskRunner(near.scheduler_address)
    done = run_cohort(manifest, tmp_path / "there", job=quick_job(), runner=runner)
    assert done.complete
    assert contents(tmp_path / "here") == contents(tmp_path / "there")
    again = run_cohort(manifest, tmp_path / "there", job=quick_job(), runner=DaskRunner(NOWHERE))
    assert again.cached == 3  # no scheduler is asked for what is known


def test_a_typed_error_is_a_result(near, tmp_path):
    write_scan(tmp_path, "scan0", seed=0)
    (tmp_path / "scan1.nii.gz").write_bytes(b"broken")
    (order, broken), journal = orders_of(tmp_path, 2)
    (tmp_path / "scan1.nii.gz").write_bytes(b"broken")
    found = {r.case: r for r in DaskRunner(near.scheduler_address).run([order, broken])}
    assert found["P00"].ended == "done"
    assert found["P01"].ended == "failed"
    assert found["P01"].cause.startswith("FormatError: ")
    assert is_recorded(journal, order.key)
    assert [path.name for path in journal.glob(".seen*")] == []


def test_an_order_of_another_code_is_refused_where_it_arrives(tmp_path):
    (order,), _ = orders_of(tmp_path)
    text = json.dumps(json.loads(order.to_text()) | {"code": "older"})
    result = result_of(measure_line(text))
    assert result.ended == "failed"
    assert "ConfigError: a case must be measured by one code" in result.cause


def test_orders_are_taken_only_as_there_is_room(near, tmp_path):
    orders, _ = orders_of(tmp_path, 6)
    taken = []

    def lazily():
        for order in orders:
            taken.append(order.case)
            yield order

    found = DaskRunner(near.scheduler_address).run(lazily())
    assert next(found).ended == "done"
    assert len(taken) <= 3
    assert len(list(found)) == 5


def test_a_run_that_is_given_up_leaves_no_case_at_the_scheduler(near, tmp_path):
    orders, _ = orders_of(tmp_path, 4)
    found = DaskRunner(near.scheduler_address).run(orders)
    next(found)
    found.close()
    until(lambda: not [key for key in near.scheduler.tasks if "vesalius" in str(key)])


def test_nothing_to_measure_needs_no_scheduler():
    assert list(DaskRunner(NOWHERE).run([])) == []


@pytest.mark.parametrize("address", [NOWHERE, "tcp://no.such.host.invalid:8786", "nonsense"])
def test_a_scheduler_that_cannot_be_reached_is_told_in_seconds(tmp_path, address):
    orders, _ = orders_of(tmp_path)
    begun = time.monotonic()
    with pytest.raises(NetworkError, match="a Dask scheduler must answer at"):
        list(DaskRunner(address, connect_s=0.3).run(orders))
    assert time.monotonic() - begun < 10


def test_a_port_at_which_something_else_listens_is_told(tmp_path):
    orders, _ = orders_of(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        address = f"tcp://127.0.0.1:{mute.getsockname()[1]}"
        with pytest.raises(NetworkError, match="a Dask scheduler must answer at"):
            list(DaskRunner(address, connect_s=0.5).run(orders))


def test_a_scheduler_without_workers_is_told(tmp_path):
    orders, _ = orders_of(tmp_path)
    with (
        cluster(0) as made,
        pytest.raises(NetworkError, match=r"must have workers, .* has had none for 0.2 s"),
    ):
        list(DaskRunner(made.scheduler_address, workers_s=0.2).run(orders))


def test_workers_that_measure_the_same_here_are_accepted(tmp_path):
    client = _Client()
    _check_workers(client, tmp_path)
    assert list(tmp_path.iterdir()) == []


def told(journal, *, folder="", **other):
    """Give what a worker says of itself, changed."""
    (journal / "seen").touch()
    found = json.loads(describe_worker(str(journal), "seen"))
    return json.dumps({"versions": found["versions"] | other, "folder": folder or found["folder"]})


def test_a_worker_says_what_measures_there(tmp_path):
    found = json.loads(told(tmp_path))
    assert set(found["versions"]) == {"vesalius", "code", "numpy", "scipy", "numba", "torch"}
    assert found["folder"] == ""
    assert json.loads(describe_worker(str(tmp_path), "gone"))["folder"] == "does not see it"


@pytest.mark.parametrize(
    ("other", "match"),
    [
        ({"vesalius": "0.0.1"}, "tcp://w:2 has vesalius 0.0.1 and this machine"),
        ({"code": "abc"}, "tcp://w:2 has the code of vesalius abc and this machine"),
        ({"torch": "1.0"}, "tcp://w:2 has torch 1.0 and this machine"),
    ],
)
def test_workers_of_another_version_are_refused_by_name(tmp_path, other, match):
    client = _Client(**{"tcp://w:2": told(tmp_path, **other)})
    with pytest.raises(ConfigError, match=match):
        _check_workers(client, tmp_path)


def test_a_worker_without_vesalius_is_refused(tmp_path):
    client = _Client(**{"tcp://w:2": ModuleNotFoundError("No module named 'vesalius'")})
    with pytest.raises(ConfigError, match=r"must have vesalius, tcp://w:2 cannot run it \(Module"):
        _check_workers(client, tmp_path)


def test_a_worker_on_another_disk_is_refused(tmp_path):
    client = _Client(**{"tcp://w:2": told(tmp_path, folder="does not see it")})
    with pytest.raises(ConfigError, match=r"must share the file system .* tcp://w:2 does not see"):
        _check_workers(client, tmp_path)


def test_a_worker_with_several_threads_is_refused(tmp_path):
    client = _Client()
    client.threads = 4
    with pytest.raises(ConfigError, match="a worker must have one thread, tcp://w:1 has 4"):
        _check_workers(client, tmp_path)


@pytest.mark.parametrize("times", [(0.0, 1.0), (1.0, -1.0), (float("nan"), 1.0)])
def test_times_to_wait_are_positive(times):
    with pytest.raises(ConfigError, match="times to wait must be positive"):
        DaskRunner(NOWHERE, *times)


def test_without_dask_the_extra_is_named(tmp_path, monkeypatch):
    orders, _ = orders_of(tmp_path)
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ExtraError, match=r"pip install 'vesalius\[cluster\]'"):
        list(DaskRunner(NOWHERE).run(orders))


def test_a_scheduler_that_is_lost_is_told_and_what_was_measured_is_kept(tmp_path):
    orders, journal = orders_of(tmp_path, 2)
    with cluster(1) as made:

        def closing():
            yield orders[0]
            until(lambda: is_recorded(journal, orders[0].key))
            made.close()
            yield orders[1]

        with pytest.raises(NetworkError, match="the scheduler must stay up while cases"):
            list(DaskRunner(made.scheduler_address, connect_s=1.0).run(closing()))
    assert is_recorded(journal, orders[0].key)


def send(made, sign):
    for worker in made.workers.values():
        os.kill(worker.pid, sign)


def killing(made, orders):
    """Give orders; kill the worker that has the second of them before it can begin."""
    yield orders[0]
    send(made, signal.SIGSTOP)  # the workers were looked at: nobody waits for them
    yield orders[1]
    key = f"vesalius-{orders[1].key}"

    def holder():
        found = [t for t in made.scheduler.tasks.values() if str(t.key).startswith(key)]
        return found[0].processing_on if found else None

    until(holder)
    (doomed,) = [w for w in made.workers.values() if w.worker_address == holder().address]
    os.kill(doomed.pid, signal.SIGKILL)
    for worker in made.workers.values():
        if worker is not doomed:
            os.kill(worker.pid, signal.SIGCONT)
    yield from orders[2:]


@pytest.mark.slow
def test_a_killed_worker_costs_no_case_and_one_that_kills_its_workers_is_told(tmp_path):
    orders, journal = orders_of(tmp_path, 5)
    with cluster(2, processes=True) as made:
        runner = DaskRunner(made.scheduler_address)
        found = list(runner.run(killing(made, orders[:3])))
        assert {(r.case, r.ended) for r in found} == {(f"P0{k}", "done") for k in range(3)}
        assert all(is_recorded(journal, order.key) for order in orders[:3])

        made.scheduler.allowed_failures = 0
        until(lambda: len(made.scheduler.workers) == 2)
        lost = {r.case: r for r in runner.run(killing(made, orders[3:]))}["P04"]
    assert (lost.ended, lost.attempts) == ("died", 1)
    assert lost.cause.startswith("its worker was lost each time it was measured")
    assert lost.detail.startswith("1 workers, the last was tcp://")
    assert not is_recorded(journal, orders[4].key)

"""Flower: real processes on this machine train what one process trains, and call nobody else."""

import contextlib
import json
import os
import queue
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
from made_tables import made

from vesalius.errors import ConfigError, ExtraError, FormatError, NetworkError
from vesalius.predict import Target
from vesalius.predict import _flower as flower
from vesalius.predict.federate import Client, Link, Plan, federated_fit, join, serve, train
from vesalius.predict.models import load_model

pytest.importorskip("flwr", reason="needs the extra fed")

COMMAND = """
import sys
def heard(event, args):
    if event.startswith(("socket.connect", "socket.getaddrinfo", "urllib.")):
        with open(sys.argv[1], "a") as file:
            print(event, args, file=file)
sys.addaudithook(heard)
from vesalius.cli import main
main(sys.argv[2:])
"""
"""The command line, with every call that Python makes to a network written down."""

SERVES = """
import sys
from vesalius.errors import NetworkError
from vesalius.predict.federate import Link, Plan, serve, train
try:
    serve(lambda ask: train(ask, Plan()), clients=2, link=Link(sys.argv[1], 60.0))
except NetworkError as error:
    print(error)
    sys.exit(7)
"""
"""A server without the command line, which takes less time to start."""

LEAVES = """
import os, sys
sys.path.insert(0, sys.argv[2])
from made_tables import made
from vesalius.predict import Target
from vesalius.predict.federate import Client, Link, join
table, target = made(60, 3, seed=1)
client = Client("b", table, Target("binary", target.values, ("0", "1")))
link = Link(sys.argv[1], 60.0)
join(client, link=link, on_message=lambda name, m: os._exit(9) if m.ask == "squares" else None)
"""
"""A hospital whose machine dies during a training."""


def free_port():
    """Give a port that nobody listens at."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def started(arguments, folder):
    """Start a process that has its own home, one core, and no telemetry settings of ours."""
    folder.mkdir(exist_ok=True)
    kept = {k: v for k, v in os.environ.items() if not k.startswith("FLWR")}
    home = {"HOME": str(folder / "home"), "OMP_NUM_THREADS": "1"}
    out = (folder / "log.txt").open("w")
    return subprocess.Popen(
        [sys.executable, "-c", *arguments],
        cwd=folder,
        env=kept | home,
        stdout=out,
        stderr=subprocess.STDOUT,
    )


def together(commands, seconds=90):
    """Run processes until all have ended; give their exit codes and whom they talked to."""
    running = [started(arguments, folder) for arguments, folder in commands]
    partners = set()
    until = time.monotonic() + seconds
    try:
        while any(one.poll() is None for one in running):
            assert time.monotonic() < until, [
                f.joinpath("log.txt").read_text() for _, f in commands
            ]
            partners |= set().union(*(remote(one.pid) for one in running))
            time.sleep(0.1)
    finally:
        for one in running:
            one.kill()
            one.wait()
    return [one.returncode for one in running], partners


def logs_of(commands):
    """Give what each process said."""
    return [folder.joinpath("log.txt").read_text() for _, folder in commands]


def remote(pid):
    """Give the addresses at the other end of a process's connections."""
    try:
        found = psutil.Process(pid).net_connections(kind="inet")
    except psutil.Error:
        return set()
    return {one.raddr.ip.removeprefix("::ffff:") for one in found if one.raddr}


def csv_of(table, target, path):
    """Write a hospital's table as it lies there."""
    frame = table.columns[["patient"]].assign(
        **dict(zip(table.features, table.values.T, strict=True))
    )
    frame.assign(event=target.values.astype(int)).to_csv(path, index=False)


@pytest.fixture
def tables(tmp_path):
    """Two hospitals, each with a file in a folder of its own."""
    parts = {"a": made(60, 3), "b": made(70, 3, seed=1)}
    for name, (table, target) in parts.items():
        (tmp_path / name).mkdir()
        csv_of(table, target, tmp_path / name / f"{name}.csv")
    return parts


def certificates(folder):
    """Make an authority and a certificate for this machine, good for an hour."""
    import datetime
    import ipaddress

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    def named(text):
        return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])

    def made_for(name, key, issuer, signer, *, authority):
        now = datetime.datetime.now(datetime.UTC)
        here = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
        builder = x509.CertificateBuilder().subject_name(named(name)).issuer_name(named(issuer))
        builder = builder.public_key(key.public_key()).serial_number(x509.random_serial_number())
        builder = builder.not_valid_before(now - datetime.timedelta(minutes=5))
        builder = builder.not_valid_after(now + datetime.timedelta(hours=1))
        basic = x509.BasicConstraints(ca=authority, path_length=None)
        builder = builder.add_extension(basic, critical=True).add_extension(here, critical=False)
        return builder.sign(signer, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    root, own = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    secret = own.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    texts = {
        "root.pem": made_for("authority", root, "authority", root, authority=True),
        "server.pem": made_for("server", own, "authority", root, authority=False),
        "server.key": secret,
    }
    for name, text in texts.items():
        (folder / name).write_bytes(text)
    return {name: str(folder / name) for name in texts}


@pytest.mark.slow
def test_three_processes_train_what_one_process_trains_bit_for_bit(tables, tmp_path):
    """Encrypted and masked; each process has its own file, its own home and the command line."""
    address = f"127.0.0.1:{free_port()}"
    files = certificates(tmp_path)
    own = ["--certificate", files["server.pem"], "--key", files["server.key"], "--secure"]
    common = ["--outcome", "event", "--address", address, "--timeout", "60"]
    common += ["--authority", files["root.pem"]]
    verbs = ["predict", "federate"]
    server = [*verbs, "serve", "-o", "out", *common, *own]
    seen = str(tmp_path / "calls.txt")
    commands = [([COMMAND, seen, *server], tmp_path / "server")]
    for name in tables:
        words = ["join", f"{name}.csv", "--case", "patient", "-o", "left", *common]
        commands.append(([COMMAND, seen, *verbs, *words], tmp_path / name))
    codes, partners = together(commands)
    logs = logs_of(commands)
    assert codes == [0, 0, 0], logs

    clients = [Client(name, table, target) for name, (table, target) in tables.items()]
    reference = federated_fit(clients, Plan(secure=True))
    model = load_model(tmp_path / "server" / "out")
    assert model.fitted.estimator.weights_.tobytes() == reference.weights.tobytes()
    assert model.fitted.estimator.intercepts_.tolist() == [reference.offset]
    table = tables["a"][0]
    np.testing.assert_allclose(model.fitted.predict(table)[:, 0], reference.predict(table))
    told = json.loads((tmp_path / "server" / "out" / "federation.json").read_text())
    assert told["rounds"] == reference.rounds

    # nobody else was called, nothing was written into a home, and every answer was listed
    assert partners == {"127.0.0.1"}
    called = Path(seen).read_text().splitlines() if Path(seen).exists() else []
    assert all("127.0.0.1" in one or "localhost" in one or ".sock" in one for one in called), called
    assert not any((folder / "home" / ".flwr").exists() for _, folder in commands)
    left = (tmp_path / "a" / "left" / "left.csv").read_text().splitlines()
    assert left[0] == "answer,array,shape,type"
    assert "gradient,gradient,4x2,<u8" in left
    assert not any(line.endswith("<f8") for line in left)
    assert len(left) > 2 * reference.rounds


@pytest.mark.slow
def test_a_hospital_that_dies_ends_the_training_with_the_reason(tmp_path):
    """The server and the one that dies are processes; the other hospital is this one."""
    address = f"127.0.0.1:{free_port()}"
    running = [
        started([SERVES, address], tmp_path / "server"),
        started([LEAVES, address, str(Path(__file__).parent)], tmp_path / "b"),
    ]
    table, target = made(60, 3)
    client = Client("a", table, Target("binary", target.values, ("0", "1")))
    try:
        answered = join(client, link=Link(address, timeout_s=60.0))
        codes = [one.wait(timeout=60) for one in running]
    finally:
        for one in running:
            one.kill()
            one.wait()
    told = (tmp_path / "server" / "log.txt").read_text()
    assert codes == [7, 9], told
    assert "every client must stay until the end, one left before it answered 'squares'" in told
    assert answered == 4  # hello, counts, moments, squares: then it was sent home


def test_hospitals_that_do_not_come_are_not_waited_for():
    from flwr.server import SimpleClientManager

    with pytest.raises(NetworkError, match="2 clients must come, 0 came in 1 s"):
        flower._channel(SimpleClientManager(), 2, 1.0)


def test_a_server_that_is_not_there_is_told():
    link = Link(f"127.0.0.1:{free_port()}", timeout_s=0.3)
    with pytest.raises(NetworkError, match="a server must listen at"):
        join(Client("a", *made(60, 3)), link=link)


@pytest.mark.slow
def test_something_else_that_listens_is_told():
    """What answers is no server of Flower: it hangs up on whoever comes."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        closing = threading.Event()

        def hang_up():
            listener.settimeout(0.2)
            while not closing.is_set():
                with contextlib.suppress(OSError):
                    listener.accept()[0].close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        try:
            link = Link(f"127.0.0.1:{listener.getsockname()[1]}", timeout_s=5.0)
            with pytest.raises(NetworkError, match=r"must be reached, .* came after 0 messages"):
                join(Client("a", *made(60, 3)), link=link)
        finally:
            closing.set()
            thread.join()


def test_an_answer_that_does_not_come_is_not_waited_for():
    with pytest.raises(NetworkError, match="every client must answer 'x' within"):
        flower._answer(queue.SimpleQueue(), 0.01, "x")


def test_a_client_that_is_gone_is_told():
    box = flower._started(lambda: 1 / 0)
    with pytest.raises(NetworkError, match="must stay until the end, one left before it answered"):
        flower._answer(box, 5.0, "x")


@pytest.mark.parametrize("tensors", [[], [b"a", b"b"]])
def test_refuses_an_answer_that_is_not_one_message(tensors):
    box = flower._started(lambda: SimpleNamespace(parameters=SimpleNamespace(tensors=tensors)))
    with pytest.raises(NetworkError, match=f"with one message, one sent {len(tensors)}"):
        flower._answer(box, 5.0, "x")


def test_refuses_an_answer_that_is_no_message():
    box = flower._started(lambda: SimpleNamespace(parameters=SimpleNamespace(tensors=[b"junk"])))
    with pytest.raises(FormatError, match="a message must begin with"):
        flower._answer(box, 5.0, "x")


@pytest.mark.parametrize(
    "address", ["", "9092", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:70000", "127.0.0.1:9\u00b2"]
)
def test_refuses_an_address_that_is_none(address):
    with pytest.raises(ConfigError, match="a link must have an address host:port"):
        Link(address)


@pytest.mark.parametrize("wait", [0.0, -1.0, float("nan"), float("inf")])
def test_refuses_a_wait_that_is_none(wait):
    with pytest.raises(ConfigError, match="and a positive timeout"):
        Link(timeout_s=wait)


@pytest.mark.parametrize("address", ["0.0.0.0:9092", "hospital.example:9092", "10.0.0.1:80"])
def test_refuses_to_leave_this_machine_without_encryption(address):
    with pytest.raises(ConfigError, match="a link that leaves this machine must be encrypted"):
        Link(address)
    assert Link(address, authority="root.pem").authority == "root.pem"


def test_refuses_a_certificate_that_is_no_file(tmp_path):
    link = Link("127.0.0.1:9092", authority=str(tmp_path / "none.pem"))
    with pytest.raises(ConfigError, match="a certificate must be a file"):
        serve(lambda ask: train(ask, Plan()), clients=2, link=link)


def test_refuses_to_serve_nobody():
    with pytest.raises(ConfigError, match="a training must have clients, got 0"):
        serve(lambda ask: train(ask, Plan()), clients=0, link=Link())


def test_says_which_extra_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "flwr", None)
    monkeypatch.setitem(sys.modules, "flwr.supercore", None)
    with pytest.raises(ExtraError, match=r"install vesalius\[fed\]"):
        join(Client("a", *made(60, 3)), link=Link())

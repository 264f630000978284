"""Damage by chance to valid files of every format: an image, or an error of ours; never long.

The readers are found by themselves, so that a new one is damaged from its first day. ``make fuzz``
does the same for longer, guided by what code an input reaches.
"""

import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from targets import ALIASES, CORPUS, SECONDS, Target, attempt, kept, targets
from vesalius.errors import VesaliusError
from vesalius.io._open import READERS

ROOT = Path(__file__).parent.parent.parent
WORDS = (b"-", b"9", b"nan", b"inf", b"1e400", b"\n", b" ", b"\0", b"\xff\xff\xff\xff", b"../", b"")
TARGETS = targets()
Damage = tuple[int, int, bytes]
# place, bytes taken out there, bytes put in: flips, cuts, insertions
damages = st.lists(
    st.tuples(
        st.one_of(st.integers(0, 600), st.integers(0, 4000)),
        st.one_of(st.integers(0, 12), st.integers(0, 4000)),
        st.one_of(st.binary(max_size=24), st.sampled_from(WORDS)),
    ),
    min_size=1,
    max_size=5,
)


def damaged(data: bytes, damage: list[Damage]) -> bytes:
    out = bytearray(data)
    for at, taken, put in damage:
        place = at % (len(out) + 1)
        out[place : place + taken] = put
    return bytes(out)


def test_every_reader_is_a_target() -> None:
    known = {f".{name}" for name in TARGETS} | set(ALIASES)
    assert set(READERS) <= known
    assert {"dcm", "rtstruct", "csa", "zip", "tar"} <= set(TARGETS)


@pytest.mark.parametrize("name", TARGETS)
def test_the_seeds_are_read(tmp_path: Path, name: str) -> None:
    said = [attempt(TARGETS[name], data, tmp_path) for data in TARGETS[name].seeds()]
    assert "" in said, said


@pytest.mark.parametrize("name", TARGETS)
@settings(max_examples=25, suppress_health_check=list(HealthCheck))
@given(which=st.integers(0, 9), damage=damages)
def test_damage_gives_an_image_or_an_error_of_ours(
    tmp_path: Path, name: str, which: int, damage: list[Damage]
) -> None:
    target = TARGETS[name]
    seeds = target.seeds()
    start = time.process_time()
    attempt(target, damaged(seeds[which % len(seeds)], damage), tmp_path)
    assert time.process_time() - start < SECONDS


@pytest.mark.parametrize("name", TARGETS)
def test_what_once_broke_a_reader_does_not_again(tmp_path: Path, name: str) -> None:
    for data in kept(TARGETS[name]):
        start = time.process_time()
        attempt(TARGETS[name], data, tmp_path)
        assert time.process_time() - start < SECONDS


def test_every_kept_input_belongs_to_a_target() -> None:
    names = [path.name for path in CORPUS.glob("*.hex")]
    strange = [n for n in names if not any(n.startswith(f"{name}-") for name in TARGETS)]
    assert not strange


def test_an_attempt_lets_strange_errors_through_and_cleans_up(tmp_path: Path) -> None:
    def run(data: bytes, folder: Path) -> None:
        (folder / "a").write_bytes(data)
        if data == b"ours":
            raise VesaliusError("a reason")
        if data == b"leak":
            raise VesaliusError(f"cannot read {folder}")
        raise KeyError("theirs")

    target = Target("x", lambda: [b""], run)
    assert attempt(target, b"ours", tmp_path) == "a reason"
    with pytest.raises(KeyError, match="theirs"):
        attempt(target, b"other", tmp_path)
    with pytest.raises(AssertionError, match="the error tells where the file lies"):
        attempt(target, b"leak", tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_the_guided_fuzzer_runs(tmp_path: Path) -> None:
    pytest.importorskip("atheris", reason="atheris has no wheel for this Python")
    command = [sys.executable, "fuzz/run.py", "--seconds", "1", "--out", str(tmp_path)]
    done = subprocess.run(
        [*command, "--target", "csa"],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        timeout=200,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("sound") == 1

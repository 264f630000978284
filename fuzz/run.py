"""Fuzz every reader for a while: atheris damages valid files, guided by what code they reach.

    python fuzz/run.py --seconds 30
    python fuzz/run.py --seconds 600 --target dcm --target tif

Each target gets its share of the time in a process of its own. It fails on any exception but
VesaliusError, on an input that takes more than 2 s of processor time, and above 1 GB of memory;
the input is then written to the folder of ``--out``. Keep it once it is mended, as hexadecimal
text: ``xxd -p fuzz-found/mha-crash-01234567 > fuzz/corpus/mha-what-it-was.hex``; the test suite and
the fuzzer start from there ever after.

atheris needs Python 3.12 or older; elsewhere ``tests/io/test_fuzz.py`` damages files by chance.
"""
# SPDX-License-Identifier: Apache-2.0

import argparse
import hashlib
import os
import re
import sys
import tempfile
import time
import traceback
from pathlib import Path

ROOM = Path(__file__).parent
INSTRUMENTED = ["vesalius", "nrrd"]
MEGABYTES = 1024
LONGEST_INPUT = 8192


def say(text: str) -> None:
    """Write a line at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Fuzz every reader.")
    parser.add_argument("--seconds", type=float, default=30.0, help="for all targets together")
    parser.add_argument("--target", action="append", default=[], help="only this one; repeatable")
    parser.add_argument("--out", type=Path, default=Path("fuzz-found"), help="folder of failures")
    parser.add_argument("--seed", type=int, default=0, help="0 draws another each time")
    return parser.parse_args()


def compiled() -> list[str]:
    """List modules outside the reading room, and those in it that numba compiles: left as is."""
    source = ROOM.parent / "src"
    found = []
    for path in sorted((source / "vesalius").rglob("*.py")):
        parts = path.relative_to(source).with_suffix("").parts
        if parts[1:2] != ("io",) or "kernel" in path.read_text(encoding="utf-8"):
            found.append(".".join(parts).removesuffix(".__init__"))
    return found


def fuzz(name: str, seconds: float, options: argparse.Namespace) -> int:
    """Fuzz one target in a child process, which writes what it says to a file of its own.

    Args:
        name: The target.
        seconds: How long.
        options: The command line.

    Returns:
        0 where nothing was found.
    """
    child = os.fork()
    if child == 0:
        try:
            _redirect(options.out / f"{name}.log")
            _fuzz_here(name, seconds, options)
        except Exception:
            traceback.print_exc()
        finally:
            os._exit(99)  # libFuzzer ends the process itself where all is well
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _redirect(log: Path) -> None:
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)


def _fuzz_here(name: str, seconds: float, options: argparse.Namespace) -> None:
    import atheris

    import targets

    target = targets.targets()[name]
    base = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=options.here))
    (base / "seeds").mkdir()
    (base / "input").mkdir()
    for k, data in enumerate([*target.seeds(), *targets.kept(target)]):
        (base / "seeds" / str(k)).write_bytes(data)

    def one(data: bytes) -> None:
        start = time.process_time()
        try:
            targets.attempt(target, data, base / "input")
            took = time.process_time() - start
            assert took < targets.SECONDS, f"an input took {took:.1f} s"
        except BaseException:
            made = hashlib.sha256(data).hexdigest()[:8]
            (options.out / f"{name}-crash-{made}").write_bytes(data)
            raise

    limits = [f"-rss_limit_mb={MEGABYTES}", "-timeout=20", f"-max_len={LONGEST_INPUT}"]
    until = [f"-max_total_time={max(round(seconds), 1)}", f"-seed={options.seed}"]
    said = ["-verbosity=0", "-print_final_stats=1", f"-artifact_prefix={options.out}/{name}-"]
    atheris.Setup([sys.argv[0], *limits, *until, *said, str(base / "seeds")], one)
    atheris.Fuzz()


def report(name: str, code: int, options: argparse.Namespace) -> bool:
    """Say what became of a target, and tell whether it was sound."""
    log = (options.out / f"{name}.log").read_text(errors="replace")
    runs = re.search(r"number_of_executed_units: (\d+)", log)
    if code == 0:
        say(f"sound   {name:24} {runs[1] if runs else '?':>8} inputs")
        return True
    say(f"BROKEN  {name}: the input lies in the folder {options.out.name!r}")
    say("\n".join(log.splitlines()[-40:]))
    return False


def main() -> int:
    """Fuzz all targets, one after the other."""
    options = arguments()
    try:
        import atheris
    except ImportError:
        say("atheris must be installed to fuzz, and has no wheel above Python 3.12: skipped; run")
        say("pytest tests/io/test_fuzz.py")
        return 0
    tests = ROOM.parent / "tests" / "io"
    sys.path[:0] = [str(ROOM), str(tests), str(tests / "dicom")]
    options.out.mkdir(parents=True, exist_ok=True)
    os.environ["OMP_NUM_THREADS"] = "1"  # threads do not outlive a fork
    with atheris.instrument_imports(INSTRUMENTED, compiled(), enable_loader_override=False):
        import nrrd  # noqa: F401

        import targets
    known = targets.targets()
    names = options.target or list(known)
    quick = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=quick if quick.is_dir() else None) as here:
        options.here = here
        for name in names:
            # what is imported late is so imported once, before the processes part
            targets.attempt(known[name], known[name].seeds()[0], Path(here))
        share = options.seconds / len(names)
        sound = [report(name, fuzz(name, share, options), options) for name in names]
    return 0 if all(sound) else 1


if __name__ == "__main__":
    sys.exit(main())

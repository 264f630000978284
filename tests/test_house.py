"""The house itself: floors, sizes, words that must not appear, an oracle for every raise."""

import ast
import contextlib
import re
import subprocess
import tomllib
import warnings
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCES = sorted((ROOT / "src").rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("test_*.py"))
FLOORS = [
    {"cli", "app"},
    {"study"},
    {"predict"},
    {"measure"},
    {"reconstruct", "enhance", "register", "segment"},
    {"io"},
    {"physics", "learn", "graph"},
    {"core"},
    {"ops"},
    {"_version"},
    {"errors"},
]


def tracked() -> list[Path]:
    """Give every tracked text file."""
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listed.returncode != 0:
        pytest.skip("not a git checkout: nothing is tracked")
    files = [ROOT / line for line in listed.stdout.splitlines()]
    return [f for f in files if f.is_file() and f.suffix not in {".png", ".gz", ".npz"}]


def test_the_floors_are_held_by_one_contract_without_exceptions():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    (contract,) = settings["contracts"]
    layers = [
        {n.removeprefix("vesalius.") for n in re.split(r"\s*\|\s*", line)}
        for line in contract["layers"]
    ]
    assert contract["type"] == "layers"
    assert layers == FLOORS
    assert "ignore_imports" not in contract


def test_every_room_stands_on_a_floor():
    rooms = {p.parent.name for p in (ROOT / "src" / "vesalius").glob("*/__init__.py")}
    assert rooms <= set().union(*FLOORS)


def test_no_room_is_a_kind_of_code():
    names = {p.stem.strip("_") for p in SOURCES} | {p.parent.name for p in SOURCES}
    assert not names & {"utils", "util", "helpers", "common", "misc", "base", "tools"}


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT / "src")))
def test_a_file_says_what_it_is_for_and_stays_short(path):
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    assert ast.get_docstring(tree), "the first line must say what the file is for"
    assert "# SPDX-License-Identifier: Apache-2.0" in text.split("\n\nimport", 1)[0]
    assert text.count("\n") <= 600, "one idea each: split the file"
    assert not re.search(r"\b(TODO|FIXME|XXX|NotImplementedError)\b", text)
    assert "from __future__ import annotations" not in text
    assert not re.search(r"^\s*(import pickle|import joblib|from joblib)", text, re.MULTILINE)


def functions(path: Path) -> list[tuple[ast.FunctionDef, bool]]:
    """Give each function of a file, and whether it is a compiled loop."""
    nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    found = [node for node in nodes if isinstance(node, ast.FunctionDef)]
    return [(f, any("kernel" in ast.unparse(d) for d in f.decorator_list)) for f in found]


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT / "src")))
def test_functions_are_short(path):
    for function, is_kernel in functions(path):
        body = function.body[1:] if ast.get_docstring(function) else function.body
        lines = body[-1].end_lineno - body[0].lineno + 1 if body else 0
        assert lines <= (90 if is_kernel else 50), f"{function.name}: {lines} lines"


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT / "src")))
def test_public_functions_take_few_parameters(path):
    """A command's options and the face of another library are what they are."""
    if {"cli", "compat"} & set(path.parts):
        return
    for function, is_kernel in functions(path):
        names = [a.arg for a in function.args.args + function.args.kwonlyargs]
        names = [n for n in names if n not in {"self", "cls"}]
        assert function.args.kwarg is None, f"{function.name}: no **kwargs pass-through"
        if not (is_kernel or function.name.startswith("_")):
            assert len(names) <= 7, f"{function.name}: {len(names)} parameters"


def test_no_machine_path_and_no_registry_host_is_tracked():
    words = [
        "/" + "work/",
        "/" + "root/",
        "/home/" + "[a-z]",
        "pypi" + r"\.org",
        "/opt/" + "wheels",
    ]
    pattern = re.compile("|".join(words))
    found = [
        f"{path.relative_to(ROOT)}: {line.strip()[:80]}"
        for path in tracked()
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines()
        if pattern.search(line)
    ]
    assert not found


def test_no_tracked_file_is_large_or_a_scan():
    # packaged weights may have 4 MB, in half precision
    found = [
        str(path.relative_to(ROOT))
        for path in tracked()
        if path.stat().st_size > (4_000_000 if path.suffix == ".safetensors" else 1_000_000)
        or re.search(r"\.(nii|nrrd|dcm|mha)(\.gz)?$", path.name)
    ]
    assert not found


def raised(path: Path) -> list[tuple[int, str]]:
    """Give line and constant text (joined by gaps) of each error raised in a file."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and node.exc.args:
            parts = constants(node.exc.args[0])
            if parts:
                found.append((node.lineno, "\x00".join(parts)))
    return found


def constants(node: ast.expr) -> list[str]:
    """Give the constant pieces of a string expression, in order."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return [node.value]
    if isinstance(node, ast.JoinedStr):
        return [v.value for v in node.values if isinstance(v, ast.Constant)]
    if isinstance(node, ast.BinOp):
        return constants(node.left) + constants(node.right)
    return []


def matches() -> list[str]:
    """Give every constant text that a test passes as ``match=`` (or asserts in an error)."""
    found = []
    for path in TESTS:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
    return found


def test_every_raise_has_a_test_that_names_its_message():
    """Each message must share a run of words with a string of the tests.

    Static and lenient on purpose: a string of at least six letters in any test that matches, as a
    pattern, inside the constant text of the message. It shows a raise that no test knows of.
    """
    patterns = []
    for text in {m for m in matches() if len(re.sub(r"[^A-Za-z]", "", m)) >= 6 and len(m) < 200}:
        with warnings.catch_warnings(), contextlib.suppress(re.error):
            warnings.simplefilter("ignore", FutureWarning)
            patterns.append(re.compile(text))
    missing = []
    for path in SOURCES:
        for line, message in raised(path):
            pieces = message.replace("\x00", " 0 ")
            if not any(p.search(pieces) or p.search(message) for p in patterns):
                missing.append(f"{path.relative_to(ROOT)}:{line}: {pieces[:70]!r}")
    assert not missing, "raise without a match= test:\n" + "\n".join(missing)


def test_numbers_of_decisions_are_unique_and_complete():
    names = sorted(p.name for p in (ROOT / "docs" / "adr").glob("0*.md"))
    assert [int(n[:4]) for n in names] == list(range(1, len(names) + 1))
    assert len(names) >= 8


def test_the_version_is_the_same_everywhere():
    from vesalius import __version__

    cited = re.search(r"^version: (.+)$", (ROOT / "CITATION.cff").read_text(), re.MULTILINE)
    assert cited is not None
    assert cited[1] == __version__

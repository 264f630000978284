"""The public names are pinned: what __all__ says, no more and no less."""

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import vesalius

ROOMS = sorted(p.parent.name for p in Path(vesalius.__file__).parent.glob("*/__init__.py"))
TOP = [
    "Grid",
    "Image",
    "Labels",
    "Transform",
    "__version__",
    "enhance",
    "io",
    "measure",
    "open",
    "predict",
    "reconstruct",
    "register",
    "save",
    "scan",
    "segment",
    "study",
]


def test_the_top_level_has_these_names():
    assert vesalius.__all__ == TOP
    assert len(vesalius.__all__) <= 20


@pytest.mark.parametrize("name", TOP)
def test_each_top_level_name_can_be_reached(name):
    assert getattr(vesalius, name) is not None


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'surgery'"):
        vesalius.surgery  # noqa: B018


def test_dir_lists_the_public_names():
    assert dir(vesalius) == sorted(TOP)


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_has_at_most_25_names_that_exist(room):
    module = importlib.import_module(f"vesalius.{room}")
    names = list(getattr(module, "__all__", []))
    assert len(set(names)) == len(names)
    assert len(names) <= 25
    assert all(hasattr(module, name) for name in names)
    assert module.__doc__


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_has_no_logic_in_its_init(room):
    path = Path(vesalius.__file__).parent / room / "__init__.py"
    allowed = (ast.Expr, ast.Import, ast.ImportFrom, ast.Assign, ast.If)
    if room != "cli":  # the entry point of the command line is a function there
        assert all(isinstance(node, allowed) for node in ast.parse(path.read_text()).body)


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_documents_every_public_name(room):
    module = importlib.import_module(f"vesalius.{room}")
    for name in getattr(module, "__all__", []):
        thing = getattr(module, name)
        if callable(thing) and type(thing).__name__ in {"function", "type", "ABCMeta"}:
            assert thing.__doc__, name


def fresh(code: str) -> str:
    """Run code in a new process and give what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True
    )
    return done.stdout.strip()


def test_importing_the_package_imports_no_torch():
    assert fresh("import vesalius, sys; print('torch' in sys.modules)") == "False"


def test_the_help_of_the_command_line_imports_no_torch():
    code = (
        "import sys\nsys.argv = ['vesalius', '--help']\n"
        "from vesalius.cli import main\n"
        "try:\n    main()\nexcept SystemExit as stop:\n    assert not stop.code\n"
        "print('torch' in sys.modules)"
    )
    assert fresh(code).splitlines()[-1] == "False"

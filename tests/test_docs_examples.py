"""Every example in a docstring runs, and says what it says."""

import doctest
import importlib
import re
import tempfile
from pathlib import Path

import pytest

import vesalius

SOURCE = Path(vesalius.__file__).parent
WITH_EXAMPLES = sorted(
    path.relative_to(SOURCE.parent).with_suffix("").as_posix().replace("/", ".")
    for path in SOURCE.rglob("*.py")
    if ">>> " in path.read_text(encoding="utf-8")
)


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_docstring_examples_run(name):
    module = importlib.import_module(name.removesuffix(".__init__"))
    options = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    result = doctest.testmod(module, optionflags=options)
    assert result.attempted > 0
    assert result.failed == 0


ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
RUNNING = [
    ROOT / "docs" / "concepts" / f"{name}.md"
    for name in (
        "agreement",
        "federate",
        "harmonise",
        "instances",
        "predict",
        "segment",
        "survival",
        "train",
        "validate",
    )
]
CONFIGS = sorted((ROOT / "examples").glob("ibsi*/*.yaml"))


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_configurations_and_names_in_the_pages_are_valid(page):
    from vesalius.measure import parse_config

    text = page.read_text(encoding="utf-8")
    blocks = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    blocks += re.findall(r'parse_config\("""\n(.*?)"""\)', text, re.DOTALL)
    for block in blocks:
        assert parse_config(block).digest
    for code in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        compile(code, page.name, "exec")


@pytest.mark.parametrize("page", RUNNING, ids=lambda p: p.name)
def test_the_code_of_a_page_runs_from_top_to_bottom(page, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    blocks = re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    assert blocks
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, page.name, "exec"), names)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda p: f"{p.parent.name}/{p.name}")
def test_configurations_in_the_examples_are_valid(path):
    from vesalius.measure import load_config

    assert load_config(path).digest


def test_gallery_scripts_are_short_end_in_a_figure_and_need_no_data():
    scripts = sorted((ROOT / "examples").glob("*/plot_*.py"))
    assert len(scripts) >= 6
    for script in scripts:
        text = script.read_text(encoding="utf-8")
        code = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
        assert len(code) <= 60, script.name
        assert text.rstrip().endswith("plt.show()"), script.name
        assert not re.search(r"shared|https?://|urllib|requests", text), script.name

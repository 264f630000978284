"""Sphinx: four shelves (start, gallery, concepts, reference), built in `make docs`."""
# SPDX-License-Identifier: Apache-2.0

import os
import re
import sys
import warnings
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import matplotlib as mpl

mpl.use("Agg")

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from sphinx_gallery.sorting import ExplicitOrder  # noqa: E402

from vesalius import __version__  # noqa: E402

project = "vesalius"
author = "The vesalius founders"
project_copyright = "The vesalius founders, Apache-2.0"
release = version = __version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx.ext.mathjax",
    "sphinx_gallery.gen_gallery",
    "_tables",
]
exclude_patterns = [
    "_build",
    "reference/generated/_*",
    "gallery/**/*.py",
    "gallery/**/*.ipynb",
    "README.md",
]
source_suffix = {".rst": "restructuredtext", ".md": "markdown"}
suppress_warnings = ["config.cache"]

myst_enable_extensions = ["dollarmath", "colon_fence", "deflist"]
myst_heading_anchors = 3

autodoc_member_order = "groupwise"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
autoclass_content = "class"
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False

sphinx_gallery_conf = {
    "examples_dirs": ["../examples"],
    "gallery_dirs": ["gallery"],
    "filename_pattern": r"plot_",
    "ignore_pattern": r"(__init__|_style)\.py",
    "subsection_order": ExplicitOrder(
        [
            "../examples/measure",
            "../examples/io",
            "../examples/enhance",
            "../examples/physics",
            "../examples/reconstruct",
            "../examples/register",
            "../examples/segment",
            "../examples/predict",
            "*",
        ]
    ),
    "show_memory": False,
    "min_reported_time": 1e9,
    "show_signature": False,
    "download_all_examples": False,
    "remove_config_comments": True,
    "plot_gallery": True,
    "abort_on_example_error": False,
    "image_srcset": ["2x"],
    "reset_modules": ("matplotlib", "_style.style"),
}

html_theme = "furo"
html_title = "vesalius"
html_static_path = ["_static"]
html_css_files = ["vesalius.css"]
html_show_sourcelink = False
html_theme_options = {
    "light_css_variables": {
        "color-brand-primary": "#8a1c1c",
        "color-brand-content": "#8a1c1c",
    },
    "dark_css_variables": {
        "color-brand-primary": "#e08a6d",
        "color-brand-content": "#e08a6d",
    },
}

warnings.filterwarnings("ignore", message="FigureCanvasAgg is non-interactive")


def _escape_marks(app, what, name, obj, options, lines):
    """Escape what reStructuredText takes for markup in docstrings: |norms| and (coil, *shapes)."""
    for k, line in enumerate(lines):
        if not line.lstrip().startswith((">>>", "...")):
            parts = line.split("``")
            for at in range(0, len(parts), 2):
                bars = parts[at].replace("|", "\\|")
                parts[at] = re.sub(r"(?<![*\w\\])\*(?=\w+[^\w*])", r"\\*", bars)
            lines[k] = "``".join(parts)


def _escape_types(app, what, name, obj, options, lines):
    """Escape stars in the types of attributes, which napoleon writes as they stand."""
    for k, line in enumerate(lines):
        if line.startswith(":vartype"):
            lines[k] = line.replace(" *", " \\*").replace("'*", "'\\*")


def setup(app):
    """Tell Sphinx of what is done to docstrings before and after napoleon reads them."""
    app.connect("autodoc-process-docstring", _escape_marks, priority=100)
    app.connect("autodoc-process-docstring", _escape_types, priority=900)

"""Sphinx configuration of the documentation: `make site` builds it, without a network and with warnings as errors."""

import tomllib
from pathlib import Path

from pygments.lexers.data import YamlLexer
from pygments.lexers.javascript import JavascriptLexer
from pygments.lexers.special import TextLexer
from sphinx.application import Sphinx

_ROOT = Path(__file__).parent.parent

project = "unirex"
author = "The unirex developers"
copyright = author  # noqa: A001 (Sphinx's name)
release = tomllib.loads((_ROOT / "Cargo.toml").read_text(encoding="utf-8"))["package"]["version"]
version = release

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 4
default_role = "code"  # single backticks in docstrings

# Signatures with types where they stand; members in the order of the file, so that a page reads like its module.
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True

html_theme = "furo"
html_title = f"unirex {release}"
html_copy_source = False
html_show_sourcelink = False


def setup(app: Sphinx) -> None:
    """Names lexers for the languages of our blocks."""
    for name, lexer in {"jsonl": JavascriptLexer, "csv": TextLexer, "yaml": YamlLexer}.items():
        app.add_lexer(name, lexer)

"""Lends tests the module that builds the page, which is a script beside the package and not a part of it."""

from __future__ import annotations

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parent.parent.parent


def load() -> ModuleType:
    """A fresh copy of deploy/build_ui.py, loaded as hatchling loads it."""
    spec = spec_from_file_location("build_ui", ROOT / "deploy" / "build_ui.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


build_ui = load()

"""Fake programs for steps to run, and the commands of images without their containers."""

import functools
import importlib.util
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from toolchain.paths import HERE


@dataclass(frozen=True, kw_only=True)
class FakePrograms:
    """A folder on the PATH of steps."""

    folder: Path

    def write(self, name: str, code: str) -> None:
        """Makes a program of Python code."""
        self.folder.mkdir(exist_ok=True)
        program = self.folder / name
        program.write_text(f"#!{sys.executable} -IS\nimport os, sys, time\n{code}\n", encoding="utf-8")
        program.chmod(0o755)


@functools.cache
def image_commands(image: str) -> ModuleType:
    """The module commands.py of an image."""
    folder = HERE.images / image
    spec = importlib.util.spec_from_file_location(f"commands_of_{image.replace('-', '_')}", folder / "commands.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(folder))  # for the modules beside it
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(folder))
    return module

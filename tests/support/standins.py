"""Stand-ins for the programs that steps run, and the commands of images without their containers."""

import importlib.util
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from toolchain.paths import HERE


@dataclass(frozen=True, kw_only=True)
class Standins:
    """A folder of programs that do what a test says."""

    folder: Path

    def write(self, name: str, body: str) -> None:
        """Makes a program of Python code."""
        self.folder.mkdir(exist_ok=True)
        program = self.folder / name
        program.write_text(f"#!{sys.executable} -IS\nimport os, signal, sys, time\n{body}\n", encoding="utf-8")
        program.chmod(0o755)


def commands(image: str) -> ModuleType:
    """The module commands.py of an image, with what lies beside it importable."""
    folder = HERE.images / image
    spec = importlib.util.spec_from_file_location(f"commands_of_{image.replace('-', '_')}", folder / "commands.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(folder))
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(folder))
    return module


Commands = Mapping[str, Callable[..., None]]

"""Which package of toolchain/ may import which: docs/architecture.md draws it."""

import ast
from functools import cache
from graphlib import TopologicalSorter

import pytest

from toolchain.paths import HERE

# A package may import those before it; the modules beside the packages import none of them.
LAYERS = ("docker", "images", "workflow", "jobdefs", "stacks", "runs", "doctor", "localaws", "demo", "cli")
# A command says that it goes to the embedded AWS; everything between the two sees an AWS.
KNOW_LOCALAWS = {"demo", "cli"}
ROOT = HERE.root / "toolchain"
FILES = {
    ".".join(file.relative_to(HERE.root).with_suffix("").parts).removesuffix(".__init__"): file
    for file in ROOT.rglob("*.py")
}


@cache
def imports(module: str) -> set[str]:
    """The modules of toolchain/ that a module imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(FILES[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in FILES else node.module for name in names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return (found & FILES.keys()) - {module}


def package(module: str) -> str | None:
    name = module.split(".")[1] if "." in module else ""
    return name if (ROOT / name).is_dir() and name else None


def test_every_package_has_a_layer() -> None:
    assert {package(module) for module in FILES} - {None} == set(LAYERS)


@pytest.mark.parametrize("name", [None, *LAYERS])
def test_a_package_imports_only_those_below_it(name: str | None) -> None:
    below = {None, *LAYERS[: 0 if name is None else LAYERS.index(name) + 1]}
    allowed = below if name in KNOW_LOCALAWS or name == "localaws" else below - {"localaws"}
    own = {module: {other for other in imports(module) if package(other) not in allowed} for module in FILES}
    assert {module: others for module, others in own.items() if others and package(module) == name} == {}


def test_no_modules_import_each_other_in_a_circle() -> None:
    TopologicalSorter({module: imports(module) for module in FILES}).prepare()  # raises CycleError, which names them

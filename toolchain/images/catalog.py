"""The images of a checkout: `images/*/image.toml`, read into frozen objects.

An image's folder is all there is to it: nothing else in the repository lists images.
"""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from toolchain.errors import ConfigurationError, MissingInputError

# What stands in an image's folder for people and not for the image.
NOT_CONTENT = frozenset({"README.md", ".dockerignore", "image.toml"})

Kind = Literal["base", "tool"]
BASE = "base"


def _is_content(file: Path) -> bool:
    """Whether a file of an image's folder goes into the image: caches and editors' files do not."""
    stray = any(part.startswith(".") or part == "__pycache__" for part in file.parts)
    return not stray and file.as_posix() not in NOT_CONTENT


@dataclass(frozen=True, kw_only=True)
class Program:
    """How an image's program is asked for its version.

    Attributes:
        command: What to run.
        version: A regular expression with one group, found in what it prints.
    """

    command: tuple[str, ...]
    version: str


@dataclass(frozen=True, kw_only=True)
class Wheel:
    """A Python package's built distribution, from the index that this host's pip is set up with.

    Attributes:
        name: The package's.
        version: Exactly this one.
        sha256: The file's digest: no other file is taken.
    """

    name: str
    version: str
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Image:
    """One image, as its image.toml says.

    Attributes:
        name: The folder's name, and the repository's.
        folder: The folder.
        kind: `tool`, or `base` for the one that all tools are assembled from.
        version: The tool's own version.
        title: OCI title.
        description: OCI description.
        license: SPDX expression of the tool.
        source: Where the tool comes from.
        packages: Debian package to exact version.
        wheels: Python packages that Debian does not have; `wheels/` in the build context holds their files.
        program: How to ask the tool for its version; none for the base.
        suite: The Debian suite; of the base only.
    """

    name: str
    folder: Path
    kind: Kind
    version: str
    title: str
    description: str
    license: str
    source: str
    packages: Mapping[str, str]
    wheels: tuple[Wheel, ...] = ()
    program: Program | None = None
    suite: str | None = None

    @property
    def files(self) -> tuple[Path, ...]:
        """What is sent to the engine as the build context, sorted."""
        found = ((path, path.relative_to(self.folder)) for path in self.folder.rglob("*") if path.is_file())
        return tuple(sorted(path for path, inside in found if _is_content(inside)))

    @property
    def package_arguments(self) -> str:
        """The packages as apt-get takes them: `bwa=0.7.18-1 samtools=1.21-1`."""
        return " ".join(f"{name}={version}" for name, version in sorted(self.packages.items()))


@dataclass(frozen=True, kw_only=True)
class Catalog:
    """All images of a checkout.

    Attributes:
        base: The image that the others are assembled from.
        tools: Name to image, sorted by name.
    """

    base: Image
    tools: Mapping[str, Image] = field(default_factory=dict)

    def choose(self, names: tuple[str, ...]) -> tuple[Image, ...]:
        """The tools of these names, in the catalogue's order; all of them for no name.

        Raises:
            MissingInputError: A name is not that of a tool.
        """
        for name in names:
            if name not in self.tools:
                raise MissingInputError(
                    f"no image '{name}'",
                    why=f"images/ holds {', '.join(self.tools) or 'none'}",
                    fix="Give one of these names, or none for all.",
                )
        return tuple(image for image in self.tools.values() if not names or image.name in names)


def load(images: Path) -> Catalog:
    """Reads the images below a folder.

    Args:
        images: A folder with a folder an image; a folder without image.toml is no image.

    Raises:
        ConfigurationError: An image.toml is wrong, or there is not just one base.
    """
    found = [read(toml.parent) for toml in sorted(images.glob("*/image.toml"))]
    bases = [image for image in found if image.kind == "base"]
    if len(bases) != 1:
        raise ConfigurationError(
            f"{len(bases)} base images",
            why=f'exactly one image.toml below {images} must say kind = "base"',
            fix="Correct the image.toml files.",
        )
    return Catalog(
        base=bases[0],
        tools=MappingProxyType({image.name: image for image in found if image.kind == "tool"}),
    )


_TEXT_KEYS = ("version", "title", "description", "license", "source")
_OTHER_KEYS = frozenset({"kind", "packages", "program", "suite", "wheels"})
# The parts of an OCI reference: https://github.com/opencontainers/distribution-spec/blob/main/spec.md
_NAME = re.compile(r"[a-z0-9]+(?:[._-][a-z0-9]+)*")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_VERSION = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,100}")


def read(folder: Path) -> Image:
    """Reads one image's folder.

    Raises:
        ConfigurationError: Its image.toml is wrong; the message names the file and the key.
    """
    wrong = _Wrong(folder / "image.toml")
    if not _NAME.fullmatch(folder.name):
        raise wrong("the folder's name must be that of a repository: lower-case letters, digits, '.', '_', '-'")
    data = _table(wrong)
    kind = data.get("kind", "tool")
    if kind not in ("base", "tool"):
        raise wrong('\'kind\' must be "base" or "tool"')
    suite, program = data.get("suite"), data.get("program")
    if not isinstance(suite, str if kind == "base" else type(None)):
        raise wrong("'suite', the Debian suite, belongs in the base and nowhere else")
    if kind == "tool" and program is None:
        raise wrong("'program', how to ask the tool for its version, is missing")
    return Image(
        name=folder.name,
        folder=folder,
        kind=kind,
        packages=_packages(data.get("packages", {}), wrong),
        wheels=_wheels(data.get("wheels", {}), wrong),
        program=None if program is None else _program(program, wrong),
        suite=suite,
        **_texts(data, wrong),
    )


def _table(wrong: "_Wrong") -> dict[str, Any]:
    try:
        data = tomllib.loads(wrong.file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise wrong(f"it is not TOML: {error}") from error
    if unknown := sorted(set(data) - set(_TEXT_KEYS) - _OTHER_KEYS):
        raise wrong(f"unknown key '{unknown[0]}'")
    return data


def _texts(data: Mapping[str, Any], wrong: "_Wrong") -> dict[str, str]:
    for key in _TEXT_KEYS:
        if not isinstance(data.get(key), str) or not data[key]:
            raise wrong(f"'{key}' must be a text")
    if not _VERSION.fullmatch(data["version"]):
        raise wrong("'version' must be fit for an image's tag: letters, digits, '.', '_', '-'")
    return {key: data[key] for key in _TEXT_KEYS}


def _packages(data: object, wrong: "_Wrong") -> Mapping[str, str]:
    if not isinstance(data, dict) or not all(isinstance(value, str) and value for value in data.values()):
        raise wrong("'packages' must be a table of package = \"exact version\"")
    return MappingProxyType(dict(sorted(data.items())))


def _wheels(data: object, wrong: "_Wrong") -> tuple[Wheel, ...]:
    found = []
    for name, wheel in sorted(data.items()) if isinstance(data, dict) else [("", None)]:
        match wheel:
            case {"version": str(version), "sha256": str(sha256), **more} if (
                version and _SHA256.fullmatch(sha256) and not more
            ):
                found.append(Wheel(name=name, version=version, sha256=sha256))
            case _:
                raise wrong('\'wheels\' must be a table of package = {version = "exact", sha256 = "64 digits"}')
    return tuple(found)


def _program(data: object, wrong: "_Wrong") -> Program:
    match data:
        case {"command": [*command], "version": str(version)} if command and all(isinstance(w, str) for w in command):
            try:
                groups = re.compile(version).groups
            except re.error as error:
                raise wrong(f"'program.version' is not a regular expression: {error}") from error
            if groups == 1:
                return Program(command=tuple(str(word) for word in command), version=version)
    raise wrong("'program' must have 'command', a list of texts, and 'version', a regular expression with one group")


@dataclass(frozen=True)
class _Wrong:
    """Makes the error for one image.toml."""

    file: Path

    def __call__(self, why: str) -> ConfigurationError:
        return ConfigurationError(
            f"{self.file} is wrong", why=why, fix="Correct it; images/bwa/image.toml is an example."
        )

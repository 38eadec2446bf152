"""The images of a checkout, read from `images/*/image.toml`; nothing else lists images."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from toolchain.errors import ConfigurationError, MissingInputError
from toolchain.files import must_be, read_toml

# Files of an image's folder that are for people and not for the image.
NOT_CONTENT = frozenset({"README.md", ".dockerignore", "image.toml"})
_FIX = "Correct it; images/bwa/image.toml is an example."
# The parts of an OCI reference: https://github.com/opencontainers/distribution-spec/blob/main/spec.md
_NAME = re.compile(r"[a-z0-9]+(?:[._-][a-z0-9]+)*")


def _check_pattern(text: str) -> str:
    try:
        groups = re.compile(text).groups
    except re.error as error:
        raise PydanticCustomError("regex", "is not a regular expression: {error}", {"error": str(error)}) from error
    if groups != 1:
        raise PydanticCustomError("regex", "must be a regular expression with one group")
    return text


_Text = Annotated[str, Field(min_length=1), must_be("a text")]
_Version = Annotated[
    str,
    Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]{0,100}\z"),
    must_be("fit for an image's tag: letters, digits, '.', '_', '-'"),
]
_Pattern = Annotated[str, must_be("a regular expression with one group"), AfterValidator(_check_pattern)]


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Program(_Table):
    """How an image's program is asked for its version.

    Attributes:
        command: What to run.
        version: A regular expression with one group, to search in the output.
    """

    command: Annotated[tuple[str, ...], Field(min_length=1), must_be("a list of texts")]
    version: _Pattern


class Wheel(_Table):
    """A Python package's built distribution, from the index that this host's pip is set up with."""

    version: _Text
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}\z"), must_be("64 hexadecimal digits")]


class ImageToml(_Table):
    """The content of an image.toml.

    Attributes:
        kind: `tool`, or `base` for the image that all tools are assembled from.
        version: The tool's own version.
        license: SPDX expression of the tool.
        source: The tool's home page.
        packages: Debian package to exact version.
        wheels: Python packages that Debian does not have; their files are in `wheels/` of the build context.
        program: None for the base.
        suite: The Debian suite; None for tools.
    """

    kind: Annotated[Literal["base", "tool"], must_be('"base" or "tool"')] = "tool"
    version: _Version
    title: _Text
    description: _Text
    license: _Text
    source: _Text
    packages: Annotated[
        Mapping[str, Annotated[str, Field(min_length=1)]], must_be('a table of package = "exact version"')
    ] = {}
    wheels: Mapping[str, Wheel] = {}
    program: Program | None = None
    suite: _Text | None = None

    @model_validator(mode="after")
    def _check_kind(self) -> "ImageToml":
        if (self.kind == "base") == (self.suite is None):
            raise PydanticCustomError("suite", "'suite', the Debian suite, belongs in the base and nowhere else")
        if self.kind == "tool" and self.program is None:
            raise PydanticCustomError("program", "'program', how to ask the tool for its version, is missing")
        return self


class Image(ImageToml):
    """An image: a folder, and its image.toml."""

    folder: Path

    @property
    def name(self) -> str:
        """The folder's name, and the repository's."""
        return self.folder.name

    @property
    def files(self) -> tuple[Path, ...]:
        """The files of the build context, sorted."""
        files = (path for path in self.folder.rglob("*") if path.is_file())
        return tuple(sorted(file for file in files if _is_content(file.relative_to(self.folder))))

    @property
    def package_arguments(self) -> str:
        """The packages as apt-get takes them: `bwa=0.7.18-1 samtools=1.21-1`."""
        return " ".join(f"{name}={version}" for name, version in sorted(self.packages.items()))


@dataclass(frozen=True, kw_only=True)
class Catalog:
    """All images of a checkout.

    Attributes:
        base: The image that the others are assembled from.
        tools: By name, in order.
    """

    base: Image
    tools: Mapping[str, Image]

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


def load(folder: Path) -> Catalog:
    """Reads the images below a folder: each of its folders with an image.toml.

    Raises:
        ConfigurationError: An image.toml is wrong, or there is not exactly one base.
    """
    images = [read(toml.parent) for toml in sorted(folder.glob("*/image.toml"))]
    bases = [image for image in images if image.kind == "base"]
    if len(bases) != 1:
        raise ConfigurationError(
            f"{len(bases)} base images",
            why=f'exactly one image.toml below {folder} must say kind = "base"',
            fix="Correct the image.toml files.",
        )
    return Catalog(base=bases[0], tools={image.name: image for image in images if image.kind == "tool"})


def read(folder: Path) -> Image:
    """Reads one image's folder.

    Raises:
        ConfigurationError: Its image.toml is wrong; the message names the file and the keys.
    """
    toml = folder / "image.toml"
    if not _NAME.fullmatch(folder.name):
        why = "the folder's name must be that of a repository: lower-case letters, digits, '.', '_', '-'"
        raise ConfigurationError(f"{toml} is wrong", why=why, fix=_FIX)
    return Image(folder=folder, **dict(read_toml(toml, ImageToml, fix=_FIX)))


def _is_content(file: Path) -> bool:
    """Whether a file, by its path in an image's folder, goes into the image: caches and editors' files do not."""
    stray = any(part.startswith(".") or part == "__pycache__" for part in file.parts)
    return not stray and file.as_posix() not in NOT_CONTENT

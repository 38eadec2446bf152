"""Where things are in a checkout."""

import shlex
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Checkout:
    """A checkout of this repository.

    Attributes:
        root: Its top folder.
    """

    root: Path

    @property
    def local(self) -> Path:
        """The files of the embedded AWS."""
        return self.cache / "local"

    @property
    def images(self) -> Path:
        """A folder is an image."""
        return self.root / "images"

    @property
    def jobdefs(self) -> Path:
        """Job definition templates."""
        return self.root / "jobdefs"

    @property
    def stacks(self) -> Path:
        """CloudFormation templates: a file is a stack."""
        return self.root / "stack"

    @property
    def settings(self) -> Path:
        """What differs between labs."""
        return self.root / "genomics.toml"

    @property
    def dist(self) -> Path:
        """What commands write for people and for other commands."""
        return self.root / "dist"

    @property
    def cache(self) -> Path:
        """What can be thrown away at any time."""
        return self.root / ".cache"


def typed(*words: str) -> str:
    """A command as a person types it; whoever reads it is told to add --local where that is meant."""
    return shlex.join(("python", "build.py", *words))


HERE = Checkout(root=Path(__file__).resolve().parent.parent)

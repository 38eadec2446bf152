"""Where things are in a checkout."""

import shlex
from dataclasses import dataclass, replace
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Checkout:
    """A checkout of this repository.

    Attributes:
        root: Its top folder.
        kept: Where commands write, below it: what is known of AWS and of the embedded one is kept apart.
        lasting: Whether that AWS is still there when this command has ended.
    """

    root: Path
    kept: str = "dist"
    lasting: bool = True

    @property
    def at_home(self) -> "Checkout":
        """The same checkout, as it deals with the embedded AWS."""
        return replace(self, kept="dist/local")

    @property
    def for_now(self) -> "Checkout":
        """The same, as it deals with an embedded AWS that ends with this command."""
        return replace(self.at_home, lasting=False)

    @property
    def local(self) -> Path:
        """What the embedded AWS holds."""
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
        return self.root / self.kept

    @property
    def cache(self) -> Path:
        """What can be thrown away at any time."""
        return self.root / ".cache"


def typed(*words: str) -> str:
    """A command as a person types it; whoever reads it is told to add --local where that is meant."""
    return shlex.join(("python", "build.py", *words))


HERE = Checkout(root=Path(__file__).resolve().parent.parent)

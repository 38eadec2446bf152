"""How paths below /scratch/data, or /scratch/reference, and objects in S3 correspond: by the links in genomics.toml."""

from dataclasses import dataclass
from typing import Literal, get_args

from toolchain.errors import ConfigurationError
from toolchain.paths import HERE
from toolchain.settings import Settings

Directory = Literal["Reference", "Data"]
DIRECTORIES: tuple[Directory, ...] = get_args(Directory)


@dataclass(frozen=True, kw_only=True)
class DataLink:
    """The link of /scratch/data, or /scratch/reference, to S3.

    Attributes:
        uri: The linked path, s3://BUCKET[/PREFIX], without a slash at its end.
        keeps_keys: Whether a file's path is its whole key, as on a file system with an import path, and not what
            follows the prefix, as with an association.
    """

    uri: str
    keeps_keys: bool

    @property
    def bucket(self) -> str:
        """The linked bucket."""
        return self.uri.split("/")[2]

    @property
    def prefix(self) -> str:
        """The linked prefix with a slash at its end; empty for the whole bucket."""
        prefix = "/".join(self.uri.split("/")[3:])
        return f"{prefix}/" if prefix else ""

    def path(self, uri: str) -> str | None:
        """The path below the linked directory of an object, or None if it is not below the linked path."""
        if not uri.startswith(f"{self.uri}/"):
            return None
        return uri.removeprefix(f"s3://{self.bucket}/" if self.keeps_keys else f"{self.uri}/")

    def key(self, path: str) -> str:
        """The key of the object that is at a path below the linked directory."""
        return path if self.keeps_keys else self.prefix + path


def of(settings: Settings, directory: Directory = "Data") -> DataLink:
    """The link of a checkout.

    Raises:
        ConfigurationError: genomics.toml names no path in S3.
    """
    parameters = next((stack for stack in settings.stacks.values() if f"{directory}Path" in stack), {})
    uri = str(parameters.get(f"{directory}Path", ""))
    if not uri.startswith("s3://"):
        raise ConfigurationError(
            f"{HERE.settings} is wrong",
            why=f"stack.storage must give {directory}Path as s3://bucket/path",
            fix="Correct it.",
        )
    return DataLink(uri=uri.rstrip("/"), keeps_keys=parameters.get(f"{directory}Link") == "import")

"""What `list` shows: the images, whether they are built, and what they weigh."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from toolchain.console import stdout
from toolchain.images.build import ImageBuilder, layer_sizes
from toolchain.images.catalog import Image
from toolchain.images.fingerprint import tag

MB = 1_000_000


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One image.

    Attributes:
        image: Which.
        tag: The tag of its content.
        layers: Layer digest to compressed bytes; empty if it is not built.
    """

    image: Image
    tag: str
    layers: dict[str, int]

    @property
    def built(self) -> bool:
        """Whether the engine holds it."""
        return bool(self.layers)

    @property
    def size(self) -> int:
        """What a host pulls that has none of its layers, in bytes."""
        return sum(self.layers.values())


@dataclass(frozen=True, kw_only=True)
class Inventory:
    """All tool images of a checkout."""

    entries: tuple[Entry, ...]

    @property
    def distinct_size(self) -> int:
        """What a host pulls for all of them: each layer once, in bytes."""
        return sum({layer: size for entry in self.entries for layer, size in entry.layers.items()}.values())

    def as_json(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "images": [
                {
                    "name": entry.image.name,
                    "version": entry.image.version,
                    "tag": entry.tag,
                    "built": entry.built,
                    "compressed_bytes": entry.size if entry.built else None,
                }
                for entry in self.entries
            ],
            "distinct_compressed_bytes": self.distinct_size,
        }


def inventory(builder: ImageBuilder) -> Inventory:
    """Looks up every tool image of the catalogue in the engine."""
    return Inventory(
        entries=tuple(
            Entry(
                image=image,
                tag=tag(image, builder.catalog),
                layers=dict(layer_sizes(builder, builder.reference(image))) if builder.built(image) else {},
            )
            for image in builder.catalog.tools.values()
        )
    )


def markdown(images: Iterable[Image]) -> str:
    """The images as the README's table."""
    rows = [
        f"| [{one.name}](images/{one.name}) | {one.version} | {one.license} | {one.description} |" for one in images
    ]
    return "\n".join(["| image | version | licence | what it is |", "| --- | --- | --- | --- |", *rows]) + "\n"


def show(found: Inventory) -> None:
    """Prints the images as a table."""
    from rich.table import Table

    table = Table(caption=f"all layers, each once: {found.distinct_size / MB:.1f} MB compressed")
    for column in ("image", "version", "tag", "built", "description"):
        table.add_column(column, no_wrap=column != "description")
    table.add_column("MB", justify="right")
    for entry in found.entries:
        size = f"{entry.size / MB:.1f}" if entry.built else "-"
        table.add_row(
            entry.image.name,
            entry.image.version,
            entry.tag,
            "yes" if entry.built else "no",
            entry.image.description,
            size,
        )
    stdout().print(table)

"""`list`: the images, whether they are built, and their compressed sizes."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from toolchain import files
from toolchain.console import stdout
from toolchain.images.build import ImageBuilder, layer_sizes
from toolchain.images.catalog import Image
from toolchain.images.fingerprint import tag

MB = 1_000_000
_TABLE = re.compile(r"^\| image \| version \| .*?(?=^[^|])", flags=re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class ListedImage:
    """An image, the tag of its content, and its layers' compressed bytes by digest: none if it is not built."""

    image: Image
    tag: str
    layers: Mapping[str, int]

    @property
    def size(self) -> int:
        """The bytes that a host pulls that has none of the layers."""
        return sum(self.layers.values())


def list_images(builder: ImageBuilder) -> list[ListedImage]:
    """Looks up every tool image of the catalogue in the engine."""
    return [
        ListedImage(
            image=image,
            tag=tag(image, builder.catalog),
            layers=layer_sizes(builder, builder.reference(image)) if builder.built(image) else {},
        )
        for image in builder.catalog.tools.values()
    ]


def _distinct_size(images: Sequence[ListedImage]) -> int:
    """The bytes that a host pulls for all images: each layer once."""
    return sum({layer: size for image in images for layer, size in image.layers.items()}.values())


def as_json(images: Sequence[ListedImage]) -> dict[str, Any]:
    """The images for `--json`."""
    return {
        "images": [
            {
                "name": listed.image.name,
                "version": listed.image.version,
                "tag": listed.tag,
                "built": bool(listed.layers),
                "compressed_bytes": listed.size or None,
            }
            for listed in images
        ],
        "distinct_compressed_bytes": _distinct_size(images),
    }


def markdown(images: Iterable[Image]) -> str:
    """The images as the README's table."""
    rows = [
        f"| [{image.name}](images/{image.name}) | {image.version} | {image.license} | {image.description} |"
        for image in images
    ]
    return "\n".join(["| image | version | licence | what it is |", "| --- | --- | --- | --- |", *rows]) + "\n"


def write_readme(readme: Path, images: Iterable[Image]) -> bool:
    """Writes the table of images into the README, and returns whether that changed it."""
    text = readme.read_text(encoding="utf-8")
    written = _TABLE.sub(lambda _: markdown(images), text, count=1)
    if written != text:
        files.write(readme, written)
    return written != text


def show(images: Sequence[ListedImage]) -> None:
    """Prints the images as a table."""
    table = Table(caption=f"all layers, each once: {_distinct_size(images) / MB:.1f} MB compressed")
    for column in ("image", "version", "tag", "built", "description"):
        table.add_column(column, no_wrap=column != "description")
    table.add_column("MB", justify="right")
    for listed in images:
        built, size = ("yes", f"{listed.size / MB:.1f}") if listed.layers else ("no", "-")
        table.add_row(listed.image.name, listed.image.version, listed.tag, built, listed.image.description, size)
    stdout().print(table)

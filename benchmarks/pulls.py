"""What a host that has no layer yet fetches to take a sample to variants: our images, and stock packages on Debian."""

from collections import Counter
from collections.abc import Mapping

from figures import Pull
from place import stock

from toolchain.console import note
from toolchain.images.build import ImageBuilder, layer_sizes
from toolchain.images.debian import debian_image

OURS = ("bwa-mem3", "samtools", "bcftools", "fsx-export")
# An image a tool, as everybody makes them.
STOCK: Mapping[str, tuple[str, ...]] = {
    "bwa": ("bwa", "samtools"),
    "samtools": ("samtools",),
    "bcftools": ("bcftools",),
    "export": ("python3-boto3",),
}


def measure(builder: ImageBuilder) -> tuple[Pull, ...]:
    """Compressed bytes of distinct layers."""
    ours = {name: layer_sizes(builder, builder.reference(builder.catalog.tools[name])) for name in OURS}
    base = builder.catalog.base
    debian = debian_image(
        builder.engine, base.suite or "", name=f"{builder.project}/debian:{base.suite}-{base.version}"
    )
    # Nobody's stock image has what our base adds to Debian: it does not count.
    added = set(layer_sizes(builder, builder.reference(base))) - set(layer_sizes(builder, debian))
    theirs = {}
    for name, packages in STOCK.items():
        note(f"weighing the stock image of {', '.join(packages)}")
        sizes = layer_sizes(builder, stock(builder, f"bench-stock-{name}", packages))
        theirs[name] = {layer: size for layer, size in sizes.items() if layer not in added}
    return pull("ours", ours), pull("stock Debian packages", theirs)


def pull(what: str, images: Mapping[str, Mapping[str, int]]) -> Pull:
    """Sums up images, each layer once.

    Args:
        what: Whose.
        images: Image to its layers' compressed bytes.
    """
    users = Counter(layer for layers in images.values() for layer in layers)
    every = {layer: size for layers in images.values() for layer, size in layers.items()}
    return Pull(
        what=what,
        shared=sum(size for layer, size in every.items() if users[layer] > 1),
        own={name: sum(size for layer, size in layers.items() if users[layer] == 1) for name, layers in images.items()},
    )

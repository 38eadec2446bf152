"""An image's tag: its version, and a digest of everything that goes into it, its parent included.

Only the image's folder is read, so a tag is known without an engine and is the same on every machine.
"""

import hashlib
import json
import platform

from toolchain.images.catalog import Catalog, Image

DIGITS = 12
# To be raised when build.py passes other build arguments or labels for the same folder.
RECIPE = "1"


def architecture() -> str:
    """This machine's architecture by its OCI name."""
    machine = platform.machine().lower()
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(machine, machine)


def fingerprint(image: Image, *parents: str, platform_name: str | None = None) -> str:
    """The digest of an image's content: twelve hexadecimal digits.

    Args:
        image: The image.
        parents: The fingerprints of the images that it is built from.
        platform_name: The OCI architecture; this machine's if not given.
    """
    digest = hashlib.sha256()

    def add(*parts: bytes) -> None:
        for part in parts:
            # With its length before it, no part can run into the next.
            digest.update(len(part).to_bytes(8, "big"))
            digest.update(part)

    # What image.toml means, so that a comment there changes nothing.
    meaning = image.model_dump(exclude={"folder", "kind", "program", "wheels"})
    meaning["wheels"] = {name: [wheel.version, wheel.sha256] for name, wheel in image.wheels.items()}
    add(RECIPE.encode(), (platform_name or architecture()).encode(), image.name.encode())
    add(json.dumps(meaning, sort_keys=True).encode())
    add(*(parent.encode() for parent in parents))
    for file in image.files:
        executable = b"x" if file.stat().st_mode & 0o100 else b"-"
        add(file.relative_to(image.folder).as_posix().encode(), executable, file.read_bytes())
    return digest.hexdigest()[:DIGITS]


def of_content(image: Image, catalog: Catalog) -> str:
    """The fingerprint of an image of a catalogue: every tool is built from the base."""
    return fingerprint(image) if image.kind == "base" else fingerprint(image, fingerprint(catalog.base))


def tag(image: Image, catalog: Catalog) -> str:
    """An image's tag: `<version>-<12 hex>`."""
    return f"{image.version}-{of_content(image, catalog)}"

"""Builds what is missing of a checkout's images, in the order in which they need each other."""

import json
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from toolchain import settings
from toolchain.console import TaskProgress, task_progress
from toolchain.docker.engine import Engine
from toolchain.errors import SeveralFailedError, ToolchainError
from toolchain.images import catalog
from toolchain.images.catalog import Catalog, Image
from toolchain.images.debian import debian_image
from toolchain.images.fingerprint import of_content, tag
from toolchain.images.wheels import fetch
from toolchain.paths import Checkout

FINGERPRINT_LABEL = "genomics.fingerprint"


@dataclass(frozen=True, kw_only=True)
class ImageBuilder:
    """What builds need.

    Attributes:
        engine: The Docker engine.
        catalog: The images.
        project: The first part of local repository names.
        cache: A folder for what was measured; it can be thrown away at any time.
    """

    engine: Engine
    catalog: Catalog
    project: str
    cache: Path

    @classmethod
    def open(cls, checkout: Checkout) -> "ImageBuilder":
        """The engine that answers, and a checkout's images.

        Raises:
            UnavailableError: No engine answers.
        """
        return cls(
            engine=Engine.connect(),
            catalog=catalog.load(checkout.images),
            project=settings.load(checkout.settings).project,
            cache=checkout.cache,
        )

    def reference(self, image: Image) -> str:
        """An image's local name: `project/name:version-fingerprint`."""
        return f"{self.project}/{image.name}:{tag(image, self.catalog)}"

    def built(self, image: Image) -> str | None:
        """The id of the image with this very content, or none."""
        return self.engine.find(self.reference(image))


@dataclass(frozen=True, kw_only=True)
class Built:
    """An image that the engine holds.

    Attributes:
        image: Which.
        reference: Its local name.
        image_id: Its id.
        new: Whether it was built just now.
    """

    image: Image
    reference: str
    image_id: str
    new: bool


def build(builder: ImageBuilder, images: tuple[Image, ...]) -> list[Built]:
    """Builds those images that the engine does not hold with this content, side by side.

    Raises:
        BuildFailedError: The base, which all need, failed.
        SeveralFailedError: Some failed; the others were finished first.
    """
    ids = {image.name: builder.built(image) for image in images}
    missing = tuple(image for image in images if ids[image.name] is None)
    if missing:
        base = builder.catalog.base
        names = tuple(image.name for image in (base, *missing))
        with task_progress(names) as lines:
            _build_one(builder, base, lines)
            errors = _side_by_side(lambda image: ids.update({image.name: _build_one(builder, image, lines)}), missing)
        if errors:
            raise SeveralFailedError.of(errors)
    new = {image.name for image in missing}
    return [
        Built(image=image, reference=builder.reference(image), image_id=str(ids[image.name]), new=image.name in new)
        for image in images
    ]


def _side_by_side(work: Callable[[Image], None], images: tuple[Image, ...]) -> list[ToolchainError]:
    errors = []
    with ThreadPoolExecutor(max_workers=4) as pool:
        for future in [pool.submit(work, image) for image in images]:
            error = future.exception()
            if isinstance(error, ToolchainError):
                errors.append(error)
            elif error is not None:
                raise error
    return errors


def _build_one(builder: ImageBuilder, image: Image, lines: TaskProgress) -> str:
    reference = builder.reference(image)
    if existing := builder.built(image):
        lines.done(image.name, f"{reference} is there")
        return existing

    def report(line: str) -> None:
        lines.update(image.name, line)

    arguments = {"PACKAGES": image.package_arguments}
    if image.kind == "base":
        suite = image.suite or ""
        arguments["DEBIAN"] = debian_image(
            builder.engine, suite, name=f"{builder.project}/debian:{suite}-{image.version}", report=report
        )
    else:
        arguments["BASE"] = builder.reference(builder.catalog.base)
        arguments["STEP_IMAGE"] = f"{image.name}:{tag(image, builder.catalog)}"
    try:
        image_id = builder.engine.build(
            context(image, builder.cache, report),
            tag=reference,
            arguments=arguments,
            labels=labels(image, builder.catalog),
            report=report,
        )
    except ToolchainError:
        lines.done(image.name, "failed")
        raise
    lines.done(image.name, f"built {reference}")
    return image_id


def context(image: Image, cache: Path, report: Callable[[str], None] = lambda _: None) -> dict[str, Path]:
    """An image's build context: path in it to file. Its folder's content, and its wheels below `wheels/`.

    Raises:
        UnavailableError: A wheel is not there, and cannot be fetched.
    """
    content = {file.relative_to(image.folder).as_posix(): file for file in image.files}
    wheels = [fetch(wheel, cache / "wheels", report) for wheel in image.wheels]
    return content | {f"wheels/{file.name}": file for file in wheels}


def labels(image: Image, catalog: Catalog) -> dict[str, str]:
    """An image's labels: https://github.com/opencontainers/image-spec/blob/main/annotations.md."""
    oci = "org.opencontainers.image"
    return {
        f"{oci}.title": image.title,
        f"{oci}.description": image.description,
        f"{oci}.version": image.version,
        f"{oci}.licenses": image.license,
        f"{oci}.source": image.source,
        FINGERPRINT_LABEL: of_content(image, catalog),
    }


def layer_sizes(builder: ImageBuilder, reference: str) -> Mapping[str, int]:
    """Layer digest to compressed bytes; a layer is measured once, since its digest is its content."""
    file = builder.cache / "layers.json"
    try:
        known = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError):
        known = {}
    layers = builder.engine.layers(reference)
    if any(layer not in known for layer in layers):
        known |= builder.engine.compressed_layers(reference)
        builder.cache.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(known, indent=1, sort_keys=True), encoding="utf-8")
    return {layer: known[layer] for layer in layers}

"""Builds the images of a checkout whose content has no image yet."""

import json
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from toolchain import settings
from toolchain.console import TaskProgress, task_progress
from toolchain.docker.engine import Engine
from toolchain.errors import SeveralFailedError, ToolchainError
from toolchain.images import catalog, wheels
from toolchain.images.catalog import Catalog, Image
from toolchain.images.debian import debian_image
from toolchain.images.fingerprint import of_content, tag
from toolchain.paths import Checkout

FINGERPRINT_LABEL = "genomics.fingerprint"
PARALLEL_BUILDS = 4


@dataclass(frozen=True, kw_only=True)
class ImageBuilder:
    """What builds need.

    Attributes:
        engine: The Docker engine.
        catalog: The images.
        project: The first part of local repository names.
        cache: A folder for wheels and for sizes of layers; it can be thrown away at any time.
    """

    engine: Engine
    catalog: Catalog
    project: str
    cache: Path

    @classmethod
    def open(cls, checkout: Checkout) -> "ImageBuilder":
        """Connects to the engine, and reads a checkout's images.

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
        """The id of the image with this very content, or None."""
        return self.engine.find(self.reference(image))


@dataclass(frozen=True, kw_only=True)
class Built:
    """An image that the engine has, by its local name and its id; `new` if it was built just now."""

    image: Image
    reference: str
    image_id: str
    new: bool


def build(builder: ImageBuilder, images: tuple[Image, ...]) -> list[Built]:
    """Builds those images that the engine does not have with this content, in parallel.

    Raises:
        BuildFailedError: The base, which all need, failed.
        SeveralFailedError: Some failed; the others were finished first.
    """
    ids = {image.name: builder.built(image) for image in images}
    missing = [image for image in images if ids[image.name] is None]
    if missing:
        base = builder.catalog.base
        with task_progress([image.name for image in (base, *missing)]) as progress:
            _build_image(builder, base, progress)
            with ThreadPoolExecutor(PARALLEL_BUILDS) as pool:
                futures = {image.name: pool.submit(_build_image, builder, image, progress) for image in missing}
        errors = []
        for name, future in futures.items():
            try:
                ids[name] = future.result()
            except ToolchainError as error:
                errors.append(error)
        if errors:
            raise SeveralFailedError(errors)
    return [
        Built(image=image, reference=builder.reference(image), image_id=str(ids[image.name]), new=image in missing)
        for image in images
    ]


def build_base(builder: ImageBuilder) -> str:
    """Builds the base if the engine does not have it, and returns its local name."""
    base = builder.catalog.base
    if builder.built(base) is None:
        with task_progress([base.name]) as progress:
            _build_image(builder, base, progress)
    return builder.reference(base)


def _build_image(builder: ImageBuilder, image: Image, progress: TaskProgress) -> str:
    reference = builder.reference(image)
    if existing := builder.built(image):
        progress.done(image.name, f"{reference} is there")
        return existing

    def report(line: str) -> None:
        progress.update(image.name, line)

    arguments = {"PACKAGES": image.package_arguments}
    if image.kind == "base":
        debian = f"{builder.project}/debian:{image.suite}-{image.version}"
        arguments["DEBIAN"] = debian_image(builder.engine, str(image.suite), name=debian, report=report)
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
        progress.done(image.name, "failed")
        raise
    progress.done(image.name, f"built {reference}")
    return image_id


def context(image: Image, cache: Path, report: Callable[[str], None] = lambda _: None) -> dict[str, Path]:
    """An image's build context: path in it to file. Its folder's content, and its wheels below `wheels/`.

    Raises:
        UnavailableError: A wheel is not in the cache, and cannot be fetched.
    """
    content = {file.relative_to(image.folder).as_posix(): file for file in image.files}
    fetched = [wheels.fetch(name, wheel, cache / "wheels", report) for name, wheel in image.wheels.items()]
    return content | {f"wheels/{file.name}": file for file in fetched}


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
    """Layer digest to compressed bytes; each layer is measured once, since its digest is its content."""
    file = builder.cache / "layers.json"
    try:
        sizes = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError):
        sizes = {}
    layers = builder.engine.layers(reference)
    if any(layer not in sizes for layer in layers):
        sizes |= builder.engine.compressed_layers(reference)
        builder.cache.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(sizes, indent=1, sort_keys=True), encoding="utf-8")
    return {layer: sizes[layer] for layer in layers}

"""`render`: the variables of job definitions for AWS and for this machine, and the files in dist/."""

import json
from pathlib import Path

from toolchain import files, settings
from toolchain.console import note
from toolchain.errors import ConfigurationError, MissingInputError
from toolchain.images import catalog
from toolchain.images.build import ImageBuilder
from toolchain.images.fingerprint import tag
from toolchain.jobdefs import template as jobdefs
from toolchain.jobdefs.template import ImageReference, Rendering, Scratch
from toolchain.paths import HERE, Checkout


def for_this_machine(builder: ImageBuilder, scratch: Path) -> Rendering:
    """Images by the engine's ids, plain directories for /scratch.

    Raises:
        MissingInputError: An image is not built.
    """
    images = {}
    for image in builder.catalog.tools.values():
        image_id = builder.built(image)
        if image_id is None:
            raise MissingInputError(
                f"image '{image.name}' is not built",
                why="no image has its content's tag",
                fix="Type: python build.py build",
            )
        images[image.name] = ImageReference(name=image.name, tag=tag(image, builder.catalog), reference=image_id)
    return Rendering(
        images=images,
        settings=settings.load(HERE.settings),
        scratch=Scratch(mode="local", path=str(scratch.resolve())),
    )


def for_aws(checkout: Checkout) -> Rendering:
    """Images by their digests in ECR, as `push` wrote them to dist/images.json; the stacks' outputs are to be added.

    Raises:
        MissingInputError: An image was not pushed with this content.
    """
    file = checkout.dist / "images.json"
    try:
        entries = json.loads(file.read_text(encoding="utf-8"))["images"]
        pushed = {
            entry["name"]: ImageReference(
                name=entry["name"], tag=entry["tag"], reference=f"{entry['repository']}@{entry['digest']}"
            )
            for entry in entries
        }
    except FileNotFoundError as error:
        raise MissingInputError(
            "no pushed images", why=f"{file} is not there", fix="Type: python build.py push; or render with --local."
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigurationError(
            f"{file} is wrong", why=f"it is not what `push` writes: {error}", fix="Push again."
        ) from error
    known = catalog.load(checkout.images)
    images = {}
    for image in known.tools.values():
        entry = pushed.get(image.name)
        if entry is None or entry.tag != tag(image, known):
            raise MissingInputError(
                f"image '{image.name}' is not pushed with this content",
                why=f"{file} has {entry.tag if entry else 'none'}, and its tag is {tag(image, known)}",
                fix="Type: python build.py push",
            )
        images[image.name] = entry
    return Rendering(images=images, settings=settings.load(checkout.settings))


def write(rendering: Rendering, folder: Path, templates: Path, *, check: bool) -> None:
    """Writes a file for each job definition, and removes those of tools that are gone.

    Raises:
        ConfigurationError: With `check`, which writes nothing: the folder is stale.
    """
    texts = {
        f"{name}.json": jobdefs.dump(definition) for name, definition in jobdefs.render(templates, rendering).items()
    }
    present = {file.name: file.read_text(encoding="utf-8") for file in folder.glob("*.json")}
    if check:
        stale = sorted(name for name in texts.keys() | present.keys() if texts.get(name) != present.get(name))
        if stale:
            raise ConfigurationError(
                f"{folder} is stale",
                why=f"{', '.join(stale)} would change",
                fix="Type the same command without --check.",
            )
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in present.keys() - texts.keys():
            (folder / name).unlink()
        for name, text in texts.items():
            (folder / name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise files.unwritable(folder, error) from error
    for name, text in texts.items():
        note(f"{name.removesuffix('.json')}: {'unchanged' if present.get(name) == text else 'written'} {folder / name}")

"""`new`: the files of a new tool, from templates/."""

import json
import re
from dataclasses import dataclass
from pathlib import Path

import jinja2
from debian.deb822 import Deb822

from toolchain import files
from toolchain.docker.container import Container
from toolchain.errors import CannotCreateError, MissingInputError, WrongUsageError
from toolchain.images.build import ImageBuilder, build_base
from toolchain.paths import Checkout

# No dot, which a job definition's name may not have, and no underscore, which a test's file has for a hyphen.
_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_TEMPLATES = {
    "Dockerfile.j2": "images/{name}/Dockerfile",
    "image.toml.j2": "images/{name}/image.toml",
    "README.md.j2": "images/{name}/README.md",
    "dockerignore.j2": "images/{name}/.dockerignore",
    "commands.py.j2": "images/{name}/commands.py",
    "jobdef.j2": "jobdefs/{name}.json.j2",
    "test.py.j2": "tests/images/test_{module}.py",
}


@dataclass(frozen=True, kw_only=True)
class DebianPackage:
    """A package of the archive that the base image has the lists of."""

    name: str
    version: str
    description: str
    homepage: str

    @property
    def upstream_version(self) -> str:
        """The version as the program says it: 2.31.1 of 1:2.31.1+dfsg-2."""
        return re.sub(r"^\d+:|-[^-]*$", "", self.version).partition("+")[0].partition("~")[0]


def check_name(name: str) -> None:
    """Checks that a name is fit for an image, a job definition and a test. Raises WrongUsageError."""
    if not _NAME.fullmatch(name):
        raise WrongUsageError(
            f"bad image name '{name}'",
            why="it must be of lower-case letters, digits and single hyphens, a letter first",
            fix="Choose another; --package gives the Debian package where its name differs.",
        )


def find_package(builder: ImageBuilder, name: str) -> DebianPackage:
    """Looks a package up in the lists that the base image holds, which tool images install from.

    Raises:
        MissingInputError: The archive has none of this name.
    """
    base = build_base(builder)
    command = ("apt-cache", "show", "--no-all-versions", name)
    result = builder.engine.run(Container(image=base, command=command, memory=512))
    record = Deb822(result.stdout)
    if record.get("Package") != name:
        raise MissingInputError(
            f"no Debian package '{name}'",
            why=f"Debian {builder.catalog.base.suite} has none of this name in its main archive",
            fix=f"Give another with --package. To search: docker run --rm {builder.reference(builder.catalog.base)}"
            " apt-cache search WORD",
        )
    description = record.get("Description-en", record.get("Description", name)).partition("\n")[0]
    return DebianPackage(
        name=name,
        version=record["Version"],
        description=description[:1].upper() + description[1:],
        homepage=record.get("Homepage", f"https://tracker.debian.org/pkg/{name}"),
    )


def create(checkout: Checkout, name: str, package: str) -> list[Path]:
    """Writes the files of a new tool, and returns their paths.

    Raises:
        WrongUsageError: The name is not fit for an image.
        CannotCreateError: A file exists already.
        MissingInputError: There is no such package.
    """
    check_name(name)
    targets = {
        template: checkout.root / path.format(name=name, module=name.replace("-", "_"))
        for template, path in _TEMPLATES.items()
    }
    for path in ((checkout.images / name), *targets.values()):
        if path.exists():
            raise CannotCreateError(
                f"{path.relative_to(checkout.root)} exists",
                why="files are not overwritten",
                fix="Choose another name, or remove it.",
            )
    debian_package = find_package(ImageBuilder.open(checkout), package)
    values = {"name": name, "function": name.replace("-", "_"), "package": debian_package}
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        variable_start_string="<<",
        variable_end_string=">>",
        block_start_string="<%",
        block_end_string="%>",
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # noqa: S701  # no HTML
    )
    environment.filters |= {"quoted": json.dumps, "key": lambda key: json.dumps(key) if set("+.") & set(key) else key}
    texts = {path: environment.get_template(template).render(values) for template, path in targets.items()}
    for path, text in texts.items():
        path.parent.mkdir(exist_ok=True)
        files.write(path, text)
    return list(texts)

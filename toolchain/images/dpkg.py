"""The Debian packages of an image, from dpkg's records and Debian's copyright files in it.

https://www.debian.org/doc/debian-policy/ch-controlfields.html and
https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from debian.deb822 import Deb822

from toolchain.docker.engine import Engine
from toolchain.errors import BadDataError

RECORDS = "/var/lib/dpkg/status.d"
DOCUMENTS = "/usr/share/doc"
_COMMON = re.compile(r"/usr/share/common-licenses/([A-Za-z0-9.+-]*[A-Za-z0-9+])")


@dataclass(frozen=True, kw_only=True)
class Package:
    """A Debian package of which an image holds files.

    Attributes:
        architecture: Or `all`.
        source: The source package that it was built from.
        description: The first line.
        homepage: Empty where the record has none.
        licences: In the words of its copyright file.
    """

    name: str
    version: str
    architecture: str
    source: str
    description: str
    homepage: str
    maintainer: str
    licences: tuple[str, ...]


def packages(engine: Engine, reference: str) -> list[Package]:
    """The packages of an image, by name.

    Raises:
        BadDataError: It has no records, or one that is incomplete.
    """
    records = engine.read(reference, RECORDS)
    documents = engine.read(reference, DOCUMENTS)
    if not records:
        raise BadDataError(
            f"{reference} says nothing of its packages",
            why=f"there is nothing in its {RECORDS}",
            fix="Assemble it with images/base/assemble, which writes the records.",
        )
    return [_package(file, Deb822(text), documents) for file, text in sorted(records.items())]


def distribution(engine: Engine, reference: str) -> str:
    """The distribution as package URLs name it, such as `debian-13`; empty where the image does not say."""
    texts = engine.read(reference, "/etc/os-release")
    fields = dict(re.findall(r'^(\w+)="?(.*?)"?$', b"\n".join(texts.values()).decode(), flags=re.MULTILINE))
    return f"{fields['ID']}-{fields['VERSION_ID']}" if {"ID", "VERSION_ID"} <= fields.keys() else ""


def _package(file: str, record: Deb822, documents: Mapping[str, bytes]) -> Package:
    if not {"Package", "Version", "Architecture"} <= set(record):
        raise BadDataError(
            f"{file} is no package record",
            why="Package, Version or Architecture is missing",
            fix="Correct images/base/assemble.",
        )
    name = record["Package"]
    return Package(
        name=name,
        version=record["Version"],
        architecture=record["Architecture"],
        source=record.get("Source", name).partition(" ")[0],
        description=record.get("Description", "").partition("\n")[0],
        homepage=record.get("Homepage", ""),
        maintainer=record.get("Maintainer", ""),
        licences=licences(name, documents.get(f"{DOCUMENTS}/{name}/copyright", b"").decode(errors="replace")),
    )


def licences(package: str, text: str) -> tuple[str, ...]:
    """The licences that a package's copyright file names, each once, sorted.

    Those of the packaging itself (`debian/*`) are left out: no file of it is in an image.
    """
    names = set()
    if re.match(r"Format(-Specification)?:", text):
        for paragraph in Deb822.iter_paragraphs(text, use_apt_pkg=False):
            files = paragraph.get("Files", "*").split()
            name = paragraph.get("License", "").partition("\n")[0].strip()
            # A paragraph without files is a licence's own text, unless it is the head.
            about_files = "Files" in paragraph or "Format" in paragraph
            if name and about_files and not all(file.startswith("debian/") for file in files):
                names.add(name)
    if names:
        return tuple(sorted(names))
    # Free text, which only a person can read: say where it is, and which common licences it refers to.
    common = ", ".join(sorted(set(_COMMON.findall(text))))
    return (f"as in {DOCUMENTS}/{package}/copyright" + (f", which refers to {common}" if common else ""),)

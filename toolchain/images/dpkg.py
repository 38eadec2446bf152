"""What an image says of its own packages: dpkg's records, and Debian's copyright files.

https://www.debian.org/doc/debian-policy/ch-controlfields.html and
https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from toolchain.docker.engine import Engine
from toolchain.errors import BadDataError

RECORDS = "/var/lib/dpkg/status.d"
DOCUMENTS = "/usr/share/doc"
_COMMON = re.compile(r"/usr/share/common-licenses/([A-Za-z0-9.+-]*[A-Za-z0-9+])")


@dataclass(frozen=True, kw_only=True)
class Package:
    """A Debian package of which an image holds files.

    Attributes:
        name: Its name.
        version: Its exact version.
        architecture: Its architecture, or `all`.
        source: The source package it was built from.
        description: Its first line.
        homepage: Upstream's address; empty where the record has none.
        maintainer: Who packages it.
        licences: The licences that its copyright file names, in that file's words.
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

    Args:
        engine: The engine that holds it.
        reference: The image.

    Raises:
        BadDataError: It has no records, or one that is none.
    """
    records = engine.read(reference, RECORDS)
    documents = engine.read(reference, DOCUMENTS)
    if not records:
        raise BadDataError(
            f"{reference} says nothing of its packages",
            why=f"there is nothing in its {RECORDS}",
            fix="Assemble it with images/base/assemble, which writes the records.",
        )
    return [_package(file, text.decode(), documents) for file, text in sorted(records.items())]


def distribution(engine: Engine, reference: str) -> str:
    """The distribution as package URLs name it, such as `debian-13`; empty where the image does not say."""
    texts = engine.read(reference, "/etc/os-release")
    fields = dict(re.findall(r'^(\w+)="?(.*?)"?$', b"\n".join(texts.values()).decode(), flags=re.MULTILINE))
    return f"{fields['ID']}-{fields['VERSION_ID']}" if {"ID", "VERSION_ID"} <= fields.keys() else ""


def _package(file: str, text: str, documents: Mapping[str, bytes]) -> Package:
    record = next(paragraphs(text), {})
    if not {"Package", "Version", "Architecture"} <= record.keys():
        raise BadDataError(
            f"{file} is no package record",
            why="Package, Version or Architecture is missing",
            fix="Correct images/base/assemble.",
        )
    name = record["Package"]
    copyright_file = documents.get(f"{DOCUMENTS}/{name}/copyright", b"").decode(errors="replace")
    return Package(
        name=name,
        version=record["Version"],
        architecture=record["Architecture"],
        source=record.get("Source", name).partition(" ")[0],
        description=record.get("Description", "").partition("\n")[0],
        homepage=record.get("Homepage", ""),
        maintainer=record.get("Maintainer", ""),
        licences=licences(name, copyright_file),
    )


def licences(package: str, text: str) -> tuple[str, ...]:
    """The licences that a copyright file names, each once, in order of their names.

    Those of the packaging itself (`debian/*`) are left out: none of it is in an image.

    Args:
        package: Whose file it is.
        text: The file.
    """
    found = set()
    if re.match(r"Format(-Specification)?:", text):
        for paragraph in paragraphs(text):
            files = paragraph.get("Files", "*").split()
            name = paragraph.get("License", "").partition("\n")[0].strip()
            # A paragraph without files is a licence's own text, unless it is the head.
            about_files = "Files" in paragraph or "Format" in paragraph
            if name and about_files and not all(file.startswith("debian/") for file in files):
                found.add(name)
    if found:
        return tuple(sorted(found))
    # Free text, which only a person can read: say where it is, and which licences it leads to.
    leads_to = ", ".join(sorted(set(_COMMON.findall(text))))
    return (f"as in {DOCUMENTS}/{package}/copyright" + (f", which refers to {leads_to}" if leads_to else ""),)


def paragraphs(text: str) -> Iterator[dict[str, str]]:
    """The paragraphs of a control file: field to value, further lines of a value after the first."""
    for block in re.split(r"\n[ \t]*\n", text):
        fields: dict[str, str] = {}
        key = ""
        for line in block.splitlines():
            if line.startswith((" ", "\t")) and key:
                fields[key] += f"\n{line.strip()}"
            elif ":" in line and not line.startswith("#"):
                key, _, value = line.partition(":")
                fields[key] = value.strip()
        if fields:
            yield fields

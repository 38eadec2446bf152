"""`sbom`: what is inside an image, as CycloneDX (https://cyclonedx.org), from the image's own package records.

The same image gives the same bytes: the serial number is made of its id, and the time is when it was made.
"""

import re
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

from toolchain import files
from toolchain.images import dpkg as debian_records
from toolchain.images.build import Built, ImageBuilder
from toolchain.images.catalog import Image, Wheel
from toolchain.images.dpkg import Package
from toolchain.images.fingerprint import tag

if TYPE_CHECKING:
    from cyclonedx.model.bom import Bom
    from cyclonedx.model.component import Component
    from cyclonedx.model.license import DisjunctiveLicense

# https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/#license-short-name, where SPDX has another name.
_SPDX = {"expat": "MIT", "mpl-2": "MPL-2.0", "lgpl": "LGPL-2.0-or-later", "gpl": "GPL-1.0-or-later"}
_GNU = re.compile(r"(A?GPL|LGPL)-(\d)(\.\d)?(\+|-only|-or-later)?", flags=re.IGNORECASE)


def write(builder: ImageBuilder, built: Built, folder: Path) -> Path:
    """Writes an image's bill of materials.

    Args:
        builder: The engine that holds it, and its catalogue.
        built: The image.
        folder: Where to; the file is `NAME.cdx.json`.

    Returns:
        The file.
    """
    from cyclonedx.output.json import JsonV1Dot6

    file = folder / f"{built.image.name}.cdx.json"
    text = JsonV1Dot6(bill(builder, built)).output_as_string(indent=2)
    files.write(file, f"{text}\n")
    return file


def bill(builder: ImageBuilder, built: Built) -> "Bom":
    """An image's bill of materials.

    Args:
        builder: The engine that holds it, and its catalogue.
        built: The image.
    """
    from cyclonedx.model.bom import Bom, BomMetaData

    engine = builder.engine
    distribution = debian_records.distribution(engine, built.image_id)
    root = _root(built.image, project=builder.project, content=tag(built.image, builder.catalog))
    packages = debian_records.packages(engine, built.image_id)
    components = [_component(one, distribution) for one in packages] + [_wheel(one) for one in built.image.wheels]
    made = Bom(
        serial_number=uuid.uuid5(uuid.NAMESPACE_OID, built.image_id),
        metadata=BomMetaData(component=root, timestamp=engine.created(built.image_id)),
        components=components,
    )
    made.register_dependency(root, components)
    return made


def _root(image: Image, *, project: str, content: str) -> "Component":
    from cyclonedx.model import ExternalReference, ExternalReferenceType, XsUri
    from cyclonedx.model.component import Component, ComponentType
    from cyclonedx.model.license import LicenseExpression

    return Component(
        type=ComponentType.CONTAINER,
        bom_ref="image",
        name=f"{project}/{image.name}",
        version=content,
        description=image.description,
        licenses=[LicenseExpression(image.license)],
        external_references=[ExternalReference(type=ExternalReferenceType.WEBSITE, url=XsUri(image.source))],
    )


def _component(package: Package, distribution: str) -> "Component":
    from cyclonedx.model import ExternalReference, ExternalReferenceType, XsUri
    from cyclonedx.model.component import Component, ComponentType
    from packageurl import PackageURL

    qualifiers = {"arch": package.architecture, "distro": distribution, "upstream": package.source}
    if package.source == package.name:
        del qualifiers["upstream"]
    purl = PackageURL(type="deb", namespace="debian", name=package.name, version=package.version, qualifiers=qualifiers)
    website = ExternalReferenceType.WEBSITE
    return Component(
        type=ComponentType.LIBRARY if package.name.startswith("lib") else ComponentType.APPLICATION,
        bom_ref=purl.to_string(),
        name=package.name,
        version=package.version,
        description=package.description,
        publisher=package.maintainer or None,
        licenses=[licence(name) for name in package.licences],
        purl=purl,
        external_references=[ExternalReference(type=website, url=XsUri(package.homepage))] if package.homepage else [],
    )


def _wheel(wheel: Wheel) -> "Component":
    from cyclonedx.model import HashAlgorithm, HashType
    from cyclonedx.model.component import Component, ComponentType
    from packageurl import PackageURL

    purl = PackageURL(type="pypi", name=wheel.name, version=wheel.version)
    return Component(
        type=ComponentType.LIBRARY,
        bom_ref=purl.to_string(),
        name=wheel.name,
        version=wheel.version,
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=wheel.sha256)],
        purl=purl,
    )


def licence(name: str) -> "DisjunctiveLicense":
    """A licence by SPDX's name where Debian's can be said in it, else in Debian's own words."""
    from cyclonedx.model.license import DisjunctiveLicense, LicenseAcknowledgement
    from cyclonedx.spdx import fixup_id

    declared = LicenseAcknowledgement.DECLARED
    if gnu := _GNU.fullmatch(name):
        later = (gnu[4] or "").lower() in {"+", "-or-later"}
        spdx = f"{gnu[1].upper()}-{gnu[2]}{gnu[3] or '.0'}-{'or-later' if later else 'only'}"
    else:
        spdx = _SPDX.get(name.lower(), name)
    known = fixup_id(spdx)
    if known is None:
        return DisjunctiveLicense(name=name, acknowledgement=declared)
    return DisjunctiveLicense(id=known, acknowledgement=declared)

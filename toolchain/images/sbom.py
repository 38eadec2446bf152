"""`sbom`: the content of an image as CycloneDX (https://cyclonedx.org), from the image's own package records.

The same image gives the same bytes: the serial number is derived from its id, and the time is when it was built.
"""

import re
import uuid
from pathlib import Path

from cyclonedx.model import ExternalReference, ExternalReferenceType, HashAlgorithm, HashType, XsUri
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import DisjunctiveLicense, LicenseAcknowledgement, LicenseExpression
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.spdx import fixup_id
from packageurl import PackageURL

from toolchain import files
from toolchain.images import dpkg
from toolchain.images.build import Built, ImageBuilder
from toolchain.images.catalog import Image, Wheel
from toolchain.images.dpkg import Package
from toolchain.images.fingerprint import tag

# https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/#license-short-name, where SPDX has another name.
_SPDX = {"expat": "MIT", "mpl-2": "MPL-2.0", "lgpl": "LGPL-2.0-or-later", "gpl": "GPL-1.0-or-later"}
_GNU = re.compile(r"(A?GPL|LGPL)-(\d)(\.\d)?(\+|-only|-or-later)?", flags=re.IGNORECASE)


def write(builder: ImageBuilder, built: Built, folder: Path) -> Path:
    """Writes an image's bill of materials into a folder, and returns the file: `NAME.cdx.json`."""
    file = folder / f"{built.image.name}.cdx.json"
    text = JsonV1Dot6(_bill(builder, built)).output_as_string(indent=2)
    files.write(file, f"{text}\n")
    return file


def _bill(builder: ImageBuilder, built: Built) -> Bom:
    engine = builder.engine
    distribution = dpkg.distribution(engine, built.image_id)
    root = _root(built.image, project=builder.project, version=tag(built.image, builder.catalog))
    components = [_component(package, distribution) for package in dpkg.packages(engine, built.image_id)]
    components += [_wheel(name, wheel) for name, wheel in built.image.wheels.items()]
    bill = Bom(
        serial_number=uuid.uuid5(uuid.NAMESPACE_OID, built.image_id),
        metadata=BomMetaData(component=root, timestamp=engine.created(built.image_id)),
        components=components,
    )
    bill.register_dependency(root, components)
    return bill


def _root(image: Image, *, project: str, version: str) -> Component:
    return Component(
        type=ComponentType.CONTAINER,
        bom_ref="image",
        name=f"{project}/{image.name}",
        version=version,
        description=image.description,
        licenses=[LicenseExpression(image.license)],
        external_references=[_website(image.source)],
    )


def _component(package: Package, distribution: str) -> Component:
    qualifiers = {"arch": package.architecture, "distro": distribution, "upstream": package.source}
    if package.source == package.name:
        del qualifiers["upstream"]
    purl = PackageURL(type="deb", namespace="debian", name=package.name, version=package.version, qualifiers=qualifiers)
    return Component(
        type=ComponentType.LIBRARY if package.name.startswith("lib") else ComponentType.APPLICATION,
        bom_ref=purl.to_string(),
        name=package.name,
        version=package.version,
        description=package.description,
        publisher=package.maintainer or None,
        licenses=[licence(name) for name in package.licences],
        purl=purl,
        external_references=[_website(package.homepage)] if package.homepage else [],
    )


def _wheel(name: str, wheel: Wheel) -> Component:
    purl = PackageURL(type="pypi", name=name, version=wheel.version)
    return Component(
        type=ComponentType.LIBRARY,
        bom_ref=purl.to_string(),
        name=name,
        version=wheel.version,
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=wheel.sha256)],
        purl=purl,
    )


def _website(url: str) -> ExternalReference:
    return ExternalReference(type=ExternalReferenceType.WEBSITE, url=XsUri(url))


def licence(name: str) -> DisjunctiveLicense:
    """A licence by its SPDX identifier where Debian's name has one, else by Debian's name."""
    if gnu := _GNU.fullmatch(name):
        later = (gnu[4] or "").lower() in {"+", "-or-later"}
        spdx = f"{gnu[1].upper()}-{gnu[2]}{gnu[3] or '.0'}-{'or-later' if later else 'only'}"
    else:
        spdx = _SPDX.get(name.lower(), name)
    spdx_id = fixup_id(spdx)
    declared = LicenseAcknowledgement.DECLARED
    if spdx_id is None:
        return DisjunctiveLicense(name=name, acknowledgement=declared)
    return DisjunctiveLicense(id=spdx_id, acknowledgement=declared)

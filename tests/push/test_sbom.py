"""`sbom`: a bill of materials that says what is in the image, no more and no less."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL
from support.job_runner import BuiltImages

from toolchain.docker.container import Container
from toolchain.errors import BadDataError
from toolchain.images import dpkg, sbom
from toolchain.images.dpkg import licences


@pytest.fixture(scope="session")
def bill(built_images: BuiltImages, image_name: str, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Any]:
    """An image's bill of materials, as written; the same bytes each time."""
    first, second = (
        sbom.write(built_images.builder, built_images.images[image_name], tmp_path_factory.mktemp("sbom")).read_bytes()
        for _ in range(2)
    )
    assert first == second
    data: dict[str, Any] = json.loads(first)
    return data


def inside(built_images: BuiltImages, name: str, script: str) -> str:
    """The output of a script that runs in an image."""
    container = Container(image=built_images.images[name].image_id, command=("sh", "-c", script), memory=64)
    result = built_images.builder.engine.run(container)
    assert result.exit_code == 0, result.stderr
    return result.stdout


def test_its_components_are_the_packages_and_wheels_in_the_image_with_their_very_versions(
    built_images: BuiltImages, image_name: str, bill: Mapping[str, Any]
) -> None:
    image = built_images.images[image_name].image
    recorded = inside(built_images, image_name, "cat /var/lib/dpkg/status.d/*")
    packages = dict(re.findall(r"^Package: (.+)$(?:\n.*)*?\n^Version: (.+)$", recorded, flags=re.MULTILINE))
    wheels = {name: wheel.version for name, wheel in image.wheels.items()}
    components = {component["name"]: component["version"] for component in bill["components"]}
    assert components == packages | wheels
    # Of image.toml's packages, those of which the image holds files; the others are for the build.
    assert any(name in components for name in image.packages)
    assert all(components.get(name, version) == version for name, version in image.packages.items())
    # A second witness: licence texts are copied apart from the records.
    assert sorted(components) == sorted(inside(built_images, image_name, "ls /usr/share/doc").split())


def test_every_component_has_a_package_url_and_a_licence_or_a_digest(
    built_images: BuiltImages, image_name: str, bill: Mapping[str, Any]
) -> None:
    wheels = built_images.images[image_name].image.wheels
    for component in bill["components"]:
        url = PackageURL.from_string(component["purl"])
        assert (url.name, url.version) == (component["name"], component["version"])
        assert isinstance(url.qualifiers, dict)
        if url.type == "pypi":
            assert component["hashes"][0]["content"] == wheels[url.name].sha256
        else:
            assert component["licenses"], component["name"]
            assert (url.type, url.namespace, url.qualifiers["distro"]) == ("deb", "debian", "debian-13")
            assert url.qualifiers["arch"] in {"all", "amd64", "arm64"}


def test_it_is_valid_cyclonedx_and_about_the_image(
    built_images: BuiltImages, image_name: str, bill: Mapping[str, Any]
) -> None:
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(bill)) is None
    root = bill["metadata"]["component"]
    image = built_images.images[image_name]
    assert (root["type"], f"{root['name']}:{root['version']}") == ("container", image.reference)
    assert root["licenses"] == [{"expression": image.image.license}]
    depends = {entry["ref"]: entry.get("dependsOn", []) for entry in bill["dependencies"]}
    assert sorted(depends["image"]) == sorted(component["bom-ref"] for component in bill["components"])


def test_an_image_without_records_is_an_error(built_images: BuiltImages, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM scratch\nLABEL nothing=1\n", encoding="ascii")
    engine = built_images.builder.engine
    image_id = engine.build({"Dockerfile": tmp_path / "Dockerfile"}, tag="test-sbom:empty", arguments={}, labels={})
    try:
        with pytest.raises(BadDataError, match="says nothing of its packages"):
            dpkg.packages(engine, image_id)
    finally:
        engine.client.images.remove("test-sbom:empty", force=True)


HEAD = "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Files: *\nLicense: Expat\n", ("Expat",)),
        ("Files: *\nLicense: GPL-2+\n text of it\n\nFiles: x\nLicense: Expat\n", ("Expat", "GPL-2+")),
        ("Files: *\nLicense: A or B\n\nLicense: A\n text\n\nLicense: B\n text\n", ("A or B",)),
        ("Files: *\nLicense: MIT\n\nFiles: debian/*\nLicense: GPL-2\n", ("MIT",)),
        ("Files: *\nLicense: MIT\n\nFiles: debian/* src/x\nLicense: GPL-2\n", ("GPL-2", "MIT")),
    ],
)
def test_a_copyright_file_names_the_licences_of_what_is_in_the_image(text: str, expected: tuple[str, ...]) -> None:
    assert licences("x", HEAD + text) == expected


def test_a_copyright_file_in_free_text_is_pointed_to() -> None:
    text = "It was packaged by somebody.\n\nLicense:\n  see `/usr/share/common-licenses/GPL-2'.\n"
    assert licences("busybox", text) == ("as in /usr/share/doc/busybox/copyright, which refers to GPL-2",)
    assert licences("x", "") == ("as in /usr/share/doc/x/copyright",)


@pytest.mark.parametrize(
    ("debian", "spdx"),
    [
        ("Expat", "MIT"),
        ("GPL-2+", "GPL-2.0-or-later"),
        ("GPL-2", "GPL-2.0-only"),
        ("GPL-3.0", "GPL-3.0-only"),
        ("LGPL-2.1+", "LGPL-2.1-or-later"),
        ("BSD-3-clause", "BSD-3-Clause"),
        ("Zlib", "Zlib"),
        ("MPL-2", "MPL-2.0"),
    ],
)
def test_debians_names_of_licences_become_those_of_spdx(debian: str, spdx: str) -> None:
    assert sbom.licence(debian).id == spdx


@pytest.mark.parametrize("debian", ["public-domain", "Various_BSD-3-Clause", "MIT or GPL-3.0", "other"])
def test_what_spdx_has_no_name_for_stays_in_debians_words(debian: str) -> None:
    assert (sbom.licence(debian).id, sbom.licence(debian).name) == (None, debian)

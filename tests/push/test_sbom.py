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
from toolchain.images import dpkg as debian_records
from toolchain.images import sbom
from toolchain.images.dpkg import licences


@pytest.fixture
def bill(built_images: BuiltImages, image_name: str, tmp_path: Path) -> Mapping[str, Any]:
    """An image's bill of materials, as written."""
    data: dict[str, Any] = json.loads(
        sbom.write(built_images.builder, built_images.images[image_name], tmp_path).read_text("utf-8")
    )
    return data


def inside(built_images: BuiltImages, name: str, script: str) -> str:
    """What a script prints that runs in an image."""
    container = Container(image=built_images.images[name].image_id, command=("sh", "-c", script), memory=64)
    result = built_images.builder.engine.run(container)
    assert result.exit_code == 0, result.stderr
    return result.stdout


def test_its_components_are_the_packages_in_the_image_with_their_very_versions(
    built_images: BuiltImages, image_name: str, bill: Mapping[str, Any]
) -> None:
    recorded = inside(built_images, image_name, "cat /var/lib/dpkg/status.d/*")
    names = re.findall(r"^Package: (.+)$", recorded, flags=re.MULTILINE)
    versions = re.findall(r"^Version: (.+)$", recorded, flags=re.MULTILINE)
    wheels = [(name, wheel.version) for name, wheel in built_images.images[image_name].image.wheels.items()]
    found = [(one["name"], one["version"]) for one in bill["components"]]
    assert sorted(found) == sorted([*zip(names, versions, strict=True), *wheels])


def test_the_images_own_packages_are_among_them_at_the_versions_of_its_image_toml(
    built_images: BuiltImages, image_name: str, bill: Mapping[str, Any]
) -> None:
    wanted = built_images.images[image_name].image.packages
    found = {one["name"]: one["version"] for one in bill["components"]}
    assert found
    assert {name: found[name] for name in wanted if name in found} == {
        name: version for name, version in wanted.items() if name in found
    }
    assert set(wanted) & set(found)


def test_every_package_whose_licence_text_is_in_the_image_is_a_component(
    built_images: BuiltImages, image_name: str, bill: Mapping[str, Any]
) -> None:
    """A second witness: the texts are copied apart from the records."""
    documented = inside(built_images, image_name, "ls /usr/share/doc").split()
    assert sorted(one["name"] for one in bill["components"]) == sorted(documented)


def test_every_package_has_a_licence_and_a_package_url_that_names_it(bill: Mapping[str, Any]) -> None:
    for component in bill["components"]:
        url = PackageURL.from_string(component["purl"])
        if url.type == "pypi":  # a wheel
            continue
        assert component["licenses"], component["name"]
        assert (url.type, url.namespace) == ("deb", "debian")
        assert (url.name, url.version) == (component["name"], component["version"])
        assert isinstance(url.qualifiers, dict)
        assert url.qualifiers["distro"] == "debian-13"
        assert url.qualifiers["arch"] in {"all", "amd64", "arm64"}


def test_every_wheel_is_named_by_its_digest(
    built_images: BuiltImages, image_name: str, bill: Mapping[str, Any]
) -> None:
    digests = {
        one["purl"]: one["hashes"][0]["content"] for one in bill["components"] if one["purl"].startswith("pkg:pypi/")
    }
    wheels = built_images.images[image_name].image.wheels
    assert digests == {f"pkg:pypi/{name}@{wheel.version}": wheel.sha256 for name, wheel in wheels.items()}


def test_it_is_valid_cyclonedx_and_about_the_image(
    built_images: BuiltImages, image_name: str, bill: Mapping[str, Any]
) -> None:
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(bill)) is None
    root = bill["metadata"]["component"]
    image = built_images.images[image_name]
    assert (root["type"], f"{root['name']}:{root['version']}") == ("container", image.reference)
    assert root["licenses"] == [{"expression": image.image.license}]
    depends = {one["ref"]: one.get("dependsOn", []) for one in bill["dependencies"]}
    assert sorted(depends["image"]) == sorted(one["bom-ref"] for one in bill["components"])


def test_the_same_image_gives_the_same_bytes(built_images: BuiltImages, image_name: str, tmp_path: Path) -> None:
    first, second = (
        sbom.write(built_images.builder, built_images.images[image_name], tmp_path / number).read_bytes()
        for number in "12"
    )
    assert first == second


def test_an_image_without_records_is_an_error(built_images: BuiltImages, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM scratch\nLABEL nothing=1\n", encoding="ascii")
    engine = built_images.builder.engine
    image_id = engine.build({"Dockerfile": tmp_path / "Dockerfile"}, tag="test-sbom:empty", arguments={}, labels={})
    try:
        with pytest.raises(BadDataError, match="says nothing of its packages"):
            debian_records.packages(engine, image_id)
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

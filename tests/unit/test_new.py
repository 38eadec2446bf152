"""The files of a new tool: what is refused, and what goes into the README."""

from pathlib import Path

import pytest

from toolchain.errors import CannotCreateError, WrongUsageError
from toolchain.images import catalog, listing, new
from toolchain.paths import HERE, Checkout


@pytest.mark.parametrize("name", ["", "Bedtools", "bed.tools", "bed_tools", "-x", "a--b", "../x", "2bit"])
def test_a_name_that_an_image_a_job_definition_or_a_test_cannot_have_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(WrongUsageError, match=r"single hyphens.* Choose another"):
        new.create(Checkout(root=tmp_path), name, "bedtools")


@pytest.mark.parametrize("path", ["images/bed-tools", "jobdefs/bed-tools.json.j2", "tests/images/test_bed_tools.py"])
def test_nothing_that_exists_is_written_over(tmp_path: Path, path: str) -> None:
    (tmp_path / path).mkdir(parents=True)
    with pytest.raises(CannotCreateError, match=f"^{path} exists: .* Choose another name, or remove it"):
        new.create(Checkout(root=tmp_path), "bed-tools", "bedtools")


@pytest.mark.parametrize(
    ("debian", "upstream"),
    [
        ("2.31.1+dfsg-2", "2.31.1"),
        ("1:0.7.18-1+b2", "0.7.18"),
        ("2.0~rc1-1", "2.0"),
        ("20240101", "20240101"),
        ("1.2-3-4", "1.2-3"),
    ],
)
def test_the_version_of_an_image_is_the_program_s_own(debian: str, upstream: str) -> None:
    package = new.DebianPackage(name="x", version=debian, description="", homepage="")
    assert package.upstream_version == upstream


def test_the_table_of_images_is_written_into_the_readme_once(tmp_path: Path) -> None:
    readme, images = tmp_path / "README.md", catalog.load(HERE.images).tools.values()
    readme.write_text(
        "# A\n\n| image | version | old |\n| --- | --- | --- |\n| x | 1 | 2 |\n\nafter\n", encoding="utf-8"
    )
    assert [listing.write_readme(readme, images) for _ in range(2)] == [True, False]
    assert readme.read_text(encoding="utf-8") == f"# A\n\n{listing.markdown(images)}\nafter\n"

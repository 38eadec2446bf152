"""genomics.toml: what it says, and what is said of one that is wrong."""

from pathlib import Path

import pytest

from toolchain import settings
from toolchain.errors import ConfigurationError
from toolchain.paths import HERE

SMALLEST = 'project = "genomics"\nworkflow = "germline"\n'
PARAMETER = "'stack.storage.A' must be a text, a number, true, false, or a list of texts without commas"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "genomics.toml"


def fault(file: Path, text: str | bytes) -> str:
    """The reason why a genomics.toml is refused; the error names the file."""
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ConfigurationError) as caught:
        settings.load(file)
    assert (caught.value.what, caught.value.exit_code) == (f"{file} is wrong", 78)
    return caught.value.why


def test_the_repository_s_own_is_right() -> None:
    own = settings.load(HERE.settings)
    assert (own.project, own.workflow) == ("genomics", "germline")


def test_project_and_workflow_are_enough(file: Path) -> None:
    file.write_text(SMALLEST, encoding="utf-8")
    assert settings.load(file) == settings.Settings(project="genomics", workflow="germline", aligner="auto")


def test_every_key_is_read_as_it_is_written(file: Path) -> None:
    text = """
        aligner = "bwa"
        [tags]
        cost = "42"
        [jobs.bwa]
        vcpus = 192
        memory = 4
        timeout = 604800
        attempts = 1
        [stack.storage]
        A = 1
        B = true
        C = ["x", "y"]
        D = "z"
        E = 1.5
    """
    file.write_text(SMALLEST + text, encoding="utf-8")
    assert settings.load(file).model_dump() == {
        "project": "genomics",
        "workflow": "germline",
        "aligner": "bwa",
        "tags": {"cost": "42"},
        "jobs": {"bwa": {"vcpus": 192, "memory": 4, "timeout": 604_800, "attempts": 1}},
        "prices": None,
        "stacks": {"storage": {"A": 1, "B": True, "C": ("x", "y"), "D": "z", "E": 1.5}},
    }


def test_one_that_is_missing_is_an_error(file: Path) -> None:
    with pytest.raises(ConfigurationError, match="it cannot be read: No such file or directory"):
        settings.load(file)


@pytest.mark.parametrize("text", ["project: x", 'project = "a"\nproject = "b"', b'project = "\xff"'])
def test_text_that_is_not_toml_is_refused(file: Path, text: str | bytes) -> None:
    assert fault(file, text).startswith("it is not TOML: ")


@pytest.mark.parametrize("key", ["project", "workflow"])
@pytest.mark.parametrize("value", ['""', '"Lab"', '"a_b"', '"a--b"', '"-a"', '"a-"', '"a/b"', '"a\\n"', "1"])
def test_a_name_that_a_path_or_a_repository_cannot_have_is_refused(file: Path, key: str, value: str) -> None:
    other = "workflow" if key == "project" else "project"
    said = fault(file, f'{key} = {value}\n{other} = "a"')
    assert said == f"'{key}' must be a name of lower-case letters, digits and single hyphens"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('aligner = "bowtie"', "'aligner' must be one of bwa, bwa-mem3, auto"),
        ('tags = "a"', "'tags' must be a table of texts"),
        ("tags = {a = 1}", "'tags' must be a table of texts"),
        ("jobs = []", "'jobs' must be a table"),
        ("[jobs]\nbwa = 16", "'jobs.bwa' must be a table"),
        ("[jobs.bwa]\ncpus = 1", "unknown key 'jobs.bwa.cpus'"),
        *(
            (f"[jobs.bwa]\n{key} = {value}", f"'jobs.bwa.{key}' must be a whole number from {lowest} to {highest}")
            for key, lowest, highest in (
                ("vcpus", 1, 192),
                ("memory", 4, 1_572_864),
                ("timeout", 60, 604_800),
                ("attempts", 1, 10),
            )
            for value in (lowest - 1, highest + 1, f'"{lowest}"', f"{lowest}.0", "true")
        ),
        ("stack = 1", "'stack' must be a table"),
        ("[stack]\nstorage = 1", "'stack.storage' must be a table"),
        *((f"[stack.storage]\nA = {value}", PARAMETER) for value in ("1979-05-27", "{}", "[1]", '["a,b"]', '[["a"]]')),
    ],
)
def test_a_value_that_is_wrong_is_named_with_what_it_must_be(file: Path, text: str, why: str) -> None:
    assert fault(file, SMALLEST + text) == why


def test_all_mistakes_are_named_at_once(file: Path) -> None:
    said = fault(file, 'project = "genomics"\nzone = 1\nregion = 2\naligner = "bowtie"')
    assert said == (
        "'workflow' is missing; 'aligner' must be one of bwa, bwa-mem3, auto; unknown key 'zone'; unknown key 'region'"
    )

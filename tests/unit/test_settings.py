"""genomics.toml: what it says, and what is said of one that is wrong."""

from pathlib import Path

import pytest

from toolchain import settings
from toolchain.errors import ConfigurationError
from toolchain.paths import HERE

SMALLEST = 'project = "genomics"\nworkflow = "germline"\n'


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where genomics.toml is."""
    return tmp_path / "genomics.toml"


def fault(file: Path, text: str) -> str:
    """What is said of a genomics.toml, which must be named."""
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigurationError) as caught:
        settings.load(file)
    assert caught.value.what == f"{file} is wrong"
    assert caught.value.exit_code == 78
    return caught.value.why


def test_the_repository_s_own_is_right() -> None:
    own = settings.load(HERE.settings)
    assert (own.project, own.workflow) == ("genomics", "germline")


def test_it_says_what_it_says(file: Path) -> None:
    text = '[tags]\ncost = "42"\n[jobs.bwa]\nvcpus = 16\nattempts = 1\n[jobs.samtools]\nmemory = 4\n'
    file.write_text(SMALLEST + text, encoding="utf-8")
    assert settings.load(file) == settings.Settings(
        project="genomics",
        workflow="germline",
        jobs={"bwa": {"vcpus": 16, "attempts": 1}, "samtools": {"memory": 4}},
        tags={"cost": "42"},
    )


def test_project_and_workflow_are_enough(file: Path) -> None:
    file.write_text(SMALLEST, encoding="utf-8")
    assert settings.load(file) == settings.Settings(project="genomics", workflow="germline", jobs={}, tags={})


@pytest.mark.parametrize("aligner", ["bwa", "bwa-mem3", "auto"])
def test_the_aligner_is_one_of_those_that_there_are_and_auto_if_it_is_not_named(file: Path, aligner: str) -> None:
    file.write_text(f'{SMALLEST}aligner = "{aligner}"\n', encoding="utf-8")
    assert settings.load(file).aligner == aligner
    file.write_text(SMALLEST, encoding="utf-8")
    assert settings.load(file).aligner == "auto"
    assert fault(file, f'{SMALLEST}aligner = "bowtie"\n') == "'aligner' must be one of bwa, bwa-mem3, auto"


def test_nobody_can_change_what_was_read(file: Path) -> None:
    file.write_text(SMALLEST + '[tags]\na = "1"\n[jobs.bwa]\nvcpus = 1\n', encoding="utf-8")
    read = settings.load(file)
    for mapping in (read.tags, read.jobs, read.jobs["bwa"]):
        assert not hasattr(mapping, "__setitem__")


def test_one_that_is_missing_is_an_error(file: Path) -> None:
    with pytest.raises(ConfigurationError, match="it cannot be read: No such file or directory"):
        settings.load(file)


@pytest.mark.parametrize("text", ["project: x", 'project = "a"\nproject = "b"'])
def test_what_is_not_toml_is_refused(file: Path, text: str) -> None:
    assert fault(file, text).startswith("it is not TOML: ")


def test_what_is_not_utf_8_is_refused(file: Path) -> None:
    file.write_bytes(b'project = "\xff"')
    with pytest.raises(ConfigurationError, match="it is not TOML: "):
        settings.load(file)


def test_an_unknown_key_is_named(file: Path) -> None:
    assert fault(file, SMALLEST + "zone = 1\nregion = 2") == "unknown key 'region'"


@pytest.mark.parametrize("key", ["project", "workflow"])
@pytest.mark.parametrize("value", ['""', '"Lab"', '"a_b"', '"a--b"', '"-a"', '"a-"', '"a/b"', '"a\\n"', "1"])
def test_a_name_that_a_path_or_a_repository_cannot_have_is_refused(file: Path, key: str, value: str) -> None:
    other = "workflow" if key == "project" else "project"
    assert f"'{key}' must be a name" in fault(file, f'{key} = {value}\n{other} = "a"')


@pytest.mark.parametrize("key", ["project", "workflow"])
def test_a_name_that_is_missing_is_refused(file: Path, key: str) -> None:
    text = "".join(line + "\n" for line in SMALLEST.splitlines() if not line.startswith(key))
    assert f"'{key}' must be a name" in fault(file, text)


@pytest.mark.parametrize("tags", ['"a"', "[]", "{a = 1}", "{a = {}}"])
def test_tags_that_are_no_table_of_texts_are_refused(file: Path, tags: str) -> None:
    assert fault(file, f"{SMALLEST}tags = {tags}") == "'tags' must be a table of texts"


@pytest.mark.parametrize("jobs", ['"bwa"', "[]", "1"])
def test_jobs_that_are_no_table_are_refused(file: Path, jobs: str) -> None:
    assert "'jobs' must be a table" in fault(file, f"{SMALLEST}jobs = {jobs}")


def test_a_job_that_is_no_table_is_refused(file: Path) -> None:
    assert fault(file, f"{SMALLEST}[jobs]\nbwa = 16") == "'jobs.bwa' must be a table"


def test_an_unknown_key_of_a_job_is_named_with_those_that_are_known(file: Path) -> None:
    said = fault(file, f"{SMALLEST}[jobs.bwa]\ncpus = 1")
    assert said == "unknown key 'jobs.bwa.cpus'; known are vcpus, memory, timeout, attempts"


@pytest.mark.parametrize(
    ("key", "lowest", "highest"),
    [("vcpus", 1, 192), ("memory", 4, 1_572_864), ("timeout", 60, 604_800), ("attempts", 1, 10)],
)
def test_a_figure_has_bounds(file: Path, key: str, lowest: int, highest: int) -> None:
    for value in (lowest, highest):
        file.write_text(f"{SMALLEST}[jobs.bwa]\n{key} = {value}", encoding="utf-8")
        assert settings.load(file).jobs["bwa"][key] == value
    for value in (lowest - 1, highest + 1):
        said = fault(file, f"{SMALLEST}[jobs.bwa]\n{key} = {value}")
        assert said == f"'jobs.bwa.{key}' must be a whole number from {lowest} to {highest}"


@pytest.mark.parametrize("value", ['"8"', "8.0", "true", "[8]"])
def test_a_figure_is_a_whole_number(file: Path, value: str) -> None:
    assert "'jobs.bwa.vcpus' must be a whole number" in fault(file, f"{SMALLEST}[jobs.bwa]\nvcpus = {value}")


def test_what_a_stack_is_given_is_kept_as_it_is_written(file: Path) -> None:
    file.write_text(SMALLEST + '[stack.storage]\nA = 1\nB = true\nC = ["x", "y"]\nD = "z"\nE = 1.5\n', encoding="utf-8")
    assert settings.load(file).stacks == {"storage": {"A": 1, "B": True, "C": ("x", "y"), "D": "z", "E": 1.5}}


@pytest.mark.parametrize("value", ["1979-05-27", "{}", "[1]", '["a,b"]', '[["a"]]'])
def test_what_no_parameter_can_be_is_refused(file: Path, value: str) -> None:
    assert "'stack.storage.A' must be" in fault(file, f"{SMALLEST}[stack.storage]\nA = {value}")


@pytest.mark.parametrize(("text", "why"), [("stack = 1", "'stack'"), ("[stack]\nstorage = 1", "'stack.storage'")])
def test_stacks_are_tables(file: Path, text: str, why: str) -> None:
    assert fault(file, SMALLEST + text) == f"{why} must be a table"

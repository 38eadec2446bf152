"""`render` as a command: the same bytes for the same content, `--check`, and outputs of stacks."""

from collections.abc import Callable

import pytest
from support.push_env import Project

from toolchain import files
from toolchain.errors import ConfigurationError
from toolchain.jobdefs import render as rendering
from toolchain.jobdefs import template as jobdefs


def render(project: Project, **environment: str) -> dict[str, bytes]:
    """Renders, and returns the files."""
    result = project.run("render", environment=environment)
    assert result.returncode == 0, result.stderr
    return {file.name: file.read_bytes() for file in (project.checkout.dist / "jobdefs").iterdir()}


def test_images_are_named_by_digest_and_bytes_depend_on_neither_hashing_nor_order(project: Project) -> None:
    project.settings('[tags]\nb = "2"\na = "1"\nc = "3"\n')
    first = render(project)
    assert f'"registry.test/{project.prefix}/alpha@sha256:{"a" * 64}"'.encode() in first["alpha.json"]
    for seed in ("1", "2"):
        (project.checkout.dist / "jobdefs/alpha.json").unlink()
        files.write_json(project.checkout.dist / "images.json", {"images": list(project.written().values())[::-1]})
        assert render(project, PYTHONHASHSEED=seed) == first


CHANGES: dict[str, Callable[[Project], object]] = {
    "settings": lambda project: project.settings("[jobs.beta]\nmemory = 777\n"),
    "by hand": lambda project: (project.checkout.dist / "jobdefs/beta.json").write_text(" "),
    "removed": lambda project: (project.checkout.dist / "jobdefs/beta.json").unlink(),
    "tool gone": lambda project: (project.checkout.jobdefs / "beta.json.j2").unlink(),
    "other digest": lambda project: project.pretend_pushed(digit="b"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_check_passes_right_after_rendering_and_fails_after_a_change(project: Project, change: str) -> None:
    render(project)
    assert project.run("render", "--check", environment={}).returncode == 0
    CHANGES[change](project)
    result = project.run("render", "--check", environment={})
    assert result.returncode == ConfigurationError.exit_code
    assert "beta.json" in result.stderr
    assert result.stderr.rstrip().endswith("would change. Type the same command without --check.")


def test_outputs_of_the_stacks_reach_the_templates(project: Project) -> None:
    template = project.checkout.jobdefs / "alpha.json.j2"
    text = template.read_text(encoding="ascii")
    template.write_text(text + '{% set role = "Role" %}', encoding="ascii")
    assert b"jobRoleArn" not in render(project)["alpha.json"]
    files.write_json(project.checkout.dist / "outputs.json", {"Role": "arn:aws:iam::1:role/x", "Other": "y"})
    assert b'"jobRoleArn": "arn:aws:iam::1:role/x"' in render(project)["alpha.json"]
    template.write_text(text + "{% set memory = outputs.Missing %}", encoding="ascii")
    with pytest.raises(ConfigurationError, match="no attribute 'Missing'"):
        jobdefs.render(project.checkout.jobdefs, rendering.for_aws(project.checkout))


@pytest.mark.parametrize("text", ["", "[]", '{"Role": 1}', '{"Role": null}', "{"])
def test_outputs_that_are_not_strings_by_name_are_an_error(project: Project, text: str) -> None:
    (project.checkout.dist / "outputs.json").write_text(text, encoding="ascii")
    with pytest.raises(ConfigurationError, match="it must be JSON of output names to texts"):
        rendering.read_outputs(project.checkout.dist)

"""`render` as a command: the same bytes for the same content, `--check`, and roles from the stacks' outputs."""

from collections.abc import Callable

import pytest
from support.fault_proxy import FaultProxy
from support.push_env import ROLES, Project

from toolchain import files
from toolchain.errors import ConfigurationError, MissingInputError
from toolchain.jobdefs import render as rendering
from toolchain.jobdefs import template as jobdefs


@pytest.fixture
def roles(aws: FaultProxy, project: Project) -> None:
    """The stack of roles is deployed."""
    del aws
    project.deploy_roles()


def render(project: Project) -> dict[str, bytes]:
    """Renders, and returns the files."""
    result = project.run("render")
    assert result.code == 0, result.err
    return rendered(project)


def rendered(project: Project) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in (project.checkout.dist / "jobdefs").iterdir()}


@pytest.mark.usefixtures("roles")
def test_images_are_named_by_digest_and_bytes_depend_on_neither_hashing_nor_order(project: Project) -> None:
    project.settings('[tags]\nb = "2"\na = "1"\nc = "3"\n')
    first = render(project)
    assert f'"registry.test/{project.prefix}/alpha@sha256:{"a" * 64}"'.encode() in first["alpha.json"]
    (project.checkout.dist / "jobdefs/alpha.json").unlink()
    files.write_json(project.checkout.dist / "images.json", {"images": list(project.written().values())[::-1]})
    with project.start("render", environment={"PYTHONHASHSEED": "1"}) as process:
        _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert rendered(project) == first


CHANGES: dict[str, Callable[[Project], object]] = {
    "settings": lambda project: project.settings("[jobs.beta]\nmemory = 777\n"),
    "by hand": lambda project: (project.checkout.dist / "jobdefs/beta.json").write_text(" "),
    "removed": lambda project: (project.checkout.dist / "jobdefs/beta.json").unlink(),
    "tool gone": lambda project: (project.checkout.jobdefs / "beta.json.j2").unlink(),
    "other digest": lambda project: project.pretend_pushed(digit="b"),
}


@pytest.mark.usefixtures("roles")
@pytest.mark.parametrize("change", CHANGES)
def test_check_passes_right_after_rendering_and_fails_after_a_change(project: Project, change: str) -> None:
    render(project)
    assert project.run("render", "--check").code == 0
    CHANGES[change](project)
    result = project.run("render", "--check")
    assert result.code == ConfigurationError.exit_code
    assert "beta.json" in result.error
    assert result.error.endswith("would change. Type the same command without --check.")


@pytest.mark.usefixtures("aws")
def test_without_the_stack_of_roles_nothing_is_rendered_and_the_error_says_what_to_type(project: Project) -> None:
    result = project.run("render")
    assert result.code == MissingInputError.exit_code
    assert result.err == (
        f"error: no output 'JobRoleArn' of the project's stacks: stack {project.prefix}-compute is not deployed, or "
        "older than this checkout. Type: python build.py deploy compute\n"
    )
    assert not (project.checkout.dist / "jobdefs").exists()
    project.deploy_roles()
    assert f'"jobRoleArn": "{ROLES["JobRoleArn"]}"'.encode() in render(project)["alpha.json"]
    template = project.checkout.jobdefs / "alpha.json.j2"
    template.write_text(template.read_text(encoding="ascii") + '{% set role = "Missing" %}', encoding="ascii")
    assert "no template in stack/ has an output of that name" in project.run("render").error


def test_a_definition_for_aws_is_never_rendered_without_outputs(project: Project) -> None:
    with pytest.raises(ConfigurationError, match="'None' has no attribute 'JobRoleArn'"):
        jobdefs.render(project.checkout.jobdefs, rendering.for_aws(project.checkout))

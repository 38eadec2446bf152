"""`render` as a command: the same bytes for the same content, `--check`, and outputs of stacks."""

from collections.abc import Callable

import pytest
from support.push_env import Desk

from toolchain import files
from toolchain.errors import ConfigurationError
from toolchain.jobdefs import render as rendering
from toolchain.jobdefs import template as jobdefs


def render(plain: Desk, **environment: str) -> dict[str, bytes]:
    """Renders, and returns the files."""
    result = plain.run("render", environment=environment)
    assert result.returncode == 0, result.stderr
    return {file.name: file.read_bytes() for file in (plain.checkout.dist / "jobdefs").iterdir()}


def test_images_are_named_by_digest_and_bytes_depend_on_neither_hashing_nor_order(plain: Desk) -> None:
    plain.settings('[tags]\nb = "2"\na = "1"\nc = "3"\n')
    first = render(plain)
    assert f'"registry.test/{plain.project}/alpha@sha256:{"a" * 64}"'.encode() in first["alpha.json"]
    for seed in ("1", "2"):
        (plain.checkout.dist / "jobdefs/alpha.json").unlink()
        files.write_json(plain.checkout.dist / "images.json", {"images": list(plain.written().values())[::-1]})
        assert render(plain, PYTHONHASHSEED=seed) == first


CHANGES: dict[str, Callable[[Desk], object]] = {
    "settings": lambda plain: plain.settings("[jobs.beta]\nmemory = 777\n"),
    "by hand": lambda plain: (plain.checkout.dist / "jobdefs/beta.json").write_text(" "),
    "removed": lambda plain: (plain.checkout.dist / "jobdefs/beta.json").unlink(),
    "tool gone": lambda plain: (plain.checkout.jobdefs / "beta.json.j2").unlink(),
    "other digest": lambda plain: plain.pretend_pushed(digit="b"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_check_passes_right_after_rendering_and_fails_after_a_change(plain: Desk, change: str) -> None:
    render(plain)
    assert plain.run("render", "--check", environment={}).returncode == 0
    CHANGES[change](plain)
    result = plain.run("render", "--check", environment={})
    assert result.returncode == ConfigurationError.exit_code
    assert "beta.json" in result.stderr
    assert result.stderr.rstrip().endswith("would change. Type the same command without --check.")


def test_outputs_of_the_stacks_reach_the_templates(plain: Desk) -> None:
    template = plain.checkout.jobdefs / "alpha.json.j2"
    text = template.read_text(encoding="ascii")
    template.write_text(text + '{% set role = "Role" %}', encoding="ascii")
    assert b"jobRoleArn" not in render(plain)["alpha.json"]
    files.write_json(plain.checkout.dist / "outputs.json", {"Role": "arn:aws:iam::1:role/x", "Other": "y"})
    assert b'"jobRoleArn": "arn:aws:iam::1:role/x"' in render(plain)["alpha.json"]
    template.write_text(text + "{% set memory = outputs.Missing %}", encoding="ascii")
    with pytest.raises(ConfigurationError, match="no attribute 'Missing'"):
        jobdefs.render(plain.checkout.jobdefs, rendering.for_aws(plain.checkout))


@pytest.mark.parametrize("text", ["", "[]", '{"Role": 1}', '{"Role": null}', "{"])
def test_outputs_that_are_not_strings_by_name_are_an_error(plain: Desk, text: str) -> None:
    (plain.checkout.dist / "outputs.json").write_text(text, encoding="ascii")
    with pytest.raises(ConfigurationError, match="it must be JSON of output names to texts"):
        rendering.read_outputs(plain.checkout.dist)

"""`render`: job definitions for the cloud, the same bytes for the same content, and `--check`."""

from collections.abc import Callable
from pathlib import Path

import pytest
from support.push_env import Desk

from toolchain import files
from toolchain.errors import ConfigurationError, MissingInputError
from toolchain.jobdefs import render as rendering
from toolchain.jobdefs import template as jobdefs
from toolchain.paths import HERE

CODES = {"stale": 78, "missing": 66}


def rendered(plain: Desk) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in (plain.checkout.dist / "jobdefs").iterdir()}


def render(plain: Desk) -> dict[str, bytes]:
    result = plain.run("render", environment={})
    assert result.returncode == 0, result.stderr
    return rendered(plain)


def test_images_are_named_by_their_digests(plain: Desk) -> None:
    render(plain)
    text = (plain.checkout.dist / "jobdefs/alpha.json").read_text(encoding="utf-8")
    assert f'"registry.test/{plain.project}/alpha@sha256:{"a" * 64}"' in text


def test_the_same_content_is_the_same_bytes_whatever_pythons_hashing_does(plain: Desk) -> None:
    plain.settings('[tags]\nb = "2"\na = "1"\nc = "3"\n')
    first = render(plain)
    for seed in ("1", "2"):
        (plain.checkout.dist / "jobdefs/alpha.json").unlink()
        result = plain.run("render", environment={"PYTHONHASHSEED": seed})
        assert result.returncode == 0
        assert rendered(plain) == first


def test_the_order_of_what_it_is_made_from_changes_nothing(plain: Desk) -> None:
    first = render(plain)
    file = plain.checkout.dist / "images.json"
    entries = list(plain.written().values())
    files.write_json(file, {"images": entries[::-1]})
    assert render(plain) == first


def test_check_is_content_with_what_was_just_rendered_and_writes_nothing(plain: Desk) -> None:
    render(plain)
    before = {file: file.stat().st_mtime_ns for file in (plain.checkout.dist / "jobdefs").iterdir()}
    assert plain.run("render", "--check", environment={}).returncode == 0
    assert {file: file.stat().st_mtime_ns for file in (plain.checkout.dist / "jobdefs").iterdir()} == before


def settings_change(plain: Desk) -> None:
    plain.settings("[jobs.beta]\nmemory = 777\n")


def by_hand(plain: Desk) -> None:
    with (plain.checkout.dist / "jobdefs/beta.json").open("a") as file:
        file.write(" ")


def taken_away(plain: Desk) -> None:
    (plain.checkout.dist / "jobdefs/beta.json").unlink()


def tool_gone(plain: Desk) -> None:
    (plain.checkout.jobdefs / "beta.json.j2").unlink()


def other_digest(plain: Desk) -> None:
    plain.pretend_pushed(digit="b")


@pytest.mark.parametrize("change", [settings_change, by_hand, taken_away, tool_gone, other_digest])
def test_check_fails_when_something_has_changed_since(plain: Desk, change: Callable[[Desk], None]) -> None:
    render(plain)
    change(plain)
    result = plain.run("render", "--check", environment={})
    assert result.returncode == CODES["stale"]
    assert "beta.json" in result.stderr
    assert result.stderr.rstrip().endswith("would change. Type the same command without --check.")


def test_check_fails_where_content_was_changed_and_not_pushed(plain: Desk) -> None:
    render(plain)
    plain.change("beta")
    result = plain.run("render", "--check", environment={})
    assert result.returncode == CODES["missing"]
    assert result.stderr.rstrip().endswith("Type: python build.py push")


def test_where_nothing_was_pushed_the_error_says_what_to_type(plain: Desk) -> None:
    (plain.checkout.dist / "images.json").unlink()
    with pytest.raises(MissingInputError, match=r"Type: python build\.py push; or render with --local"):
        rendering.for_aws(plain.checkout)


# Outputs of the stacks


def test_outputs_of_the_stacks_reach_the_templates(plain: Desk) -> None:
    template = plain.checkout.jobdefs / "alpha.json.j2"
    template.write_text(template.read_text(encoding="ascii") + '{% set role = "Role" %}', encoding="ascii")
    assert b"jobRoleArn" not in render(plain)["alpha.json"]
    files.write_json(plain.checkout.dist / "outputs.json", {"Role": "arn:aws:iam::1:role/x", "Other": "y"})
    assert b'"jobRoleArn": "arn:aws:iam::1:role/x"' in render(plain)["alpha.json"]


def test_an_output_that_a_template_asks_for_and_no_stack_has_is_an_error(plain: Desk) -> None:
    template = plain.checkout.jobdefs / "alpha.json.j2"
    template.write_text(template.read_text(encoding="ascii") + "{% set memory = outputs.Role %}", encoding="ascii")
    with pytest.raises(ConfigurationError, match="no attribute 'Role'"):
        jobdefs.render(plain.checkout.jobdefs, rendering.for_aws(plain.checkout))


@pytest.mark.parametrize("text", ["", "[]", '{"Role": 1}', '{"Role": null}', "{"])
def test_outputs_that_are_no_texts_by_name_are_an_error(plain: Desk, text: str) -> None:
    (plain.checkout.dist / "outputs.json").write_text(text, encoding="ascii")
    with pytest.raises(ConfigurationError, match="it must be JSON of output names to texts"):
        rendering.read_outputs(plain.checkout.dist)


def test_this_repositorys_own_templates_render_for_the_cloud(plain: Desk) -> None:
    """Every one that has an image of its name."""
    known = sorted(path.name for path in HERE.images.iterdir() if (path / "image.toml").is_file())
    request = rendering.for_aws(plain.checkout)
    image = request.images["alpha"]
    definitions = jobdefs.render(
        HERE.jobdefs, jobdefs.Rendering(images=dict.fromkeys(known, image), settings=request.settings)
    )
    assert set(definitions) == set(jobdefs.names(HERE.jobdefs))


def test_the_folder_is_made_where_it_is_not(plain: Desk, tmp_path: Path) -> None:
    folder = tmp_path / "some/where"
    rendering.write(rendering.for_aws(plain.checkout), folder, check=False, templates=plain.checkout.jobdefs)
    assert sorted(file.name for file in folder.iterdir()) == [f"{name}.json" for name in plain.names]

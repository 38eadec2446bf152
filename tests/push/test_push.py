"""`push`: safe at any time, twice, from two machines at once, and after being interrupted."""

import json
import logging
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.push_env import BuildableProject, Cloud, Project, buildable_project

from toolchain.aws import Account
from toolchain.docker.container import Container
from toolchain.errors import BadDataError, MissingInputError, SeveralFailedError, ToolchainError, UnavailableError
from toolchain.images import build as builds
from toolchain.images.build import ImageBuilder
from toolchain.images.ecr import Registry

BLOBS = r"/blobs/uploads/"
MANIFESTS = "/manifests/"


def no_engine() -> ImageBuilder:
    pytest.fail("an engine was asked for")


def push_error(project: BuildableProject, *names: str) -> ToolchainError:
    """The only error of a push that fails."""
    with pytest.raises(SeveralFailedError) as raised:
        project.pusher().push(names)
    (error,) = raised.value.errors
    return error


# First, and again


def test_a_first_push_builds_and_sends_every_image_and_writes_down_what_the_registry_has(
    cloud: Cloud, buildable: BuildableProject
) -> None:
    pushed = buildable.pusher().push(())
    assert [(image.name, image.new) for image in pushed] == [(name, True) for name in buildable.names]
    assert cloud.calls.count("GetAuthorizationToken") == 1
    assert cloud.calls.count("DescribeRepositories") == 1
    for name, entry in buildable.written().items():
        text, digest = cloud.manifest(buildable, name)
        manifest = json.loads(text)
        assert entry == {
            "name": name,
            "version": "1.0",
            "tag": buildable.tag(name),
            "repository": f"{cloud.registry_proxy.host}/{buildable.prefix}/{name}",
            "digest": digest,
            "compressed_bytes": manifest["config"]["size"] + sum(layer["size"] for layer in manifest["layers"]),
        }


def test_a_second_push_sends_nothing_and_needs_no_engine_here_or_on_another_machine(
    cloud: Cloud, buildable: BuildableProject
) -> None:
    first = buildable.pusher().push(())
    written = buildable.written()
    cloud.registry_proxy.seen.clear()
    cloud.api_proxy.seen.clear()
    again = replace(buildable.pusher(), builder=no_engine).push(())
    assert not any(image.new for image in again)
    assert cloud.registry_proxy.seen == []
    assert sorted(cloud.calls) == ["BatchGetImage"] * len(buildable.names) + ["DescribeRepositories"]
    # Another machine has pushed nothing yet; it looks into what is there.
    (buildable.checkout.dist / "images.json").unlink()
    elsewhere = replace(buildable.pusher(), builder=no_engine).push(())
    assert [image.stored for image in elsewhere] == [image.stored for image in first]
    assert {request.method for request in cloud.registry_proxy.seen} == {"GET"}
    assert buildable.written() == written


@pytest.mark.usefixtures("cloud")
def test_entries_of_images_that_are_gone_or_in_another_registry_are_left_out_and_the_others_kept(
    buildable: BuildableProject,
) -> None:
    buildable.pusher().push(("alpha",))
    file = buildable.checkout.dist / "images.json"
    entries = json.loads(file.read_text(encoding="ascii"))["images"]
    other = {"tag": "1", "version": "1", "digest": "sha256:0", "compressed_bytes": 1}
    elsewhere = {**other, "name": "gamma", "repository": "elsewhere/gamma"}
    gone = {**other, "name": "gone", "repository": entries[0]["repository"]}
    file.write_text(json.dumps({"images": [*entries, elsewhere, gone]}), encoding="ascii")
    buildable.pusher().push(("beta",))
    assert set(buildable.written()) == {"alpha", "beta"}


# Two at once


@pytest.mark.usefixtures("cloud")
def test_pushes_at_the_same_time_name_the_same_digests_and_are_all_written_down(buildable: BuildableProject) -> None:
    with ThreadPoolExecutor() as pool:
        pushes = list(pool.map(lambda name: buildable.pusher().push((name,)), ("alpha", "beta", "alpha")))
    assert pushes[0][0].stored == pushes[2][0].stored
    assert set(buildable.written()) == {"alpha", "beta"}


def test_who_loses_the_race_for_a_tag_uses_the_other_build_of_the_same_content(
    cloud: Cloud, buildable: BuildableProject
) -> None:
    """Two machines' builds of one content differ in their time stamps, and a tag can be used once."""
    builder = buildable.builder
    builds.build(builder, builder.catalog.choose(("alpha",)))
    cloud.registry_proxy.fails(method="PUT", path=MANIFESTS, before=lambda: cloud.push_other_build(buildable, "alpha"))
    (pushed,) = buildable.pusher().push(("alpha",))
    assert not pushed.new
    assert pushed.stored.digest == cloud.manifest(buildable, "alpha")[1] == buildable.written()["alpha"]["digest"]
    assert pushed.stored.config != builder.built(pushed.tagged.image)


# Interrupted


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT], ids=["killed", "Ctrl-C"])
def test_an_interrupted_push_is_finished_by_the_next(
    cloud: Cloud, buildable: BuildableProject, number: signal.Signals
) -> None:
    slow = cloud.registry_proxy.fails(method="PUT|PATCH", path=BLOBS, times=100, seconds=1)
    process = buildable.start("push", environment=cloud.environment)
    deadline = time.monotonic() + 60
    while not slow.hits and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(number)
    _, said = process.communicate(timeout=30)
    if number is signal.SIGINT:
        assert (process.returncode, said.splitlines()[-1]) == (130, "stopped")
        assert "Traceback" not in said
    assert not (buildable.checkout.dist / "images.json").exists()
    cloud.registry_proxy.reset()
    again = buildable.run("push")
    assert again.code == 0, again.err
    assert set(buildable.written()) == set(buildable.names)


# What networks and services do


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param({"method": "PUT", "path": MANIFESTS, "status": 503, "answer": b"busy", "times": 2}, id="503"),
        pytest.param(
            {
                "method": "POST",
                "path": BLOBS,
                "status": 429,
                "answer": b'{"errors":[{"code":"TOOMANYREQUESTS","message":"Rate exceeded"}]}',
                "times": 2,
            },
            id="429",
        ),
        pytest.param({"method": "PUT", "path": MANIFESTS, "times": 2}, id="dropped at the manifest"),
        pytest.param({"method": "GET", "path": "/v2/$", "times": 2}, id="dropped at the first word"),
        pytest.param({"method": "PATCH", "path": BLOBS}, id="dropped in the middle of a layer"),
    ],
)
def test_throttling_5xx_and_dropped_connections_are_tried_again(
    cloud: Cloud, buildable: BuildableProject, fault: dict[str, Any]
) -> None:
    met = cloud.registry_proxy.fails(**fault)
    (pushed,) = buildable.pusher().push(("alpha",))
    assert (pushed.new, met.hits) == (True, met.times)


def test_a_token_that_expires_in_the_middle_is_renewed_once_for_all(cloud: Cloud, buildable: BuildableProject) -> None:
    cloud.registry_proxy.fails(method="PUT", path=MANIFESTS, before=cloud.registry.rotate)
    assert all(image.new for image in buildable.pusher().push(()))
    assert cloud.calls.count("GetAuthorizationToken") == 2


def test_an_api_that_throttles_or_hangs_up_is_asked_again(cloud: Cloud, buildable: BuildableProject) -> None:
    throttled = {
        "status": 400,
        "answer": b'{"__type":"ThrottlingException","message":"Rate exceeded"}',
        "content_type": "application/x-amz-json-1.1",
    }
    met = [cloud.api_proxy.fails(body=call, **throttled) for call in ("DescribeRepositories", "BatchGetImage")]
    met.append(cloud.api_proxy.fails(body="GetAuthorizationToken"))  # hangs up
    (pushed,) = buildable.pusher().push(("alpha",))
    assert pushed.new
    assert [fault.hits for fault in met] == [1, 1, 1]


def test_a_push_that_keeps_failing_ends_in_one_error_while_the_others_are_pushed(
    cloud: Cloud, buildable: BuildableProject
) -> None:
    cloud.registry_proxy.fails(method="PUT", path=f"beta{MANIFESTS}", status=503, answer=b"busy", times=1000)
    error = push_error(buildable)
    assert isinstance(error, UnavailableError)
    assert error.what == f"cannot push {cloud.registry_proxy.host}/{buildable.prefix}/beta:{buildable.tag('beta')}"
    assert "503" in error.why
    assert "It was tried 4 times" in error.fix
    assert set(buildable.written()) == {"alpha", "gamma"}


# What is wrong with a registry


def test_a_tag_of_other_content_is_an_error_and_nothing_is_overwritten(
    cloud: Cloud, buildable: BuildableProject
) -> None:
    (pushed,) = buildable.pusher().push(("beta",))
    cloud.push_other_build(buildable, "beta", fingerprint="0" * 12)
    before = cloud.manifest(buildable, "beta")
    error = push_error(buildable)
    assert isinstance(error, BadDataError)
    assert error.what == f"{pushed.tagged.address} holds something else"
    assert "nothing was overwritten" in error.why
    assert cloud.manifest(buildable, "beta") == before
    assert set(buildable.written()) == set(buildable.names)
    assert buildable.written()["beta"]["digest"] == pushed.stored.digest


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param({"times": 0}, id="none"),
        pytest.param({"status": 503}, id="503"),
        pytest.param({"status": 429}, id="429"),
        pytest.param({}, id="dropped"),
        pytest.param({"status": 401}, id="expired"),
    ],
)
def test_another_build_of_the_same_content_is_used_whatever_happens_on_the_way(
    cloud: Cloud, buildable: BuildableProject, fault: dict[str, Any]
) -> None:
    cloud.push_other_build(buildable, "beta")
    met = cloud.registry_proxy.fails(**fault, method="GET", path="/blobs/")
    (pushed,) = buildable.pusher().push(("beta",))
    assert (pushed.new, met.hits) == (False, met.times)
    assert cloud.registry_proxy.sent("PUT") == []


@pytest.mark.parametrize(("status", "hits"), [(503, 4), (404, 1)])
def test_another_build_that_cannot_be_looked_into_is_an_error(
    cloud: Cloud, buildable: BuildableProject, status: int, hits: int
) -> None:
    cloud.push_other_build(buildable, "beta")
    met = cloud.registry_proxy.fails(method="GET", path="/blobs/", status=status, times=100)
    assert push_error(buildable, "beta").what.startswith("cannot read the labels of ")
    assert met.hits == hits


def test_tags_that_can_be_moved_are_warned_of_and_one_that_is_moved_is_an_error(
    empty_cloud: Cloud, buildable: BuildableProject, capsys: pytest.CaptureFixture[str]
) -> None:
    empty_cloud.make_repositories(buildable, immutable=False)
    empty_cloud.api_proxy.fails(
        body="imageDigest", before=lambda: empty_cloud.push_other_build(buildable, "alpha", fingerprint="0" * 12)
    )
    assert push_error(buildable, "alpha").what.endswith(" is not what was pushed")
    assert f"warning: tags in {buildable.prefix}/alpha can be moved" in capsys.readouterr().err


REFUSALS = {
    "name": b'{"errors":[{"code":"NAME_UNKNOWN","message":"The repository does not exist in the registry"}]}',
    "user": b'{"errors":[{"code":"DENIED","message":"User: arn:aws:iam::1:user/x is not authorized to perform: x"}]}',
}


@pytest.mark.parametrize(
    ("status", "refusal", "said"),
    [
        (404, "name", "Type: python build.py deploy registry"),
        (403, "user", "is not authorized to perform: x. Ask for this permission."),
    ],
)
def test_a_refusal_for_good_is_said_at_once(
    cloud: Cloud, buildable: BuildableProject, status: int, refusal: str, said: str
) -> None:
    """Debian's registry makes any repository and lets everybody push: ECR's refusals are put into its mouth."""
    met = cloud.registry_proxy.fails(method="POST", path=BLOBS, status=status, answer=REFUSALS[refusal], times=1000)
    assert str(push_error(buildable, "alpha")).endswith(said)
    assert met.hits <= 2  # a layer each, side by side


# The login


def test_the_token_is_in_no_log_and_on_no_disk(
    cloud: Cloud,
    buildable: BuildableProject,
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("DOCKER_CONFIG", str(home / ".docker"))
    with caplog.at_level(logging.DEBUG):
        pusher = buildable.pusher()
        pusher.push(("alpha",))
        token = pusher.registry.token()
    text = "\n".join(record.getMessage() for record in caplog.records)
    assert "DescribeRepositories" in text  # it is that level indeed
    for secret in (token.password, json.dumps(token.auth_config), "authorizationToken"):
        assert secret not in text
        assert secret not in repr(token)
    assert list(home.rglob("*")) == []
    for file in buildable.checkout.dist.rglob("*"):
        assert token.password.encode() not in file.read_bytes()
    assert cloud.calls.count("GetAuthorizationToken") == 1


# The command


def test_a_dry_run_says_exactly_what_would_be_done_and_does_nothing(cloud: Cloud, buildable: BuildableProject) -> None:
    (alpha,) = buildable.pusher().push(("alpha",))
    builds.build(buildable.builder, buildable.builder.catalog.choose(("beta",)))
    (buildable.checkout.dist / "images.json").unlink()
    cloud.registry_proxy.seen.clear()
    result = buildable.run("push", "--dry-run")
    assert result.code == 0, result.err
    where = f"{cloud.registry_proxy.host}/{buildable.prefix}"
    assert result.out.splitlines() == [
        f"alpha: {where}/alpha:{buildable.tag('alpha')} is there, {alpha.stored.digest}",
        f"beta: {where}/beta:{buildable.tag('beta')} would be pushed",
        f"gamma: {where}/gamma:{buildable.tag('gamma')} would be built and pushed",
    ]
    assert {request.method for request in cloud.registry_proxy.seen} <= {"GET"}
    assert not (buildable.checkout.dist / "images.json").exists()


def test_data_goes_to_stdout_and_progress_to_stderr(cloud: Cloud, buildable: BuildableProject) -> None:
    result = buildable.run("push", "--json")
    assert result.code == 0, result.err
    printed = json.loads(result.out)["images"]
    assert printed == [{**entry, "new": True} for entry in buildable.written().values()]
    for name in buildable.names:
        address = f"{cloud.registry_proxy.host}/{buildable.prefix}/{name}:{buildable.tag(name)}"
        assert f"{name}: pushed {address}" in result.err


@pytest.mark.usefixtures("cloud")
def test_each_image_without_a_repository_is_an_error_that_names_the_command_that_makes_it(
    buildable: BuildableProject,
) -> None:
    for name in ("alpha", "gamma"):
        Account().ecr().delete_repository(repositoryName=f"{buildable.prefix}/{name}")
    result = buildable.run("push")
    assert result.code == MissingInputError.exit_code
    assert [line for line in result.err.splitlines() if line.startswith("error: ")] == [
        f"error: no ECR repository '{buildable.prefix}/{name}': this account has none of that name in this region. "
        "Type: python build.py deploy registry"
        for name in ("alpha", "gamma")
    ]
    assert set(buildable.written()) == {"beta"}


@pytest.mark.parametrize(
    ("change", "fix"),
    [
        ({"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}, "Type: aws configure, or set AWS_PROFILE."),
        ({"AWS_REGION": "", "AWS_DEFAULT_REGION": ""}, "Set AWS_REGION, or AWS_PROFILE to a profile."),
        ({"AWS_PROFILE": "nobody"}, "Correct AWS_PROFILE."),
        (
            {"AWS_ENDPOINT_URL": "http://127.0.0.1:1"},
            "Check the network, AWS_REGION and AWS_ENDPOINT_URL, and try again.",
        ),
    ],
)
def test_an_environment_that_names_no_aws_account_is_an_error_that_says_what_to_set(
    empty_cloud: Cloud, project: Project, change: dict[str, str], fix: str
) -> None:
    environment = {**empty_cloud.environment, "AWS_MAX_ATTEMPTS": "1", **change}
    result = project.run("push", environment=environment)
    assert result.code == UnavailableError.exit_code
    (said,) = result.err.splitlines()
    assert said.startswith("error: ")
    assert said.endswith(fix)


# What is pushed runs


def test_a_pushed_image_can_be_pulled_by_its_digest_and_run(
    empty_cloud: Cloud, builder: ImageBuilder, tmp_path: Path
) -> None:
    (built,) = builds.build(builder, builder.catalog.choose(("samtools",)))
    with buildable_project(tmp_path / "checkout", builder.engine, base=built.image_id) as project:
        empty_cloud.make_repositories(project)
        registry = Registry(Account())
        (pushed,) = project.pusher(registry).push(("alpha",))
        client = project.engine.client
        client.images.remove(project.builder.reference(pushed.tagged.image), force=True)
        client.images.remove(pushed.tagged.address, force=True)
        assert project.engine.find(pushed.stored.config) is None
        reference = f"{pushed.tagged.repository.uri}@{pushed.stored.digest}"
        client.images.pull(reference, auth_config=registry.token().auth_config)
        try:
            result = project.engine.run(Container(image=reference, command=("samtools", "--version"), memory=64))
            assert result.stdout.startswith("samtools 1."), result.stderr
        finally:
            client.images.remove(reference, force=True)

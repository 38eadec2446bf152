"""`push`: safe at any time, twice, from two machines at once, and after being interrupted."""

import json
import logging
import re
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from support.push_env import Cloud, Shop, shop

from toolchain.aws import Account
from toolchain.backoff import Backoff
from toolchain.console import LayerProgress, transfer_progress
from toolchain.docker.container import Container
from toolchain.errors import BadDataError, MissingInputError, SeveralFailedError, ToolchainError, UnavailableError
from toolchain.images import build as builds
from toolchain.images.build import ImageBuilder
from toolchain.images.ecr import Registry
from toolchain.localaws.ecr.registry import LocalRegistry

BLOBS = r"/blobs/uploads/"


@pytest.fixture
def ready(cloud: Cloud, small: Shop) -> Cloud:
    """A cloud with a repository for each image, and nothing in them."""
    cloud.make_repositories(small)
    return cloud


def no_engine() -> ImageBuilder:
    pytest.fail("an engine was asked for")


def only_error(raised: pytest.ExceptionInfo[SeveralFailedError]) -> ToolchainError:
    assert len(raised.value.errors) == 1, raised.value.errors
    return raised.value.errors[0]


# First, and again


def test_a_first_push_builds_and_sends_every_image_and_writes_down_what_the_registry_has(
    ready: Cloud, small: Shop
) -> None:
    pushed = small.pusher().push(())
    assert [one.name for one in pushed] == list(small.names)
    assert all(one.new for one in pushed)
    for name, entry in small.written().items():
        repository = f"{small.project}/{name}"
        text, digest = ready.registry.manifest(repository, small.tag(name)) or ("", "")
        manifest = json.loads(text)
        assert entry == {
            "name": name,
            "version": "1.0",
            "tag": small.tag(name),
            "repository": f"{ready.front.host}/{repository}",
            "digest": digest,
            "compressed_bytes": manifest["config"]["size"] + sum(layer["size"] for layer in manifest["layers"]),
        }


def test_all_images_share_one_login_and_one_look_for_their_repositories(ready: Cloud, small: Shop) -> None:
    small.pusher().push(())
    assert ready.calls.count("GetAuthorizationToken") == 1
    assert ready.calls.count("DescribeRepositories") == 1


def test_a_second_push_sends_nothing_asks_for_no_login_and_needs_no_engine(ready: Cloud, small: Shop) -> None:
    small.pusher().push(())
    before = small.written()
    ready.front.seen.clear()
    ready.api.seen.clear()
    pusher = small.pusher()
    again = type(pusher)(checkout=pusher.checkout, dist=pusher.dist, registry=pusher.registry, builder=no_engine).push(
        ()
    )
    assert not any(one.new for one in again)
    assert ready.front.seen == []
    assert sorted(ready.calls) == ["BatchGetImage"] * len(small.names) + ["DescribeRepositories"]
    assert small.written() == before


@pytest.mark.usefixtures("ready")
def test_only_what_changed_is_sent(small: Shop) -> None:
    small.pusher().push(())
    small.change("beta")
    again = small.pusher().push(())
    assert [one.name for one in again if one.new] == ["beta"]
    assert small.written()["beta"]["tag"] == small.tag("beta")


def test_a_machine_that_never_built_takes_what_is_there_without_building(ready: Cloud, small: Shop) -> None:
    first = small.pusher().push(())
    (small.checkout.dist / "images.json").unlink()
    pusher = small.pusher()
    again = type(pusher)(checkout=pusher.checkout, dist=pusher.dist, registry=pusher.registry, builder=no_engine).push(
        ()
    )
    assert [one.stored for one in again] == [one.stored for one in first]
    assert {request.method for request in ready.front.seen[-len(small.names) :]} == {"GET"}


@pytest.mark.usefixtures("ready")
def test_a_push_of_one_image_keeps_what_is_written_of_the_others(small: Shop) -> None:
    small.pusher().push(())
    small.pusher().push(("beta",))
    assert set(small.written()) == set(small.names)


@pytest.mark.usefixtures("ready")
def test_what_is_written_of_an_image_that_is_gone_or_of_another_registry_is_left_out(small: Shop) -> None:
    file = small.checkout.dist / "images.json"
    file.parent.mkdir()
    entry = {"tag": "1", "version": "1", "digest": "sha256:0", "compressed_bytes": 1}
    elsewhere = {**entry, "name": "beta", "repository": "elsewhere/beta"}
    gone = {**entry, "name": "gone", "repository": "elsewhere/gone"}
    file.write_text(json.dumps({"images": [elsewhere, gone]}), encoding="ascii")
    small.pusher().push(("alpha",))
    assert set(small.written()) == {"alpha"}


# Two at once


@pytest.mark.usefixtures("ready")
def test_two_pushes_at_once_both_end_well_and_name_the_same_digests(small: Shop) -> None:
    with ThreadPoolExecutor() as pool:
        first, second = pool.map(lambda _: small.pusher().push(()), range(2))
    assert [one.stored for one in first] == [one.stored for one in second]


@pytest.mark.usefixtures("ready")
def test_two_pushes_of_different_images_at_once_are_both_written_down(small: Shop) -> None:
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda name: small.pusher().push((name,)), small.names))
    assert set(small.written()) == set(small.names)


def test_who_loses_the_race_for_a_tag_takes_the_other_build_of_the_same_content(ready: Cloud, small: Shop) -> None:
    """Two machines' builds of one content differ in their time stamps, and a tag can be taken once."""
    builder = small.builder
    builds.build(builder, builder.catalog.choose(("alpha",)))

    def other_machine_pushes() -> None:
        push_behind(ready.registry, small, "alpha", fingerprint=small.tag("alpha").rpartition("-")[2])

    ready.front.fails(method="PUT", path="/manifests/", before=other_machine_pushes)
    (pushed,) = small.pusher().push(("alpha",))
    assert not pushed.new
    assert pushed.stored.digest == (ready.registry.manifest(f"{small.project}/alpha", small.tag("alpha")) or "")[1]
    assert small.written()["alpha"]["digest"] == pushed.stored.digest
    assert pushed.stored.config != builder.built(pushed.tagged.image)


def push_behind(registry: LocalRegistry, small: Shop, name: str, *, fingerprint: str) -> None:
    """Pushes some other image under a tag, past the proxy."""
    engine = small.engine
    repository = f"{registry.host}/{small.project}/{name}"
    folder = small.checkout.root / "elsewhere"
    folder.mkdir(exist_ok=True)
    (folder / "Dockerfile").write_text("FROM scratch\nCOPY payload /payload\n", encoding="ascii")
    (folder / "payload").write_text(f"{time.time_ns()}", encoding="ascii")
    built = engine.build(
        {file.name: file for file in folder.iterdir()},
        tag=f"{repository}:other",
        arguments={},
        labels={builds.FINGERPRINT_LABEL: fingerprint},
    )
    login = {"username": "AWS", "password": registry.password}
    engine.push(built, repository, small.tag(name), login=login)


# Interrupted


def test_a_push_that_was_killed_is_finished_by_the_next(ready: Cloud, small: Shop) -> None:
    slow = ready.front.fails(method="PUT|PATCH", path=BLOBS, times=100, seconds=3)
    process = small.start("push", environment=ready.environment)
    deadline = time.monotonic() + 60
    while not slow.hits and time.monotonic() < deadline:
        time.sleep(0.05)
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert not (small.checkout.dist / "images.json").exists()
    ready.front.reset()
    again = small.run("push", environment=ready.environment)
    assert again.returncode == 0, again.stderr
    assert set(small.written()) == set(small.names)


def test_ctrl_c_ends_it_at_once_and_says_so(ready: Cloud, small: Shop) -> None:
    builder = small.builder
    builds.build(builder, builder.catalog.choose(()))
    slow = ready.front.fails(method="PUT|PATCH", path=BLOBS, times=1000, seconds=2)
    process = small.start("push", environment=ready.environment)
    deadline = time.monotonic() + 60
    while not slow.hits and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 130
    assert said.splitlines()[-1] == "stopped"
    assert "Traceback" not in said


# What networks and services do


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param({"method": "PUT", "path": "/manifests/", "status": 503, "answer": b"busy"}, id="503"),
        # The engine itself tries a layer again after 5, 10, ... seconds.
        pytest.param(
            {"method": "POST", "path": BLOBS, "status": 503, "answer": b"busy", "times": 1}, id="503 on a layer"
        ),
        pytest.param({"method": "PUT", "path": "/manifests/", "status": 500, "answer": b"oh"}, id="500"),
        pytest.param(
            {
                "method": "POST",
                "path": BLOBS,
                "status": 429,
                "answer": b'{"errors":[{"code":"TOOMANYREQUESTS","message":"Rate exceeded"}]}',
            },
            id="429",
        ),
        pytest.param({"method": "PUT", "path": "/manifests/"}, id="dropped at the manifest"),
        pytest.param({"method": "GET", "path": "/v2/$"}, id="dropped at the first word"),
    ],
)
def test_throttling_5xx_and_dropped_connections_are_tried_again(
    ready: Cloud, small: Shop, fault: dict[str, object]
) -> None:
    met = ready.front.fails(**{"times": 2, **fault})
    (pushed,) = small.pusher().push(("alpha",))
    assert pushed.new
    assert met.hits == met.times


def test_a_connection_that_drops_in_the_middle_of_a_layer_is_tried_again(ready: Cloud, small: Shop) -> None:
    met = ready.front.fails(method="PATCH", path=BLOBS)
    (pushed,) = small.pusher().push(("alpha",))
    assert pushed.new
    assert met.hits == 1


def test_a_token_that_ends_in_the_middle_is_renewed_once_for_all(ready: Cloud, small: Shop) -> None:
    ready.front.fails(method="PUT", path="/manifests/", before=ready.registry.rotate)
    pushed = small.pusher().push(())
    assert all(one.new for one in pushed)
    assert ready.calls.count("GetAuthorizationToken") == 2


def test_a_throttled_api_is_asked_again(ready: Cloud, small: Shop) -> None:
    throttled = {
        "status": 400,
        "answer": b'{"__type":"ThrottlingException","message":"Rate exceeded"}',
        "content_type": "application/x-amz-json-1.1",
    }
    met = [ready.api.fails(body=call, **throttled) for call in ("DescribeRepositories", "BatchGetImage")]
    met.append(ready.api.fails(body="GetAuthorizationToken"))  # hangs up
    (pushed,) = small.pusher().push(("alpha",))
    assert pushed.new
    assert [fault.hits for fault in met] == [1, 1, 1]


def test_what_stays_broken_ends_in_one_error_while_the_others_are_pushed(ready: Cloud, small: Shop) -> None:
    ready.front.fails(method="PUT", path="beta/manifests/", status=503, answer=b"busy", times=1000)
    with pytest.raises(SeveralFailedError) as raised:
        small.pusher().push(())
    error = only_error(raised)
    assert isinstance(error, UnavailableError)
    assert error.what == f"cannot push {ready.front.host}/{small.project}/beta:{small.tag('beta')}"
    assert "503" in error.why
    assert "It was tried 4 times" in error.fix
    assert set(small.written()) == {"alpha", "gamma"}


def test_waits_grow_are_bounded_and_differ() -> None:
    patience = Backoff(first=1, longest=10)
    for failed, longest in ((1, 1), (2, 2), (3, 4), (4, 8), (5, 10), (9, 10)):
        waits = [patience.wait(failed) for _ in range(200)]
        assert 0 <= min(waits) < longest / 4
        assert longest * 3 / 4 < max(waits) <= longest


# What is wrong with a registry


def test_a_tag_that_holds_something_else_is_an_error_and_nothing_is_overwritten(ready: Cloud, small: Shop) -> None:
    push_behind(ready.registry, small, "beta", fingerprint="0" * 12)
    before = ready.registry.manifest(f"{small.project}/beta", small.tag("beta"))
    with pytest.raises(SeveralFailedError) as raised:
        small.pusher().push(())
    error = only_error(raised)
    assert isinstance(error, BadDataError)
    assert error.what == f"{ready.front.host}/{small.project}/beta:{small.tag('beta')} holds something else"
    assert "nothing was overwritten" in error.why
    assert ready.registry.manifest(f"{small.project}/beta", small.tag("beta")) == before
    assert set(small.written()) == {"alpha", "gamma"}


def test_another_digest_than_the_one_written_down_is_looked_into(ready: Cloud, small: Shop) -> None:
    (pushed,) = small.pusher().push(("beta",))
    push_behind(ready.registry, small, "beta", fingerprint="0" * 12)
    with pytest.raises(SeveralFailedError) as raised:
        small.pusher().push(("beta",))
    assert "holds something else" in only_error(raised).what
    assert small.written()["beta"]["digest"] == pushed.stored.digest


def test_another_build_of_the_same_content_is_taken(ready: Cloud, small: Shop) -> None:
    push_behind(ready.registry, small, "beta", fingerprint=small.tag("beta").rpartition("-")[2])
    (pushed,) = small.pusher().push(("beta",))
    assert not pushed.new
    assert ready.front.sent("PUT") == []


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param({"status": 503}, id="503"),
        pytest.param({"status": 429}, id="429"),
        pytest.param({}, id="dropped"),
        pytest.param({"status": 401}, id="expired"),
    ],
)
def test_looking_into_another_build_is_tried_again_too(ready: Cloud, small: Shop, fault: dict[str, object]) -> None:
    push_behind(ready.registry, small, "beta", fingerprint=small.tag("beta").rpartition("-")[2])
    met = ready.front.fails(**fault, method="GET", path="/blobs/")
    (pushed,) = small.pusher().push(("beta",))
    assert (pushed.new, met.hits) == (False, 1)


def test_another_build_that_cannot_be_looked_into_is_an_error_of_its_image(ready: Cloud, small: Shop) -> None:
    push_behind(ready.registry, small, "beta", fingerprint=small.tag("beta").rpartition("-")[2])
    met = ready.front.fails(method="GET", path="/blobs/", status=503, times=100)
    with pytest.raises(SeveralFailedError) as raised:
        small.pusher().push(("beta",))
    assert only_error(raised).what.startswith("cannot read the labels of ")
    assert met.hits == 4


def test_a_tag_that_is_moved_between_push_and_look_is_an_error(cloud: Cloud, small: Shop) -> None:
    cloud.make_repositories(small, immutable=False)
    cloud.api.fails(
        body="imageDigest",
        before=lambda: push_behind(cloud.registry, small, "alpha", fingerprint="0" * 12),
    )
    with pytest.raises(SeveralFailedError) as raised:
        small.pusher().push(("alpha",))
    assert only_error(raised).what.endswith(" is not what was pushed")


def test_a_repository_whose_tags_can_be_moved_is_warned_of(
    cloud: Cloud, small: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    cloud.make_repositories(small, immutable=False)
    small.pusher().push(("alpha",))
    assert f"warning: tags in {small.project}/alpha can be moved" in capsys.readouterr().err


@pytest.mark.usefixtures("ready")
def test_a_missing_repository_is_an_error_that_names_the_command_that_makes_it(small: Shop) -> None:
    Account().ecr().delete_repository(repositoryName=f"{small.project}/gamma")
    with pytest.raises(SeveralFailedError) as raised:
        small.pusher().push(())
    error = only_error(raised)
    assert isinstance(error, MissingInputError)
    assert str(error) == (
        f"no ECR repository '{small.project}/gamma': this account has none of that name in this region. "
        "Type: python build.py deploy registry"
    )
    assert set(small.written()) == {"alpha", "beta"}


def test_a_repository_that_goes_away_before_the_push_is_the_same_error(ready: Cloud, small: Shop) -> None:
    """Debian's registry makes any repository; ECR's refusal is put into its mouth."""
    refusal = b'{"errors":[{"code":"NAME_UNKNOWN","message":"The repository does not exist in the registry"}]}'
    ready.front.fails(method="POST", path=BLOBS, status=404, answer=refusal, times=1000)
    with pytest.raises(SeveralFailedError) as raised:
        small.pusher().push(("alpha",))
    assert only_error(raised).fix == "Type: python build.py deploy registry"


def test_a_user_who_may_not_push_is_told_so_at_once(ready: Cloud, small: Shop) -> None:
    refusal = (
        b'{"errors":[{"code":"DENIED","message":"User: arn:aws:iam::1:user/x is not authorized to perform: '
        b'ecr:InitiateLayerUpload"}]}'
    )
    met = ready.front.fails(method="POST", path=BLOBS, status=403, answer=refusal, times=1000)
    with pytest.raises(SeveralFailedError) as raised:
        small.pusher().push(("alpha",))
    assert "ecr:InitiateLayerUpload" in only_error(raised).why
    assert met.hits <= 2  # a layer each, side by side


# The login


def test_the_token_is_in_no_log_and_on_no_disk(
    ready: Cloud, small: Shop, caplog: pytest.LogCaptureFixture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("DOCKER_CONFIG", str(home / ".docker"))
    with caplog.at_level(logging.DEBUG):
        # DEBUG also wakes up what stays silent otherwise; moto's own records are not ours.
        pusher = small.pusher()
        pusher.push(())
        token = pusher.registry.token()
    text = "\n".join(record.getMessage() for record in caplog.records)
    encoded = json.dumps(token.auth_config)
    for secret in (token.password, encoded):
        assert secret not in text
        assert secret not in repr(token)
    assert "authorizationToken" not in text
    assert list(home.rglob("*")) == []
    for file in small.checkout.dist.rglob("*"):
        assert token.password.encode() not in file.read_bytes()
    assert ready.calls.count("GetAuthorizationToken") == 1


# The command


def test_a_dry_run_says_exactly_what_would_be_done_and_does_nothing(ready: Cloud, small: Shop) -> None:
    (alpha,) = small.pusher().push(("alpha",))
    builds.build(small.builder, small.builder.catalog.choose(("beta",)))
    (small.checkout.dist / "images.json").unlink()
    ready.front.seen.clear()
    result = small.run("push", "--dry-run", environment=ready.environment)
    assert result.returncode == 0, result.stderr
    where = f"{ready.front.host}/{small.project}"
    assert result.stdout.splitlines() == [
        f"alpha: {where}/alpha:{small.tag('alpha')} is there, {alpha.stored.digest}",
        f"beta: {where}/beta:{small.tag('beta')} would be pushed",
        f"gamma: {where}/gamma:{small.tag('gamma')} would be built and pushed",
    ]
    assert {request.method for request in ready.front.seen} <= {"GET"}
    assert not (small.checkout.dist / "images.json").exists()


def test_data_goes_to_stdout_and_progress_to_stderr(ready: Cloud, small: Shop) -> None:
    result = small.run("push", "--json", environment=ready.environment)
    assert result.returncode == 0, result.stderr
    printed = json.loads(result.stdout)["images"]
    assert [{key: value for key, value in entry.items() if key != "new"} for entry in printed] == list(
        small.written().values()
    )
    assert all(entry["new"] for entry in printed)
    for name in small.names:
        assert f"{name}: pushed {ready.front.host}/{small.project}/{name}:{small.tag(name)}" in result.stderr
    again = small.run("push", environment=ready.environment)
    assert (again.returncode, again.stdout) == (0, "")
    assert again.stderr == "nothing to push: ECR holds every image with this content\n"


def test_each_image_that_fails_has_its_error_and_the_exit_code_says_so(ready: Cloud, small: Shop) -> None:
    ecr = Account().ecr()
    for name in ("alpha", "gamma"):
        ecr.delete_repository(repositoryName=f"{small.project}/{name}")
    result = small.run("push", environment=ready.environment)
    assert result.returncode == MissingInputError.exit_code
    errors = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert [error.partition(":")[2].split("'")[1] for error in errors] == [
        f"{small.project}/alpha",
        f"{small.project}/gamma",
    ]
    assert set(small.written()) == {"beta"}


@pytest.mark.parametrize(
    ("change", "fix"),
    [
        ({"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}, "Type: aws configure, or set AWS_PROFILE."),
        ({"AWS_REGION": "", "AWS_DEFAULT_REGION": ""}, "Set AWS_REGION, or AWS_PROFILE to a profile."),
        ({"AWS_PROFILE": "nobody"}, "Correct AWS_PROFILE."),
    ],
)
def test_an_environment_that_names_no_aws_account_is_an_error_that_says_what_to_set(
    cloud: Cloud, small: Shop, change: dict[str, str], fix: str
) -> None:
    result = small.run("push", environment={**cloud.environment, **change})
    assert result.returncode == UnavailableError.exit_code
    (said,) = result.stderr.splitlines()
    assert said.startswith("error: ")
    assert said.endswith(fix)


def test_on_a_terminal_every_layer_has_its_own_bar(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "200")
    with transfer_progress(("alpha", "beta")) as shown:
        shown.layer("alpha", LayerProgress(name="1a2b3c", status="Preparing"))
        shown.layer("alpha", LayerProgress(name="1a2b3c", status="Pushing", sent=400_000, total=1_000_000))
        shown.layer("alpha", LayerProgress(name="4d5e6f", status="Layer already exists"))
        shown.retry("beta", "again after: 503")
        time.sleep(0.3)  # a frame is drawn ten times a second
        shown.done("alpha", "pushed alpha:1.0")
    said = capsys.readouterr()
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", said.err)
    assert said.out == ""
    for part in ("alpha", "1a2b3c", "pushing", "0.4/1.0 MB", "layer already exists", "again after: 503"):
        assert part in text, part
    assert "pushed alpha:1.0" in text


# What is pushed runs


@pytest.fixture
def runnable(builder: ImageBuilder, tmp_path: Path) -> Iterator[Shop]:
    """Images that start from a real one."""
    (built,) = builds.build(builder, builder.catalog.choose(("samtools",)))
    with shop(tmp_path / "checkout", builder.engine, base=built.image_id) as made:
        yield made


def test_a_pushed_image_can_be_pulled_by_its_digest_and_run(cloud: Cloud, runnable: Shop) -> None:
    cloud.make_repositories(runnable)
    registry = Registry(Account())
    (pushed,) = runnable.pusher(registry).push(("alpha",))
    client = runnable.engine.client
    client.images.remove(runnable.builder.reference(pushed.tagged.image), force=True)
    client.images.remove(pushed.tagged.address, force=True)
    assert runnable.engine.find(pushed.stored.config) is None
    reference = f"{pushed.tagged.repository.uri}@{pushed.stored.digest}"
    client.images.pull(reference, auth_config=registry.token().auth_config)
    try:
        result = runnable.engine.run(Container(image=reference, command=("samtools", "--version"), memory=64))
        assert result.stdout.startswith("samtools 1."), result.stderr
    finally:
        client.images.remove(reference, force=True)

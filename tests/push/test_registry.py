"""What is asked of ECR, and what its answers become; no engine and no registry."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from botocore.stub import Stubber
from support.fault_proxy import FaultProxy

from toolchain.aws import Account
from toolchain.errors import BadDataError
from toolchain.images.ecr import MANIFESTS, Registry, Repository, Token
from toolchain.images.push_errors import PushError, classify

MANIFEST = (
    '{"mediaType": "application/vnd.docker.distribution.manifest.v2+json", '
    '"config": {"digest": "sha256:c", "size": 10}, "layers": [{"size": 200}, {"size": 3000}]}'
)
REPOSITORY = Repository(name="genomics/bwa", uri="1.dkr.ecr.eu-central-1.amazonaws.com/genomics/bwa", immutable=True)


@pytest.fixture
def stubbed(aws: FaultProxy) -> Iterator[tuple[Registry, Stubber]]:
    """A registry whose answers a test writes itself, checked against the service's model."""
    del aws
    registry = Registry(Account())
    with Stubber(registry._ecr) as stubber:  # noqa: SLF001  # there is no other way to its client
        yield registry, stubber


@pytest.mark.parametrize(
    ("region", "host"),
    [
        ("eu-central-1", "123456789012.dkr.ecr.eu-central-1.amazonaws.com"),
        ("cn-north-1", "123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn"),
        ("us-gov-west-1", "123456789012.dkr.ecr.us-gov-west-1.amazonaws.com"),
    ],
)
def test_every_partition_has_its_own_host_names_since_the_service_names_them(
    stubbed: tuple[Registry, Stubber], region: str, host: str
) -> None:
    """Moto says amazonaws.com for China too: the documented address stands here instead."""
    registry, stubber = stubbed
    answer = {"repositories": [{"repositoryName": "genomics/bwa", "repositoryUri": f"{host}/genomics/bwa"}]}
    stubber.add_response("describe_repositories", answer, {"repositoryNames": ["genomics/bwa"]})
    assert registry.repositories(["genomics/bwa"])["genomics/bwa"].uri == f"{host}/genomics/bwa"
    assert region in host


@pytest.mark.parametrize(
    ("region", "endpoint"),
    [
        ("eu-central-1", "https://api.ecr.eu-central-1.amazonaws.com"),
        ("cn-north-1", "https://api.ecr.cn-north-1.amazonaws.com.cn"),
        ("us-gov-west-1", "https://api.ecr.us-gov-west-1.amazonaws.com"),
    ],
)
def test_every_partition_is_asked_at_its_own_endpoint(
    aws: FaultProxy, monkeypatch: pytest.MonkeyPatch, region: str, endpoint: str
) -> None:
    del aws
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    monkeypatch.setenv("AWS_REGION", region)
    assert Account().ecr().meta.endpoint_url == endpoint


def test_two_hundred_repositories_take_two_calls(aws: FaultProxy) -> None:
    ecr = Account().ecr()
    names = [f"genomics/tool{number}" for number in range(200)]
    for name in names:
        ecr.create_repository(repositoryName=name)
    aws.seen.clear()
    assert set(Registry(Account()).repositories(names)) == set(names)
    assert [one.target for one in aws.seen] == ["DescribeRepositories"] * 2


def test_repositories_that_are_missing_do_not_hide_those_that_are_there(aws: FaultProxy) -> None:
    del aws
    ecr = Account().ecr()
    for name in ("genomics/b", "genomics/d"):
        ecr.create_repository(repositoryName=name)
    found = Registry(Account()).repositories([f"genomics/{letter}" for letter in "abcde"])
    assert set(found) == {"genomics/b", "genomics/d"}


def test_tags_and_digests_are_asked_for_a_hundred_in_a_call(stubbed: tuple[Registry, Stubber]) -> None:
    registry, stubber = stubbed
    tags = [f"t{number:03}" for number in range(150)]
    for asked in (tags[:100], tags[100:]):
        expected = {
            "repositoryName": REPOSITORY.name,
            "imageIds": [{"imageTag": tag} for tag in asked],
            "acceptedMediaTypes": list(MANIFESTS),
        }
        stubber.add_response("batch_get_image", {"images": [], "failures": []}, expected)
    assert registry.images(REPOSITORY, tags=tags) == {}
    stubber.assert_no_pending_responses()


def test_an_image_is_found_under_each_name_that_was_asked_for(stubbed: tuple[Registry, Stubber]) -> None:
    registry, stubber = stubbed
    digest = "sha256:" + "a" * 64
    image = {"imageId": {"imageTag": "1.0", "imageDigest": digest}, "imageManifest": MANIFEST}
    failure = {"imageId": {"imageTag": "2.0"}, "failureCode": "ImageNotFound"}
    stubber.add_response("batch_get_image", {"images": [image], "failures": [failure]})
    found = registry.images(REPOSITORY, tags=["1.0", "2.0"], digests=[digest])
    assert set(found) == {"1.0", digest}
    assert found["1.0"].compressed_bytes == 3210


def test_an_index_of_several_platforms_is_refused(stubbed: tuple[Registry, Stubber]) -> None:
    registry, stubber = stubbed
    image = {
        "imageId": {"imageTag": "1.0", "imageDigest": "sha256:" + "a" * 64},
        "imageManifest": '{"mediaType": "application/vnd.oci.image.index.v1+json", "manifests": []}',
    }
    stubber.add_response("batch_get_image", {"images": [image], "failures": []})
    with pytest.raises(BadDataError, match="is no image of one platform"):
        registry.images(REPOSITORY, tags=["1.0"])


def test_a_login_is_shared_until_it_is_about_to_end(stubbed: tuple[Registry, Stubber]) -> None:
    registry, stubber = stubbed
    for minutes in (4, 60):
        data = {"authorizationToken": "QVdTOng=", "expiresAt": datetime.now(UTC) + timedelta(minutes=minutes)}
        stubber.add_response("get_authorization_token", {"authorizationData": [data]})
    first = registry.token()  # ends in four minutes
    second = registry.token()
    assert second is not first
    assert registry.token() is second
    stubber.assert_no_pending_responses()


def test_a_refused_login_is_renewed_once_however_many_hold_it(stubbed: tuple[Registry, Stubber]) -> None:
    registry, stubber = stubbed
    for _ in range(2):
        data = {"authorizationToken": "QVdTOng=", "expiresAt": datetime.now(UTC) + timedelta(hours=12)}
        stubber.add_response("get_authorization_token", {"authorizationData": [data]})
    refused = registry.token()
    assert registry.renew(refused) is registry.renew(refused)
    stubber.assert_no_pending_responses()


def test_a_tokens_text_is_in_no_representation_of_it() -> None:
    token = Token(
        username="AWS",
        password="secret",  # noqa: S106  # that is the point
        expires=datetime.now(UTC),
    )
    assert "secret" not in repr(token)
    assert "secret" not in str(token)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("denied: Your authorization token has expired. Reauthenticate and try again.", PushError.LOGIN),
        ("no basic auth credentials", PushError.LOGIN),
        ("unauthorized: authentication required", PushError.LOGIN),
        (
            "denied: User: arn:aws:iam::1:user/x is not authorized to perform: ecr:InitiateLayerUpload on resource",
            PushError.FORBIDDEN,
        ),
        ("denied: requested access to the resource is denied", PushError.FORBIDDEN),
        (
            "tag invalid: The image tag '1' already exists and cannot be overwritten because the tag is immutable.",
            PushError.TAG_TAKEN,
        ),
        (
            "name unknown: The repository with name 'x' does not exist in the registry with id '1'",
            PushError.NO_REPOSITORY,
        ),
        ("toomanyrequests: Rate exceeded", PushError.TEMPORARY),
        ("received unexpected HTTP status: 503 Service Unavailable", PushError.TEMPORARY),
        ('Put "https://x/v2/": EOF', PushError.TEMPORARY),
        ("write: connection reset by peer", PushError.TEMPORARY),
        ("net/http: TLS handshake timeout", PushError.TEMPORARY),
        ("something that nobody has seen yet", PushError.TEMPORARY),
    ],
)
def test_what_the_engine_says_decides_what_is_done(text: str, kind: PushError) -> None:
    assert classify(text) is kind

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
DIGEST = "sha256:" + "a" * 64
REPOSITORY = Repository(name="genomics/bwa", uri="1.dkr.ecr.eu-central-1.amazonaws.com/genomics/bwa", immutable=True)
Stubbed = tuple[Registry, Stubber]


@pytest.fixture
def stubbed(aws: FaultProxy) -> Iterator[Stubbed]:
    """A registry whose answers a test writes itself, checked against the service's model."""
    del aws
    registry = Registry(Account())
    with Stubber(registry._ecr) as stubber:  # noqa: SLF001  # there is no other way to its client
        yield registry, stubber
        stubber.assert_no_pending_responses()


def test_repositories_have_the_service_s_own_addresses_and_are_asked_for_a_hundred_in_a_call(stubbed: Stubbed) -> None:
    registry, stubber = stubbed
    names = [f"genomics/t{number:03}" for number in range(150)]
    # In China; moto says amazonaws.com there too.
    addresses = {name: f"1.dkr.ecr.cn-north-1.amazonaws.com.cn/{name}" for name in names}
    for asked in (names[:100], names[100:]):
        answer = [{"repositoryName": name, "repositoryUri": addresses[name]} for name in asked]
        stubber.add_response("describe_repositories", {"repositories": answer}, {"repositoryNames": asked})
    repositories = registry.repositories(reversed(names))
    assert {name: repository.uri for name, repository in repositories.items()} == addresses


def test_repositories_that_are_missing_do_not_hide_those_that_exist(aws: FaultProxy) -> None:
    del aws
    for name in ("genomics/b", "genomics/d"):
        Account().ecr().create_repository(repositoryName=name)
    repositories = Registry(Account()).repositories([f"genomics/{letter}" for letter in "abcde"])
    assert set(repositories) == {"genomics/b", "genomics/d"}


def test_images_are_asked_for_a_hundred_in_a_call_and_given_under_each_name_that_was_asked_for(
    stubbed: Stubbed,
) -> None:
    registry, stubber = stubbed
    tags = [f"t{number:03}" for number in range(149)]
    image = {"imageId": {"imageTag": "t001", "imageDigest": DIGEST}, "imageManifest": MANIFEST}
    failure = {"imageId": {"imageTag": "t002"}, "failureCode": "ImageNotFound"}
    wanted = [*({"imageTag": tag} for tag in tags), {"imageDigest": DIGEST}]
    for asked in (wanted[:100], wanted[100:]):
        expected = {"repositoryName": REPOSITORY.name, "imageIds": asked, "acceptedMediaTypes": list(MANIFESTS)}
        stubber.add_response("batch_get_image", {"images": [image], "failures": [failure]}, expected)
    images = registry.images(REPOSITORY, tags=tags, digests=[DIGEST])
    assert set(images) == {"t001", DIGEST}
    assert images["t001"].compressed_bytes == 3210


def test_an_index_of_several_platforms_is_refused(stubbed: Stubbed) -> None:
    registry, stubber = stubbed
    image = {
        "imageId": {"imageTag": "1.0", "imageDigest": DIGEST},
        "imageManifest": '{"mediaType": "application/vnd.oci.image.index.v1+json", "manifests": []}',
    }
    stubber.add_response("batch_get_image", {"images": [image], "failures": []})
    with pytest.raises(BadDataError, match="is no image of one platform"):
        registry.images(REPOSITORY, tags=["1.0"])


def add_tokens(stubber: Stubber, *lifetimes: timedelta) -> None:
    for lifetime in lifetimes:
        data = {"authorizationToken": "QVdTOng=", "expiresAt": datetime.now(UTC) + lifetime}
        stubber.add_response("get_authorization_token", {"authorizationData": [data]})


def test_a_login_is_shared_until_it_is_about_to_expire(stubbed: Stubbed) -> None:
    registry, stubber = stubbed
    add_tokens(stubber, timedelta(minutes=4), timedelta(hours=1))
    first = registry.token()
    second = registry.token()
    assert second is not first
    assert registry.token() is second


def test_a_refused_login_is_renewed_once_however_many_hold_it(stubbed: Stubbed) -> None:
    registry, stubber = stubbed
    add_tokens(stubber, timedelta(hours=12), timedelta(hours=12))
    refused = registry.token()
    assert registry.renew(refused) is registry.renew(refused)


def test_a_token_s_text_is_in_no_representation_of_it() -> None:
    token = Token(username="AWS", password="secret", expires=datetime.now(UTC))  # noqa: S106  # that is the point
    assert "secret" not in f"{token!r} {token}"


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("denied: Your authorization token has expired. Reauthenticate and try again.", PushError.LOGIN),
        ("no basic auth credentials", PushError.LOGIN),
        ("unauthorized: authentication required", PushError.LOGIN),
        ("denied: User: arn:aws:iam::1:user/x is not authorized to perform: ecr:PutImage", PushError.FORBIDDEN),
        ("denied: requested access to the resource is denied", PushError.FORBIDDEN),
        ("tag invalid: The image tag '1' already exists and cannot be overwritten", PushError.TAG_TAKEN),
        ("name unknown: The repository with name 'x' does not exist in the registry", PushError.NO_REPOSITORY),
        ("toomanyrequests: Rate exceeded", PushError.TEMPORARY),
        ("received unexpected HTTP status: 503 Service Unavailable", PushError.TEMPORARY),
        ('Put "https://x/v2/": EOF', PushError.TEMPORARY),
        ("something that nobody has seen yet", PushError.TEMPORARY),
    ],
)
def test_the_engine_s_words_decide_what_is_done(text: str, kind: PushError) -> None:
    assert classify(text) is kind

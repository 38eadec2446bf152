"""An embedded AWS: moto's server, Debian's docker-registry, and a proxy before each that can fail."""

import json
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from moto.backends import get_backend
from moto.server import ThreadedMotoServer
from support.fault_proxy import FaultProxy, fault_proxy
from support.push_env import BuildableProject, Cloud, Project, buildable_project, make_project

from toolchain.images.build import ImageBuilder
from toolchain.localaws.ecr.registry import LocalRegistry
from toolchain.localaws.ecr.repositories import use_registry

REGION = "eu-central-1"
ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_REGION": REGION,
    "AWS_DEFAULT_REGION": REGION,
    # Nothing of the user's own is read, and nothing leaves this machine.
    "AWS_CONFIG_FILE": "/dev/null",
    "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
    "AWS_EC2_METADATA_DISABLED": "true",
    "NO_PROXY": "127.0.0.1",
    "no_proxy": "127.0.0.1",
}


@pytest.fixture(scope="session")
def moto_server() -> Iterator[str]:
    """`host:port` of moto's server, in this process."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"{host}:{port}"
    server.stop()


@pytest.fixture(scope="session")
def api_proxy(moto_server: str) -> Iterator[FaultProxy]:
    with fault_proxy(moto_server) as proxy:
        yield proxy


@pytest.fixture
def aws(api_proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultProxy]:
    """An empty AWS; the proxy before its API."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in {**ENVIRONMENT, "AWS_ENDPOINT_URL": api_proxy.url}.items():
        monkeypatch.setenv(name, value)
    # This one has no limit of calls.
    monkeypatch.setattr("toolchain.aws.BATCH_CALLS_PER_SECOND", 10_000)
    for service in ("ecr", "batch", "stepfunctions"):
        get_backend(service).reset()
    api_proxy.reset()
    yield api_proxy
    api_proxy.reset()


@pytest.fixture(scope="session")
def real_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalRegistry]:
    with LocalRegistry(tmp_path_factory.mktemp("registry")) as registry:
        yield registry


@pytest.fixture(scope="session")
def registry_proxy(real_registry: LocalRegistry) -> Iterator[FaultProxy]:
    """The proxy before the registry, where tags are immutable."""
    with fault_proxy(real_registry.host) as proxy:
        yield proxy


@pytest.fixture
def empty_cloud(aws: FaultProxy, registry_proxy: FaultProxy, real_registry: LocalRegistry) -> Iterator[Cloud]:
    """A cloud without repositories."""
    registry_proxy.reset()
    registry_proxy.guard = _immutable(real_registry)
    real_registry.rotate()
    with use_registry(real_registry, registry_proxy.host):
        yield Cloud(
            api_proxy=aws,
            registry_proxy=registry_proxy,
            registry=real_registry,
            environment={**ENVIRONMENT, "AWS_ENDPOINT_URL": aws.url},
        )
    registry_proxy.reset()


@pytest.fixture
def cloud(empty_cloud: Cloud, buildable: BuildableProject) -> Cloud:
    """A cloud with an empty repository for each image of `buildable`."""
    empty_cloud.make_repositories(buildable)
    return empty_cloud


def _immutable(registry: LocalRegistry) -> Callable[[str, str, bytes], tuple[int, bytes] | None]:
    """What ECR does in a repository of immutable tags, and Debian's registry does not: refuse a tag that is taken."""

    def guard(method: str, path: str, body: bytes) -> tuple[int, bytes] | None:
        manifest = re.fullmatch(r"/v2/(.+)/manifests/([^:]+)", path)
        if method != "PUT" or manifest is None:
            return None
        repository, tag = manifest.groups()
        existing = registry.manifest(repository, tag)
        if existing is None or existing[0].encode() == body:
            return None
        message = (
            f"The image tag '{tag}' already exists in the '{repository}' repository and cannot be overwritten "
            "because the tag is immutable."
        )
        return 400, json.dumps({"errors": [{"code": "TAG_INVALID", "message": message}]}).encode()

    return guard


@pytest.fixture
def buildable(builder: ImageBuilder, tmp_path: Path) -> Iterator[BuildableProject]:
    """A checkout of three small images."""
    with buildable_project(tmp_path / "checkout", builder.engine) as project:
        yield project


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A checkout of three small images that claims to have pushed them."""
    project = make_project(tmp_path / "checkout")
    project.pretend_pushed()
    return project

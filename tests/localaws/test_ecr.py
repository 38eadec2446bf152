"""ECR: a real registry answers where repositories say they are, from the first login on."""

import base64
from pathlib import Path

import pytest
import requests
from support.embedded_services import Embedded

from toolchain.errors import UnavailableError
from toolchain.localaws.ecr import registry
from toolchain.localaws.ecr.registry import LocalRegistry
from toolchain.paths import Checkout


def test_nothing_listens_until_somebody_logs_in(embedded: Embedded) -> None:
    ecr = embedded.client("ecr")
    address = ecr.create_repository(repositoryName="p/bwa")["repository"]["repositoryUri"]
    host, _, name = address.partition("/")
    assert name == "p/bwa"
    assert ecr.describe_images(repositoryName="p/bwa")["imageDetails"] == []
    with pytest.raises(requests.ConnectionError, match="refused"):
        requests.get(f"http://{host}/v2/", timeout=5)
    data = ecr.get_authorization_token()["authorizationData"][0]
    assert base64.b64decode(data["authorizationToken"]).startswith(b"AWS:")
    assert data["proxyEndpoint"] == f"http://{host}"
    headers = {"Authorization": f"Basic {data['authorizationToken']}"}
    assert requests.get(f"http://{host}/v2/", headers=headers, timeout=5).status_code == 200
    assert requests.get(f"http://{host}/v2/", timeout=5).status_code == 401
    assert ecr.describe_images(repositoryName="p/bwa")["imageDetails"] == []


def test_a_registry_that_does_not_start_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "docker-registry"
    program.write_text("#!/bin/sh\necho disk full\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    with LocalRegistry(tmp_path / "data") as started:
        for _ in range(2):  # each login tries again
            with pytest.raises(UnavailableError) as caught:
                assert started.password
            assert caught.value.why == "disk full"


def test_a_machine_without_registry_and_apt_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(registry, "HERE", Checkout(root=tmp_path))
    with LocalRegistry(tmp_path / "data") as started, pytest.raises(UnavailableError, match="no docker-registry"):
        assert started.password

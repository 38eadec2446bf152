"""ECR: a real registry answers where repositories say they are, from the first login on."""

import base64
import urllib.request
from urllib.error import URLError

import pytest
from support.embedded_services import Embedded


def test_nothing_listens_until_somebody_logs_in_and_then_the_login_is_good(embedded: Embedded) -> None:
    ecr = embedded.client("ecr")
    address = ecr.create_repository(repositoryName="p/bwa")["repository"]["repositoryUri"]
    host, _, name = address.partition("/")
    assert name == "p/bwa"
    with pytest.raises(URLError, match="refused"):
        urllib.request.urlopen(f"http://{host}/v2/", timeout=5)
    data = ecr.get_authorization_token()["authorizationData"][0]
    assert base64.b64decode(data["authorizationToken"]).startswith(b"AWS:")
    assert data["proxyEndpoint"] == f"http://{host}"
    request = urllib.request.Request(f"http://{host}/v2/")
    request.add_header("Authorization", f"Basic {data['authorizationToken']}")
    with urllib.request.urlopen(request, timeout=5) as answer:
        assert answer.status == 200
    assert ecr.describe_images(repositoryName="p/bwa")["imageDetails"] == []

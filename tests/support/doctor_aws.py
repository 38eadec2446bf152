"""A deployed set for `doctor` to look at: the embedded AWS answers, and a test alters one of its answers."""

import hashlib
import http.client
import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote, urlsplit

import boto3
import pytest
from botocore.validate import validate_parameters
from support.aws_clients import lead

from toolchain import files
from toolchain.aws import Account
from toolchain.doctor import run_checks as examination
from toolchain.doctor.context import DoctorContext
from toolchain.doctor.result import Finding
from toolchain.images import catalog
from toolchain.images.fingerprint import tag
from toolchain.jobdefs import register as registration
from toolchain.jobdefs import template as jobdefs
from toolchain.localaws.config import LocalConfig
from toolchain.localaws.server import serve
from toolchain.paths import HERE, Checkout
from toolchain.runs.target import AwsTarget
from toolchain.stacks.deploy import Deployer

Json = dict[str, Any]
REGION = "eu-central-1"
GIVEN = """
project = "genomics"
workflow = "germline"
[stack.storage]
ReferencePath = "s3://references/hg38"
DataPath = "s3://reads/run1"
"""
QUOTAS = {
    "L-34B43A08": ("All Standard (A, C, D, H, I, M, R, T, Z) Spot Instance Requests", 640.0),
    "L-1216C47A": ("Running On-Demand Standard (A, C, D, H, I, M, R, T, Z) instances", 64.0),
    "L-E3A00192": ("All X Spot Instance Requests", 0.0),
    "L-7295265B": ("Running On-Demand X instances", 0.0),
    "L-C48231E5": ("Lustre Scratch file systems", 100.0),
    "L-AD2FC696": ("Lustre Scratch storage capacity", 100800.0),
    "L-8F1B9C74": ("Lustre Persistent_2 storage capacity", 4800.0),
}


def quota(code: str) -> Json:
    """A quota as Service Quotas gives it, which moto has not."""
    name, value = QUOTAS[code]
    return {"QuotaCode": code, "QuotaName": name, "Value": value}


class RefusedError(Exception):
    """What a service answers instead."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class Ward:
    """A case whose answers can be altered, one operation at a time."""

    def __init__(self, checkout: Checkout) -> None:
        self.checkout = checkout
        self.ahead = 0.0
        self.calls: list[str] = []
        self._changes: dict[str, list[Callable[[Json], None]]] = {}
        self._answers: dict[str, Callable[[Json], Json]] = {
            "GetServiceQuota": lambda asked: {"Quota": quota(asked["QuotaCode"])},
            "ListServiceQuotas": lambda _: {"Quotas": [quota(code) for code in QUOTAS]},
        }

    def alter(self, operation: str, change: Callable[[Json], None]) -> None:
        """Changes what an operation truly answers."""
        self._changes.setdefault(operation, []).append(change)

    def answer(self, operation: str, answer: Callable[[Json], Json]) -> None:
        """Answers instead of the embedded AWS, in what is a valid answer of the service."""
        self._answers[operation] = answer

    def refuse(self, operation: str, code: str) -> None:
        """Answers with an error."""

        def refused(_: Json) -> Json:
            raise RefusedError(code)

        self.answer(operation, refused)

    @property
    def case(self) -> DoctorContext:
        """The case, of which nothing is known yet."""
        return DoctorContext(checkout=self.checkout, open=self.account, clock=lambda: time.time() + self.ahead)

    def account(self) -> Account:
        account = Account()
        events = account._session.events  # noqa: SLF001  # boto3's own way in, of a session that Account keeps
        events.register("before-parameter-build", self._remember)
        events.register("before-call", self._before)  # type: ignore[arg-type]  # what it returns is the answer
        events.register("after-call", self._after)
        return account

    def examine(self) -> list[Finding]:
        """All that `doctor` says."""
        return list(examination.examine(self.case))

    def look(self, name: str) -> list[Finding]:
        """What one check says."""
        [check] = [one for one in examination.CHECKS if one.name == name]
        return list(examination.look(check, self.case))

    def says(self, name: str) -> list[str]:
        """What one check says, as status and text."""
        return [f"{one.status} {one.what}" for one in self.look(name)]

    def _remember(self, params: Json, context: Json, **_: object) -> None:
        context["asked"] = params

    def _before(self, model: Any, context: Json, **_: object) -> tuple[Any, Json] | None:  # botocore's
        self.calls.append(model.name)
        if model.name not in self._answers:
            return None
        try:
            answer = self._answers[model.name](context["asked"])
        except RefusedError as error:
            parsed: Json = {"Error": {"Code": error.code, "Message": "so it is"}, "ResponseMetadata": {}}
            return SimpleNamespace(status_code=400), parsed
        validate_parameters(answer, model.output_shape)
        return SimpleNamespace(status_code=200), {**answer, "ResponseMetadata": {}}

    def _after(self, parsed: Json, model: Any, **_: object) -> None:  # botocore's own
        for change in self._changes.get(model.name, ()) if "Error" not in parsed else ():
            change(parsed)
            # Botocore has read IAM's documents by now: they are texts in its model.
            if model.service_model.service_name != "iam":
                answer = {key: value for key, value in parsed.items() if key != "ResponseMetadata"}
                validate_parameters(answer, model.output_shape)


@contextmanager
def deployed(root: Path) -> Iterator[Checkout]:
    """A checkout whose whole set is pushed, registered and deployed into an embedded AWS."""
    checkout = Checkout(root=root / "checkout")
    checkout.root.mkdir()
    for name in ("stack", "images", "jobdefs", "requirements"):
        (checkout.root / name).symlink_to(HERE.root / name)
    checkout.settings.write_text(GIVEN, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch, serve(LocalConfig(root=root / "world", vcpus=2, memory=2048)) as server:
        lead(patch, {**server.environment, "AWS_REGION": REGION, "AWS_DEFAULT_REGION": REGION})
        for bucket in ("references", "reads"):
            boto3.client("s3").create_bucket(
                Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"}
            )
        deployer = Deployer(target=AwsTarget(checkout=checkout), account=Account())
        deployer.deploy(("registry",), lambda _: None)
        _push(checkout)
        deployer.deploy(("network", "storage", "compute"), lambda _: None)
        registration.run(AwsTarget(checkout=checkout), Account(), (), lambda _: None)
        deployer.deploy(("workflow",), lambda _: None)
        yield checkout


def _push(checkout: Checkout) -> None:
    """What a push leaves in the registry and in dist/images.json, of images that hold nothing."""
    ecr = boto3.client("ecr")
    token = ecr.get_authorization_token()["authorizationData"][0]
    known = catalog.load(checkout.images)
    entries = []
    for name in jobdefs.names(checkout.jobdefs):
        version = tag(known.tools[name], known)
        digest = _put(urlsplit(token["proxyEndpoint"]).netloc, token["authorizationToken"], name, version)
        described = ecr.describe_repositories(repositoryNames=[f"genomics/{name}"])["repositories"][0]
        entries.append({"name": name, "tag": version, "repository": described["repositoryUri"], "digest": digest})
    files.write_json(checkout.dist / "images.json", {"images": entries})


def _put(host: str, token: str, name: str, version: str) -> str:
    """Puts an image without layers into a registry; returns its digest."""
    head = {"Authorization": f"Basic {token}", "Content-Type": "application/octet-stream"}
    configuration = json.dumps({"image": name}).encode()
    digest = f"sha256:{hashlib.sha256(configuration).hexdigest()}"
    kind = "application/vnd.docker.distribution.manifest.v2+json"
    part = {
        "mediaType": "application/vnd.docker.container.image.v1+json",
        "size": len(configuration),
        "digest": digest,
    }
    manifest = json.dumps({"schemaVersion": 2, "mediaType": kind, "config": part, "layers": []}).encode()

    def ask(method: str, path: str, body: bytes, more: Mapping[str, str]) -> str:
        connection = http.client.HTTPConnection(host, timeout=30)
        try:
            connection.request(method, path, body, {**head, **more})
            answer = connection.getresponse()
            assert answer.status in {201, 202}, answer.read()
            return answer.getheader("Location") or ""
        finally:
            connection.close()

    where = urlsplit(ask("POST", f"/v2/genomics/{name}/blobs/uploads/", b"", {}))
    ask("PUT", f"{where.path}?{where.query}&digest={quote(digest)}", configuration, {})
    ask("PUT", f"/v2/genomics/{name}/manifests/{version}", manifest, {"Content-Type": kind})
    return f"sha256:{hashlib.sha256(manifest).hexdigest()}"

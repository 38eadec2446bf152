"""A deployed project for `doctor` to check: the embedded AWS answers, and a test alters some of its answers."""

import hashlib
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from botocore.validate import validate_parameters
from jsonpath_ng.ext.parser import parse
from support.aws_clients import lead
from support.aws_double import AwsDouble, Json, RefusedError

from toolchain import files
from toolchain.aws import Account
from toolchain.doctor import run_checks
from toolchain.doctor.context import DoctorContext
from toolchain.doctor.result import CheckResult
from toolchain.images import catalog
from toolchain.images.fingerprint import tag
from toolchain.jobdefs import template as jobdefs
from toolchain.localaws.config import LocalConfig
from toolchain.localaws.server import serve
from toolchain.paths import HERE, Checkout
from toolchain.runs import deploy_all
from toolchain.runs.target import AwsTarget
from toolchain.stacks.deploy import Deployer
from toolchain.stacks.template import STORAGE

REGION = "eu-central-1"
SETTINGS = """
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


def quota(code: str, value: float | None = None) -> Json:
    """A quota as Service Quotas gives it; moto has none."""
    name, default = QUOTAS[code]
    return {"QuotaCode": code, "QuotaName": name, "Value": default if value is None else value}


def digest(repository: str) -> str:
    """The digest of the image that a repository holds."""
    return f"sha256:{hashlib.sha256(repository.encode()).hexdigest()}"


def _images(request: Json) -> Json:
    repository = request["repositoryName"]
    manifest = json.dumps({"config": {"digest": digest("config"), "size": 1}, "layers": []})
    identifiers = [{**identifier, "imageDigest": digest(repository)} for identifier in request["imageIds"]]
    return {"images": [{"imageId": identifier, "imageManifest": manifest} for identifier in identifiers]}


class DoctorAws(AwsDouble):
    """The AWS of a deployed checkout. Its true answers are asked for once; a test alters them by operation.

    Attributes:
        done: What `deploy --all` did to deploy it.
    """

    def __init__(self, checkout: Checkout) -> None:
        super().__init__()
        self.checkout = checkout
        self.events.register("response-received", self._record)
        self.events.register("after-call", self._alter)
        self._recorded: dict[str, Json] = {}
        self.done: list[deploy_all.Done] = []
        self.reset()

    def reset(self) -> None:
        """Forgets what a test altered."""
        self.checkout.settings.write_text(SETTINGS, encoding="utf-8")
        self.clock_ahead = 0.0
        self.open_account: Callable[[], Account] = lambda: self.account
        self.calls.clear()
        self._changes: dict[str, list[Callable[[Json], object]]] = {}
        self._answers: dict[str, Callable[[Json], Json]] = {
            "GetServiceQuota": lambda request: {"Quota": quota(request["QuotaCode"])},
            "ListServiceQuotas": lambda _: {"Quotas": [quota(code) for code in QUOTAS]},
            "BatchGetImage": _images,
        }

    def settings(self, more: str) -> None:
        """Appends to genomics.toml."""
        self.checkout.settings.write_text(SETTINGS + more, encoding="utf-8")

    def alter(self, operation: str, change: Callable[[Json], object]) -> None:
        """Changes the true answers of an operation."""
        self._changes.setdefault(operation, []).append(change)

    def put(self, operation: str, path: str, value: Any) -> None:
        """Puts a value at a JSONPath in the true answers of an operation; a mapping is merged into one."""

        def change(answer: Json) -> None:
            for match in parse(path).find(answer):
                is_merged = isinstance(value, dict) and value and isinstance(match.value, dict)
                match.full_path.update(answer, {**match.value, **value} if is_merged else value)

        self.alter(operation, change)

    def answer(self, operation: str, answer: Callable[[Json], Json]) -> None:
        """Answers instead of the embedded AWS; the answer is held against the service's model."""
        self._answers[operation] = answer

    def refuse(self, operation: str, code: str) -> None:
        """Answers with an error."""

        def refused(_: Json) -> Json:
            raise RefusedError(code)

        self.answer(operation, refused)

    @property
    def context(self) -> DoctorContext:
        """A new context."""
        clock = lambda: time.time() + self.clock_ahead  # noqa: E731
        return DoctorContext(checkout=self.checkout, open_account=self.open_account, clock=clock)

    def run_all(self) -> list[CheckResult]:
        """The results of all checks."""
        return list(run_checks.run_all(self.context))

    def run(self, name: str) -> list[CheckResult]:
        """The results of one check."""
        [check] = [check for check in run_checks.CHECKS if check.name == name]
        return list(run_checks.run(check, self.context))

    def reply(self, operation: str, request: Json) -> Json | None:
        return self._answers[operation](request) if operation in self._answers else None

    def _reply(self, model: Any, context: Json, **more: object) -> tuple[Any, Json] | None:
        context["key"] = f"{model.name} {json.dumps(context['request'], sort_keys=True, default=str)}"
        answer = super()._reply(model, context, **more)
        if answer is None and (recorded := self._recorded.get(context["key"])):
            return SimpleNamespace(status_code=recorded["ResponseMetadata"]["HTTPStatusCode"]), deepcopy(recorded)
        return answer

    def _record(self, parsed_response: Json, context: Json, **_: object) -> None:
        # The date of this answer is checked.
        if not context["key"].startswith("GetCallerIdentity"):
            self._recorded[context["key"]] = deepcopy(parsed_response)

    def _alter(self, parsed: Json, model: Any, **_: object) -> None:
        for change in self._changes.get(model.name, ()) if "Error" not in parsed else ():
            change(parsed)
            # Botocore has parsed IAM's documents by now, which are strings in its model.
            if model.service_model.service_name != "iam":
                answer = {key: value for key, value in parsed.items() if key != "ResponseMetadata"}
                validate_parameters(answer, model.output_shape)


@contextmanager
def deployed(root: Path) -> Iterator[DoctorAws]:
    """A checkout that is deployed into an embedded AWS, with images in ECR as far as BatchGetImage tells."""
    checkout = Checkout(root=root / "checkout")
    checkout.root.mkdir()
    for name in ("stack", "images", "jobdefs", "requirements"):
        (checkout.root / name).symlink_to(HERE.root / name)
    config = LocalConfig(root=root / "aws", vcpus=2, memory=2048)
    with pytest.MonkeyPatch.context() as patch, serve(config) as server:
        lead(patch, {**server.environment, "AWS_REGION": REGION, "AWS_DEFAULT_REGION": REGION})
        for bucket in ("references", "reads"):
            boto3.client("s3").create_bucket(
                Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"}
            )
        aws = DoctorAws(checkout)
        target = PushingTarget(checkout=checkout)
        deployer = Deployer(target=target, account=Account())
        aws.done = list(deploy_all.deploy_all(target, Account(), deployer))
        list(deployer.deploy((STORAGE,)))
        yield aws


class PushingTarget(AwsTarget):
    """AWS, where a push only writes down what it pushed."""

    def provide_images(self, account: Account) -> Iterator[tuple[str, bool]]:
        del account
        is_new = not (self.dist / "images.json").exists()
        _write_pushed_images(self.checkout)
        yield "all", is_new


def _write_pushed_images(checkout: Checkout) -> None:
    """Writes dist/images.json as `push` does."""
    images = catalog.load(checkout.images)
    repositories = boto3.client("ecr").describe_repositories()["repositories"]
    uris = {repository["repositoryName"]: repository["repositoryUri"] for repository in repositories}
    entries = [
        {
            "name": tool,
            "tag": tag(images.tools[tool], images),
            "repository": uris[f"genomics/{tool}"],
            "digest": digest(f"genomics/{tool}"),
        }
        for tool in jobdefs.names(checkout.jobdefs)
    ]
    files.write_json(checkout.dist / "images.json", {"images": entries})

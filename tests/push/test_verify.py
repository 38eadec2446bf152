"""`verify` compares Batch and ECR with the checkout."""

import json
from typing import TYPE_CHECKING, Any

import pytest
from support.fault_proxy import FaultProxy
from support.push_env import Desk

from toolchain import files
from toolchain.aws import Account
from toolchain.jobdefs import register as registration
from toolchain.jobdefs import verify as verification
from toolchain.runs.target import AwsTarget

if TYPE_CHECKING:
    from types_boto3_batch import BatchClient

MANIFEST = {
    "schemaVersion": 2,
    "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
    "config": {"size": 1},
    "layers": [{"size": 2, "digest": "sha256:1"}],
}


@pytest.fixture
def batch(aws: FaultProxy, plain: Desk) -> "BatchClient":
    """Every image in ECR, every job definition registered."""
    del aws
    entries = plain.written()
    for number, name in enumerate(plain.names):
        made = Account().ecr().create_repository(repositoryName=f"{plain.project}/{name}")["repository"]
        entries[name] |= {"repository": made["repositoryUri"], "digest": put(plain, name, digit=str(number))}
    files.write_json(plain.checkout.dist / "images.json", {"images": list(entries.values())})
    batch = Account().batch()
    registration.register(batch, registration.rendered(AwsTarget(checkout=plain.checkout), ()))
    return batch


def put(plain: Desk, name: str, *, digit: str) -> str:
    """What a push does, as far as ECR's API shows it."""
    digest = f"sha256:{digit * 64}"
    manifest = {**MANIFEST, "config": {"size": 1, "digest": digest}}
    Account().ecr().put_image(
        repositoryName=f"{plain.project}/{name}",
        imageManifest=json.dumps(manifest),
        imageTag=plain.tag(name),
        imageDigest=digest,
    )
    return digest


def rendered(plain: Desk, name: str) -> dict[str, Any]:
    return registration.rendered(AwsTarget(checkout=plain.checkout), (name,))[name]


def findings(plain: Desk) -> list[str]:
    verdict = verification.verify(plain.checkout, Account())
    return [f"{finding.name} {finding.what}" for finding in verdict.findings]


@pytest.mark.usefixtures("aws")
def test_tools_that_are_not_registered_are_findings(plain: Desk) -> None:
    assert findings(plain) == [f"{name} is not registered" for name in plain.names]


@pytest.mark.usefixtures("batch")
def test_an_image_or_a_repository_that_is_gone_from_ecr_is_a_finding(plain: Desk) -> None:
    digest = f"sha256:{'1' * 64}"
    ecr = Account().ecr()
    ecr.batch_delete_image(repositoryName=f"{plain.project}/beta", imageIds=[{"imageDigest": digest}])
    image = f"{plain.written()['beta']['repository']}@{digest}"
    expected = [
        f"beta:1 runs {image}, which is not in ECR",
        f"beta:1 says that it runs {plain.tag('beta')}, and ECR has no such tag",
    ]
    assert findings(plain) == expected
    ecr.delete_repository(repositoryName=f"{plain.project}/beta", force=True)
    assert findings(plain) == expected


@pytest.mark.usefixtures("batch")
def test_content_that_was_changed_here_is_a_finding_with_both_tags(plain: Desk) -> None:
    before = plain.tag("alpha")
    plain.change("alpha")
    assert findings(plain) == [f"alpha:1 runs {before}, and this checkout's content is {plain.tag('alpha')}"]


@pytest.mark.usefixtures("batch")
def test_a_tag_that_was_moved_is_a_finding(plain: Desk) -> None:
    """In a repository of immutable tags it takes deleting and pushing again."""
    put(plain, "alpha", digit="f")
    assert any(f"which is sha256:{'f' * 64}, but runs" in finding for finding in findings(plain))


def test_another_role_or_volume_is_a_finding_with_the_difference(batch: "BatchClient", plain: Desk) -> None:
    definition = rendered(plain, "beta")
    definition["containerProperties"]["jobRoleArn"] = "arn:aws:iam::123456789012:role/someones"
    definition["containerProperties"]["volumes"][0]["host"]["sourcePath"] = "/scratch/data"
    batch.register_job_definition(**definition)
    (finding,) = verification.verify(plain.checkout, Account()).findings
    assert (finding.name, finding.what) == ("beta:2", "says something else than this checkout")
    assert '-    "jobRoleArn": "arn:aws:iam::123456789012:role/someones",' in finding.lines
    assert any(line.startswith("-") and "/scratch/data" in line for line in finding.lines)


@pytest.mark.usefixtures("batch")
def test_roles_are_those_of_the_stacks_outputs(plain: Desk) -> None:
    template = plain.checkout.jobdefs / "alpha.json.j2"
    template.write_text(template.read_text(encoding="ascii") + '{% set role = "Role" %}', encoding="ascii")
    files.write_json(plain.checkout.dist / "outputs.json", {"Role": "arn:aws:iam::123456789012:role/ours"})
    (finding,) = verification.verify(plain.checkout, Account()).findings
    assert finding.name == "alpha:1"
    assert any(line.startswith("+") and "role/ours" in line for line in finding.lines)


def test_the_image_of_an_older_revision_must_exist_but_the_rest_of_it_may_differ(
    batch: "BatchClient", plain: Desk
) -> None:
    plain.settings("[jobs.alpha]\nmemory = 777\n")
    batch.register_job_definition(**rendered(plain, "alpha"))
    assert findings(plain) == []
    latest = rendered(plain, "beta")
    gone = {**latest, "containerProperties": {**latest["containerProperties"], "image": "gone@sha256:" + "0" * 64}}
    batch.register_job_definition(**gone)
    batch.register_job_definition(**latest)
    assert findings(plain) == [f"beta:2 runs gone@sha256:{'0' * 64}, which is not in ECR"]


def test_a_definition_of_a_tool_that_the_checkout_does_not_have_is_a_finding(batch: "BatchClient", plain: Desk) -> None:
    definition = rendered(plain, "alpha")
    batch.register_job_definition(**{**definition, "jobDefinitionName": f"{plain.project}-delta"})
    batch.register_job_definition(**{**definition, "jobDefinitionName": "another-project"})
    assert findings(plain) == ["delta:1 is active, and this checkout has no such tool"]


def test_the_exit_code_says_whether_they_agree(batch: "BatchClient", plain: Desk, aws: FaultProxy) -> None:
    # A fresh checkout has no file of a push.
    (plain.checkout.dist / "images.json").unlink()
    environment = {"AWS_ENDPOINT_URL": aws.url}
    result = plain.run("verify", environment=environment)
    assert (result.returncode, result.stdout) == (0, "alpha:1 agrees\nbeta:1 agrees\ngamma:1 agrees\n"), result.stderr
    batch.deregister_job_definition(
        jobDefinition=f"arn:aws:batch:eu-central-1:123456789012:job-definition/{plain.project}-beta:1"
    )
    result = plain.run("verify", "--json", environment=environment)
    assert result.returncode == 1
    assert json.loads(result.stdout) == {
        "agreeing": ["alpha:1", "gamma:1"],
        "findings": [{"name": "beta", "what": "is not registered", "difference": []}],
    }

"""`verify` compares Batch and ECR with the checkout."""

import json
from typing import TYPE_CHECKING, Any

import pytest
from support.fault_proxy import FaultProxy
from support.push_env import ROLES, Project

from toolchain import files
from toolchain.aws import Account
from toolchain.jobdefs import register as registration
from toolchain.jobdefs import verify as verification

if TYPE_CHECKING:
    from types_boto3_batch import BatchClient

MANIFEST = {
    "schemaVersion": 2,
    "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
    "config": {"size": 1},
    "layers": [{"size": 2, "digest": "sha256:1"}],
}


@pytest.fixture
def batch(aws: FaultProxy, project: Project) -> "BatchClient":
    """Every image in ECR, every job definition registered."""
    del aws
    entries = project.written()
    for number, name in enumerate(project.names):
        made = Account().ecr().create_repository(repositoryName=f"{project.prefix}/{name}")["repository"]
        entries[name] |= {"repository": made["repositoryUri"], "digest": put(project, name, digit=str(number))}
    files.write_json(project.checkout.dist / "images.json", {"images": list(entries.values())})
    batch = Account().batch()
    registration.register(batch, registration.rendered(project.target, Account(), ()))
    return batch


def put(project: Project, name: str, *, digit: str) -> str:
    """What a push does, as far as ECR's API shows it."""
    digest = f"sha256:{digit * 64}"
    manifest = {**MANIFEST, "config": {"size": 1, "digest": digest}}
    Account().ecr().put_image(
        repositoryName=f"{project.prefix}/{name}",
        imageManifest=json.dumps(manifest),
        imageTag=project.tag(name),
        imageDigest=digest,
    )
    return digest


def rendered(project: Project, name: str) -> dict[str, Any]:
    return registration.rendered(project.target, Account(), (name,))[name]


def findings(project: Project) -> list[str]:
    verdict = verification.verify(project.checkout, Account(), ROLES)
    return [f"{finding.name} {finding.what}" for finding in verdict.findings]


@pytest.mark.usefixtures("aws")
def test_tools_that_are_not_registered_are_findings(project: Project) -> None:
    assert findings(project) == [f"{name} is not registered" for name in project.names]


@pytest.mark.usefixtures("batch")
def test_an_image_or_a_repository_that_is_gone_from_ecr_is_a_finding(project: Project) -> None:
    digest = f"sha256:{'1' * 64}"
    ecr = Account().ecr()
    ecr.batch_delete_image(repositoryName=f"{project.prefix}/beta", imageIds=[{"imageDigest": digest}])
    image = f"{project.written()['beta']['repository']}@{digest}"
    expected = [
        f"beta:1 runs {image}, which is not in ECR",
        f"beta:1 says that it runs {project.tag('beta')}, and ECR has no such tag",
    ]
    assert findings(project) == expected
    ecr.delete_repository(repositoryName=f"{project.prefix}/beta", force=True)
    assert findings(project) == expected


@pytest.mark.usefixtures("batch")
def test_content_that_was_changed_here_is_a_finding_with_both_tags(project: Project) -> None:
    before = project.tag("alpha")
    project.change("alpha")
    assert findings(project) == [f"alpha:1 runs {before}, and this checkout's content is {project.tag('alpha')}"]


@pytest.mark.usefixtures("batch")
def test_a_tag_that_was_moved_is_a_finding(project: Project) -> None:
    """In a repository of immutable tags it takes deleting and pushing again."""
    put(project, "alpha", digit="f")
    assert any(f"which is sha256:{'f' * 64}, but runs" in finding for finding in findings(project))


def test_another_role_or_volume_is_a_finding_with_the_difference(batch: "BatchClient", project: Project) -> None:
    definition = rendered(project, "beta")
    definition["containerProperties"]["jobRoleArn"] = "arn:aws:iam::123456789012:role/someones"
    definition["containerProperties"]["volumes"][0]["host"]["sourcePath"] = "/scratch/data"
    batch.register_job_definition(**definition)
    (finding,) = verification.verify(project.checkout, Account(), ROLES).findings
    assert (finding.name, finding.what) == ("beta:2", "says something else than this checkout")
    assert '-    "jobRoleArn": "arn:aws:iam::123456789012:role/someones",' in finding.lines
    assert any(line.startswith("-") and "/scratch/data" in line for line in finding.lines)


@pytest.mark.usefixtures("batch")
def test_roles_are_those_of_the_stacks_outputs(project: Project) -> None:
    ours = {"JobRoleArn": "arn:aws:iam::123456789012:role/ours"}
    found = verification.verify(project.checkout, Account(), ours).findings
    assert [finding.name for finding in found] == ["alpha:1", "beta:1", "gamma:1"]
    assert any(line.startswith("+") and "role/ours" in line for line in found[0].lines)


def test_the_image_of_an_older_revision_must_exist_but_the_rest_of_it_may_differ(
    batch: "BatchClient", project: Project
) -> None:
    project.settings("[jobs.alpha]\nmemory = 777\n")
    batch.register_job_definition(**rendered(project, "alpha"))
    assert findings(project) == []
    latest = rendered(project, "beta")
    gone = {**latest, "containerProperties": {**latest["containerProperties"], "image": "gone@sha256:" + "0" * 64}}
    batch.register_job_definition(**gone)
    batch.register_job_definition(**latest)
    assert findings(project) == [f"beta:2 runs gone@sha256:{'0' * 64}, which is not in ECR"]


def test_a_definition_of_a_tool_that_the_checkout_does_not_have_is_a_finding(
    batch: "BatchClient", project: Project
) -> None:
    definition = rendered(project, "alpha")
    batch.register_job_definition(**{**definition, "jobDefinitionName": f"{project.prefix}-delta"})
    batch.register_job_definition(**{**definition, "jobDefinitionName": "another-project"})
    assert findings(project) == ["delta:1 is active, and this checkout has no such tool"]


def test_the_exit_code_says_whether_they_agree(batch: "BatchClient", project: Project) -> None:
    # A fresh checkout has no file of a push.
    (project.checkout.dist / "images.json").unlink()
    project.deploy_roles()
    result = project.run("verify")
    assert (result.code, result.out) == (0, "alpha:1 agrees\nbeta:1 agrees\ngamma:1 agrees\n"), result.err
    batch.deregister_job_definition(
        jobDefinition=f"arn:aws:batch:eu-central-1:123456789012:job-definition/{project.prefix}-beta:1"
    )
    result = project.run("verify", "--json")
    assert result.code == 1
    assert json.loads(result.out) == {
        "agreeing": ["alpha:1", "gamma:1"],
        "findings": [{"name": "beta", "what": "is not registered", "difference": []}],
    }

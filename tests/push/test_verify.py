"""`verify`: whether cloud and checkout agree."""

import json
from typing import TYPE_CHECKING

import pytest
from support.fault_proxy import FaultProxy
from support.push_env import Desk

from toolchain import files
from toolchain.aws import Account
from toolchain.jobdefs import register as registration
from toolchain.jobdefs import verify as verification
from toolchain.jobdefs.verify import Verdict
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
    ecr = Account().ecr()
    images = []
    for number, name in enumerate(plain.names):
        made = ecr.create_repository(repositoryName=f"{plain.project}/{name}")["repository"]
        digest = put(plain, name, digit=str(number))
        images.append(
            {
                "name": name,
                "version": "1.0",
                "tag": plain.tag(name),
                "repository": made["repositoryUri"],
                "digest": digest,
                "compressed_bytes": 3,
            }
        )
    files.write_json(plain.checkout.dist / "images.json", {"images": images})
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


def verdict(plain: Desk) -> Verdict:
    return verification.verify(plain.checkout, Account())


def findings(plain: Desk) -> list[str]:
    return [f"{one.name} {one.what}" for one in verdict(plain).findings]


@pytest.mark.usefixtures("batch")
def test_after_push_and_register_all_agree(plain: Desk) -> None:
    assert verdict(plain) == Verdict(agreeing=("alpha:1", "beta:1", "gamma:1"), findings=())


@pytest.mark.usefixtures("batch")
def test_a_fresh_checkout_needs_nothing_that_was_written_elsewhere(plain: Desk) -> None:
    (plain.checkout.dist / "images.json").unlink()
    assert findings(plain) == []


@pytest.mark.usefixtures("aws")
def test_what_is_not_registered_is_said(plain: Desk) -> None:
    assert findings(plain) == [f"{name} is not registered" for name in plain.names]


@pytest.mark.usefixtures("batch")
def test_an_image_that_is_gone_from_ecr_is_said(plain: Desk) -> None:
    digest = f"sha256:{'1' * 64}"
    Account().ecr().batch_delete_image(repositoryName=f"{plain.project}/beta", imageIds=[{"imageDigest": digest}])
    found = findings(plain)
    assert len(found) == 2
    assert found[0].startswith("beta:1 runs ")
    assert found[0].endswith(f"/{plain.project}/beta@{digest}, which is not in ECR")
    assert found[1] == f"beta:1 says that it runs {plain.tag('beta')}, and ECR has no such tag"


@pytest.mark.usefixtures("batch")
def test_a_repository_that_is_gone_is_said_of_the_images_that_were_in_it(plain: Desk) -> None:
    Account().ecr().delete_repository(repositoryName=f"{plain.project}/gamma", force=True)
    assert findings(plain)[0].endswith("which is not in ECR")


@pytest.mark.usefixtures("batch")
def test_content_that_was_changed_here_is_said_with_both_tags(plain: Desk) -> None:
    before = plain.tag("alpha")
    plain.change("alpha")
    assert findings(plain) == [f"alpha:1 runs {before}, and this checkout's content is {plain.tag('alpha')}"]


@pytest.mark.usefixtures("batch")
def test_a_tag_that_was_moved_is_said(plain: Desk) -> None:
    """In a repository of immutable tags it takes deleting and pushing again."""
    put(plain, "alpha", digit="f")
    found = findings(plain)
    assert any(f"which is sha256:{'f' * 64}, but runs" in one for one in found)


def test_another_role_or_volume_is_said_with_the_difference(batch: "BatchClient", plain: Desk) -> None:
    definition = registration.rendered(AwsTarget(checkout=plain.checkout), ("beta",))["beta"]
    definition["containerProperties"]["jobRoleArn"] = "arn:aws:iam::123456789012:role/someones"
    definition["containerProperties"]["volumes"][0]["host"]["sourcePath"] = "/scratch/data"
    batch.register_job_definition(**definition)
    (found,) = verdict(plain).findings
    assert (found.name, found.what) == ("beta:2", "says something else than this checkout")
    assert '-    "jobRoleArn": "arn:aws:iam::123456789012:role/someones",' in found.lines
    assert any(line.startswith("-") and "/scratch/data" in line for line in found.lines)


@pytest.mark.usefixtures("batch")
def test_roles_are_those_of_the_stacks_outputs(plain: Desk) -> None:
    template = plain.checkout.jobdefs / "alpha.json.j2"
    template.write_text(template.read_text(encoding="ascii") + '{% set role = "Role" %}', encoding="ascii")
    files.write_json(plain.checkout.dist / "outputs.json", {"Role": "arn:aws:iam::123456789012:role/ours"})
    (found,) = verdict(plain).findings
    assert found.name == "alpha:1"
    assert any(line.startswith("+") and "role/ours" in line for line in found.lines)


def test_an_older_revision_must_run_and_need_not_be_as_this_checkout_says(batch: "BatchClient", plain: Desk) -> None:
    plain.settings("[jobs.alpha]\nmemory = 777\n")
    registration.register(batch, registration.rendered(AwsTarget(checkout=plain.checkout), ("alpha",)))
    assert findings(plain) == []
    older = registration.rendered(AwsTarget(checkout=plain.checkout), ("beta",))["beta"]
    gone = {**older, "containerProperties": {**older["containerProperties"], "image": "gone@sha256:" + "0" * 64}}
    batch.register_job_definition(**gone)
    batch.register_job_definition(**older)
    assert findings(plain) == [f"beta:2 runs gone@sha256:{'0' * 64}, which is not in ECR"]


def test_a_definition_of_a_tool_that_this_checkout_has_not_is_said(batch: "BatchClient", plain: Desk) -> None:
    definition = registration.rendered(AwsTarget(checkout=plain.checkout), ("alpha",))["alpha"]
    batch.register_job_definition(**{**definition, "jobDefinitionName": f"{plain.project}-delta"})
    batch.register_job_definition(**{**definition, "jobDefinitionName": "another-project"})
    assert findings(plain) == ["delta:1 is active, and this checkout has no such tool"]


def test_the_exit_code_says_whether_they_agree(batch: "BatchClient", plain: Desk, aws: FaultProxy) -> None:
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

"""stack/registry.yaml: a repository for each image of the catalogue, whose tags never move."""

import json
from typing import Any

from support.resolved_stacks import TOOLS, deployed, template
from support.subset import differences

REGISTRY = deployed("registry")


def lifecycle(**parameters: str) -> list[dict[str, Any]]:
    repositories = deployed("registry", **parameters).of("AWS::ECR::Repository").values()
    (text,) = {repository["LifecyclePolicy"]["LifecyclePolicyText"] for repository in repositories}
    rules: list[dict[str, Any]] = json.loads(text)["rules"]
    return rules


def test_every_tool_of_the_catalogue_has_its_repository_and_the_template_names_none() -> None:
    names = [repository["RepositoryName"] for repository in REGISTRY.of("AWS::ECR::Repository").values()]
    assert sorted(names) == sorted(f"genomics/{tool}" for tool in TOOLS)
    assert [tool for tool in TOOLS if tool in template("registry").text] == []


def test_a_tag_never_moves_images_are_scanned_and_encrypted_and_outlive_the_stack() -> None:
    expected = {
        "Properties": {
            "ImageTagMutability": "IMMUTABLE",
            "ImageScanningConfiguration": {"ScanOnPush": True},
            "EncryptionConfiguration": {"EncryptionType": "KMS"},
        },
        "DeletionPolicy": "Retain",
        "UpdateReplacePolicy": "Retain",
    }
    for repository in REGISTRY.resources.values():
        assert list(differences(repository, expected)) == []


def test_only_untagged_images_are_deleted_and_those_that_nobody_pulls_are_archived() -> None:
    expire, archive = lifecycle(UntaggedDays="3", ArchiveDays="90")
    untagged = {"tagStatus": "untagged", "countType": "sinceImagePushed", "countUnit": "days", "countNumber": 3}
    assert (expire["rulePriority"], expire["action"], expire["selection"]) == (1, {"type": "expire"}, untagged)
    assert archive["rulePriority"] == 2
    assert archive["action"] == {"type": "transition", "targetStorageClass": "archive"}
    assert archive["selection"] == {
        "tagStatus": "tagged",
        "tagPatternList": ["*"],
        "countType": "sinceImagePulled",
        "countUnit": "days",
        "countNumber": 90,
    }

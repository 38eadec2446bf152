"""stack/registry.yaml: a repository for each image of the catalogue, whose tags never move."""

import json
from typing import Any

from support.resolved_stacks import TOOLS, deployed, template

REGISTRY = deployed("registry")
REPOSITORIES = REGISTRY.of("AWS::ECR::Repository")


def lifecycle(**parameters: str) -> list[dict[str, Any]]:
    (text,) = {
        repository["LifecyclePolicy"]["LifecyclePolicyText"]
        for repository in deployed("registry", **parameters).of("AWS::ECR::Repository").values()
    }
    rules: list[dict[str, Any]] = json.loads(text)["rules"]
    return rules


def test_every_tool_of_the_catalogue_has_its_repository() -> None:
    assert {repository["RepositoryName"] for repository in REPOSITORIES.values()} == {
        f"genomics/{tool}" for tool in TOOLS
    }
    assert len(REPOSITORIES) == len(TOOLS)


def test_the_template_names_no_tool() -> None:
    assert [tool for tool in TOOLS if tool in template("registry").text] == []


def test_a_tag_never_moves_and_what_is_pushed_is_scanned_and_encrypted() -> None:
    for repository in REPOSITORIES.values():
        assert repository["ImageTagMutability"] == "IMMUTABLE"
        assert repository["ImageScanningConfiguration"] == {"ScanOnPush": True}
        assert repository["EncryptionConfiguration"] == {"EncryptionType": "KMS"}


def test_images_stay_when_the_stack_goes() -> None:
    for repository in REGISTRY.resources.values():
        assert repository["DeletionPolicy"] == repository["UpdateReplacePolicy"] == "Retain"


def test_only_what_has_no_tag_is_ever_deleted() -> None:
    expired = [rule["selection"] for rule in lifecycle(UntaggedDays="3") if rule["action"]["type"] == "expire"]
    assert expired == [
        {"tagStatus": "untagged", "countType": "sinceImagePushed", "countUnit": "days", "countNumber": 3}
    ]


def test_what_is_pulled_stays_and_what_is_not_goes_to_the_archive() -> None:
    (rule,) = [rule for rule in lifecycle(ArchiveDays="90") if rule["action"]["type"] != "expire"]
    assert rule["action"] == {"type": "transition", "targetStorageClass": "archive"}
    assert rule["selection"] == {
        "tagStatus": "tagged",
        "tagPatternList": ["*"],
        "countType": "sinceImagePulled",
        "countUnit": "days",
        "countNumber": 90,
    }


def test_rules_have_priorities_of_their_own() -> None:
    assert [rule["rulePriority"] for rule in lifecycle()] == [1, 2]

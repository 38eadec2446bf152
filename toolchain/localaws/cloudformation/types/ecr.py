"""AWS::ECR: image repositories."""

from collections.abc import Mapping
from typing import Any

from toolchain.localaws.cloudformation.errors import ResourceFailedError
from toolchain.localaws.cloudformation.template import Json
from toolchain.localaws.cloudformation.types.kind import Kind, Work, camel, document


def _ecr(work: Work) -> Any:  # noqa: ANN401  # a client
    return work.client("ecr")


def _own(work: Work) -> list[dict[str, str]]:
    return [one for one in work.tag_list() if not one["Key"].startswith("aws:")]


class Repository(Kind):
    """A repository."""

    type_name = "AWS::ECR::Repository"
    name_property = "RepositoryName"

    def create(self, work: Work) -> str:
        name = work.get("RepositoryName") or work.unique().lower()
        settings = work.only("ImageTagMutability", "ImageScanningConfiguration", "EncryptionConfiguration")
        _ecr(work).create_repository(repositoryName=name, tags=_own(work), **camel(settings))
        return str(name)

    def settle(self, work: Work, physical_id: str) -> None:
        self._policies(work, physical_id, {})

    def attributes(self, work: Work, physical_id: str) -> dict[str, Json]:
        found = _ecr(work).describe_repositories(repositoryNames=[physical_id])["repositories"][0]
        return {"Arn": found["repositoryArn"], "RepositoryUri": found["repositoryUri"]}

    def update(self, work: Work, physical_id: str, before: Mapping[str, Json]) -> None:
        if work.get("ImageTagMutability") != before.get("ImageTagMutability"):
            _ecr(work).put_image_tag_mutability(
                repositoryName=physical_id, imageTagMutability=work.get("ImageTagMutability") or "MUTABLE"
            )
        if work.get("ImageScanningConfiguration") != before.get("ImageScanningConfiguration"):
            scanning = work.get("ImageScanningConfiguration") or {"ScanOnPush": False}
            _ecr(work).put_image_scanning_configuration(
                repositoryName=physical_id, imageScanningConfiguration=camel(scanning)
            )
        self._policies(work, physical_id, before)
        arn = work.region.arn("ecr", f"repository/{physical_id}")
        if gone := [one["Key"] for one in before.get("Tags") or () if one["Key"] not in work.tags]:
            _ecr(work).untag_resource(resourceArn=arn, tagKeys=gone)
        if _own(work):
            _ecr(work).tag_resource(resourceArn=arn, tags=_own(work))

    def delete(self, work: Work, physical_id: str) -> None:
        force = bool(work.get("EmptyOnDelete"))
        if not force and _ecr(work).list_images(repositoryName=physical_id)["imageIds"]:
            raise ResourceFailedError(
                f"The repository with name '{physical_id}' in registry with id '{work.region.account}' cannot be "
                "deleted because it still contains images"
            )
        _ecr(work).delete_repository(repositoryName=physical_id, force=force)

    @staticmethod
    def _policies(work: Work, name: str, before: Mapping[str, Json]) -> None:
        old, new = before.get("LifecyclePolicy"), work.get("LifecyclePolicy")
        if new and new != old:
            _ecr(work).put_lifecycle_policy(repositoryName=name, lifecyclePolicyText=new["LifecyclePolicyText"])
        elif old and not new:
            _ecr(work).delete_lifecycle_policy(repositoryName=name)
        if work.get("RepositoryPolicyText"):
            _ecr(work).set_repository_policy(repositoryName=name, policyText=document(work.get("RepositoryPolicyText")))


KINDS = (Repository,)

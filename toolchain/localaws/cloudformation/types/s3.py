"""AWS::S3: buckets and their policies."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from toolchain.localaws.cloudformation.template import Json
from toolchain.localaws.cloudformation.types.kind import Kind, Work, document

_NAME = 63


def _s3(work: Work) -> Any:  # noqa: ANN401  # a client
    return work.client("s3")


def _rule(rule: Mapping[str, Json]) -> dict[str, Json]:
    """A lifecycle rule as the API spells it."""
    renamed = {"Id": "ID", "ExpirationInDays": "Expiration"}
    result: dict[str, Json] = {"Filter": {"Prefix": rule.get("Prefix", "")}}
    expiration: dict[str, Json] = {}
    for name, value in rule.items():
        if name == "ExpirationInDays":
            expiration["Days"] = value
        elif name == "ExpiredObjectDeleteMarker":
            expiration["ExpiredObjectDeleteMarker"] = value
        elif name != "Prefix":
            result[renamed.get(name, name)] = value
    return {**result, "Expiration": expiration} if expiration else result


# Each sets one part of a bucket as its property has it, or takes it away where that is none.


def _version(s3: Any, name: str, given: Json) -> None:  # noqa: ANN401  # a client
    s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": given["Status"] if given else "Suspended"})


def _encrypt(s3: Any, name: str, given: Json) -> None:  # noqa: ANN401  # a client
    if not given:
        s3.delete_bucket_encryption(Bucket=name)
        return
    rules = [
        {
            ("ApplyServerSideEncryptionByDefault" if key == "ServerSideEncryptionByDefault" else key): value
            for key, value in rule.items()
        }
        for rule in given["ServerSideEncryptionConfiguration"]
    ]
    s3.put_bucket_encryption(Bucket=name, ServerSideEncryptionConfiguration={"Rules": rules})


def _close(s3: Any, name: str, given: Json) -> None:  # noqa: ANN401  # a client
    if given:
        s3.put_public_access_block(Bucket=name, PublicAccessBlockConfiguration=given)
    else:
        s3.delete_public_access_block(Bucket=name)


def _own(s3: Any, name: str, given: Json) -> None:  # noqa: ANN401  # a client
    if given:
        s3.put_bucket_ownership_controls(Bucket=name, OwnershipControls=given)
    else:
        s3.delete_bucket_ownership_controls(Bucket=name)


def _expire(s3: Any, name: str, given: Json) -> None:  # noqa: ANN401  # a client
    if given:
        rules = [_rule(one) for one in given["Rules"]]
        s3.put_bucket_lifecycle_configuration(Bucket=name, LifecycleConfiguration={"Rules": rules})
    else:
        s3.delete_bucket_lifecycle(Bucket=name)


def _log(s3: Any, name: str, given: Json) -> None:  # noqa: ANN401  # a client
    status = {}
    if given:
        bucket, prefix = given.get("DestinationBucketName", name), given.get("LogFilePrefix", "")
        status = {"LoggingEnabled": {"TargetBucket": bucket, "TargetPrefix": prefix}}
    s3.put_bucket_logging(Bucket=name, BucketLoggingStatus=status)


def _tag(s3: Any, name: str, given: Json) -> None:  # noqa: ANN401  # a client
    if given:
        s3.put_bucket_tagging(Bucket=name, Tagging={"TagSet": given})
    else:
        s3.delete_bucket_tagging(Bucket=name)


_CONFIGURATIONS: Final[Mapping[str, Callable[[Any, str, Json], None]]] = {
    "VersioningConfiguration": _version,
    "BucketEncryption": _encrypt,
    "PublicAccessBlockConfiguration": _close,
    "OwnershipControls": _own,
    "LifecycleConfiguration": _expire,
    "LoggingConfiguration": _log,
    "Tags": _tag,
}


class Bucket(Kind):
    """A bucket."""

    type_name = "AWS::S3::Bucket"
    name_property = "BucketName"

    def create(self, work: Work) -> str:
        given, s3 = work.get("BucketName"), _s3(work)
        lasting = work.lasting(limit=_NAME).lower()
        name = given or (work.unique(limit=_NAME).lower() if lasting in work.region.held() else lasting)
        arguments: dict[str, Json] = {"Bucket": name}
        if work.region.name != "us-east-1":
            arguments["CreateBucketConfiguration"] = {"LocationConstraint": work.region.name}
        try:
            s3.create_bucket(**arguments)
        except s3.exceptions.BucketAlreadyOwnedByYou:
            if name != lasting:
                raise
        return str(name)

    def settle(self, work: Work, physical_id: str) -> None:
        self.update(work, physical_id, {})

    def attributes(self, work: Work, physical_id: str) -> dict[str, Json]:
        region = work.region
        return {
            "Arn": f"arn:{region.partition}:s3:::{physical_id}",
            "DomainName": f"{physical_id}.s3.amazonaws.com",
            "RegionalDomainName": f"{physical_id}.s3.{region.name}.amazonaws.com",
        }

    def update(self, work: Work, physical_id: str, before: Mapping[str, Json]) -> None:
        for name, configure in _CONFIGURATIONS.items():
            if work.get(name) != before.get(name):
                configure(_s3(work), physical_id, work.get(name))

    def delete(self, work: Work, physical_id: str) -> None:
        _s3(work).delete_bucket(Bucket=physical_id)


class BucketPolicy(Kind):
    """A bucket's policy."""

    type_name = "AWS::S3::BucketPolicy"

    def create(self, work: Work) -> str:
        self.update(work, "", {})
        return str(work.get("Bucket"))

    def update(self, work: Work, physical_id: str, before: Mapping[str, Json]) -> None:
        _s3(work).put_bucket_policy(Bucket=work.get("Bucket"), Policy=document(work.get("PolicyDocument")))

    def delete(self, work: Work, physical_id: str) -> None:
        _s3(work).delete_bucket_policy(Bucket=work.get("Bucket"))


KINDS = (Bucket, BucketPolicy)

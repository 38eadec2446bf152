"""AWS::S3: buckets and their policies."""

from collections.abc import Mapping
from typing import Any

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


class Bucket(Kind):
    """A bucket."""

    type_name = "AWS::S3::Bucket"
    name_property = "BucketName"

    def create(self, work: Work) -> str:
        name = work.get("BucketName") or work.unique(limit=_NAME).lower()
        arguments: dict[str, Json] = {"Bucket": name}
        if work.region.name != "us-east-1":
            arguments["CreateBucketConfiguration"] = {"LocationConstraint": work.region.name}
        _s3(work).create_bucket(**arguments)
        return str(name)

    def settle(self, work: Work, physical_id: str) -> None:
        self._configure(work, physical_id, {})

    def attributes(self, work: Work, physical_id: str) -> dict[str, Json]:
        region = work.region
        return {
            "Arn": f"arn:{region.partition}:s3:::{physical_id}",
            "DomainName": f"{physical_id}.s3.amazonaws.com",
            "RegionalDomainName": f"{physical_id}.s3.{region.name}.amazonaws.com",
        }

    def update(self, work: Work, physical_id: str, before: Mapping[str, Json]) -> None:
        self._configure(work, physical_id, before)

    def delete(self, work: Work, physical_id: str) -> None:
        _s3(work).delete_bucket(Bucket=physical_id)

    @staticmethod
    def _configure(work: Work, name: str, before: Mapping[str, Json]) -> None:
        s3, given = _s3(work), work.properties

        def changed(part: str) -> bool:
            return given.get(part) != before.get(part)

        if changed("VersioningConfiguration"):
            status = (given.get("VersioningConfiguration") or {}).get("Status", "Suspended")
            s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": status})
        if changed("BucketEncryption"):
            if "BucketEncryption" in given:
                rules = [
                    {
                        ("ApplyServerSideEncryptionByDefault" if key == "ServerSideEncryptionByDefault" else key): value
                        for key, value in rule.items()
                    }
                    for rule in given["BucketEncryption"]["ServerSideEncryptionConfiguration"]
                ]
                s3.put_bucket_encryption(Bucket=name, ServerSideEncryptionConfiguration={"Rules": rules})
            else:
                s3.delete_bucket_encryption(Bucket=name)
        if changed("PublicAccessBlockConfiguration"):
            if "PublicAccessBlockConfiguration" in given:
                s3.put_public_access_block(
                    Bucket=name, PublicAccessBlockConfiguration=given["PublicAccessBlockConfiguration"]
                )
            else:
                s3.delete_public_access_block(Bucket=name)
        if changed("OwnershipControls") and "OwnershipControls" in given:
            s3.put_bucket_ownership_controls(Bucket=name, OwnershipControls=given["OwnershipControls"])
        if changed("LifecycleConfiguration"):
            if "LifecycleConfiguration" in given:
                rules = [_rule(one) for one in given["LifecycleConfiguration"]["Rules"]]
                s3.put_bucket_lifecycle_configuration(Bucket=name, LifecycleConfiguration={"Rules": rules})
            else:
                s3.delete_bucket_lifecycle(Bucket=name)
        if changed("LoggingConfiguration"):
            logging = given.get("LoggingConfiguration")
            status = (
                {
                    "LoggingEnabled": {
                        "TargetBucket": logging.get("DestinationBucketName", name),
                        "TargetPrefix": logging.get("LogFilePrefix", ""),
                    }
                }
                if logging
                else {}
            )
            s3.put_bucket_logging(Bucket=name, BucketLoggingStatus=status)
        if changed("Tags"):
            if given.get("Tags"):
                s3.put_bucket_tagging(Bucket=name, Tagging={"TagSet": given["Tags"]})
            else:
                s3.delete_bucket_tagging(Bucket=name)


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

"""stack/results.yaml: what stays whatever comes and goes."""

from support.resolved_stacks import deployed
from support.subset import ABSENT, differences

RESULTS = deployed("results")


def test_the_bucket_is_versioned_encrypted_private_and_answers_over_tls_alone() -> None:
    (bucket,) = RESULTS.of("AWS::S3::Bucket").values()
    blocked = ("BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets")
    expected = {
        "VersioningConfiguration": {"Status": "Enabled"},
        "PublicAccessBlockConfiguration": dict.fromkeys(blocked, True),
        "OwnershipControls": {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]},
        "LoggingConfiguration": ABSENT,
    }
    assert list(differences(bucket, expected)) == []
    assert "BucketEncryption" in bucket
    (policy,) = RESULTS.of("AWS::S3::BucketPolicy").values()
    (statement,) = policy["PolicyDocument"]["Statement"]
    expected = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": ["arn:aws:s3:::ResultsBucket", "arn:aws:s3:::ResultsBucket/*"],
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    assert list(differences(statement, expected)) == []


def test_the_bucket_s_access_is_logged_to_a_bucket_that_is_given_for_that() -> None:
    (bucket,) = deployed("results", AccessLogBucket="logs").of("AWS::S3::Bucket").values()
    assert bucket["LoggingConfiguration"] == {"DestinationBucketName": "logs", "LogFilePrefix": "genomics-results/"}


def test_results_outlive_the_stack_and_are_exported_below_a_prefix() -> None:
    for kind in ("Bucket", "BucketPolicy"):
        resource = RESULTS.resources[f"Results{kind}"]
        assert resource["DeletionPolicy"] == resource["UpdateReplacePolicy"] == "Retain"
    assert RESULTS.outputs["ExportPath"] == "s3://ResultsBucket/results"

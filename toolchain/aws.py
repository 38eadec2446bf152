"""Clients of the AWS API that retry, limit their rate, and raise errors that people can read."""

import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, ProfileNotFound

from toolchain.errors import UnavailableError

if TYPE_CHECKING:
    from types_boto3_batch import BatchClient
    from types_boto3_cloudformation import CloudFormationClient
    from types_boto3_ec2 import EC2Client
    from types_boto3_ecr import ECRClient
    from types_boto3_fsx import FSxClient
    from types_boto3_iam import IAMClient
    from types_boto3_logs import CloudWatchLogsClient
    from types_boto3_s3 import S3Client
    from types_boto3_service_quotas import ServiceQuotasClient
    from types_boto3_ssm import SSMClient
    from types_boto3_stepfunctions import SFNClient
    from types_boto3_sts import STSClient

# botocore's standard mode: throttling, 5xx and dropped connections are tried again after a random time up to
# 1, 2, 4, ... 20 s: https://docs.aws.amazon.com/sdkref/latest/guide/feature-retry-behavior.html
ATTEMPTS = 8
# AWS Batch takes 50 calls a second of an account in a region; the rest is left to others:
# https://repost.aws/knowledge-center/aws-batch-requests-error
BATCH_CALLS_PER_SECOND = 20.0
LONGEST_MESSAGE = 500


@dataclass(kw_only=True)
class Pace:
    """Limits calls, retries included, to a rate.

    Attributes:
        per_second: The highest rate.
        clock: Seconds from any fixed moment.
        sleep: Waits for so many seconds.
    """

    per_second: float
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    _next: float = field(default=0.0, init=False, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    def wait(self, **_: object) -> None:
        """Returns when the next call may go; the arguments of botocore's event are ignored."""
        with self._lock:
            now = self.clock()
            turn = max(now, self._next)
            self._next = turn + 1 / self.per_second
        if turn > now:
            self.sleep(turn - now)


def _attempts() -> int:
    """The attempts of a call: AWS_MAX_ATTEMPTS, as in AWS's own tools, or ours."""
    text = os.environ.get("AWS_MAX_ATTEMPTS", "")
    return int(text) if text.isdecimal() and int(text) else ATTEMPTS


class Account:
    """The AWS account and region of the environment, as for the `aws` command; one method gives each client."""

    def __init__(self) -> None:
        # `build.py --help` need not wait for them.
        import boto3
        from botocore.config import Config

        with doing("opening an AWS session"):
            self._session = boto3.Session()
        self._config = Config(
            retries={"mode": "standard", "total_max_attempts": _attempts()}, connect_timeout=10, read_timeout=60
        )
        self._quick = Config(retries={"mode": "standard", "total_max_attempts": 2}, connect_timeout=5, read_timeout=20)

    @property
    def region(self) -> str:
        """The region.

        Raises:
            UnavailableError: The environment names none.
        """
        # boto3 reads AWS_DEFAULT_REGION only; other SDKs, and hosts of AWS, set AWS_REGION.
        region = os.environ.get("AWS_REGION") or self._session.region_name
        if not region:
            raise UnavailableError(
                "no AWS region", why="the environment names none", fix="Set AWS_REGION, or AWS_PROFILE to a profile."
            )
        return region

    def ecr(self) -> "ECRClient":
        """The container registry."""
        return self._session.client("ecr", region_name=self.region, config=self._config)

    def batch(self, pace: Pace | None = None) -> "BatchClient":
        """Batch, at a limited rate."""
        client = self._session.client("batch", region_name=self.region, config=self._config)
        # Before each attempt, and so before each of botocore's own retries too.
        client.meta.events.register("before-send.batch", (pace or Pace(per_second=BATCH_CALLS_PER_SECOND)).wait)
        return client

    def cloudformation(self) -> "CloudFormationClient":
        """Stacks."""
        return self._session.client("cloudformation", region_name=self.region, config=self._config)

    def fsx(self) -> "FSxClient":
        """Lustre file systems."""
        return self._session.client("fsx", region_name=self.region, config=self._config)

    def step_functions(self) -> "SFNClient":
        """State machines."""
        return self._session.client("stepfunctions", region_name=self.region, config=self._config)

    def s3(self) -> "S3Client":
        """Buckets and objects."""
        return self._session.client("s3", region_name=self.region, config=self._config)

    def logs(self) -> "CloudWatchLogsClient":
        """CloudWatch Logs."""
        return self._session.client("logs", region_name=self.region, config=self._config)

    def ec2(self) -> "EC2Client":
        """Instances and networks."""
        return self._session.client("ec2", region_name=self.region, config=self._config)

    def iam(self) -> "IAMClient":
        """Roles."""
        return self._session.client("iam", region_name=self.region, config=self._config)

    def service_quotas(self) -> "ServiceQuotasClient":
        """Quotas of the account."""
        return self._session.client("service-quotas", region_name=self.region, config=self._config)

    def ssm(self) -> "SSMClient":
        """Parameters."""
        return self._session.client("ssm", region_name=self.region, config=self._config)

    def sts(self) -> "STSClient":
        """The caller's identity. It is asked first, and so gives up soon where nothing answers."""
        return self._session.client("sts", region_name=self.region, config=self._quick)


def code(error: Exception) -> str:
    """A ClientError's code; empty for another exception."""
    response: dict[str, Any] = getattr(error, "response", {})
    return str(response.get("Error", {}).get("Code", ""))


@contextmanager
def doing(what: str) -> Iterator[None]:
    """Turns an error of the AWS API into one that says what was being done: `what: Code: message`.

    Args:
        what: Such as "looking for images".

    Raises:
        UnavailableError: The call failed, and its retries with it.
    """
    try:
        yield
    except BotoCoreError as error:
        why, fix = (
            f"{type(error).__name__}: {error}",
            "Check the network, AWS_REGION and AWS_ENDPOINT_URL, and try again.",
        )
        if isinstance(error, NoCredentialsError):
            why, fix = "there are no AWS credentials", "Type: aws configure, or set AWS_PROFILE."
        elif isinstance(error, ProfileNotFound):
            why, fix = str(error), "Correct AWS_PROFILE."
        raise UnavailableError(f"{what} failed", why=why.rstrip("."), fix=fix) from error
    except ClientError as error:
        message = _one_line(error.response.get("Error", {}).get("Message", ""))
        why = f"{code(error) or 'unknown'}: {message}".strip().rstrip(".")
        raise UnavailableError(f"{what} failed", why=why, fix=_fix(code(error))) from error


def _one_line(message: str) -> str:
    """A message as one line without markup: a proxy answers in HTML."""
    return " ".join(re.sub(r"<[^>]*>", " ", message).split())[:LONGEST_MESSAGE]


def _fix(error_code: str) -> str:
    if "Token" in error_code or error_code in {"UnrecognizedClientException", "SignatureDoesNotMatch"}:
        return "Log in to AWS again."
    if "AccessDenied" in error_code or "Unauthorized" in error_code:
        return "Ask for this permission, or use another AWS_PROFILE."
    if "Throttl" in error_code or "TooManyRequests" in error_code:
        return f"It was tried {ATTEMPTS} times: try again later."
    return "Try again; if it stays, the message above says what AWS objects to."

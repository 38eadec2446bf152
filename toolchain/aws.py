"""The AWS API: clients that retry by themselves, errors that people can read, calls at a bounded rate."""

import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

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
    from types_boto3_stepfunctions import SFNClient
    from types_boto3_sts import STSClient

# botocore's standard mode: throttling, 5xx and dropped connections are tried again after a random time up to
# 1, 2, 4, ... 20 s: https://docs.aws.amazon.com/sdkref/latest/guide/feature-retry-behavior.html
ATTEMPTS = 8
# AWS Batch takes 50 calls a second of an account in a region, whoever makes them; the rest is left to others:
# https://repost.aws/knowledge-center/aws-batch-requests-error
BATCH_CALLS_PER_SECOND = 20.0
LONGEST_MESSAGE = 500


@dataclass(kw_only=True)
class Pace:
    """Holds calls back so that no second sees more of them than a rate, retries included.

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
        """Returns when the next call may go; what botocore tells its event handlers is not looked at."""
        with self._lock:
            now = self.clock()
            turn = max(now, self._next)
            self._next = turn + 1 / self.per_second
        if turn > now:
            self.sleep(turn - now)


def _attempts() -> int:
    """How often a call is tried: what AWS's own tools read that from goes first."""
    given = os.environ.get("AWS_MAX_ATTEMPTS", "")
    return int(given) if given.isdecimal() and int(given) else ATTEMPTS


class Account:
    """The AWS account and region that the environment names, as for the `aws` command."""

    def __init__(self) -> None:
        # Importing boto3 takes a third of a second.
        import boto3
        from botocore.config import Config

        with doing("opening an AWS session"):
            self._session = boto3.Session()
        self._config = Config(
            retries={"mode": "standard", "total_max_attempts": _attempts()}, connect_timeout=10, read_timeout=60
        )

    @property
    def region(self) -> str:
        """The region.

        Raises:
            UnavailableError: None is named.
        """
        # boto3 knows AWS_DEFAULT_REGION only; other SDKs, and hosts of AWS, set AWS_REGION.
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
        """Batch, at a bounded rate."""
        client = self._session.client("batch", region_name=self.region, config=self._config)
        # Before each attempt, and so before each of botocore's own retries too.
        client.meta.events.register("before-send.batch", (pace or Pace(per_second=BATCH_CALLS_PER_SECOND)).wait)
        return client

    def cloudformation(self) -> "CloudFormationClient":
        """The stacks."""
        return self._session.client("cloudformation", region_name=self.region, config=self._config)

    def fsx(self) -> "FSxClient":
        """The Lustre file systems."""
        return self._session.client("fsx", region_name=self.region, config=self._config)

    def step_functions(self) -> "SFNClient":
        """Step Functions."""
        return self._session.client("stepfunctions", region_name=self.region, config=self._config)

    def s3(self) -> "S3Client":
        """Buckets and their objects."""
        return self._session.client("s3", region_name=self.region, config=self._config)

    def logs(self) -> "CloudWatchLogsClient":
        """CloudWatch Logs."""
        return self._session.client("logs", region_name=self.region, config=self._config)

    def ec2(self) -> "EC2Client":
        """Hosts, their types, and their network."""
        return self._session.client("ec2", region_name=self.region, config=self._config)

    def iam(self) -> "IAMClient":
        """Roles."""
        return self._session.client("iam", region_name=self.region, config=self._config)

    def service_quotas(self) -> "ServiceQuotasClient":
        """What AWS lets the account have."""
        return self._session.client("service-quotas", region_name=self.region, config=self._config)

    def sts(self) -> "STSClient":
        """Who asks. It is what is asked first, and so what finds that nothing answers: it gives up soon."""
        from botocore.config import Config

        soon = Config(retries={"mode": "standard", "total_max_attempts": 2}, connect_timeout=5, read_timeout=20)
        return self._session.client("sts", region_name=self.region, config=soon)


def code(error: Exception) -> str:
    """A ClientError's code; nothing for another exception."""
    response: dict[str, Any] = getattr(error, "response", {})
    return str(response.get("Error", {}).get("Code", ""))


@contextmanager
def doing(what: str) -> Iterator[None]:
    """Turns an error of the AWS API into one that says what was being done: `what: Code: message`.

    Args:
        what: What is being done, as in "looking for images".

    Raises:
        UnavailableError: The call failed, and its retries with it.
    """
    from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, ProfileNotFound

    try:
        yield
    except ClientError as error:
        details = error.response.get("Error", {})
        raise UnavailableError(
            f"{what} failed",
            why=f"{details.get('Code', 'unknown')}: {_one_line(details.get('Message', ''))}".strip().rstrip("."),
            fix=_fix(str(details.get("Code", ""))),
        ) from error
    except NoCredentialsError as error:
        raise UnavailableError(
            f"{what} failed", why="there are no AWS credentials", fix="Type: aws configure, or set AWS_PROFILE."
        ) from error
    except ProfileNotFound as error:
        raise UnavailableError(f"{what} failed", why=str(error), fix="Correct AWS_PROFILE.") from error
    except BotoCoreError as error:
        raise UnavailableError(
            f"{what} failed",
            why=f"{type(error).__name__}: {error}".rstrip("."),
            fix="Check the network, AWS_REGION and AWS_ENDPOINT_URL, and try again.",
        ) from error


def _one_line(message: str) -> str:
    """A message as one line, however the service or what stands before it wrote it: a proxy answers in HTML."""
    return " ".join(re.sub(r"<[^>]*>", " ", message).split())[:LONGEST_MESSAGE]


def _fix(error_code: str) -> str:
    if "Token" in error_code or error_code in {"UnrecognizedClientException", "SignatureDoesNotMatch"}:
        return "Log in to AWS again."
    if "AccessDenied" in error_code or "Unauthorized" in error_code:
        return "Ask for this permission, or use another AWS_PROFILE."
    if "Throttl" in error_code or "TooManyRequests" in error_code:
        return f"It was tried {ATTEMPTS} times: try again later."
    return "Try again; if it stays, the message above says what AWS objects to."

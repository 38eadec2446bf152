"""Classifies botocore's errors: whether to retry, what to do, and the exit code."""

import re
from collections.abc import Mapping
from http import HTTPStatus

from botocore import exceptions as aws
from botocore.parsers import ResponseParserError

from step.errors import StepError, ToolFailedError, TryAgainError, UsageError, printable

BUSY = "DataRepositoryTaskExecuting"
# Not found is temporary because the API is eventually consistent: a new task may not be visible yet.
_TEMPORARY = frozenset(
    {
        "DataRepositoryTaskNotFound",
        "InternalServerError",
        "RequestLimitExceeded",
        "ServiceUnavailable",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
    }
)
_DENIED = frozenset({"AccessDenied", "AccessDeniedException", "UnauthorizedOperation"})

Meaning = tuple[type[StepError], str, str]  # the error class, what happened, and what to do
_EXPIRED = (TryAgainError, "the credentials have expired", "Run the step again with fresh ones.")
_BAD_CREDENTIALS = (ToolFailedError, "AWS does not accept the credentials", "Check the job's role (jobRoleArn).")
_NO_CREDENTIALS = (ToolFailedError, "no AWS credentials", "Give the job definition a role (jobRoleArn).")
_MEANINGS: Mapping[str, Meaning] = {
    "ExpiredToken": _EXPIRED,
    "ExpiredTokenException": _EXPIRED,
    "RequestExpired": _EXPIRED,
    "IncompleteSignature": _BAD_CREDENTIALS,
    "InvalidClientTokenId": _BAD_CREDENTIALS,
    "InvalidSignatureException": _BAD_CREDENTIALS,
    "SignatureDoesNotMatch": _BAD_CREDENTIALS,
    "UnrecognizedClientException": _BAD_CREDENTIALS,
    "FileSystemNotFound": (
        UsageError,
        "no such file system",
        "Check FILE_SYSTEM_ID, and that AWS_REGION and the account are its own.",
    ),
    "ServiceLimitExceeded": (TryAgainError, "a limit of the account is reached", "Run the step again later."),
}


def code_of(error: Exception) -> str:
    """The service's error code; "" if the request never reached the service."""
    return str(error.response.get("Error", {}).get("Code", "")) if isinstance(error, aws.ClientError) else ""


def message_of(error: Exception) -> str:
    """An error's code and message on one line. The service's messages contain no secrets."""
    text = str(error)
    if isinstance(error, aws.ClientError):
        text = f"{code_of(error)}: {error.response['Error'].get('Message') or 'no message'}"
    return one_line(text)


def one_line(text: str) -> str:
    """The text as one line of at most 600 characters, without a final full stop."""
    return printable(" ".join(text.split()), 600).rstrip(".")


def is_temporary(error: Exception) -> bool:
    """Whether retrying may succeed."""
    if isinstance(error, aws.ClientError):
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        return (
            code_of(error) in _TEMPORARY
            or status == HTTPStatus.TOO_MANY_REQUESTS
            or status >= HTTPStatus.INTERNAL_SERVER_ERROR
        )
    if isinstance(error, aws.SSLError):
        return "CERTIFICATE_VERIFY_FAILED" not in str(error)
    return isinstance(
        error, aws.ConnectionError | aws.HTTPClientError | aws.CredentialRetrievalError | ResponseParserError
    )


def step_error(operation: str, error: Exception) -> StepError:
    """The StepError for an error that is not temporary."""
    code, message = code_of(error), message_of(error)
    meaning = _MEANINGS.get(code)
    if isinstance(error, aws.NoCredentialsError | aws.PartialCredentialsError):
        meaning = _NO_CREDENTIALS
    if meaning:
        error_class, what, fix = meaning
        return error_class(what, why=message, fix=fix)
    if code in _DENIED:
        match = re.search(r"perform: (\w+:\w+)", message)
        permission = match[1] if match else f"fsx:{operation}"
        return ToolFailedError(
            f"not allowed to call {operation}",
            why=message,
            fix=f"Allow {permission} in the policy of the job's role (jobRoleArn): see README.md.",
        )
    if code:
        return ToolFailedError(
            f"FSx refuses {operation}",
            why=message,
            fix="Check that the file system is linked to S3, and that the path and EXPORT_REPORT lie beneath the link.",
        )
    return ToolFailedError(
        f"cannot call {operation}",
        why=message,
        fix="Check the network, AWS_ENDPOINT_URL_FSX and AWS_CA_BUNDLE of the job.",
    )

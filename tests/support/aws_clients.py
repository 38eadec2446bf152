"""Leads boto3's clients to an embedded AWS."""

from collections.abc import Mapping

import boto3
import pytest


def lead(patch: pytest.MonkeyPatch, environment: Mapping[str, str]) -> None:
    """Sets what clients go by, and drops the session in which boto3 keeps the key of the AWS before."""
    for name, value in environment.items():
        patch.setenv(name, value)
    patch.setattr(boto3, "DEFAULT_SESSION", None)

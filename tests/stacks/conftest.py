"""A scripted project, of which nothing or everything is deployed."""

from pathlib import Path

import pytest
from support.scripted_cloudformation import FILE_SYSTEM
from support.scripted_project import TEMPLATES, Project


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """Four stacks, none of which is deployed; region and credentials lead nowhere."""
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, "/dev/null")
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.setenv(name, "eu-central-1")
    return Project.make(tmp_path / "checkout")


@pytest.fixture
def deployed(project: Project) -> Project:
    """Four stacks, all deployed, and what the storage stack holds."""
    project.deploy(*TEMPLATES)
    project.stack("storage").resources = {
        "Files": ("AWS::FSx::FileSystem", FILE_SYSTEM),
        "Results": ("AWS::S3::Bucket", "results-1"),
    }
    project.aws.calls.clear()
    return project

"""An embedded AWS in which the project is deployed."""

from collections.abc import Iterator

import pytest
from support.job_runner import BuiltImages
from support.local_aws import LocalAws, deployed_locally


@pytest.fixture(scope="package")
def local_aws(built_images: BuiltImages, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAws]:
    """One for this folder: deploying takes seconds, and a process has one embedded AWS at a time."""
    with deployed_locally(built_images, tmp_path_factory.mktemp("home")) as made:
        yield made

"""An embedded AWS in which the project is deployed."""

from collections.abc import Iterator

import pytest
from support.job_runner import BuiltImages
from support.local_aws import Home, home


@pytest.fixture(scope="package")
def there(built_images: BuiltImages, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """One for this folder: deploying takes seconds, and a process has one embedded AWS at a time."""
    with home(built_images, tmp_path_factory.mktemp("home")) as made:
        yield made

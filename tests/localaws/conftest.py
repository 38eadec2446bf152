"""An embedded AWS with a job queue."""

from collections.abc import Iterator

import pytest
from localaws.cloud import Cloud, cloud_of

from toolchain.localaws.server import serve
from toolchain.localaws.world import World


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """One for a module: its tests name what they make by names of their own."""
    world = World(root=tmp_path_factory.mktemp("world"), vcpus=2, memory=1024)
    with pytest.MonkeyPatch.context() as patch, serve(world) as server:
        for name, value in server.environment.items():
            patch.setenv(name, value)
        yield cloud_of(world)

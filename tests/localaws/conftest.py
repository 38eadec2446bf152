"""An embedded AWS, with a job queue and without, and moto's own server beside it."""

from collections.abc import Iterator

import pytest
from support import stock_server
from support.aws_clients import lead
from support.embedded_jobs import Cloud, cloud_of
from support.embedded_services import Embedded
from support.job_runner import BuiltImages
from support.stock_server import Stock

from toolchain.docker.engine import Engine
from toolchain.localaws.config import LocalConfig
from toolchain.localaws.server import serve


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """One for a module: its tests name what they make by names of their own."""
    config = LocalConfig(root=tmp_path_factory.mktemp("local"), vcpus=2, memory=1024)
    with pytest.MonkeyPatch.context() as patch, serve(config) as server:
        lead(patch, server.environment)
        yield cloud_of(config)


@pytest.fixture(scope="module")
def image(built_images: BuiltImages) -> str:
    """An image with a shell."""
    return built_images.images["samtools"].reference


@pytest.fixture(scope="module")
def shell(cloud: Cloud, image: str) -> str:
    """A job definition that runs a script."""
    return cloud.define(image)


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    engine = Engine.connect()
    yield engine
    engine.client.close()


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Embedded]:
    """One for a module, with nothing in it: its tests name what they make by names of their own."""
    config = LocalConfig(root=tmp_path_factory.mktemp("embedded"), vcpus=2, memory=1024)
    with pytest.MonkeyPatch.context() as patch, serve(config) as server:
        lead(patch, server.environment)
        yield Embedded(config=config, server=server)


@pytest.fixture(scope="session")
def stock() -> Iterator[Stock]:
    with stock_server.running() as found:
        yield found

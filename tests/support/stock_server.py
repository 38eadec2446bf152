"""moto's own server, without anything of ours, in a process of its own."""

import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.error import URLError

import boto3
from botocore.config import Config

from toolchain.localaws.ecr.registry import free_port


@dataclass(frozen=True, kw_only=True)
class Stock:
    """A running stock moto."""

    endpoint: str

    def client(self, service: str) -> Any:
        session: Any = boto3.Session(
            aws_access_key_id="stock",
            aws_secret_access_key="stock",
            region_name="us-east-1",
        )
        # A fault is an answer: it is not asked for again.
        return session.client(service, endpoint_url=self.endpoint, config=Config(retries={"total_max_attempts": 1}))


@contextmanager
def running() -> Iterator[Stock]:
    """Runs it until the block ends."""
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "--host", "127.0.0.1", "--port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        endpoint = f"http://127.0.0.1:{port}"
        try:
            for _ in range(600):
                try:
                    urllib.request.urlopen(f"{endpoint}/moto-api/data.json", timeout=5).close()
                except URLError:
                    time.sleep(0.05)
                else:
                    break
            yield Stock(endpoint=endpoint)
        finally:
            process.terminate()

"""moto's own server, without anything of ours, in a process of its own."""

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any
from urllib.error import URLError

import boto3
from botocore.config import Config
from support.embedded_jobs import ROLE, until

from toolchain.localaws.ecr.registry import free_port

_NUMBERS = count()


@dataclass(frozen=True, kw_only=True)
class Stock:
    """A running stock moto."""

    endpoint: str
    _clients: dict[str, Any] = field(default_factory=dict)

    def client(self, service: str) -> Any:
        if service not in self._clients:
            session: Any = boto3.Session(
                aws_access_key_id="stock",
                aws_secret_access_key="stock",
                region_name="us-east-1",
            )
            # A fault is an answer: it is not asked for again.
            config = Config(retries={"total_max_attempts": 1})
            self._clients[service] = session.client(service, endpoint_url=self.endpoint, config=config)
        return self._clients[service]

    def name(self) -> str:
        """A name that nothing has yet."""
        return f"name-{next(_NUMBERS)}"

    def start(self, state: Mapping[str, Any], given: Any = None, **definition: Any) -> str:
        """Starts an execution of one state, or of those in the definition, and returns its ARN."""
        states = {"StartAt": "S", "States": {"S": {"End": True, **state}}, **definition}
        client = self.client("stepfunctions")
        machine = client.create_state_machine(name=self.name(), roleArn=ROLE, definition=json.dumps(states))
        arn = machine["stateMachineArn"]
        return str(client.start_execution(stateMachineArn=arn, input=json.dumps(given or {}))["executionArn"])

    def ended(self, arn: str, seconds: float = 30) -> dict[str, Any]:
        """An execution at its end."""

        def look() -> dict[str, Any] | None:
            execution: dict[str, Any] = self.client("stepfunctions").describe_execution(executionArn=arn)
            return None if execution["status"] == "RUNNING" else execution

        return until(look, seconds)

    def run(self, state: Mapping[str, Any], given: Any = None, **definition: Any) -> dict[str, Any]:
        """Runs an execution to its end."""
        return self.ended(self.start(state, given, **definition))


@contextmanager
def running() -> Iterator[Stock]:
    """Runs it until the block ends, with its interpreter of state machines on."""
    port = free_port()
    command = [sys.executable, "-W", "ignore", "-m", "moto.server", "--host", "127.0.0.1", "--port", str(port)]
    environment = {**os.environ, "MOTO_PORT": str(port)}
    output = subprocess.DEVNULL
    with subprocess.Popen(command, stdout=output, stderr=output, env=environment) as process:
        endpoint = f"http://127.0.0.1:{port}"
        config = json.dumps({"stepfunctions": {"execute_state_machine": True}}).encode()
        try:
            for _ in range(600):
                try:
                    urllib.request.urlopen(f"{endpoint}/moto-api/config", config, timeout=5).close()
                except URLError:
                    time.sleep(0.05)
                else:
                    break
            yield Stock(endpoint=endpoint)
        finally:
            process.kill()

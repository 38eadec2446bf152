"""moto's interpreter as a backend: executions that start, end and are found as the service's are."""

import contextlib
import datetime as dt
import re
import threading
import time
import uuid
from collections.abc import Iterator
from typing import Any, Final

from moto.core.exceptions import AWSError
from moto.stepfunctions import urls
from moto.stepfunctions.exceptions import InvalidName
from moto.stepfunctions.parser.models import StepFunctionsParserBackend

from toolchain.localaws.stepfunctions.children import ChildExecution

_NAME: Final = re.compile(r"[^\s<>{}\[\]?*\"#%\\^|~`$&,;:/\x00-\x1f\x7f-\x9f]{1,80}")
_START_SECONDS: Final = 10


class LocalStepFunctionsBackend(StepFunctionsParserBackend):
    """State machines that run."""

    def __init__(self, region_name: str, account_id: str) -> None:
        super().__init__(region_name, account_id)
        self.children: dict[str, ChildExecution] = {}
        self._guard = threading.Lock()

    @property
    def _url_module(self) -> Any:
        return urls

    def reset(self) -> None:
        """Forgets everything, and ends what runs."""
        for machine in self.state_machines:
            for execution in machine.executions:
                if execution.status == "RUNNING":
                    with contextlib.suppress(Exception):  # one that has only just begun ends with the process
                        execution.stop(stop_date=_now(), error=None, cause="the embedded AWS ended")
        super().reset()

    def create_state_machine(self, *args: Any, **kwargs: Any) -> Any:
        """Makes a state machine whose definition can be read."""
        with _coded():
            return super().create_state_machine(*args, **kwargs)

    def update_state_machine(self, *args: Any, **kwargs: Any) -> Any:
        """Changes a state machine; what runs goes on as it began."""
        with _coded():
            return super().update_state_machine(*args, **kwargs)

    def start_execution(
        self,
        state_machine_arn: str,
        name: Any = None,
        execution_input: Any = None,
        trace_header: Any = None,
    ) -> Any:
        """Starts an execution; one of the same name and input that runs already is given again."""
        name = name or str(uuid.uuid4())
        if not _NAME.fullmatch(name):
            raise InvalidName(f"Invalid Name: '{name}'")
        with _coded(), self._guard:  # two of one name must not both find none
            return super().start_execution(state_machine_arn, name, execution_input, trace_header)

    def describe_execution(self, execution_arn: str) -> Any:
        """An execution, those of map runs among them."""
        return self.children.get(execution_arn) or super().describe_execution(execution_arn)

    def get_execution_history(self, execution_arn: str) -> Any:
        """What happened in an execution so far."""
        return self.describe_execution(execution_arn).to_history_output()

    def list_map_runs(self, execution_arn: str) -> dict[str, Any]:
        """The map runs that an execution itself started, and not those of its children."""
        environment = _environment(self.describe_execution(execution_arn))
        records = environment.map_run_record_pool_manager.get_all() if environment else []
        return {"mapRuns": [record.list_item() for record in records if record.execution_arn == execution_arn]}

    def _get_executions(self, execution_status: Any = None) -> list[Any]:
        # moto looks into their environments: those that have just begun have none yet.
        return [one for one in super()._get_executions(execution_status) if _environment(one) is not None]

    def stop(self, execution_arn: str, error: str | None, cause: str | None) -> Any:
        """Ends an execution with all that it started."""
        execution = self.describe_execution(execution_arn)
        if execution.status != "RUNNING":
            return execution
        until = time.monotonic() + _START_SECONDS
        # Its thread may not have come to its environment yet.
        while _running(execution) is None and execution.status == "RUNNING" and time.monotonic() < until:
            time.sleep(0.005)
        if execution.status != "RUNNING":
            return execution
        execution.stop_date, execution.error, execution.cause = _now(), error, cause
        execution.stop(stop_date=execution.stop_date, error=error, cause=cause)
        if isinstance(execution, ChildExecution):
            execution.status = "ABORTED"
        else:
            from moto.stepfunctions.parser.api import ExecutionStatus

            execution.exec_status = ExecutionStatus.ABORTED
        return execution

    def executions_of(self, state_machine_arn: str | None, map_run_arn: str | None) -> list[Any]:
        """The executions of a state machine or of a map run, the newest first."""
        found: list[Any]
        if map_run_arn:
            found = [child for child in self.children.values() if child.map_run_arn == map_run_arn]
        else:
            found = list(self.describe_state_machine(state_machine_arn or "").executions)
        return sorted(found, key=lambda one: one.start_date, reverse=True)


@contextlib.contextmanager
def _coded() -> Iterator[None]:
    """Gives the interpreter's own errors the codes that moto's answers take from others."""
    try:
        yield
    except AWSError as error:
        if error.TYPE is None:
            raise AWSError(str(error.message), type(error).__name__) from error
        raise


def _environment(execution: Any) -> Any:
    if isinstance(execution, ChildExecution):
        return execution.env
    return execution.exec_worker.env if execution.exec_worker else None


def _running(execution: Any) -> Any:
    environment = _environment(execution)
    return environment if environment is not None and environment.is_running() else None


def _now() -> dt.datetime:
    return dt.datetime.now(tz=dt.UTC)

"""State machines and executions."""

import contextlib
import re
import threading
import uuid
from collections.abc import Iterator
from typing import Any, ClassVar, Final

from moto.core.exceptions import AWSError
from moto.stepfunctions import urls
from moto.stepfunctions.exceptions import InvalidName
from moto.stepfunctions.parser.models import StepFunctionsParserBackend

from toolchain.localaws.access import Access
from toolchain.localaws.stepfunctions.executions import ChildExecution, stop

_NAME: Final = re.compile(r"[^\s<>{}\[\]?*\"#%\\^|~`$&,;:/\x00-\x1f\x7f-\x9f]{1,80}")


class LocalStepFunctionsBackend(StepFunctionsParserBackend):
    """moto's interpreter as a backend, with the executions of distributed maps.

    Attributes:
        access: How tasks reach the other services.
        children: Executions of distributed maps by their ARNs.
    """

    access: ClassVar[Access]

    def __init__(self, region_name: str, account_id: str) -> None:
        super().__init__(region_name, account_id)
        self.children: dict[str, ChildExecution] = {}
        self._start_lock = threading.Lock()

    @property
    def _url_module(self) -> Any:
        return urls

    def reset(self) -> None:
        """Forgets everything, and stops what runs."""
        for execution in self._get_executions():
            stop(execution, None, "the embedded AWS ended")
        super().reset()

    def create_state_machine(self, *args: Any, **kwargs: Any) -> Any:
        """Makes a state machine after parsing its definition."""
        with _error_codes():
            return super().create_state_machine(*args, **kwargs)

    def update_state_machine(self, *args: Any, **kwargs: Any) -> Any:
        """Changes a state machine; executions that run keep their definition."""
        with _error_codes():
            return super().update_state_machine(*args, **kwargs)

    def start_execution(
        self, state_machine_arn: str, name: Any = None, execution_input: Any = None, trace_header: Any = None
    ) -> Any:
        """Starts an execution; returns the one that runs already with the same name and input."""
        name = name or str(uuid.uuid4())
        if not _NAME.fullmatch(name):
            raise InvalidName(f"Invalid Name: '{name}'")
        with _error_codes(), self._start_lock:  # of two with one name, the second must find the first
            return super().start_execution(state_machine_arn, name, execution_input, trace_header)

    def describe_execution(self, execution_arn: str) -> Any:
        """An execution, also one of a distributed map."""
        return self.children.get(execution_arn) or super().describe_execution(execution_arn)

    def list_map_runs(self, execution_arn: str) -> dict[str, Any]:
        """The map runs that an execution started."""
        map_runs = self.describe_execution(execution_arn).exec_worker.env.map_run_record_pool_manager.get_all()
        return {"mapRuns": [map_run.list_item() for map_run in map_runs]}

    def executions_of(self, state_machine_arn: str | None, map_run_arn: str | None) -> list[Any]:
        """The executions of a state machine or of a map run, the newest first."""
        executions: list[Any]
        if map_run_arn:
            executions = [child for child in self.children.values() if child.map_run_arn == map_run_arn]
        else:
            executions = list(self.describe_state_machine(state_machine_arn or "").executions)
        return sorted(executions, key=lambda execution: execution.start_date, reverse=True)

    def _get_executions(self, execution_status: Any = None) -> list[Any]:
        children = [child for child in self.children.values() if execution_status in {None, child.status}]
        executions = [*super()._get_executions(execution_status), *children]
        # moto looks into their environments, which come a moment after their start.
        return [execution for execution in executions if execution.exec_worker and execution.exec_worker.env]


@contextlib.contextmanager
def _error_codes() -> Iterator[None]:
    """Gives the interpreter's errors the codes that moto's responses expect."""
    try:
        yield
    except AWSError as error:
        if error.TYPE is None:
            raise AWSError(str(error.message), type(error).__name__) from error
        raise

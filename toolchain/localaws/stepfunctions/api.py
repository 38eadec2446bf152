"""Step Functions' API, where moto's answers are not the service's: pages, the order of a history, what a stop says."""

import json
from typing import Any, Final

from moto.core.responses import ActionResult
from moto.stepfunctions import urls
from moto.stepfunctions.responses import StepFunctionResponse

from toolchain.localaws.stepfunctions.backend import LocalStepFunctionsBackend
from toolchain.localaws.stepfunctions.children import ChildExecution

_PAGE: Final = 100
_LARGEST_PAGE: Final = 1000


class LocalStepFunctionsResponse(StepFunctionResponse):
    """What is asked of executions."""

    @property
    def stepfunction_backend(self) -> LocalStepFunctionsBackend:
        """The backend of the caller's account and region."""
        backend = super().stepfunction_backend
        if not isinstance(backend, LocalStepFunctionsBackend):
            raise TypeError(type(backend))
        return backend

    def describe_execution(self) -> ActionResult:
        """An execution, whatever became of it."""
        execution = self.stepfunction_backend.describe_execution(self._get_param("executionArn"))
        answer = {
            **_listed(execution),
            "input": execution.execution_input,
            "inputDetails": {"included": True},
            "error": execution.error,
            "cause": execution.cause,
        }
        if execution.status == "SUCCEEDED":
            answer["output"] = json.dumps(execution.output, separators=(",", ":"))
            answer["outputDetails"] = {"included": True}
        return ActionResult({name: value for name, value in answer.items() if value is not None})

    def list_executions(self) -> ActionResult:
        """Executions of a state machine or of a map run."""
        found = self.stepfunction_backend.executions_of(
            self._get_param("stateMachineArn"), self._get_param("mapRunArn")
        )
        status = self._get_param("statusFilter")
        listed = [_listed(one) for one in found if status in (None, one.status)]
        return self._page("executions", listed)

    def get_execution_history(self) -> ActionResult:
        """An execution's history, a page at a time, the newest event first if asked so."""
        history = self.stepfunction_backend.get_execution_history(self._get_param("executionArn"))
        events = list(history["events"])
        if self._get_param("reverseOrder"):
            events.reverse()
        return self._page("events", events)

    def stop_execution(self) -> ActionResult:
        """Ends an execution."""
        execution = self.stepfunction_backend.stop(
            self._get_param("executionArn"), self._get_param("error"), self._get_param("cause")
        )
        return ActionResult({"stopDate": execution.stop_date})

    def send_task_failure(self) -> ActionResult:
        """Ends a task by its token, with a cause too."""
        self.stepfunction_backend.send_task_failure(
            self._get_param("taskToken"), error=self._get_param("error"), cause=self._get_param("cause")
        )
        return ActionResult({})

    def _page(self, name: str, items: list[Any]) -> ActionResult:
        start = int(self._get_param("nextToken") or 0)
        size = min(int(self._get_param("maxResults") or _PAGE), _LARGEST_PAGE)
        page = items[start : start + size]
        answer: dict[str, Any] = {name: page}
        if start + len(page) < len(items):
            answer["nextToken"] = str(start + len(page))
        return ActionResult(answer)


def _listed(execution: Any) -> dict[str, Any]:
    listed = {
        "executionArn": execution.execution_arn,
        "stateMachineArn": execution.state_machine_arn,
        "name": execution.name,
        "status": str(getattr(execution.status, "value", execution.status)),
        "startDate": execution.start_date,
    }
    if execution.stop_date is not None and listed["status"] != "RUNNING":
        listed["stopDate"] = execution.stop_date
    if isinstance(execution, ChildExecution):
        listed["mapRunArn"] = execution.map_run_arn
    return listed


def install() -> None:
    """Puts this in the place of moto's own."""
    for path in urls.url_paths:
        urls.url_paths[path] = LocalStepFunctionsResponse.dispatch

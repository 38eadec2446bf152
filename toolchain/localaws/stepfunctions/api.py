"""Step Functions' API, where moto's responses lack pages, histories in reverse, and what a stop says."""

import json
from typing import Any, Final

from moto.core.responses import ActionResult
from moto.stepfunctions import urls
from moto.stepfunctions.responses import StepFunctionResponse

from toolchain.localaws.moto_patch import replace
from toolchain.localaws.stepfunctions.backend import LocalStepFunctionsBackend
from toolchain.localaws.stepfunctions.executions import ChildExecution, stop

_PAGE: Final = 100
_LARGEST_PAGE: Final = 1000


class LocalStepFunctionsResponse(StepFunctionResponse):
    """The operations about executions."""

    @property
    def stepfunction_backend(self) -> LocalStepFunctionsBackend:
        """The backend of the caller's account and region."""
        backend: Any = super().stepfunction_backend
        return backend  # type: ignore[no-any-return]  # it is one of ours since `install`

    def describe_execution(self) -> ActionResult:
        execution = self.stepfunction_backend.describe_execution(self._get_param("executionArn"))
        described = {
            **_list_item(execution),
            "input": execution.execution_input,
            "inputDetails": {"included": True},
            "error": execution.error,
            "cause": execution.cause,
        }
        if execution.status == "SUCCEEDED":
            described["output"] = json.dumps(execution.output, separators=(",", ":"))
            described["outputDetails"] = {"included": True}
        return ActionResult({name: value for name, value in described.items() if value is not None})

    def list_executions(self) -> ActionResult:
        executions = self.stepfunction_backend.executions_of(
            self._get_param("stateMachineArn"), self._get_param("mapRunArn")
        )
        status = self._get_param("statusFilter")
        listed = [_list_item(execution) for execution in executions if status in {None, execution.status}]
        return self._page("executions", listed)

    def get_execution_history(self) -> ActionResult:
        history = self.stepfunction_backend.get_execution_history(self._get_param("executionArn"))
        events = list(history["events"])
        return self._page("events", events[::-1] if self._get_param("reverseOrder") else events)

    def stop_execution(self) -> ActionResult:
        execution = self.stepfunction_backend.describe_execution(self._get_param("executionArn"))
        stop(execution, self._get_param("error"), self._get_param("cause"))
        return ActionResult({"stopDate": execution.stop_date})

    def _page(self, name: str, items: list[Any]) -> ActionResult:
        start = int(self._get_param("nextToken") or 0)
        end = start + min(int(self._get_param("maxResults") or _PAGE), _LARGEST_PAGE)
        page: dict[str, Any] = {name: items[start:end]}
        return ActionResult(page | ({"nextToken": str(end)} if end < len(items) else {}))


def _list_item(execution: Any) -> dict[str, Any]:
    item = {
        "executionArn": execution.execution_arn,
        "stateMachineArn": execution.state_machine_arn,
        "name": execution.name,
        "status": execution.status,
        "startDate": execution.start_date,
    }
    if execution.status != "RUNNING":
        item["stopDate"] = execution.stop_date
    if isinstance(execution, ChildExecution):
        item["mapRunArn"] = execution.map_run_arn
    return item


replace(urls, "url_paths", dict.fromkeys(urls.url_paths, LocalStepFunctionsResponse.dispatch))

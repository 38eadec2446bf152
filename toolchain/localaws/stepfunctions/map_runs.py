"""Distributed maps: each item is an execution, and too many failures fail the map.

moto runs the items within the map's own execution, loses their histories, and takes a failure for an empty result.
"""

import time
from typing import Any, Final

from moto.stepfunctions.parser.asl.component.state.exec.state_map.iteration.itemprocessor import (
    distributed_item_processor_worker,
)
from moto.stepfunctions.parser.asl.component.state.exec.state_map.iteration.iteration_worker import IterationWorker
from moto.stepfunctions.parser.asl.component.state.exec.state_map.iteration.job import JobPool
from moto.stepfunctions.parser.models import stepfunctions_parser_backends

from toolchain.localaws.moto_patch import replace
from toolchain.localaws.stepfunctions.executions import ChildExecution, stop
from toolchain.localaws.stepfunctions.states import failure

_POLL_SECONDS: Final = 0.02
# In the place of the result of an item that never ran.
_NO_RESULT: Final = object()
_Worker: Final = distributed_item_processor_worker.DistributedItemProcessorWorker


def _run_items(self: Any, job: Any, worker_frame: Any) -> None:
    """Runs one item after the other; moto calls itself for the next item, up to Python's limit of recursion."""
    is_inline = worker_frame is not self._env
    while job is not None:
        frame = worker_frame.open_inner_frame()
        self._eval_job(env=frame, job=job)
        worker_frame.close_frame(frame)
        is_over = isinstance(job.job_output, Exception) or self.stopped()
        next_job = None if is_over else self._job_pool.next_job()
        if next_job is None and is_inline:
            if not is_over:
                worker_frame.event_history_context.source_event_id = frame.event_history_context.last_published_event_id
            # Before the last item is closed: the map then goes on with this environment.
            self._env.close_frame(worker_frame)
        self._job_pool.close_job(job)
        job = next_job


def _run_child(self: Any, env: Any, job: Any) -> None:
    """Runs an item as an execution of its own, and stops that when the map ends first."""
    job.job_output = _NO_RESULT
    if not self._env.is_running():
        return
    try:
        env.states.context_object.context_object_data["Map"] = {
            "Item": {"Index": job.job_index, "Value": job.job_input}
        }
        env.states.reset(job.job_input)
        self._eval_input(env_frame=env)
    except Exception as error:  # noqa: BLE001  # an ItemSelector that fails fails the map
        job.job_output = error
        return
    details = env.aws_execution_details
    child = ChildExecution(env, self._map_run_record, job.job_program, env.states.get_input())
    backend: Any = stepfunctions_parser_backends[details.account][details.region]
    backend.children[child.execution_arn] = child
    _count(self._map_run_record, "total", "running")
    child.start()
    while child.status == "RUNNING":
        if not self._env.is_running() or self._job_pool.get_worker_exception():
            stop(child, None, "the map run ended")
        time.sleep(_POLL_SECONDS)
    _count(self._map_run_record, child.status.lower())
    _count(self._map_run_record, "running", by=-1)
    job.job_output = child.output if child.status == "SUCCEEDED" else _description(child)
    if child.status == "SUCCEEDED":
        _count(self._map_run_record, "results_written")
    elif child.status in {"FAILED", "TIMED_OUT"} and _too_many_failed(self):
        job.job_output = failure(
            env,
            error="States.ExceedToleratedFailureThreshold",
            cause="The specified tolerated failure threshold was exceeded",
            event="MapRunFailed",
        )


def _description(child: ChildExecution) -> dict[str, Any]:
    """The result of a child that failed and is tolerated.

    https://docs.aws.amazon.com/step-functions/latest/dg/input-output-resultwriter.html
    """
    described = {
        "ExecutionArn": child.execution_arn,
        "Name": child.name,
        "Status": child.status,
        "Input": child.execution_input,
        "Error": child.error,
        "Cause": child.cause,
    }
    return {name: value for name, value in described.items() if value is not None}


def _count(map_run: Any, *names: str, by: int = 1) -> None:
    for counter in (map_run.item_counter, map_run.execution_counter):
        for name in names:
            getattr(counter, name).offset(by)


def _too_many_failed(self: Any) -> bool:
    map_run = self._map_run_record
    failed = map_run.execution_counter.failed.get() + map_run.execution_counter.timed_out.get()
    count, percentage = map_run.tolerated_failure_count, map_run.tolerated_failure_percentage
    # A threshold that is not set does not count beside one that is.
    above_count = (bool(count) or not percentage) and failed > count
    above_percentage = bool(percentage) and failed * 100 > percentage * self._job_pool._jobs_number
    return above_count or above_percentage


def _results(self: Any) -> list[Any]:
    """The results of the items that ran, in their order."""
    with self._mutex:
        closed = [job for job in self._closed_jobs if job.job_output is not _NO_RESULT]
    return sorted(closed, key=lambda job: job.job_index)


replace(IterationWorker, "_eval_pool", _run_items)
replace(_Worker, "_eval_pool", _run_items)
replace(_Worker, "_eval_job", _run_child)
replace(JobPool, "get_closed_jobs", _results)

"""Distributed Map: each item is an execution of its own, and too many failures end the whole.

moto runs the items, loses their histories, and takes every failure for an empty result.
"""

import datetime as dt
import uuid
from typing import Any, Final

from toolchain.localaws.stepfunctions.failures import failure

THRESHOLD: Final = "States.ExceedToleratedFailureThreshold"


class ChildExecution:
    """An execution that a map run started; it reads as moto's own do."""

    def __init__(self, *, arn: str, machine_arn: str, map_run_arn: str, given: str, index: int) -> None:
        self.execution_arn = arn
        self.name = arn.rpartition(":")[2]
        self.state_machine_arn = machine_arn
        self.map_run_arn = map_run_arn
        self.execution_input = given
        self.index = index
        self.status = "RUNNING"
        self.start_date = dt.datetime.now(tz=dt.UTC)
        self.stop_date: dt.datetime | None = None
        self.output: Any = None
        self.output_details = {"included": True}
        self.error: str | None = None
        self.cause: str | None = None
        self.env: Any = None

    def end(self, status: str) -> None:
        """Notes its end."""
        self.stop_date = dt.datetime.now(tz=dt.UTC)
        self.status = status

    def stop(self, stop_date: dt.datetime, error: str | None, cause: str | None) -> None:
        """Ends it, and nothing else of its map run."""
        self.env.set_stop(stop_date=stop_date, cause=cause, error=error)

    def to_history_output(self) -> dict[str, Any]:
        """Its history, as moto's executions give theirs."""
        return {"events": self.env.event_manager.get_event_history() if self.env else []}


def install() -> None:
    """Gives moto's maps these."""
    import importlib

    iteration = "moto.stepfunctions.parser.asl.component.state.exec.state_map.iteration"
    worker: Any = importlib.import_module(f"{iteration}.iteration_worker").IterationWorker
    distributed: Any = importlib.import_module(
        f"{iteration}.itemprocessor.distributed_item_processor_worker"
    ).DistributedItemProcessorWorker
    worker._eval_pool = _eval_pool
    distributed._eval_job = _eval_child
    distributed._eval_pool = _eval_children
    pool: Any = importlib.import_module(f"{iteration}.job").JobPool
    pool.get_closed_jobs = _results


def _eval_pool(self: Any, job: Any, worker_frame: Any) -> None:
    """As moto's, in a loop: moto calls itself for each next item, until Python has enough of it."""
    while job is not None:
        frame = worker_frame.open_inner_frame()
        self._eval_job(env=frame, job=job)
        worker_frame.close_frame(frame)
        over = isinstance(job.job_output, Exception) or self.stopped()
        following = None if over else self._job_pool.next_job()
        if following is None:
            if not over:
                worker_frame.event_history_context.source_event_id = frame.event_history_context.last_published_event_id
            # Before the item: whoever waits for the last item goes on with this environment.
            self._env.close_frame(worker_frame)
            self._job_pool.close_job(job)
            return
        self._job_pool.close_job(job)
        job = following
    self._env.close_frame(worker_frame)


def _eval_children(self: Any, job: Any, worker_frame: Any) -> None:
    while job is not None:
        job.job_output = _FAILED
        if worker_frame.is_running():  # else the whole ended: every item is closed, and none begun
            frame = worker_frame.open_inner_frame()
            self._eval_job(env=frame, job=job)
            worker_frame.delete_frame(frame)
        over = isinstance(job.job_output, Exception) or self.stopped()
        following = None if over else self._job_pool.next_job()
        self._job_pool.close_job(job)
        job = following


# In the place of a result, where there is none.
_FAILED: Final = object()


def _results(self: Any) -> list[Any]:
    """What succeeded, in the order of the items."""
    with self._mutex:
        closed = [one for one in self._closed_jobs if one.job_output is not _FAILED]
    return sorted(closed, key=lambda one: one.job_index)


def _eval_child(self: Any, env: Any, job: Any) -> None:
    record = self._map_run_record
    counters = (record.item_counter, record.execution_counter)
    for counter in counters:
        counter.total.count()
        counter.running.count()
    child = None
    try:
        env.states.context_object.context_object_data["Map"] = {
            "Item": {"Index": job.job_index, "Value": job.job_input}
        }
        env.states.reset(job.job_input)
        env.stack.append(env.states.get_input())
        self._eval_input(env_frame=env)
        child = _child(env, record, job.job_index)
        job.job_program.eval(env)
        status = _status(self, env)
        if status == "FAILED":
            error = env.program_state().error or {}
            child.error, child.cause = error.get("error"), error.get("cause")
        elif status == "SUCCEEDED":
            child.output = job.job_output = env.states.get_input()
    except Exception as error:  # noqa: BLE001  # whatever it is, it is this item's failure, or the end of all
        status = "FAILED" if self._env.is_running() else "ABORTED"
        if child:
            child.cause = str(error)
    if child:
        _note_end(env, child, status)
    for counter in counters:
        counter.running.offset(-1)
        getattr(counter, status.lower()).count()
        if status == "SUCCEEDED":
            counter.results_written.count()
    if status in {"FAILED", "TIMED_OUT"} and _too_many(self):
        cause = "The specified tolerated failure threshold was exceeded"
        job.job_output = failure(env, name=THRESHOLD, kind="MapRunFailed", cause=cause)


def _status(self: Any, env: Any) -> str:
    """How an item ended."""
    from moto.stepfunctions.parser.asl.eval.program_state import ProgramError, ProgramStopped, ProgramTimedOut

    state = env.program_state()
    if isinstance(state, ProgramError):
        return "FAILED"
    if isinstance(state, ProgramTimedOut):
        return "TIMED_OUT"
    over = not self._env.is_running() or self._job_pool.get_worker_exception() is not None
    return "ABORTED" if over or isinstance(state, ProgramStopped) else "SUCCEEDED"


def _too_many(self: Any) -> bool:
    record = self._map_run_record
    counts = record.execution_counter
    failed = counts.failed.get() + counts.timed_out.get()
    count, percentage = record.tolerated_failure_count, record.tolerated_failure_percentage
    total = self._job_pool._jobs_number
    over = []
    # A threshold that is not given does not count beside one that is.
    if count or not percentage:
        over.append(failed > count)
    if percentage:
        over.append(failed * 100 > percentage * total)
    return any(over)


def _child(env: Any, record: Any, index: int) -> ChildExecution:
    """Makes an item's environment that of an execution of its own."""
    from moto.stepfunctions.parser.asl.eval.event.event_manager import EventHistoryContext, EventManager
    from moto.stepfunctions.parser.asl.eval.variable_store import VariableStore
    from moto.stepfunctions.parser.asl.utils.encoding import to_json_str
    from moto.stepfunctions.parser.models import stepfunctions_parser_backends

    context = env.states.context_object.context_object_data
    machine_arn = record.map_state_machine_arn
    name = str(uuid.uuid4())
    given = env.states.get_input()
    child = ChildExecution(
        arn=f"{machine_arn.replace(':stateMachine:', ':execution:')}:{name}",
        machine_arn=machine_arn,
        map_run_arn=record.map_run_arn,
        given=to_json_str(given, separators=(",", ":")),
        index=index,
    )
    context["Execution"] = {
        **context["Execution"],
        "Id": child.execution_arn,
        "Input": given,
        "Name": name,
        "StartTime": child.start_date.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
    }
    context["StateMachine"] = {"Id": machine_arn, "Name": machine_arn.partition(":stateMachine:")[2]}
    # An execution of its own sees nothing of another's variables, and has its own history.
    store: Any = VariableStore
    env.variable_store = store()
    env.event_manager = EventManager()
    env.event_history_context = EventHistoryContext.of_program_start()
    child.env = env
    details = {"input": child.execution_input, "inputDetails": {"truncated": False}}
    _add(env, "ExecutionStarted", {"executionStartedEventDetails": details}, moves=False)
    account = env.aws_execution_details.account
    backend: Any = stepfunctions_parser_backends[account][env.aws_execution_details.region]
    backend.children[child.execution_arn] = child
    return child


def _note_end(env: Any, child: ChildExecution, status: str) -> None:
    from moto.stepfunctions.parser.asl.utils.encoding import to_json_str

    details: dict[str, Any] = {}
    if status == "SUCCEEDED":
        details = {"output": to_json_str(child.output, separators=(",", ":")), "outputDetails": {"truncated": False}}
    elif status == "FAILED":
        details = {name: value for name, value in (("error", child.error), ("cause", child.cause)) if value}
    words = "".join(part.title() for part in status.split("_"))
    _add(env, f"Execution{words}", {f"execution{words}EventDetails": details}, moves=True)
    child.end(status)


def _add(env: Any, kind: str, details: dict[str, Any], *, moves: bool) -> None:
    from moto.stepfunctions.parser.api import HistoryEventType

    env.event_manager.add_event(
        context=env.event_history_context,
        event_type=HistoryEventType(kind),
        event_details=details,
        update_source_event_id=moves,
    )

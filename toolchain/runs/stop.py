"""Stopping a run, and whatever of it still runs."""

import time
from collections.abc import Callable

from toolchain.console import counted, note
from toolchain.errors import UnavailableError
from toolchain.paths import typed
from toolchain.runs.executions import BatchJob, Run, Runs
from toolchain.runs.progress import label, running

# Step Functions ends the jobs that it waits for, if it can; what is left after this is ended here.
GRACE_SECONDS = 5.0
# Batch gives a container half a minute between SIGTERM and SIGKILL.
LONGEST_SECONDS = 90.0
PAUSE = 0.5


def stop(runs: Runs, name: str, cause: str, *, sleep: Callable[[float], None] = time.sleep) -> None:
    """Stops a run, waits until none of its jobs runs, and says what was running.

    Raises:
        UnavailableError: A job does not end.
    """
    run = runs.find(name)
    if ended := run.status != "RUNNING":
        note(f"run {name} has ended already: {run.status.lower()}")
    else:
        runs.stop(run, cause)
    there = running(runs.jobs(run))
    if ended and not there:
        return
    for job in there:
        note(f"stopping {label(job)} ({job.status.lower()}, job {job.job_id})")
    left = _wait(runs, run, there, sleep)
    if left:
        raise UnavailableError(
            f"run {name} was stopped, but {len(left)} of its jobs still run",
            why=f"{label(left[0])} (job {left[0].job_id}) is {left[0].status.lower()}",
            fix=f"Look again in a minute: {typed('status', name)}",
        )
    note(f"run {name} is stopped; {counted(len(there), 'job')} ended with it")


def _wait(runs: Runs, run: Run, there: tuple[BatchJob, ...], sleep: Callable[[float], None]) -> tuple[BatchJob, ...]:
    waited, asked = 0.0, False
    while there and waited < LONGEST_SECONDS:
        if waited >= GRACE_SECONDS and not asked:
            asked = True
            for job in there:
                runs.end(job, f"run {run.name} was stopped")
        sleep(PAUSE)
        waited += PAUSE
        there = running(runs.jobs(run))
    return there

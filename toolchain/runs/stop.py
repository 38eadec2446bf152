"""Stops a run and its jobs."""

import time
from collections.abc import Callable

from toolchain.console import counted, note
from toolchain.errors import UnavailableError
from toolchain.paths import typed
from toolchain.runs.executions import BatchJob, Run, Runs
from toolchain.runs.progress import label, unfinished_jobs

# Step Functions terminates the jobs that it waits for; those left after this are terminated here.
GRACE_SECONDS = 5.0
# Batch waits half a minute between SIGTERM and SIGKILL.
LONGEST_SECONDS = 90.0
PAUSE = 0.5


def stop(runs: Runs, name: str, cause: str, *, sleep: Callable[[float], None] = time.sleep) -> None:
    """Stops a run, waits until none of its jobs runs, and says what was running.

    Raises:
        UnavailableError: A job does not end.
    """
    run = runs.find(name)
    if has_ended := run.status != "RUNNING":
        note(f"run {name} has ended already: {run.status.lower()}")
    else:
        runs.stop(run, cause)
    jobs = unfinished_jobs(runs.jobs(run))
    if has_ended and not jobs:
        return
    for job in jobs:
        note(f"stopping {label(job)} ({job.status.lower()}, job {job.job_id})")
    left = _wait(runs, run, jobs, sleep)
    if left:
        raise UnavailableError(
            f"run {name} was stopped, but {len(left)} of its jobs still run",
            why=f"{label(left[0])} (job {left[0].job_id}) is {left[0].status.lower()}",
            fix=f"Look again in a minute: {typed('status', name)}",
        )
    note(f"run {name} is stopped; {counted(len(jobs), 'job')} ended with it")


def _wait(runs: Runs, run: Run, jobs: tuple[BatchJob, ...], sleep: Callable[[float], None]) -> tuple[BatchJob, ...]:
    """Waits until all jobs have ended, and returns those that have not."""
    waited, terminated = 0.0, False
    while jobs and waited < LONGEST_SECONDS:
        if waited >= GRACE_SECONDS and not terminated:
            terminated = True
            for job_id in dict.fromkeys(job.job_id.partition(":")[0] for job in jobs):
                runs.end(job_id, f"run {run.name} was stopped")
        sleep(PAUSE)
        waited += PAUSE
        jobs = unfinished_jobs(runs.jobs(run))
    return jobs

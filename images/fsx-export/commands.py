"""The command of the fsx-export image; see README.md."""

import re
import resource
from collections.abc import Sequence

from contents import Contents

from step.arguments import check_path, check_sample, check_variable, is_given, positional
from step.errors import UsageError, printable
from step.job import Job
from step.pipeline import Cost
from step.records import RECORDS
from step.steps import Step, log

NAME = "export"
RECEIPT = "export.json"

_FILE_SYSTEM = re.compile(r"fs-[0-9a-f]{8,18}")
_PATH = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)*")
_REPORT = re.compile(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[A-Za-z0-9._+=@-]+)*")


def export(job: Job, arguments: Sequence[str]) -> None:
    """`step export [REFERENCE [SAMPLE]]`: exports the run's directory, or that of one sample, to S3: export.json."""
    given = positional(arguments, "reference", "sample")
    reference, sample = given["reference"] or "-", given["sample"] or "-"
    if is_given(reference):
        check_path("reference", reference)
    check_variable(job.environment, "WORKFLOW_NAME")
    check_variable(job.environment, "EXECUTION_ID")
    file_system = _parse_file_system(job)
    report = _optional_variable(job, "EXPORT_REPORT", _REPORT, "it is not an s3:// URI without a '/' at its end")
    working = _optional_variable(
        job, "WORKING_PATH", _PATH, "it is not a relative path of letters, digits, '.', '_' and '-'"
    )
    folder = job.run / check_sample(sample) if is_given(sample) else job.run
    job.check_mounts("working")
    contents = Contents.scan(folder, exclude=(folder / RECEIPT, folder / RECORDS / f"{NAME}.json"))
    path = str(folder.relative_to(job.root / "working"))
    step = Step(
        job=job,
        name=NAME,
        folder=folder,
        command=(
            *("step", NAME, reference, sample, f"FILE_SYSTEM_ID={file_system}", f"WORKING_PATH={working or '-'}"),
            *(f"EXPORT_REPORT={report}", f"contents={contents.digest}"),
        ),
    )
    if step.is_done():
        return
    with step:
        log(f"{NAME}: {contents.count} files, {contents.size} bytes beneath {path}")
        # Imported here because boto3 takes longer than everything above, which does not need it.
        from export import run, write_receipt
        from service import Service, Timeouts
        from task import Export

        request = Export(
            file_system=file_system,
            path=f"{working}/{path}" if working else path,
            contents=contents.digest,
            report=report or None,
        )
        timeouts = Timeouts.parse(job.environment)
        task = run(Service.connect(job.environment, timeouts), request, timeouts)
        write_receipt(step.work / RECEIPT, request, task)
        step.publish(RECEIPT, folder / RECEIPT)
        step.costs.append(_own_cost())
        step.finish()


def _parse_file_system(job: Job) -> str:
    """The file system's id from the environment. Raises UsageError."""
    value = job.environment.get("FILE_SYSTEM_ID", "")
    if not value:
        raise UsageError(
            "FILE_SYSTEM_ID is not set",
            why="the job's environment must name the file system to export from",
            fix="Set FILE_SYSTEM_ID in the job's environment (containerOverrides.environment).",
        )
    if not _FILE_SYSTEM.fullmatch(value):
        raise UsageError(
            f"bad FILE_SYSTEM_ID '{printable(value)}'",
            why="it is not 'fs-' and eight or more of 0-9 and a-f",
            fix="Give the id of the working file system.",
        )
    return value


def _optional_variable(job: Job, name: str, pattern: re.Pattern[str], why: str) -> str:
    """A variable of the environment, "" if it is absent. Raises UsageError if it does not match the pattern."""
    value = job.environment.get(name, "")
    if not is_given(value):
        return ""
    if not pattern.fullmatch(value):
        raise UsageError(f"bad {name} '{printable(value)}'", why=why, fix="See the image's README for what it takes.")
    return value


def _own_cost() -> Cost:
    """The cost of this process, the only stage of the step."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return Cost(
        name=NAME,
        user_seconds=usage.ru_utime,
        system_seconds=usage.ru_stime,
        peak_memory_bytes=usage.ru_maxrss * 1024,
    )


COMMANDS = {NAME: export}

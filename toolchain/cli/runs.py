"""The commands about runs: run, status, logs, stop."""

import json
from dataclasses import replace
from pathlib import Path

import click
from rich.table import Table

from toolchain import console, settings
from toolchain.aws import Account
from toolchain.cli.local import typed_command, with_running_target, with_target
from toolchain.cli.options import ALIGNER, ORPHANS, PLOIDY, SKIP
from toolchain.errors import CannotCreateError, UnavailableError, WrongUsageError
from toolchain.jobdefs.target import Target
from toolchain.paths import typed
from toolchain.runs import follow as following
from toolchain.runs import stop as stopping
from toolchain.runs.executions import BatchJob, Run, Runs
from toolchain.runs.follow import clock
from toolchain.runs.logs import Logs
from toolchain.runs.progress import label
from toolchain.runs.run_error import run_failure
from toolchain.settings import AlignerChoice
from toolchain.stacks.template import state_machine
from toolchain.workflow import data_link, plan
from toolchain.workflow import run_input as run_inputs
from toolchain.workflow import sheet as sheets
from toolchain.workflow.run_input import RunInput
from toolchain.workflow.samples import Skip, in_order


def _runs(target: Target) -> Runs:
    project = settings.load(target.checkout.settings).project
    return Runs(Account(), project, state_machine(target.checkout.stacks))


@click.command()
@click.argument("sheet", metavar="SAMPLES.csv", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--reference", required=True, help="The FASTA, as a path below /scratch/reference.")
@click.option("--name", help="The run's name, and the directory of its results. [default: date and time]")
@click.option(
    "--shards",
    type=click.IntRange(1, 9999),
    help="Parts of the genome to call side by side. [default: 24; with --local twice the cores]",
)
@PLOIDY
@ALIGNER
@SKIP
@ORPHANS
@click.option("--detach", is_flag=True, help="Start it, and do not wait for its end.")
@click.option("--dry-run", is_flag=True, help="List every job, write the input to a file, and start nothing.")
@click.option(
    "--inputs",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("inputs.json"),
    show_default=True,
    help="With --dry-run: the file; never one that holds something else.",
)
@with_target
def run(  # noqa: PLR0913  # an argument for each option
    *,
    target: Target,
    sheet: Path,
    reference: str,
    name: str | None,
    shards: int | None,
    ploidy: int,
    aligner: AlignerChoice | None,
    skip: tuple[Skip, ...],
    count_orphans: bool,
    detach: bool,
    dry_run: bool,
    inputs: Path,
) -> int:
    """Take the samples of a sheet to variants: start a run, and follow it to its end.

    SAMPLES.csv has a line for each lane: sample, r1, r2, and if wanted lane, library and unit. R1 and R2 are paths
    below /scratch/data. TSV and the sheets of nf-core do too. Ctrl-C detaches: the run goes on.
    """
    if detach and not target.is_persistent:
        raise WrongUsageError(
            "--detach with an embedded AWS that ends with this command",
            why="the run would end with it",
            fix="Type first: python build.py local start",
        )
    known = settings.load(target.checkout.settings)
    run_input = RunInput(
        reference=run_inputs.check_reference(reference),
        samples=sheets.read(sheet, data_link.of(known)),
        shards=shards or target.default_shards,
        ploidy=ploidy,
        skip=in_order(skip),
        count_orphans=count_orphans,
    )
    chosen = run_inputs.check_name(name) if name else run_inputs.new_name()
    account = Account()
    if not dry_run:
        target.prepare_run(account, typed_command(), chosen, run_input)
    resources = target.job_resources()
    choice = target.choose_aligner(account, known, run_input.reference, aligner, resources)
    console.note(f"aligner: {choice.aligner}: {choice.reason}")
    for job, memory in choice.memory.items():
        console.note(f"memory of {job}: {memory} MiB")
        resources[job] = {**resources.get(job, {}), "MEMORY": memory}
    run_input = replace(run_input, aligner=choice.aligner, resources=resources)
    if dry_run:
        _plan(target, run_input, inputs)
        return 0
    runs = _runs(target)
    started = runs.start(chosen, run_input)
    lanes = sum(len(sample.lanes) for sample in run_input.samples)
    sizes = ((len(run_input.samples), "sample"), (lanes, "lane"), (len(started.planned), "job"))
    console.note(f"started run {chosen}: {', '.join(console.counted(number, noun) for number, noun in sizes)}")
    if detach:
        click.echo(chosen)
        return 0
    return _follow(target, runs, started)


def _plan(target: Target, run_input: RunInput, file: Path) -> None:
    run_input.dump()  # an input that is too large is refused here already
    text = json.dumps(run_input.as_json(), indent=2) + "\n"
    jobs = plan.jobs(state_machine(target.checkout.stacks), run_input.as_json())
    try:
        _write_new(file, text)
    except OSError as error:
        raise CannotCreateError(
            f"cannot write {file}", why=str(error.strerror), fix="Name another file: --inputs FILE"
        ) from error
    for job in jobs:
        click.echo(f"{job.sample or '-'}\t{job.step}\t{job.tool}")
    console.note(f"{len(jobs)} jobs; nothing was started. The same command without --dry-run starts them.")
    if target.is_persistent:
        words = f"--state-machine-arn ARN --name NAME --input file://{file}"
        console.note(f"Without this tool, ARN being the workflow's: aws stepfunctions start-execution {words}")


def _write_new(file: Path, text: str) -> None:
    """Writes a new file; an OSError if it exists with another content, or cannot be written."""
    try:
        with file.open("x", encoding="utf-8") as out:
            out.write(text)
    except FileExistsError:
        if file.read_text(encoding="utf-8", errors="replace") != text:
            raise


def _follow(target: Target, runs: Runs, run: Run) -> int:
    again = typed("status", "--follow", run.name)
    try:
        ended = following.follow(runs, run)
    except KeyboardInterrupt:
        if target.is_persistent:
            console.note(f"detached: run {run.name} goes on. See it: {again}")
        else:
            console.note(f"stopped: run {run.name} ends with its embedded AWS. What is done is kept.")
        return 130
    except UnavailableError as error:
        raise UnavailableError(
            f"no longer following run {run.name}",
            why=f"{error.what}: {error.why}",
            fix=f"To see it again type: {again}" if target.is_persistent else error.fix,
        ) from error
    if ended.status == "SUCCEEDED":
        say_notes(runs, ended)
    return _outcome(target, ended)


def say_notes(runs: Runs, ended: Run) -> None:
    """Prints the remarks of the steps."""
    try:
        for text in runs.notes(ended):
            console.note(f"note: {text}")
    except UnavailableError as error:
        console.note(f"note: the samples' figures were not looked at: {error}")


def _outcome(target: Target, run: Run) -> int:
    """Prints how a run ended, and its VCFs on stdout; raises StepFailedError if it failed."""
    if run.status == "SUCCEEDED":
        console.note(f"run {run.name} is done in {clock(run.seconds)}")
        for sample, vcf in sorted(run.vcfs.items()):
            click.echo(f"{sample}\t{vcf}")
    elif run.status == "ABORTED":
        console.note(f"run {run.name} was stopped: {run.cause or 'no cause was given'}")
    else:
        raise run_failure(run, target)
    return run.exit_code


@click.command()
@click.argument("name", metavar="[RUN]", required=False)
@click.option("--follow", "-f", "follows", is_flag=True, help="Follow the run to its end.")
@click.option("--last", type=click.IntRange(1, 1000), default=20, show_default=True, help="How many runs to list.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@with_running_target
def status(*, target: Target, name: str | None, follows: bool, last: int, as_json: bool) -> int:
    """List the latest runs, or show one: its samples by step, its jobs that failed, its outcome."""
    runs = _runs(target)
    if name is None:
        if follows:
            raise WrongUsageError("--follow without a run", why="it follows one", fix="Name the run.")
        _list(runs, last, as_json=as_json)
        return 0
    run = runs.find(name)
    if follows and run.status == "RUNNING":
        return _follow(target, runs, run)
    jobs = runs.jobs(run)
    if as_json:
        click.echo(json.dumps(_as_json(run, jobs), indent=2))
    else:
        _show(target, run, jobs)
    return run.exit_code if run.status not in ("RUNNING", "ABORTED") else 0


def _list(runs: Runs, last: int, *, as_json: bool) -> None:
    listed = list(runs.latest(most=last))
    if as_json:
        entries = [{"run": run.name, "status": run.status, "start": run.start.isoformat()} for run in listed]
        click.echo(json.dumps({"runs": entries}, indent=2))
        return
    table = Table("run", "status", "started", "time", box=None, pad_edge=False)
    for run in listed:
        table.add_row(run.name, run.status.lower(), f"{run.start:%Y-%m-%d %H:%M}", clock(run.seconds))
    console.stdout().print(table)
    if not listed:
        console.note(f"no run yet. Type: {typed('run', 'SAMPLES.csv', '--reference', 'NAME')}")


def _show(target: Target, run: Run, jobs: tuple[BatchJob, ...]) -> None:
    out = console.stdout()
    out.print(following.table(run, jobs))
    for job in jobs:
        if job.status == "FAILED":
            out.print(f"{label(job)}: {following.describe(job)}  (job {job.job_id})", soft_wrap=True, markup=False)
    if run.status != "RUNNING":
        _outcome(target, run)


_JOB_FIELDS = ("sample", "step", "status", "reason", "exit_code", "start", "stop")


def _as_json(run: Run, jobs: tuple[BatchJob, ...]) -> dict[str, object]:
    return {
        "run": run.name,
        "status": run.status,
        "start": run.start.isoformat(),
        "stop": run.stop.isoformat() if run.stop else None,
        "error": run.error,
        "cause": run.cause,
        "vcfs": run.vcfs,
        "jobs": [{"id": job.job_id, **{field: getattr(job, field) for field in _JOB_FIELDS}} for job in jobs],
    }


@click.command()
@click.argument("name", metavar="RUN")
@click.option("--sample", help="Only this sample's jobs.")
@click.option("--step", help="Only this step's: its name, or its first word ('mem', 'call 3').")
@click.option("--follow", "-f", "follows", is_flag=True, help="Go on until the run ends.")
@with_running_target
def logs(*, target: Target, name: str, sample: str | None, step: str | None, follows: bool) -> int:
    """Print what a run's jobs wrote, each line after its job's name."""
    runs = _runs(target)
    run = runs.find(name)
    _check_wanted(run, sample, step)

    def wanted(job: BatchJob) -> bool:
        return (sample is None or job.sample == sample) and (step is None or step in (job.step, job.step.split()[0]))

    reader = Logs(runs)
    lines = reader.follow(run, wanted) if follows else reader.lines(run, wanted)
    number = 0
    for number, line in enumerate(lines, start=1):  # noqa: B007  # whether there was any
        click.echo(f"{line.job} | {line.text}")
    if not number:
        console.note("no such job has written anything" + ("" if follows else " yet; -f waits"))
    return 0


def _check_wanted(run: Run, sample: str | None, step: str | None) -> None:
    jobs = run.planned
    if not jobs:
        return
    if sample is not None and all(job.sample != sample for job in jobs):
        names = list(dict.fromkeys(job.sample for job in jobs if job.sample))
        raise WrongUsageError(
            f"no sample '{sample}' in run {run.name}", why=f"it has {', '.join(names[:10])}", fix="Correct the name."
        )
    if step is not None and all(step not in (job.step, job.step.split()[0]) for job in jobs):
        words = dict.fromkeys(job.step.split()[0] for job in jobs)
        raise WrongUsageError(
            f"no step '{step}' in run {run.name}", why=f"it has {', '.join(words)}", fix="Correct the name."
        )


@click.command()
@click.argument("name", metavar="RUN")
@click.option("--cause", default="stopped by hand", show_default=True, help="Is kept with the run.")
@with_running_target
def stop(*, target: Target, name: str, cause: str) -> int:
    """Stop a run and its jobs, and say what was running."""
    stopping.stop(_runs(target), name, cause)
    return 0

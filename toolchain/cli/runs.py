"""The commands that start, follow, read and stop runs, of `python build.py`; cli.py adds them to its own."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from toolchain import console
from toolchain.cli.local import as_typed, place, place_again
from toolchain.cli.options import ALIGNER, ORPHANS, PLOIDY, SKIP
from toolchain.errors import UnavailableError, WrongUsageError
from toolchain.paths import Checkout, typed
from toolchain.workflow.aligners import Wanted
from toolchain.workflow.samples import in_order

if TYPE_CHECKING:
    from toolchain.runs.executions import BatchJob, Run, Runs
    from toolchain.workflow.run_input import RunInput
    from toolchain.workflow.samples import Skip


def _runs(checkout: Checkout) -> "Runs":
    from toolchain import settings
    from toolchain.aws import Account
    from toolchain.runs.executions import Runs

    return Runs(Account(), settings.load(checkout.settings).project)


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
@place
def run(  # noqa: PLR0913  # one an option
    *,
    checkout: Checkout,
    sheet: Path,
    reference: str,
    name: str | None,
    shards: int | None,
    ploidy: int,
    aligner: Wanted | None,
    skip: "tuple[Skip, ...]",
    count_orphans: bool,
    detach: bool,
    dry_run: bool,
    inputs: Path,
) -> int:
    """Take the samples of a sheet to variants: start a run, and follow it to its end.

    SAMPLES.csv has a line for each lane: sample, r1, r2, and if wanted lane, library and unit. R1 and R2 are paths
    below /scratch/data. TSV and the sheets of nf-core do too. Ctrl-C detaches: the run goes on.
    """
    from dataclasses import replace

    from toolchain.aws import Account
    from toolchain.jobdefs import render as rendering
    from toolchain.runs import prepare as locally
    from toolchain.workflow import run_input as orders
    from toolchain.workflow import sheet as sheets

    if detach and not checkout.lasting:
        raise WrongUsageError(
            "--detach with an embedded AWS that ends with this command",
            why="the run would end with it",
            fix="Type first: python build.py local start",
        )
    order = orders.RunInput(
        reference=orders.check_reference(reference),
        samples=sheets.read(sheet),
        shards=shards or rendering.shards(checkout),
        ploidy=ploidy,
        skip=in_order(skip),
        count_orphans=count_orphans,
    )
    chosen = orders.check_name(name) if name else orders.new_name()
    if checkout == checkout.at_home and not dry_run:
        locally.prepare(checkout, Account(), as_typed())
    resources = rendering.resources(checkout)
    choice = rendering.aligner(checkout, order.reference, aligner, resources)
    console.note(f"aligner: {choice.aligner}: {choice.reason}")
    order = replace(order, aligner=choice.aligner, resources=resources)
    if dry_run:
        _plan(checkout, order, inputs)
        return 0
    if checkout == checkout.at_home:
        locally.check_name(checkout, chosen)
        locally.check_inputs(checkout, order)
    runs = _runs(checkout)
    started = runs.start(chosen, order)
    lanes = sum(len(sample.lanes) for sample in order.samples)
    sizes = ((len(order.samples), "sample"), (lanes, "lane"), (len(order.jobs()), "job"))
    console.note(f"started run {chosen}: {', '.join(console.counted(number, noun) for number, noun in sizes)}")
    if detach:
        click.echo(chosen)
        return 0
    return _follow(checkout, runs, started)


def _plan(checkout: Checkout, order: "RunInput", file: Path) -> None:
    from toolchain.errors import CannotCreateError
    from toolchain.jobdefs import render as rendering

    order.dump()  # too large an order is found here already
    text = json.dumps(order.as_json(), indent=2) + "\n"
    try:
        _write_new(file, text)
    except OSError as error:
        raise CannotCreateError(
            f"cannot write {file}", why=str(error.strerror), fix="Name another file: --inputs FILE"
        ) from error
    for job in order.jobs():
        click.echo(f"{job.sample or '-'}\t{job.step}\t{job.tool}")
    console.note(f"{len(order.jobs())} jobs; nothing was started. The same command without --dry-run starts them.")
    machine = rendering.outputs(checkout).get("StateMachineArn") if checkout.lasting else None
    if machine:
        words = f"--state-machine-arn {machine} --name NAME --input file://{file}"
        console.note(f"Without this tool: aws stepfunctions start-execution {words}")


def _write_new(file: Path, text: str) -> None:
    """Writes a file that is not there, or that holds this very text.

    Raises:
        OSError: It cannot be written, or holds something else.
    """
    try:
        with file.open("x", encoding="utf-8") as out:
            out.write(text)
    except FileExistsError:
        if file.read_text(encoding="utf-8", errors="replace") != text:
            raise


def _follow(checkout: Checkout, runs: "Runs", one: "Run") -> int:
    from toolchain.runs import follow as following

    again = typed("status", "--follow", one.name)
    try:
        ended = following.follow(runs, one)
    except KeyboardInterrupt:
        if checkout.lasting:
            console.note(f"detached: run {one.name} goes on. See it: {again}")
        else:
            console.note(f"stopped: run {one.name} ends with its embedded AWS. What is done is kept.")
        return 130
    except UnavailableError as error:
        # Whatever ends the looking on, the run goes on, if its AWS does.
        raise UnavailableError(
            f"no longer following run {one.name}",
            why=f"{error.what}: {error.why}",
            fix=f"To see it again type: {again}" if checkout.lasting else error.fix,
        ) from error
    if ended.status == "SUCCEEDED":
        say_notes(runs, ended)
    return _outcome(checkout, ended)


def say_notes(runs: "Runs", ended: "Run") -> None:
    """Says what the user should know of the samples' figures."""
    try:
        for text in runs.notes(ended):
            console.note(f"note: {text}")
    except UnavailableError as error:
        console.note(f"note: the samples' figures were not looked at: {error}")


def _outcome(checkout: Checkout, one: "Run") -> int:
    """Says how a run ended: its VCFs on stdout.

    Raises:
        StepFailedError: It failed.
    """
    from toolchain.runs.follow import clock
    from toolchain.runs.run_error import run_failure

    if one.status == "SUCCEEDED":
        console.note(f"run {one.name} is done in {clock(one.seconds)}")
        for sample, vcf in sorted(one.vcfs.items()):
            click.echo(f"{sample}\t{vcf}")
    elif one.status == "ABORTED":
        console.note(f"run {one.name} was stopped: {one.cause or 'no cause was given'}")
    else:
        raise run_failure(one, checkout)
    return one.exit_code


@click.command()
@click.argument("name", metavar="[RUN]", required=False)
@click.option("--follow", "-f", "follows", is_flag=True, help="Follow the run to its end.")
@click.option("--last", type=click.IntRange(1, 1000), default=20, show_default=True, help="How many runs to list.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@place_again
def status(*, checkout: Checkout, name: str | None, follows: bool, last: int, as_json: bool) -> int:
    """List the latest runs, or show one: its samples by step, its jobs that failed, its outcome."""
    runs = _runs(checkout)
    if name is None:
        if follows:
            raise WrongUsageError("--follow without a run", why="it follows one", fix="Name the run.")
        _list(runs, last, as_json=as_json)
        return 0
    one = runs.find(name)
    if follows and one.status == "RUNNING":
        return _follow(checkout, runs, one)
    jobs = runs.jobs(one)
    if as_json:
        click.echo(json.dumps(_as_json(one, jobs), indent=2))
    else:
        _show(checkout, one, jobs)
    return one.exit_code if one.status not in ("RUNNING", "ABORTED") else 0


def _list(runs: "Runs", last: int, *, as_json: bool) -> None:
    found = list(runs.latest(most=last))
    if as_json:
        entries = [{"run": one.name, "status": one.status, "start": one.start.isoformat()} for one in found]
        click.echo(json.dumps({"runs": entries}, indent=2))
        return
    from rich.table import Table

    from toolchain.runs.follow import clock

    table = Table("run", "status", "started", "time", box=None, pad_edge=False)
    for one in found:
        table.add_row(one.name, one.status.lower(), f"{one.start:%Y-%m-%d %H:%M}", clock(one.seconds))
    console.stdout().print(table)
    if not found:
        console.note(f"no run yet. Type: {typed('run', 'SAMPLES.csv', '--reference', 'NAME')}")


def _show(checkout: Checkout, one: "Run", jobs: "tuple[BatchJob, ...]") -> None:
    from toolchain.runs import follow as following
    from toolchain.runs.progress import label

    out = console.stdout()
    out.print(following.table(one, jobs))
    for job in jobs:
        if job.status == "FAILED":
            out.print(f"{label(job)}: {following.described(job)}  (job {job.job_id})", soft_wrap=True, markup=False)
    if one.status != "RUNNING":
        _outcome(checkout, one)


def _as_json(one: "Run", jobs: "tuple[BatchJob, ...]") -> dict[str, object]:
    return {
        "run": one.name,
        "status": one.status,
        "start": one.start.isoformat(),
        "stop": one.stop.isoformat() if one.stop else None,
        "error": one.error,
        "cause": one.cause,
        "vcfs": one.vcfs,
        "jobs": [
            {
                "id": job.job_id,
                "sample": job.sample,
                "step": job.step,
                "status": job.status,
                "reason": job.reason,
                "exit_code": job.exit_code,
                "start": job.start,
                "stop": job.stop,
            }
            for job in jobs
        ],
    }


@click.command()
@click.argument("name", metavar="RUN")
@click.option("--sample", help="Only this sample's jobs.")
@click.option("--step", help="Only this step's: its name, or its first word ('mem', 'call 3').")
@click.option("--follow", "-f", "follows", is_flag=True, help="Go on until the run ends.")
@place_again
def logs(*, checkout: Checkout, name: str, sample: str | None, step: str | None, follows: bool) -> int:
    """Print what a run's jobs wrote, each line after its job's name."""
    from toolchain.runs.logs import Logs

    runs = _runs(checkout)
    one = runs.find(name)
    _check_wanted(one, sample, step)

    def wanted(job: "BatchJob") -> bool:
        return (sample is None or job.sample == sample) and (step is None or step in (job.step, job.step.split()[0]))

    reader = Logs(runs)
    lines = reader.follow(one, wanted) if follows else reader.lines(one, wanted)
    number = 0
    for number, line in enumerate(lines, start=1):  # noqa: B007  # whether there was any
        click.echo(f"{line.job} | {line.text}")
    if not number:
        console.note("no such job has written anything" + ("" if follows else " yet; -f waits"))
    return 0


def _check_wanted(one: "Run", sample: str | None, step: str | None) -> None:
    if one.order is None:
        return
    jobs = one.order.jobs()
    if sample is not None and all(job.sample != sample for job in jobs):
        names = [known.name for known in one.order.samples]
        raise WrongUsageError(
            f"no sample '{sample}' in run {one.name}", why=f"it has {', '.join(names[:10])}", fix="Correct the name."
        )
    if step is not None and all(step not in (job.step, job.step.split()[0]) for job in jobs):
        words = dict.fromkeys(job.step.split()[0] for job in jobs)
        raise WrongUsageError(
            f"no step '{step}' in run {one.name}", why=f"it has {', '.join(words)}", fix="Correct the name."
        )


@click.command()
@click.argument("name", metavar="RUN")
@click.option("--cause", default="stopped by hand", show_default=True, help="Is kept with the run.")
@place_again
def stop(*, checkout: Checkout, name: str, cause: str) -> int:
    """Stop a run and its jobs, and say what was running."""
    from toolchain.runs import stop as stopping

    stopping.stop(_runs(checkout), name, cause)
    return 0


COMMANDS = (run, status, logs, stop)

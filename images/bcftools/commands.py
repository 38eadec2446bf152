"""The commands of the bcftools image; see README.md."""

from collections.abc import Sequence
from pathlib import Path

from step import references, regions, sample_bam
from step.arguments import check_number, check_path, check_sample, is_given, positional
from step.bam import BrokenIndexError, index_suffix, needs_csi, read_index
from step.errors import BadDataError, ToolFailedError, UsageError, printable
from step.job import Job, check_input
from step.pipeline import Program
from step.steps import Step, recorded, say
from step.vcf import check_calls

# Above any depth that sequencing reaches, so that mpileup neither drops reads (-d, else 250) nor leaves out indels (-L,
# else 250) where data is deep. It drops in silence, so the limit must be one that is never met.
DEEPEST = "1000000"
MOST_SHARDS = 9999
ORPHANS = "count-orphans"


def call(job: Job, arguments: Sequence[str]) -> None:
    """`step call REFERENCE SAMPLE SHARDS [SHARD [PLOIDY [count-orphans]]]`: variants of one shard of the genome.

    SHARD counts from 0; it defaults to the array job's index. The variants are left-aligned and trimmed:
    shards/SHARD-of-SHARDS.vcf.gz.
    """
    given = positional(arguments, "reference", "sample", "shards", "shard", "ploidy", "orphans")
    name = check_path("reference", given["reference"])
    sample = check_sample(given["sample"])
    folder = job.run / sample
    shards = check_number("number of shards", given["shards"], 1, MOST_SHARDS)
    text = given["shard"] if is_given(given["shard"]) else job.environment.get("AWS_BATCH_JOB_ARRAY_INDEX", "")
    number = check_number("shard", text, 0, shards - 1)
    ploidy = check_number("ploidy", given["ploidy"], 1, 2) if is_given(given["ploidy"]) else 2
    if is_given(given["orphans"]) and given["orphans"] != ORPHANS:
        raise UsageError(
            f"bad argument '{printable(given['orphans'])}'", why=f"it is not '{ORPHANS}'", fix="Give that word, or '-'."
        )
    orphans = is_given(given["orphans"])
    job.check_mounts("reference", "data", "working")
    bam = check_input(folder / f"{sample}.bam", step_before=True)
    reference = references.find(job, name)
    lengths = reference.lengths
    index = check_input(Path(f"{bam}{index_suffix(tuple(lengths.values()))}"), step_before=True)
    part = f"{number}-of-{shards}"
    command = ["step", "call", name, sample, str(shards), str(number), str(ploidy)]
    step = Step(
        job=job,
        name=f"call.{part}",
        folder=folder,
        command=(*command, ORPHANS) if orphans else command,
        inputs=(bam, index),
        known=recorded(folder, "mem.*", "finish"),
        reference=reference.record,
    )
    if step.is_done():
        return
    with step:
        references.check_origin(reference, folder, [bam], "mem.*", "finish")
        header = sample_bam.check_sample(bam, sample)
        if header.sequences != lengths:
            raise BadDataError(
                f"{bam.name} is of another reference",
                why=f"its sequences are not those of {name}",
                fix="Align the sample again.",
            )
        try:
            spans = read_index(index).spans
        except BrokenIndexError as error:
            say(f"note: shards are of equal length: {index.name} cannot be read: {error}")
            spans = None
        mine = regions.shard(lengths, spans, number, shards)
        if not mine:
            raise UsageError(
                "too many shards", why=f"the genome of {name} has fewer bases than that", fix="Give fewer."
            )
        # What mpileup says of a base depends on the reads around it: it begins before the shard and ends behind it,
        # and `norm` takes the records of the shard's own bases, as they are before it moves any.
        step.write("wide.bed", regions.bed(regions.widened(mine, lengths)))
        step.write("shard.tsv", regions.table(mine))
        step.write("header", f"##genomicsImage={job.image}\n")
        fasta = str(reference.fasta)
        # --gvcf has mpileup hand on sites without a variant as blocks, which `call -v` drops as it drops the sites: the
        # records are the same, and a fifth of the time is saved. END and MIN_DP are of those blocks alone.
        pileup = ("bcftools", "mpileup", "--no-version", "-f", fasta, "-R", "wide.bed", "-d", DEEPEST, "-L", DEEPEST)
        further = ("-a", "FORMAT/AD,FORMAT/DP", "--gvcf", "0", *(["-A"] if orphans else []), "-Ou", str(bam))
        calls = ("bcftools", "call", "--no-version", "-mv", "--ploidy", str(ploidy), "-Ou")
        # `call -T` drops every record where a region does not begin with its sequence; `norm -T` takes those that begin
        # in one, as they are before it moves them.
        mine_alone = ("-T", "shard.tsv", "--targets-overlap", "0")
        norm = ("bcftools", "norm", "--no-version", "-f", fasta, *mine_alone, "-Ou", "-")
        annotate = ("bcftools", "annotate", "--no-version", "-h", "header", "-x", "INFO/END,INFO/MIN_DP", "-Oz", "-")
        step.run(
            Program(name="mpileup", command=(*pileup, *further)),
            Program(name="call", command=calls),
            Program(name="norm", command=norm),
            Program(name="annotate", command=annotate),
            sink="shard.vcf.gz",
        )
        _made_whole(step.work / "shard.vcf.gz", sample)
        step.publish("shard.vcf.gz", folder / "shards" / f"{part}.vcf.gz")
        step.finish()


def _made_whole(file: Path, sample: str) -> None:
    try:
        check_calls(file, sample)
    except BadDataError as error:
        raise ToolFailedError(
            f"{file.name} came out broken", why=str(error).rstrip("."), fix="Run the step again."
        ) from error


def gather(job: Job, arguments: Sequence[str]) -> None:
    """`step gather REFERENCE SAMPLE SHARDS`: concatenates the shards and indexes: SAMPLE.vcf.gz, with its figures."""
    given = positional(arguments, "reference", "sample", "shards")
    name = check_path("reference", given["reference"])
    sample = check_sample(given["sample"])
    folder = job.run / sample
    shards = check_number("number of shards", given["shards"], 1, MOST_SHARDS)
    job.check_mounts("reference", "data", "working")
    files = [
        check_input(folder / "shards" / f"{number}-of-{shards}.vcf.gz", step_before=True) for number in range(shards)
    ]
    reference = references.find(job, name)
    step = Step(
        job=job,
        name="gather",
        folder=folder,
        command=("step", "gather", name, sample, str(shards)),
        inputs=files,
        known=recorded(folder, f"call.*-of-{shards}"),
        reference=reference.record,
    )
    if step.is_done():
        return
    suffix = "csi" if needs_csi(tuple(reference.lengths.values())) else "tbi"
    index = Program(
        name="index", command=("bcftools", "index", "--force", f"--{suffix}", "calls.vcf.gz"), is_quiet=True
    )
    with step:
        references.check_origin(reference, folder, files, f"call.*-of-{shards}")
        for file in files:
            check_calls(file, sample)
        paths = step.write("shards", "".join(f"{file}\n" for file in files)).name
        # Compressed blocks are copied as they are. Left-aligned, an indel at the start of a shard may come to stand
        # before the last records of the one before: then the index, which takes nothing but order, is refused, and the
        # records are put in order.
        concat = ("bcftools", "concat", "--no-version", "--file-list", paths)
        step.run(Program(name="concat", command=(*concat, "--naive")), sink="calls.vcf.gz")
        try:
            step.run(index)
        except ToolFailedError:
            say("note: an indel moved from one shard to the one before: the records are put in order")
            norm = ("bcftools", "norm", "--no-version", "-f", str(reference.fasta), "-Oz", "-")
            step.run(
                Program(name="concat", command=(*concat, "-Ou")),
                Program(name="norm", command=norm),
                sink="calls.vcf.gz",
            )
            step.run(index)
        step.run(Program(name="stats", command=("bcftools", "stats", "calls.vcf.gz")), sink="stats.txt")
        _made_whole(step.work / "calls.vcf.gz", sample)
        step.publish("stats.txt", folder / "qc" / f"{sample}.bcftools.txt")
        for other in {"tbi", "csi"} - {suffix}:
            sample_bam.remove(folder / f"{sample}.vcf.gz.{other}")
        step.publish(f"calls.vcf.gz.{suffix}", folder / f"{sample}.vcf.gz.{suffix}")
        step.publish("calls.vcf.gz", folder / f"{sample}.vcf.gz")
        step.finish()


COMMANDS = {"call": call, "gather": gather}

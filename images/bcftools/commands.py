"""The commands of the bcftools image; see README.md."""

from collections.abc import Sequence
from pathlib import Path

from step import regions, sample_bam
from step.arguments import (
    COUNT_ORPHANS,
    check_number,
    check_path,
    check_sample,
    check_shards,
    is_given,
    positional,
)
from step.bam import BrokenIndexError, index_suffix, read_index, vcf_index_suffix
from step.errors import BadDataError, ToolFailedError, UsageError, printable
from step.job import Job, check_input
from step.pipeline import Program
from step.records import output_digests
from step.references import check_origin, find_reference
from step.steps import Step, log
from step.vcf import check_vcf

# Beyond the default limits of 250, mpileup silently drops reads (-d) and skips indels (-L). No sequencing is this deep.
MAX_DEPTH = "1000000"


def call(job: Job, arguments: Sequence[str]) -> None:
    """`step call REFERENCE SAMPLE SHARDS [SHARD [PLOIDY [count-orphans]]]`: calls one shard of the genome.

    SHARD counts from 0 and defaults to the array job's index. Writes left-aligned, trimmed variants to
    shards/SHARD-of-SHARDS.vcf.gz.
    """
    given = positional(arguments, "reference", "sample", "shards", "shard", "ploidy", "orphans")
    name = check_path("reference", given["reference"])
    sample = check_sample(given["sample"])
    folder = job.run / sample
    shards = check_shards(given["shards"])
    text = given["shard"] if is_given(given["shard"]) else job.environment.get("AWS_BATCH_JOB_ARRAY_INDEX", "")
    number = check_number("shard", text, 0, shards - 1)
    ploidy = check_number("ploidy", given["ploidy"], 1, 2) if is_given(given["ploidy"]) else 2
    if is_given(given["orphans"]) and given["orphans"] != COUNT_ORPHANS:
        raise UsageError(
            f"bad argument '{printable(given['orphans'])}'",
            why=f"it is not '{COUNT_ORPHANS}'",
            fix="Give that word, or '-'.",
        )
    orphans = is_given(given["orphans"])
    job.check_mounts("reference", "data", "working")
    bam = check_input(folder / f"{sample}.bam", step_before=True)
    reference = find_reference(job, name)
    lengths = reference.lengths
    index = check_input(Path(f"{bam}{index_suffix(lengths.values())}"), step_before=True)
    part = f"{number}-of-{shards}"
    command = ["step", "call", name, sample, str(shards), str(number), str(ploidy)]
    step = Step(
        job=job,
        name=f"call.{part}",
        folder=folder,
        command=(*command, COUNT_ORPHANS) if orphans else command,
        inputs=(bam, index),
        input_digests=output_digests(folder, *sample_bam.WRITERS),
        reference=reference.record,
    )
    if step.is_done():
        return
    with step:
        check_origin(reference, folder, [bam], *sample_bam.WRITERS)
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
            log(f"note: shards are of equal length: {index.name} cannot be read: {error}")
            spans = None
        shard = regions.shard_regions(lengths, spans, number, shards)
        if not shard:
            raise UsageError(
                "too many shards", why=f"the genome of {name} has fewer bases than that", fix="Give fewer."
            )
        # A pileup depends on the reads around a base, so mpileup covers the shard with a margin. Of the resulting
        # records, `norm` keeps those that start in the shard before it moves them.
        step.write("wide.bed", regions.bed_lines(regions.widen(shard, lengths)))
        step.write("shard.tsv", regions.target_lines(shard))
        step.write("header", f"##genomicsImage={job.image}\n")
        fasta = str(reference.fasta)
        # With --gvcf, mpileup writes sites without a variant as blocks, which `call -v` drops like single sites. That
        # saves a fifth of the time and gives the same records, apart from the blocks' fields END and MIN_DP.
        depth = ("-d", MAX_DEPTH, "-L", MAX_DEPTH)
        pileup = ("bcftools", "mpileup", "--no-version", "-f", fasta, "-R", "wide.bed", *depth)
        output = ("-a", "FORMAT/AD,FORMAT/DP", "--gvcf", "0", *(["-A"] if orphans else []), "-Ou", str(bam))
        calls = ("bcftools", "call", "--no-version", "-mv", "--ploidy", str(ploidy), "-Ou")
        # `call -T` would drop every record of a region that does not start with its sequence.
        targets = ("-T", "shard.tsv", "--targets-overlap", "0")
        norm = ("bcftools", "norm", "--no-version", "-f", fasta, *targets, "-Ou", "-")
        annotate = ("bcftools", "annotate", "--no-version", "-h", "header", "-x", "INFO/END,INFO/MIN_DP", "-Oz", "-")
        step.run(
            Program(name="mpileup", command=(*pileup, *output)),
            Program(name="call", command=calls),
            Program(name="norm", command=norm),
            Program(name="annotate", command=annotate),
            sink="shard.vcf.gz",
        )
        step.check_output("shard.vcf.gz", lambda file: check_vcf(file, sample))
        step.publish("shard.vcf.gz", folder / "shards" / f"{part}.vcf.gz")
        step.finish()


def gather(job: Job, arguments: Sequence[str]) -> None:
    """`step gather REFERENCE SAMPLE SHARDS`: concatenates the shards into SAMPLE.vcf.gz, with index and statistics."""
    given = positional(arguments, "reference", "sample", "shards")
    name = check_path("reference", given["reference"])
    sample = check_sample(given["sample"])
    folder = job.run / sample
    shards = check_shards(given["shards"])
    job.check_mounts("reference", "data", "working")
    files = [
        check_input(folder / "shards" / f"{number}-of-{shards}.vcf.gz", step_before=True) for number in range(shards)
    ]
    reference = find_reference(job, name)
    step = Step(
        job=job,
        name="gather",
        folder=folder,
        command=("step", "gather", name, sample, str(shards)),
        inputs=files,
        input_digests=output_digests(folder, f"call.*-of-{shards}"),
        reference=reference.record,
    )
    if step.is_done():
        return
    suffix = vcf_index_suffix(reference.lengths.values())
    index = Program(
        name="index", command=("bcftools", "index", "--force", f"--{suffix[1:]}", "calls.vcf.gz"), is_quiet=True
    )
    with step:
        check_origin(reference, folder, files, f"call.*-of-{shards}")
        for file in files:
            check_vcf(file, sample)
        paths = step.write("shards", "".join(f"{file}\n" for file in files)).name
        # Copies compressed blocks unchanged. Left-aligning may move an indel at the start of a shard before the last
        # records of the shard before it; indexing then fails, and the records are sorted.
        concat = ("bcftools", "concat", "--no-version", "--file-list", paths)
        step.run(Program(name="concat", command=(*concat, "--naive")), sink="calls.vcf.gz")
        try:
            step.run(index)
        except ToolFailedError:
            log("note: an indel moved from one shard to the one before: the records are put in order")
            norm = ("bcftools", "norm", "--no-version", "-f", str(reference.fasta), "-Oz", "-")
            step.run(
                Program(name="concat", command=(*concat, "-Ou")),
                Program(name="norm", command=norm),
                sink="calls.vcf.gz",
            )
            step.run(index)
        step.run(Program(name="stats", command=("bcftools", "stats", "calls.vcf.gz")), sink="stats.txt")
        step.check_output("calls.vcf.gz", lambda file: check_vcf(file, sample))
        step.publish("stats.txt", folder / "qc" / f"{sample}.bcftools.txt")
        for other in {".tbi", ".csi"} - {suffix}:
            sample_bam.remove(folder / f"{sample}.vcf.gz{other}")
        step.publish(f"calls.vcf.gz{suffix}", folder / f"{sample}.vcf.gz{suffix}")
        step.publish("calls.vcf.gz", folder / f"{sample}.vcf.gz")
        step.finish()


COMMANDS = {"call": call, "gather": gather}

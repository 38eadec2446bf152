"""The workflow on references and reads as people have them: thousands of sequences, odd names, amplicons."""

import hashlib
import json
from pathlib import Path

import pytest
from support.job_runner import WORKFLOW, JobRunner, step_record, vcf_records
from support.reference_shapes import READ_FROM, SHAPES, lengths
from support.tiny_genome import Small, Variation, fastq, gzipped, pairs, planted

from toolchain.demo import simulate
from toolchain.workflow.aligners import Aligner

ALIGNER: dict[str, Aligner] = {"GRCh38 with decoys and HLA": "bwa-mem3"}
LONG = 540_000_000  # bases: more than a .bai or a .tbi reaches


def variation(genome: dict[str, str], sequence: str, at: int) -> Variation:
    base = genome[sequence][at]
    return Variation(sequence=sequence, position=at, reference=base, alternative="C" if base == "A" else "A")


def confident(job_runner: JobRunner) -> list[list[str]]:
    """The fields of the VCF's records with a QUAL of at least 20."""
    records = [line.split("\t") for line in vcf_records(job_runner.folder("NA1") / "NA1.vcf.gz")]
    return [record for record in records if float(record[5]) >= 20]


def place_reads(small: Small, genome: dict[str, str], variations: list[Variation]) -> None:
    """Replaces a sample's reads by those of another genome."""
    read_pairs = list(pairs(planted(genome, variations), 40))
    for mate, file in enumerate((small.r1, small.r2)):
        file.write_bytes(gzipped(fastq([pair[mate] for pair in read_pairs])))


@pytest.mark.parametrize("shape", SHAPES)
def test_a_sample_is_called_on(job_runner: JobRunner, shape: str) -> None:
    sequences = lengths(SHAPES[shape])
    genome = simulate.genome(sequences)
    variations = [variation(genome, name, 2_500) for name in list(sequences)[:READ_FROM]]
    small = Small.make(job_runner.scratch, sequences=sequences, variations=variations, covered=READ_FROM)
    job_runner.germline(small.sample, small.reference, shards=3, aligner=ALIGNER.get(shape, "bwa"))
    called = {(record[0], int(record[1]) - 1, record[4]) for record in confident(job_runner)}
    assert called == {(planted.sequence, planted.position, planted.alternative) for planted in variations}
    outputs = {entry["path"].rpartition("/")[2] for entry in step_record(job_runner, "NA1", "check")["outputs"]}
    assert {"NA1.bam.bai", "NA1.vcf.gz.tbi"} <= outputs


def place_prepared(job_runner: JobRunner, name: str, fasta: Path, length: int) -> None:
    """Puts a FASTA of one sequence, in one line, where `step index` would have."""
    digest = hashlib.sha256(name.encode()).hexdigest()
    references = job_runner.working / WORKFLOW / "reference"
    folder = references / digest / "fasta"
    folder.mkdir(parents=True)
    fasta.rename(folder / "reference.fa")
    (folder / "reference.fa.fai").write_text(f"long\t{length}\t6\t{length}\t{length + 1}\n", encoding="ascii")
    (folder / "manifest.json").write_text("{}", encoding="ascii")
    (references / "names").mkdir()
    (references / "names" / f"{name}.json").write_text(json.dumps({"sha256": digest}), encoding="ascii")
    (job_runner.scratch / "reference" / name).write_text(">long\n", encoding="ascii")


def test_a_sequence_longer_than_a_bai_reaches_is_indexed_by_csi_throughout(job_runner: JobRunner) -> None:
    """Reads beyond the 2^29th base, from the BAM of a lane on: no aligner is asked to index so long a genome."""
    part = simulate.genome({"part": 6_000})
    change = variation(part, "part", 3_000)
    start = LONG - 6_000
    fasta = job_runner.working / "long.fa"
    with fasta.open("wb") as file:
        file.write(b">long\n")
        for _ in range(start // 1_000_000):
            file.write(b"N" * 1_000_000)
        file.write(b"N" * (start % 1_000_000) + part["part"].encode() + b"\n")
    place_prepared(job_runner, "long.fa", fasta, LONG)
    lane = job_runner.folder("NA1") / "lanes" / "L001.sam"
    lane.parent.mkdir(parents=True)
    lines = [f"@SQ\tSN:long\tLN:{LONG}", "@RG\tID:NA1.L001\tSM:NA1"]
    for number, (first, second) in enumerate(pairs(planted(part, [change]), 30)):
        at = int(first.name.split(":")[5]) + start + 1
        mate = second.bases.translate(str.maketrans("ACGT", "TGCA"))[::-1]
        other = start + 1 + (planted(part, [change])["part"].index(mate))
        for flag, here, there, bases in ((99, at, other, first.bases), (147, other, at, mate)):
            size = (other + 100 - at) * (1 if flag == 99 else -1)
            lines.append(
                f"r{number}\t{flag}\tlong\t{here}\t60\t100M\t=\t{there}\t{size}\t{bases}\t{'I' * 100}\tRG:Z:NA1.L001"
            )
    lane.write_text("\n".join(lines) + "\n", encoding="ascii")
    script = (
        "cd /scratch/working/test/run1/NA1/lanes; samtools fixmate -m -u L001.sam - | samtools sort -o L001.bam -;"
        " rm L001.sam"
    )
    job_runner.ok("samtools", words=["sh", "-euc", script], extra={"user": "0:0", "cap_drop": []})
    own = "import os; [os.chown(folder, 1000, 1000) for folder, _, _ in os.walk('/scratch/working/test')]"
    job_runner.ok("samtools", words=["python3", "-I", "-c", own], extra={"user": "0:0", "cap_drop": []})
    job = {"reference": "long.fa", "sample": "NA1"}
    job_runner.ok("samtools", command="finish", lanes="L001", **job)
    job_runner.ok("samtools", command="qc", **job)
    for shard in ("0", "1"):
        job_runner.ok("bcftools", command="call", shards="2", shard=shard, **job)
    job_runner.ok("bcftools", command="gather", shards="2", **job)
    names = {file.name for file in job_runner.folder("NA1").iterdir()}
    assert {"NA1.bam", "NA1.bam.csi", "NA1.vcf.gz", "NA1.vcf.gz.csi"} <= names
    assert not names & {"NA1.bam.bai", "NA1.vcf.gz.tbi"}
    assert [(record[1], record[4]) for record in confident(job_runner)] == [(str(start + 3_001), change.alternative)]


def test_a_sample_is_finished_where_an_indel_spans_an_ambiguous_base(job_runner: JobRunner) -> None:
    """An R in a homopolymer's neighbourhood, deleted in the sample, with SNPs on either side."""
    genome = simulate.genome({"chrA": 12_000})
    bases = genome["chrA"]
    genome["chrA"] = bases[:6_000] + "ACAAAAAAAAGT" + bases[6_012:]
    deletion = Variation(sequence="chrA", position=6_001, reference="CAAA", alternative="C")
    variations = [variation(genome, "chrA", 5_000), deletion, variation(genome, "chrA", 7_000)]
    small = Small.make(job_runner.scratch)
    place_reads(small, genome, variations)
    ambiguous = genome["chrA"][:6_003] + "R" + genome["chrA"][6_004:]
    (job_runner.scratch / "reference" / "small.fa").write_text(simulate.fasta({"chrA": ambiguous}), encoding="ascii")
    job_runner.germline(small.sample, small.reference, shards=2)
    assert {5_001, 7_001} <= {int(record[1]) for record in confident(job_runner)}
    records = [line.split("\t") for line in vcf_records(job_runner.folder("NA1") / "NA1.vcf.gz")]
    spanning = [record for record in records if "N" in record[3]]
    assert spanning, "no indel spans the ambiguous base: the test says nothing"
    assert "R" not in "".join(record[3] + record[4] for record in records)


def test_on_short_scaffolds_a_note_advises_count_orphans_which_finds_the_variants(job_runner: JobRunner) -> None:
    """Scaffolds shorter than what lies between two mates: hardly a pair is a proper one."""
    genome = simulate.genome({"chrA": 12_000})
    variations = [variation(genome, "chrA", at) for at in range(720, 11_000, 960)]
    small = Small.make(job_runner.scratch)
    place_reads(small, genome, variations)
    scaffolds = {f"s{start}": genome["chrA"][start : start + 160] for start in range(0, 12_000, 160)}
    (job_runner.scratch / "reference" / "small.fa").write_text(simulate.fasta(scaffolds), encoding="ascii")
    job_runner.germline(small.sample, small.reference, shards=1)
    (note,) = step_record(job_runner, "NA1", "check")["notes"]
    assert "not proper pairs" in note
    assert "--count-orphans" in note

    def found() -> int:
        called = {int(record[0][1:]) + int(record[1]) - 1 for record in confident(job_runner)}
        return len(called & {planted.position for planted in variations})

    without_orphans = found()
    job_runner.ok("bcftools", **small.job("call", shards="1", shard="0", orphans="count-orphans"))
    job_runner.ok("bcftools", **small.job("gather", shards="1"))
    assert without_orphans <= 1
    assert found() >= len(variations) - 1


def test_on_amplicons_a_note_advises_to_skip_duplicates(job_runner: JobRunner) -> None:
    small = Small.make(job_runner.scratch)
    for file in (small.r1, small.r2):
        file.write_bytes(10 * file.read_bytes())
    job_runner.germline(small.sample, small.reference, shards=1)
    (note,) = step_record(job_runner, "NA1", "check")["notes"]
    assert "marked as duplicates" in note
    assert "--skip duplicates" in note

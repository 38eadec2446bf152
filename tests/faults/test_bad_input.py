"""Every bad input ends in one line that names the file and the reason, and with nothing at a final name."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from harness import EXECUTION, WORKFLOW, Bench, each_aligner, refused
from small import Read, Small, fastq, gzipped

from toolchain.aligners import ALIGNERS, Aligner
from toolchain.engine import Result

USAGE, DATA, MISSING, TOOL, CREATE, IO = 64, 65, 66, 70, 73, 74


def nothing_finished(bench: Bench) -> None:
    """No file of the run looks finished, and no work directory is left."""
    assert bench.finished() == []
    assert bench.left_over() == []


def firsts(small: Small) -> list[Read]:
    return [first for first, _ in small.reads]


def seconds(small: Small) -> list[Read]:
    return [second for _, second in small.reads]


def broken(small: Small, *, record: int, text: str) -> bytes:
    """R1 with one record replaced by this text."""
    records = [read.fastq for read in firsts(small)]
    records[record] = text
    return gzipped("".join(records))


# ---- FASTQ ----------------------------------------------------------------------------------------------------

SPOILED: dict[str, tuple[Callable[[Small], bytes], str]] = {
    "empty": (lambda _: b"", "the file is empty"),
    "gzip of nothing": (lambda _: gzipped(""), "ends after 0 reads"),
    "gzip cut off in the middle": (lambda small: small.r1.read_bytes()[:-3000], "cannot unpack"),
    "gzip with a damaged byte": (
        lambda small: small.r1.read_bytes()[:5000] + b"\xff\xff\xff\xff" + small.r1.read_bytes()[5004:],
        "",
    ),
    "one read fewer": (lambda small: gzipped(fastq(firsts(small)[:-1])), "and NA1_L001_R2.fastq.gz goes on"),
    "one read more": (lambda small: gzipped(fastq([*firsts(small), firsts(small)[0]])), "ends after"),
    "another name": (
        lambda small: gzipped(fastq([replace(firsts(small)[0], name="other 1:N:0:ACGT"), *firsts(small)[1:]])),
        "'other' in one and",
    ),
    "the other file's reads": (lambda small: gzipped(fastq(seconds(small))), "the files are swapped"),
    "a record without @": (lambda small: broken(small, record=7, text="name\nACGT\n+\nIIII\n"), "record 8 is broken"),
    "a record whose name is missing": (
        lambda small: broken(small, record=7, text="@ 1:N:0:ACGT\nACGT\n+\nIIII\n"),
        "record 8 is broken: its first line does not start with '@' and a name",
    ),
    "a record whose name no BAM can hold": (
        lambda small: broken(small, record=7, text=f"@{'n' * 255}\nACGT\n+\nIIII\n"),
        "record 8 is broken: its name is longer than 254 characters",
    ),
    "a record without +": (lambda small: broken(small, record=7, text="@name\nACGT\nIIII\n"), "record 8 is broken"),
    "fewer qualities than bases": (
        lambda small: broken(small, record=7, text="@name\nACGT\n+\nIII\n"),
        "4 bases but 3 qualities",
    ),
    "bytes that are no bases": (
        lambda small: broken(small, record=7, text="@name\nAC\x01T\n+\nIIII\n"),
        "not a base",
    ),
    "a last record cut short": (
        lambda small: gzipped(fastq(firsts(small))[:-150]),
        "cut off in the middle of a record",
    ),
    "lines that end as on Windows": (
        lambda small: gzipped(fastq(firsts(small)).replace("\n", "\r\n")),
        "record 1 is broken",
    ),
}


@pytest.mark.parametrize("kind", SPOILED)
@each_aligner
def test_mem_refuses_a_first_file_that_is(bench: Bench, small: Small, kind: str, aligner: Aligner) -> None:
    make, said = SPOILED[kind]
    small.r1.write_bytes(make(small))
    refused(bench.run(aligner, **small.mem()), DATA, small.r1.name, said)
    nothing_finished(bench)


@each_aligner
def test_mem_refuses_a_second_file_that_is_cut_off(bench: Bench, small: Small, aligner: Aligner) -> None:
    small.r2.write_bytes(small.r2.read_bytes()[:-3000])
    refused(bench.run(aligner, **small.mem()), DATA, small.r2.name, "cannot unpack")
    nothing_finished(bench)


@each_aligner
def test_mem_refuses_files_without_a_read(bench: Bench, small: Small, aligner: Aligner) -> None:
    for file in (small.r1, small.r2):
        file.write_bytes(gzipped(""))
    refused(bench.run(aligner, **small.mem()), DATA, small.r1.name, "there is no read in them")
    nothing_finished(bench)


@each_aligner
def test_mem_refuses_a_file_that_is_not_there(bench: Bench, small: Small, aligner: Aligner) -> None:
    small.r2.unlink()
    refused(bench.run(aligner, **small.mem()), MISSING, f"/scratch/data/{small.r2.name} is not there")
    nothing_finished(bench)


@each_aligner
def test_mem_refuses_one_file_for_both_mates(bench: Bench, small: Small, aligner: Aligner) -> None:
    same = small.mem() | {"r2": small.r1.name}
    refused(bench.run(aligner, **same), USAGE, "R1 and R2 are the same file")
    small.r2.unlink()
    small.r2.hardlink_to(small.r1)
    refused(bench.run(aligner, **small.mem()), USAGE, "R1 and R2 are the same file")
    nothing_finished(bench)


# ---- reference ------------------------------------------------------------------------------------------------


@each_aligner
def test_mem_refuses_a_reference_that_is_not_there(bench: Bench, small: Small, aligner: Aligner) -> None:
    refused(bench.run(aligner, **small.mem() | {"reference": "other.fa"}), MISSING, "no reference 'other.fa'")
    nothing_finished(bench)


@each_aligner
def test_mem_refuses_a_reference_without_an_index_and_says_how_to_make_one(bench: Bench, aligner: Aligner) -> None:
    small = Small.make(bench.scratch)
    refused(
        bench.run(aligner, **small.mem()),
        MISSING,
        "'small.fa' has no index",
        f"'step index small.fa' once, with the {aligner} image",
    )
    nothing_finished(bench)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "no sequence in it"),
        (b"not FASTA at all\n", "it is not FASTA"),
        (gzipped(">chrA\nACGT\n"), "bgzip"),
        (b">chrA\nACGTACGT\n>chrA\nACGTACGT\n", "'chrA' stands in it twice"),
    ],
    ids=["empty", "a text", "plain gzip", "a name twice"],
)
@each_aligner
def test_index_refuses_a_reference_that_is(bench: Bench, content: bytes, said: str, aligner: Aligner) -> None:
    (bench.scratch / "reference" / "bad.fa").write_bytes(content)
    refused(bench.run(aligner, words=["step", "index", "bad.fa"]), DATA, "bad.fa", said)
    assert not list((bench.working / WORKFLOW / "reference").glob("bad.fa*"))
    assert bench.left_over() == []


# ---- names ----------------------------------------------------------------------------------------------------

HOSTILE = ["../x", "a b", "$(id)", "-x", "", "a" * 300, "näme", "a/b", "a\nb", ".hidden", 'a"b', "`id`", "a;b", "*"]


STEPS = {
    **{f"{aligner} mem": ["small.fa", "VALUE", "L001", "a", "b"] for aligner in ALIGNERS},
    "samtools finish": ["small.fa", "VALUE", "L001"],
    "samtools qc": ["small.fa", "VALUE"],
    "samtools check": ["small.fa", "VALUE", "L001", "-", "1"],
    "bcftools call": ["small.fa", "VALUE", "1", "0"],
    "bcftools gather": ["small.fa", "VALUE", "1"],
}

# $1: how many of the following are values; the rest is the command, with the word VALUE for the value. A
# record for each value goes to stderr: the exit code, what was said, and an end mark.
EACH = r"""
count=$1; shift
shown=0
while [ $shown -lt $count ]; do
    shown=$((shown + 1))
    code=0
    ( number=$shown
      while [ $number -gt 1 ]; do shift; number=$((number - 1)); done
      value=$1
      left=$((count - shown + 1))
      shift $left
      total=$#
      while [ $total -gt 0 ]; do
          word=$1; shift
          [ "$word" != VALUE ] || word=$value
          set -- "$@" "$word"
          total=$((total - 1))
      done
      exec "$@" ) 2> /tmp/said || code=$?
    { echo $code; cat /tmp/said; printf '\001'; } >&2
done
"""


def each_in_turn(bench: Bench, tool: str, words: list[str], values: list[str]) -> dict[str, Result]:
    """Runs a command once for each value, all in one container: containers are slow to start."""
    whole = bench.ok(tool, words=["sh", "-c", EACH, "sh", str(len(values)), *values, *words])
    results = {}
    for value, said in zip(values, whole.stderr.split("\x01")[:-1], strict=True):
        code, _, stderr = said.partition("\n")
        results[value] = Result(exit_code=int(code), stdout="", stderr=stderr, out_of_memory=False)
    return results


@pytest.mark.parametrize("step", STEPS)
def test_takes_no_hostile_sample_name(bench: Bench, step: str) -> None:
    tool, command = step.split()
    for result in each_in_turn(bench, tool, ["step", command, *STEPS[step]], HOSTILE).values():
        refused(result, USAGE, "sample name")
    nothing_finished(bench)


@each_aligner
def test_mem_takes_no_hostile_lane_or_path(bench: Bench, small: Small, aligner: Aligner) -> None:
    words = ["step", "mem", small.reference, "NA1"]
    for result in each_in_turn(bench, aligner, [*words, "VALUE", "a", "b"], HOSTILE).values():
        refused(result, USAGE, "lane")
    paths = ["../data/x", "/etc/passwd", "a//b", "a/../b", "-", "", "a b.fq", "a/.b", "a\tb", "a/-b", "$(id)", "b/"]
    for result in each_in_turn(bench, aligner, [*words, "L001", "VALUE", "b"], paths).values():
        refused(result, USAGE, "R1")
    for result in each_in_turn(bench, aligner, ["step", "mem", "VALUE", "NA1", "L001", "a", "b"], paths).values():
        refused(result, USAGE, "reference")
    nothing_finished(bench)


@pytest.mark.parametrize("execution", ["", "reference", "../x"])
@each_aligner
def test_no_step_takes_an_execution_such_as(bench: Bench, small: Small, execution: str, aligner: Aligner) -> None:
    result = bench.run(aligner, environment={"EXECUTION_ID": execution}, **small.mem())
    refused(result, USAGE, "EXECUTION_ID")
    nothing_finished(bench)


@pytest.mark.parametrize("tool", [*ALIGNERS, "samtools", "bcftools"])
def test_knows_no_command_but_its_own(bench: Bench, tool: str) -> None:
    unknown = ["", "sh", "$(id)", "mem;id", "-h", "step", "do_mem", "*"]
    for result in each_in_turn(bench, tool, ["step", "VALUE"], unknown).values():
        refused(result, USAGE, "unknown command", "this image knows: ")
    nothing_finished(bench)


def test_no_step_takes_an_argument_too_many(bench: Bench, small: Small) -> None:
    words = ["step", "qc", small.reference, small.sample.name, "-", "more"]
    refused(bench.run("samtools", words=words), USAGE, "too many arguments", "'more'")


# ---- BAM and shards -------------------------------------------------------------------------------------------


@pytest.fixture
def aligned(bench: Bench, small: Small) -> Small:
    """A small sample with one lane aligned."""
    bench.ok("bwa", **small.mem())
    return small


@pytest.fixture
def called(bench: Bench, aligned: Small) -> Small:
    """A small sample with its BAM finished and two shards called."""
    bench.ok("samtools", **aligned.job("finish", lanes="L001"))
    for shard in ("0", "1"):
        bench.ok("bcftools", **aligned.job("call", shards="2", shard=shard))
    return aligned


def inside(bench: Bench, script: str, *arguments: str) -> None:
    """Does something to the working files as their owner."""
    bench.ok("samtools", words=["sh", "-euc", script, "sh", *arguments])


def sample_path(sample: str, name: str) -> str:
    return f"/scratch/working/{WORKFLOW}/{EXECUTION}/{sample}/{name}"


def test_finish_refuses_a_lane_that_is_not_there(bench: Bench, aligned: Small) -> None:
    result = bench.run("samtools", **aligned.job("finish", lanes="L001,L002"))
    refused(result, MISSING, "L002.bam is not there")


def test_finish_refuses_a_lane_named_twice(bench: Bench, aligned: Small) -> None:
    refused(bench.run("samtools", **aligned.job("finish", lanes="L001,L001")), USAGE, "'L001' is given twice")


def test_finish_takes_no_hostile_lane(bench: Bench, small: Small) -> None:
    words = ["step", "finish", small.reference, "NA1", "VALUE"]
    for result in each_in_turn(bench, "samtools", words, HOSTILE).values():
        refused(result, USAGE, "lane")
    nothing_finished(bench)


def test_finish_refuses_a_lane_of_another_sample(bench: Bench, aligned: Small) -> None:
    inside(
        bench,
        'mkdir -p "$2/lanes" && cp "$1" "$2/lanes/"',
        sample_path("NA1", "lanes/L001.bam"),
        sample_path("NA2", ""),
    )
    other = replace(aligned, sample=replace(aligned.sample, name="NA2"))
    before = bench.finished()
    refused(bench.run("samtools", **other.job("finish", lanes="L001")), DATA, "L001.bam is not of sample NA2", "'NA1'")
    assert bench.finished() == before


@pytest.mark.parametrize("cut", ["28", "2000"])
def test_finish_refuses_a_lane_that_was_cut_off(bench: Bench, aligned: Small, cut: str) -> None:
    lane = sample_path("NA1", "lanes/L001.bam")
    inside(bench, 'head -c -"$2" "$1" > "$1.cut" && mv "$1.cut" "$1"', lane, cut)
    before = bench.finished()
    refused(bench.run("samtools", **aligned.job("finish", lanes="L001")), DATA, "L001.bam is broken")
    assert bench.finished() == before


@pytest.mark.parametrize("shard", ["2", "-1", "x", "99999999999"])
def test_call_takes_no_shard_such_as(bench: Bench, called: Small, shard: str) -> None:
    refused(bench.run("bcftools", **called.job("call", shards="2", shard=shard)), USAGE, "shard")


def test_call_refuses_a_bam_of_another_sample(bench: Bench, called: Small) -> None:
    script = 'mkdir -p "$2" && cp "$1/NA1.bam" "$2/NA2.bam" && cp "$1/NA1.bam.bai" "$2/NA2.bam.bai"'
    inside(bench, script, sample_path("NA1", ""), sample_path("NA2", ""))
    other = replace(called, sample=replace(called.sample, name="NA2"))
    before = bench.finished()
    refused(bench.run("bcftools", **other.job("call", shards="1", shard="0")), DATA, "NA2.bam is not of sample NA2")
    assert bench.finished() == before


def test_call_refuses_a_sample_without_a_bam(bench: Bench, small: Small) -> None:
    refused(bench.run("bcftools", **small.job("call", shards="1", shard="0")), MISSING, "NA1.bam is not there")
    nothing_finished(bench)


def test_gather_refuses_a_missing_shard_and_names_it(bench: Bench, called: Small) -> None:
    inside(bench, 'rm "$1"', sample_path("NA1", "shards/1-of-2.vcf.gz"))
    before = bench.finished()
    refused(bench.run("bcftools", **called.job("gather", shards="2")), MISSING, "shards/1-of-2.vcf.gz is not there")
    assert bench.finished() == before


def test_gather_refuses_a_shard_that_was_cut_off(bench: Bench, called: Small) -> None:
    shard = sample_path("NA1", "shards/1-of-2.vcf.gz")
    inside(bench, 'head -c -10 "$1" > "$1.cut" && mv "$1.cut" "$1"', shard)
    before = bench.finished()
    refused(bench.run("bcftools", **called.job("gather", shards="2")), DATA, "1-of-2.vcf.gz is broken")
    assert bench.finished() == before


def test_gather_refuses_a_shard_of_another_sample(bench: Bench, called: Small) -> None:
    script = 'mkdir -p "$2" && cp "$1"/* "$2"/'
    inside(bench, script, sample_path("NA1", "shards"), sample_path("NA2", "shards"))
    other = replace(called, sample=replace(called.sample, name="NA2"))
    before = bench.finished()
    refused(bench.run("bcftools", **other.job("gather", shards="2")), DATA, "is not of sample NA2", "'NA1'")
    assert bench.finished() == before


# ---- scratch --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tool", [*ALIGNERS, "samtools", "bcftools"])
def test_no_step_starts_where_scratch_is_not_lustre_unless_it_is_told_that_it_is_local(bench: Bench, tool: str) -> None:
    rest = {"samtools": ["qc", "small.fa", "NA1"], "bcftools": ["gather", "small.fa", "NA1", "1"]}
    words = ["step", *rest.get(tool, ["mem", "small.fa", "NA1", "L001", "a", "b"])]
    result = bench.run(tool, words=words, environment={"SCRATCH": "lustre"})
    refused(result, IO, "/scratch/reference is not a Lustre file system")
    nothing_finished(bench)


@each_aligner
def test_no_step_starts_where_nothing_is_mounted(bench: Bench, small: Small, aligner: Aligner) -> None:
    mounts = [
        mount for mount in bench.container(aligner).docker_arguments()["mounts"] if mount["Target"] != "/scratch/data"
    ]
    result = bench.run(aligner, extra={"mounts": mounts}, **small.mem())
    refused(result, IO, "/scratch/data is not mounted")


@each_aligner
def test_a_step_that_may_not_write_says_so(bench: Bench, small: Small, aligner: Aligner) -> None:
    result = bench.run(aligner, extra={"user": "1234:1234"}, environment={"WORKFLOW_NAME": "other"}, **small.mem())
    refused(result, MISSING, "has no index")  # another workflow has its own prepared references
    bench.working.chmod(0o755)
    (bench.working / WORKFLOW).chmod(0o755)
    result = bench.run(aligner, extra={"user": "1234:1234"}, **small.mem())
    refused(result, CREATE, "cannot write below")
    nothing_finished(bench)


@each_aligner
def test_a_full_file_system_is_named_as_such(bench: Bench, aligner: Aligner) -> None:
    small = Small.make(bench.scratch, depth=200)
    arguments = bench.container(aligner).docker_arguments()
    extra = {
        "mounts": [mount for mount in arguments["mounts"] if mount["Target"] != "/scratch/working"],
        "tmpfs": arguments["tmpfs"] | {"/scratch/working": "size=768k"},
        "user": "0:0",  # a tmpfs over a directory of the image takes that directory's owner: root
    }
    words = ["step", "mem", small.reference, "NA1", "L001", small.r1.name, small.r2.name]
    script = 'step index small.fa >/dev/null 2>&1 && exec "$@"'
    result = bench.run(aligner, words=["sh", "-c", script, "sh", *words], extra=extra)
    refused(result, IO, "no space is left on /scratch/working")


@each_aligner
def test_a_step_that_runs_out_of_memory_ends_as_one_that_was_killed_and_says_why(
    bench: Bench, small: Small, aligner: Aligner
) -> None:
    result = bench.run(aligner, memory=8, **small.mem())
    assert result.exit_code == 137, result.stderr
    nothing_finished(bench)

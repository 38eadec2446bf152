"""images/bwa-mem3/aligner: how reads are cut into batches, and records put right. The rest needs the image."""

import importlib
import io
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

PROGRAM = Path(__file__).parents[2] / "images" / "bwa-mem3" / "aligner"


@pytest.fixture(scope="module", autouse=True)
def path() -> Iterator[None]:
    """The program's folder, which is no package, on the path."""
    sys.path.insert(0, str(PROGRAM))
    yield
    sys.path.remove(str(PROGRAM))


def module(name: str) -> ModuleType:
    return importlib.import_module(name)


def fastq(lengths: list[int], mark: str) -> str:
    return "".join(f"@r{number}{mark}\n{'A' * one}\n+\n{'I' * one}\n" for number, one in enumerate(lengths))


def blocks(first: str, second: str) -> Any:  # noqa: ANN401  # a module's that is no package
    sides = [
        module("fastq").Side(name=name, file=io.BytesIO(text.encode()))
        for name, text in (("R1", first), ("R2", second))
    ]
    return module("fastq").blocks(*sides)


def as_bwa_cuts(pairs: list[tuple[int, int]], bases: int) -> list[int]:
    """The number of pairs in each batch, as bseq_read of bwa counts: on until there are enough, and the number even."""
    batches, size, count = [], 0, 0
    for one, two in pairs:
        count += 1
        size += one + two
        if size >= bases:
            batches.append(count)
            size = count = 0
    return [*batches, count] if count else batches


@given(
    pairs=st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), min_size=1, max_size=60),
    bases=st.integers(1, 200),
    block=st.integers(1, 7),
)
def test_reads_are_cut_as_bwa_cuts_them_whatever_the_blocks_they_are_read_in(
    pairs: list[tuple[int, int]], bases: int, block: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module("fastq"), "BLOCK", block)
        texts = (fastq([pair[side] for pair in pairs], f"/{side + 1}") for side in (0, 1))
        made = list(module("batches").batches(blocks(*texts), bases))
    assert [len(batch.first) // 4 for batch in made] == as_bwa_cuts(pairs, bases)
    assert [line for batch in made for line in batch.first[::4]] == [b"@r%d/1\n" % n for n in range(len(pairs))]
    assert [len(line) - 1 for batch in made for line in batch.second[1::4]] == [two for _, two in pairs]


HEADS = ["@a 1:N:0:AC", "@a/1", "@a", "@a/1 comment", "@a\t1:Y:0:", "@a 1 length=5", "@a.1 x/1"]


@pytest.mark.parametrize("head", HEADS)
def test_the_ways_of_naming_mates_are_taken(head: str) -> None:
    mate = head.replace(" 1:", " 2:").replace("\t1:", "\t2:").replace("/1", "/2")
    (block,) = blocks(f"{head}\nAC\n+\nII\n", f"{mate}\nAC\n+\nII")
    assert block.second[3] == b"II\n"


@pytest.mark.parametrize("head", ["@a 2:N:0:AC", "@a/2", "@a\t2:N:0:AC", "@a/2 comment"])
def test_a_first_read_that_says_it_is_a_second_one_is_refused_at_a_glance_or_not(head: str) -> None:
    with pytest.raises(module("fastq").BadReadsError, match="the files are swapped"):
        list(blocks(f"{head}\nAC\n+\nII\n", f"{head}\nAC\n+\nII\n"))


def test_a_read_s_number_in_an_error_counts_what_stands_before_its_block(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module("fastq"), "BLOCK", 2)
    good = fastq([5] * 7, "")
    with pytest.raises(module("fastq").BadReadsError, match=r"^R1: record 6 is broken: 5 bases but 4 qualities$"):
        list(blocks(good.replace("@r5\nAAAAA\n+\nIIIII", "@r5\nAAAAA\n+\nIIII"), good))


GROUP = b"RGZNA1.HNC\0"


def record(tags: bytes, *, flag: int = 77, bases: int = 1) -> bytes:
    fixed = struct.pack("<iiBBHHHiiii", -1, -1, 2, 0, 4680, 0, flag, bases, -1, -1, 0)
    whole = fixed + b"r\0" + b"\xf0" * ((bases + 1) // 2) + b"\x02" * bases + tags
    return struct.pack("<I", len(whole)) + whole


@pytest.mark.parametrize("hits", [b"HNc\x05", b"HNC\xff", b"HNs\x00\x01", b"HNS\x00\xf0", b"HNi\x00\x00\x01\x00"])
@pytest.mark.parametrize("before", [GROUP, GROUP + b"XAZchr1,+5,9M,0;\0"])
def test_the_number_of_hits_is_taken_off_a_record(hits: bytes, before: bytes) -> None:
    assert module("bam").without_hits(record(before + hits), GROUP) == record(before)


def test_a_read_group_that_looks_like_the_number_of_hits_stays() -> None:
    assert module("bam").without_hits(record(GROUP), GROUP) == record(GROUP)


def test_the_base_that_stood_for_none_is_taken_off_a_record() -> None:
    assert module("bam").without_bases(record(GROUP)) == record(GROUP, bases=0)
    assert (module("bam").is_second(record(b"", flag=141)), module("bam").is_second(record(b""))) == (True, False)


def test_the_share_of_an_alt_hit_is_rounded_as_bwa_prints_it() -> None:
    before, after = (GROUP + b"paf" + struct.pack("<f", share) + b"XAZx,+1,9M,0;\0" for share in (60 / 61, 0.984))
    assert module("bam").with_short_shares(record(before)) == record(after)
    assert module("bam").with_short_shares(record(GROUP)) == record(GROUP)


def test_the_header_is_that_of_bwa(tmp_path: Path) -> None:
    (tmp_path / "a.alt").write_text("@SQ\tSN:x\nalt1\t0\tchr1\n\n", encoding="utf-8")
    alternative = module("bam").alternatives(tmp_path / "a.alt")
    assert module("bam").alternatives(tmp_path / "none") == frozenset()
    made = module("bam").header([("chr1", 9), ("alt1", 8)], alternative, "@RG\tID:g", "@PG\tID:p")
    text = "@HD\tVN:1.5\tSO:unsorted\tGO:query\n@SQ\tSN:chr1\tLN:9\n@SQ\tSN:alt1\tLN:8\tAH:*\n@RG\tID:g\n@PG\tID:p\n"
    assert made[:8] == b"BAM\1" + struct.pack("<i", len(text))
    assert made[8:].startswith(text.encode() + struct.pack("<ii", 2, 5) + b"chr1\0" + struct.pack("<i", 9))

"""images/bwa-mem3/aligner: how reads are cut into batches, and records put right. The rest needs the image."""

import functools
import importlib
import importlib.util
import io
import struct
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, SimpleNamespace
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


GROUP = b"RGZNA1.HNC\0"


def record(tags: bytes, *, flag: int = 77, bases: int = 1) -> bytes:
    fixed = struct.pack("<iiBBHHHiiii", -1, -1, 2, 0, 4680, 0, flag, bases, -1, -1, 0)
    whole = fixed + b"r\0" + b"\xf0" * ((bases + 1) // 2) + b"\x02" * bases + tags
    return struct.pack("<I", len(whole)) + whole


def interleaved(pairs: list[tuple[int, int]]) -> bytes:
    """Reads of these lengths, as the step writes them to the program's stdin."""
    return b"".join(
        b"@r%d/%d\n%s\n+\n%s\n" % (number, side, b"A" * length, b"I" * length)
        for number, pair in enumerate(pairs)
        for side, length in zip((1, 2), pair, strict=True)
    )


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
        patch.setattr(module("batches"), "BLOCK_LINES", block * module("batches").LINES)
        made = list(module("batches").batches(io.BytesIO(interleaved(pairs)), bases))
    assert [len(batch) // 8 for batch in made] == as_bwa_cuts(pairs, bases)
    assert b"".join(line for batch in made for line in batch) == interleaved(pairs)


def test_no_read_makes_no_batch() -> None:
    assert list(module("batches").batches(io.BytesIO())) == []


@dataclass(frozen=True)
class Pair:
    """What the wheel takes a pair as: name, bases and qualities of either read."""

    name: bytes
    bases: bytes
    mate_name: bytes
    mate_bases: bytes
    qualities: bytes
    mate_qualities: bytes


class Wheel:
    """Stands in for bwa_mem3: its records say which pair they are of, and which read."""

    ReadPair = Pair

    def __init__(self) -> None:
        self.pairs: list[Pair] = []

    def align_batch(self, _index: object, _options: object, pairs: list[Pair]) -> tuple[list[Any], None]:
        self.pairs += pairs
        return [
            SimpleNamespace(pair_idx=number, bytes=record(GROUP + b"HNC\x01", flag=flag))
            for number in range(len(pairs))
            for flag in (77, 141)
        ], None


@pytest.fixture
def wheel() -> Wheel:
    return Wheel()


@pytest.fixture
def aligner(wheel: Wheel) -> Any:  # noqa: ANN401  # a module's that is no package
    return program().Aligner(module=wheel, index=None, options=None, rg_tag=GROUP, alt_contigs=frozenset())


def program() -> ModuleType:
    """The program's own module, which is called as any program's is."""
    spec = importlib.util.spec_from_file_location("aligner_main", PROGRAM / "__main__.py")
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = loaded  # where its dataclasses look for it
    spec.loader.exec_module(loaded)
    return loaded


def test_pairs_are_handed_on_without_the_ends_of_lines_and_the_marks_of_mates(aligner: Any, wheel: Wheel) -> None:  # noqa: ANN401
    lines = [b"@a/1 x\n", b"AC\n", b"+\n", b"IJ\n", b"@a/2 y\n", b"GGT\n", b"+\n", b"KLM\n"]
    assert aligner.align(lines) == record(GROUP) + record(GROUP, flag=141)
    assert wheel.pairs == [Pair(b"a", b"AC", b"a", b"GGT", b"IJ", b"KLM")]


def test_a_read_without_bases_is_aligned_as_one_and_written_as_none(aligner: Any, wheel: Wheel) -> None:  # noqa: ANN401
    lines = interleaved([(5, 0), (0, 5)]).splitlines(keepends=True)
    one, two = (functools.partial(record, GROUP, flag=flag) for flag in (77, 141))
    assert aligner.align(lines) == one() + two(bases=0) + one(bases=0) + two()
    assert [(pair.bases, pair.mate_bases) for pair in wheel.pairs] == [(b"AAAAA", b"N"), (b"N", b"AAAAA")]
    assert [(pair.qualities, pair.mate_qualities) for pair in wheel.pairs] == [(b"IIIII", b"!"), (b"!", b"IIIII")]


@pytest.mark.parametrize(
    ("head", "name"),
    [(b"@a 1:N:0", b"a"), (b"@a\tx", b"a"), (b"@a/1", b"a"), (b"@a/3 x/1", b"a"), (b"@/1", b"/1"), (b"@a.1", b"a.1")],
)
def test_a_name_is_the_first_word_without_a_mate_s_number(head: bytes, name: bytes) -> None:
    assert program().read_name(head + b"\n") == name


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_batches_are_written_in_the_order_of_the_reads_whichever_ends_first(threads: int) -> None:
    class Slow:
        """The first batches take the longest."""

        def align(self, batch: int) -> bytes:
            time.sleep((9 - batch) / 1000)
            return b"%d" % batch

    assert b"".join(program().align_in_order(Slow(), iter(range(9)), threads)) == b"012345678"


def test_no_more_is_read_than_one_batch_beyond_those_in_flight() -> None:
    taken: list[int] = []

    def work() -> Iterator[int]:
        for number in range(9):
            taken.append(number)
            yield number

    aligner = SimpleNamespace(align=lambda batch: b"%d" % batch)
    records = program().align_in_order(aligner, work(), 2)
    assert next(records) == b"0"
    assert taken == [0, 1, 2]
    records.close()


@pytest.mark.parametrize("hits", [b"HNc\x05", b"HNC\xff", b"HNs\x00\x01", b"HNS\x00\xf0", b"HNi\x00\x00\x01\x00"])
@pytest.mark.parametrize("before", [GROUP, GROUP + b"XAZchr1,+5,9M,0;\0"])
def test_the_number_of_hits_is_taken_off_a_record(hits: bytes, before: bytes) -> None:
    assert module("bam").strip_hits(record(before + hits), GROUP) == record(before)


def test_a_read_group_that_looks_like_the_number_of_hits_stays() -> None:
    assert module("bam").strip_hits(record(GROUP), GROUP) == record(GROUP)


def test_the_base_that_stood_for_none_is_taken_off_a_record() -> None:
    assert module("bam").strip_base(record(GROUP)) == record(GROUP, bases=0)
    assert (module("bam").is_second(record(b"", flag=141)), module("bam").is_second(record(b""))) == (True, False)


def test_the_share_of_an_alt_hit_is_rounded_as_bwa_prints_it() -> None:
    before, after = (GROUP + b"paf" + struct.pack("<f", share) + b"XAZx,+1,9M,0;\0" for share in (60 / 61, 0.984))
    assert module("bam").round_alt_score(record(before)) == record(after)
    assert module("bam").round_alt_score(record(GROUP)) == record(GROUP)


def test_the_header_is_that_of_bwa(tmp_path: Path) -> None:
    (tmp_path / "a.alt").write_text("@SQ\tSN:x\nalt1\t0\tchr1\n\n", encoding="utf-8")
    alternative = module("bam").read_alt(tmp_path / "a.alt")
    assert module("bam").read_alt(tmp_path / "none") == frozenset()
    made = module("bam").header([("chr1", 9), ("alt1", 8)], alternative, "@RG\tID:g", "@PG\tID:p")
    text = "@HD\tVN:1.5\tSO:unsorted\tGO:query\n@SQ\tSN:chr1\tLN:9\n@SQ\tSN:alt1\tLN:8\tAH:*\n@RG\tID:g\n@PG\tID:p\n"
    assert made[:8] == b"BAM\1" + struct.pack("<i", len(text))
    assert made[8:].startswith(text.encode() + struct.pack("<ii", 2, 5) + b"chr1\0" + struct.pack("<i", 9))

"""Reads a FASTA file once, whatever it is compressed by, and refuses what no aligner or VCF can hold."""

import hashlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from step.errors import BadDataError, cannot_read, printable
from step.fastq import PACKED, is_gzip, members

BLOCK = 1 << 22  # bytes
LONGEST_HEADER = 1_000_000
# A reference sequence's name (SAM specification, section 1.2.1): a VCF header or a region cannot hold others.
_LETTERS = frozenset("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&+./:;?@^_|~-")
_FURTHER = _LETTERS | frozenset("*=")  # but not at its start
_NUCLEOTIDES = b"ACGTRYSWKMBDHVNacgtryswkmbdhvn"
_AMBIGUOUS = b"RYSWKMBDHV"
_TO_N = bytes.maketrans(_AMBIGUOUS + _AMBIGUOUS.lower(), b"N" * len(_AMBIGUOUS) + b"n" * len(_AMBIGUOUS))
_PROTEIN = frozenset(b"EFILPQZJO")  # and no X, by which some mask DNA


def prepare(source: Path, name: str, write: Callable[[bytes], object]) -> str:
    """Copies a FASTA file, uncompressed, for aligners and callers.

    Ambiguous bases become N: a caller cannot put them into a record, and says N for them itself. Carriage returns go.

    Args:
        source: FASTA, plain or gzip of any kind.
        name: As errors call it.
        write: Takes the copy, piece by piece.

    Returns:
        The digest of the source as it is.

    Raises:
        BadDataError: It is no FASTA of DNA, or a name in it cannot work.
        StepError: It cannot be read.
    """
    digest = hashlib.sha256()
    checker = _Checker(name)
    try:
        with source.open("rb", buffering=0) as stream:

            def read() -> bytes:
                chunk = stream.read(BLOCK)
                digest.update(chunk)
                return chunk

            for block in _blocks(name, _pieces(name, read)):
                write(checker.check(block))
    except OSError as error:
        raise cannot_read(source, error) from error
    checker.end()
    return digest.hexdigest()


def _pieces(name: str, read: Callable[[], bytes]) -> Iterator[bytes]:
    chunk = read()
    if is_gzip(chunk):
        yield from members(name, chunk, read)
        return
    while chunk:
        yield chunk
        chunk = read()


def _blocks(name: str, pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The pieces, put together and cut so that no header line is in two of them.

    Raises:
        BadDataError: A header line has no end.
    """
    held = bytearray()
    for piece in pieces:
        held += piece
        if len(held) < BLOCK:
            continue
        line = held.rfind(b"\n") + 1
        # A line of bases, which may be as long as a chromosome, may be cut; one that starts with '>' may not.
        end = line if held[line : line + 1] == b">" else len(held)
        if end:
            yield bytes(held[:end])
            del held[:end]
        if len(held) > BLOCK + LONGEST_HEADER:
            raise _refused(
                name,
                f"a line that starts with '>' is longer than {LONGEST_HEADER} characters",
                "End its lines by newlines (a file of an old Macintosh: tr '\\r' '\\n').",
            )
    if held:
        yield bytes(held)


class _Checker:
    """What is known of a FASTA file while it is read."""

    def __init__(self, name: str) -> None:
        self._file = name
        self._names: set[str] = set()
        self._sequence = ""
        self._bases = 0
        self._at_line = True  # whether the next block starts a line
        self._lines = _Lines()

    def check(self, block: bytes) -> bytes:
        """A block, with what is to be changed changed. Raises BadDataError."""
        if b"\r" in block:
            block = block.replace(b"\r\n", b"\n").removesuffix(b"\r")  # of which the newline is in the next block
        parts: list[bytes] = []
        at = 0
        for header in re.finditer(rb"^>[^\n]*\n?", block, flags=re.MULTILINE):
            if header.start() == 0 and not self._at_line:
                continue
            parts += [self._bases_of(block[at : header.start()]), header[0]]
            self._start(header[0][1:])
            at = header.end()
        parts.append(self._bases_of(block[at:]))
        if block:
            self._at_line = block.endswith(b"\n")
        return b"".join(parts)

    def _start(self, line: bytes) -> None:
        if b"\r" in line:
            raise self._carriage_return()
        self._close()
        name = line.split(None, 1)[0].decode("latin-1") if line.strip() and not line[:1].isspace() else ""
        if not name:
            after = f" after '{printable(self._sequence)}'" if self._sequence else ""
            raise _refused(
                self._file, f"a sequence{after} has no name", "Give each '>' line a name, with no space before it."
            )
        if letter := _forbidden(name):
            raise _refused(
                self._file,
                f"sequence '{printable(name)}' has '{printable(letter)}' in its name, where SAM and VCF allow none",
                "Rename it, and in whatever else names it (SAM specification, 1.2.1).",
            )
        if name in self._names:
            raise _refused(self._file, f"sequence '{printable(name)}' stands in it twice", "Remove one of the two.")
        self._names.add(name)
        self._sequence = name

    def _bases_of(self, data: bytes) -> bytes:
        bases = data.translate(None, b"\n")
        if not self._sequence:
            if not bases:
                return data
            for magic, why, fix in PACKED:
                if bases.startswith(magic):
                    raise _refused(self._file, why, fix)
            raise _refused(self._file, "it is not FASTA: it does not start with '>' and a name", _what(bases))
        if rest := bases.translate(None, _NUCLEOTIDES):
            raise self._bad_letters(rest)
        if not self._lines.are_even(data):
            raise _refused(
                self._file,
                f"sequence '{printable(self._sequence)}' has lines of different lengths",
                "Write it anew with lines of one length (seqtk seq -l 60).",
            )
        self._bases += len(bases)
        return data.translate(_TO_N)

    def _carriage_return(self) -> BadDataError:
        why = "a carriage return stands within a line"
        return _refused(self._file, why, "End its lines by newlines (a file of an old Macintosh: tr '\\r' '\\n').")

    def _bad_letters(self, rest: bytes) -> BadDataError:
        if b"\r" in rest:
            return self._carriage_return()
        letters = "".join(sorted({printable(chr(letter)) for letter in rest}))
        where = f"sequence '{printable(self._sequence)}'"
        if not rest.translate(None, b"Uu"):
            return _refused(
                self._file, f"{where} is RNA: it has U for T", "Give the DNA sequence (sed '/^>/!y/Uu/Tt/')."
            )
        if _PROTEIN & set(rest.upper()):
            return _refused(self._file, f"{where} is protein: it has '{letters}'", "Give a genome, not its proteins.")
        return _refused(
            self._file,
            f"{where} has '{letters}', which is no letter of DNA",
            "Give A, C, G, T, N and IUPAC's other codes.",
        )

    def _close(self) -> None:
        if self._sequence and not self._bases:
            raise _refused(self._file, f"sequence '{printable(self._sequence)}' has no base", "Remove its '>' line.")
        self._bases = 0
        self._lines = _Lines()

    def end(self) -> None:
        """Raises BadDataError if there is no sequence, or the last one is empty."""
        if not self._sequence:
            raise _refused(self._file, "there is no sequence in it", "Fetch it again: it is to be a FASTA file.")
        self._close()


class _Lines:
    """The lines of a sequence: an index (.fai) needs all of one length, and only the last may be shorter."""

    def __init__(self) -> None:
        self._width: int | None = None
        self._is_last = False  # whether a line was shorter
        self._begun = 0  # bases of the line that has no end yet

    def are_even(self, data: bytes) -> bool:
        """Whether the lines still are of one length with more of the sequence."""
        lengths = list(map(len, data.split(b"\n")))
        lengths[0] += self._begun
        self._begun = lengths.pop()
        if self._width is None and lengths:
            self._width = lengths[0]
        if self._is_last or lengths.count(self._width or 0) != len(lengths):
            for length in lengths:
                if length and (self._is_last or length > (self._width or 0)):
                    return False
                self._is_last = self._is_last or length < (self._width or 0)
        return self._width is None or self._begun <= (0 if self._is_last else self._width)


def _forbidden(name: str) -> str:
    """The first letter of a sequence's name that cannot stand where it does; nothing if all can."""
    return next((letter for at, letter in enumerate(name) if letter not in (_FURTHER if at else _LETTERS)), "")


def _what(start: bytes) -> str:
    if start[:1] == b"@":
        return "It looks like FASTQ: give the reference."
    return "Give a FASTA file, plain or compressed by gzip."


def _refused(name: str, why: str, fix: str) -> BadDataError:
    return BadDataError(f"cannot index {name}", why=why, fix=fix)

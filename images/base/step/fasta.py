"""Reads a FASTA file once, plain or gzip, and refuses what aligners, BAM or VCF cannot hold."""

import hashlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from step.compression import UNSUPPORTED, gunzip, is_gzip
from step.errors import BadDataError, cannot_read, printable

BLOCK_BYTES = 1 << 22
MAX_HEADER = 1_000_000  # bytes
# Letters of sequence names (SAM specification, section 1.2.1); VCF headers and regions allow no others.
_LETTERS = frozenset("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&+./:;?@^_|~-")
_LATER_LETTERS = _LETTERS | frozenset("*=")  # after the first one
_NUCLEOTIDES = b"ACGTRYSWKMBDHVNacgtryswkmbdhvn"
_AMBIGUOUS = b"RYSWKMBDHV"
_TO_N = bytes.maketrans(_AMBIGUOUS + _AMBIGUOUS.lower(), b"N" * len(_AMBIGUOUS) + b"n" * len(_AMBIGUOUS))
_PROTEIN = frozenset(b"EFILPQZJO")  # without X, which some use to mask DNA


def normalise(source: Path, name: str, write: Callable[[bytes], object]) -> str:
    """Copies a FASTA file for aligners and callers: uncompressed, without carriage returns, ambiguous bases as N.

    Callers cannot write ambiguous bases and put N in their place themselves.

    Args:
        source: FASTA, plain or any kind of gzip.
        name: Its name in errors.
        write: Receives the copy piece by piece.

    Returns:
        The digest of the source as it is stored.

    Raises:
        BadDataError: It is no FASTA of DNA, or a name in it is not allowed.
        StepError: It cannot be read.
    """
    digest = hashlib.sha256()
    checker = _Checker(name)
    try:
        with source.open("rb", buffering=0) as stream:

            def read() -> bytes:
                chunk = stream.read(BLOCK_BYTES)
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
        yield from gunzip(name, chunk, read)
        return
    while chunk:
        yield chunk
        chunk = read()


def _blocks(name: str, pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Joins and cuts the pieces so that no header line spans two of them. Raises BadDataError if one has no end."""
    held = bytearray()
    for piece in pieces:
        held += piece
        if len(held) < BLOCK_BYTES:
            continue
        line = held.rfind(b"\n") + 1
        # Lines of bases, which may be as long as a chromosome, may be cut; headers may not.
        end = line if held[line : line + 1] == b">" else len(held)
        if end:
            yield bytes(held[:end])
            del held[:end]
        if len(held) > BLOCK_BYTES + MAX_HEADER:
            raise _refused(
                name,
                f"a line that starts with '>' is longer than {MAX_HEADER} characters",
                "End its lines by newlines (a file of an old Macintosh: tr '\\r' '\\n').",
            )
    if held:
        yield bytes(held)


class _Checker:
    """Checks a FASTA file block by block."""

    def __init__(self, name: str) -> None:
        self._file = name
        self._names: set[str] = set()
        self._sequence = ""
        self._bases = 0
        self._at_line_start = True  # whether the next block starts a line
        self._line_lengths = _LineLengths()

    def check(self, block: bytes) -> bytes:
        """Checks a block, and returns its normalised copy. Raises BadDataError."""
        if b"\r" in block:
            block = block.replace(b"\r\n", b"\n").removesuffix(b"\r")  # the newline is in the next block
        parts: list[bytes] = []
        at = 0
        for header in re.finditer(rb"^>[^\n]*\n?", block, flags=re.MULTILINE):
            if header.start() == 0 and not self._at_line_start:
                continue
            parts += [self._check_bases(block[at : header.start()]), header[0]]
            self._start_sequence(header[0][1:])
            at = header.end()
        parts.append(self._check_bases(block[at:]))
        if block:
            self._at_line_start = block.endswith(b"\n")
        return b"".join(parts)

    def _start_sequence(self, line: bytes) -> None:
        if b"\r" in line:
            raise self._carriage_return()
        self._end_sequence()
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

    def _check_bases(self, data: bytes) -> bytes:
        bases = data.translate(None, b"\n")
        if not self._sequence:
            if not bases:
                return data
            for magic, why, fix in UNSUPPORTED:
                if bases.startswith(magic):
                    raise _refused(self._file, why, fix)
            raise _refused(self._file, "it is not FASTA: it does not start with '>' and a name", _advice(bases))
        if rest := bases.translate(None, _NUCLEOTIDES):
            raise self._bad_letters(rest)
        if not self._line_lengths.are_equal(data):
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

    def _end_sequence(self) -> None:
        if self._sequence and not self._bases:
            raise _refused(self._file, f"sequence '{printable(self._sequence)}' has no base", "Remove its '>' line.")
        self._bases = 0
        self._line_lengths = _LineLengths()

    def end(self) -> None:
        """Checks the end of the file. Raises BadDataError if there is no sequence, or the last one is empty."""
        if not self._sequence:
            raise _refused(self._file, "there is no sequence in it", "Fetch it again: it is to be a FASTA file.")
        self._end_sequence()


class _LineLengths:
    """Checks that a sequence's lines have one length, as a .fai needs; only the last may be shorter."""

    def __init__(self) -> None:
        self._width: int | None = None
        self._has_short = False  # whether a line was shorter, which must be the last
        self._begun = 0  # bases so far of the line without an end

    def are_equal(self, data: bytes) -> bool:
        """Whether all lines so far have one length, including these."""
        lengths = list(map(len, data.split(b"\n")))
        lengths[0] += self._begun
        self._begun = lengths.pop()
        if self._width is None and lengths:
            self._width = lengths[0]
        if self._has_short or lengths.count(self._width or 0) != len(lengths):
            for length in lengths:
                if length and (self._has_short or length > (self._width or 0)):
                    return False
                self._has_short = self._has_short or length < (self._width or 0)
        return self._width is None or self._begun <= (0 if self._has_short else self._width)


def _forbidden(name: str) -> str:
    """The first letter that is not allowed at its place in a sequence's name; "" if all are."""
    return next((letter for at, letter in enumerate(name) if letter not in (_LATER_LETTERS if at else _LETTERS)), "")


def _advice(start: bytes) -> str:
    if start[:1] == b"@":
        return "It looks like FASTQ: give the reference."
    return "Give a FASTA file, plain or compressed by gzip."


def _refused(name: str, why: str, fix: str) -> BadDataError:
    return BadDataError(f"cannot index {name}", why=why, fix=fix)

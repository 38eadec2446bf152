"""Files that are another user's, or closed by the umask: what can be opened is, and the rest is told with its cause."""

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path, PurePosixPath

import pytest

from toolchain import files
from toolchain.errors import BadDataError, CannotCreateError, MissingInputError, SeveralFailedError
from toolchain.localaws import lifecycle as here
from toolchain.localaws.config import LocalConfig
from toolchain.localaws.file_copy import copy_file
from toolchain.localaws.safe_path import SafePath
from toolchain.paths import Checkout
from toolchain.runs.target import LocalTarget
from toolchain.workflow.run_input import RunInput
from toolchain.workflow.samples import Lane, Sample

SOMEBODY = 12345
DENIED = PermissionError(errno.EACCES, os.strerror(errno.EACCES))


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    """A umask that closes what is made to everybody else."""
    before = os.umask(0o077)
    yield
    os.umask(before)


@pytest.fixture
def somebody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout of this user's, in which another user types."""
    monkeypatch.setattr("toolchain.files.HERE", Checkout(root=tmp_path))
    monkeypatch.setattr(os, "geteuid", lambda: SOMEBODY)
    return tmp_path


@pytest.mark.parametrize(
    ("path", "why", "fix"),
    [
        (
            "{checkout}/dist/images.json",
            "{checkout} belongs to {owner} with mode 0700, and this is 12345",
            "Type: sudo chown -R 12345 {checkout}",
        ),
        (
            "/usr/none/x",
            "/usr belongs to root with mode 0755, and this is 12345",
            "Name another place, or ask its owner.",
        ),
    ],
)
def test_a_path_in_another_user_s_directory_names_it_and_the_command(
    somebody: Path, path: str, why: str, fix: str
) -> None:
    names = {"checkout": somebody, "owner": files.user(somebody.stat().st_uid)}
    error = files.unwritable(Path(path.format(**names)), DENIED)
    assert (error.why, error.fix, error.exit_code) == (why.format(**names), fix.format(**names), 73)


def test_a_file_that_this_user_closed_is_opened_and_a_full_disk_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("toolchain.files.HERE", Checkout(root=tmp_path))
    assert files.unwritable(tmp_path / "x", DENIED).fix == f"Type: chmod -R u+rwX {tmp_path}"
    (tmp_path / "x").touch()  # it can be written, so its directory is in the way
    assert files.unwritable(tmp_path / "x", DENIED).fix == f"Type: chmod -R u+rwX {tmp_path}"
    full = OSError(errno.ENOSPC, "No space left on device")
    assert files.unwritable(tmp_path / "x", full).why == "No space left on device"


def test_files_are_written_whole_or_not_at_all(tmp_path: Path) -> None:
    (tmp_path / "folder.json").mkdir()
    with pytest.raises(CannotCreateError, match=r"^cannot write .*/folder.json: Is a directory"):
        files.write(tmp_path / "folder.json", "text")
    files.write(tmp_path / "new" / "secret", "text", mode=0o600)
    assert (tmp_path / "new" / "secret").stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["folder.json", "new", "secret"]


def test_directories_that_cannot_be_made_are_errors(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CannotCreateError, match=r"^cannot keep .*/file/x to its owner: Not a directory"):
        files.make_private(tmp_path / "file" / "x")
    with (
        pytest.raises(CannotCreateError, match=r"^cannot write .*/file/x: Not a directory"),
        files.locked(tmp_path / "file" / "x"),
    ):
        pass


def test_a_lock_that_somebody_holds_is_waited_for_and_said(tmp_path: Path) -> None:
    with ExitStack() as holder:
        holder.enter_context(files.locked(tmp_path))
        with files.locked(tmp_path, waiting=holder.close):
            assert (tmp_path / ".lock").exists()


def test_a_server_does_not_start_on_another_user_s_files(somebody: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = LocalConfig(root=somebody / "local", vcpus=1, memory=100)
    (world.buckets / "theirs").mkdir(parents=True)
    monkeypatch.setattr(os, "access", lambda path, _: Path(path).name != "theirs")
    with (
        pytest.raises(CannotCreateError, match=r"cannot write .*/s3/theirs: .* belongs to"),
        here.exclusive_lock(world),
    ):
        pass


def order(checkout: Checkout) -> RunInput:
    """A run of three files that its steps may read."""
    scratch = checkout.local / "scratch"
    for name in ("reference/x.fa", "data/a/1.fq", "data/a/2.fq"):
        file = scratch / name
        file.parent.mkdir(parents=True, exist_ok=True)
        for folder in (file.parent, scratch / name.split("/")[0]):
            folder.chmod(0o755)
        file.touch()
        file.chmod(0o644)
    sample = Sample(name="a", lanes=(Lane(name="L001", r1="a/1.fq", r2="a/2.fq"),))
    return RunInput(reference="x.fa", samples=(sample,), shards=1, ploidy=2)


@pytest.mark.parametrize(
    ("closed", "mode", "top"),
    [("reference/x.fa", 0o600, "reference"), ("data/a/2.fq", 0o640, "data"), ("data/a", 0o700, "data")],
)
def test_a_file_that_steps_may_not_read_is_told_before_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, closed: str, mode: int, top: str
) -> None:
    checkout = Checkout(root=tmp_path)
    asked = order(checkout)
    LocalTarget(checkout=checkout).check_inputs(asked)
    path = checkout.local / "scratch" / closed
    path.chmod(mode)
    with pytest.raises(MissingInputError) as caught:
        LocalTarget(checkout=checkout).check_inputs(asked)
    assert f"they are user 1000, and {path} belongs to " in caught.value.why
    assert caught.value.why.endswith(f" with mode {mode:04o}")
    assert caught.value.fix == f"Type: chmod -R a+rX {checkout.local}/scratch/{top}"
    monkeypatch.setattr("toolchain.runs.target.STEP_USER", path.stat().st_uid)
    LocalTarget(checkout=checkout).check_inputs(asked)


def test_files_that_do_not_exist_are_all_told_before_the_run(tmp_path: Path) -> None:
    checkout = Checkout(root=tmp_path)
    asked = order(checkout)
    for name in ("reference/x.fa", "data/a/2.fq"):
        (checkout.local / "scratch" / name).unlink()
    with pytest.raises(SeveralFailedError) as caught:
        LocalTarget(checkout=checkout).check_inputs(asked)
    assert [str(error) for error in caught.value.errors] == [
        f"{name} does not exist: it is not in {checkout.local}/scratch/{top}. Correct its path, or put the file there."
        for name, top in (("x.fa", "reference"), ("a/2.fq", "data"))
    ]
    assert caught.value.exit_code == MissingInputError.exit_code


@pytest.mark.parametrize("link", [os.link, os.symlink])
def test_one_file_by_two_names_is_told_before_the_run(tmp_path: Path, link: Callable[[Path, Path], None]) -> None:
    checkout = Checkout(root=tmp_path)
    asked = order(checkout)
    folder = checkout.local / "scratch" / "data" / "a"
    (folder / "2.fq").unlink()
    link(folder / "1.fq", folder / "2.fq")
    with pytest.raises(BadDataError, match=r"a/2\.fq is named twice: its reads are those of a/1\.fq"):
        LocalTarget(checkout=checkout).check_inputs(asked)


def test_what_comes_from_a_bucket_is_for_steps_to_read(tmp_path: Path) -> None:
    (tmp_path / "object").write_text("reads", encoding="ascii")
    copy_file(SafePath(tmp_path, PurePosixPath("object")), SafePath(tmp_path, PurePosixPath("data/run/reads.fq")))
    modes = [path.stat().st_mode & 0o777 for path in (tmp_path / "data", *sorted((tmp_path / "data").rglob("*")))]
    assert modes == [0o755, 0o755, 0o644]

"""Files that are read into models, and files that two commands may write at once."""

import errno
import fcntl
import json
import os
import pwd
import shlex
import tempfile
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError, ValidatorFunctionWrapHandler, WrapValidator
from pydantic_core import ErrorDetails, PydanticCustomError

from toolchain.errors import CannotCreateError, ConfigurationError
from toolchain.paths import HERE

_Model = TypeVar("_Model", bound=BaseModel)


def read_toml(file: Path, model: type[_Model], *, fix: str) -> _Model:
    """Reads a TOML file.

    Raises:
        ConfigurationError: It cannot be read, or some keys in it are wrong; the message names each of them.
    """

    def wrong(why: str) -> ConfigurationError:
        return ConfigurationError(f"{file} is wrong", why=why, fix=fix)

    try:
        return model.model_validate(tomllib.loads(file.read_text(encoding="utf-8")))
    except OSError as error:
        raise wrong(f"it cannot be read: {error.strerror}") from error
    except ValidationError as error:
        raise wrong("; ".join(map(_mistake, error.errors()))) from error
    except ValueError as error:
        raise wrong(f"it is not TOML: {error}") from error


def must_be(description: str) -> WrapValidator:
    """A pydantic annotation: whatever is wrong with a value, the error says what the value must be."""

    def validate(value: object, handler: ValidatorFunctionWrapHandler) -> Any:  # noqa: ANN401  # the field's own type
        try:
            return handler(value)
        except ValidationError as error:
            raise PydanticCustomError("must_be", "must be {description}", {"description": description}) from error

    return WrapValidator(validate)


def _mistake(error: ErrorDetails) -> str:
    key = ".".join(map(str, error["loc"]))
    match error["type"]:
        case "extra_forbidden":
            return f"unknown key '{key}'"
        case "missing":
            return f"'{key}' is missing"
        case "dict_type" | "model_type":
            return f"'{key}' must be a table"
        case _:
            return f"'{key}' {error['msg']}" if key else error["msg"]


def write(file: Path, text: str, *, mode: int = 0o644) -> None:
    """Writes a file under a temporary name and renames it: a reader sees the old text or the new.

    Raises:
        CannotCreateError: It cannot be written.
    """
    temporary: str | None = None
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
        with os.fdopen(descriptor, "w", encoding="utf-8") as out:
            out.write(text)
        Path(temporary).chmod(mode)
        Path(temporary).replace(file)
    except OSError as error:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
        raise unwritable(file, error) from error


def write_json(file: Path, data: Any) -> None:  # noqa: ANN401  # whatever JSON can hold
    """Writes JSON: the same bytes for the same data."""
    write(file, json.dumps(data, indent=2, sort_keys=True) + "\n")


def make_private(folder: Path) -> None:
    """Makes a directory, or changes an existing one, so that only its owner may enter.

    Raises:
        CannotCreateError: It cannot be made, or belongs to somebody else.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
    except OSError as error:
        raise CannotCreateError(
            f"cannot keep {folder} to its owner",
            why=str(error.strerror),
            fix="Type the command as the user whose directory it is; or remove the directory.",
        ) from error


def open_folder(folder: Path) -> None:
    """Makes a directory that steps, which run as another user, may read whatever the umask is."""
    missing = [level for level in (folder, *folder.parents) if not level.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for level in missing:
        level.chmod(0o755)


def user(uid: int | None = None) -> str:
    """A user's name, or the number of one without a name; this user's if none is given."""
    uid = os.geteuid() if uid is None else uid
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def unwritable(path: Path, error: OSError) -> CannotCreateError:
    """The error for a path that cannot be written: who owns the file or directory in the way, and what to type."""
    if error.errno not in (errno.EACCES, errno.EPERM):
        fix = "Make room, or make the directory writable."
        return CannotCreateError(f"cannot write {path}", why=str(error.strerror), fix=fix)
    obstacle = next(level for level in (path, *path.absolute().parents) if os.path.lexists(level))
    if obstacle == path and path.is_file() and os.access(path, os.W_OK):
        obstacle = path.absolute().parent
    status = obstacle.lstat()
    command = "chmod -R u+rwX" if status.st_uid == os.geteuid() else f"sudo chown -R {user()}"
    mode = f"{status.st_mode & 0o7777:04o}"
    return CannotCreateError(
        f"cannot write {path}",
        why=f"{obstacle} belongs to {user(status.st_uid)} with mode {mode}, and this is {user()}",
        # Outside of the checkout it may be the whole machine's.
        fix=f"Type: {command} {shlex.quote(str(obstacle))}"
        if obstacle.is_relative_to(HERE.root)
        else "Name another place, or ask its owner.",
    )


@contextmanager
def locked(folder: Path, *, name: str = ".lock", waiting: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Holds a folder's lock, so that a file in it can be read, changed and written in one step.

    Args:
        folder: The folder.
        name: The lock file.
        waiting: Called if somebody else holds it.

    Raises:
        CannotCreateError: The folder cannot be made or written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / name).open("w", encoding="ascii")
    except OSError as error:
        raise unwritable(folder, error) from error
    with lock:  # closing the file, or the end of the process, releases it
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waiting()
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield

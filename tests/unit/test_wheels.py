"""Wheels come by their digest or not at all."""

import hashlib
import subprocess
from pathlib import Path

import pytest

from toolchain.errors import UnavailableError
from toolchain.images import build as builds
from toolchain.images import catalog, wheels
from toolchain.images.catalog import Wheel
from toolchain.paths import HERE

CONTENT = b"a wheel"
WHEEL = Wheel(version="1.0", sha256=hashlib.sha256(CONTENT).hexdigest())
FILE = "some-1.0-py3-none-any.whl"


class Pip:
    """What stands for pip: it leaves a file, or fails."""

    def __init__(self) -> None:
        self.content = CONTENT
        self.code = 0
        self.asked: list[str] = []

    def run(self, command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        wanted = Path(command[command.index("--requirement") + 1])
        self.asked.append(wanted.read_text(encoding="utf-8"))
        assert "--require-hashes" in command
        assert "--no-deps" in command
        if not self.code:
            (Path(command[command.index("--dest") + 1]) / FILE).write_bytes(self.content)
        return subprocess.CompletedProcess(command, self.code, stdout="", stderr="what pip says")


@pytest.fixture
def pip(monkeypatch: pytest.MonkeyPatch) -> Pip:
    pip = Pip()
    monkeypatch.setattr(subprocess, "run", pip.run)
    return pip


def test_a_wheel_is_asked_for_by_version_and_digest_and_kept(pip: Pip, tmp_path: Path) -> None:
    said: list[str] = []
    file = wheels.fetch("some", WHEEL, tmp_path / "wheels", said.append)
    assert (file.name, file.read_bytes()) == (FILE, CONTENT)
    assert pip.asked == [f"some==1.0 --hash=sha256:{WHEEL.sha256}\n"]
    assert said == ["fetching some 1.0"]
    assert wheels.fetch("some", WHEEL, tmp_path / "wheels", said.append) == file
    assert len(pip.asked) == 1
    assert [path.name for path in (tmp_path / "wheels").iterdir()] == [WHEEL.sha256]


def test_a_kept_file_that_was_changed_is_fetched_anew(pip: Pip, tmp_path: Path) -> None:
    file = wheels.fetch("some", WHEEL, tmp_path)
    file.write_bytes(b"something else")
    assert wheels.fetch("some", WHEEL, tmp_path).read_bytes() == CONTENT
    assert len(pip.asked) == 2


def test_a_file_of_another_digest_is_refused(pip: Pip, tmp_path: Path) -> None:
    pip.content = b"another"
    with pytest.raises(UnavailableError, match=r"^cannot fetch some 1\.0: what pip fetched has another digest\."):
        wheels.fetch("some", WHEEL, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_pip_s_own_words_are_shown_where_it_fails(pip: Pip, tmp_path: Path) -> None:
    pip.code = 1
    with pytest.raises(UnavailableError) as caught:
        wheels.fetch("some", WHEEL, tmp_path)
    assert (caught.value.exit_code, caught.value.details) == (69, "what pip says")
    assert list(tmp_path.iterdir()) == []


def test_a_build_s_context_holds_the_folder_s_content_and_the_wheels(pip: Pip, tmp_path: Path) -> None:
    image = catalog.read(HERE.images / "samtools")
    plain = builds.context(image, tmp_path)
    assert plain.keys() >= {"Dockerfile", "commands.py"}
    assert pip.asked == []
    own = image.model_copy(update={"wheels": {"some": WHEEL}})
    assert builds.context(own, tmp_path) == plain | {f"wheels/{FILE}": tmp_path / "wheels" / WHEEL.sha256 / FILE}

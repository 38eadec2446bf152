"""What every tool image must be, times the catalogue: adding an image adds its tests."""

import io
import json
import re
import subprocess
import tarfile
import zlib
from collections.abc import Iterator

import pytest
from support.job_runner import BuiltImages, under_testcontainers
from testcontainers.core.container import DockerContainer

from toolchain.docker.container import Container
from toolchain.images import build as builds
from toolchain.images.catalog import Image

# No network, no capability, nothing to write to: whatever a tool image does, it does without.
LOCKED = {
    "network_mode": "none",
    "cap_drop": ["ALL"],
    "security_opt": ["no-new-privileges"],
    "read_only": True,
    "tmpfs": {"/tmp": "size=16m"},  # noqa: S108  # a path in the container
}
# Compressed bytes that a host may have to pull. https://en.wikipedia.org/wiki/Megabyte: a million bytes each.
LARGEST = {
    "bwa": 9_000_000,
    "bwa-mem3": 11_000_000,
    "samtools": 8_600_000,
    "bcftools": 9_100_000,
    "fsx-export": 12_700_000,
}
LARGEST_TOGETHER = 20_000_000
# Of the standard library, what a step may import: the common layer holds these and what they import in turn.
MODULES = """
argparse array base64 binascii bisect collections concurrent.futures.thread contextlib copy csv ctypes dataclasses
datetime encodings.ascii encodings.idna encodings.latin_1 encodings.utf_8 enum errno fcntl fnmatch functools glob gzip
hashlib heapq hmac http.client importlib.metadata inspect io ipaddress itertools json logging math operator os pathlib
queue random re resource secrets selectors shutil signal socket stat string struct subprocess sys tempfile textwrap
threading time traceback types typing unicodedata urllib.parse urllib.request weakref zipfile zlib
"""
# CPU time of the quickest of some runs: what a start takes where nothing else wants the processor, since all of it is
# one thread's work.
QUICKEST = """
import os, subprocess, sys

def seconds():
    process = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    usage = os.wait4(process.pid, 0)[2]
    return usage.ru_utime + usage.ru_stime

print(min(seconds() for _ in range(15)))
"""


@pytest.fixture(scope="session")
def built(built_images: BuiltImages, image_name: str) -> builds.Built:
    return built_images.images[image_name]


@pytest.fixture(scope="session")
def image(built: builds.Built) -> Image:
    return built.image


@pytest.fixture(scope="session")
def saved(built: builds.Built) -> bytes:
    """What `docker save` writes: a tar of layers, which are tars."""
    return subprocess.run(["docker", "save", built.image_id], capture_output=True, check=True).stdout


@pytest.fixture(scope="session")
def layers(saved: bytes) -> list[list[str]]:
    """The paths in each layer, the lowest layer first."""
    found = []
    with tarfile.open(fileobj=io.BytesIO(saved)) as archive:
        manifest = json.load(archive.extractfile("manifest.json") or io.BytesIO())
        for layer in manifest[0]["Layers"]:
            with tarfile.open(fileobj=archive.extractfile(layer)) as files:
                found.append(files.getnames())
    return found


@pytest.fixture(scope="session")
def shell(built: builds.Built) -> Iterator[DockerContainer]:
    """One container of the image that waits, for many questions."""
    waiting = Container(image=built.image_id, command=("sleep", "600"), memory=256, init=True)
    with under_testcontainers(waiting, **LOCKED) as container:
        yield container


def answer(container: DockerContainer, *words: str) -> tuple[int, str]:
    code, output = container.exec(list(words))
    assert isinstance(output, bytes)
    return code or 0, output.decode(errors="replace")  # not every author's name is in UTF-8


def ask(container: DockerContainer, *words: str) -> str:
    code, output = answer(container, *words)
    assert code == 0, output
    return output


def test_the_program_s_own_version_is_that_of_image_toml(shell: DockerContainer, image: Image) -> None:
    assert image.program is not None
    _, output = answer(shell, *image.program.command)
    found = re.search(image.program.version, output)
    assert found is not None, output
    assert found[1] == image.version


def test_it_is_an_ordinary_tool_image_that_runs_what_it_is_given(built: builds.Built, image: Image) -> None:
    assert image.program is not None
    command = ["docker", "run", "--rm", built.reference, *image.program.command]
    result = subprocess.run(command, capture_output=True, check=False)
    assert re.search(image.program.version, (result.stdout + result.stderr).decode(errors="replace"))


def test_it_runs_as_user_1000(shell: DockerContainer) -> None:
    assert ask(shell, "id", "-u").strip() == "1000"
    assert ask(shell, "id", "-g").strip() == "1000"


def test_no_file_is_setuid_or_setgid_and_none_outside_tmp_is_writable(shell: DockerContainer) -> None:
    find = ["find", "/", "-xdev", "-type", "f"]
    assert ask(shell, *find, "(", "-perm", "-4000", "-o", "-perm", "-2000", ")").split() == []
    assert ask(shell, *find, "-perm", "-0002").split() == []


def test_its_labels_say_what_it_is(built_images: BuiltImages, built: builds.Built, image: Image) -> None:
    labels = built_images.builder.engine.client.images.get(built.image_id).labels
    prefix = "org.opencontainers.image"
    assert labels == builds.labels(image, built_images.builder.catalog)
    assert labels[f"{prefix}.version"] == image.version
    assert labels[f"{prefix}.licenses"] == image.license
    assert built.reference.endswith(labels[builds.FINGERPRINT_LABEL])


def test_it_holds_the_records_and_licences_of_its_packages_at_the_pinned_versions(
    shell: DockerContainer, image: Image
) -> None:
    recorded = {}
    for name in ask(shell, "ls", "/var/lib/dpkg/status.d").split():
        record = ask(shell, "cat", f"/var/lib/dpkg/status.d/{name}")
        fields = dict(line.split(": ", 1) for line in record.splitlines() if re.match(r"^[A-Z][\w-]*: ", line))
        assert fields["Package"] == name
        recorded[name] = fields["Version"]
        assert ask(shell, "head", "-c", "20", f"/usr/share/doc/{name}/copyright")
    assert recorded.items() >= dict(image.packages).items()
    assert "libc6" in recorded


def test_every_library_that_a_program_needs_is_there(shell: DockerContainer, built_images: BuiltImages) -> None:
    for path in ask(shell, "find", "/usr/bin", "-type", "f").split():
        if ask(shell, "head", "-c", "4", path) != "\x7fELF":
            continue
        # The loader is asked as `ldd` asks it.
        listed = ask(shell, "sh", "-c", f"LD_TRACE_LOADED_OBJECTS=1 {path}")
        assert "not found" not in listed, listed
    assert built_images.images


def test_it_is_no_larger_than_it_may_be(saved: bytes, image: Image) -> None:
    compressor = zlib.compressobj(level=6, wbits=31)
    size = len(compressor.compress(saved)) + len(compressor.flush())
    assert size <= LARGEST.get(image.name, 30_000_000)


def test_the_layer_that_all_share_is_its_first(built_images: BuiltImages, built: builds.Built) -> None:
    layers = {name: built_images.builder.engine.layers(one.image_id) for name, one in built_images.images.items()}
    assert len({of_image[0] for of_image in layers.values()}) == 1
    assert layers[built.image.name][0] in layers["samtools"]


def test_a_step_without_a_command_is_refused(shell: DockerContainer) -> None:
    code, output = answer(shell, "step")
    assert code == 64
    assert "unknown command ''" in output


def test_bwa_samtools_and_bcftools_together_are_at_most_ten_megabytes(built_images: BuiltImages) -> None:
    sizes: dict[str, int] = {}
    for name in ("bwa", "samtools", "bcftools"):
        sizes |= builds.layer_sizes(built_images.builder, built_images.images[name].reference)
    assert sum(sizes.values()) <= 10_000_000


def test_all_images_together_are_no_larger_than_they_may_be(built_images: BuiltImages) -> None:
    sizes: dict[str, int] = {}
    for name in LARGEST:
        sizes |= builds.layer_sizes(built_images.builder, built_images.images[name].reference)
    assert sum(sizes.values()) <= LARGEST_TOGETHER


def test_python_is_in_the_layer_that_all_share_and_in_no_other(layers: list[list[str]]) -> None:
    assert [["usr/bin/python3.13" in names, "usr/local/lib/step/step/main.py" in names] for names in layers] == [
        [True, True],
        *[[False, False]] * (len(layers) - 1),
    ]


def test_modules_are_compiled_and_only_those_of_steps_have_their_sources_beside_them(layers: list[list[str]]) -> None:
    held = {name for names in layers for name in names}
    sources = {name for name in held if name.endswith(".py")}
    steps = {name for name in sources if name.startswith("usr/local/lib/step/")}
    assert sources == steps
    assert "usr/local/lib/step/commands.py" in steps
    compiled = (re.sub(r"([^/]+)\.py$", r"__pycache__/\1.cpython-313.pyc", name) for name in steps)
    assert not [name for name in compiled if name not in held]


def test_what_steps_import_of_the_standard_library_is_there(built_images: BuiltImages) -> None:
    # Each by an interpreter of its own, so that none finds what another has loaded.
    script = 'for module; do python3 -I -W error -c "import $module" || exit; done'
    command = ["docker", "run", "--rm", "--network=none", "--read-only", built_images.images["samtools"].reference]
    result = subprocess.run(
        [*command, "sh", "-c", script, "sh", *MODULES.split()], capture_output=True, text=True, check=False
    )
    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.parametrize("name", ["bwa", "bwa-mem3"])
def test_the_aligners_images_unpack_by_intel_s_zlib(built_images: BuiltImages, name: str) -> None:
    script = (
        "import zlib; from isal import igzip, igzip_lib, isal_zlib as isal; print(isal.decompress(zlib.compress(b'A')))"
    )
    command = ["docker", "run", "--rm", "--network=none", "--read-only", built_images.images[name].reference]
    result = subprocess.run([*command, "python3", "-I", "-c", script], capture_output=True, text=True, check=False)
    assert (result.stdout, result.stderr) == ("b'A'\n", "")


@pytest.mark.parametrize(
    ("command", "most"),
    [(("python3", "-I", "-c", "pass"), 0.02), (("step", "no-such-command"), 0.1)],
    ids=["python", "step"],
)
def test_it_starts_at_once(shell: DockerContainer, command: tuple[str, ...], most: float) -> None:
    assert float(ask(shell, "python3", "-I", "-c", QUICKEST, *command)) <= most


def test_a_saved_image_holds_no_trace_of_where_its_packages_came_from(layers: list[list[str]]) -> None:
    for names in layers:
        assert not [name for name in names if name.startswith(("etc/apt", "var/lib/apt", "var/cache"))]

"""Where everything is measured: an embedded AWS with a folder of its own, which is gone afterwards."""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from toolchain.aws import Account
from toolchain.docker.container import Container, Mount
from toolchain.docker.engine import Result
from toolchain.docker.host import Host, Machine, step_error
from toolchain.images import build as builds
from toolchain.images.build import ImageBuilder
from toolchain.jobdefs import template as jobdefs
from toolchain.localaws import lifecycle
from toolchain.localaws.config import LocalConfig
from toolchain.paths import HERE, Checkout
from toolchain.runs.target import LocalTarget

STOCK_FOLDER = Path(__file__).parent / "stock"
STOCK_PACKAGES = "bwa samtools bcftools"
STEPS = "1000:1000"  # as whom steps run
ROOT = HERE.cache / "bench"
_SMALL = 512  # MiB


@dataclass(frozen=True, kw_only=True)
class Place:
    """An embedded AWS in which everything is deployed, and beside it a directory for what runs without it.

    Attributes:
        checkout: This checkout's files, as they deal with the embedded AWS.
        world: What the embedded AWS holds.
        account: The embedded AWS.
        workshop: The engine and the images.
        stock: The image of stock packages.
        host: Runs jobs without the embedded AWS.
        resources: What jobs get, as `run --local` gives it.
    """

    checkout: Checkout
    shards: int
    world: LocalConfig
    account: Account
    builder: ImageBuilder
    stock: str
    host: Host
    resources: Mapping[str, Mapping[str, int]]

    @property
    def beside(self) -> Path:
        """What stock tools work in: /stock in their containers."""
        return self.checkout.root / "stock"

    def step(self, tool: str, *words: str, **parameters: str) -> Result:
        """Runs a job without the embedded AWS: these words, or the definition's own command.

        Raises:
            StepFailedError: It failed.
        """
        name = words[0] if words else tool
        return self.host.run(name, tool, words, parameters=parameters, environment={"EXECUTION_ID": "bench"})

    def with_stock(self, *words: str) -> Result:
        """Runs stock tools, with all of the machine.

        Raises:
            StepFailedError: They failed.
        """
        scratch = self.world.scratch
        mounts = (
            Mount(source=str(self.beside), target="/stock", read_only=False),
            *(
                Mount(source=str(scratch / name), target=f"/scratch/{name}", read_only=True)
                for name in ("reference", "data", "working")
            ),
        )
        container = Container(
            image=self.stock,
            command=words,
            mounts=mounts,
            vcpus=self.host.machine.cores,
            memory=self.host.machine.memory,
            user=STEPS,
        )
        result = self.builder.engine.run(container)
        if result.exit_code:
            raise step_error(words[0], result)
        return result


@contextmanager
def folder() -> Iterator[Checkout]:
    """This checkout's files, with a cache of their own that is removed however the block ends."""
    builder = ImageBuilder.open(HERE)
    builds.build(builder, tuple(builder.catalog.tools.values()))
    _remove(builder)  # what a killed one left
    ROOT.mkdir(parents=True)
    try:
        for file in (HERE.images, HERE.jobdefs, HERE.stacks, HERE.settings):
            (ROOT / file.name).symlink_to(file)
        yield Checkout(root=ROOT)
    finally:
        _remove(builder)


def _remove(builder: ImageBuilder) -> None:
    if not ROOT.exists():
        return
    # What steps wrote is another user's.
    image = builder.reference(builder.catalog.tools["samtools"])
    command = ("find", "/bench", "-mindepth", "1", "-depth", "-user", STEPS.partition(":")[0], "-exec", "rm", "-rf")
    mount = Mount(source=str(ROOT), target="/bench", read_only=False)
    builder.engine.run(
        Container(image=image, command=(*command, "{}", "+"), mounts=(mount,), memory=_SMALL, user=STEPS)
    )
    shutil.rmtree(ROOT)


@contextmanager
def place() -> Iterator[Place]:
    """Builds the images and deploys everything: nothing of it is measured."""
    with folder() as checkout, lifecycle.connect(checkout) as there:
        target = LocalTarget(checkout=checkout, is_persistent=there.is_persistent)
        account = Account()
        target.prepare(account, "")
        builder = ImageBuilder.open(HERE)
        made = Place(
            checkout=checkout,
            shards=target.default_shards,
            world=there.config,
            account=account,
            builder=builder,
            stock=stock(builder, "bench-stock", STOCK_PACKAGES.split()),
            host=Host(
                engine=builder.engine,
                definitions=jobdefs.render(checkout.jobdefs, target.rendering(account)),
                machine=Machine.here(),
            ),
            resources=target.job_resources(),
        )
        made.beside.mkdir()
        made.beside.chmod(0o1777)
        yield made


def stock(builder: ImageBuilder, name: str, packages: Sequence[str]) -> str:
    """An image of Debian's packages as they are, from the archive of the day that ours are from."""
    return builder.engine.build(
        {file.name: file for file in STOCK_FOLDER.iterdir()},
        tag=f"{builder.project}/{name}:bench",
        arguments={"BASE": builder.reference(builder.catalog.base), "PACKAGES": " ".join(packages)},
        labels={},
    )

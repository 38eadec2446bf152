"""What a run in the embedded AWS needs: images built, stacks deployed, job definitions registered."""

import os
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from toolchain import files, settings
from toolchain.aws import Account, doing
from toolchain.console import note
from toolchain.errors import ConfigurationError, MissingInputError, WrongUsageError
from toolchain.images.build import ImageBuilder, build
from toolchain.jobdefs import register as registration
from toolchain.jobdefs import render as rendering
from toolchain.paths import Checkout
from toolchain.stacks.deploy import Deployer
from toolchain.stacks.progress import quiet
from toolchain.workflow.run_input import RunInput

# Before job definitions are registered, and after: a definition names a role, and the workflow names definitions.
BEFORE = ("registry", "network", "storage", "compute")
AFTER = ("workflow",)
# As jobdefs/_base.json.j2 has it; user and group.
STEPS_USER = 1000


def prepare(
    checkout: Checkout, account: Account, command: str = "python build.py run SAMPLES.csv --reference NAME"
) -> None:
    """Makes everything ready that is not; what is there already is left as it is.

    Args:
        checkout: As it deals with the embedded AWS.
        account: The embedded AWS.
        command: What the user typed, to be typed again.
    """
    with in_turn(checkout):
        _prepare(checkout, account, command)


@contextmanager
def in_turn(checkout: Checkout) -> Iterator[None]:
    """Of several commands that deploy on this machine, one does, and the others find what it deployed.

    In the cloud a deployment may take hours, and CloudFormation says who is at it.
    """

    def waiting() -> None:
        note("another command builds or deploys here: waiting for it")

    if checkout != checkout.at_home:
        yield
        return
    with files.locked(checkout.local, name=".deploying", waiting=waiting):
        yield


def _prepare(checkout: Checkout, account: Account, command: str) -> None:
    builder = ImageBuilder.open(checkout)
    build(builder, tuple(builder.catalog.tools.values()))
    for bucket in _sources(checkout):
        with doing(f"making bucket {bucket}"):
            account.s3().create_bucket(Bucket=bucket)
    deployer = Deployer(checkout=checkout, account=account, command=command, show=quiet)
    deployed = list(deployer.deploy(BEFORE, lambda _: None))
    registration.run(checkout, account, (), lambda _: None)
    deployed += deployer.deploy(AFTER, lambda _: None)
    if new := [one.stack.name for one in deployed if one.result != "unchanged"]:
        note(f"deployed {', '.join(new)}")


def check_name(checkout: Checkout, name: str) -> None:
    """Passes if no run of an earlier server has left results under this name; its own ones a server knows.

    Raises:
        WrongUsageError: One has.
    """
    bucket, _, prefix = rendering.outputs(checkout)["ExportPath"].removeprefix("s3://").partition("/")
    results = checkout.local / "s3" / bucket / prefix / settings.load(checkout.settings).workflow / name
    if results.exists():
        raise WrongUsageError(
            f"a run '{name}' exists already", why=f"its results are in {results}", fix="Choose another name."
        )


def check_inputs(checkout: Checkout, order: RunInput) -> None:
    """Passes if steps, which are a user of their own, may read the files of a run that are there.

    Raises:
        MissingInputError: They may not.
    """
    scratch = checkout.local / "scratch"
    reads = [name for sample in order.samples for lane in sample.lanes for name in (lane.r1, lane.r2)]
    for top, names in ((scratch / "reference", [order.reference]), (scratch / "data", reads)):
        for name in names:
            file = top / name
            folders = [folder for folder in file.parents if folder.is_relative_to(top)]
            for path in (*reversed(folders), file):
                if path.exists() and not _is_readable(path):
                    status = path.stat()
                    sudo = "" if os.geteuid() in (0, status.st_uid) else "sudo "
                    raise MissingInputError(
                        f"steps cannot read {file}",
                        why=f"they are user {STEPS_USER}, and {path} belongs to {files.user(status.st_uid)} with mode "
                        f"{status.st_mode & 0o7777:04o}",
                        fix=f"Type: {sudo}chmod -R a+rX {shlex.quote(str(top))}",
                    )


def _is_readable(path: Path) -> bool:
    """Whether steps may read a file, or pass through a directory."""
    status = path.stat()
    shift = 6 if status.st_uid == STEPS_USER else 3 if status.st_gid == STEPS_USER else 0
    wanted = 0o5 if path.is_dir() else 0o4
    return (status.st_mode >> shift) & wanted == wanted


def _sources(checkout: Checkout) -> set[str]:
    """The buckets that references and reads come from: in the cloud they are somebody's, here they are ours."""
    parameters = settings.load(checkout.settings).stacks.get("storage", {})
    paths = [parameters.get(name) for name in ("ReferencePath", "DataPath")]
    if not all(isinstance(path, str) and path.startswith("s3://") for path in paths):
        raise ConfigurationError(
            f"{checkout.settings} is wrong",
            why="stack.storage must give ReferencePath and DataPath as s3://bucket/path",
            fix="Correct it.",
        )
    return {str(path).split("/")[2] for path in paths}

"""The two targets of commands: AWS, and the embedded AWS of this machine."""

import os
import shlex
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

from toolchain import files, settings
from toolchain.aws import Account, doing
from toolchain.console import note
from toolchain.docker.host import Machine
from toolchain.errors import MissingInputError, ToolchainError, WrongUsageError, raise_all
from toolchain.images import catalog
from toolchain.images.build import ImageBuilder, build
from toolchain.images.push import Pusher
from toolchain.jobdefs import render, template
from toolchain.jobdefs.target import Target
from toolchain.jobdefs.template import Rendering
from toolchain.runs import aws_aligner, deploy_all
from toolchain.settings import AlignerChoice, Settings
from toolchain.stacks import outputs
from toolchain.stacks.deploy import Deployer
from toolchain.stacks.progress import show_failures
from toolchain.stacks.template import STORAGE
from toolchain.workflow import aligners, data_link
from toolchain.workflow.aligners import Choice
from toolchain.workflow.input_files import check_objects, missing, same_content
from toolchain.workflow.run_input import RunInput

AWS_SHARDS = 24
# As stack/workflow.yaml has it for jobs that only read a little, in MiB.
SMALL_MEMORY = 4000
# User and group of the steps, as jobdefs/_base.json.j2 has it.
STEP_USER = 1000


@dataclass(frozen=True, kw_only=True)
class AwsTarget(Target):
    """The AWS account that the environment names."""

    @property
    def dist(self) -> Path:
        """dist/."""
        return self.checkout.dist

    @property
    def default_shards(self) -> int:
        """About one for each chromosome of a human genome."""
        return AWS_SHARDS

    def plan_images(self, account: Account) -> Iterator[str]:
        """Those that ECR lacks; all of them while there are no repositories."""
        images = catalog.load(self.checkout.images)
        plan = Pusher.of(self.checkout, self.dist, account).plan(tuple(images.tools.values()), images)
        raise_all([error for error in plan.errors if not isinstance(error, MissingInputError)])
        present = {image.name for image in plan.present}
        return (f"image {name} would be built and pushed" for name in images.tools if name not in present)

    def provide_images(self, account: Account) -> Iterator[tuple[str, bool]]:
        """Builds and pushes those that ECR lacks."""
        for image in Pusher.of(self.checkout, self.dist, account).push(()):
            yield f"{image.tagged.address} {'pushed' if image.new else 'unchanged'}", image.new

    def rendering(self, account: Account) -> Rendering:
        """Images by their digests in ECR, /scratch on Lustre."""
        return replace(render.for_aws(self.checkout), outputs=outputs.read(account, self.checkout))

    def job_resources(self) -> dict[str, dict[str, int]]:
        """Nothing: job definitions decide."""
        return {}

    def stack_parameters(self) -> Mapping[str, str]:
        """Nothing: genomics.toml and the templates decide."""
        return {}

    def choose_aligner(
        self,
        account: Account,
        settings: Settings,
        reference: str,
        wanted: AlignerChoice | None,
        resources: Mapping[str, Mapping[str, int]],  # noqa: ARG002  # nothing
    ) -> Choice:
        """`auto` is bwa-mem3 where a host has the memory for its index."""
        return aws_aligner.choose(account, self.checkout, settings, reference, wanted or settings.aligner)

    def deploy_lock(self) -> AbstractContextManager[None]:
        """None is needed: CloudFormation refuses a stack that is busy."""
        return nullcontext()

    def prepare(self, account: Account, command: str) -> None:
        """Brings the file systems up; `deploy`, `push` and `register` are commands of their own."""
        deployer = Deployer(target=self, account=account, command=command)
        if not deployer.is_up(STORAGE):
            note("the file systems are down: bringing them up takes about ten minutes")
            for line in deployer.costs((STORAGE,)):
                note(line)
            list(deployer.deploy((STORAGE,)))

    def prepare_run(self, account: Account, command: str, name: str, run_input: RunInput) -> None:  # noqa: ARG002
        """Looks for the reads in the bucket before anything is spent; Step Functions knows the names of runs."""
        check_objects(account.s3(), data_link.of(settings.load(self.checkout.settings)), run_input.fastqs)
        self.prepare(account, command)


@dataclass(frozen=True, kw_only=True)
class LocalTarget(Target):
    """The embedded AWS, whose only host is this machine."""

    @property
    def dist(self) -> Path:
        """dist/local/: what is known of AWS stays apart."""
        return self.checkout.dist / "local"

    @property
    def scratch(self) -> Path:
        """The directory with reference, data and working, which are Lustre in AWS."""
        return self.checkout.local / "scratch"

    @property
    def default_shards(self) -> int:
        """Two for each core."""
        return 2 * Machine.here().cores

    def plan_images(self, account: Account) -> Iterator[str]:
        """Those that are not built."""
        del account
        builder = ImageBuilder.open(self.checkout)
        for image in builder.catalog.tools.values():
            if builder.built(image) is None:
                yield f"image {image.name} would be built"

    def provide_images(self, account: Account) -> Iterator[tuple[str, bool]]:
        """Builds those that are not built; and makes the buckets of references and reads, which a lab has in AWS."""
        builder = ImageBuilder.open(self.checkout)
        for built in build(builder, tuple(builder.catalog.tools.values())):
            yield f"{built.reference} {'built' if built.new else 'unchanged'}", built.new
        for bucket in self._source_buckets():
            with doing(f"making bucket {bucket}"):
                account.s3().create_bucket(Bucket=bucket)

    def rendering(self, account: Account) -> Rendering:
        """Images by the engine's ids, plain directories for /scratch."""
        return replace(self._without_stacks(), outputs=outputs.read(account, self.checkout))

    def _without_stacks(self) -> Rendering:
        return render.for_this_machine(ImageBuilder.open(self.checkout), self.scratch)

    def job_resources(self) -> dict[str, dict[str, int]]:
        """What each job definition asks for, cut to what this machine has."""
        machine = Machine.here()
        resources = {}
        for tool, definition in template.render(self.checkout.jobdefs, self._without_stacks()).items():
            vcpus, memory = machine.fit(definition)
            resources[tool] = {"VCPU": vcpus, "MEMORY": memory}
        # They run beside calling, and so take no more than one core.
        for command in ("qc", "check"):
            resources[command] = {"VCPU": 1, "MEMORY": min(SMALL_MEMORY, resources["samtools"]["MEMORY"])}
        return resources

    def stack_parameters(self) -> Mapping[str, str]:
        """The most memory a job may ask for: with more than the machine has it would wait for ever."""
        return {"MaxJobMemory": str(Machine.here().memory)}

    def choose_aligner(
        self,
        account: Account,  # noqa: ARG002  # the file system is a directory here
        settings: Settings,
        reference: str,
        wanted: AlignerChoice | None,
        resources: Mapping[str, Mapping[str, int]],
    ) -> Choice:
        """`auto` is bwa-mem3 where its index of the reference fits into memory."""
        known = aligners.look(self.scratch / "reference", self.scratch / "working" / settings.workflow, reference)
        return aligners.choose(wanted or settings.aligner, known, memory=resources["bwa-mem3"]["MEMORY"])

    @contextmanager
    def deploy_lock(self) -> Iterator[None]:
        """A lock of the checkout: the second of two commands finds what the first one deployed."""

        def waiting() -> None:
            note("another command builds or deploys here: waiting for it")

        with files.locked(self.checkout.local, name=".deploying", waiting=waiting):
            yield

    def prepare(self, account: Account, command: str) -> None:
        """Builds, deploys and registers what is missing or differs from the checkout."""
        with self.deploy_lock():
            deployer = Deployer(target=self, account=account, command=command, show=show_failures)
            done = list(deploy_all.deploy_all(self, account, deployer))
            done += [] if deployer.is_up(STORAGE) else deploy_all.stacks(deployer, (STORAGE,))
        if changed := [thing.text.split()[0] for thing in done if thing.kind == "stack" and thing.is_new]:
            note(f"deployed {', '.join(changed)}")

    def prepare_run(self, account: Account, command: str, name: str, run_input: RunInput) -> None:
        """Looks for results of runs of earlier servers, and for the files, which the steps must be able to read."""
        self.prepare(account, command)
        bucket, _, prefix = outputs.read(account, self.checkout)["ExportPath"].removeprefix("s3://").partition("/")
        workflow = settings.load(self.checkout.settings).workflow
        results = self.checkout.local / "s3" / bucket / prefix / workflow / name
        if results.exists():
            raise WrongUsageError(
                f"a run '{name}' exists already", why=f"its results are in {results}", fix="Choose another name."
            )
        self.check_inputs(run_input)

    def check_inputs(self, run_input: RunInput) -> None:
        """Checks that the input files exist, are not one file by several names, and can be read by the steps' user.

        Raises:
            MissingInputError: A file does not exist, or cannot be read; several errors as one.
            BadDataError: Two names of the sheet are one file.
        """
        errors: list[ToolchainError] = []
        names: dict[object, str] = {}
        for top, name in (
            (self.scratch / "reference", run_input.reference),
            *((self.scratch / "data", name) for name in run_input.fastqs),
        ):
            file = top / name
            folders = [folder for folder in file.parents if folder.is_relative_to(top)]
            closed = next(
                (path for path in (*reversed(folders), file) if path.exists() and not _is_readable(path)), None
            )
            if closed:
                raise _unreadable(file, closed, top)
            if not file.is_file():
                errors.append(missing(name, str(top)))
            elif top.name == "data":
                status = file.stat()
                errors += same_content(names, (status.st_dev, status.st_ino), name)
        raise_all(errors)

    def _source_buckets(self) -> set[str]:
        """The buckets of references and reads; in AWS the lab has made them already."""
        known = settings.load(self.checkout.settings)
        return {data_link.of(known, directory).bucket for directory in data_link.DIRECTORIES}


def _is_readable(path: Path) -> bool:
    """Whether the steps' user may read a file, or pass through a directory."""
    status = path.stat()
    shift = 6 if status.st_uid == STEP_USER else 3 if status.st_gid == STEP_USER else 0
    needed = 0o5 if path.is_dir() else 0o4
    return (status.st_mode >> shift) & needed == needed


def _unreadable(file: Path, path: Path, top: Path) -> MissingInputError:
    status = path.stat()
    sudo = "" if os.geteuid() in (0, status.st_uid) else "sudo "
    return MissingInputError(
        f"steps cannot read {file}",
        why=f"they are user {STEP_USER}, and {path} belongs to {files.user(status.st_uid)} with mode "
        f"{status.st_mode & 0o7777:04o}",
        fix=f"Type: {sudo}chmod -R a+rX {shlex.quote(str(top))}",
    )

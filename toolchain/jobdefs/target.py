"""The AWS that a command works with, as far as the packages below `runs` care."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from toolchain.aws import Account
from toolchain.jobdefs.template import Rendering
from toolchain.paths import Checkout
from toolchain.settings import AlignerChoice, Settings
from toolchain.workflow.aligners import Choice
from toolchain.workflow.run_input import RunInput


@dataclass(frozen=True, kw_only=True)
class Target(ABC):
    """AWS, or the embedded AWS of this machine; a command gets one at the door and hands it on.

    Attributes:
        checkout: What is built, registered and deployed.
        is_persistent: Whether this AWS is still there when the command has ended.
    """

    checkout: Checkout
    is_persistent: bool = True

    @property
    @abstractmethod
    def dist(self) -> Path:
        """The folder for what commands write down about this AWS: images, job definitions."""

    @property
    @abstractmethod
    def default_shards(self) -> int:
        """The number of shards of a run that asks for none."""

    @abstractmethod
    def plan_images(self, account: Account) -> Iterator[str]:
        """What `provide_images` would do, in words."""

    @abstractmethod
    def provide_images(self, account: Account) -> Iterator[tuple[str, bool]]:
        """Puts every image where hosts find it; yields what is said of each, and whether it is new there."""

    @abstractmethod
    def rendering(self, account: Account) -> Rendering:
        """What job definitions are rendered with; a stack that they need and that is not deployed is an error."""

    @abstractmethod
    def job_resources(self) -> dict[str, dict[str, int]]:
        """Tool or command to the `VCPU` and `MEMORY` (MiB) that override its job definition's."""

    @abstractmethod
    def stack_parameters(self) -> Mapping[str, str]:
        """Parameters of stacks that the hosts decide, over genomics.toml."""

    @abstractmethod
    def choose_aligner(
        self,
        account: Account,
        settings: Settings,
        reference: str,
        wanted: AlignerChoice | None,
        resources: Mapping[str, Mapping[str, int]],
    ) -> Choice:
        """Chooses the aligner of a run.

        Args:
            account: Where the run will be.
            settings: Whose `aligner` counts if none is wanted.
            reference: The FASTA's path below /scratch/reference.
            wanted: What the user asked for.
            resources: The run's `job_resources`.
        """

    @abstractmethod
    def deploy_lock(self) -> AbstractContextManager[None]:
        """Keeps other commands from deploying at the same time, where nothing else does."""

    @abstractmethod
    def prepare(self, account: Account, command: str) -> None:
        """Makes this AWS ready for a run: the file systems are up.

        Args:
            account: Its API.
            command: What the user typed, for messages.
        """

    @abstractmethod
    def prepare_run(self, account: Account, command: str, name: str, run_input: RunInput) -> None:
        """Makes this AWS ready for a run whose name is free, and whose inputs exist and can be read.

        Args:
            account: Its API.
            command: What the user typed, for messages.
            name: The run's name.
            run_input: Its input; the aligner and the resources may not be chosen yet.

        Raises:
            WrongUsageError: Results of another run have this name.
            MissingInputError: A file does not exist, or cannot be read; several errors as one.
            BadDataError: Two names of the sheet are one file.
        """

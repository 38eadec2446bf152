"""What a run in the embedded AWS needs: images built, stacks deployed, job definitions registered."""

from toolchain import registration, settings
from toolchain.aws import Account, doing
from toolchain.builds import Workshop, build
from toolchain.console import note
from toolchain.errors import ConfigurationError
from toolchain.paths import Checkout
from toolchain.stacks.deploying import Deployer
from toolchain.stacks.progress import quiet

# Before job definitions are registered, and after: a definition names a role, and the workflow names definitions.
BEFORE = ("registry", "network", "storage", "compute")
AFTER = ("workflow",)


def prepare(
    checkout: Checkout, account: Account, command: str = "python build.py run SAMPLES.csv --reference NAME"
) -> None:
    """Makes everything ready that is not; what is there already is left as it is.

    Args:
        checkout: As it deals with the embedded AWS.
        account: The embedded AWS.
        command: What the user typed, to be typed again.
    """
    workshop = Workshop.open(checkout)
    build(workshop, tuple(workshop.catalog.tools.values()))
    for bucket in _sources(checkout):
        with doing(f"making bucket {bucket}"):
            account.s3().create_bucket(Bucket=bucket)
    deployer = Deployer(checkout=checkout, account=account, command=command, show=quiet)
    deployed = list(deployer.deploy(BEFORE, lambda _: None))
    registration.run(checkout, account, (), lambda _: None)
    deployed += deployer.deploy(AFTER, lambda _: None)
    if new := [one.stack.name for one in deployed if one.result != "unchanged"]:
        note(f"deployed {', '.join(new)}")


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

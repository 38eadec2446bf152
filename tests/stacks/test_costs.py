"""What stands costs by the hour, by the prices of genomics.toml, and commands say so."""

import pytest
from support.scripted_project import SETTINGS, Project

from toolchain import settings
from toolchain.paths import HERE
from toolchain.settings import Settings
from toolchain.stacks import costs, layout

COMPUTED = {"Project": "genomics", "Workflow": "germline", "Images": "bwa,samtools", "SessionManagerEndpoint": "false"}
LAYOUT = layout.load(HERE, "genomics")


def lines(**stacks: dict[str, object]) -> list[str]:
    """What is said, with these parameters of stacks beside the two paths."""
    own = settings.load(HERE.settings)
    merged = {name: {**own.stacks.get(name, {}), **stacks.get(name, {})} for name in {*own.stacks, *stacks}}
    changed = Settings.model_validate({**own.model_dump(exclude={"stacks"}), "stack": merged})
    return list(costs.lines(LAYOUT.stacks, changed, COMPUTED))


def test_the_default_is_three_of_the_smallest_file_systems_and_the_endpoints_that_hosts_need() -> None:
    always, up, saved, source = lines()
    assert always.startswith(
        "always: 0.08 USD an hour, 59 a month (8 x interface endpoint, 1 x KMS key); buckets, logs"
    )
    assert up == "while the file systems are up: 0.69 USD an hour, 504 a month (3 x file system of 1200 GiB)"
    assert saved.endswith('(FileSystems = "one") would save 0.46 USD an hour')
    assert source == "by the prices of us-east-1, 2025, in genomics.toml"


@pytest.mark.parametrize(
    ("stacks", "text"),
    [
        ({"network": {"Egress": "nat"}}, "always: 0.05 USD an hour, 38 a month (1 x NAT gateway with its address, 1 x"),
        ({"network": {"ExistingVpcId": "vpc-01234567", "ExistingSubnetId": "subnet-01234567"}}, "(1 x KMS key)"),
        ({"storage": {"FileSystems": "one"}}, "are up: 0.23 USD an hour, 168 a month (1 x file system of 1200 GiB)"),
        ({"storage": {"DeploymentType": "PERSISTENT_2", "PerUnitStorageThroughput": 1000}}, "are up: 2.96 USD an hour"),
    ],
)
def test_parameters_count(stacks: dict[str, dict[str, object]], text: str) -> None:
    assert text in " ".join(lines(**stacks))


def test_without_prices_nothing_is_said() -> None:
    unpriced = Settings(project="genomics", workflow="germline")
    assert list(costs.lines(LAYOUT.stacks, unpriced, COMPUTED)) == []


def test_destroy_says_what_the_stacks_that_stay_cost(deployed: Project) -> None:
    text = (HERE.stacks / "network.yaml").read_text(encoding="utf-8")
    deployed.write_template("network", text)
    prices = HERE.settings.read_text(encoding="utf-8").partition("[prices]")[2]
    deployed.settings(f"{SETTINGS}[prices]{prices}")
    assert "stays: stack genomics-network, at 0.08 USD an hour, 58 a month (8 x interface endpoint)" in (
        deployed.destroyer().plan(("storage",)).lines()
    )
    deployed.settings("")
    assert "stays: stack genomics-network" in deployed.destroyer().plan(("storage",)).lines()


def test_a_price_that_is_missing_is_named() -> None:
    text = " ".join(lines(storage={"DeploymentType": "PERSISTENT_2", "PerUnitStorageThroughput": 125}))
    assert "whose price" not in text
    own = settings.load(HERE.settings)
    assert own.prices is not None
    bare = own.model_copy(update={"prices": own.prices.model_copy(update={"lustre_gib_month": {}})})
    assert "whose price (SCRATCH_2) is not in genomics.toml" in " ".join(costs.lines(LAYOUT.stacks, bare, COMPUTED))

"""What stock moto's FSx and S3 lack: why others are in their place."""

from typing import Any

import pytest
from botocore.exceptions import ClientError
from support.stock_server import Stock

SUBNET = "subnet-0123456789abcdef0"


def test_a_file_system_has_no_life_cycle_and_no_name_to_mount(stock: Stock) -> None:
    made = stock.client("fsx").create_file_system(
        FileSystemType="LUSTRE",
        StorageCapacity=1200,
        SubnetIds=[SUBNET],
        LustreConfiguration={"DeploymentType": "SCRATCH_2"},
    )["FileSystem"]
    assert "Lifecycle" not in made
    assert "MountName" not in made["LustreConfiguration"]


@pytest.mark.parametrize(
    ("operation", "arguments"),
    [
        (
            "create_data_repository_association",
            {"FileSystemId": "fs-0123456789abcdef0", "FileSystemPath": "/a", "DataRepositoryPath": "s3://b/c"},
        ),
        (
            "create_data_repository_task",
            {
                "FileSystemId": "fs-0123456789abcdef0",
                "Type": "EXPORT_TO_REPOSITORY",
                "Report": {"Enabled": False},
            },
        ),
    ],
)
def test_there_are_no_links_to_s3_and_no_tasks(stock: Stock, operation: str, arguments: dict[str, Any]) -> None:
    with pytest.raises(ClientError, match="500"):
        getattr(stock.client("fsx"), operation)(**arguments)


def test_a_capacity_that_does_not_exist_is_taken(stock: Stock) -> None:
    made = stock.client("fsx").create_file_system(FileSystemType="LUSTRE", StorageCapacity=1, SubnetIds=[SUBNET])
    assert made["FileSystem"]["StorageCapacity"] == 1


def test_objects_are_no_files_by_their_keys() -> None:
    """What is kept is a temporary file without a name, or memory."""
    from moto.s3.models import FakeKey

    key = FakeKey("a/b", b"x" * 10_000_000, "123456789012", "us-east-1")
    try:
        assert isinstance(key._value_buffer.name, int | type(None))  # noqa: SLF001  # it is all there is to look at
    finally:
        key.dispose()

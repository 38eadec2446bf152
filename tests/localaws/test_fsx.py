"""FSx for Lustre: file systems that are directories, linked to directories that are buckets."""

import os
import threading
import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from support.embedded_services import Embedded

from toolchain.localaws.fsx.tree import Tree

LARGE = 16 * 1024 * 1024
ALL_EVENTS = {"AutoImportPolicy": {"Events": ["NEW", "CHANGED", "DELETED"]}}
REPORT = {"Enabled": True, "Format": "REPORT_CSV_20191124", "Scope": "FAILED_FILES_ONLY"}


def refused(code: str, message: str = "") -> Any:
    return pytest.raises(ClientError, match=rf"\({code}\).*{message}")


@dataclass(frozen=True)
class Lustre:
    """FSx, and one file system, as its user drives it."""

    embedded: Embedded

    def create(self, mount: str = "x", **members: Any) -> Any:
        request = {
            "FileSystemType": "LUSTRE",
            "StorageCapacity": 1200,
            "SubnetIds": ["subnet-0123456789abcdef0"],
            "Tags": [{"Key": "scratch-mount", "Value": mount}],
            "LustreConfiguration": {"DeploymentType": "SCRATCH_2"},
            **members,
        }
        return self.fsx.create_file_system(**request)["FileSystem"]

    @property
    def fsx(self) -> Any:
        return self.embedded.client("fsx")

    @cached_property
    def id(self) -> str:
        return str(self.create()["FileSystemId"])

    @property
    def root(self) -> Path:
        return self.embedded.config.root / "lustre" / self.id

    def associate(self, path: str, url: str, **members: Any) -> Any:
        request = {"FileSystemId": self.id, "FileSystemPath": path, "DataRepositoryPath": url, **members}
        return self.fsx.create_data_repository_association(**request)["Association"]

    def start(self, *paths: str, **members: Any) -> Any:
        task = {"Type": "EXPORT_TO_REPOSITORY", "Paths": list(paths), "Report": {"Enabled": False}}
        return self.fsx.create_data_repository_task(**{"FileSystemId": self.id, **task, **members})[
            "DataRepositoryTask"
        ]

    def ended(self, task: Any) -> Any:
        end = time.monotonic() + 30
        while time.monotonic() < end:
            [task] = self.fsx.describe_data_repository_tasks(TaskIds=[task["TaskId"]])["DataRepositoryTasks"]
            if task["Lifecycle"] in {"SUCCEEDED", "FAILED", "CANCELED"}:
                return task
            time.sleep(0.01)
        raise AssertionError(task)

    def export(self, *paths: str, **members: Any) -> Any:
        return self.ended(self.start(*paths, **members))

    def counts(self, *paths: str, **members: Any) -> tuple[int, int, int]:
        """How many files an export takes, exports and fails to export."""
        status = self.export(*paths, **members)["Status"]
        return status["TotalCount"], status["SucceededCount"], status["FailedCount"]


@pytest.fixture
def lustre(embedded: Embedded) -> Lustre:
    return Lustre(embedded)


@pytest.fixture
def bucket(embedded: Embedded) -> Path:
    return embedded.config.buckets / embedded.bucket()


@pytest.fixture
def linked(lustre: Lustre, bucket: Path) -> Lustre:
    """One whose root exports to the bucket's `out`."""
    lustre.associate("/", f"s3://{bucket.name}/out")
    return lustre


# ---- file systems ---------------------------------------------------------------------------------------------------


def test_a_file_system_has_a_mount_name_an_address_and_tags(lustre: Lustre) -> None:
    fsx, made = lustre.fsx, lustre.create(Tags=[{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "2"}])
    file_system_id, arn, changed = made["FileSystemId"], made["ResourceARN"], {"WeeklyMaintenanceStartTime": "1:01:00"}
    fsx.update_file_system(FileSystemId=file_system_id, LustreConfiguration=changed)
    fsx.update_file_system(FileSystemId=file_system_id, StorageCapacity=2400)
    fsx.tag_resource(ResourceARN=arn, Tags=[{"Key": "b", "Value": "3"}, {"Key": "c", "Value": "4"}])
    fsx.untag_resource(ResourceARN=arn, TagKeys=["a"])
    [described] = fsx.describe_file_systems(FileSystemIds=[file_system_id])["FileSystems"]
    assert (made["Lifecycle"], described["Lifecycle"]) == ("CREATING", "AVAILABLE")
    assert (made["StorageCapacity"], described["StorageCapacity"]) == (1200, 2400)
    assert described["DNSName"] == f"{file_system_id}.fsx.us-east-1.amazonaws.com"
    assert described["LustreConfiguration"] == {**made["LustreConfiguration"], **changed}
    assert len(described["LustreConfiguration"]["MountName"]) == 8
    assert {tag["Key"]: tag["Value"] for tag in described["Tags"]} == {"b": "3", "c": "4"}
    assert described["Tags"] == fsx.list_tags_for_resource(ResourceARN=arn)["Tags"]
    with refused("ResourceNotFound"):
        fsx.list_tags_for_resource(ResourceARN=f"{arn}0")
    oldest = lustre.create(LustreConfiguration={"DeploymentType": "SCRATCH_1"})
    assert oldest["LustreConfiguration"]["MountName"] == "fsx"


@pytest.mark.parametrize("mount", ["/scratch/working", "/scratch"])
def test_its_tag_says_which_directory_it_is_and_a_replaced_one_leaves_it_to_its_successor(
    lustre: Lustre, mount: str
) -> None:
    old, new = (lustre.create(mount)["FileSystemId"] for _ in range(2))
    directory = lustre.embedded.config.root / mount.removeprefix("/")
    (directory / "file").touch()
    lustre.fsx.delete_file_system(FileSystemId=old)
    assert (directory / "file").exists()
    lustre.fsx.delete_file_system(FileSystemId=new)
    assert not directory.exists()
    lustre.embedded.config.scratch.mkdir(exist_ok=True)
    with refused("FileSystemNotFound"):
        lustre.fsx.describe_file_systems(FileSystemIds=[new])


def test_what_cannot_be_emulated_is_refused(lustre: Lustre) -> None:
    (lustre.embedded.config.scratch / "taken").touch()
    imported = {"LustreConfiguration": {"DeploymentType": "SCRATCH_2", "ImportPath": "s3://no-such-bucket"}}
    for create, members, code, message in (
        (lustre.create, {"FileSystemType": "WINDOWS"}, "BadRequest", "LUSTRE only"),
        (lustre.create, {"mount": "/scratch/taken"}, "BadRequest", "cannot be made"),
        (lustre.create, imported, "InvalidImportPath", "does not exist"),
        (lustre.start, {"Type": "RELEASE_DATA_FROM_FILESYSTEM"}, "BadRequest", "RELEASE_DATA"),
        (lustre.start, {"FileSystemId": "fs-0123456789abcdef0"}, "FileSystemNotFound", "does not exist"),
        (lustre.start, {}, "UnsupportedOperation", "not linked"),
    ):
        with refused(code, message):
            create(**members)


# ---- data repository associations -----------------------------------------------------------------------------------


def test_an_association_imports_what_is_beneath_its_prefix_if_asked_to(lustre: Lustre, bucket: Path) -> None:
    fsx = lustre.fsx
    for key, size in (("ref/hg38/a.fa", 4), ("ref/large", LARGE), ("reform/b", 0)):
        (bucket / key).parent.mkdir(parents=True, exist_ok=True)
        (bucket / key).write_bytes(b"x" * size)
    made = lustre.associate("/reference", f"s3://{bucket.name}/ref", BatchImportMetaDataOnCreate=True)
    other = lustre.associate("/data", f"s3://{bucket.name}/reform")
    files = [file for file in sorted(lustre.root.rglob("*")) if file.is_file()]
    assert [str(file.relative_to(lustre.root)) for file in files] == ["reference/hg38/a.fa", "reference/large"]
    assert [file.stat().st_size for file in files] == [4, LARGE]
    filters = [{"Name": "file-system-id", "Values": [lustre.id]}]
    described = fsx.describe_data_repository_associations(Filters=filters)["Associations"]
    assert [association["FileSystemPath"] for association in described] == ["/reference", "/data"]
    assert (made["Lifecycle"], described[0]["Lifecycle"]) == ("CREATING", "AVAILABLE")
    fsx.delete_data_repository_association(AssociationId=made["AssociationId"])
    assert all(file.is_file() for file in files)
    fsx.delete_file_system(FileSystemId=lustre.id)
    for association in (made, other):
        with refused("DataRepositoryAssociationNotFound"):
            fsx.describe_data_repository_associations(AssociationIds=[association["AssociationId"]])


def test_an_import_path_keeps_whole_keys(lustre: Lustre, bucket: Path) -> None:
    (bucket / "ref").mkdir()
    (bucket / "ref" / "a.fa").write_bytes(b"acgt")
    url = f"s3://{bucket.name}/ref"
    made = lustre.create(LustreConfiguration={"DeploymentType": "SCRATCH_2", "ImportPath": url})
    root = lustre.embedded.config.root / "lustre" / made["FileSystemId"]
    assert (root / "ref" / "a.fa").read_bytes() == b"acgt"
    assert made["LustreConfiguration"]["DataRepositoryConfiguration"]["ImportPath"] == url


def test_associations_do_not_overlap(lustre: Lustre, bucket: Path) -> None:
    url = f"s3://{bucket.name}"
    lustre.associate("/a/b", url)
    wrong = [("a", url, "one slash"), ("/c", "s3://nowhere/0", "does not exist")]
    for path, place, message in (*wrong, *((path, url, "overlaps") for path in ("/a", "/a/b/c", "/", "/a/b"))):
        with refused("BadRequest", message):
            lustre.associate(path, place)


def test_files_follow_their_objects_where_events_say_so_until_they_are_changed(lustre: Lustre, bucket: Path) -> None:
    s3, file = lustre.embedded.client("s3"), lustre.root / "in" / "a"
    association = lustre.associate("/in", f"s3://{bucket.name}/in")["AssociationId"]
    s3.put_object(Bucket=bucket.name, Key="in/a", Body=b"0")
    assert not file.exists()
    changed = lustre.fsx.update_data_repository_association(AssociationId=association, S3=ALL_EVENTS)
    assert changed["Association"]["S3"] == ALL_EVENTS
    for content in (b"1", b"22"):
        s3.put_object(Bucket=bucket.name, Key="in/a", Body=content)
        assert file.read_bytes() == content
    s3.put_object(Bucket=bucket.name, Key="in/folder/", Body=b"")
    s3.delete_object(Bucket=bucket.name, Key="in/a")
    assert not file.exists()
    file.write_bytes(b"made here")
    s3.put_object(Bucket=bucket.name, Key="in/a", Body=b"3")
    s3.delete_object(Bucket=bucket.name, Key="in/a")
    assert file.read_bytes() == b"made here"


# ---- data repository tasks ------------------------------------------------------------------------------------------


def test_an_export_copies_what_changed_and_counts_it(linked: Lustre, bucket: Path) -> None:
    run, exported = linked.root / "wf" / "run", bucket / "out" / "wf" / "run"
    run.mkdir(parents=True)
    (run / "small").write_bytes(b"small")
    (run / "large").write_bytes(os.urandom(LARGE))
    (linked.root / "other").write_bytes(b"not asked for")
    task = linked.export("wf/run")
    assert (task["Lifecycle"], task["Status"]["SucceededCount"]) == ("SUCCEEDED", 2)
    assert task["CreationTime"] <= task["StartTime"] <= task["EndTime"]
    assert (exported / "large").read_bytes() == (run / "large").read_bytes()
    files = [str(file.relative_to(bucket)) for file in sorted(bucket.rglob("*")) if file.is_file()]
    assert files == ["out/wf/run/large", "out/wf/run/small"]

    assert linked.counts("wf/run") == (0, 0, 0)
    with (run / "small").open("ab") as log:
        log.write(b", and more")
    assert (exported / "small").read_bytes() == b"small"
    assert linked.counts("wf/run/small") == (1, 1, 0)
    assert (exported / "small").read_bytes() == b"small, and more"
    assert linked.counts() == (1, 1, 0)  # the other


def test_files_that_cannot_be_exported_are_listed_in_the_report(linked: Lustre, bucket: Path) -> None:
    long = linked.root.joinpath("run", *["d" * 200] * 5)
    long.mkdir(parents=True)
    (bucket / "out" / "run" / "folder").mkdir(parents=True)
    for file in (long / ("f" * 100), linked.root / "run" / "folder", linked.root / "run" / "good"):
        file.write_bytes(b"x")
    task = linked.export("run", Report={**REPORT, "Path": f"s3://{bucket.name}/out/reports"})
    assert (task["Lifecycle"], task["Status"]["SucceededCount"]) == ("FAILED", 1)
    assert task["FailureDetails"]["Message"] == "2 of 3 files failed"
    lines = (bucket / "out" / "reports" / task["TaskId"] / "failures.csv").read_text(encoding="utf-8").splitlines()
    failed = [line.rpartition("/")[2] for line in lines]
    assert failed == [f"{'f' * 100},failed,PathSizeTooLong", "folder,failed,ResourceBusy"]
    with refused("BadRequest", "not within"):
        linked.start("run", Report={**REPORT, "Path": f"s3://{bucket.name}/elsewhere"})


def test_a_bucket_that_is_gone_is_the_file_s_failure(linked: Lustre, bucket: Path) -> None:
    (linked.root / "a").touch()
    bucket.rmdir()
    assert linked.counts() == (1, 0, 1)


def test_the_same_request_is_done_once_and_another_with_its_token_is_refused(linked: Lustre) -> None:
    first, again = (linked.export("/", ClientRequestToken="token-1") for _ in range(2))
    assert first["TaskId"] == again["TaskId"]
    with refused("IncompatibleParameterError"):
        linked.start("b", ClientRequestToken="token-1")


def test_a_file_system_has_one_task_at_a_time_which_can_be_cancelled_and_is_not_deleted_meanwhile(
    linked: Lustre, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The export waits in its first file until it is told to go on."""
    go, export_file, fsx = threading.Event(), Tree.export, linked.fsx
    for name in ("a", "b"):
        (linked.root / name).touch()

    def wait(self: Tree, *args: Any) -> str | None:
        assert go.wait(30)
        return export_file(self, *args)

    monkeypatch.setattr(Tree, "export", wait)
    task = linked.start()
    try:
        assert task["Lifecycle"] in {"PENDING", "EXECUTING"}
        with refused("DataRepositoryTaskExecuting"):
            linked.start()
        with refused("BadRequest", "pending or executing"):
            fsx.delete_file_system(FileSystemId=linked.id)
        assert fsx.cancel_data_repository_task(TaskId=task["TaskId"])["Lifecycle"] == "CANCELING"
    finally:
        go.set()
    task = linked.ended(task)
    assert (task["Lifecycle"], task["Status"]["SucceededCount"]) == ("CANCELED", 1)
    with refused("DataRepositoryTaskEnded"):
        fsx.cancel_data_repository_task(TaskId=task["TaskId"])


def test_tasks_are_described_by_file_system_and_life_cycle_a_page_at_a_time(linked: Lustre) -> None:
    tasks, describe = [linked.export()["TaskId"] for _ in range(3)], linked.fsx.describe_data_repository_tasks
    filters = [{"Name": "file-system-id", "Values": [linked.id]}]
    first = describe(Filters=filters, MaxResults=2)
    rest = describe(Filters=filters, MaxResults=2, NextToken=first["NextToken"])
    pages = [[task["TaskId"] for task in page["DataRepositoryTasks"]] for page in (first, rest)]
    assert (pages, "NextToken" in rest) == ([tasks[:2], tasks[2:]], False)
    filters.append({"Name": "task-lifecycle", "Values": ["EXECUTING"]})
    assert describe(Filters=filters)["DataRepositoryTasks"] == []
    for code, parameters in (
        ("DataRepositoryTaskNotFound", {"TaskIds": ["task-0123456789abcdef0"]}),
        ("BadRequest", {"NextToken": "x"}),
    ):
        with refused(code):
            describe(**parameters)


def test_an_import_task_brings_what_is_new_and_exports_leave_it_until_it_changes(lustre: Lustre, bucket: Path) -> None:
    lustre.associate("/", f"s3://{bucket.name}")
    (bucket / "a").write_bytes(b"put there by hand")
    (bucket / "b").touch()
    (lustre.root / "b").write_bytes(b"made here")
    assert lustre.counts(Type="IMPORT_METADATA_FROM_REPOSITORY") == (1, 1, 0)
    assert (lustre.root / "a").read_bytes() == b"put there by hand"
    assert (lustre.root / "b").read_bytes() == b"made here"
    assert lustre.counts("a") == (0, 0, 0)
    (lustre.root / "a").write_bytes(b"another")
    assert lustre.counts("a") == (1, 1, 0)

"""FSx for Lustre: file systems that are directories, linked to directories that are buckets."""

import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from support.embedded_services import Embedded

from toolchain.localaws.fsx.tree import Tree

LARGE = 16 * 1024 * 1024
NO_REPORT = {"Enabled": False}
ALL_EVENTS = {"AutoImportPolicy": {"Events": ["NEW", "CHANGED", "DELETED"]}}


@pytest.fixture(scope="module")
def fsx(embedded: Embedded) -> Any:
    return embedded.client("fsx")


@pytest.fixture(scope="module")
def s3(embedded: Embedded) -> Any:
    return embedded.client("s3")


def lustre(fsx: Any, *, mount: str | None = None, **members: Any) -> Any:
    request = {
        "FileSystemType": "LUSTRE",
        "FileSystemTypeVersion": "2.15",
        "StorageCapacity": 1200,
        "SubnetIds": ["subnet-0123456789abcdef0"],
        "Tags": [{"Key": "scratch-mount" if mount else "other", "Value": mount or "x"}],
        "LustreConfiguration": {"DeploymentType": "SCRATCH_2"},
        **members,
    }
    return fsx.create_file_system(**request)["FileSystem"]


def root(embedded: Embedded, file_system: Any) -> Path:
    return embedded.config.root / "lustre" / str(file_system["FileSystemId"])


def associate(fsx: Any, file_system: Any, path: str, url: str, **members: Any) -> Any:
    return fsx.create_data_repository_association(
        FileSystemId=file_system["FileSystemId"], FileSystemPath=path, DataRepositoryPath=url, **members
    )["Association"]


def start(fsx: Any, file_system: Any, *paths: str, **members: Any) -> Any:
    request = {"Type": "EXPORT_TO_REPOSITORY", "Paths": list(paths), "Report": NO_REPORT, **members}
    return fsx.create_data_repository_task(FileSystemId=file_system["FileSystemId"], **request)["DataRepositoryTask"]


def ended(fsx: Any, task: Any) -> Any:
    end = time.monotonic() + 30
    while time.monotonic() < end:
        [task] = fsx.describe_data_repository_tasks(TaskIds=[task["TaskId"]])["DataRepositoryTasks"]
        if task["Lifecycle"] in {"SUCCEEDED", "FAILED", "CANCELED"}:
            return task
        time.sleep(0.01)
    raise AssertionError(task)


def export(fsx: Any, file_system: Any, *paths: str, **members: Any) -> Any:
    return ended(fsx, start(fsx, file_system, *paths, **members))


def counts(task: Any) -> tuple[int, int, int]:
    status = task["Status"]
    return status["TotalCount"], status["SucceededCount"], status["FailedCount"]


@pytest.fixture
def linked(fsx: Any, embedded: Embedded) -> tuple[Any, str]:
    """A file system whose root exports to a bucket's `out`."""
    file_system, bucket = lustre(fsx), embedded.bucket()
    associate(fsx, file_system, "/", f"s3://{bucket}/out")
    return file_system, bucket


def refused(code: str, message: str = "") -> Any:
    return pytest.raises(ClientError, match=rf"\({code}\).*{message}")


# ---- file systems ---------------------------------------------------------------------------------------------------


def test_a_file_system_has_a_mount_name_an_address_and_tags(fsx: Any) -> None:
    made = lustre(fsx, Tags=[{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "2"}])
    assert made["Lifecycle"] == "CREATING"
    file_system_id, arn = made["FileSystemId"], made["ResourceARN"]
    capacity, time_ = {"StorageCapacity": 2400}, {"WeeklyMaintenanceStartTime": "1:01:00"}
    fsx.update_file_system(FileSystemId=file_system_id, LustreConfiguration=time_)
    fsx.update_file_system(FileSystemId=file_system_id, **capacity)
    fsx.tag_resource(ResourceARN=arn, Tags=[{"Key": "b", "Value": "3"}, {"Key": "c", "Value": "4"}])
    fsx.untag_resource(ResourceARN=arn, TagKeys=["a"])
    [described] = fsx.describe_file_systems(FileSystemIds=[file_system_id])["FileSystems"]
    assert described["Lifecycle"] == "AVAILABLE"
    assert described["DNSName"] == f"{file_system_id}.fsx.us-east-1.amazonaws.com"
    assert described["StorageCapacity"] == 2400
    configuration = described["LustreConfiguration"]
    assert len(configuration["MountName"]) == 8
    assert {**configuration, **time_, "DeploymentType": "SCRATCH_2"} == configuration
    tags = [{"Key": "b", "Value": "3"}, {"Key": "c", "Value": "4"}]
    assert described["Tags"] == fsx.list_tags_for_resource(ResourceARN=arn)["Tags"] == tags
    with refused("ResourceNotFound"):
        fsx.list_tags_for_resource(ResourceARN=f"{arn}0")
    oldest = lustre(fsx, LustreConfiguration={"DeploymentType": "SCRATCH_1"})
    assert oldest["LustreConfiguration"]["MountName"] == "fsx"


@pytest.mark.parametrize(
    ("mount", "path"), [("/scratch/working", "working"), ("/scratch", "."), ("/scratch/../../etc", None), (None, None)]
)
def test_its_tag_says_which_directory_it_is(fsx: Any, embedded: Embedded, mount: str | None, path: str | None) -> None:
    file_system = lustre(fsx, mount=mount)
    directory = root(embedded, file_system) if path is None else embedded.config.scratch / path
    (directory / "file").touch()
    fsx.delete_file_system(FileSystemId=file_system["FileSystemId"])
    assert not directory.exists()
    embedded.config.scratch.mkdir(exist_ok=True)
    with refused("FileSystemNotFound"):
        fsx.describe_file_systems(FileSystemIds=[file_system["FileSystemId"]])


def test_a_file_system_that_was_replaced_leaves_the_directory_to_its_successor(fsx: Any, embedded: Embedded) -> None:
    old, new = (lustre(fsx, mount="/scratch/data") for _ in range(2))
    fsx.delete_file_system(FileSystemId=old["FileSystemId"])
    assert (embedded.config.scratch / "data").is_dir()
    fsx.delete_file_system(FileSystemId=new["FileSystemId"])


def test_what_cannot_be_emulated_is_refused(fsx: Any, embedded: Embedded) -> None:
    with refused("BadRequest", "LUSTRE only"):
        lustre(fsx, FileSystemType="WINDOWS")
    imported = {"DeploymentType": "SCRATCH_2", "ImportPath": "s3://no-such-bucket"}
    with refused("InvalidImportPath", "does not exist"):
        lustre(fsx, LustreConfiguration=imported)
    (embedded.config.scratch / "taken").touch()
    with refused("BadRequest", "cannot be made"):
        lustre(fsx, mount="/scratch/taken")
    with refused("BadRequest", "NextToken"):
        fsx.describe_file_systems(NextToken="x")


# ---- data repository associations -----------------------------------------------------------------------------------


def test_an_association_imports_what_is_beneath_its_prefix_if_asked_to(fsx: Any, s3: Any, embedded: Embedded) -> None:
    file_system, bucket = lustre(fsx), embedded.bucket()
    s3.put_object(Bucket=bucket, Key="ref/hg38/a.fa", Body=b"acgt")
    s3.put_object(Bucket=bucket, Key="reform/b", Body=b"")
    (embedded.config.buckets / bucket / "ref" / "large").write_bytes(b"x" * LARGE)
    made = associate(fsx, file_system, "/reference", f"s3://{bucket}/ref", BatchImportMetaDataOnCreate=True)
    reference = root(embedded, file_system) / "reference"
    assert (reference / "hg38" / "a.fa").read_bytes() == b"acgt"
    assert sorted(file.name for file in reference.iterdir()) == ["hg38", "large"]
    other = associate(fsx, file_system, "/data", f"s3://{bucket}/reform")
    assert list((root(embedded, file_system) / "data").iterdir()) == []
    assert (made["Lifecycle"], other["Lifecycle"]) == ("CREATING", "CREATING")
    filters = [{"Name": "file-system-id", "Values": [file_system["FileSystemId"]]}]
    described = fsx.describe_data_repository_associations(Filters=filters)["Associations"]
    assert [association["FileSystemPath"] for association in described] == ["/reference", "/data"]
    assert {association["Lifecycle"] for association in described} == {"AVAILABLE"}
    fsx.delete_data_repository_association(AssociationId=made["AssociationId"])
    assert reference.is_dir()
    fsx.delete_file_system(FileSystemId=file_system["FileSystemId"])
    for association in (made, other):
        with refused("DataRepositoryAssociationNotFound"):
            fsx.describe_data_repository_associations(AssociationIds=[association["AssociationId"]])


def test_an_import_path_keeps_whole_keys(fsx: Any, s3: Any, embedded: Embedded) -> None:
    bucket = embedded.bucket()
    s3.put_object(Bucket=bucket, Key="ref/hg38/a.fa", Body=b"acgt")
    url = f"s3://{bucket}/ref"
    made = lustre(fsx, LustreConfiguration={"DeploymentType": "SCRATCH_2", "ImportPath": url})
    assert (root(embedded, made) / "ref" / "hg38" / "a.fa").read_bytes() == b"acgt"
    assert made["LustreConfiguration"]["DataRepositoryConfiguration"]["ImportPath"] == url


def test_associations_do_not_overlap(fsx: Any, embedded: Embedded) -> None:
    file_system, bucket = lustre(fsx), embedded.bucket()
    for path, url, message in (("a", f"s3://{bucket}", "slash"), ("/a", "s3://nowhere/0", "does not exist")):
        with refused("BadRequest", message):
            associate(fsx, file_system, path, url)
    associate(fsx, file_system, "/a/b", f"s3://{bucket}/0")
    for path in ("/a", "/a/b/c", "/", "/a/b"):
        with refused("BadRequest", "overlap"):
            associate(fsx, file_system, path, f"s3://{bucket}/other")


def test_files_follow_their_objects_where_events_say_so_until_they_are_changed(
    fsx: Any, s3: Any, embedded: Embedded
) -> None:
    file_system, bucket = lustre(fsx), embedded.bucket()
    association = associate(fsx, file_system, "/in", f"s3://{bucket}/in")
    file = root(embedded, file_system) / "in" / "a"
    s3.put_object(Bucket=bucket, Key="in/a", Body=b"0")
    assert not file.exists()
    changed = fsx.update_data_repository_association(AssociationId=association["AssociationId"], S3=ALL_EVENTS)
    assert changed["Association"]["S3"] == ALL_EVENTS
    for content in (b"1", b"22"):
        s3.put_object(Bucket=bucket, Key="in/a", Body=content)
        assert file.read_bytes() == content
    s3.put_object(Bucket=bucket, Key="in/folder/", Body=b"")
    s3.delete_object(Bucket=bucket, Key="in/a")
    assert not file.exists()
    file.write_bytes(b"made here")
    s3.put_object(Bucket=bucket, Key="in/a", Body=b"3")
    s3.delete_object(Bucket=bucket, Key="in/a")
    assert file.read_bytes() == b"made here"


# ---- data repository tasks ------------------------------------------------------------------------------------------


def test_an_export_copies_what_changed_and_counts_it(
    fsx: Any, s3: Any, embedded: Embedded, linked: tuple[Any, str]
) -> None:
    file_system, bucket = linked
    run = root(embedded, file_system) / "wf" / "run"
    run.mkdir(parents=True)
    (run / "small").write_bytes(b"small")
    (run / "large").write_bytes(os.urandom(LARGE))
    (root(embedded, file_system) / "other").write_bytes(b"not asked for")

    task = export(fsx, file_system, "wf/run")
    assert (task["Lifecycle"], counts(task)) == ("SUCCEEDED", (2, 2, 0))
    assert task["CreationTime"] <= task["StartTime"] <= task["EndTime"]
    exported = embedded.config.buckets / bucket / "out" / "wf" / "run"
    assert (exported / "large").read_bytes() == (run / "large").read_bytes()
    keys = [entry["Key"] for entry in s3.list_objects_v2(Bucket=bucket)["Contents"]]
    assert keys == ["out/wf/run/large", "out/wf/run/small"]

    assert counts(export(fsx, file_system, "wf/run")) == (0, 0, 0)
    with (run / "small").open("ab") as log:
        log.write(b", and more")
    assert (exported / "small").read_bytes() == b"small"
    assert counts(export(fsx, file_system, "wf/run/small")) == (1, 1, 0)
    assert (exported / "small").read_bytes() == b"small, and more"
    assert counts(export(fsx, file_system)) == (1, 1, 0)  # the other


@pytest.mark.parametrize("path", ["nowhere", "../../etc"])
def test_a_path_that_is_not_there_fails_the_task(fsx: Any, linked: tuple[Any, str], path: str) -> None:
    task = export(fsx, linked[0], path)
    assert task["Lifecycle"] == "FAILED"
    assert "is not valid" in task["FailureDetails"]["Message"]


def test_files_that_cannot_be_exported_are_listed_in_the_report(
    fsx: Any, s3: Any, embedded: Embedded, linked: tuple[Any, str]
) -> None:
    file_system, bucket = linked
    run, exported = root(embedded, file_system) / "run", embedded.config.buckets / bucket / "out" / "run"
    long = run.joinpath(*["d" * 200] * 5)
    long.mkdir(parents=True)
    exported.joinpath("folder").mkdir(parents=True)
    for file in (long / ("f" * 100), run / "folder", run / "good"):
        file.write_bytes(b"x")
    report = {"Enabled": True, "Format": "REPORT_CSV_20191124", "Scope": "FAILED_FILES_ONLY"}
    task = export(fsx, file_system, "run", Report={**report, "Path": f"s3://{bucket}/out/reports"})
    assert (task["Lifecycle"], counts(task)) == ("FAILED", (3, 1, 2))
    assert task["FailureDetails"]["Message"] == "2 of 3 files failed"
    content = s3.get_object(Bucket=bucket, Key=f"out/reports/{task['TaskId']}/failures.csv")["Body"].read().decode()
    assert [line.rpartition("/")[2] for line in content.splitlines()] == [
        f"{'f' * 100},failed,PathSizeTooLong",
        "folder,failed,ResourceBusy",
    ]
    with refused("BadRequest", "not within"):
        start(fsx, file_system, "run", Report={**report, "Path": f"s3://{bucket}/elsewhere"})


def test_a_bucket_that_is_gone_is_the_file_s_failure(fsx: Any, embedded: Embedded, linked: tuple[Any, str]) -> None:
    file_system, bucket = linked
    (root(embedded, file_system) / "a").touch()
    (embedded.config.buckets / bucket).rmdir()
    assert counts(export(fsx, file_system)) == (1, 0, 1)


def test_the_same_request_is_done_once_and_another_with_its_token_is_refused(fsx: Any, linked: tuple[Any, str]) -> None:
    token = {"ClientRequestToken": "token-1"}
    first, again = (export(fsx, linked[0], "/", **token) for _ in range(2))
    assert first["TaskId"] == again["TaskId"]
    with refused("IncompatibleParameterError"):
        start(fsx, linked[0], "b", **token)


def test_a_task_needs_a_file_system_an_association_and_a_known_type(fsx: Any) -> None:
    with refused("FileSystemNotFound"):
        start(fsx, {"FileSystemId": "fs-0123456789abcdef0"})
    with refused("UnsupportedOperation", "not linked"):
        start(fsx, lustre(fsx))
    with refused("BadRequest", "RELEASE_DATA_FROM_FILESYSTEM"):
        start(fsx, lustre(fsx), Type="RELEASE_DATA_FROM_FILESYSTEM")


def test_a_file_system_has_one_task_at_a_time_which_can_be_cancelled_and_is_not_deleted_meanwhile(
    fsx: Any, embedded: Embedded, linked: tuple[Any, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The export waits in its first file until it is told to go on."""
    file_system, _ = linked
    for name in ("a", "b"):
        (root(embedded, file_system) / name).touch()
    go, export_file = threading.Event(), Tree.export

    def wait(self: Tree, *args: Any) -> str | None:
        assert go.wait(30)
        return export_file(self, *args)

    monkeypatch.setattr(Tree, "export", wait)
    task = start(fsx, file_system)
    try:
        assert task["Lifecycle"] in {"PENDING", "EXECUTING"}
        with refused("DataRepositoryTaskExecuting"):
            start(fsx, file_system)
        with refused("BadRequest", "pending or executing"):
            fsx.delete_file_system(FileSystemId=file_system["FileSystemId"])
        assert fsx.cancel_data_repository_task(TaskId=task["TaskId"])["Lifecycle"] == "CANCELING"
    finally:
        go.set()
    task = ended(fsx, task)
    assert (task["Lifecycle"], counts(task)) == ("CANCELED", (2, 1, 0))
    with refused("DataRepositoryTaskEnded"):
        fsx.cancel_data_repository_task(TaskId=task["TaskId"])


def test_tasks_are_described_by_file_system_and_life_cycle_a_page_at_a_time(fsx: Any, linked: tuple[Any, str]) -> None:
    made = [export(fsx, linked[0])["TaskId"] for _ in range(3)]
    filters = [{"Name": "file-system-id", "Values": [linked[0]["FileSystemId"]]}]
    first = fsx.describe_data_repository_tasks(Filters=filters, MaxResults=2)
    rest = fsx.describe_data_repository_tasks(Filters=filters, MaxResults=2, NextToken=first["NextToken"])
    pages = [[task["TaskId"] for task in page["DataRepositoryTasks"]] for page in (first, rest)]
    assert pages == [made[:2], made[2:]]
    assert "NextToken" not in rest
    filters.append({"Name": "task-lifecycle", "Values": ["EXECUTING"]})
    assert fsx.describe_data_repository_tasks(Filters=filters)["DataRepositoryTasks"] == []
    with refused("DataRepositoryTaskNotFound"):
        fsx.describe_data_repository_tasks(TaskIds=["task-0123456789abcdef0"])


def test_an_import_task_brings_what_is_new_and_exports_leave_it_until_it_changes(fsx: Any, embedded: Embedded) -> None:
    file_system, bucket = lustre(fsx), embedded.bucket()
    associate(fsx, file_system, "/", f"s3://{bucket}")
    for name in ("a", "b"):
        (embedded.config.buckets / bucket / name).write_bytes(b"put into the directory")
    (root(embedded, file_system) / "b").write_bytes(b"made here")
    kind = {"Type": "IMPORT_METADATA_FROM_REPOSITORY"}
    assert counts(export(fsx, file_system, **kind)) == (1, 1, 0)
    assert (root(embedded, file_system) / "a").read_bytes() == b"put into the directory"
    (root(embedded, file_system) / "b").unlink()
    assert counts(export(fsx, file_system)) == (0, 0, 0)
    (root(embedded, file_system) / "a").write_bytes(b"another")
    assert counts(export(fsx, file_system)) == (1, 1, 0)

"""FSx for Lustre: file systems that are directories, linked to directories that are buckets."""

import os
import time
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from support.embedded_services import Embedded

LARGE = 20 * 1024 * 1024
REPORT = {"Enabled": False}


def lustre(embedded: Embedded, *, mount: str | None = None, **more: Any) -> Any:
    tags = [{"Key": "scratch-mount" if mount else "other", "Value": mount or "x"}]
    asked = {
        "FileSystemType": "LUSTRE",
        "FileSystemTypeVersion": "2.15",
        "StorageCapacity": 1200,
        "SubnetIds": ["subnet-0123456789abcdef0"],
        "Tags": tags,
        "LustreConfiguration": {"DeploymentType": "SCRATCH_2"},
        **more,
    }
    return embedded.client("fsx").create_file_system(**asked)["FileSystem"]


def root(embedded: Embedded, system: Any) -> Path:
    return embedded.world.root / "lustre" / str(system["FileSystemId"])


def associate(embedded: Embedded, system: Any, path: str, place: str, **more: Any) -> Any:
    return embedded.client("fsx").create_data_repository_association(
        FileSystemId=system["FileSystemId"], FileSystemPath=path, DataRepositoryPath=place, **more
    )["Association"]


def ended(embedded: Embedded, task: Any) -> Any:
    end = time.monotonic() + 30
    while True:
        found = embedded.client("fsx").describe_data_repository_tasks(TaskIds=[task["TaskId"]])["DataRepositoryTasks"][
            0
        ]
        if found["Lifecycle"] in {"SUCCEEDED", "FAILED", "CANCELED"}:
            return found
        assert time.monotonic() < end
        time.sleep(0.01)


def export(embedded: Embedded, system: Any, *paths: str, report: Any = None, **more: Any) -> Any:
    task = embedded.client("fsx").create_data_repository_task(
        Type="EXPORT_TO_REPOSITORY",
        FileSystemId=system["FileSystemId"],
        Paths=list(paths),
        Report=report or REPORT,
        **more,
    )["DataRepositoryTask"]
    assert task["Lifecycle"] in {"PENDING", "EXECUTING"}
    return ended(embedded, task)


@pytest.fixture
def linked(embedded: Embedded) -> tuple[Any, str]:
    """A file system whose root exports to a bucket's `out`."""
    system, bucket = lustre(embedded), embedded.bucket()
    associate(embedded, system, "/", f"s3://{bucket}/out")
    return system, bucket


def refused(code: str, message: str = "") -> Any:
    return pytest.raises(ClientError, match=rf"\({code}\).*{message}")


# ---- file systems ---------------------------------------------------------------------------------------------------


def test_a_file_system_has_a_name_to_mount_and_an_address(embedded: Embedded) -> None:
    made = lustre(embedded)
    assert made["Lifecycle"] == "CREATING"
    [found] = embedded.client("fsx").describe_file_systems(FileSystemIds=[made["FileSystemId"]])["FileSystems"]
    assert found["Lifecycle"] == "AVAILABLE"
    assert found["DNSName"] == f"{found['FileSystemId']}.fsx.us-east-1.amazonaws.com"
    assert len(found["LustreConfiguration"]["MountName"]) == 8
    oldest = lustre(embedded, LustreConfiguration={"DeploymentType": "SCRATCH_1"})
    assert oldest["LustreConfiguration"]["MountName"] == "fsx"


@pytest.mark.parametrize(
    ("mount", "path"), [("/scratch/working", "working"), ("/scratch", "."), ("/scratch/../../etc", None), (None, None)]
)
def test_its_tag_says_which_directory_it_is(embedded: Embedded, mount: str | None, path: str | None) -> None:
    system = lustre(embedded, mount=mount)
    place = root(embedded, system) if path is None else embedded.world.scratch / path
    assert place.is_dir()
    embedded.client("fsx").delete_file_system(FileSystemId=system["FileSystemId"])
    embedded.world.scratch.mkdir(exist_ok=True)


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"StorageCapacity": 3600}, "BadRequest"),
        ({"SubnetIds": ["subnet-0123456789abcdef0", "subnet-0123456789abcdef1"]}, "BadRequest"),
        ({"LustreConfiguration": {"DeploymentType": "PERSISTENT_2"}}, "InvalidPerUnitStorageThroughput"),
        ({"LustreConfiguration": {"DeploymentType": "SCRATCH_2", "ExportPath": "s3://b/x"}}, "BadRequest"),
        ({"LustreConfiguration": {"DeploymentType": "SCRATCH_2", "ImportPath": "s3://nowhere"}}, "InvalidImportPath"),
        ({"KmsKeyId": "key"}, "BadRequest"),
        ({"FileSystemType": "WINDOWS"}, "BadRequest"),
    ],
)
def test_a_file_system_that_fsx_would_not_make_is_refused(embedded: Embedded, wrong: Any, code: str) -> None:
    with refused(code):
        lustre(embedded, **wrong)


def test_security_groups_must_let_lustre_through_before_the_file_system(embedded: Embedded) -> None:
    ec2 = embedded.client("ec2")
    vpc = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    group = ec2.create_security_group(GroupName="lustre", Description="x", VpcId=vpc)["GroupId"]
    with refused("InvalidNetworkSettings", "port 988"):
        lustre(embedded, SecurityGroupIds=[group])
    rule = {"IpProtocol": "tcp", "FromPort": 988, "ToPort": 988, "UserIdGroupPairs": [{"GroupId": group}]}
    ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[rule])
    assert lustre(embedded, SecurityGroupIds=[group])["VpcId"] == vpc


def test_a_file_system_that_goes_takes_its_files_with_it(embedded: Embedded) -> None:
    system = lustre(embedded)
    (root(embedded, system) / "a").write_text("a", encoding="ascii")
    embedded.client("fsx").delete_file_system(FileSystemId=system["FileSystemId"])
    assert not root(embedded, system).exists()
    with refused("FileSystemNotFound"):
        embedded.client("fsx").describe_file_systems(FileSystemIds=[system["FileSystemId"]])


def test_the_same_request_makes_one_file_system_and_another_one_with_its_token_is_refused(embedded: Embedded) -> None:
    once, twice = (lustre(embedded, ClientRequestToken="t") for _ in range(2))
    assert once["FileSystemId"] == twice["FileSystemId"]
    with refused("IncompatibleParameterError"):
        lustre(embedded, ClientRequestToken="t", StorageCapacity=2400)


# ---- links ----------------------------------------------------------------------------------------------------------


def test_a_link_brings_what_is_beneath_its_prefix_when_told_to(embedded: Embedded) -> None:
    system, bucket = lustre(embedded), embedded.bucket()
    embedded.client("s3").put_object(Bucket=bucket, Key="ref/hg38/a.fa", Body=b"acgt")
    embedded.client("s3").put_object(Bucket=bucket, Key="reform/b", Body=b"")
    large = embedded.world.buckets / bucket / "ref" / "large"
    large.write_bytes(b"x" * LARGE)
    associate(embedded, system, "/reference", f"s3://{bucket}/ref", BatchImportMetaDataOnCreate=True)
    reference = root(embedded, system) / "reference"
    assert (reference / "hg38" / "a.fa").read_bytes() == b"acgt"
    assert sorted(one.name for one in reference.iterdir()) == ["hg38", "large"]
    associate(embedded, system, "/data", f"s3://{bucket}/reform")
    assert list((root(embedded, system) / "data").iterdir()) == []


def test_an_import_path_keeps_whole_keys(embedded: Embedded) -> None:
    bucket = embedded.bucket()
    embedded.client("s3").put_object(Bucket=bucket, Key="ref/hg38/a.fa", Body=b"acgt")
    system = lustre(embedded, LustreConfiguration={"DeploymentType": "SCRATCH_2", "ImportPath": f"s3://{bucket}/ref"})
    assert (root(embedded, system) / "ref" / "hg38" / "a.fa").read_bytes() == b"acgt"
    with refused("BadRequest", "import path"):
        associate(embedded, system, "/x", f"s3://{bucket}/x")


def test_links_do_not_overlap_begin_with_a_slash_and_are_eight_at_most(embedded: Embedded) -> None:
    system, bucket = lustre(embedded), embedded.bucket()
    with refused("BadRequest", "slash"):
        associate(embedded, system, "a", f"s3://{bucket}/0")
    with refused("BadRequest", "does not exist"):
        associate(embedded, system, "/a", "s3://nowhere/0")
    associate(embedded, system, "/a/b", f"s3://{bucket}/0")
    for path in ("/a", "/a/b/c", "/", "/a/b"):
        with refused("BadRequest", "overlap"):
            associate(embedded, system, path, f"s3://{bucket}/other")
    with refused("BadRequest", "unknown events"):
        associate(embedded, system, "/c", f"s3://{bucket}/c", S3={"AutoImportPolicy": {"Events": ["NEW", "SOME"]}})
    for number in range(1, 8):
        associate(embedded, system, f"/{number}", f"s3://{bucket}/{number}")
    with refused("ServiceLimitExceeded"):
        associate(embedded, system, "/9", f"s3://{bucket}/9")


def test_a_link_that_follows_new_objects_brings_them_as_they_come(embedded: Embedded) -> None:
    system, bucket = lustre(embedded), embedded.bucket()
    events = {"AutoImportPolicy": {"Events": ["NEW", "CHANGED", "DELETED"]}}
    associate(embedded, system, "/in", f"s3://{bucket}/in", S3=events)
    s3, file = embedded.client("s3"), root(embedded, system) / "in" / "a"
    s3.put_object(Bucket=bucket, Key="in/a", Body=b"1")
    assert file.read_bytes() == b"1"
    s3.put_object(Bucket=bucket, Key="in/a", Body=b"22")
    assert file.read_bytes() == b"22"
    s3.delete_object(Bucket=bucket, Key="in/a")
    assert not file.exists()


# ---- tasks ----------------------------------------------------------------------------------------------------------


def test_an_export_puts_what_changed_into_s3_and_counts_it(embedded: Embedded, linked: tuple[Any, str]) -> None:
    system, bucket = linked
    run = root(embedded, system) / "wf" / "run"
    run.mkdir(parents=True)
    (run / "small").write_bytes(b"small")
    (run / "large").write_bytes(os.urandom(LARGE))
    (root(embedded, system) / "other").write_bytes(b"not asked for")

    task = export(embedded, system, "wf/run")
    assert task["Lifecycle"] == "SUCCEEDED"
    assert {name: task["Status"][name] for name in ("TotalCount", "SucceededCount", "FailedCount")} == {
        "TotalCount": 2,
        "SucceededCount": 2,
        "FailedCount": 0,
    }
    assert task["CreationTime"] <= task["StartTime"] <= task["EndTime"]
    exported = embedded.world.buckets / bucket / "out" / "wf" / "run"
    assert (exported / "large").read_bytes() == (run / "large").read_bytes()
    keys = [one["Key"] for one in embedded.client("s3").list_objects_v2(Bucket=bucket)["Contents"]]
    assert keys == ["out/wf/run/large", "out/wf/run/small"]

    assert export(embedded, system, "wf/run")["Status"]["TotalCount"] == 0
    (run / "small").write_bytes(b"changed")
    assert export(embedded, system, "wf/run")["Status"]["TotalCount"] == 1
    assert (exported / "small").read_bytes() == b"changed"
    assert export(embedded, system)["Status"]["TotalCount"] == 1  # the other


def test_a_small_file_that_is_appended_to_after_its_export_leaves_the_object_as_it_was(
    embedded: Embedded, linked: tuple[Any, str]
) -> None:
    system, bucket = linked
    file = root(embedded, system) / "log"
    file.write_bytes(b"one\n")
    export(embedded, system, "log")
    with file.open("ab") as log:
        log.write(b"two\n")
    assert (embedded.world.buckets / bucket / "out" / "log").read_bytes() == b"one\n"


def test_a_large_file_is_not_copied_where_both_can_share_it(embedded: Embedded, linked: tuple[Any, str]) -> None:
    system, bucket = linked
    file = root(embedded, system) / "large"
    file.write_bytes(b"x" * LARGE)
    export(embedded, system, "large")
    exported = embedded.world.buckets / bucket / "out" / "large"
    # A link, or a clone where the file system makes those: its blocks are the same, its number is not.
    assert exported.samefile(file) or exported.stat().st_size == LARGE


@pytest.mark.parametrize("path", ["nowhere", "../../etc"])
def test_a_path_that_is_not_there_fails_the_task(embedded: Embedded, linked: tuple[Any, str], path: str) -> None:
    task = export(embedded, linked[0], path)
    assert task["Lifecycle"] == "FAILED"
    assert "is not valid" in task["FailureDetails"]["Message"]


def test_files_that_cannot_be_exported_are_listed_in_the_report(embedded: Embedded, linked: tuple[Any, str]) -> None:
    system, bucket = linked
    folder = root(embedded, system).joinpath("run", *["d" * 200] * 5)
    folder.mkdir(parents=True)
    (folder / ("f" * 100)).write_bytes(b"x")
    (root(embedded, system) / "run" / "good").write_bytes(b"x")
    report = {
        "Enabled": True,
        "Path": f"s3://{bucket}/out/reports",
        "Format": "REPORT_CSV_20191124",
        "Scope": "FAILED_FILES_ONLY",
    }
    task = export(embedded, system, "run", report=report)
    assert (task["Lifecycle"], task["Status"]["SucceededCount"], task["Status"]["FailedCount"]) == ("FAILED", 1, 1)
    found = embedded.client("s3").get_object(Bucket=bucket, Key=f"out/reports/{task['TaskId']}/failures.csv")
    [line] = found["Body"].read().decode().splitlines()
    assert line.startswith("run/dddd")
    assert line.endswith(",failed,PathSizeTooLong")


def test_a_token_makes_one_task_and_another_request_with_it_is_refused(
    embedded: Embedded, linked: tuple[Any, str]
) -> None:
    system, _ = linked
    (root(embedded, system) / "a").write_bytes(b"a")
    once, twice = (export_again(embedded, system, "token-1") for _ in range(2))
    assert once["TaskId"] == twice["TaskId"]
    with refused("IncompatibleParameterError"):
        embedded.client("fsx").create_data_repository_task(
            Type="EXPORT_TO_REPOSITORY",
            FileSystemId=system["FileSystemId"],
            Paths=["b"],
            Report=REPORT,
            ClientRequestToken="token-1",
        )


def export_again(embedded: Embedded, system: Any, token: str) -> Any:
    task = embedded.client("fsx").create_data_repository_task(
        Type="EXPORT_TO_REPOSITORY",
        FileSystemId=system["FileSystemId"],
        Paths=["a"],
        Report=REPORT,
        ClientRequestToken=token,
    )["DataRepositoryTask"]
    return ended(embedded, task)


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"Paths": ["p"] * 101}, "BadRequest"),
        ({"Report": {"Enabled": True, "Path": "s3://elsewhere/x"}}, "BadRequest"),
        ({"FileSystemId": "fs-0123456789abcdef0"}, "FileSystemNotFound"),
    ],
)
def test_a_task_that_fsx_would_not_make_is_refused(
    embedded: Embedded, linked: tuple[Any, str], wrong: Any, code: str
) -> None:
    asked = {"Type": "EXPORT_TO_REPOSITORY", "FileSystemId": linked[0]["FileSystemId"], "Report": REPORT, **wrong}
    with refused(code):
        embedded.client("fsx").create_data_repository_task(**asked)


def test_one_task_runs_on_a_file_system_at_a_time_and_it_cannot_go_meanwhile(
    embedded: Embedded, linked: tuple[Any, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first export waits in its one file until it is told to go on."""
    import threading

    from toolchain.localaws.fsx.tree import Tree

    system, _ = linked
    (root(embedded, system) / "a").write_bytes(b"a")
    (root(embedded, system) / "b").write_bytes(b"b")
    go, stock = threading.Event(), Tree.export

    def slow(self: Tree, *args: Any) -> None:
        assert go.wait(30)
        stock(self, *args)

    monkeypatch.setattr(Tree, "export", slow)
    fsx = embedded.client("fsx")
    asked: Any = {"Type": "EXPORT_TO_REPOSITORY", "FileSystemId": system["FileSystemId"], "Report": REPORT}
    task = fsx.create_data_repository_task(**asked)["DataRepositoryTask"]
    try:
        with refused("DataRepositoryTaskExecuting"):
            fsx.create_data_repository_task(**asked)
        with refused("BadRequest", "pending or executing"):
            fsx.delete_file_system(FileSystemId=system["FileSystemId"])
        assert fsx.cancel_data_repository_task(TaskId=task["TaskId"])["Lifecycle"] == "CANCELING"
    finally:
        go.set()
    found = ended(embedded, task)
    assert (found["Lifecycle"], found["Status"]["SucceededCount"]) == ("CANCELED", 1)
    with refused("DataRepositoryTaskEnded"):
        fsx.cancel_data_repository_task(TaskId=task["TaskId"])


def test_tasks_are_described_by_file_system_and_life_cycle_a_page_at_a_time(
    embedded: Embedded, linked: tuple[Any, str]
) -> None:
    system, _ = linked
    (root(embedded, system) / "a").write_bytes(b"a")
    made = [export(embedded, system, "a")["TaskId"] for _ in range(3)]
    fsx = embedded.client("fsx")
    filters = [{"Name": "file-system-id", "Values": [system["FileSystemId"]]}]
    first = fsx.describe_data_repository_tasks(Filters=filters, MaxResults=2)
    rest = fsx.describe_data_repository_tasks(Filters=filters, MaxResults=2, NextToken=first["NextToken"])
    assert [[one["TaskId"] for one in page["DataRepositoryTasks"]] for page in (first, rest)] == [made[:2], made[2:]]
    assert "NextToken" not in rest
    filters.append({"Name": "task-lifecycle", "Values": ["EXECUTING"]})
    assert fsx.describe_data_repository_tasks(Filters=filters)["DataRepositoryTasks"] == []
    with refused("DataRepositoryTaskNotFound"):
        fsx.describe_data_repository_tasks(TaskIds=["task-0123456789abcdef0"])


def test_an_import_task_brings_what_is_new(embedded: Embedded) -> None:
    system, bucket = lustre(embedded), embedded.bucket()
    associate(embedded, system, "/in", f"s3://{bucket}/in")
    place = embedded.world.buckets / bucket / "in" / "a"
    place.parent.mkdir()
    place.write_bytes(b"dropped into the tree by somebody")
    task = embedded.client("fsx").create_data_repository_task(
        Type="IMPORT_METADATA_FROM_REPOSITORY", FileSystemId=system["FileSystemId"], Paths=[], Report=REPORT
    )["DataRepositoryTask"]
    assert ended(embedded, task)["Status"]["SucceededCount"] == 1
    assert (root(embedded, system) / "in" / "a").read_bytes() == place.read_bytes()


def test_what_was_imported_is_not_exported_again_until_it_changes(embedded: Embedded) -> None:
    system, bucket = lustre(embedded), embedded.bucket()
    embedded.client("s3").put_object(Bucket=bucket, Key="a", Body=b"a")
    associate(embedded, system, "/", f"s3://{bucket}", BatchImportMetaDataOnCreate=True)
    assert export(embedded, system)["Status"]["TotalCount"] == 0
    (root(embedded, system) / "a").write_bytes(b"another")
    assert export(embedded, system)["Status"]["TotalCount"] == 1

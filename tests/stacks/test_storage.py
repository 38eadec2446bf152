"""stack/storage.yaml: what FSx for Lustre and S3 demand, in every combination that the template lets through."""

import itertools
from collections.abc import Iterator
from typing import Any

import pytest
from support.resolved_stacks import Stack, deployed, template

CHOICES = {
    "FileSystems": ("three", "one"),
    "DeploymentType": ("SCRATCH_2", "PERSISTENT_2"),
    "ReferenceLink": ("association", "import"),
    "DataLink": ("association", "import"),
    "KmsKeyArn": ("", "arn:aws:kms:us-east-1:123456789012:key/0"),
}
COMBINATIONS = [dict(zip(CHOICES, values, strict=True)) for values in itertools.product(*CHOICES.values())]
LET_THROUGH = [stack for parameters in COMBINATIONS if not (stack := deployed("storage", **parameters)).refusals]
PORTS = {(988, 988), (1018, 1023)}
SERVER, CLIENT = "LustreServerSecurityGroup", "LustreClientSecurityGroup"


def label(stack: Stack) -> str:
    return "-".join(stack.parameters[choice].partition(":")[0] for choice in CHOICES)


every_combination = pytest.mark.parametrize("stack", LET_THROUGH, ids=label)


def file_systems(stack: Stack) -> dict[str, Any]:
    return stack.of("AWS::FSx::FileSystem")


def associations(stack: Stack, file_system: str | None = None) -> dict[str, Any]:
    found = stack.of("AWS::FSx::DataRepositoryAssociation")
    return {name: link for name, link in found.items() if file_system in (None, link["FileSystemId"])}


# ---- what is refused before AWS is asked ----------------------------------------------------------------------


def test_what_aws_would_refuse_is_refused_at_once() -> None:
    def right(parameters: dict[str, str]) -> bool:
        linked = parameters["ReferenceLink"] == parameters["DataLink"] == "association"
        persistent = parameters["DeploymentType"] == "PERSISTENT_2"
        imports_can_be = parameters["FileSystems"] == "three" and not persistent
        return (linked or imports_can_be) and (persistent or parameters["KmsKeyArn"] == "")

    let_through = [{choice: stack.parameters[choice] for choice in CHOICES} for stack in LET_THROUGH]
    assert let_through == [parameters for parameters in COMBINATIONS if right(parameters)]
    assert len(let_through) == 9


def test_two_links_of_one_file_system_cannot_have_the_same_path() -> None:
    same = {"ReferencePath": "s3://bucket/all", "DataPath": "s3://bucket/all"}
    assert "ReferencePath and DataPath must differ" in deployed("storage", FileSystems="one", **same).refusals[0]
    assert deployed("storage", **same).refusals == []


@pytest.mark.parametrize("name", ["ReferenceCapacity", "DataCapacity", "WorkingCapacity", "ScratchCapacity"])
def test_only_capacities_that_exist_can_be_asked_for(name: str) -> None:
    first, *others = map(int, template("storage").parameters[name].allowed)
    assert first == 1200
    assert others == list(range(2400, 2400 * (len(others) + 1), 2400))


# ---- file systems ---------------------------------------------------------------------------------------------


@every_combination
def test_there_are_three_file_systems_or_one(stack: Stack) -> None:
    mounts = {
        tag["Value"]
        for system in file_systems(stack).values()
        for tag in system["Tags"]
        if tag["Key"] == "scratch-mount"
    }
    if stack.parameters["FileSystems"] == "one":
        assert mounts == {"/scratch"}
    else:
        assert mounts == {"/scratch/reference", "/scratch/data", "/scratch/working"}


@every_combination
def test_a_file_system_s_version_and_type_are_never_the_defaults(stack: Stack) -> None:
    for system in file_systems(stack).values():
        assert system["FileSystemType"] == "LUSTRE"
        assert system["FileSystemTypeVersion"] == "2.15"
        assert system["StorageType"] == "SSD"
        assert system["LustreConfiguration"]["DeploymentType"] == stack.parameters["DeploymentType"]
        assert system["LustreConfiguration"]["DataCompressionType"] == "LZ4"
        assert len(system["SubnetIds"]) == 1


@every_combination
def test_throughput_and_key_are_a_persistent_file_system_s_alone(stack: Stack) -> None:
    persistent = stack.parameters["DeploymentType"] == "PERSISTENT_2"
    for system in file_systems(stack).values():
        assert ("PerUnitStorageThroughput" in system["LustreConfiguration"]) == persistent
        assert ("KmsKeyId" in system) == (stack.parameters["KmsKeyArn"] != "")
        assert persistent or "KmsKeyId" not in system


def test_a_file_system_is_made_after_all_rules_of_the_security_groups() -> None:
    resources = template("storage").resources
    rules = {name for name, resource in resources.items() if "SecurityGroupIngress" in resource["Type"]}
    rules |= {name for name, resource in resources.items() if "SecurityGroupEgress" in resource["Type"]}
    assert rules != set()
    systems = [resource for resource in resources.values() if resource["Type"] == "AWS::FSx::FileSystem"]
    assert len(systems) == 4
    for system in systems:
        assert set(system["DependsOn"]) == rules


@every_combination
def test_file_systems_go_with_the_stack_and_results_stay(stack: Stack) -> None:
    for resource in stack.resources.values():
        expected = "Retain" if resource["Type"].startswith("AWS::S3::") else "Delete"
        assert resource.get("DeletionPolicy", "Delete") == expected
        assert resource.get("UpdateReplacePolicy", "Delete") == expected


# ---- links to S3 ----------------------------------------------------------------------------------------------


@every_combination
def test_a_file_system_has_an_import_path_or_associations_and_never_both(stack: Stack) -> None:
    for name, system in file_systems(stack).items():
        legacy = {"ImportPath", "ExportPath", "AutoImportPolicy"} & set(system["LustreConfiguration"])
        assert bool(legacy) != bool(associations(stack, name))


@every_combination
def test_an_imported_bucket_is_only_read_and_never_asked_for_events(stack: Stack) -> None:
    for what in ("Reference", "Data"):
        if stack.parameters[f"{what}Link"] == "import":
            configuration = file_systems(stack)[f"{what}FileSystem"]["LustreConfiguration"]
            assert configuration["ImportPath"] == stack.parameters[f"{what}Path"]
            assert configuration["AutoImportPolicy"] == "NONE"
            assert "ExportPath" not in configuration


@every_combination
def test_associations_paths_do_not_overlap_and_the_root_is_alone(stack: Stack) -> None:
    for name in file_systems(stack):
        paths = [link["FileSystemPath"] for link in associations(stack, name).values()]
        assert len(paths) <= 8
        assert len(set(paths)) == len(paths)
        assert all(path.startswith("/") and path.count("/") == 1 for path in paths)
        assert "/" not in paths or len(paths) == 1


@every_combination
def test_what_is_read_is_listed_at_once_and_follows_its_bucket(stack: Stack) -> None:
    for name, link in associations(stack).items():
        if name != "WorkingAssociation":
            assert link["BatchImportMetaDataOnCreate"] is True
            assert link["S3"] == {"AutoImportPolicy": {"Events": ["NEW", "CHANGED"]}}


@every_combination
def test_only_working_exports_and_only_by_tasks(stack: Stack) -> None:
    working = associations(stack)["WorkingAssociation"]
    assert working["DataRepositoryPath"] == stack.outputs["ExportPath"] == "s3://ResultsBucket/results"
    assert working["BatchImportMetaDataOnCreate"] is False
    assert "S3" not in working
    assert "AutoExportPolicy" not in str(associations(stack))


def waits_for(stack: Stack, name: str) -> Iterator[str]:
    """The associations that one is made after."""
    resource = stack.resources[name]
    tags = {tag["Key"]: tag["Value"] for tag in resource["Properties"]["Tags"]}
    direct = [*([resource["DependsOn"]] if "DependsOn" in resource else []), *filter(None, [tags.get("made-after")])]
    for other in direct:
        yield other
        yield from waits_for(stack, other)


@every_combination
def test_associations_are_made_one_after_another(stack: Stack) -> None:
    made = associations(stack)
    waits = {name: set(waits_for(stack, name)) for name in made}
    assert set().union(*waits.values()) <= set(made)
    assert sorted(len(others) for others in waits.values()) == list(range(len(made)))


# ---- network --------------------------------------------------------------------------------------------------


def rules(stack: Stack) -> set[tuple[str, str, str, tuple[int, int]]]:
    """Every rule: the group that has it, `in` or `out`, the peer, the ports."""
    found = set()
    for name, group in stack.of("AWS::EC2::SecurityGroup").items():
        for rule in group.get("SecurityGroupIngress", []):
            found.add((name, "in", peer_of(rule), (rule["FromPort"], rule["ToPort"])))
        for rule in group.get("SecurityGroupEgress", []):
            found.add((name, "out", peer_of(rule), (rule["FromPort"], rule["ToPort"])))
    for rule in stack.of("AWS::EC2::SecurityGroupIngress").values():
        found.add((rule["GroupId"], "in", peer_of(rule), (rule["FromPort"], rule["ToPort"])))
    for rule in stack.of("AWS::EC2::SecurityGroupEgress").values():
        found.add((rule["GroupId"], "out", peer_of(rule), (rule["FromPort"], rule["ToPort"])))
    return found


def peer_of(rule: dict[str, Any]) -> str:
    assert rule["IpProtocol"] == "tcp"
    peer: str = rule.get("SourceSecurityGroupId") or rule.get("DestinationSecurityGroupId") or rule["CidrIp"]
    return peer


def test_lustre_s_ports_are_open_both_ways_and_nothing_else_is() -> None:
    pairs = [(SERVER, SERVER), (SERVER, CLIENT), (CLIENT, SERVER)]
    lustre = {(one, way, other, ports) for one, other in pairs for way in ("in", "out") for ports in PORTS}
    assert rules(deployed("storage")) == lustre | {(CLIENT, "out", "0.0.0.0/0", (443, 443))}


# ---- results --------------------------------------------------------------------------------------------------


def test_the_bucket_is_versioned_encrypted_and_nobody_else_s() -> None:
    (bucket,) = deployed("storage").of("AWS::S3::Bucket").values()
    assert bucket["VersioningConfiguration"] == {"Status": "Enabled"}
    assert "BucketEncryption" in bucket
    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    assert len(bucket["PublicAccessBlockConfiguration"]) == 4
    assert bucket["OwnershipControls"]["Rules"] == [{"ObjectOwnership": "BucketOwnerEnforced"}]
    assert "LoggingConfiguration" not in bucket


def test_the_bucket_s_access_is_logged_where_a_bucket_for_that_is_given() -> None:
    (bucket,) = deployed("storage", AccessLogBucket="logs").of("AWS::S3::Bucket").values()
    assert bucket["LoggingConfiguration"] == {"DestinationBucketName": "logs", "LogFilePrefix": "genomics-results/"}


def test_the_bucket_answers_over_tls_alone() -> None:
    (policy,) = deployed("storage").of("AWS::S3::BucketPolicy").values()
    (statement,) = policy["PolicyDocument"]["Statement"]
    assert (statement["Effect"], statement["Principal"], statement["Action"]) == ("Deny", "*", "s3:*")
    assert statement["Resource"] == ["arn:aws:s3:::ResultsBucket", "arn:aws:s3:::ResultsBucket/*"]
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


# ---- alarms and outputs ---------------------------------------------------------------------------------------


@every_combination
def test_each_file_system_has_an_alarm_on_what_is_free_of_its_own_capacity(stack: Stack) -> None:
    watched = {}
    for alarm in stack.of("AWS::CloudWatch::Alarm").values():
        percent, free = alarm["Metrics"]
        metric = free["MetricStat"]["Metric"]
        assert (metric["Namespace"], metric["MetricName"]) == ("AWS/FSx", "FreeDataStorageCapacity")
        # A sum over more than the minute of one report would count the same bytes again.
        assert (free["MetricStat"]["Stat"], free["MetricStat"]["Period"]) == ("Sum", 60)
        watched[metric["Dimensions"][0]["Value"]] = percent["Expression"]
        assert alarm["Threshold"] == stack.parameters["FreePercent"]
        assert "AlarmActions" not in alarm
    assert watched == {
        name: f"100 * free / ({system['StorageCapacity']} * 1073741824)" for name, system in file_systems(stack).items()
    }


def test_an_alarm_tells_the_topic_that_it_is_given() -> None:
    topic = "arn:aws:sns:us-east-1:123456789012:genomics"
    for alarm in deployed("storage", AlarmTopicArn=topic).of("AWS::CloudWatch::Alarm").values():
        assert alarm["AlarmActions"] == alarm["OKActions"] == [topic]


def test_three_file_systems_are_mounted_each_by_its_own_name() -> None:
    outputs = deployed("storage").outputs
    for what in ("Reference", "Data", "Working"):
        name = f"{what}FileSystem"
        assert outputs[f"{what}Mount"] == f"{name}.DNSName@tcp:/{name}.LustreMountName"
        assert outputs[f"{what}FileSystemId"] == name
    assert outputs["WorkingPath"] == "-"


def test_one_file_system_is_mounted_by_its_directories() -> None:
    outputs = deployed("storage", FileSystems="one").outputs
    for what in ("Reference", "Data", "Working"):
        mount = f"ScratchFileSystem.DNSName@tcp:/ScratchFileSystem.LustreMountName/{what.lower()}"
        assert outputs[f"{what}Mount"] == mount
        assert outputs[f"{what}FileSystemId"] == "ScratchFileSystem"
    assert outputs["WorkingPath"] == "working"


@every_combination
def test_the_outputs_are_those_that_others_count_on(stack: Stack) -> None:
    assert set(stack.outputs) == {
        "ResultsBucket",
        "ResultsBucketArn",
        "ExportPath",
        "LustreClientSecurityGroupId",
        "ReferenceMount",
        "DataMount",
        "WorkingMount",
        "ReferenceFileSystemId",
        "DataFileSystemId",
        "WorkingFileSystemId",
        "WorkingFileSystemArn",
        "WorkingPath",
    }

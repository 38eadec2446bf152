"""stack/storage.yaml: what FSx for Lustre demands, in every combination that the template lets through."""

import itertools
from collections.abc import Iterator
from typing import Any

import pytest
from support.resolved_stacks import NAMES, Stack, deployed, template
from support.subset import ABSENT, differences

CHOICES = {
    "FileSystems": ("three", "one"),
    "DeploymentType": ("SCRATCH_2", "PERSISTENT_2"),
    "ReferenceLink": ("association", "import"),
    "DataLink": ("association", "import"),
    "KmsKeyArn": ("", "arn:aws:kms:us-east-1:123456789012:key/0"),
}
COMBINATIONS = [dict(zip(CHOICES, values, strict=True)) for values in itertools.product(*CHOICES.values())]
ALLOWED = [stack for parameters in COMBINATIONS if not (stack := deployed("storage", **parameters)).refusals]
THREE, ONE = deployed("storage"), deployed("storage", FileSystems="one")


def label(stack: Stack) -> str:
    return "-".join(stack.parameters[choice].partition(":")[0] for choice in CHOICES)


every_combination = pytest.mark.parametrize("stack", ALLOWED, ids=label)


def file_systems(stack: Stack) -> dict[str, Any]:
    return stack.of("AWS::FSx::FileSystem")


def associations(stack: Stack, file_system: str | None = None) -> dict[str, Any]:
    links = stack.of("AWS::FSx::DataRepositoryAssociation")
    return {name: link for name, link in links.items() if file_system in (None, link["FileSystemId"])}


# ---- parameters that AWS would refuse ----


def test_combinations_that_aws_would_refuse_are_refused_at_once() -> None:
    def is_valid(parameters: dict[str, str]) -> bool:
        linked = parameters["ReferenceLink"] == parameters["DataLink"] == "association"
        persistent = parameters["DeploymentType"] == "PERSISTENT_2"
        can_import = parameters["FileSystems"] == "three" and not persistent
        return (linked or can_import) and (persistent or parameters["KmsKeyArn"] == "")

    allowed = [{choice: stack.parameters[choice] for choice in CHOICES} for stack in ALLOWED]
    assert allowed == [parameters for parameters in COMBINATIONS if is_valid(parameters)]
    assert len(allowed) == 9


def test_two_links_of_one_file_system_cannot_have_the_same_path() -> None:
    same = {"ReferencePath": "s3://bucket/all", "DataPath": "s3://bucket/all"}
    assert "ReferencePath and DataPath must differ" in deployed("storage", FileSystems="one", **same).refusals[0]
    assert deployed("storage", **same).refusals == []


@pytest.mark.parametrize("name", ["ReferenceCapacity", "DataCapacity", "WorkingCapacity", "ScratchCapacity"])
def test_only_capacities_that_exist_can_be_asked_for(name: str) -> None:
    first, *others = map(int, template("storage").parameters[name].allowed)
    assert first == 1200
    assert others == list(range(2400, 2400 * (len(others) + 1), 2400))


# ---- file systems ----


@every_combination
def test_file_systems_name_every_property_whose_default_is_a_trap(stack: Stack) -> None:
    is_persistent = stack.parameters["DeploymentType"] == "PERSISTENT_2"
    for system in file_systems(stack).values():
        expected = {
            "FileSystemType": "LUSTRE",
            "FileSystemTypeVersion": "2.15",
            "StorageType": "SSD",
            "KmsKeyId": stack.parameters["KmsKeyArn"] or ABSENT,
            "LustreConfiguration": {
                "DeploymentType": stack.parameters["DeploymentType"],
                "DataCompressionType": "LZ4",
                **({} if is_persistent else {"PerUnitStorageThroughput": ABSENT}),
            },
        }
        assert list(differences(system, expected)) == []
        assert ("PerUnitStorageThroughput" in system["LustreConfiguration"]) == is_persistent
        assert len(system["SubnetIds"]) == 1
    tags = [tag for system in file_systems(stack).values() for tag in system["Tags"]]
    mounts = {tag["Value"] for tag in tags if tag["Key"] == "scratch-mount"}
    is_shared = stack.parameters["FileSystems"] == "one"
    assert mounts == ({"/scratch"} if is_shared else {"/scratch/reference", "/scratch/data", "/scratch/working"})


@every_combination
def test_all_of_it_goes_with_the_stack(stack: Stack) -> None:
    for resource in stack.resources.values():
        assert resource.get("DeletionPolicy", "Delete") == resource.get("UpdateReplacePolicy", "Delete") == "Delete"


def test_nothing_of_what_may_be_replaced_is_exported() -> None:
    assert template("storage").exports == set()
    kinds = {
        resource["Type"] for name in NAMES if template(name).exports for resource in deployed(name).resources.values()
    }
    assert "AWS::FSx::FileSystem" not in kinds


@every_combination
def test_a_file_system_s_tag_lets_this_project_export_from_it(stack: Stack) -> None:
    for system in file_systems(stack).values():
        assert {"Key": "project", "Value": "genomics"} in system["Tags"]


# ---- links to S3 ----


@every_combination
def test_a_file_system_has_an_import_path_or_associations_and_never_both(stack: Stack) -> None:
    for name, system in file_systems(stack).items():
        legacy = {"ImportPath", "ExportPath", "AutoImportPolicy"} & set(system["LustreConfiguration"])
        assert bool(legacy) != bool(associations(stack, name))
    for directory in ("Reference", "Data"):
        if stack.parameters[f"{directory}Link"] == "import":
            # A bucket of somebody else is read, and not asked for events.
            expected = {
                "ImportPath": stack.parameters[f"{directory}Path"],
                "AutoImportPolicy": "NONE",
                "ExportPath": ABSENT,
            }
            configuration = file_systems(stack)[f"{directory}FileSystem"]["LustreConfiguration"]
            assert list(differences(configuration, expected)) == []


@every_combination
def test_associations_paths_do_not_overlap_and_the_root_is_alone(stack: Stack) -> None:
    for name in file_systems(stack):
        paths = [link["FileSystemPath"] for link in associations(stack, name).values()]
        assert len(paths) <= 8
        assert len(set(paths)) == len(paths)
        assert all(path.startswith("/") and path.count("/") == 1 for path in paths)
        assert "/" not in paths or len(paths) == 1


@every_combination
def test_inputs_are_listed_at_once_and_follow_their_bucket_and_working_is_exported_by_tasks_only(stack: Stack) -> None:
    inputs = {"BatchImportMetaDataOnCreate": True, "S3": {"AutoImportPolicy": {"Events": ["NEW", "CHANGED"]}}}
    export = {"DataRepositoryPath": "s3://ResultsBucket/results", "BatchImportMetaDataOnCreate": False, "S3": ABSENT}
    for name, link in associations(stack).items():
        assert list(differences(link, export if name == "WorkingAssociation" else inputs)) == []
        assert "AutoExportPolicy" not in str(link)


def waits_for(stack: Stack, name: str) -> Iterator[str]:
    """The associations that one is created after."""
    resource = stack.resources[name]
    tags = {tag["Key"]: tag["Value"] for tag in resource["Properties"]["Tags"]}
    for other in filter(None, [resource.get("DependsOn"), tags.get("made-after")]):
        yield other
        yield from waits_for(stack, other)


@every_combination
def test_associations_are_created_one_after_another(stack: Stack) -> None:
    names = set(associations(stack))
    waits = [set(waits_for(stack, name)) for name in names]
    assert set().union(*waits) <= names
    assert sorted(map(len, waits)) == list(range(len(names)))


# ---- alarms and outputs ----


@every_combination
def test_each_file_system_has_an_alarm_on_its_free_share(stack: Stack) -> None:
    expressions = {}
    for alarm in stack.of("AWS::CloudWatch::Alarm").values():
        percent, free = alarm["Metrics"]
        # A sum over more than the minute of one report would count the same bytes again.
        expected = {"Stat": "Sum", "Period": 60, "Metric": {"Namespace": "AWS/FSx"}}
        assert list(differences(free["MetricStat"], expected)) == []
        assert free["MetricStat"]["Metric"]["MetricName"] == "FreeDataStorageCapacity"
        expressions[free["MetricStat"]["Metric"]["Dimensions"][0]["Value"]] = percent["Expression"]
        assert alarm["Threshold"] == stack.parameters["FreePercent"]
        assert "AlarmActions" not in alarm
    assert expressions == {
        name: f"100 * free / ({system['StorageCapacity']} * 1073741824)" for name, system in file_systems(stack).items()
    }


@pytest.mark.parametrize("systems", ["three", "one"])
def test_what_fsx_cannot_import_or_export_is_logged(systems: str) -> None:
    for system in file_systems(deployed("storage", FileSystems=systems)).values():
        destination = "arn:aws:logs:us-east-1:123456789012:log-group:FsxLogGroup"
        assert system["LustreConfiguration"]["LogConfiguration"] == {"Level": "WARN_ERROR", "Destination": destination}


def parameters(stack: Stack) -> dict[str, str]:
    return {parameter["Name"]: parameter["Value"] for parameter in stack.of("AWS::SSM::Parameter").values()}


@pytest.mark.parametrize("directory", ["Reference", "Data", "Working"])
def test_a_directory_is_mounted_by_its_file_system_s_own_mount_name(directory: str) -> None:
    mount = "{0}.DNSName@tcp:/{0}.LustreMountName"
    name = f"/genomics/scratch/{directory.lower()}"
    assert parameters(THREE)[name] == mount.format(f"{directory}FileSystem")
    assert parameters(ONE)[name] == f"{mount.format('ScratchFileSystem')}/{directory.lower()}"


def test_a_run_exports_from_the_working_directory_of_its_file_system() -> None:
    assert parameters(THREE)["/genomics/scratch/export"] == "WorkingFileSystem/-"
    assert parameters(ONE)["/genomics/scratch/export"] == "ScratchFileSystem/working"


@every_combination
def test_the_outputs_and_parameters_are_the_same_in_every_combination(stack: Stack) -> None:
    file_system = {f"{name}FileSystemId" for name in ("Reference", "Data", "Working")}
    assert set(stack.outputs) == file_system | {"WorkingPath"}
    directories = ("reference", "data", "working", "export")
    assert set(parameters(stack)) == {f"/genomics/scratch/{name}" for name in directories}

"""What Batch is told in a job definition is what Docker is asked to run."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolchain.docker.container import Container, Job, Mount, container_of, substituted
from toolchain.errors import WrongUsageError

MIB = 1024 * 1024
NAMES = st.text("abXY0_-", min_size=1, max_size=3)
WORDS = st.lists(st.text() | NAMES.map("Ref::{}".format), max_size=4).map("/".join)


def definition(*, parameters: dict[str, str] | None = None, **properties: Any) -> dict[str, Any]:  # noqa: ANN401
    """A job definition with these properties."""
    return {
        "jobDefinitionName": "genomics-tool",
        "parameters": parameters or {},
        "containerProperties": {
            "image": "sha256:0",
            "resourceRequirements": [{"type": "VCPU", "value": "4"}, {"type": "MEMORY", "value": "2048"}],
            **properties,
        },
    }


def variables(**values: str) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in values.items()]


@pytest.mark.parametrize(
    ("word", "result"),
    [
        ("Ref::sample", "NA12878"),
        ("s3://bucket/Ref::sample/out", "s3://bucket/NA12878/out"),
        ("Ref::sample.Ref::lane", "NA12878.L001"),
        ("Ref::sampleRef::lane", "Ref::sampleRef::lane"),
        ("--in=Ref::sample,Ref::sample", "--in=NA12878,NA12878"),
        ("Ref::other", "Ref::other"),
        ("Ref::sample-2", "Ref::sample-2"),
        ("Ref::sample_2", "Ref::sample_2"),
        ("Ref::Sample", "Ref::Sample"),
        ("ref::sample", "ref::sample"),
        ("Ref:sample", "Ref:sample"),
        ("Ref::", "Ref::"),
        ("Ref::x-y_1", "dashed"),
        ("Ref::again", "Ref::sample"),
    ],
)
def test_a_declared_reference_is_replaced_once_and_everything_else_stays(word: str, result: str) -> None:
    parameters = {"sample": "NA12878", "lane": "L001", "x-y_1": "dashed", "again": "Ref::sample"}
    assert substituted([word], parameters) == (result,)


@given(command=st.lists(WORDS), parameters=st.dictionaries(NAMES, st.text() | NAMES.map("Ref::{}".format)))
def test_any_value_is_put_into_its_word_unchanged(command: list[str], parameters: dict[str, str]) -> None:
    expected = []
    for word in command:
        text, *rest = re.split(r"(Ref::[A-Za-z0-9_-]+)", word)
        for reference, literal in zip(rest[::2], rest[1::2], strict=True):
            text += parameters.get(reference.removeprefix("Ref::"), reference) + literal
        expected.append(text)
    assert substituted(command, parameters) == tuple(expected)


def test_parameters_go_over_the_definition_s_and_into_the_command_only() -> None:
    container = container_of(
        definition(
            parameters={"a": "1", "b": "2"},
            command=["step", "Ref::a", "Ref::b"],
            environment=variables(A="Ref::a"),
            user="Ref::a",
        ),
        parameters={"b": "$(id) '\n*"},
    )
    assert container.command == ("step", "1", "$(id) '\n*")
    assert (container.environment["A"], container.user) == ("Ref::a", "Ref::a")


@pytest.mark.parametrize(
    ("declared", "why"), [({"lane": "-", "a": "-"}, "it declares a, lane"), ({}, "it declares none")]
)
def test_a_parameter_that_is_not_declared_is_an_error_that_names_those_that_are(
    declared: dict[str, str], why: str
) -> None:
    with pytest.raises(WrongUsageError) as caught:
        container_of(definition(parameters=declared), parameters={"sampel": "S1"})
    assert (caught.value.what, caught.value.why) == ("no parameter 'sampel' in genomics-tool", why)


def test_overrides_replace_what_they_name() -> None:
    own = definition(
        parameters={"sample": "S1"}, command=["step", "Ref::sample"], environment=variables(KEPT="1", CHANGED="1")
    )
    container = container_of(own, command=("sh", "Ref::sample"), environment={"CHANGED": "2", "ADDED": "2"}, vcpus=2)
    assert container.command == ("sh", "S1")
    assert {**container.environment, "KEPT": "1", "CHANGED": "2", "ADDED": "2"} == container.environment
    assert (container.vcpus, container.memory, container.environment["STEP_VCPUS"]) == (2, 2048, "2")
    container = container_of(own, memory=512)
    assert (container.vcpus, container.memory, container.environment["STEP_VCPUS"]) == (4, 512, "4")


def test_batch_tells_a_job_which_it_is_and_nobody_can_pretend_to_be_batch() -> None:
    job = Job(job_id="j-1", queue="spot", compute_environment="large", attempt=3)
    own = definition(environment=variables(AWS_BATCH_JOB_ID="mine", STEP_VCPUS="64"))
    container = container_of(own, environment={"AWS_BATCH_JOB_ATTEMPT": "9"}, job=job)
    assert container.environment == {
        "AWS_BATCH_JOB_ID": "j-1",
        "AWS_BATCH_JQ_NAME": "spot",
        "AWS_BATCH_CE_NAME": "large",
        "AWS_BATCH_JOB_ATTEMPT": "3",
        "STEP_VCPUS": "4",
    }
    child = container_of(own, job=Job(array_index=0)).environment
    assert (child["AWS_BATCH_JOB_ID"], child["AWS_BATCH_JOB_ARRAY_INDEX"]) == ("local", "0")


def test_a_definition_without_options_has_the_engine_s_defaults() -> None:
    container = container_of(definition())
    assert container == Container(image="sha256:0", environment=container.environment, vcpus=4, memory=2048)


def test_every_option_of_a_definition_reaches_docker() -> None:
    container = container_of(
        definition(
            user="1000:1000",
            readonlyRootFilesystem=True,
            privileged=True,
            ulimits=[{"name": "nofile", "softLimit": 1024, "hardLimit": 8192}],
            linuxParameters={
                "initProcessEnabled": True,
                "sharedMemorySize": 128,
                "tmpfs": [
                    {"containerPath": "/a", "size": 64, "mountOptions": ["rw", "noexec", "mode=1777"]},
                    {"containerPath": "/b", "size": 1},
                ],
            },
            volumes=[
                {"name": "data", "host": {"sourcePath": "/host/a:b,c"}},
                {"name": "working", "host": {"sourcePath": "/host/working"}},
            ],
            mountPoints=[
                {"sourceVolume": "working", "containerPath": "/scratch/working"},
                {"sourceVolume": "data", "containerPath": "/scratch/data", "readOnly": True},
            ],
        )
    )
    assert container.mounts[1] == Mount(source="/host/a:b,c", target="/scratch/data", read_only=True)
    assert container.docker_arguments() == {
        "environment": container.environment,
        "mounts": [
            {"Type": "bind", "Source": "/host/working", "Target": "/scratch/working", "ReadOnly": False},
            {"Type": "bind", "Source": "/host/a:b,c", "Target": "/scratch/data", "ReadOnly": True},
        ],
        "cpu_shares": 4096,
        "mem_limit": 2048 * MIB,
        "memswap_limit": 2048 * MIB,
        "user": "1000:1000",
        "read_only": True,
        "privileged": True,
        "tmpfs": {"/a": "size=64m,rw,noexec,mode=1777", "/b": "size=1m"},
        "shm_size": 128 * MIB,
        "ulimits": [{"Name": "nofile", "Soft": 1024, "Hard": 8192}],
        "init": True,
        "network_mode": "none",
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges"],
        "log_config": {"Type": "json-file"},
    }


def test_docker_gets_two_cpu_shares_at_least_and_no_size_of_shared_memory_unless_one_is_given() -> None:
    arguments = Container(image="i", memory=4, vcpus=0).docker_arguments()
    assert arguments["cpu_shares"] == 2
    assert "shm_size" not in arguments

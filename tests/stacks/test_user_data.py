"""User data: what a host does before it takes a job. The script is the template's own, run in a container."""

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from support.user_data import DROP_IN, IN_ONE, MOUNTS, ONE, Boot, Outcome, parts, programs, unsubstituted, user_data

from toolchain.images.build import ImageBuilder, build

Start = Callable[[Boot], Outcome]
CONFIG_OF_BATCH = ["ECS_CLUSTER=AWSBatch-spot"]


@pytest.fixture(scope="module")
def image(builder: ImageBuilder) -> str:
    """A system with bash, made without any registry."""
    return build(builder, (builder.catalog.base,))[0].image_id


@pytest.fixture
def start(builder: ImageBuilder, image: str, tmp_path: Path) -> Start:
    """Boots a host once."""
    return lambda boot: boot.run(builder.engine, image, tmp_path)


def assert_instance_ends(outcome: Outcome, why: str) -> None:
    """No job can come to the host, and the jobs' log says so."""
    assert outcome.exit_code != 0
    mask, create, put, shutdown = outcome.calls[-4:]
    assert (mask, shutdown) == ("systemctl mask ecs.service", "shutdown -h now")
    where = "--region eu-west-1 --log-group-name /genomics/jobs --log-stream-name host/i-1"
    assert create == f"aws logs create-log-stream {where}"
    assert re.fullmatch(
        rf"aws logs put-log-events --log-events timestamp=\d{{13}},message=host: error: cannot {why}; "
        rf"this instance ends {where}",
        put,
    )
    assert outcome.config == CONFIG_OF_BATCH
    assert not [call for call in outcome.called("systemctl") if " start" in call or "enable" in call]
    assert f"error: cannot {why}; this instance ends" in outcome.said


def names(calls: list[str]) -> list[str]:
    """The last words of calls, less their folders."""
    return [call.rpartition("/")[2] for call in calls]


# ---- the text ----


def test_it_is_one_shell_script_in_a_mime_archive_to_which_batch_can_add_its_own() -> None:
    [(kind, script)] = parts()
    assert user_data().startswith("MIME-Version: 1.0\nContent-Type: multipart/mixed;")
    assert kind == "text/x-shellscript"
    assert script.startswith("#!/bin/bash\n")
    assert len(user_data().encode("ascii")) < 12 * 1024  # of the 16 KiB that EC2 takes


def test_cloudformation_substitutes_the_parameters_names_and_nothing_of_the_shell() -> None:
    assert re.findall(r"\$\{([^}]*)\}", unsubstituted()) == ["AWS::Region", "Project", "AWS::Region", "Project"]


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not installed")
@pytest.mark.parametrize(
    "name",
    [
        "user data",
        *(f"/usr/local/sbin/{name}" for name in ("host-ends", "jobs-confined", "scratch-ready", "spot-notice")),
    ],
)
def test_shellcheck_finds_nothing(name: str) -> None:
    text = {"user data": parts()[0][1], **programs()}[name]
    result = subprocess.run(["shellcheck", "-"], input=text, text=True, capture_output=True, check=False)
    assert (result.returncode, result.stdout) == (0, "")


def test_it_never_waits_for_a_unit_that_waits_for_it() -> None:
    script = parts()[0][1]
    for text in programs().values():
        script = script.replace(text, "")
    started = re.findall(r"systemctl.*(?:\bstart\b|--now).*", script)
    assert started
    assert all("--no-block" in line and "ecs" not in line for line in started)


def test_containers_end_before_lustre_is_unmounted() -> None:
    drop_in = programs()["/etc/systemd/system/docker.service.d/scratch.conf"]
    assert drop_in == "[Unit]\nAfter=scratch-reference.mount scratch-data.mount scratch-working.mount\n"


# ---- a boot ----


def test_a_host_installs_the_client_mounts_the_file_systems_and_then_lets_the_agent_start(start: Start) -> None:
    outcome = start(Boot(mounts=MOUNTS))
    assert outcome.exit_code == 0, outcome.said
    assert outcome.calls == [
        "systemctl daemon-reload",
        "dnf install -y awscli-2 lustre-client",
        *(
            f"aws ssm get-parameter --region eu-west-1 --name /genomics/scratch/{name} "
            "--query Parameter.Value --output text"
            for name in MOUNTS
        ),
        f"mount -t lustre -o noatime,flock,ro {MOUNTS['reference']} /scratch/reference",
        f"mount -t lustre -o noatime,flock,ro {MOUNTS['data']} /scratch/data",
        f"mount -t lustre -o noatime,flock {MOUNTS['working']} /scratch/working",
        "systemctl restart docker.service",
        "iptables --wait -C OUTPUT -d 169.254.169.254 -m owner ! --uid-owner 0 -j REJECT",
        "iptables --wait -I OUTPUT -d 169.254.169.254 -m owner ! --uid-owner 0 -j REJECT",
        "curl -s -m 5 -o /dev/null http://169.254.169.254/",
        "docker info --format {{.SecurityOptions}}",
        "systemctl enable --now --no-block spot-notice.service",
    ]
    assert outcome.owner == "1000:1000"
    # What the agent is told is added to what Batch wrote.
    assert outcome.config[:1] == CONFIG_OF_BATCH
    settings = {"ECS_ENABLE_SPOT_INSTANCE_DRAINING=true", "ECS_DISABLE_PRIVILEGED=true", "ECS_IMAGE_PULL_BEHAVIOR=once"}
    assert settings <= set(outcome.config)
    keys = [line.partition("=")[0] for line in outcome.config]
    assert len(keys) == len(set(keys))


def test_a_shared_file_system_is_mounted_by_its_directories_and_working_is_made_in_it_first(start: Start) -> None:
    # The stand-in of `mount` mounts nothing over the mount point, so what was made there is seen.
    outcome = start(Boot(mounts=IN_ONE, then="ls /run/scratch-top"))
    assert outcome.exit_code == 0, outcome.said
    assert [*outcome.called("mount"), *outcome.called("umount")] == [
        f"mount -t lustre {ONE} /run/scratch-top",
        f"mount -t lustre -o noatime,flock,ro {ONE}/reference /scratch/reference",
        f"mount -t lustre -o noatime,flock,ro {ONE}/data /scratch/data",
        f"mount -t lustre -o noatime,flock {ONE}/working /scratch/working",
        "umount /run/scratch-top",
    ]
    assert (outcome.owner, outcome.output) == ("1000:1000", "working\n")


@pytest.mark.parametrize(
    ("boot", "program", "count"),
    [
        (Boot(mounts=MOUNTS, fail="^dnf ", times=5), "dnf", 6),  # the package lock is held at boot
        *(
            (Boot(mounts=MOUNTS, fail=f"^mount .*/scratch/{name}$", times=2), "mount", 5)
            for name in ("data", "working")
        ),
        (Boot(mounts=IN_ONE, fail="^mount .*/run/scratch-top$", times=2), "mount", 6),
    ],
)
def test_a_failure_that_passes_is_waited_out(start: Start, boot: Boot, program: str, count: int) -> None:
    outcome = start(boot)
    assert outcome.exit_code == 0, outcome.said
    assert len(outcome.called(program)) == count
    assert outcome.called("sleep") == ["sleep 15"] * boot.times
    assert outcome.config != CONFIG_OF_BATCH


@pytest.mark.parametrize(
    "boot",
    [
        Boot(mounts=MOUNTS, fail="^iptables "),
        Boot(mounts=MOUNTS, metadata="open"),
        Boot(mounts=MOUNTS, fail="^docker "),
        Boot(mounts=MOUNTS, fail="^systemctl restart docker"),
    ],
)
def test_a_host_whose_jobs_could_reach_its_metadata_or_gain_privileges_ends(start: Start, boot: Boot) -> None:
    assert_instance_ends(start(boot), "confine jobs")


@pytest.mark.parametrize(
    "boot",
    [
        *(Boot(mounts=MOUNTS, fail=f"^mount .*/scratch/{name}$") for name in ("reference", "data", "working")),
        Boot(mounts=MOUNTS, mounted="hangs"),
        # The agent cannot be masked either.
        Boot(mounts=MOUNTS, fail="^(mount|systemctl mask) "),
    ],
)
def test_a_mount_that_never_comes_ends_the_instance_before_any_job(start: Start, boot: Boot) -> None:
    outcome = start(boot)
    assert_instance_ends(outcome, "mount Lustre")
    last = names(outcome.called("mount"))[-1]
    assert names(outcome.called("mount")).count(last) == 20


@pytest.mark.parametrize("missing", MOUNTS)
def test_without_a_parameter_the_file_systems_are_down_and_the_instance_ends_at_once(
    start: Start, missing: str
) -> None:
    outcome = start(Boot(mounts={name: mount for name, mount in MOUNTS.items() if name != missing}))
    assert_instance_ends(outcome, "read what to mount from Systems Manager")
    assert "(ParameterNotFound)" in outcome.said
    assert outcome.called("mount") == outcome.called("sleep") == []


@pytest.mark.parametrize(("mounted", "shown"), [("tmpfs", "tmpfs"), ("nothing", "")])
def test_a_mount_that_succeeded_and_is_not_lustre_ends_the_instance(start: Start, mounted: str, shown: str) -> None:
    outcome = start(Boot(mounts=MOUNTS, mounted=mounted))
    assert_instance_ends(outcome, "mount Lustre")
    assert f"error: /scratch/reference is '{shown}', not lustre" in outcome.said


@pytest.mark.parametrize(
    ("fail", "why"),
    [
        ("^dnf ", "install packages"),
        ("^systemctl daemon-reload$", "start"),
        ("^mount .*/run/scratch-top$", "mount Lustre"),
    ],
)
def test_whatever_else_fails_ends_the_instance_too(start: Start, fail: str, why: str) -> None:
    assert_instance_ends(start(Boot(mounts=IN_ONE, fail=fail)), why)


# ---- later ----

# What systemd runs before each start of the agent.
AGENT_STARTS = f"""
sed -n 's/^ExecStartPre=//p' {DROP_IN} > /tmp/before
sh -e /tmp/before
echo "status $?"
"""


@pytest.mark.parametrize(
    ("lost", "then_fail", "why"),
    [
        ("", "", None),
        *((f"umount /scratch/{name}", "", "find Lustre") for name in MOUNTS),
        ("", "^iptables ", "confine jobs"),
        ("", "^docker ", "confine jobs"),
    ],
)
def test_the_agent_starts_only_where_lustre_is_and_jobs_are_confined_and_else_the_instance_ends(
    start: Start, lost: str, then_fail: str, why: str | None
) -> None:
    outcome = start(Boot(mounts=MOUNTS, then=f"{lost}{AGENT_STARTS}", then_fail=then_fail or "^nothing fails$"))
    assert outcome.exit_code == 0
    assert outcome.output == ("status 1\n" if why else "status 0\n")
    assert outcome.called("shutdown") == (["shutdown -h now"] if why else [])
    said = [call for call in outcome.called("aws") if "put-log-events" in call]
    assert [f"host: error: cannot {why}; this" in call for call in said] == ([True] if why else [])


def test_on_a_spot_notice_the_agent_goes_before_the_containers_and_the_mounts(start: Start) -> None:
    then = ": > /tmp/calls; /usr/local/sbin/spot-notice"
    outcome = start(Boot(mounts=MOUNTS, times=3, then=then, then_fail="^curl .*instance-action$"))
    assert len(outcome.called("curl")) == 8  # a token and a question, four times
    assert [call for call in outcome.calls if not call.startswith("curl ")] == [
        *["sleep 5"] * 3,
        "sleep 75",
        "systemctl stop ecs.service",
        "shutdown -h now",
    ]
    assert all("X-aws-ec2-metadata-token: token" in call for call in outcome.called("curl")[1::2])


def test_without_a_token_nothing_is_taken_for_a_notice(start: Start) -> None:
    then = ": > /tmp/calls; /usr/local/sbin/spot-notice"
    outcome = start(Boot(mounts=MOUNTS, times=2, then=then, then_fail="^curl .*api/token$"))
    assert names(outcome.called("curl")) == ["token", "token", "token", "instance-action"]

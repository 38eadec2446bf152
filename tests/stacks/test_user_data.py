"""User data: what a host does before it takes a job. The script is the template's own, run for real."""

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from support.user_data import DROP_IN, IN_ONE, MOUNTS, ONE, Boot, Outcome, parts, programs, unsubstituted, user_data

from toolchain.images import build as builds

Start = Callable[[Boot], Outcome]
BATCH_S_OWN = ["ECS_CLUSTER=AWSBatch-spot"]
GONE = ["systemctl mask ecs.service", "shutdown -h now"]


@pytest.fixture(scope="module")
def image(builder: builds.ImageBuilder) -> str:
    """A system with bash, made without any registry."""
    return builds.build(builder, (builder.catalog.base,))[0].image_id


@pytest.fixture
def start(builder: builds.ImageBuilder, image: str, tmp_path: Path) -> Start:
    """Boots a host once."""
    return lambda boot: boot.run(builder.engine, image, tmp_path)


def assert_no_job_can_come(outcome: Outcome) -> None:
    assert outcome.exit_code != 0
    assert outcome.calls[-2:] == GONE
    assert outcome.config == BATCH_S_OWN
    assert not [call for call in outcome.called("systemctl") if "start" in call or "enable" in call]
    assert "error: no Lustre, no jobs; this instance ends" in outcome.said


# ---- the text ---------------------------------------------------------------------------------------------


def test_it_is_one_shell_script_in_a_mime_archive_which_batch_can_add_its_own_to() -> None:
    [(kind, script)] = parts()
    assert user_data().startswith("MIME-Version: 1.0\nContent-Type: multipart/mixed;")
    assert kind == "text/x-shellscript"
    assert script.startswith("#!/bin/bash\n")


def test_cloudformation_substitutes_the_three_mounts_and_nothing_of_the_shell() -> None:
    assert re.findall(r"\$\{([^}]*)\}", unsubstituted()) == list(MOUNTS)


def test_it_leaves_room_for_what_batch_adds() -> None:
    assert len(user_data().encode("ascii")) < 12 * 1024  # of the 16 KiB that EC2 takes


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not installed")
@pytest.mark.parametrize("name", ["user data", "/usr/local/sbin/scratch-ready", "/usr/local/sbin/spot-notice"])
def test_shellcheck_finds_nothing(name: str) -> None:
    text = {"user data": parts()[0][1], **programs()}[name]
    result = subprocess.run(["shellcheck", "-"], input=text, text=True, capture_output=True, check=False)
    assert result.stdout == ""
    assert result.returncode == 0


def test_it_never_waits_for_a_unit_that_waits_for_it() -> None:
    script = parts()[0][1]
    for text in programs().values():
        script = script.replace(text, "")
    started = re.findall(r"systemctl.*(?:\bstart\b|--now).*", script)
    assert started
    assert all("--no-block" in line and "ecs" not in line for line in started)


# ---- the good days ----------------------------------------------------------------------------------------


def test_a_host_installs_the_client_mounts_the_three_and_then_lets_the_agent_start(start: Start) -> None:
    outcome = start(Boot(mounts=MOUNTS))
    assert outcome.exit_code == 0, outcome.said
    assert outcome.calls == [
        "systemctl daemon-reload",
        "dnf install -y lustre-client",
        f"mount -t lustre -o noatime,flock,ro {MOUNTS['ReferenceMount']} /scratch/reference",
        f"mount -t lustre -o noatime,flock,ro {MOUNTS['DataMount']} /scratch/data",
        f"mount -t lustre -o noatime,flock {MOUNTS['WorkingMount']} /scratch/working",
        "iptables --wait -I OUTPUT -d 169.254.169.254 -m owner --uid-owner 1000 -j REJECT",
        "systemctl enable --now --no-block spot-notice.service",
    ]


def test_steps_can_write_to_the_working_directory(start: Start) -> None:
    assert start(Boot(mounts=MOUNTS)).owner == "1000:1000"


def test_the_agent_s_configuration_is_added_to_what_batch_wrote(start: Start) -> None:
    config = start(Boot(mounts=MOUNTS)).config
    assert config[:1] == BATCH_S_OWN
    assert "ECS_ENABLE_SPOT_INSTANCE_DRAINING=true" in config
    assert "ECS_DISABLE_PRIVILEGED=true" in config
    assert "ECS_IMAGE_PULL_BEHAVIOR=once" in config
    names = [line.partition("=")[0] for line in config]
    assert len(names) == len(set(names))


def test_one_file_system_is_mounted_by_its_directories_and_working_is_made_first(start: Start) -> None:
    outcome = start(Boot(mounts=IN_ONE))
    assert outcome.exit_code == 0, outcome.said
    assert [*outcome.called("mount"), *outcome.called("umount")] == [
        f"mount -t lustre {ONE} /run/scratch-top",
        f"mount -t lustre -o noatime,flock,ro {ONE}/reference /scratch/reference",
        f"mount -t lustre -o noatime,flock,ro {ONE}/data /scratch/data",
        f"mount -t lustre -o noatime,flock {ONE}/working /scratch/working",
        "umount /run/scratch-top",
    ]
    assert outcome.owner == "1000:1000"


def test_the_directory_is_made_in_the_file_system_and_nowhere_else(start: Start) -> None:
    # The stand-in mounts nothing over it, so what was made stays to be seen.
    assert start(Boot(mounts=IN_ONE, then="ls /run/scratch-top")).output == "working\n"
    assert start(Boot(mounts=MOUNTS, then="ls /run")).output.count("scratch-top") == 0


# ---- what goes wrong at boot, and passes --------------------------------------------------------------------


def test_a_package_lock_that_is_held_five_times_is_waited_for(start: Start) -> None:
    outcome = start(Boot(mounts=MOUNTS, fail="^dnf ", times=5))
    assert outcome.exit_code == 0, outcome.said
    assert outcome.called("dnf") == ["dnf install -y lustre-client"] * 6
    assert outcome.called("sleep") == ["sleep 15"] * 5
    assert len(outcome.called("mount")) == 3


@pytest.mark.parametrize("name", ["reference", "data", "working"])
def test_a_mount_that_fails_twice_is_tried_a_third_time(start: Start, name: str) -> None:
    outcome = start(Boot(mounts=MOUNTS, fail=f"^mount .*/scratch/{name}$", times=2))
    assert outcome.exit_code == 0, outcome.said
    assert [call.rpartition("/")[2] for call in outcome.called("mount")].count(name) == 3
    assert len(outcome.called("mount")) == 5
    assert outcome.config != BATCH_S_OWN


def test_one_file_system_that_is_slow_to_come_is_waited_for_at_its_top_too(start: Start) -> None:
    outcome = start(Boot(mounts=IN_ONE, fail="^mount .*/run/scratch-top$", times=2))
    assert outcome.exit_code == 0, outcome.said
    assert len(outcome.called("mount")) == 6


def test_a_host_whose_metadata_cannot_be_closed_to_jobs_says_so_and_works(start: Start) -> None:
    outcome = start(Boot(mounts=MOUNTS, fail="^iptables "))
    assert outcome.exit_code == 0
    assert "warning: jobs can reach this host's metadata" in outcome.said


# ---- what goes wrong for good -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["reference", "data", "working"])
def test_a_mount_that_never_comes_ends_the_instance_before_any_job(start: Start, name: str) -> None:
    outcome = start(Boot(mounts=MOUNTS, fail=f"^mount .*/scratch/{name}$"))
    assert_no_job_can_come(outcome)
    assert [call.rpartition("/")[2] for call in outcome.called("mount")].count(name) == 20


def test_a_mount_that_hangs_does_not_hold_the_instance_for_ever(start: Start) -> None:
    outcome = start(Boot(mounts=MOUNTS, mounted="hangs"))
    assert_no_job_can_come(outcome)
    assert len(outcome.called("mount")) == 20


@pytest.mark.parametrize("mounted", ["tmpfs", "nothing"])
def test_a_mount_that_says_it_succeeded_and_is_not_lustre_ends_the_instance(start: Start, mounted: str) -> None:
    outcome = start(Boot(mounts=MOUNTS, mounted=mounted))
    assert_no_job_can_come(outcome)
    shown = "" if mounted == "nothing" else mounted
    assert f"error: /scratch/reference is '{shown}', not lustre" in outcome.said


@pytest.mark.parametrize("fail", ["^dnf ", "^systemctl daemon-reload$", "^mount .*/run/scratch-top$"])
def test_whatever_else_fails_for_good_ends_the_instance_too(start: Start, fail: str) -> None:
    assert_no_job_can_come(start(Boot(mounts=IN_ONE, fail=fail)))


def test_an_instance_ends_even_if_the_agent_cannot_be_masked(start: Start) -> None:
    outcome = start(Boot(mounts=MOUNTS, fail="^(mount|systemctl mask) "))
    assert_no_job_can_come(outcome)


# ---- later ------------------------------------------------------------------------------------------------

# What systemd runs before each start of the agent.
AGENT_STARTS = f"""
sed -n 's/^ExecStartPre=//p' {DROP_IN} > /tmp/before
sh /tmp/before
echo "status $?"
"""


def test_the_agent_starts_where_lustre_is(start: Start) -> None:
    outcome = start(Boot(mounts=MOUNTS, then=AGENT_STARTS))
    assert outcome.output == "status 0\n"
    assert not outcome.called("shutdown")


@pytest.mark.parametrize("lost", ["reference", "data", "working"])
def test_after_a_reboot_or_a_lost_mount_the_agent_does_not_start_and_the_instance_ends(start: Start, lost: str) -> None:
    outcome = start(Boot(mounts=MOUNTS, then=f"umount /scratch/{lost}{AGENT_STARTS}"))
    assert outcome.exit_code == 0
    assert outcome.output == "status 1\n"
    assert outcome.called("shutdown") == ["shutdown -h now"]


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
    assert [call.rpartition("/")[2] for call in outcome.called("curl")] == [
        "token",
        "token",
        "token",
        "instance-action",
    ]


def test_containers_end_before_lustre_is_unmounted() -> None:
    drop_in = programs()["/etc/systemd/system/docker.service.d/scratch.conf"]
    assert drop_in == "[Unit]\nAfter=scratch-reference.mount scratch-data.mount scratch-working.mount\n"

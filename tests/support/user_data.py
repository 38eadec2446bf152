"""The compute stack's user data as CloudFormation substitutes it, and a container that stands in for a host."""

import email
import email.policy
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from support.resolved_stacks import template

from toolchain.docker.container import Container, Mount
from toolchain.docker.engine import Engine

# What the storage stack's parameters hold.
MOUNTS = {
    "reference": "fs-1.fsx.eu-west-1.amazonaws.com@tcp:/aaaaaaaa",
    "data": "fs-2.fsx.eu-west-1.amazonaws.com@tcp:/bbbbbbbb",
    "working": "fs-3.fsx.eu-west-1.amazonaws.com@tcp:/cccccccc",
}
ONE = "fs-9.fsx.eu-west-1.amazonaws.com@tcp:/dddddddd"
IN_ONE = {name: f"{ONE}/{name}" for name in MOUNTS}
DROP_IN = "/etc/systemd/system/ecs.service.d/scratch.conf"


def unsubstituted() -> str:
    """The user data as the template has it."""
    host = template("compute").resources["LaunchTemplate"]["Properties"]["LaunchTemplateData"]
    text: str = host["UserData"]["Fn::Base64"]["Fn::Sub"]
    return text


def user_data() -> str:
    """The user data as an instance gets it; a name that nothing is given for is an error, as in CloudFormation."""
    names = {"AWS::Region": "eu-west-1", "Project": "genomics"}
    return re.sub(r"\$\{(!?)([^}]*)\}", lambda name: f"${{{name[2]}}}" if name[1] else names[name[2]], unsubstituted())


def parts() -> list[tuple[str, str]]:
    """Its MIME parts: type and text."""
    message = email.message_from_string(user_data(), policy=email.policy.default)
    return [(part.get_content_type(), part.get_content()) for part in message.iter_parts()]


def programs() -> dict[str, str]:
    """The files that the script writes, by their paths."""
    found = re.findall(r"^cat > (\S+) << 'END'\n(.*?)^END$", parts()[0][1], flags=re.MULTILINE | re.DOTALL)
    return dict(found)


# Every stand-in says how it was called, and fails as often as it is told to.
_FIRST = """\
#!/bin/sh
call="$(basename "$0") $*"
echo "$call" >> /tmp/calls
if echo "$call" | grep -qE -e "$FAIL" && [ "$(grep -cE -e "$FAIL" /tmp/calls)" -le "$TIMES" ]; then exit 1; fi
"""
_STAND_INS = {
    "dnf": "",
    # Systems Manager, which knows the parameters in a file.
    "aws": """
for last in "$@"; do :; done
case "$*" in
    "logs "*) exit 0 ;;
    "ssm get-parameter --region eu-west-1 --name /genomics/scratch/"*" --query Parameter.Value --output text") ;;
    *) echo "aws: error: $*" >&2; exit 252 ;;
esac
name="${6#/genomics/scratch/}"
sed -n "s|^$name ||p" /case/parameters | grep . && exit
echo "An error occurred (ParameterNotFound) when calling the GetParameter operation:" >&2
exit 254
""",
    "sleep": "",
    "shutdown": "",
    "systemctl": "",
    "iptables": """
case "$*" in *" -C "*) grep -q "^iptables --wait -I OUTPUT" /tmp/calls ;; esac
""",
    # Nobody but root reaches the metadata.
    "curl": """
[ "$(id -u)" = 0 ] || [ "$METADATA" = open ] || exit 7
case "$*" in *"-o /dev/null"*) ;; *) echo token ;; esac
""",
    "docker": "grep -o no-new-privileges /etc/docker/daemon.json",
    "mount": """
if [ "$MOUNTED" = hangs ]; then exec /bin/sleep 60; fi
for last in "$@"; do :; done
echo "$last $MOUNTED" >> /tmp/mounted
""",
    "umount": 'sed -i "\\\\|^$1 |d" /tmp/mounted',
    # It knows what `mount` did, and of its options those that are used.
    "findmnt": """
for last in "$@"; do :; done
kind=$(sed -n "s|^$last ||p" /tmp/mounted | grep -v nothing) || exit 1
case "$*" in *"--types lustre "*) [ "$kind" = lustre ] || exit 1 ;; esac
echo "$kind"
""",
}
# The real one, but no test waits a minute for a mount that hangs.
_TIMEOUT = """\
#!/bin/sh
if [ "$2 $MOUNTED" = "mount hangs" ]; then shift; set -- 0.05 "$@"; fi
exec /usr/bin/timeout "$@"
"""
_RUN = """\
#!/bin/bash
touch /tmp/calls /tmp/mounted
chmod 666 /tmp/calls
mkdir -p /etc/ecs /var/lib/cloud/data
echo i-1 > /var/lib/cloud/data/instance-id
echo ECS_CLUSTER=AWSBatch-spot > /etc/ecs/ecs.config # as Batch's own part of the user data does
bash /case/user-data.sh
echo "exit $?"
export FAIL="$THEN_FAIL"
eval "$THEN"
for file in /tmp/calls /etc/ecs/ecs.config; do echo "== $file"; cat "$file"; done
echo "== owner"
[ ! -e /scratch/working ] || stat -c %u:%g /scratch/working
"""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of a host.

    Attributes:
        exit_code: The script's.
        calls: What it called, less looks at what is mounted.
        config: The lines of the agent's configuration.
        owner: Whose /scratch/working is; empty where there is none.
        output: What `then` wrote to stdout.
        said: What was said on stderr.
    """

    exit_code: int
    calls: list[str]
    config: list[str]
    owner: str
    output: str
    said: str

    def called(self, program: str) -> list[str]:
        """The calls of one program."""
        return [call for call in self.calls if call.split()[0] == program]


@dataclass(frozen=True, kw_only=True)
class Boot:
    """The first boot of a host.

    Attributes:
        mounts: What the storage stack's parameters hold.
        fail: Which calls fail, as a pattern.
        times: How many of them.
        mounted: The type of what `mount` mounts; `nothing` if it only says so; `hangs` if it never returns.
        metadata: Whether the rule for the metadata holds: `closed`, or `open` if it does not.
        then: Shell code that runs afterwards, on the same host.
        then_fail: Which calls fail from then on.
    """

    mounts: Mapping[str, str]
    fail: str = "^nothing fails$"
    times: int = 1000
    mounted: str = "lustre"
    metadata: str = "closed"
    then: str = ":"
    then_fail: str = "^nothing fails$"

    def run(self, engine: Engine, image: str, folder: Path) -> Outcome:
        """Runs the script in a container, as root."""
        folder.chmod(0o755)
        stand_ins = {f"bin/{name}": f"{_FIRST}{body}\n" for name, body in _STAND_INS.items()}
        for name, text in {
            "user-data.sh": parts()[0][1],
            "parameters": "".join(f"{name} {mount}\n" for name, mount in self.mounts.items()),
            "run": _RUN,
            "bin/timeout": _TIMEOUT,
            **stand_ins,
        }.items():
            file = folder / name
            file.parent.mkdir(exist_ok=True)
            file.write_text(text, encoding="ascii")
            file.chmod(0o755)
        result = engine.run(
            Container(
                image=image,
                command=("/case/run",),
                environment={
                    "PATH": "/case/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                    "FAIL": self.fail,
                    "TIMES": str(self.times),
                    "MOUNTED": self.mounted,
                    "METADATA": self.metadata,
                    "THEN": self.then,
                    "THEN_FAIL": self.then_fail,
                },
                mounts=(Mount(source=str(folder), target="/case", read_only=True),),
                memory=256,
                user="0",
            ),
            network_mode="none",
            cap_drop=[],  # it is a host, and no job
        )
        assert result.exit_code == 0, result.stderr
        first, calls, config, owner = re.split(r"^== .*\n", result.stdout, flags=re.MULTILINE)
        status, _, output = first.partition("\n")
        return Outcome(
            exit_code=int(status.removeprefix("exit ")),
            calls=[call for call in calls.splitlines() if not call.startswith("findmnt ")],
            config=config.splitlines(),
            owner=owner.strip(),
            output=output,
            said=result.stderr,
        )

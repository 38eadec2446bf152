"""Attacks on the embedded AWS: from another user of the machine, from a web page, and from a job's container."""

import base64
import http.client
import io
import json
import os
import re
import shutil
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError
from support.attacks import (
    ATTACKER,
    FSX,
    Answer,
    Call,
    add_headers,
    json_call,
    query_call,
    raw,
    register,
    signed_at,
    stamp,
    with_key,
)
from support.aws_clients import lead
from support.embedded_jobs import ROLE, Cloud, cloud_of, until
from support.job_runner import BuiltImages

from toolchain.localaws.access import Key, Server
from toolchain.localaws.batch.backend import LocalBatchBackend
from toolchain.localaws.config import LocalConfig
from toolchain.localaws.server import serve

FORM = "application/x-www-form-urlencoded"
SOME = [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "256"}]
DELETIONS = Call(service="s3", path="/kept?delete", body=b"<Delete><Object><Key>secret</Key></Object></Delete>")
OBJECT = Call(service="s3", method="GET", path="/kept/secret")
IAM = query_call("iam", "ListRoles")
CALLS = (
    Call(service="s3", method="GET"),
    OBJECT,
    IAM,
    query_call("ec2", "DescribeVpcs"),
    query_call("cloudformation", "DescribeStacks"),
    json_call("fsx", f"{FSX}.DescribeFileSystems"),
    json_call("logs", "Logs_20140328.DescribeLogGroups"),
    json_call("ecr", "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken", registryIds=[]),
    json_call("states", "AWSStepFunctions.ListStateMachines"),
    register(),
)
HARMFUL = (replace(OBJECT, method="DELETE"), DELETIONS)
# What a service says to who does not show a key, or shows a wrong one.
CODES = (
    "AccessDenied AccessDeniedException AuthorizationHeaderMalformed IncompleteSignature IncompleteSignatureException "
    "InvalidAccessKeyId InvalidClientTokenId InvalidSignatureException MissingAuthenticationToken RequestExpired "
    "MissingAuthenticationTokenException RequestTimeTooSkewed SignatureDoesNotMatch UnrecognizedClientException"
)
REFUSED = frozenset(CODES.split())


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> LocalConfig:
    return LocalConfig(root=tmp_path_factory.mktemp("attacked"), vcpus=2, memory=1024)


@pytest.fixture(scope="module")
def server(config: LocalConfig) -> Iterator[Server]:
    with pytest.MonkeyPatch.context() as patch, serve(config) as server:
        lead(patch, server.environment)
        (config.buckets / "kept").mkdir()
        (config.buckets / "kept" / "secret").write_bytes(b"hidden")
        yield server


@pytest.fixture(scope="module")
def cloud(config: LocalConfig, server: Server) -> Cloud:
    assert server
    for name in ("reference", "data", "working"):
        (config.scratch / name).mkdir(exist_ok=True)
    return cloud_of(config)


@pytest.fixture(autouse=True)
def _the_secret_stays(config: LocalConfig) -> Iterator[None]:
    yield
    assert (config.buckets / "kept" / "secret").read_bytes() == b"hidden"


def check_refused(answer: Answer) -> None:
    """It was refused, in the service's own words, and nothing else was said."""
    assert answer.status == 403, answer
    assert answer.code in REFUSED, answer
    assert b"hidden" not in answer.body
    assert not [name for name in answer.headers if name.lower().startswith("access-control-")]


# ---- without the key, and from web pages ----------------------------------------------------------------------------

Attack = Callable[[Server, Call], list[Answer]]


def other_path(server: Server, call: Call) -> list[Answer]:
    other = replace(call, path=f"{call.path}{'&' if '?' in call.path else '?'}a=b", body=b"", headers={})
    return [other.sent(server, {**call.signed(server), "Content-Length": "0"})]


def other_method(server: Server, call: Call) -> list[Answer]:
    swapped = replace(call, method="PUT" if call.method == "GET" else "GET", headers={})
    return [swapped.sent(server, call.signed(server))]


ON_EVERY_CALL: dict[str, Attack] = {
    "nobody signed it": lambda server, call: [call.sent(server)],
    "moto's own key": with_key(lambda _: Key(id="local", secret="local")),
    "the secret under another id": with_key(lambda key: Key(id="test", secret=key.secret)),
    "the id with another secret": with_key(lambda key: Key(id=key.id, secret="local")),
    "a shorter secret": with_key(lambda key: Key(id=key.id, secret=key.secret[:-1])),
    "the id in lower case": with_key(lambda key: Key(id=key.id.lower(), secret=key.secret)),
    "the export's key": with_key(lambda _: LocalBatchBackend.host.access.export),
    "the signature of another path": other_path,
    "the signature of another method": other_method,
    **{f"signed {seconds} s from now": signed_at(seconds) for seconds in (-86400, -1000, 1000, 86400)},
    **{
        f"the host {host!r}": add_headers(Host=host)
        for host in (
            "",
            "attacker.example",
            "attacker.example:PORT",
            "127.0.0.1.nip.io:PORT",
            "localhost.attacker.example",
            "[::1]:PORT",
        )
    },
    **{
        f"the origin {origin!r}": add_headers(Origin=origin)
        for origin in (ATTACKER, "null", "http://localhost", "https://127.0.0.1", "", "file://")
    },
    "a page of another site": add_headers(**{"Sec-Fetch-Site": "cross-site"}),
}


@pytest.mark.parametrize("attack", ON_EVERY_CALL.values(), ids=ON_EVERY_CALL.keys())
def test_no_call_is_answered(server: Server, attack: Attack) -> None:
    for call in (*CALLS, *HARMFUL):
        for answer in attack(server, call):
            check_refused(answer)


def test_a_call_with_the_key_is_answered(server: Server) -> None:
    """So that what is refused above is refused for its one fault."""
    assert {call.service: call.owned(server).status for call in CALLS} == dict.fromkeys(
        {call.service for call in CALLS}, 200
    )


def changed_body(server: Server) -> Answer:
    return replace(IAM, body=IAM.body.replace(b"ListRoles", b"ListUsers")).sent(server, IAM.signed(server))


def unsigned_host(server: Server) -> Answer:
    headers = OBJECT.signed(server)
    signed = headers["Authorization"].replace("SignedHeaders=host;", "SignedHeaders=")
    return OBJECT.sent(server, {**headers, "Authorization": signed})


def sent_raw(request: bytes) -> Callable[[Server], Answer]:
    return lambda server: raw(server, request.replace(b"PORT", server.endpoint.rpartition(":")[2].encode()))


def presigned(old: str, new: str) -> Callable[[Server], Answer]:
    """A presigned address after a change of its text."""

    def attack(server: Server) -> Answer:
        path = OBJECT.presigned(server)
        changed = re.sub(old, new, path)
        assert changed != path
        return OBJECT.sent(server, path=changed)

    return attack


def authorized_by(header: str, path: str = "/kept/secret") -> Callable[[Server], Answer]:
    return lambda server: replace(OBJECT, path=path).sent(
        server,
        {"Authorization": header.replace("KEY", server.key.id), "X-Amz-Date": stamp(0), "Content-Length": "0"},
    )


def unsigned(call: Call, **headers: str) -> Callable[[Server], Answer]:
    return lambda server: call.sent(server, {name.replace("_", "-"): value for name, value in headers.items()})


def signed_in_query(call: Call) -> Callable[[Server], Answer]:
    return lambda server: call.sent(server, path=call.presigned(server))


SCOPE = "us-east-1/s3/aws4_request, SignedHeaders=host, Signature=" + "0" * 64
AUTHORIZATIONS = (
    "",
    "x",
    "Basic bG9jYWw6bG9jYWw=",
    "Bearer local",
    "AWS local:c2lnbmF0dXJl",
    "AWS4-HMAC-SHA256",
    "AWS4-HMAC-SHA256 Credential=x/20260101/us-east-1/s3/aws4_request",
    f"AWS4-HMAC-SHA256 Credential=KEY, SignedHeaders=host, Signature={'0' * 64}",
    f"AWS4-HMAC-SHA256 Credential=KEY/20300101/{SCOPE}",
    "AWS4-ECDSA-P256-SHA256 Credential=KEY/20300101/s3/aws4_request, SignedHeaders=host, Signature=00",
)
MOTO_API = ("/moto-api", "/moto-api/", "/moto-api/data.json", "/moto-api/reset", "/%6doto-api/reset")
METADATA = ("/latest/meta-data/iam/security-credentials/", "/latest/api/token")
# Moto's Lambda, say, runs containers with whatever code it is given.
UNUSED_SERVICES = ("lambda", "moto_api", "instance_metadata", "ecs", "codebuild", "secretsmanager")
WEB_IDENTITY = "AssumeRoleWithWebIdentity&RoleArn=arn:aws:iam::123456789012:role/x&RoleSessionName=x&WebIdentityToken=x"
BY_ITSELF: dict[str, Callable[[Server], Answer]] = {
    "a body that was changed after signing": changed_body,
    "a header that matters and is not signed": lambda server: OBJECT.sent(
        server, {**OBJECT.signed(server), "x-amz-copy-source": "/kept/other"}
    ),
    "a host that is not signed": unsigned_host,
    "a signature in the headers and in the query": lambda server: OBJECT.sent(
        server, OBJECT.signed(server), path=OBJECT.presigned(server)
    ),
    "no date": lambda server: OBJECT.sent(server, {**OBJECT.signed(server), "X-Amz-Date": ""}),
    "a presigned address by another algorithm": presigned("Algorithm=AWS4-HMAC", "Algorithm=AWS5-HMAC"),
    **{f"authorization {header!r}": authorized_by(header) for header in AUTHORIZATIONS},
    "authorization for moto's own API": authorized_by(AUTHORIZATIONS[-1], "/moto-api/data.json"),
    "a presigned address of another object": presigned("/secret", "/secret2"),
    "a presigned address of a week": presigned("X-Amz-Expires=60", "X-Amz-Expires=604800"),
    "a presigned address of months": presigned("X-Amz-Expires=60", "X-Amz-Expires=9999999"),
    "a presigned address without a signature": presigned("X-Amz-Signature=[0-9a-f]+", "X-Amz-Signature="),
    "a presigned address with two expiries": presigned("$", "&X-Amz-Expires=604800"),
    "a presigned address with another parameter": presigned("$", "&response-content-type=text/html"),
    "a presigned address to delete": lambda server: replace(OBJECT, method="DELETE").sent(
        server, path=OBJECT.presigned(server)
    ),
    "a presigned address with a header": lambda server: OBJECT.sent(
        server, {"x-amz-copy-source": "/kept/secret"}, path=OBJECT.presigned(server)
    ),
    "a presigned address that expired": lambda server: signed_at(-120)(server, OBJECT)[1],
    "two hosts": sent_raw(b"GET / HTTP/1.1\r\nHost: 127.0.0.1:PORT\r\nHost: attacker.example\r\n\r\n"),
    "the address of a proxy": sent_raw(b"GET http://attacker.example/ HTTP/1.1\r\nHost: 127.0.0.1:PORT\r\n\r\n"),
    "its own address as a proxy's": sent_raw(b"GET http://127.0.0.1:PORT/ HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"),
    "no host": sent_raw(b"GET / HTTP/1.0\r\n\r\n"),
    # What needs no leave of the browser: a plain POST, whose type is text.
    **{
        f"a form of another site, {content}, {call.service}": unsigned(call, Content_Type=content, Origin=ATTACKER)
        for content in ("text/plain", FORM, "multipart/form-data; boundary=x")
        for call in (DELETIONS, register(), IAM)
    },
    "a browser that asks for leave": unsigned(
        replace(OBJECT, method="OPTIONS"),
        Origin=ATTACKER,
        Access_Control_Request_Method="DELETE",
        Access_Control_Request_Headers="authorization",
    ),
    **{
        f"{method} {path}": Call(service="s3", method=method, path=path).sent
        for path in (*MOTO_API, "//moto-api/reset", *METADATA)
        for method in ("GET", "POST")
    },
    "the path that moto calls itself by": replace(OBJECT, path="/iam_us-east-1/?Action=ListRoles").sent,
    "moto's path of keys": replace(OBJECT, path="/us-east-1_x/.well-known/jwks.json").sent,
    # Moto takes it for one that nobody signed, and guesses whose it is.
    **{
        f"{service} signed in its query, {path}": signed_in_query(Call(service=service, method="GET", path=path))
        for service in ("iam", "batch", "sts")
        for path in (
            "/?Action=ListRoles&Version=2010-05-08",
            "/us-east-1_x/.well-known/jwks.json",
            "/lambda_us-east-1/2015-03-31/functions/",
        )
    },
    "an assumed role": query_call("sts", WEB_IDENTITY).sent,
    **{
        f"{service}, by its {how}": call.owned
        for service in UNUSED_SERVICES
        for how, call in (
            ("path", Call(service=service, method="GET", path="/2015-03-31/functions/")),
            ("target", json_call(service, "Any.Operation")),
        )
    },
}


@pytest.mark.parametrize("attack", BY_ITSELF.values(), ids=BY_ITSELF.keys())
def test_it_is_refused(server: Server, attack: Callable[[Server], Answer]) -> None:
    check_refused(attack(server))


def test_a_presigned_address_opens_its_own_object(server: Server) -> None:
    assert OBJECT.sent(server, path=OBJECT.presigned(server)).body == b"hidden"


def test_an_unsigned_payload_is_taken_by_no_service_but_s3(server: Server) -> None:
    call = replace(IAM, headers={**IAM.headers, "X-Amz-Content-SHA256": "UNSIGNED-PAYLOAD"})
    answer = call.owned(server)
    check_refused(answer)


UNSIGNED_CALLS = (
    "s3.list_buckets batch.describe_job_queues fsx.describe_file_systems iam.list_roles ec2.describe_vpcs "
    "stepfunctions.list_state_machines cloudwatch.describe_alarms"
)


@pytest.mark.parametrize("call", UNSIGNED_CALLS.split())
def test_a_client_that_does_not_sign_hears_what_the_service_says(server: Server, call: str) -> None:
    clients: Any = boto3.client
    service, operation = call.split(".")
    client = clients(service, endpoint_url=server.endpoint, config=Config(signature_version=UNSIGNED))
    with pytest.raises(ClientError) as caught:
        getattr(client, operation)()
    assert caught.value.response["Error"]["Code"] in REFUSED
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403


@pytest.mark.parametrize("body", [b"{", b"[]", b"\xff", b"null", b"1", b"<x/>"])
def test_a_body_that_is_no_json_object_is_answered_in_the_service_s_own_words(server: Server, body: bytes) -> None:
    for call in CALLS:
        if call.service in {"fsx", "logs", "ecr", "states", "batch"}:
            answer = replace(call, body=body).owned(server)
            assert answer.status == 200 or answer.code, (call, answer)


@pytest.mark.parametrize("service", ["iam", "ec2", "cloudformation", "sns", "sqs", "fsx", "logs", "states", "batch"])
def test_an_unknown_operation_is_refused_in_the_service_s_own_words(server: Server, service: str) -> None:
    for call in (
        query_call(service, "NoSuchOperation"),
        json_call(service, "NoSuch.Operation"),
        Call(service=service, method="GET", path="/no/such/path"),
        *(Call(service=service, method="GET", path=path) for path in (*MOTO_API, "//moto-api/reset", *METADATA)),
        Call(service=service, method="BREW"),
    ):
        answer = call.owned(server)
        assert answer.status in {400, 403, 404, 500}, answer
        assert answer.code, answer


# ---- the key itself -------------------------------------------------------------------------------------------------


def test_a_server_in_a_process_of_its_own_has_another_random_key_and_ends_when_told(
    tmp_path: Path, server: Server
) -> None:
    command = [sys.executable, "-m", "toolchain.localaws", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        printed = json.loads(process.stdout.readline())
        other = Server(endpoint=printed["endpoint"], region="us-east-1", key=Key(**printed["key"]))
        assert other.key.id != server.key.id
        assert other.key.secret != server.key.secret
        assert len(other.key.secret) >= 40
        assert IAM.owned(other).status == 200
        check_refused(IAM.sent(other, IAM.signed(other, server.key)))
        for name in ("environ", "cmdline"):
            assert other.key.secret.encode() not in Path(f"/proc/{process.pid}/{name}").read_bytes()
        assert Call(service="s3", method="PUT", path="/kept").owned(other).status == 200
        process.terminate()
        assert process.communicate(timeout=30) == (b"", b"")
    assert process.returncode == 0
    assert (tmp_path / "s3/kept").is_dir()
    assert server.key.secret not in repr(server)


def test_nobody_else_looks_into_its_directory(config: LocalConfig, server: Server) -> None:
    assert server
    assert stat.S_IMODE(config.root.stat().st_mode) == 0o700


TASKS = json_call("fsx", f"{FSX}.DescribeDataRepositoryTasks")


@pytest.mark.parametrize(
    "call",
    [
        *(
            json_call("fsx", f"{FSX}.{operation}")
            for operation in ("DescribeFileSystems", "DeleteFileSystem", "CancelDataRepositoryTask", "TagResource")
        ),
        *(replace(TASKS, service=service) for service in ("iam", "batch", "s3")),
        json_call("fsx", "DescribeDataRepositoryTasks"),
        json_call("fsx", f"x.{FSX}.DescribeDataRepositoryTasks"),
        json_call("fsx", f"{FSX}.X.DescribeFileSystems"),
    ],
    ids=lambda call: f"{call.service} {call.headers['X-Amz-Target']}",
)
def test_the_export_s_key_opens_its_two_operations_and_nothing_else(server: Server, call: Call) -> None:
    key = LocalBatchBackend.host.access.export
    check_refused(call.sent(server, call.signed(server, key)))
    assert TASKS.sent(server, TASKS.signed(server, key)).status == 200


@pytest.mark.parametrize(
    "change",
    [
        {"path": "/?Action=DescribeFileSystems"},
        {"headers": dict(TASKS.headers, Action="DescribeFileSystems")},
        {"body": b"Action=DescribeFileSystems", "headers": dict(TASKS.headers, **{"Content-Type": FORM})},
        {"body": b'{"TaskIds": ["&Action=DescribeFileSystems&"]}'},
        {"path": "/service/FSx/operation/DescribeFileSystems"},
        {"method": "GET"},
        {"headers": dict(TASKS.headers, x_amz_target=f"{FSX}.DescribeFileSystems")},
    ],
)
def test_the_export_s_key_passes_off_no_other_operation_as_its_own(server: Server, change: dict[str, Any]) -> None:
    """Moto looks for an operation's name in a query, a form, the body and every header, before the one that counts."""
    call = replace(TASKS, **change)
    answer = call.sent(server, call.signed(server, LocalBatchBackend.host.access.export))
    assert b'"FileSystems"' not in answer.body
    assert answer.status == 200 or answer.code


# ---- with the key, out of the embedded AWS --------------------------------------------------------------------------


def volume(path: str, *, read_only: Any = False, **more: Any) -> dict[str, Any]:
    mount = {"sourceVolume": "v", "containerPath": "/host", "readOnly": read_only}
    return {"volumes": [{"name": "v", "host": {"sourcePath": path}, **more}], "mountPoints": [mount]}


def tmpfs(**options: Any) -> dict[str, Any]:
    return {"linuxParameters": {"tmpfs": [{"containerPath": "/t", **options}]}}


# ROOT is the embedded AWS's own directory, and INSIDE a file system in it.
EVIL: dict[str, dict[str, Any]] = {
    "the whole host": volume("/"),
    "the whole host to read": volume("/", read_only=True),
    "the engine's socket": volume("/var/run/docker.sock"),
    "the way up": volume("INSIDE/../../.."),
    "the way up from a file system": volume("INSIDE/../.."),
    "a link in scratch": volume("ROOT/scratch/link"),
    "a link that a job made": volume("INSIDE/link"),
    "a directory that a job can swap": volume("INSIDE/germline"),
    "the key": volume("ROOT", read_only=True),
    "the buckets": volume("ROOT/s3"),
    "the export's socket": volume("ROOT/door"),
    "references to write to": volume("ROOT/scratch/reference"),
    "references to write to, in a word": volume("ROOT/scratch/reference", read_only="false"),
    "a relative path": volume("../"),
    "no path": volume(""),
    "a path with a zero byte": volume("INSIDE\0/x"),
    "twice the same name": {
        **volume("INSIDE"),
        "volumes": [*volume("INSIDE")["volumes"], *volume("/")["volumes"]],
    },
    "a network file system": volume("INSIDE", efsVolumeConfiguration={"fileSystemId": "fs-1"}),
    "privileged": {"privileged": True},
    "privileged, in a word": {"privileged": "true"},
    **{f"the user {user!r}": {"user": user} for user in ("root", "0", "0:0", "00", "1000:0", "nobody", 0, 1000)},
    "a number beyond all users": {"user": "4294967296"},
    "a device": {"linuxParameters": {"devices": [{"hostPath": "/dev/sda", "containerPath": "/dev/sda"}]}},
    "a tmpfs with devices": tmpfs(size=1, mountOptions=["dev", "suid"]),
    "a tmpfs with options in its size": tmpfs(size="1m,dev,suid,size=1"),
    "secrets": {"secrets": [{"name": "S", "valueFrom": "arn:aws:ssm:us-east-1:123456789012:parameter/x"}]},
    "another log driver": {"logConfiguration": {"logDriver": "syslog", "options": {"syslog-address": "udp://x:1"}}},
    "no object": {"volumes": "/", "mountPoints": ["/"]},
}
PRIVILEGED = {"image": "x", "privileged": True, "vcpus": 1, "memory": 64}
POD = {"hostNetwork": True, "containers": [{"image": "x", "securityContext": {"privileged": True}}]}
NODES = [{"targetNodes": "0:0", "container": PRIVILEGED}]
OTHER_KINDS: tuple[dict[str, Any], ...] = (
    {"eksProperties": {"podProperties": POD}},
    {"ecsProperties": {"taskProperties": [{"pidMode": "host", "containers": [PRIVILEGED]}]}},
    {"type": "multinode", "nodeProperties": {"numNodes": 1, "mainNode": 0, "nodeRangeProperties": NODES}},
)


@pytest.fixture(scope="module")
def links(config: LocalConfig, cloud: Cloud) -> None:
    assert cloud
    (config.scratch / "link").symlink_to("/")
    (config.scratch / "working" / "link").symlink_to("/etc")


@pytest.mark.usefixtures("links")
@pytest.mark.parametrize("name", EVIL)
def test_a_definition_that_asks_for_the_machine_is_refused(
    config: LocalConfig, cloud: Cloud, server: Server, name: str
) -> None:
    before = cloud.batch.describe_job_definitions()["jobDefinitions"]
    call = register(**EVIL[name])
    for word, path in ((b"INSIDE", b"ROOT/scratch/working"), (b"ROOT", str(config.root).encode())):
        call = replace(call, body=call.body.replace(word, path))
    answer = call.owned(server)
    assert (answer.status, b"ClientException" in answer.body) == (400, True), answer
    assert cloud.batch.describe_job_definitions()["jobDefinitions"] == before


@pytest.mark.parametrize("kind", OTHER_KINDS)
@pytest.mark.parametrize("own", [{}, {"containerProperties": {"image": "x", "resourceRequirements": SOME}}])
def test_a_definition_of_pods_tasks_or_nodes_is_refused(
    cloud: Cloud, server: Server, kind: dict[str, Any], own: dict[str, Any]
) -> None:
    before = cloud.batch.describe_job_definitions()["jobDefinitions"]
    body = {"jobDefinitionName": "evil", "type": "container", **own, **kind}
    answer = replace(register(), body=json.dumps(body).encode()).owned(server)
    assert (answer.status, b"ClientException" in answer.body) == (400, True), answer
    assert cloud.batch.describe_job_definitions()["jobDefinitions"] == before


@pytest.mark.parametrize(("kind", "value"), [("MEMORY", "0"), ("MEMORY", "-64"), ("MEMORY", "3"), ("VCPU", "-1")])
def test_a_job_without_a_limit_is_refused(cloud: Cloud, kind: str, value: str) -> None:
    """To Docker, no memory and less than none is all that there is."""
    wanted = [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "64"}, {"type": kind, "value": value}]
    wanted = list({entry["type"]: entry for entry in wanted}.values())
    with pytest.raises(ClientError, match=kind):
        cloud.submit(cloud.define("evil"), containerOverrides={"resourceRequirements": wanted})
    with pytest.raises(ClientError, match=f"(?i){kind}"):
        cloud.submit(cloud.define("evil", resourceRequirements=wanted))


BY_OTHERS = {
    "the whole host": {"Volumes": [{"Name": "v", "Host": {"SourcePath": "/"}}], "MountPoints": []},
    "privileged": {"Privileged": True},
    "root": {"User": "0"},
}


@pytest.mark.parametrize("properties", BY_OTHERS.values(), ids=BY_OTHERS.keys())
def test_neither_a_state_machine_nor_a_stack_registers_such_a_definition(
    cloud: Cloud, properties: dict[str, Any]
) -> None:
    arguments = {
        "JobDefinitionName": "by-others",
        "Type": "container",
        "ContainerProperties": {"Image": "x", **properties},
    }
    resource = "arn:aws:states:::aws-sdk:batch:registerJobDefinition"
    state = {"Type": "Task", "Resource": resource, "Arguments": arguments, "End": True}
    execution = cloud.execute(cloud.machine({"R": state}))
    assert execution["status"] == "FAILED"
    assert "does not run such a job" in execution["cause"], execution
    template = {"Resources": {"D": {"Type": "AWS::Batch::JobDefinition", "Properties": arguments}}}
    with suppress(ClientError):  # refused at once, or a stack that fails
        boto3.client("cloudformation").create_stack(StackName="evil", TemplateBody=json.dumps(template))
    assert cloud.batch.describe_job_definitions(jobDefinitionName="by-others")["jobDefinitions"] == []


# ---- from a container -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def python(built_images: BuiltImages) -> str:
    """An image with Python and boto3."""
    return built_images.images["fsx-export"].reference


@pytest.fixture
def root_image(built_images: BuiltImages, image: str) -> Iterator[str]:
    """An image whose user is root."""
    client = built_images.builder.engine.client
    made, _ = client.images.build(fileobj=io.BytesIO(f"FROM {image}\nUSER 0\n".encode()), rm=True)
    yield str(made.id)
    client.images.remove(str(made.id))


def program(text: str) -> dict[str, Any]:
    """What a job runs that is a Python program."""
    return {"command": ["python3", "-c", text], "parameters": {}}


def test_a_job_of_root_or_of_the_cloud_s_own_paths_does_not_start(cloud: Cloud, image: str, root_image: str) -> None:
    for definition, reason in (
        (cloud.define(root_image), "its user must be a number that is not 0"),
        (cloud.define(image, **volume("/scratch/working")), "may not mount /scratch/working"),
    ):
        job = cloud.run(definition)
        assert job["statusReason"] == "Task failed to start"
        assert reason in job["container"]["reason"]


def test_a_submission_overrides_no_more_than_batch_lets_it(server: Server, cloud: Cloud, image: str) -> None:
    request = {
        "jobName": "evil",
        "jobQueue": "queue",
        "jobDefinition": cloud.define(image),
        "parameters": {"script": "id -u; ls /host 2>/dev/null; echo end"},
        "containerOverrides": {"user": "0", "privileged": True, **volume("/")},
    }
    answer = replace(register(), path="/v1/submitjob", body=json.dumps(request).encode()).owned(server)
    assert cloud.lines(cloud.ended(json.loads(answer.body)["jobId"])) == ["1000", "end"]


def test_a_directory_that_was_swapped_for_a_link_is_not_mounted(config: LocalConfig, cloud: Cloud, image: str) -> None:
    data, aside = config.scratch / "data", config.scratch / "aside"
    definition = cloud.define(image, **volume(str(data), read_only=True))
    assert cloud.run(definition)["status"] == "SUCCEEDED"
    data.rename(aside)
    data.symlink_to("/etc")
    try:
        assert "may not mount" in cloud.run(definition, "cat /host/passwd")["container"]["reason"]
    finally:
        data.unlink()
        aside.rename(data)


@pytest.mark.parametrize("arn", ["arn:aws:iam::123456789012:role/none", ROLE, "x", ""])
def test_a_job_has_no_key_no_capability_and_no_network(cloud: Cloud, image: str, server: Server, arn: str) -> None:
    """Also where its own environment names a way out, or its definition a role that is not the export's."""
    environment = [{"name": "AWS_ENDPOINT_URL", "value": "http://172.17.0.1:1"}, {"name": "DOCKER_HOST", "value": "x"}]
    script = (
        "env; grep -E 'CapBnd|NoNewPrivs' /proc/self/status; ls /sys/class/net /run/embedded-aws /var/run/docker.sock;"
        "echo routes: $(wc -l < /proc/net/route)"
    )
    definition = cloud.define(image, environment=environment, jobRoleArn=arn)
    lines = cloud.lines(cloud.run(definition, script))
    assert not [line for line in lines if server.key.secret in line or server.key.id in line]
    assert [line for line in lines if re.match("AWS_(?!BATCH)", line)] == ["AWS_ENDPOINT_URL=http://172.17.0.1:1"]
    status = dict(re.split(r":\s+", line) for line in lines if re.match("CapBnd|NoNewPrivs|routes", line))
    assert status == {"CapBnd": "0000000000000000", "NoNewPrivs": "1", "routes": "1"}
    assert [
        line for line in lines if re.fullmatch(r"(eth|ens|enp|docker|br-|wl)\w*|fsx.sock|/var/run.*sock", line)
    ] == []
    assert "lo" in lines


REACH = """
import socket, sys
for host, port in {places!r}:
    try:
        socket.create_connection((host, port), timeout=2).close()
        print("reached", host, port)
    except OSError:
        pass
print("end")
"""


@pytest.fixture(scope="module")
def places(server: Server, built_images: BuiltImages) -> list[tuple[str, int]]:
    """What a job could want to reach: this AWS, other services of this machine, the metadata, the world."""
    network = built_images.builder.engine.client.networks.get("bridge")
    bridge = network.attrs["IPAM"]["Config"][0].get("Gateway", "172.17.0.1")
    hosts = ["127.0.0.1", "localhost", bridge, "host.docker.internal", "::1"]
    port = int(server.endpoint.rpartition(":")[2])
    return [*((host, port) for host in hosts), (bridge, 22), ("169.254.169.254", 80), ("169.254.170.2", 80)]


def test_a_tool_s_job_reaches_nothing(cloud: Cloud, python: str, places: list[tuple[str, int]]) -> None:
    job = cloud.run(cloud.define(python, **program(REACH.format(places=places))))
    assert cloud.lines(job) == ["end"], job


@pytest.fixture(scope="module")
def role(cloud: Cloud) -> str:
    """A role that may export, as the stack's."""
    assert cloud
    iam = boto3.client("iam")
    made = iam.create_role(RoleName="export", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
    statement = {"Effect": "Allow", "Action": "fsx:CreateDataRepositoryTask", "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    iam.put_role_policy(RoleName="export", PolicyName="x", PolicyDocument=policy)
    return made


# Signs by hand: the image's boto3 knows FSx alone.
ASK = """
import json, os, urllib.error, urllib.request
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

def ask(service, operation, *key):
    key = key or (os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"])
    target = "AWSSimbaAPIService_v20180301." + operation
    headers = {"X-Amz-Target": target, "Content-Type": "application/x-amz-json-1.1"}
    request = AWSRequest("POST", os.environ["AWS_ENDPOINT_URL"] + "/", headers=headers, data="{}")
    SigV4Auth(Credentials(*key), service, "us-east-1").add_auth(request)
    sent = urllib.request.Request(request.url, b"{}", dict(request.headers.items()))
    try:
        print(service, operation, urllib.request.urlopen(sent).status)
    except urllib.error.HTTPError as error:
        print(service, operation, json.load(error)["__type"])
"""


def test_the_export_reaches_fsx_and_nothing_else(
    cloud: Cloud, python: str, places: list[tuple[str, int]], server: Server, role: str
) -> None:
    """Nor does the owner's key open the socket of exports: who finds both has found nothing."""
    elsewhere = [place for place in places if place[0] not in {"127.0.0.1", "localhost"}]
    calls = f"""
ask("fsx", "DescribeDataRepositoryTasks")
ask("fsx", "DescribeFileSystems")
ask("iam", "DescribeDataRepositoryTasks")
ask("batch", "RegisterJobDefinition")
ask("states", "ListStateMachines")
ask("fsx", "DescribeFileSystems", {server.key.id!r}, {server.key.secret!r})
print(os.listdir("/run/embedded-aws"))
try:
    open("/run/embedded-aws/x", "w")
except OSError as error:
    print(error.strerror)
"""
    text = ASK + calls + REACH.format(places=elsewhere)
    job = cloud.run(cloud.define(python, **program(text), jobRoleArn=role, resourceRequirements=SOME))
    assert cloud.lines(job) == [
        "fsx DescribeDataRepositoryTasks 200",
        "fsx DescribeFileSystems AccessDeniedException",
        "iam DescribeDataRepositoryTasks AccessDeniedException",
        "batch RegisterJobDefinition AccessDeniedException",
        "states ListStateMachines AccessDeniedException",
        "fsx DescribeFileSystems UnrecognizedClientException",
        "['fsx.sock']",
        "Read-only file system",
        "end",
    ], job


# ---- links ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def linked(config: LocalConfig, server: Server, tmp_path: Path) -> Iterator[Path]:
    """A bucket with links to a directory outside, a file in it, and the bucket beside."""
    assert server
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_bytes(b"hidden")
    bucket = config.buckets / "linked"
    bucket.mkdir()
    (bucket / "folder").symlink_to(outside)
    (bucket / "file").symlink_to(outside / "file")
    (bucket / "beside").symlink_to("../kept")
    (bucket / "plain").write_bytes(b"plain")
    (config.buckets / "linked-bucket").symlink_to(outside)
    yield outside
    assert (outside / "file").read_bytes() == b"hidden"
    assert [file.name for file in outside.iterdir()] == ["file"]
    (config.buckets / "linked-bucket").unlink()
    shutil.rmtree(bucket)


@pytest.mark.usefixtures("linked")
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE"])
def test_a_link_in_a_bucket_is_no_way_out(server: Server, method: str) -> None:
    for path in ("/linked/file", "/linked/folder/file", "/linked/beside/secret", "/linked-bucket/file"):
        answer = Call(service="s3", method=method, path=path).owned(server)
        replaced = method == "PUT" and path == "/linked/file"
        assert answer.status in ({200, 403} if replaced else {403, 404})
        assert b"hidden" not in answer.body


@pytest.mark.usefixtures("linked")
def test_a_link_in_a_bucket_is_written_to_copied_and_listed_by_nobody() -> None:
    s3 = boto3.client("s3")
    assert [item["Key"] for item in s3.list_objects_v2(Bucket="linked")["Contents"]] == ["plain"]
    assert "Contents" not in s3.list_objects_v2(Bucket="linked", Prefix="folder/")
    assert "linked-bucket" not in [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]]
    for source, target in (("folder/file", "copy"), ("file", "copy"), ("plain", "folder/new"), ("plain", "folder/a/b")):
        with pytest.raises(ClientError, match="AccessDenied"):
            s3.copy_object(Bucket="linked", Key=target, CopySource={"Bucket": "linked", "Key": source})
    for key in ("folder/new", "folder/"):
        with pytest.raises(ClientError, match="AccessDenied"):
            s3.put_object(Bucket="linked", Key=key, Body=b"")
    part: Any = {"Bucket": "linked", "Key": "folder/parts"}
    part["UploadId"] = s3.create_multipart_upload(**part)["UploadId"]
    tag = s3.upload_part(**part, PartNumber=1, Body=b"x")["ETag"]
    with pytest.raises(ClientError, match="AccessDenied"):
        s3.complete_multipart_upload(**part, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": tag}]})


def test_a_folder_that_becomes_a_link_while_it_is_looked_at_is_no_way_out(
    server: Server, config: LocalConfig, linked: Path
) -> None:
    folder, aside, link = (config.buckets / "kept" / name for name in ("swapped", "aside", "link"))
    over = threading.Event()
    folder.mkdir()
    (folder / "file").write_bytes(b"own")

    def swap() -> None:
        while not over.is_set():
            # What is put meanwhile makes the folder anew.
            with suppress(OSError):
                folder.rename(aside)
                link.symlink_to(linked)
                link.rename(folder)
                folder.unlink()
            link.unlink(missing_ok=True)
            if aside.exists():
                shutil.rmtree(folder, ignore_errors=True)
                with suppress(OSError):
                    aside.rename(folder)

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        answers = [Call(service="s3", method="GET", path="/kept/swapped/file").owned(server) for _ in range(150)]
        for _ in range(50):
            Call(service="s3", method="PUT", path="/kept/swapped/other", body=b"x").owned(server)
    finally:
        over.set()
        thread.join()
        for path in (folder, aside):
            shutil.rmtree(path, ignore_errors=True)
    assert {answer.status for answer in answers} <= {200, 403, 404}
    assert all(answer.body == b"own" or answer.code for answer in answers)


# ---- FSx ------------------------------------------------------------------------------------------------------------


def file_system(mount: str, **lustre: Any) -> str:
    """Makes a file system and returns its id."""
    clients: Any = boto3.client
    made = clients("fsx").create_file_system(
        FileSystemType="LUSTRE",
        FileSystemTypeVersion="2.15",
        StorageCapacity=1200,
        SubnetIds=["subnet-0123456789abcdef0"],
        LustreConfiguration={"DeploymentType": "SCRATCH_2", **lustre},
        Tags=[{"Key": "scratch-mount", "Value": mount}],
    )
    return str(made["FileSystem"]["FileSystemId"])


@pytest.fixture(scope="module")
def working(config: LocalConfig, server: Server) -> str:
    """The file system of results, linked to a bucket."""
    assert server
    (config.buckets / "results").mkdir()
    made = file_system("/scratch/working")
    events: Any = {"AutoImportPolicy": {"Events": ["NEW", "CHANGED", "DELETED"]}}
    boto3.client("fsx").create_data_repository_association(
        FileSystemId=made, FileSystemPath="/", DataRepositoryPath="s3://results/runs", S3=events
    )
    return made


def exported(file_system: str, path: str, *, report: str = "s3://results/runs/reports") -> str:
    """How an export ends."""
    fsx = boto3.client("fsx")
    enabled: Any = {"Enabled": True, "Path": report, "Format": "REPORT_CSV_20191124", "Scope": "FAILED_FILES_ONLY"}
    task = fsx.create_data_repository_task(
        FileSystemId=file_system, Type="EXPORT_TO_REPOSITORY", Paths=[path], Report=enabled
    )["DataRepositoryTask"]

    def look() -> str | None:
        found = fsx.describe_data_repository_tasks(TaskIds=[task["TaskId"]])["DataRepositoryTasks"][0]
        return found["Lifecycle"] if found["Lifecycle"] in {"SUCCEEDED", "FAILED"} else None

    return until(look)


@pytest.mark.usefixtures("working")
def test_nobody_but_jobs_writes_to_the_file_system_of_results(config: LocalConfig) -> None:
    if os.geteuid() in {0, 1000}:
        found = (config.scratch / "working").stat()
        assert (found.st_uid, stat.S_IMODE(found.st_mode)) == (1000, 0o755)


@pytest.mark.usefixtures("working")
def test_a_job_writes_there_and_nowhere_else(config: LocalConfig, cloud: Cloud, image: str) -> None:
    volumes = [{"name": name, "host": {"sourcePath": str(config.scratch / name)}} for name in ("data", "working")]
    mounts = [
        {"sourceVolume": "data", "containerPath": "/scratch/data", "readOnly": True},
        {"sourceVolume": "working", "containerPath": "/scratch/working"},
    ]
    definition = cloud.define(image, volumes=volumes, mountPoints=mounts)
    script = "touch /scratch/data/x 2>/dev/null && echo data; touch /scratch/working/by-a-job && echo working"
    assert cloud.lines(cloud.run(definition, script)) == ["working"]


def test_what_a_job_planted_is_not_exported(config: LocalConfig, working: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"hidden")
    run = config.scratch / "working" / "germline" / "planted"
    run.mkdir(parents=True)
    (run / "file").symlink_to(tmp_path / "file")
    (run / "folder").symlink_to(tmp_path)
    (run / "own").write_bytes(b"own")
    os.mkfifo(run / "pipe")
    assert exported(working, "germline/planted") == "SUCCEEDED"
    for path in ("germline/planted/folder", "germline/planted/file", "germline/planted/folder/file"):
        assert exported(working, path) == "FAILED", path
    bucket = config.buckets / "results" / "runs" / "germline" / "planted"
    assert [file.name for file in bucket.iterdir()] == ["own"]


@pytest.mark.usefixtures("working")
def test_what_a_job_planted_leads_no_import_astray(config: LocalConfig, tmp_path: Path) -> None:
    (config.scratch / "working" / "way-out").symlink_to(tmp_path)
    s3 = boto3.client("s3")
    s3.put_object(Bucket="results", Key="runs/way-out/file", Body=b"x")
    (tmp_path / "mine").write_bytes(b"mine")
    s3.put_object(Bucket="results", Key="runs/way-out/mine", Body=b"x")
    s3.delete_object(Bucket="results", Key="runs/way-out/mine")
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [("mine", b"mine")]


@pytest.mark.parametrize("path", ["../data", "..", "/..", "germline/../../data", "/etc", "germline/../../../../etc"])
def test_a_path_leads_no_export_out_of_its_file_system(config: LocalConfig, working: str, path: str) -> None:
    assert exported(working, path) == "FAILED"
    assert not (config.buckets / "results" / "etc").exists()


UP = ("s3://..", "s3://../x", "s3://./x", "s3://results/../..", "s3://results/runs/../../../x", "s3://results/./x")


@pytest.mark.parametrize("place", [*UP, "s3:///x"])
def test_a_place_in_s3_is_none_beside_the_buckets(working: str, place: str) -> None:
    with pytest.raises(ClientError, match="BadRequest"):
        exported(working, "germline", report=place)
    with pytest.raises(ClientError, match="BadRequest"):
        boto3.client("fsx").create_data_repository_association(
            FileSystemId=working, FileSystemPath="/x", DataRepositoryPath=place
        )
    with pytest.raises(ClientError, match="BadRequest"):
        file_system("/scratch/x", ImportPath=place)


@pytest.mark.parametrize("mount", ["/scratch/..", "/scratch/../..", "/scratch/working/way-out", "/etc", "//scratch"])
def test_a_file_system_is_mounted_nowhere_else(config: LocalConfig, server: Server, mount: str) -> None:
    assert server
    before = sorted(config.root.parent.iterdir())
    made = file_system(mount)
    assert (config.root / "lustre" / made).is_dir()
    boto3.client("fsx").delete_file_system(FileSystemId=made)
    assert sorted(config.root.parent.iterdir()) == before


# ---- ECR ------------------------------------------------------------------------------------------------------------


def test_the_registry_asks_for_its_password(server: Server) -> None:
    token = boto3.client("ecr").get_authorization_token()["authorizationData"][0]
    for credentials in ("", "AWS:", "AWS:local", f"AWS:{server.key.secret}"):
        connection = http.client.HTTPConnection(token["proxyEndpoint"].removeprefix("http://"), timeout=20)
        given = base64.b64encode(credentials.encode()).decode()
        connection.request("GET", "/v2/_catalog", headers={"Authorization": f"Basic {given}"} if credentials else {})
        assert connection.getresponse().status == 401
        connection.close()

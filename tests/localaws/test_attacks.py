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
from support.attacks import ATTACKER, Call, json_call, query_call, raw, register, stamp
from support.aws_clients import lead
from support.job_runner import BuiltImages
from support.moto_cloud import GROUP, ROLE, Cloud, cloud_of, image_of, until

from toolchain.localaws.access import Key
from toolchain.localaws.batch.backend import LocalBatchBackend
from toolchain.localaws.config import LocalConfig
from toolchain.localaws.server import Server, serve

LOGS = {"logDriver": "awslogs", "options": {"awslogs-group": GROUP, "awslogs-stream-prefix": "tool"}}
SOME = [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "256"}]
FSX = "AWSSimbaAPIService_v20180301"
CALLS = {
    "s3, a list": Call(service="s3", method="GET"),
    "s3, an object": Call(service="s3", method="GET", path="/kept/secret"),
    "s3, a deletion": Call(service="s3", method="DELETE", path="/kept/secret"),
    "s3, many deletions": Call(
        service="s3", path="/kept?delete", body=b"<Delete><Object><Key>secret</Key></Object></Delete>"
    ),
    "iam": query_call("iam", "ListRoles"),
    "ec2": query_call("ec2", "DescribeVpcs"),
    "cloudformation": query_call("cloudformation", "DescribeStacks"),
    "fsx": json_call("fsx", f"{FSX}.DescribeFileSystems"),
    "logs": json_call("logs", "Logs_20140328.DescribeLogGroups"),
    "ecr": json_call("ecr", "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken", registryIds=[]),
    "states": json_call("states", "AWSStepFunctions.ListStateMachines"),
    "batch": register(),
}
each_call = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
# What a service says to who does not show a key, or shows a wrong one.
REFUSED = {
    "AccessDenied",
    "AccessDeniedException",
    "AuthorizationHeaderMalformed",
    "IncompleteSignature",
    "IncompleteSignatureException",
    "InvalidAccessKeyId",
    "InvalidClientTokenId",
    "InvalidSignatureException",
    "MissingAuthenticationToken",
    "MissingAuthenticationTokenException",
    "RequestExpired",
    "RequestTimeTooSkewed",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> LocalConfig:
    return LocalConfig(root=tmp_path_factory.mktemp("attacked"), vcpus=2, memory=1024)


@pytest.fixture(scope="module")
def server(world: LocalConfig) -> Iterator[Server]:
    with pytest.MonkeyPatch.context() as patch, serve(world) as server:
        lead(patch, server.environment)
        (world.buckets / "kept").mkdir()
        (world.buckets / "kept" / "secret").write_bytes(b"hidden")
        yield server


@pytest.fixture(scope="module")
def cloud(world: LocalConfig, server: Server) -> Cloud:
    assert server
    for name in ("reference", "data", "working"):
        (world.scratch / name).mkdir(exist_ok=True)
    return cloud_of(world)


@pytest.fixture(autouse=True)
def _the_secret_stays(world: LocalConfig) -> Iterator[None]:
    yield
    assert (world.buckets / "kept" / "secret").read_bytes() == b"hidden"


def refused(answer: Any) -> None:
    """It was refused, in the service's own words, and nothing else was said."""
    assert answer.status == 403, answer
    assert answer.code in REFUSED, answer
    assert b"hidden" not in answer.body


# ---- without the key ------------------------------------------------------------------------------------------------


@each_call
def test_a_call_that_nobody_signed_is_refused_in_the_service_s_own_words(server: Server, call: Call) -> None:
    refused(call.sent(server))


@each_call
def test_a_call_with_the_key_is_answered(server: Server, call: Call) -> None:
    """So that what else is refused here is refused for its one fault."""
    if "delet" not in call.path and call.method != "DELETE":
        assert call.owned(server).status == 200


@each_call
@pytest.mark.parametrize(
    "key",
    [
        lambda _: Key(id="local", secret="local"),
        lambda key: Key(id="test", secret=key.secret),
        lambda key: Key(id=key.id, secret="local"),
        lambda key: Key(id=key.id, secret=key.secret[:-1]),
        lambda key: Key(id=key.id.lower(), secret=key.secret),
    ],
    ids=[
        "the old one",
        "its secret under another id",
        "its id with another secret",
        "a shorter secret",
        "another case",
    ],
)
def test_a_call_with_another_key_is_refused(server: Server, call: Call, key: Callable[[Key], Key]) -> None:
    refused(call.sent(server, call.signed(server, key(server.key))))
    refused(call.sent(server, path=call.presigned(server, key(server.key))))


@each_call
def test_a_signature_of_another_call_opens_nothing(server: Server, call: Call) -> None:
    headers = call.signed(server)
    other = Call(service=call.service, method=call.method, path=f"{call.path}{'&' if '?' in call.path else '?'}a=b")
    refused(other.sent(server, {**headers, "Content-Length": "0"}))
    swapped = "PUT" if call.method == "GET" else "GET"
    refused(Call(service=call.service, method=swapped, path=call.path, body=call.body).sent(server, headers))


def test_a_body_that_was_changed_after_signing_is_refused(server: Server) -> None:
    call = CALLS["iam"]
    changed = Call(service="iam", body=call.body.replace(b"ListRoles", b"ListUsers"))
    refused(changed.sent(server, call.signed(server)))
    named = {**call.headers, "X-Amz-Content-SHA256": "UNSIGNED-PAYLOAD"}
    unsigned = Call(service="iam", body=call.body, headers=named)
    answer = unsigned.sent(server, unsigned.signed(server))
    assert (answer.status, answer.code) == (400, "SignatureDoesNotMatch")


@pytest.mark.parametrize("seconds", [-3600, -1000, 1000, 86400])
def test_a_signature_of_another_time_is_refused(server: Server, monkeypatch: pytest.MonkeyPatch, seconds: int) -> None:
    moment = stamp(seconds)

    class Clock:
        @staticmethod
        def strftime(_: str) -> str:
            return moment

    monkeypatch.setattr("botocore.auth.get_current_datetime", lambda *_, **__: Clock())
    for call in CALLS.values():
        refused(call.sent(server, call.signed(server)))


def test_a_presigned_address_works_until_it_expires_and_for_its_own_object_only(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = CALLS["s3, an object"]
    path = call.presigned(server)
    assert call.sent(server, path=path).body == b"hidden"
    refused(call.sent(server, path=path.replace("/secret", "/secret2")))
    refused(call.sent(server, path=path.replace("X-Amz-Expires=60", "X-Amz-Expires=604800")))
    refused(call.sent(server, path=path.replace("X-Amz-Expires=60", "X-Amz-Expires=9999999")))
    refused(call.sent(server, path=re.sub("X-Amz-Signature=[0-9a-f]+", "X-Amz-Signature=", path)))
    refused(call.sent(server, path=path + "&X-Amz-Expires=604800"))
    refused(call.sent(server, path=path + "&response-content-type=text/html"))
    refused(Call(service="s3", method="DELETE").sent(server, path=path))
    refused(call.sent(server, {"x-amz-copy-source": "/kept/secret"}, path=path))
    moment = stamp(-120)

    class Clock:
        @staticmethod
        def strftime(_: str) -> str:
            return moment

    monkeypatch.setattr("botocore.auth.get_current_datetime", lambda *_, **__: Clock())
    refused(call.sent(server, path=call.presigned(server)))


@pytest.mark.parametrize(
    "header",
    [
        "",
        "x",
        "Basic bG9jYWw6bG9jYWw=",
        "Bearer local",
        "AWS local:c2lnbmF0dXJl",
        "AWS4-HMAC-SHA256",
        "AWS4-HMAC-SHA256 Credential=x/20260101/us-east-1/s3/aws4_request",
        "AWS4-HMAC-SHA256 Credential=KEY, SignedHeaders=host, Signature=" + "0" * 64,
        "AWS4-HMAC-SHA256 Credential=KEY/20300101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=" + "0" * 64,
        "AWS4-ECDSA-P256-SHA256 Credential=KEY/20300101/s3/aws4_request, SignedHeaders=host, Signature=00",
    ],
)
def test_no_other_authorization_is_one(server: Server, header: str) -> None:
    given = {"Authorization": header.replace("KEY", server.key.id), "X-Amz-Date": stamp(0), "Content-Length": "0"}
    for path in ("/", "/kept/secret", "/moto-api/data.json"):
        refused(Call(service="s3", method="GET", path=path).sent(server, given))


def test_a_header_that_matters_is_signed_or_refused(server: Server) -> None:
    call = CALLS["s3, an object"]
    refused(call.sent(server, {**call.signed(server), "x-amz-copy-source": "/kept/other"}))
    without_host = call.signed(server)
    without_host["Authorization"] = without_host["Authorization"].replace("SignedHeaders=host;", "SignedHeaders=")
    refused(call.sent(server, without_host))


def test_clients_that_do_not_sign_hear_what_the_service_says(server: Server) -> None:
    for service, operation in (
        ("s3", "list_buckets"),
        ("batch", "describe_job_queues"),
        ("fsx", "describe_file_systems"),
        ("iam", "list_roles"),
        ("ec2", "describe_vpcs"),
        ("stepfunctions", "list_state_machines"),
        ("cloudwatch", "describe_alarms"),
    ):
        clients: Any = boto3.client
        client = clients(service, endpoint_url=server.endpoint, config=Config(signature_version=UNSIGNED))
        with pytest.raises(ClientError) as caught:
            getattr(client, operation)()
        assert caught.value.response["Error"]["Code"] in REFUSED, service
        assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403


# ---- from a web page ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host",
    [
        "attacker.example",
        "attacker.example:PORT",
        "127.0.0.1.nip.io:PORT",
        "localhost.attacker.example",
        "[::1]:PORT",
        "",
    ],
)
def test_another_host_s_name_is_refused_even_with_the_key(server: Server, host: str) -> None:
    port = server.endpoint.rpartition(":")[2]
    for call in CALLS.values():
        refused(call.sent(server, {**call.signed(server), "Host": host.replace("PORT", port)}))


def test_two_hosts_and_the_address_of_a_proxy_are_refused(server: Server) -> None:
    port = server.endpoint.rpartition(":")[2].encode()
    refused(raw(server, b"GET / HTTP/1.1\r\nHost: 127.0.0.1:" + port + b"\r\nHost: attacker.example\r\n\r\n"))
    refused(raw(server, b"GET http://attacker.example/ HTTP/1.1\r\nHost: 127.0.0.1:" + port + b"\r\n\r\n"))
    refused(raw(server, b"GET http://127.0.0.1:" + port + b"/ HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"))
    refused(raw(server, b"GET / HTTP/1.0\r\n\r\n"))


@pytest.mark.parametrize("origin", [ATTACKER, "null", "http://localhost", "https://127.0.0.1", "", "file://"])
@each_call
def test_a_page_of_another_origin_is_refused_even_with_the_key(server: Server, call: Call, origin: str) -> None:
    answer = call.sent(server, {**call.signed(server), "Origin": origin})
    refused(answer)
    assert not [name for name in answer.headers if name.lower().startswith("access-control-")]


def test_a_form_of_another_site_does_nothing(server: Server) -> None:
    """What needs no leave of the browser: a plain POST, whose type is text."""
    for content in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"):
        for call in (CALLS["s3, many deletions"], register(), query_call("iam", "ListRoles")):
            refused(call.sent(server, {"Content-Type": content, "Origin": ATTACKER}))
            refused(call.sent(server, {"Content-Type": content, "Sec-Fetch-Site": "cross-site"}))


def test_a_browser_that_asks_for_leave_gets_none(server: Server) -> None:
    headers = {
        "Origin": ATTACKER,
        "Access-Control-Request-Method": "DELETE",
        "Access-Control-Request-Headers": "authorization",
    }
    answer = Call(service="s3", method="OPTIONS", path="/kept/secret").sent(server, headers)
    refused(answer)
    assert not [name for name in answer.headers if name.lower().startswith("access-control-")]


# ---- around the services --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    ["/moto-api", "/moto-api/", "/moto-api/data.json", "/moto-api/reset", "/%6doto-api/reset", "//moto-api/reset"],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_moto_s_own_api_is_shut_to_everybody(server: Server, path: str, method: str) -> None:
    refused(Call(service="s3", method=method, path=path).sent(server))
    for service in ("iam", "batch", "sts"):
        refused_or_unknown = Call(service=service, method=method, path=path).owned(server)
        assert refused_or_unknown.status in {400, 403, 404}
        assert refused_or_unknown.code
    boto3.client("iam").list_roles()


@pytest.mark.parametrize("path", ["/latest/meta-data/iam/security-credentials/", "/latest/api/token"])
def test_it_is_no_instance_metadata(server: Server, path: str) -> None:
    refused(Call(service="s3", method="GET", path=path).sent(server))
    refused(Call(service="ec2", method="GET", path=path).owned(server))


@pytest.mark.parametrize("service", ["lambda", "moto_api", "instance_metadata", "ecs", "codebuild", "secretsmanager"])
def test_services_that_no_stack_uses_are_not_there(server: Server, service: str) -> None:
    """Moto's Lambda, say, runs containers with whatever code it is given."""
    refused(Call(service=service, method="GET", path="/2015-03-31/functions/").owned(server))
    refused(json_call(service, "Any.Operation").owned(server))


@pytest.mark.parametrize("service", ["iam", "batch", "sts"])
@pytest.mark.parametrize("path", ["/", "/us-east-1_x/.well-known/jwks.json", "/lambda_us-east-1/2015-03-31/functions/"])
def test_a_call_that_is_signed_in_its_query_goes_to_the_service_that_it_names(
    server: Server, service: str, path: str
) -> None:
    """Moto takes it for one that nobody signed, and guesses whose it is: S3's, or a service's that is not there."""
    call = Call(service=service, method="GET", path=path)
    answer = call.sent(server, path=call.presigned(server))
    assert (answer.status >= 400, b"Bucket" in answer.body) == (True, False), answer
    assert answer.code
    known = Call(service="iam", method="GET", path="/?Action=ListRoles&Version=2010-05-08")
    assert b"<ListRolesResult>" in known.sent(server, path=known.presigned(server)).body


def test_a_call_by_the_path_that_moto_calls_itself_by_is_refused(server: Server) -> None:
    refused(Call(service="s3", method="GET", path="/iam_us-east-1/?Action=ListRoles").sent(server))
    refused(Call(service="s3", method="GET", path="/us-east-1_x/.well-known/jwks.json").sent(server))


def test_an_assumed_role_needs_the_key_too(server: Server) -> None:
    action = "AssumeRoleWithWebIdentity&RoleArn=arn:aws:iam::123456789012:role/x&RoleSessionName=x&WebIdentityToken=x"
    refused(query_call("sts", action).sent(server))


@pytest.mark.parametrize("body", [b"{", b"[]", b"\xff", b"null", b"1", b"<x/>"])
def test_a_body_that_is_no_json_object_is_refused_in_the_service_s_own_words(server: Server, body: bytes) -> None:
    for name in ("fsx", "logs", "ecr", "states", "batch"):
        answer = replace(CALLS[name], body=body).owned(server)
        assert (answer.status, answer.code) == (400, "SerializationException"), (name, answer)


@pytest.mark.parametrize("service", ["iam", "ec2", "cloudformation", "sns", "sqs", "fsx", "logs", "states", "batch"])
def test_an_operation_that_is_none_is_refused_in_the_service_s_own_words(server: Server, service: str) -> None:
    for call in (
        query_call(service, "NoSuchOperation"),
        json_call(service, "NoSuch.Operation"),
        Call(service=service, method="GET", path="/no/such/path"),
        Call(service=service, method="BREW"),
    ):
        answer = call.owned(server)
        assert answer.status in {400, 404, 500}, answer
        assert answer.code, answer


# ---- the key itself -------------------------------------------------------------------------------------------------


def test_the_key_is_random_and_another_in_each_server(tmp_path: Path, server: Server) -> None:
    command = [sys.executable, "-m", "toolchain.localaws", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        told = json.loads(process.stdout.readline())
        other = Server(endpoint=told["endpoint"], region="us-east-1", key=Key(**told["key"]))
        assert other.key.id != server.key.id
        assert other.key.secret != server.key.secret
        assert len(other.key.secret) >= 40
        assert CALLS["iam"].owned(other).status == 200
        refused(CALLS["iam"].sent(other, CALLS["iam"].signed(other, server.key)))
        for name in ("environ", "cmdline"):
            assert told["key"]["secret"].encode() not in Path(f"/proc/{process.pid}/{name}").read_bytes()
        process.terminate()
    assert server.key.secret not in repr(server)


def test_nobody_else_looks_into_its_directory(world: LocalConfig, server: Server) -> None:
    assert server
    assert stat.S_IMODE(world.root.stat().st_mode) == 0o700


def test_the_export_s_key_opens_its_two_operations_and_nothing_else(server: Server) -> None:
    key = LocalBatchBackend.host.access.export
    for call in CALLS.values():
        refused(call.sent(server, call.signed(server, key)))
        refused(call.sent(server, path=call.presigned(server, key)))
    for operation in ("DescribeFileSystems", "DeleteFileSystem", "CancelDataRepositoryTask", "TagResource"):
        call = json_call("fsx", f"{FSX}.{operation}")
        refused(call.sent(server, call.signed(server, key)))
    for service in ("iam", "batch", "s3"):
        call = json_call(service, f"{FSX}.DescribeDataRepositoryTasks")
        refused(call.sent(server, call.signed(server, key)))
    for target in (
        "DescribeDataRepositoryTasks",
        f"x.{FSX}.DescribeDataRepositoryTasks",
        f"{FSX}.X.DescribeFileSystems",
    ):
        call = json_call("fsx", target)
        refused(call.sent(server, call.signed(server, key)))
    call = json_call("fsx", f"{FSX}.DescribeDataRepositoryTasks")
    assert call.sent(server, call.signed(server, key)).status == 200


def test_the_export_s_key_passes_off_no_other_operation_as_its_own(server: Server) -> None:
    """Moto looks for an operation's name in a query, a form, the body and every header, before the one that counts."""
    key = LocalBatchBackend.host.access.export
    allowed = json_call("fsx", f"{FSX}.DescribeDataRepositoryTasks")
    hidden = json.dumps({"TaskIds": ["&Action=DescribeFileSystems&"]}).encode()
    form = {**allowed.headers, "Content-Type": "application/x-www-form-urlencoded"}
    for call in (
        replace(allowed, path="/?Action=DescribeFileSystems"),
        replace(allowed, headers={**allowed.headers, "Action": "DescribeFileSystems"}),
        replace(allowed, body=b"Action=DescribeFileSystems", headers=form),
        replace(allowed, body=hidden),
        replace(allowed, path="/service/FSx/operation/DescribeFileSystems"),
        replace(allowed, method="GET"),
        replace(allowed, headers={**allowed.headers, "x_amz_target": f"{FSX}.DescribeFileSystems"}),
    ):
        answer = call.sent(server, call.signed(server, key))
        assert b'"FileSystems"' not in answer.body, call
        assert answer.status == 200 or answer.code, call


# ---- with the key, out of the embedded AWS --------------------------------------------------------------------------


def volume(path: str, **more: Any) -> dict[str, Any]:
    mount = {"sourceVolume": "v", "containerPath": "/host", "readOnly": more.pop("readOnly", False)}
    return {"volumes": [{"name": "v", "host": {"sourcePath": path}, **more}], "mountPoints": [mount]}


def evil(world: LocalConfig) -> dict[str, dict[str, Any]]:
    scratch, link = world.scratch, world.scratch / "link"
    if not link.is_symlink():
        link.symlink_to("/")
        (world.scratch / "working" / "link").symlink_to("/etc")
    inside = str(scratch / "working")
    return {
        "the whole host": volume("/"),
        "the whole host to read": volume("/", readOnly=True),
        "the engine's socket": volume("/var/run/docker.sock"),
        "the way up": volume(f"{inside}/../../.."),
        "the way up from a file system": volume(f"{inside}/../.."),
        "a link in scratch": volume(str(link)),
        "a link that a job made": volume(f"{inside}/link"),
        "a directory that a job can swap": volume(f"{inside}/germline"),
        "the key": volume(str(world.root), readOnly=True),
        "the buckets": volume(str(world.buckets)),
        "the door": volume(str(world.door)),
        "references to write to": volume(str(scratch / "reference")),
        "a relative path": volume("../"),
        "no path": volume(""),
        "a path with a zero byte": volume(f"{inside}\0/x"),
        "twice the same name": {
            "volumes": [*volume(inside)["volumes"], *volume("/")["volumes"]],
            "mountPoints": volume(inside)["mountPoints"],
        },
        "a network file system": volume(inside, efsVolumeConfiguration={"fileSystemId": "fs-1"}),
        "privileged": {"privileged": True},
        "privileged, in a word": {"privileged": "true"},
        "root": {"user": "root"},
        "root by number": {"user": "0"},
        "root by number and group": {"user": "0:0"},
        "root by another spelling": {"user": "00"},
        "root's group": {"user": "1000:0"},
        "a name that the image explains": {"user": "nobody"},
        "a number beyond all users": {"user": "4294967296"},
        "a device": {"linuxParameters": {"devices": [{"hostPath": "/dev/sda", "containerPath": "/dev/sda"}]}},
        "a tmpfs with devices": {
            "linuxParameters": {"tmpfs": [{"containerPath": "/t", "size": 1, "mountOptions": ["dev", "suid"]}]}
        },
        "secrets": {"secrets": [{"name": "S", "valueFrom": "arn:aws:ssm:us-east-1:123456789012:parameter/x"}]},
        "root, as a number": {"user": 0},
        "a user that is no text": {"user": 1000},
        "a tmpfs with options in its size": {
            "linuxParameters": {"tmpfs": [{"containerPath": "/t", "size": "1m,dev,suid,size=1"}]}
        },
        "references to write to, in a word": volume(str(scratch / "reference"), readOnly="false"),
        "another log driver": {"logConfiguration": {"logDriver": "syslog", "options": {"syslog-address": "udp://x:1"}}},
        "no object": {"volumes": "/", "mountPoints": ["/"]},
    }


def test_a_definition_that_asks_for_the_machine_is_refused(world: LocalConfig, cloud: Cloud, server: Server) -> None:
    before = cloud.batch.describe_job_definitions()["jobDefinitions"]
    for name, properties in evil(world).items():
        answer = register(**properties).owned(server)
        assert (answer.status, "ClientException" in str(answer.body)) == (400, True), (name, answer)
    assert cloud.batch.describe_job_definitions()["jobDefinitions"] == before


def test_a_definition_of_pods_tasks_or_nodes_is_refused(cloud: Cloud, server: Server) -> None:
    before = cloud.batch.describe_job_definitions()["jobDefinitions"]
    container = {"image": "x", "privileged": True, "vcpus": 1, "memory": 64}
    pod = {"hostNetwork": True, "containers": [{"image": "x", "securityContext": {"privileged": True}}]}
    nodes = [{"targetNodes": "0:0", "container": container}]
    for properties in (
        {"eksProperties": {"podProperties": pod}},
        {"ecsProperties": {"taskProperties": [{"pidMode": "host", "containers": [container]}]}},
        {"type": "multinode", "nodeProperties": {"numNodes": 1, "mainNode": 0, "nodeRangeProperties": nodes}},
    ):
        for own in ({}, {"containerProperties": {"image": "x", "resourceRequirements": SOME}}):
            body = {"jobDefinitionName": "evil", "type": "container", **own, **properties}
            answer = replace(register(), body=json.dumps(body).encode()).owned(server)
            assert (answer.status, b"ClientException" in answer.body) == (400, True), (properties, answer)
    assert cloud.batch.describe_job_definitions()["jobDefinitions"] == before


@pytest.mark.parametrize("memory", ["0", "-64", "3"])
def test_a_job_without_a_limit_of_memory_is_refused(cloud: Cloud, memory: str) -> None:
    """To Docker, no memory and less than none is all that there is."""
    some = [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": memory}]
    with pytest.raises(ClientError, match="MEMORY"):
        cloud.submit(cloud.define("evil"), containerOverrides={"resourceRequirements": some})
    with pytest.raises(ClientError, match=r"(?i)memory"):
        cloud.submit(cloud.define("evil", resourceRequirements=some))
    with pytest.raises(ClientError, match="VCPU"):
        cloud.submit(
            cloud.define("evil"), containerOverrides={"resourceRequirements": [{"type": "VCPU", "value": "-1"}]}
        )


def test_a_state_machine_registers_no_such_definition_either(world: LocalConfig, cloud: Cloud) -> None:
    resource = "arn:aws:states:::aws-sdk:batch:registerJobDefinition"
    given = {"JobDefinitionName": "evil", "Type": "container"}
    for name in ("the whole host", "privileged", "root"):
        properties = {"Image": "x", **{key[:1].upper() + key[1:]: value for key, value in evil(world)[name].items()}}
        if "Volumes" in properties:
            properties["Volumes"] = [{"Name": "v", "Host": {"SourcePath": "/"}}]
            properties["MountPoints"] = []
        states = {
            "R": {
                "Type": "Task",
                "Resource": resource,
                "Arguments": {**given, "ContainerProperties": properties},
                "End": True,
            }
        }
        execution = cloud.execute(cloud.machine(states))
        assert execution["status"] == "FAILED", name
        assert "does not run such a job" in execution["cause"], execution


def test_a_stack_registers_no_such_definition_either(server: Server, cloud: Cloud) -> None:
    assert server
    properties = {
        "Image": "x",
        "User": "0",
        "Privileged": True,
        "Volumes": [{"Name": "v", "Host": {"SourcePath": "/"}}],
    }
    template = {
        "Resources": {
            "D": {
                "Type": "AWS::Batch::JobDefinition",
                "Properties": {
                    "Type": "container",
                    "JobDefinitionName": "stacked",
                    "ContainerProperties": properties,
                },
            }
        }
    }
    stacks = boto3.client("cloudformation")
    with pytest.raises(ClientError, match="AWS::Batch::JobDefinition"):
        stacks.create_stack(StackName="evil", TemplateBody=json.dumps(template))
    assert cloud.batch.describe_job_definitions(jobDefinitionName="stacked")["jobDefinitions"] == []


# ---- from a container -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def image(built_images: BuiltImages) -> str:
    return image_of(built_images.images)


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
    return {"command": ["python3", "-c", text], "parameters": {}, "logConfiguration": LOGS}


def test_an_image_s_own_root_is_not_run(cloud: Cloud, root_image: str) -> None:
    job = cloud.run(cloud.define(root_image))
    assert job["statusReason"] == "Task failed to start"
    assert "its user must be a number that is not 0" in job["container"]["reason"]


def test_what_a_submission_overrides_is_no_more_than_batch_lets_it(
    world: LocalConfig, cloud: Cloud, image: str
) -> None:
    overrides = {"user": "0", "privileged": True, **volume("/")}
    call = Call(
        service="batch",
        path="/v1/submitjob",
        body=json.dumps(
            {
                "jobName": "evil",
                "jobQueue": "queue",
                "jobDefinition": cloud.define(image, logConfiguration=LOGS),
                "parameters": {"script": "id -u; ls /host 2>/dev/null; echo end"},
                "containerOverrides": overrides,
            }
        ).encode(),
        headers={"Content-Type": "application/json"},
    )
    host = LocalBatchBackend.host
    answer = call.owned(Server(endpoint=host.access.endpoint, region="us-east-1", key=host.access.owner))
    job = cloud.ended(json.loads(answer.body)["jobId"])
    assert cloud.lines(job) == ["1000", "end"]
    assert world.root.is_dir()


def test_a_definition_of_the_cloud_is_kept_and_its_jobs_do_not_start(cloud: Cloud, image: str) -> None:
    job = cloud.run(cloud.define(image, **volume("/scratch/working")))
    assert job["statusReason"] == "Task failed to start"
    assert "may not mount /scratch/working" in job["container"]["reason"]


def test_a_directory_that_was_swapped_for_a_link_is_not_mounted(world: LocalConfig, cloud: Cloud, image: str) -> None:
    definition = cloud.define(image, logConfiguration=LOGS, **volume(str(world.scratch / "data"), readOnly=True))
    assert cloud.run(definition)["status"] == "SUCCEEDED"
    (world.scratch / "data").rename(world.scratch / "aside")
    (world.scratch / "data").symlink_to("/etc")
    try:
        assert "may not mount" in cloud.run(definition, "cat /host/passwd")["container"]["reason"]
    finally:
        (world.scratch / "data").unlink()
        (world.scratch / "aside").rename(world.scratch / "data")


def test_a_job_has_no_key_no_capability_and_no_network(cloud: Cloud, image: str, server: Server) -> None:
    script = "env; grep -E 'CapBnd|NoNewPrivs' /proc/self/status; ls /sys/class/net; ls /run/embedded-aws || true"
    lines = cloud.lines(cloud.run(cloud.define(image, logConfiguration=LOGS), script))
    assert not [line for line in lines if server.key.secret in line or server.key.id in line]
    assert not [line for line in lines if re.match("AWS_(?!BATCH)", line)]
    found = dict(re.split(r":\s+", line) for line in lines if re.match("CapBnd|NoNewPrivs", line))
    assert found == {"CapBnd": "0000000000000000", "NoNewPrivs": "1"}
    assert [line for line in lines if re.fullmatch(r"(eth|ens|enp|docker|br-|wl)\w*", line)] == []
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


def places(server: Server, built_images: BuiltImages) -> list[tuple[str, int]]:
    """What a job could want to reach: this AWS, other services of this machine, the metadata, the world."""
    port = int(server.endpoint.rpartition(":")[2])
    bridge = (
        built_images.builder.engine.client.networks.get("bridge")
        .attrs["IPAM"]["Config"][0]
        .get("Gateway", "172.17.0.1")
    )
    hosts = ["127.0.0.1", "localhost", bridge, "host.docker.internal", "::1"]
    return [*((host, port) for host in hosts), (bridge, 22), ("169.254.169.254", 80), ("169.254.170.2", 80)]


@pytest.mark.engine
def test_a_tool_s_job_reaches_nothing(cloud: Cloud, built_images: BuiltImages, python: str, server: Server) -> None:
    job = cloud.run(cloud.define(python, **program(REACH.format(places=places(server, built_images)))))
    assert cloud.lines(job) == ["end"], job


@pytest.fixture(scope="module")
def role(cloud: Cloud) -> str:
    """A role that may export, as the stack's."""
    assert cloud
    iam = boto3.client("iam")
    made = iam.create_role(RoleName="export", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
    statement = {"Effect": "Allow", "Action": "fsx:CreateDataRepositoryTask", "Resource": "*"}
    iam.put_role_policy(
        RoleName="export",
        PolicyName="x",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [statement]}),
    )
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
    cloud: Cloud, built_images: BuiltImages, python: str, server: Server, role: str
) -> None:
    elsewhere = [place for place in places(server, built_images) if place[0] not in {"127.0.0.1", "localhost"}]
    calls = """
ask("fsx", "DescribeDataRepositoryTasks")
ask("fsx", "DescribeFileSystems")
ask("iam", "DescribeDataRepositoryTasks")
ask("batch", "RegisterJobDefinition")
ask("states", "ListStateMachines")
"""
    text = ASK + calls + REACH.format(places=elsewhere)
    job = cloud.run(cloud.define(python, **program(text), jobRoleArn=role, resourceRequirements=SOME))
    assert cloud.lines(job) == [
        "fsx DescribeDataRepositoryTasks 200",
        "fsx DescribeFileSystems AccessDeniedException",
        "iam DescribeDataRepositoryTasks AccessDeniedException",
        "batch RegisterJobDefinition AccessDeniedException",
        "states ListStateMachines AccessDeniedException",
        "end",
    ], job


def test_the_door_of_exports_is_shut_to_the_owner_s_key(cloud: Cloud, python: str, server: Server, role: str) -> None:
    """Whoever finds the key and nothing but that socket has found nothing."""
    text = f"""{ASK}
ask("fsx", "DescribeFileSystems", {server.key.id!r}, {server.key.secret!r})
print(os.listdir("/run/embedded-aws"))
try:
    open("/run/embedded-aws/x", "w")
except OSError as error:
    print(error.strerror)
"""
    job = cloud.run(cloud.define(python, **program(text), jobRoleArn=role, resourceRequirements=SOME))
    assert cloud.lines(job) == [
        "fsx DescribeFileSystems UnrecognizedClientException",
        "['fsx.sock']",
        "Read-only file system",
    ], job


@pytest.mark.parametrize("arn", ["arn:aws:iam::123456789012:role/none", ROLE, "x", ""])
def test_another_role_gives_a_job_nothing(cloud: Cloud, image: str, arn: str) -> None:
    lines = cloud.lines(cloud.run(cloud.define(image, jobRoleArn=arn, logConfiguration=LOGS), "env"))
    assert not [line for line in lines if re.match("AWS_(?!BATCH)", line)]


def test_what_a_job_is_told_by_others_does_not_lead_it_out(cloud: Cloud, image: str) -> None:
    """An environment that names another door opens none: there is no network."""
    environment = [{"name": "AWS_ENDPOINT_URL", "value": "http://172.17.0.1:1"}, {"name": "DOCKER_HOST", "value": "x"}]
    script = "ls /var/run/docker.sock 2>/dev/null; wc -l < /proc/net/route"
    assert cloud.lines(cloud.run(cloud.define(image, environment=environment, logConfiguration=LOGS), script)) == ["1"]


# ---- links ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def linked(world: LocalConfig, server: Server, tmp_path: Path) -> Iterator[Path]:
    """A bucket with links to a directory outside, a file in it, and the bucket beside."""
    assert server
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_bytes(b"hidden")
    bucket = world.buckets / "linked"
    bucket.mkdir()
    (bucket / "folder").symlink_to(outside)
    (bucket / "file").symlink_to(outside / "file")
    (bucket / "beside").symlink_to("../kept")
    (bucket / "plain").write_bytes(b"plain")
    (world.buckets / "linked-bucket").symlink_to(outside)
    yield outside
    assert (outside / "file").read_bytes() == b"hidden"
    assert [file.name for file in outside.iterdir()] == ["file"]
    (world.buckets / "linked-bucket").unlink()
    shutil.rmtree(bucket)


LINKED = ("/linked/file", "/linked/folder/file", "/linked/beside/secret", "/linked-bucket/file")


@pytest.mark.parametrize("path", LINKED)
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE"])
def test_a_link_in_a_bucket_is_no_way_out(server: Server, linked: Path, path: str, method: str) -> None:
    assert linked.is_dir()
    answer = Call(service="s3", method=method, path=path).owned(server)
    assert answer.status in ({403, 404} if not path.startswith("/linked/file") or method != "PUT" else {200, 403})
    assert b"hidden" not in answer.body


def test_a_link_in_a_bucket_is_written_to_copied_and_listed_by_nobody(server: Server, linked: Path) -> None:
    assert linked.is_dir()
    s3 = boto3.client("s3")
    listed = s3.list_objects_v2(Bucket="linked")["Contents"]
    assert [found["Key"] for found in listed] == ["plain"]
    assert "Contents" not in s3.list_objects_v2(Bucket="linked", Prefix="folder/")
    assert "linked-bucket" not in [found["Name"] for found in s3.list_buckets()["Buckets"]]
    for source, target in (("folder/file", "copy"), ("file", "copy"), ("plain", "folder/new"), ("plain", "folder/a/b")):
        with pytest.raises(ClientError, match="AccessDenied"):
            s3.copy_object(Bucket="linked", Key=target, CopySource={"Bucket": "linked", "Key": source})
    with pytest.raises(ClientError, match="AccessDenied"):
        s3.create_multipart_upload(Bucket="linked", Key="folder/parts") and s3.put_object(
            Bucket="linked", Key="folder/new", Body=b"x"
        )
    with pytest.raises(ClientError, match="AccessDenied"):
        s3.put_object(Bucket="linked", Key="folder/", Body=b"")
    assert server


def test_a_folder_that_becomes_a_link_while_it_is_looked_at_is_no_way_out(
    server: Server, world: LocalConfig, linked: Path
) -> None:
    folder, aside, link = (world.buckets / "kept" / name for name in ("swapped", "aside", "link"))
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


@pytest.fixture(scope="module")
def working(world: LocalConfig, server: Server) -> str:
    """The file system of results, linked to a bucket."""
    assert server
    (world.buckets / "results").mkdir()
    fsx = boto3.client("fsx")
    made = fsx.create_file_system(
        FileSystemType="LUSTRE",
        FileSystemTypeVersion="2.15",
        StorageCapacity=1200,
        SubnetIds=["subnet-0123456789abcdef0"],
        LustreConfiguration={"DeploymentType": "SCRATCH_2"},
        Tags=[{"Key": "scratch-mount", "Value": "/scratch/working"}],
    )["FileSystem"]["FileSystemId"]
    events: Any = {"AutoImportPolicy": {"Events": ["NEW", "CHANGED", "DELETED"]}}
    fsx.create_data_repository_association(
        FileSystemId=made, FileSystemPath="/", DataRepositoryPath="s3://results/runs", S3=events
    )
    return made


def exported(file_system: str, *paths: str, report: str = "s3://results/runs/reports") -> dict[str, Any]:
    """A task that exports, at its end."""
    fsx = boto3.client("fsx")
    enabled: Any = {"Enabled": True, "Path": report, "Format": "REPORT_CSV_20191124", "Scope": "FAILED_FILES_ONLY"}
    task: Any = fsx.create_data_repository_task(
        FileSystemId=file_system, Type="EXPORT_TO_REPOSITORY", Paths=list(paths), Report=enabled
    )["DataRepositoryTask"]

    def look() -> Any:
        found = fsx.describe_data_repository_tasks(TaskIds=[task["TaskId"]])["DataRepositoryTasks"][0]
        return found if found["Lifecycle"] in {"SUCCEEDED", "FAILED"} else None

    ended: dict[str, Any] = until(look)
    return ended


def test_nobody_but_jobs_writes_to_the_file_system_of_results(world: LocalConfig, working: str) -> None:
    assert working
    found = (world.scratch / "working").stat()
    if os.geteuid() in {0, 1000}:
        assert (found.st_uid, stat.S_IMODE(found.st_mode)) == (1000, 0o755)
    assert stat.S_IMODE(world.root.stat().st_mode) == 0o700


def test_a_job_writes_there_and_nowhere_else(world: LocalConfig, cloud: Cloud, image: str, working: str) -> None:
    assert working
    volumes = [{"name": name, "host": {"sourcePath": str(world.scratch / name)}} for name in ("data", "working")]
    mounts = [
        {"sourceVolume": "data", "containerPath": "/scratch/data", "readOnly": True},
        {"sourceVolume": "working", "containerPath": "/scratch/working"},
    ]
    definition = cloud.define(image, volumes=volumes, mountPoints=mounts, logConfiguration=LOGS)
    script = "touch /scratch/data/x 2>/dev/null && echo data; touch /scratch/working/by-a-job && echo working"
    assert cloud.lines(cloud.run(definition, script)) == ["working"]


def test_what_a_job_planted_is_not_exported(world: LocalConfig, working: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"hidden")
    run = world.scratch / "working" / "germline" / "planted"
    run.mkdir(parents=True)
    (run / "file").symlink_to(tmp_path / "file")
    (run / "folder").symlink_to(tmp_path)
    (run / "own").write_bytes(b"own")
    os.mkfifo(run / "pipe")
    assert exported(working, "germline/planted")["Lifecycle"] == "SUCCEEDED"
    there = world.buckets / "results" / "runs" / "germline" / "planted"
    assert [file.name for file in there.iterdir()] == ["own"]
    for path in ("germline/planted/folder", "germline/planted/file", "germline/planted/folder/file"):
        assert exported(working, path)["Lifecycle"] == "FAILED", path
    assert [file.name for file in there.iterdir()] == ["own"]


def test_what_a_job_planted_leads_no_import_astray(world: LocalConfig, working: str, tmp_path: Path) -> None:
    assert working
    (world.scratch / "working" / "way-out").symlink_to(tmp_path)
    boto3.client("s3").put_object(Bucket="results", Key="runs/way-out/file", Body=b"x")
    (tmp_path / "mine").write_bytes(b"mine")
    boto3.client("s3").put_object(Bucket="results", Key="runs/way-out/mine", Body=b"x")
    boto3.client("s3").delete_object(Bucket="results", Key="runs/way-out/mine")
    assert [file.name for file in tmp_path.iterdir()] == ["mine"]
    assert (tmp_path / "mine").read_bytes() == b"mine"


@pytest.mark.parametrize("path", ["../data", "..", "/..", "germline/../../data", "/etc", "germline/../../../../etc"])
def test_a_path_leads_no_export_out_of_its_file_system(world: LocalConfig, working: str, path: str) -> None:
    assert exported(working, path)["Lifecycle"] == "FAILED"
    assert not (world.buckets / "results" / "etc").exists()


@pytest.mark.parametrize(
    "place",
    [
        "s3://..",
        "s3://../x",
        "s3://./x",
        "s3://results/../..",
        "s3://results/runs/../../../x",
        "s3://results/./x",
        "s3:///x",
    ],
)
def test_a_place_in_s3_is_none_beside_the_buckets(world: LocalConfig, working: str, place: str) -> None:
    fsx = boto3.client("fsx")
    with pytest.raises(ClientError, match="BadRequest"):
        exported(working, "germline", report=place)
    with pytest.raises(ClientError, match="BadRequest"):
        fsx.create_data_repository_association(FileSystemId=working, FileSystemPath="/x", DataRepositoryPath=place)
    lustre: Any = {"DeploymentType": "SCRATCH_2", "ImportPath": place}
    with pytest.raises(ClientError, match="BadRequest"):
        fsx.create_file_system(
            FileSystemType="LUSTRE",
            StorageCapacity=1200,
            SubnetIds=["subnet-0123456789abcdef0"],
            LustreConfiguration=lustre,
        )
    assert world.root.is_dir()


@pytest.mark.parametrize("mount", ["/scratch/..", "/scratch/../..", "/scratch/working/way-out", "/etc", "//scratch"])
def test_a_file_system_is_mounted_nowhere_else(world: LocalConfig, server: Server, mount: str) -> None:
    assert server
    before = sorted(world.root.parent.iterdir())
    fsx = boto3.client("fsx")
    made = fsx.create_file_system(
        FileSystemType="LUSTRE",
        StorageCapacity=1200,
        SubnetIds=["subnet-0123456789abcdef0"],
        LustreConfiguration={"DeploymentType": "SCRATCH_2"},
        Tags=[{"Key": "scratch-mount", "Value": mount}],
    )["FileSystem"]["FileSystemId"]
    assert (world.root / "lustre" / made).is_dir()
    fsx.delete_file_system(FileSystemId=made)
    assert sorted(world.root.parent.iterdir()) == before


# ---- ECR ------------------------------------------------------------------------------------------------------------


def test_the_registry_asks_for_its_password(server: Server) -> None:
    assert server
    token = boto3.client("ecr").get_authorization_token()["authorizationData"][0]
    for credentials in ("", "AWS:", "AWS:local", f"AWS:{server.key.secret}"):
        connection = http.client.HTTPConnection(token["proxyEndpoint"].removeprefix("http://"), timeout=20)
        given = base64.b64encode(credentials.encode()).decode()
        connection.request("GET", "/v2/_catalog", headers={"Authorization": f"Basic {given}"} if credentials else {})
        assert connection.getresponse().status == 401
        connection.close()

"""A checkout of three small images in a folder of its own, and the cloud that it is pushed to."""

import io
import json
import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

from docker.errors import ImageNotFound
from support.cli_runner import CommandResult
from support.fault_proxy import FaultProxy

from toolchain import files
from toolchain.aws import Account
from toolchain.backoff import Backoff
from toolchain.cli.main import main
from toolchain.docker.engine import Engine
from toolchain.images import catalog
from toolchain.images.build import FINGERPRINT_LABEL, ImageBuilder
from toolchain.images.ecr import Registry
from toolchain.images.fingerprint import tag
from toolchain.images.push import Pusher
from toolchain.jobdefs import render
from toolchain.jobdefs.template import Rendering
from toolchain.localaws.ecr.registry import LocalRegistry
from toolchain.paths import HERE, Checkout
from toolchain.runs.target import AwsTarget

NAMES = ("alpha", "beta", "gamma")
# Waits that tests have the time for.
QUICK = Backoff(attempts=4, first=0.02, longest=0.05)

_IMAGE = """
version     = "1.0"
title       = "{name}"
description = "A file"
license     = "MIT"
source      = "https://example.org"
"""
_PROGRAM = "[program]\ncommand = ['true']\nversion = '([0-9.]+)'\n"
_BASE = 'kind = "base"\nsuite = "none"\n'
_JOBDEF = """{% extends "_base.json.j2" %}
{% set vcpus = 1 %}
{% set memory = 512 %}
{% set timeout = 600 %}
{% block parameters -%}"sample": "-"{%- endblock %}
{% block arguments -%}"Ref::sample"{%- endblock %}
"""


# Of a stack, as all roles are; its one resource is of no use.
ROLES = {"JobRoleArn": "arn:aws:iam::123456789012:role/jobs"}
_COMPUTE = json.dumps(
    {
        "Resources": {"Topic": {"Type": "AWS::SNS::Topic"}},
        "Outputs": {name: {"Value": value} for name, value in ROLES.items()},
    }
)


class _Target(AwsTarget):
    """AWS with a compute stack."""

    def rendering(self, account: Account) -> Rendering:
        del account
        return replace(render.for_aws(self.checkout), outputs=ROLES)


@dataclass(frozen=True, kw_only=True)
class Project:
    """A checkout whose images are a file each; `prefix` is the project's name in genomics.toml."""

    checkout: Checkout
    prefix: str
    names: tuple[str, ...] = NAMES

    @property
    def target(self) -> AwsTarget:
        """AWS, as if the compute stack were deployed."""
        return _Target(checkout=self.checkout)

    def deploy_roles(self) -> None:
        """Deploys the compute stack, for commands."""
        Account().cloudformation().create_stack(StackName=f"{self.prefix}-compute", TemplateBody=_COMPUTE)

    def tag(self, name: str) -> str:
        images = catalog.load(self.checkout.images)
        return tag(images.tools[name], images)

    def written(self) -> dict[str, dict[str, Any]]:
        """The entries of dist/images.json, by name."""
        data = json.loads((self.checkout.dist / "images.json").read_text(encoding="utf-8"))
        return {entry["name"]: entry for entry in data["images"]}

    def pretend_pushed(self, *, digit: str = "a") -> None:
        """Writes dist/images.json as if every image were in a registry."""
        images = [
            {
                "name": name,
                "version": "1.0",
                "tag": self.tag(name),
                "repository": f"registry.test/{self.prefix}/{name}",
                "digest": f"sha256:{digit * 64}",
                "compressed_bytes": 1,
            }
            for name in self.names
        ]
        files.write_json(self.checkout.dist / "images.json", {"images": images})

    def settings(self, text: str = "") -> None:
        """Writes genomics.toml."""
        self.checkout.settings.write_text(f'project = "{self.prefix}"\nworkflow = "test"\n{text}', encoding="utf-8")

    def change(self, name: str) -> None:
        """Gives an image another content."""
        (self.checkout.images / name / "payload").write_bytes(secrets.token_bytes(50_000))

    def run(self, *words: str, environment: Mapping[str, str] | None = None) -> CommandResult:
        """Runs a command to its end: in this process, as if this were its checkout."""
        out, err = io.StringIO(), io.StringIO()
        with ExitStack() as stack:
            for module in ("images", "jobdefs", "local"):
                stack.enter_context(patch(f"toolchain.cli.{module}.HERE", self.checkout))
            stack.enter_context(patch.dict(os.environ, environment or {}))
            stack.enter_context(redirect_stdout(out))
            stack.enter_context(redirect_stderr(err))
            code = main(words)
        return CommandResult(code=code, out=out.getvalue(), err=err.getvalue())

    def start(self, *words: str, environment: Mapping[str, str]) -> "subprocess.Popen[str]":
        """Starts a command, as a process that runs this checkout's copy of the toolchain."""
        # With its bytecode, but not with files that Python is writing right now.
        ignore = shutil.ignore_patterns("*.pyc.*")
        shutil.copytree(HERE.root / "toolchain", self.checkout.root / "toolchain", ignore=ignore, dirs_exist_ok=True)
        shutil.copyfile(HERE.root / "build.py", self.checkout.root / "build.py")
        return subprocess.Popen(
            [sys.executable, self.checkout.root / "build.py", *words],
            env={**os.environ, **environment},
            cwd=self.checkout.root,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


@dataclass(frozen=True, kw_only=True)
class BuildableProject(Project):
    """A project with an engine."""

    engine: Engine

    @property
    def builder(self) -> ImageBuilder:
        return ImageBuilder.open(self.checkout)

    def pusher(self, registry: Registry | None = None) -> Pusher:
        return Pusher(
            checkout=self.checkout,
            dist=self.checkout.dist,
            registry=registry or Registry(Account(), QUICK),
            builder=lambda: self.builder,
            backoff=QUICK,
        )


@dataclass(frozen=True, kw_only=True)
class Cloud:
    """An embedded AWS and a real registry, both behind proxies that can fail.

    Attributes:
        environment: What a command needs to find this AWS.
    """

    api_proxy: FaultProxy
    registry_proxy: FaultProxy
    registry: LocalRegistry
    environment: Mapping[str, str]

    def make_repositories(self, project: Project, *, immutable: bool = True) -> None:
        """Makes the repositories of a project's images."""
        ecr = Account().ecr()
        for name in project.names:
            ecr.create_repository(
                repositoryName=f"{project.prefix}/{name}", imageTagMutability="IMMUTABLE" if immutable else "MUTABLE"
            )
        self.api_proxy.seen.clear()

    @property
    def calls(self) -> list[str]:
        """The API calls since the last reset."""
        return [request.target for request in self.api_proxy.seen]

    def manifest(self, project: Project, name: str) -> tuple[str, str]:
        """The text and the digest of the manifest under an image's tag."""
        manifest = self.registry.manifest(f"{project.prefix}/{name}", project.tag(name))
        assert manifest is not None
        return manifest

    def push_other_build(self, project: BuildableProject, name: str, *, fingerprint: str | None = None) -> None:
        """Pushes another image under an image's tag, past the proxy; labelled as of the same content by default."""
        repository = f"{self.registry.host}/{project.prefix}/{name}"
        folder = project.checkout.root / "elsewhere"
        folder.mkdir(exist_ok=True)
        (folder / "Dockerfile").write_text("FROM scratch\nCOPY payload /payload\n", encoding="ascii")
        (folder / "payload").write_bytes(secrets.token_bytes(20))
        image_id = project.engine.build(
            {file.name: file for file in folder.iterdir()},
            tag=f"{repository}:other",
            arguments={},
            labels={FINGERPRINT_LABEL: fingerprint or project.tag(name).rpartition("-")[2]},
        )
        login = {"username": "AWS", "password": self.registry.password}
        project.engine.push(image_id, repository, project.tag(name), login=login)


def make_project(root: Path, *, names: tuple[str, ...] = NAMES, dockerfile: str = "FROM scratch\n") -> Project:
    """Makes a checkout with an image and a job definition for each name.

    Args:
        root: The folder.
        names: The images.
        dockerfile: How each begins.
    """
    project = Project(checkout=Checkout(root=root), prefix=f"test{secrets.token_hex(4)}", names=names)
    (root / "jobdefs").mkdir(parents=True)
    project.settings()
    (root / "stack").mkdir()
    (root / "stack/compute.yaml").write_text(_COMPUTE, encoding="ascii")
    shutil.copyfile(HERE.jobdefs / "_base.json.j2", root / "jobdefs/_base.json.j2")
    for name in ("base", *names):
        folder = root / "images" / name
        folder.mkdir(parents=True)
        text = _IMAGE.format(name=name) + (_BASE if name == "base" else _PROGRAM)
        (folder / "image.toml").write_text(text, encoding="ascii")
    for name in names:
        (root / "images" / name / "Dockerfile").write_text(f"{dockerfile}COPY payload /payload\n", encoding="ascii")
        project.change(name)
        (root / f"jobdefs/{name}.json.j2").write_text(_JOBDEF, encoding="ascii")
    return project


@contextmanager
def buildable_project(root: Path, engine: Engine, *, base: str | None = None) -> Iterator[BuildableProject]:
    """Makes a project, and removes its images from the engine afterwards.

    Args:
        root: The folder.
        engine: The engine.
        base: The image that its images start from; none for nothing at all.
    """
    plain = make_project(root, dockerfile="ARG BASE\nFROM ${BASE}\n" if base else "FROM scratch\n")
    project = BuildableProject(checkout=plain.checkout, prefix=plain.prefix, engine=engine)
    client = engine.client
    try:
        # The base counts as built: a file needs no Debian.
        reference = project.builder.reference(project.builder.catalog.base)
        if base is not None:
            client.images.get(base).tag(reference)
        else:
            (root / "empty").write_text("FROM scratch\nLABEL nothing=1\n", encoding="ascii")
            engine.build({"Dockerfile": root / "empty"}, tag=reference, arguments={}, labels={})
        yield project
    finally:
        for image in client.api.images():
            # Its tags, and what a push notes down of digests, which may stay when a tag goes elsewhere.
            for name in (*(image["RepoTags"] or ()), *(image["RepoDigests"] or ())):
                if f"{project.prefix}/" in name:
                    with suppress(ImageNotFound):
                        client.images.remove(name, force=True)

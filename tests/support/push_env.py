"""A checkout of small images in a folder of its own, and the cloud that it is pushed to."""

import json
import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from docker.errors import ImageNotFound

from toolchain import files
from toolchain.aws import Account
from toolchain.backoff import Backoff
from toolchain.docker.engine import Engine
from toolchain.images import catalog
from toolchain.images.build import ImageBuilder
from toolchain.images.ecr import Registry
from toolchain.images.fingerprint import tag
from toolchain.images.push import Pusher
from toolchain.paths import HERE, Checkout

if TYPE_CHECKING:
    from support.fault_proxy import FaultProxy

    from toolchain.localaws.ecr.registry import LocalRegistry

NAMES = ("alpha", "beta", "gamma")
# Waits that tests have the time for.
QUICK = Backoff(attempts=4, first=0.02, longest=0.05)


@dataclass(frozen=True, kw_only=True)
class Cloud:
    """An embedded AWS with a real registry, both behind proxies that can fail.

    Attributes:
        api: Before moto.
        front: Before the registry.
        registry: The registry itself.
        environment: What a command needs to find this AWS.
    """

    api: "FaultProxy"
    front: "FaultProxy"
    registry: "LocalRegistry"
    environment: Mapping[str, str]

    def make_repositories(self, shop: "Desk", *, immutable: bool = True) -> None:
        """What the error for a missing repository says to type."""
        ecr = Account().ecr()
        for name in shop.names:
            ecr.create_repository(
                repositoryName=f"{shop.project}/{name}", imageTagMutability="IMMUTABLE" if immutable else "MUTABLE"
            )
        self.api.seen.clear()

    @property
    def calls(self) -> list[str]:
        """The API calls since the last reset."""
        return [one.target for one in self.api.seen]


@dataclass(frozen=True, kw_only=True)
class Desk:
    """A checkout of its own, whose images are a file each."""

    checkout: Checkout
    project: str
    names: tuple[str, ...] = NAMES

    def tag(self, name: str) -> str:
        known = catalog.load(self.checkout.images)
        return tag(known.tools[name], known)

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
                "repository": f"registry.test/{self.project}/{name}",
                "digest": f"sha256:{digit * 64}",
                "compressed_bytes": 1,
            }
            for name in self.names
        ]
        files.write_json(self.checkout.dist / "images.json", {"images": images})

    def settings(self, text: str = "") -> None:
        """Writes genomics.toml."""
        head = f'project = "{self.project}"\nworkflow = "test"\n'
        self.checkout.settings.write_text(head + text, encoding="utf-8")

    def change(self, name: str) -> None:
        """Gives an image another content."""
        (self.checkout.images / name / "payload").write_bytes(secrets.token_bytes(50_000))

    def run(self, *words: str, environment: Mapping[str, str]) -> "subprocess.CompletedProcess[str]":
        """Runs a command to its end."""
        return subprocess.run(
            [sys.executable, self.checkout.root / "build.py", *words],
            env={**os.environ, **environment},
            cwd=self.checkout.root,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    def start(self, *words: str, environment: Mapping[str, str]) -> "subprocess.Popen[str]":
        """Starts a command."""
        return subprocess.Popen(
            [sys.executable, self.checkout.root / "build.py", *words],
            env={**os.environ, **environment},
            cwd=self.checkout.root,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


@dataclass(frozen=True, kw_only=True)
class Shop(Desk):
    """A checkout that can build."""

    engine: Engine

    @property
    def builder(self) -> ImageBuilder:
        return ImageBuilder.open(self.checkout)

    def pusher(self, registry: Registry | None = None, patience: Backoff = QUICK) -> Pusher:
        return Pusher(
            checkout=self.checkout,
            dist=self.checkout.dist,
            registry=registry or Registry(Account(), patience),
            builder=lambda: self.builder,
            backoff=patience,
        )


_IMAGE = """
version     = "1.0"
title       = "{name}"
description = "A file"
license     = "MIT"
source      = "https://example.org"

[packages]

[program]
command = ["true"]
version = '([0-9.]+)'
"""
_BASE = """
version     = "1"
title       = "base"
description = "Nothing"
license     = "MIT"
source      = "https://example.org"
kind        = "base"
suite       = "none"

[packages]
"""


_JOBDEF = """{% extends "_base.json.j2" %}
{% set vcpus = 1 %}
{% set memory = 512 %}
{% set timeout = 600 %}
{% block parameters -%}"sample": "-"{%- endblock %}
{% block arguments -%}"Ref::sample"{%- endblock %}
"""


def desk(
    root: Path, *, names: tuple[str, ...] = ("alpha", "beta", "gamma"), dockerfile: str = "FROM scratch\n"
) -> Desk:
    """Makes a checkout with this toolchain, and an image and a job definition for each name.

    Args:
        root: The folder.
        names: The images.
        dockerfile: How each begins.
    """
    made = Desk(checkout=Checkout(root=root), project=f"test{secrets.token_hex(4)}", names=names)
    shutil.copytree(HERE.root / "toolchain", root / "toolchain", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copyfile(HERE.root / "build.py", root / "build.py")
    made.settings()
    (root / "images/base").mkdir(parents=True)
    (root / "images/base/image.toml").write_text(_BASE, encoding="ascii")
    (root / "jobdefs").mkdir()
    shutil.copyfile(HERE.jobdefs / "_base.json.j2", root / "jobdefs/_base.json.j2")
    for name in made.names:
        folder = root / "images" / name
        folder.mkdir()
        (folder / "image.toml").write_text(_IMAGE.format(name=name), encoding="ascii")
        (folder / "Dockerfile").write_text(f"{dockerfile}COPY payload /payload\n", encoding="ascii")
        made.change(name)
        (root / f"jobdefs/{name}.json.j2").write_text(_JOBDEF, encoding="ascii")
    return made


@contextmanager
def shop(root: Path, engine: Engine, *, base: str | None = None) -> Iterator[Shop]:
    """Makes a checkout of three images, and removes what the engine got of it.

    Args:
        root: The folder.
        engine: Where it is built.
        base: The image that its images start from; none for nothing at all.
    """
    start = "ARG BASE\nFROM ${BASE}\n" if base else "FROM scratch\n"
    plain = desk(root, dockerfile=start)
    made = Shop(checkout=plain.checkout, project=plain.project, engine=engine)
    client = engine.client
    try:
        # The base counts as built: a file needs no Debian.
        reference = made.builder.reference(made.builder.catalog.base)
        if base is not None:
            repository, _, tag_name = reference.rpartition(":")
            client.api.tag(base, repository, tag_name)
        else:
            (root / "empty").write_text("FROM scratch\nLABEL nothing=1\n", encoding="ascii")
            engine.build({"Dockerfile": root / "empty"}, tag=reference, arguments={}, labels={})
        yield made
    finally:
        for image in client.images.list():
            # Its tags, and what a push notes down of digests, which may stay when a tag goes elsewhere.
            for name in (*image.tags, *image.attrs.get("RepoDigests", ())):
                if f"{made.project}/" in name:
                    with suppress(ImageNotFound):
                        client.images.remove(name, force=True)

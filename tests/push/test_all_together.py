"""From a checkout to registered job definitions, as people type it, and once more."""

import json
import resource

import pytest
from support.push_env import Cloud, Shop

from toolchain.aws import Account


@pytest.fixture
def ready(cloud: Cloud, small: Shop) -> Cloud:
    cloud.make_repositories(small)
    return cloud


def run(cloud: Cloud, small: Shop, *words: str, exit_code: int = 0) -> str:
    result = small.run(*words, environment=cloud.environment)
    assert result.returncode == exit_code, result.stderr
    return result.stdout


def test_push_render_register_and_verify_end_with_cloud_and_checkout_in_agreement(ready: Cloud, small: Shop) -> None:
    run(ready, small, "push")
    run(ready, small, "render")
    run(ready, small, "render", "--check")
    assert run(ready, small, "register") == "alpha:1 registered\nbeta:1 registered\ngamma:1 registered\n"
    assert run(ready, small, "verify") == "alpha:1 agrees\nbeta:1 agrees\ngamma:1 agrees\n"

    # Once more, nothing.
    ready.front.seen.clear()
    assert run(ready, small, "push") == ""
    assert run(ready, small, "register") == "alpha:1 unchanged\nbeta:1 unchanged\ngamma:1 unchanged\n"
    assert ready.front.seen == []

    # One image changes, and that is all that changes.
    small.change("beta")
    assert "beta:1 runs" in run(ready, small, "verify", exit_code=1)
    run(ready, small, "push")
    assert "beta.json" in small.run("render", "--check", environment=ready.environment).stderr
    assert run(ready, small, "register") == "alpha:1 unchanged\nbeta:2 registered\ngamma:1 unchanged\n"
    assert run(ready, small, "verify") == "alpha:1 agrees\nbeta:2 agrees\ngamma:1 agrees\n"

    # What is registered is the very image in the registry.
    arns = json.loads((small.checkout.dist / "jobdefs.json").read_text(encoding="utf-8"))
    answer = Account().batch().describe_job_definitions(jobDefinitions=[arns["beta"]])
    image = answer["jobDefinitions"][0]["containerProperties"]["image"]
    held = ready.registry.manifest(f"{small.project}/beta", small.tag("beta"))
    assert held is not None
    assert image == f"{ready.front.host}/{small.project}/beta@{held[1]}"


def test_a_push_of_nothing_takes_less_than_a_second_of_work(ready: Cloud, small: Shop) -> None:
    """Of work: what the process itself computes, so that neither the network nor a busy machine is measured."""
    run(ready, small, "push")
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    run(ready, small, "push")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 1.0

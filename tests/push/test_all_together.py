"""From a checkout to registered job definitions, as people type it, and once more."""

import json
import resource

from support.push_env import BuildableProject, Cloud

from toolchain.aws import Account

MOST_CPU_SECONDS = 1.5


def test_push_render_register_and_verify_end_with_cloud_and_checkout_in_agreement(
    cloud: Cloud, buildable: BuildableProject
) -> None:
    def run(*words: str, exit_code: int = 0) -> str:
        result = buildable.run(*words)
        assert result.code == exit_code, result.err
        return result.out

    buildable.deploy_roles()
    run("push")
    run("render")
    run("render", "--check")
    assert run("register") == "alpha:1 registered\nbeta:1 registered\ngamma:1 registered\n"
    assert run("verify") == "alpha:1 agrees\nbeta:1 agrees\ngamma:1 agrees\n"

    # Once more, nothing: the process's own CPU time is measured, so that neither network nor other processes count.
    cloud.registry_proxy.seen.clear()
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with buildable.start("push", environment=cloud.environment) as process:
        said = process.communicate(timeout=60)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert said == ("", "nothing to push: ECR holds every image with this content\n")
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < MOST_CPU_SECONDS
    assert run("register") == "alpha:1 unchanged\nbeta:1 unchanged\ngamma:1 unchanged\n"
    assert cloud.registry_proxy.seen == []

    # One image changes, and that is all that changes.
    buildable.change("beta")
    assert "beta:1 runs" in run("verify", exit_code=1)
    pushed = {image["name"]: image["new"] for image in json.loads(run("push", "--json"))["images"]}
    assert pushed == {"alpha": False, "beta": True, "gamma": False}
    assert "beta.json" in buildable.run("render", "--check").error
    assert run("register") == "alpha:1 unchanged\nbeta:2 registered\ngamma:1 unchanged\n"
    assert run("verify") == "alpha:1 agrees\nbeta:2 agrees\ngamma:1 agrees\n"

    # What is registered is the very image in the registry.
    arns = json.loads((buildable.checkout.dist / "jobdefs.json").read_text(encoding="utf-8"))
    answer = Account().batch().describe_job_definitions(jobDefinitions=[arns["beta"]])
    image = answer["jobDefinitions"][0]["containerProperties"]["image"]
    digest = cloud.manifest(buildable, "beta")[1]
    assert image == f"{cloud.registry_proxy.host}/{buildable.prefix}/beta@{digest}"

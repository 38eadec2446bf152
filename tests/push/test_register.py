"""`register`: a revision for what changed, and none for what did not."""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from botocore.stub import Stubber
from support.fault_proxy import FaultProxy
from support.push_env import Project, make_project

from toolchain.aws import BATCH_CALLS_PER_SECOND, Account, Pace
from toolchain.errors import MissingInputError, SeveralFailedError, UnavailableError
from toolchain.jobdefs import register as registration
from toolchain.jobdefs import revisions

if TYPE_CHECKING:
    from pathlib import Path

    from types_boto3_batch import BatchClient


@pytest.fixture
def batch(aws: FaultProxy) -> "BatchClient":
    del aws
    return Account().batch()


def run(project: Project, *names: str) -> list[str]:
    """What `register` prints."""
    said: list[str] = []
    registration.run(project.target, Account(), names, lambda one: said.append(str(one)))
    return said


def active(batch: "BatchClient", project: Project, name: str) -> list[int]:
    return [revision.number for revision in revisions.active(batch, f"{project.prefix}-{name}")]


def written(project: Project) -> dict[str, str]:
    data: dict[str, str] = json.loads((project.checkout.dist / "jobdefs.json").read_text(encoding="utf-8"))
    return data


def nothing(_: Project) -> None:
    """The same again."""


def more_memory(project: Project) -> None:
    project.settings("[jobs.beta]\nmemory = 777\n")


def deregistered(project: Project) -> None:
    Account().batch().deregister_job_definition(jobDefinition=written(project)["beta"])


def deregistered_and_back(project: Project) -> None:
    deregistered(project)
    project.settings()


@pytest.mark.usefixtures("aws")
@pytest.mark.parametrize(
    ("changes", "beta"),
    [
        ([nothing], "1 unchanged"),
        ([more_memory], "2 registered"),
        ([lambda project: project.settings('[tags]\nlab = "b"\n')], "2 registered"),
        ([lambda project: project.pretend_pushed(digit="b")], "2 registered"),
        # Back to what was before the latest.
        ([more_memory, lambda project: project.settings()], "3 registered"),
        ([deregistered], "2 registered"),
        # The latest active one counts, not the latest that ever was.
        ([more_memory, deregistered_and_back], "1 unchanged"),
    ],
)
def test_a_change_makes_a_revision_and_no_change_makes_none(
    project: Project, changes: list[Callable[[Project], object]], beta: str
) -> None:
    assert run(project) == ["alpha:1 registered", "beta:1 registered", "gamma:1 registered"]
    prefix = f"arn:aws:batch:eu-central-1:123456789012:job-definition/{project.prefix}"
    assert written(project) == {name: f"{prefix}-{name}:1" for name in project.names}
    for change in changes:
        change(project)
        lines = run(project, "beta")
    assert lines == [f"beta:{beta}"]
    assert written(project)["beta"] == f"{prefix}-beta:{beta[0]}"


def test_where_nothing_changed_batch_is_only_asked(aws: FaultProxy, project: Project) -> None:
    run(project)
    aws.seen.clear()
    run(project)
    assert [request.path for request in aws.seen] == ["/v1/describejobdefinitions"] * 3


@pytest.mark.usefixtures("aws")
def test_those_that_are_named_are_registered_and_the_others_stay_written_down(project: Project) -> None:
    run(project)
    project.settings('[tags]\nlab = "b"\n')
    assert run(project, "gamma") == ["gamma:2 registered"]
    assert [arn.rpartition(":")[2] for arn in written(project).values()] == ["1", "1", "2"]


@pytest.mark.usefixtures("aws")
def test_a_name_that_no_tool_has_is_an_error_that_lists_those_there_are(project: Project) -> None:
    with pytest.raises(MissingInputError, match=r"no job definition 'delta': jobdefs/ holds alpha, beta, gamma"):
        run(project, "delta")


@pytest.mark.usefixtures("aws")
def test_what_is_not_pushed_with_this_content_is_not_registered(project: Project) -> None:
    project.change("beta")
    with pytest.raises(MissingInputError, match=r"'beta' is not pushed with this content.*python build\.py push"):
        run(project)


# Two at once


def test_two_at_once_end_with_one_active_revision_that_both_name(batch: "BatchClient", project: Project) -> None:
    definitions = registration.rendered(project.target, Account(), ())
    with ThreadPoolExecutor() as pool:
        both = list(pool.map(lambda _: registration.register(Account().batch(), definitions)[0], range(2)))
    assert [one.arn for one in both[0]] == [one.arn for one in both[1]]
    for name in project.names:
        assert len(active(batch, project, name)) == 1


def test_who_registers_what_came_in_between_takes_it_back(
    aws: FaultProxy, batch: "BatchClient", project: Project
) -> None:
    """The other run comes after this one's look and before its registration: the very window."""
    definitions = registration.rendered(project.target, Account(), ("alpha",))
    other = Account().batch()
    aws.fails(path="registerjobdefinition", before=lambda: register_behind(other, definitions["alpha"]))
    done, errors = registration.register(batch, definitions)
    assert errors == []
    assert [(one.number, one.new) for one in done] == [(1, False)]
    assert active(batch, project, "alpha") == [1]


def register_behind(batch: "BatchClient", definition: dict[str, Any]) -> None:
    batch.register_job_definition(**definition)


def test_another_content_that_came_in_between_is_left_alone(
    aws: FaultProxy, batch: "BatchClient", project: Project
) -> None:
    definitions = registration.rendered(project.target, Account(), ("alpha",))
    other = {**definitions["alpha"], "tags": {"other": "content"}}
    aws.fails(path="registerjobdefinition", before=lambda: register_behind(Account().batch(), other))
    done, _ = registration.register(batch, definitions)
    assert [(one.number, one.new) for one in done] == [(2, True)]
    assert active(batch, project, "alpha") == [2, 1]


def test_two_of_the_same_that_a_killed_run_left_are_taken_as_the_older(batch: "BatchClient", project: Project) -> None:
    definitions = registration.rendered(project.target, Account(), ("alpha",))
    for _ in range(2):
        batch.register_job_definition(**definitions["alpha"])
    done, _ = registration.register(batch, definitions)
    assert [str(one) for one in done] == ["alpha:1 unchanged"]


def test_an_answer_that_is_lost_makes_no_second_revision(
    aws: FaultProxy, batch: "BatchClient", project: Project
) -> None:
    """Botocore asks again after a dropped connection, though the first call may have done its work."""
    definitions = registration.rendered(project.target, Account(), ("alpha",))

    def registered_but_never_heard() -> None:
        register_behind(Account().batch(), definitions["alpha"])

    aws.fails(path="registerjobdefinition", before=registered_but_never_heard)
    aws.fails(path="registerjobdefinition", status=503)
    done, _ = registration.register(batch, definitions)
    assert len(active(batch, project, "alpha")) == 1
    assert done[0].number == active(batch, project, "alpha")[0]


# What services do


def test_throttling_and_server_errors_are_tried_again(aws: FaultProxy, project: Project) -> None:
    throttled = b'{"__type":"TooManyRequestsException","message":"Too Many Requests"}'
    met = [
        aws.fails(path="describejobdefinitions", status=429, answer=throttled),
        aws.fails(path="registerjobdefinition", status=500),
        aws.fails(path="describejobdefinitions"),  # hangs up
    ]
    assert run(project, "alpha") == ["alpha:1 registered"]
    assert [fault.hits for fault in met] == [1, 1, 1]


def test_what_is_refused_ends_in_one_error_while_the_others_are_registered(aws: FaultProxy, project: Project) -> None:
    refusal = b'{"message":"Error executing request, Exception : the role is not there"}'
    aws.fails(path="registerjobdefinition", body=f"{project.prefix}-beta", status=400, answer=refusal, times=100)
    with pytest.raises(SeveralFailedError) as raised:
        run(project)
    (error,) = raised.value.errors
    assert isinstance(error, UnavailableError)
    assert str(error).startswith(f"registering job definition {project.prefix}-beta failed: ")
    assert "the role is not there" in str(error)
    assert set(written(project)) == {"alpha", "gamma"}


def test_many_in_one_call_stay_under_the_service_s_rate(aws: FaultProxy, tmp_path: "Path") -> None:
    """By a clock of the test's own: what counts is when each call was let go."""
    many = make_project(tmp_path / "checkout", names=tuple(f"tool{number}" for number in range(30)))
    many.pretend_pushed()
    clock = Clock()
    batch = Account().batch(Pace(per_second=BATCH_CALLS_PER_SECOND, clock=clock.now, sleep=clock.sleep))
    gone: list[float] = []
    batch.meta.events.register_last("before-send.batch", lambda **_: gone.append(clock.now()))
    done, errors = registration.register(batch, registration.rendered(many.target, Account(), ()))
    assert (len(done), errors) == (30, [])
    # A look before, the registration, and a look after.
    assert len(gone) == len(aws.seen) == 90
    for start in gone:
        assert sum(1 for moment in gone if start <= moment < start + 1) <= BATCH_CALLS_PER_SECOND + 1
    assert BATCH_CALLS_PER_SECOND + 1 < 50


class Clock:
    """A clock that moves when somebody sleeps."""

    def __init__(self) -> None:
        self.time = 0.0

    def now(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.time += seconds


# The latest of many pages


@pytest.fixture
def stubbed(batch: "BatchClient") -> Iterator[tuple["BatchClient", Stubber]]:
    with Stubber(batch) as stubber:
        yield batch, stubber


def test_the_latest_is_found_on_whatever_page_it_is(stubbed: tuple["BatchClient", Stubber]) -> None:
    """The service's pages, which moto does not make; it promises no order."""
    batch, stubber = stubbed

    def page(*numbers: int) -> list[dict[str, Any]]:
        return [
            {"jobDefinitionName": "x", "jobDefinitionArn": f"arn:x:{one}", "revision": one, "type": "container"}
            for one in numbers
        ]

    asked = {"jobDefinitionName": "x", "status": "ACTIVE"}
    stubber.add_response("describe_job_definitions", {"jobDefinitions": page(2, 9), "nextToken": "t"}, asked)
    stubber.add_response("describe_job_definitions", {"jobDefinitions": page(11, 3)}, {**asked, "nextToken": "t"})
    assert [revision.number for revision in revisions.active(batch, "x")] == [11, 9, 3, 2]


# The command


def test_a_dry_run_prints_what_would_change_and_changes_nothing(batch: "BatchClient", project: Project) -> None:
    project.deploy_roles()
    run(project, "alpha", "beta")
    project.settings("[jobs.beta]\nmemory = 777\n")
    assert project.run("register", "alpha").out == "alpha:1 unchanged\n"
    result = project.run("register", "--dry-run")
    assert result.code == 0, result.err
    lines = result.out.splitlines()
    assert lines[:2] == ["alpha:1 unchanged", "beta would be registered, after beta:1"]
    changed = [line for line in lines if line[:2] in {"+ ", "- "}]
    assert changed[:2] == ['-        "value": "512"', '+        "value": "777"']
    assert "gamma would be registered, as the first that is active" in lines
    assert active(batch, project, "beta") == [1]
    assert active(batch, project, "gamma") == []


@pytest.mark.usefixtures("aws")
def test_a_dry_runs_difference_is_coloured_on_a_terminal_and_plain_elsewhere(project: Project) -> None:
    project.deploy_roles()
    run(project)
    project.settings("[jobs.beta]\nmemory = 777\n")
    assert "\x1b[" not in project.run("register", "--dry-run").out
    coloured = project.run("register", "--dry-run", environment={"TERM": "xterm", "FORCE_COLOR": "1"}).out
    assert '\x1b[31m-        "value": "512"' in coloured
    assert '\x1b[32m+        "value": "777"' in coloured

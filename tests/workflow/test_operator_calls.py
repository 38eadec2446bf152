"""What the operator's policy must allow for jobs and runs, recorded from what `doctor --deep` and `logs` do."""

import pytest
from support.local_aws import RESOURCES, LocalAws
from support.recorded_calls import ALLOWED, ONLY_HERE, record

from toolchain.aws import Account
from toolchain.doctor.deep import DeepCheck
from toolchain.runs.executions import Runs
from toolchain.runs.logs import Logs
from toolchain.runs.target import LocalTarget
from toolchain.stacks.template import state_machine

pytestmark = pytest.mark.engine


def test_what_jobs_and_runs_take_is_allowed(local_aws: LocalAws, monkeypatch: pytest.MonkeyPatch) -> None:
    resources = {job: dict(figures) for job, figures in RESOURCES.items()}
    monkeypatch.setattr(LocalTarget, "job_resources", lambda _: resources)
    recorded = record(monkeypatch)
    account = Account()
    results = list(DeepCheck(target=local_aws.target, account=account, command="x").run())
    assert {result.status for result in results} == {"green"}, results
    runs = Runs(account, local_aws.project, state_machine(local_aws.checkout.stacks))
    [run] = [runs.find(run.name) for run in runs.latest(most=1)]
    assert list(Logs(runs).lines(run, lambda _: True))
    list(runs.notes(run))
    assert recorded - ALLOWED - ONLY_HERE == set()
    assert recorded >= {
        ("batch", "SubmitJob"),
        ("s3", "PutObject"),
        ("s3", "GetObject"),
        ("stepfunctions", "StartExecution"),
        ("logs", "GetLogEvents"),
    }

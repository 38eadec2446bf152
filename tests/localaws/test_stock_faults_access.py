"""What stock moto's server lets pass: why there is a gate, and a stream of logs of our own."""

import urllib.request

from support.stock import answers
from support.stock_server import Stock


def test_it_answers_whoever_asks(stock: Stock) -> None:
    stock.client("s3").create_bucket(Bucket="of-somebody")
    foreign = {"Origin": "http://attacker.example", "Host": "attacker.example"}
    for path, headers in (("/of-somebody?list-type=2", {}), ("/moto-api/data.json", foreign)):
        request = urllib.request.Request(stock.endpoint + path, headers=headers)
        with urllib.request.urlopen(request, timeout=20) as answer:
            assert answer.status == 200


def test_its_s3_takes_a_wrong_digest_for_a_right_one(stock: Stock) -> None:
    stock.client("s3").create_bucket(Bucket="wrong-digests")
    wrong = {"Content-MD5": "1B2M2Y8AsgTpgAmY7PhCfg=="}
    request = urllib.request.Request(f"{stock.endpoint}/wrong-digests/key", b"x", headers=wrong, method="PUT")
    with urllib.request.urlopen(request, timeout=20) as answer:
        assert answer.status == 200


def test_it_keeps_each_line_of_a_log_for_as_long_as_the_process_lives() -> None:
    code = """
from moto.logs.models import LogEvent
for _ in range(100):
    LogEvent(0, {"timestamp": 0, "message": "x"})
answers["kept"] = len(LogEvent.instances_tracked)
"""
    assert answers(code) == {"kept": 100}

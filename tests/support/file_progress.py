"""A line of progress for each file of tests, also when several workers share them."""

import time
from collections import Counter

import pytest


class FileProgress:
    """Prints a file's outcome when the process that runs it goes on to another file."""

    def __init__(self, terminal: pytest.TerminalReporter) -> None:
        self._terminal = terminal
        self._files: dict[str, tuple[str, float, Counter[str]]] = {}

    def pytest_report_teststatus(self, report: pytest.TestReport) -> tuple[str, str, str] | None:
        """No dot for a test that passed: its file has a line."""
        return (report.outcome, "", "PASSED") if report.passed and report.when == "call" else None

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Counts a test's outcome for its file."""
        worker = getattr(getattr(report, "node", None), "gateway", None)
        name = str(getattr(worker, "id", "main"))
        path = report.location[0]
        if name in self._files and self._files[name][0] != path:
            self._print(name)
        _, _, counts = self._files.setdefault(name, (path, time.monotonic(), Counter()))
        if report.when == "call" or report.failed or report.skipped:
            counts[report.outcome] += 1

    def pytest_sessionfinish(self) -> None:
        """Prints the last file of each process."""
        for name in list(self._files):
            self._print(name)

    def _print(self, name: str) -> None:
        path, start, counts = self._files.pop(name)
        outcomes = ", ".join(f"{number} {outcome}" for outcome, number in sorted(counts.items()))
        self._terminal.ensure_newline()
        self._terminal.write_line(f"{path}: {outcomes} in {time.monotonic() - start:.1f} s")


def register(config: pytest.Config) -> None:
    """Adds the lines, except in workers, quiet and verbose runs."""
    terminal = config.pluginmanager.get_plugin("terminalreporter")
    if terminal is not None and not hasattr(config, "workerinput") and config.get_verbosity() == 0:
        config.pluginmanager.register(FileProgress(terminal), "file-progress")

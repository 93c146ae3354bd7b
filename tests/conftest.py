"""What all tests share: which library an async test runs on, how hard Hypothesis tries, and that nothing is skipped."""

import os
import sys
from collections.abc import Generator
from inspect import iscoroutinefunction
from typing import TypeVar

import pytest
from hypothesis import settings

settings.register_profile("dev", max_examples=50, deadline=None)
settings.register_profile("ci", max_examples=50, derandomize=True, deadline=None, print_blob=True, database=None)
settings.register_profile("deep", max_examples=5_000, deadline=None, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "dev"))

# What is about syntax of a later Python cannot even be compiled on an older one, so it is no test there.
collect_ignore_glob = ["**/*_py312.py"] if sys.version_info < (3, 12) else []


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Async tests run on Trio, unless `@pytest.mark.anyio` asks for both libraries."""
    for item in items:
        function = getattr(item, "obj", None)
        function = getattr(getattr(function, "hypothesis", None), "inner_test", function)
        if iscoroutinefunction(function) and item.get_closest_marker("anyio") is None:
            item.add_marker("trio")


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A test that skips itself fails: on Linux, where CI runs, nothing may go unchecked unseen."""
    report = yield
    return not_skipped(report)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """So does a whole file that does."""
    report = yield
    return not_skipped(report)


Report = TypeVar("Report", pytest.TestReport, pytest.CollectReport)


def not_skipped(report: Report) -> Report:
    """The report, made a failure if it is a skip; a test that is expected to fail is none."""
    if report.skipped and sys.platform == "linux" and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped, and no test may be on Linux: collect it where it can run. {report.longrepr}"
    return report


@pytest.fixture(scope="module", params=["trio", "asyncio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """The library that a test marked `anyio` runs on; such a test asserts that it really does."""
    return str(request.param)

"""What all tests share: which library an async test runs on, and how hard Hypothesis tries."""

import os
from inspect import iscoroutinefunction

import pytest
from hypothesis import settings

settings.register_profile("dev", max_examples=50, deadline=None)
settings.register_profile("ci", derandomize=True, deadline=None, print_blob=True, database=None)
settings.register_profile("deep", max_examples=5_000, deadline=None, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "dev"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Async tests run on Trio, unless `@pytest.mark.anyio` asks for both libraries."""
    for item in items:
        function = getattr(item, "obj", None)
        function = getattr(getattr(function, "hypothesis", None), "inner_test", function)
        if iscoroutinefunction(function) and item.get_closest_marker("anyio") is None:
            item.add_marker("trio")


@pytest.fixture(scope="module", params=["trio", "asyncio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """The library that a test marked `anyio` runs on; such a test asserts that it really does."""
    return str(request.param)

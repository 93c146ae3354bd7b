"""Async tests run on the library they ask for."""

import pytest
import sniffio


async def test_unmarked_tests_run_on_trio() -> None:
    assert sniffio.current_async_library() == "trio"


@pytest.mark.anyio
async def test_anyio_tests_run_on_the_library_they_name(anyio_backend: str) -> None:
    assert sniffio.current_async_library() == anyio_backend


async def test_fixtures_of_unmarked_tests_run_on_trio(running_library: str) -> None:
    assert running_library == "trio"


@pytest.fixture
async def running_library() -> str:
    return sniffio.current_async_library()

"""One command per intent, the same for a developer and for CI.

`nox` runs every session, `nox -s tests` one of them, `nox -l` lists them. What stands after `--` goes to the
tool of the session: `nox -s tests-3.12 -- -k ask -x`.
"""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import nox

nox.needs_version = ">=2024.4.15"
nox.options.default_venv_backend = "uv|virtualenv"  # uv is quicker, but nobody needs to have it
nox.options.error_on_missing_interpreters = False  # a machine with one Python tests on one, in CI as well
nox.options.download_python = "never"  # what is tested is what is installed
nox.options.reuse_venv = "yes"  # `nox -R` goes further and installs nothing

ROOT = Path(__file__).parent
PYTHONS = ["3.11", "3.12", "3.13"]
SHORT = ["-m", "not long"]
PURE = ["casty_trio/model/*", "casty_trio/protocol/*"]
PROJECT = nox.project.load_toml(ROOT / "pyproject.toml")


def pyenv_folders() -> Iterator[str]:
    """The newest release of each tested Python that pyenv keeps, on PATH or not."""
    versions = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    for python in PYTHONS:
        releases = [release for release in versions.glob(f"{python}.*") if release.name.split(".")[-1].isdecimal()]
        if releases:
            yield str(max(releases, key=lambda release: int(release.name.split(".")[-1])) / "bin")


# First on PATH, for pyenv's own shims answer to a name before they know whether they can serve it.
os.environ["PATH"] = os.pathsep.join([*pyenv_folders(), os.environ["PATH"]])


def group(*names: str) -> list[str]:
    """What the dependency groups of these names ask for."""
    return list(nox.project.dependency_groups(PROJECT, *names))


def lowest() -> list[str]:
    """The runtime dependencies, and those of discovery, at the lowest release that is allowed."""
    extras = PROJECT["project"]["optional-dependencies"]
    found = [dependency.replace(">=", "==") for dependency in PROJECT["project"]["dependencies"]]
    return found + [f"{dependency.replace('>=', '==')}.*" for dependency in (*extras["dns"], *extras["kubernetes"])]


def newest() -> str | None:
    """The newest Python that is tested here, or None for the one that runs nox."""
    return next((python for python in reversed(PYTHONS) if shutil.which(f"python{python}")), None)


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """Run the tests, on each Python that is installed; those that are long and say little about it are `long`'s."""
    session.install("-e", ".", *group("test"))
    session.run("pytest", *(session.posargs or SHORT))


@nox.session(python=newest())
def long(session: nox.Session) -> None:
    """Run the tests that take long and say little about the Python they run on, once."""
    session.install("-e", ".", *group("test"))
    elsewhere = ["--ignore=tests/docs", "--ignore=tests/examples"]  # these have sessions of their own
    session.run("pytest", "-m", "long", *elsewhere, *session.posargs)


@nox.session(python=PYTHONS[0])
def tests_lowest(session: nox.Session) -> None:
    """Run the tests with the lowest runtime dependencies that are allowed."""
    session.install("-e", ".", *lowest(), *group("test"))
    session.run("pytest", *(session.posargs or SHORT))


@nox.session(python=PYTHONS[-1])
def tests_newest(session: nox.Session) -> None:
    """Run the tests with the newest release of every dependency, also where an older one is installed."""
    eager = () if session.venv_backend == "uv" else ("--upgrade-strategy", "eager")  # uv is eager by itself
    session.install("--upgrade", *eager, "-e", ".", *group("test"))
    session.run("pytest", *(session.posargs or SHORT))


@nox.session
def lint(session: nox.Session) -> None:
    """Check style, format, floors and spelling; `nox -s lint -- --fix` repairs what it can."""
    session.install("-e", ".", *group("lint"))
    fix = "--fix" in session.posargs
    session.run("ruff", "check", *(["--fix"] if fix else []), ".")
    session.run("ruff", "format", *([] if fix else ["--check"]), ".")
    session.run("lint-imports", "--no-cache")
    session.run("codespell")


@nox.session
def types(session: nox.Session) -> None:
    """Check the types with mypy and pyright, what they must refuse as well, and that the public face is fully typed."""
    session.install("-e", ".", *group("types"))
    session.run("mypy", *(session.posargs or ["casty_trio", "tests", "examples"]))
    session.run("pyright")  # the package and tests/typing, strictly
    session.run("pyright", "--verifytypes", "casty_trio", "--ignoreexternal")


@nox.session
def docs(session: nox.Session) -> None:
    """Build the site strictly and run every program in its pages; `nox -s docs -- serve` shows it while you write."""
    session.install("-e", ".", *group("docs", "test"))
    session.env["NO_MKDOCS_2_WARNING"] = "1"  # mkdocs is pinned below 2 already
    if session.posargs:
        session.run("mkdocs", *session.posargs)
        return
    session.run("mkdocs", "build", "--strict", "--quiet", "--site-dir", str(Path(session.create_tmp()) / "site"))
    session.run("pytest", "tests/docs")


@nox.session
def examples(session: nox.Session) -> None:
    """Run every example and compare what it prints."""
    session.install("-e", ".", *group("test"))
    session.run("pytest", "tests/examples", *session.posargs)


@nox.session(python=PYTHONS[-1])
def coverage(session: nox.Session) -> None:
    """Measure which lines and branches the tests reach: most of the package, all of what nodes have to agree on."""
    session.install("-e", ".", *group("coverage"))
    session.env["COVERAGE_FILE"] = str(Path(session.create_tmp()) / "coverage")
    session.env["PYTHONHASHSEED"] = "0"  # workers have to agree on the order of the tests
    session.run("coverage", "erase")
    slow = ["-o", "timeout=600", "-o", "faulthandler_timeout=500"]  # what is measured takes several times as long
    memory = "test_a_hundred_isolations_leave_no_task_socket_or_memory_behind"  # measuring takes some of its own
    slow.append(f"--deselect=tests/client/test_isolation.py::{memory}")
    session.run("coverage", "run", "-m", "pytest", "-n", "auto", *slow, *session.posargs)
    session.run("coverage", "combine", "--quiet")
    session.run("coverage", "report")
    session.run("coverage", "report", f"--include={','.join(PURE)}", "--fail-under=100")


@nox.session
def mutants(session: nox.Session) -> None:
    """Break guarantees by patches, one each, and see their tests turn red; `nox -s mutants -- L6` tries those of one."""
    session.install("-e", ".", *group("test"))
    session.run("python", "-m", "tests.mutants", *session.posargs)


@nox.session(default=False)
def simulate(session: nox.Session) -> None:
    """Let a thousand simulated clusters meet their faults, half an hour at a time; call it again to go on.

    `nox -s simulate -- --seconds 120` is what CI spends; what stands after `--` goes to `python -m tests.sim.swarm`.
    """
    session.install("-e", ".", *group("test"))
    results = Path(session.create_tmp()) / "swarm.jsonl"
    session.run("python", "-m", "tests.sim.swarm", *(session.posargs or ["--results", str(results), "--update-docs"]))


@nox.session(default=False)
def planned(session: nox.Session) -> None:
    """Let nodes of simulated clusters join, leave and be restarted in turn, and see that nothing is lost.

    Call it again to go on; the sum is written into docs/reliability.md.
    """
    session.install("-e", ".", *group("test"))
    results = Path(session.create_tmp()) / "planned.jsonl"
    session.run("python", "-m", "tests.sim.planned", "--results", str(results), "--update-docs", *session.posargs)


@nox.session(default=False)
def convergence(session: nox.Session) -> None:
    """Measure how soon members notice a fault, and how soon all agree after it; half an hour at a time.

    Call it again to go on. The figures are written into docs/reliability.md.
    """
    session.install("-e", ".", *group("test"))
    results = Path(session.create_tmp()) / "convergence.jsonl"
    session.run("python", "-m", "tests.protocol.detector_hours", "--update-docs")
    session.run("python", "-m", "tests.protocol.convergence", "--results", str(results), "--update-docs", *session.posargs)


@nox.session(default=False)
def chaos(session: nox.Session) -> None:
    """Kill, stop and cut off nodes in real processes, for twenty minutes; call it again to go on, `-- --minutes 3` for less.

    What came of it is appended to a file, and the sum over all of it is written into docs/reliability.md.
    """
    session.install("-e", ".", *group("test"))
    results = Path(session.create_tmp()) / "chaos.jsonl"
    session.run("python", "-m", "tests.cluster.chaos", "--results", str(results), "--update-docs", *session.posargs)


@nox.session(default=False)
def entities(session: nox.Session) -> None:
    """Restart and kill real nodes while all their entities are asked; call it again to go on, `-- --rounds 1` for less.

    How long entities took to answer again is written into docs/reliability.md.
    """
    session.install("-e", ".", *group("test"))
    results = Path(session.create_tmp()) / "entities.jsonl"
    arguments = session.posargs or ["--rounds", "3"]
    session.run("python", "-m", "tests.sharding.processes", "--results", str(results), "--update-docs", *arguments)


@nox.session(default=False)
def planted(session: nox.Session) -> None:
    """Plant bugs in the membership, look for a seed that finds each, and write them into docs/reliability.md."""
    session.install("-e", ".", *group("test"))
    session.run("python", "-m", "tests.sim.planted", *(session.posargs or ["--write", "docs/reliability.md"]))


@nox.session(default=False)
def hostile(session: nox.Session) -> None:
    """Attack a node over real sockets, and hold the asks of others to 100 ms; on a machine that does nothing else."""
    session.install("-e", ".", *group("test"))
    session.env["CASTY_LONGEST_ASK"] = "0.1"
    session.run("pytest", "-rP", "tests/remote/test_hostile.py", *session.posargs)


@nox.session(python=PYTHONS[-1], default=False)
def fuzz(session: nox.Session) -> None:
    """Look for bytes that do harm, five minutes for each target; `nox -s fuzz -- frames --seconds 60` for less."""
    session.install("-e", ".", *group("fuzz"))
    session.run("python", "-m", "tests.fuzz", *session.posargs)


@nox.session
def wheel(session: nox.Session) -> None:
    """Build the wheel and run the tests against it, from a folder that has no package to hide it."""
    folder = Path(session.create_tmp())
    shutil.rmtree(folder)
    session.install("hatchling")
    session.run("python", "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder / "dist"))
    [built] = (folder / "dist").glob("*.whl")
    session.install(str(built), *group("test"))
    session.install("--force-reinstall", "--no-deps", str(built))  # the version alone does not tell builds apart
    for name in ("tests", "examples", "docs"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, folder)
    session.chdir(folder)
    session.run("python", "-c", "import casty_trio; assert 'site-packages' in casty_trio.__file__, casty_trio.__file__")
    session.run("pytest", *(session.posargs or SHORT))


@nox.session
def bench(session: nox.Session) -> None:
    """Measure the hot paths, briefly; `nox -s bench -- --help` tells how to do it properly."""
    session.install("-e", ".", *group("bench"))
    session.run("python", "-m", "tests.bench", *(session.posargs or ["--quick"]))

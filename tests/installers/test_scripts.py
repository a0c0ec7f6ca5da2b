"""The shell scripts, in a copy of the checkout whose path has spaces, with stand-ins for the system."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

TOOLS = ("bash", "cat", "cut", "dirname", "env", "flock", "mkdir", "sed", "sha256sum", "tail", "tee")


class Machine:
    """A checkout and a PATH on which only what a test puts there exists."""

    def __init__(self, folder: Path, repository: Path) -> None:
        self.root = folder / "a check out"
        self.bin = folder / "bin"
        self.bin.mkdir()
        for tool in TOOLS:
            found = shutil.which(tool)
            assert found, f"{tool} is needed to run this test"
            (self.bin / tool).symlink_to(found)
        for name in ("installers", "resources"):
            (self.root / name).mkdir(parents=True)
        for name in ("pyproject.toml", "resources/system-libraries.txt"):
            shutil.copy(repository / name, self.root / name)
        for path in (repository / "installers").iterdir():
            shutil.copy(path, self.root / "installers")
        self.command("ldconfig", "cat <<'END'\n" + self.libraries() + "END")

    def libraries(self, *, without: str = " ") -> str:
        """What ldconfig says where everything is installed but the libraries named ``without``."""
        lines = (self.root / "resources/system-libraries.txt").read_text().splitlines()
        names = [line.split()[0] for line in lines if not line.startswith("#")]
        return "".join(f"\t{name} (libc6,x86-64) => x\n" for name in names if without not in name)

    def command(self, name: str, script: str, folder: Path | None = None) -> None:
        """Put a program on the PATH (or into a folder)."""
        path = (folder or self.bin) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.write_text(f"#!{self.bin}/bash\n{script}\n")
        path.chmod(0o755)

    def shell(self, script: str) -> subprocess.CompletedProcess[str]:
        """Run a script that has read common.sh, as run.sh and test.sh do."""
        start = 'set -euo pipefail; source "$0/installers/common.sh"; '
        return subprocess.run(
            ["bash", "-c", start + script, self.root],
            env={"PATH": str(self.bin), "HOME": str(self.root)},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )


@pytest.fixture
def machine(tmp_path: Path, repository: Path) -> Machine:
    """A machine with everything but Python."""
    return Machine(tmp_path, repository)


@pytest.mark.parametrize("script", ["common.sh", "run.sh", "test.sh"])
def test_scripts_are_shell(repository: Path, script: str) -> None:
    done = subprocess.run(
        ["bash", "-n", repository / "installers" / script], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_continuous_integration_runs_the_test_script(repository: Path) -> None:
    assert "bash installers/test.sh\n" in (repository / ".ci/run").read_text()


def test_python_is_found_under_either_name(machine: Machine) -> None:
    machine.command("python3", "exit 0")
    assert machine.shell("find_python").stdout.strip() == str(machine.bin / "python3")
    machine.command("python3.11", "exit 0")
    assert machine.shell("find_python").stdout.strip() == str(machine.bin / "python3.11")


def test_an_old_python_is_refused_with_what_to_install(machine: Machine) -> None:
    machine.command("python3", "exit 1")
    done = machine.shell("ensure_environment run; echo went on")
    assert done.returncode == 1
    assert "apt-get install python3" in done.stderr
    assert done.stdout == ""


def test_missing_packages_are_named_exactly(machine: Machine) -> None:
    machine.command("ldconfig", "cat <<'END'\n" + machine.libraries(without="xcb-cursor") + "END")
    machine.command("python3", "[[ $* == *-venv* ]] && echo python3.11-venv || exit 1")
    machine.command("Xvfb", "exit 0")
    done = machine.shell("missing_packages python3 test")
    assert done.stdout.split() == ["libxcb-cursor0", "python3.11-venv"]


def test_a_library_is_not_taken_for_another_of_similar_name(machine: Machine) -> None:
    text = machine.libraries(without="libX11.so") + "\tlibX11.so.6.1 (libc6) => x\n"
    machine.command("ldconfig", f"cat <<'END'\n{text}END")
    machine.command("python3", "exit 0")
    assert machine.shell("missing_packages python3 run").stdout.split() == ["libx11-6"]


def test_without_means_to_install_running_goes_on_and_testing_stops(machine: Machine) -> None:
    machine.command("ldconfig", "cat <<'END'\n" + machine.libraries(without="libEGL") + "END")
    machine.command("python3", "exit 0")
    machine.command("Xvfb", "exit 0")
    done = machine.shell("ensure_packages python3 run; echo went on")
    assert "sudo apt-get install libegl1\n" in done.stderr
    assert (done.returncode, done.stdout) == (0, "went on\n")
    done = machine.shell("ensure_packages python3 test; echo went on")
    assert "sudo apt-get install libegl1\n" in done.stderr
    assert (done.returncode, done.stdout) == (1, "")


def test_tests_go_on_without_an_x_server(machine: Machine) -> None:
    machine.command("python3", "exit 0")
    done = machine.shell("ensure_packages python3 test; echo went on")
    assert "sudo apt-get install xvfb\n" in done.stderr
    assert (done.returncode, done.stdout) == (0, "went on\n")


def test_packages_that_can_be_installed_are(machine: Machine) -> None:
    everything = "cat <<'END'\n" + machine.libraries() + "END"
    machine.command("ldconfig", "cat <<'END'\n" + machine.libraries(without="libEGL") + "END")
    machine.command("python3", "exit 0")
    # Installing makes the library appear, as it does on a real machine.
    machine.command("all-libraries", everything)
    replace = f"cat '{machine.bin}/all-libraries' > '{machine.bin}/ldconfig'"
    machine.command("apt-get", f'echo "apt-get $*" >&2; [[ $1 == update ]] || {replace}')
    machine.command("sudo", '[[ $1 == -n ]] && shift; "$@"')
    done = machine.shell("ensure_packages python3 run")
    assert done.returncode == 0
    assert "apt-get install -y -qq --no-install-recommends libegl1\n" in done.stderr
    assert "missing" not in done.stderr


@pytest.fixture
def environment(machine: Machine) -> Path:
    """An environment whose pip writes down how it is called, and works."""
    machine.command("python3", "exit 0")
    folder = machine.root / ".venv" / "bin"
    machine.command("python", f'[[ $3 == --version ]] || echo "$*" >> "{folder}/calls"', folder)
    return folder


def test_the_environment_is_made_once(machine: Machine, environment: Path) -> None:
    assert machine.shell('ensure_environment run; echo "$FRESH"').stdout == "1\n"
    calls = (environment / "calls").read_text()
    assert f"--editable {machine.root}\n" in calls
    assert machine.shell('ensure_environment run; echo "$FRESH"').stdout == "0\n"
    assert (environment / "calls").read_text() == calls


def test_what_tests_need_includes_what_running_needs(machine: Machine, environment: Path) -> None:
    machine.shell("ensure_environment run")
    assert machine.shell('ensure_environment test; echo "$FRESH"').stdout == "1\n"
    assert f"--editable {machine.root}[dev]\n" in (environment / "calls").read_text()
    assert machine.shell('ensure_environment run; echo "$FRESH"').stdout == "0\n"


@pytest.mark.parametrize(
    "name", ["pyproject.toml", "installers/constraints.txt", "resources/system-libraries.txt"]
)
def test_changed_requirements_are_installed(machine: Machine, environment: Path, name: str) -> None:
    machine.shell("ensure_environment run")
    with (machine.root / name).open("a") as file:
        file.write("# changed\n")
    assert machine.shell('ensure_environment run; echo "$FRESH"').stdout == "1\n"


def test_a_failed_installation_says_so_and_is_taken_up_again(
    machine: Machine, environment: Path
) -> None:
    working = (environment / "python").read_text()
    machine.command(
        "python", '[[ $3 == --version ]] || { echo "ERROR: no network"; exit 1; }', environment
    )
    done = machine.shell("ensure_environment run; echo went on")
    assert (done.returncode, done.stdout) == (1, "")
    assert "ERROR: no network" in done.stderr
    assert "run this again" in done.stderr
    (environment / "python").write_text(working)
    assert machine.shell('ensure_environment run; echo "$FRESH"').stdout == "1\n"


@pytest.mark.parametrize(
    ("variable", "expected"),
    [
        ("", ["torch==V+cpu"]),
        ("TRIPTYCH_TORCH=cpu", ["torch==V+cpu"]),
        ("TRIPTYCH_TORCH=cuda", ["torch==V"]),
    ],
)
def test_torch_without_a_gpu_is_the_small_build_by_name(
    machine: Machine, environment: Path, variable: str, expected: list[str]
) -> None:
    if not variable and Path("/dev/nvidiactl").exists():
        pytest.skip("this machine has an NVIDIA GPU")
    constraints = machine.root / "installers/constraints.txt"
    version = next(
        line.removeprefix("torch==")
        for line in constraints.read_text().splitlines()
        if line.startswith("torch==")
    )
    machine.shell(f"{variable} ensure_environment run" if variable else "ensure_environment run")
    calls = [line.split()[-1] for line in (environment / "calls").read_text().splitlines()]
    assert [call for call in calls if "torch" in call] == [e.replace("V", version) for e in expected]


def test_torch_is_looked_for_at_its_makers_last(machine: Machine, environment: Path) -> None:
    script = (environment / "python").read_text()
    refuse = '\n[[ $* != *+cpu || $* == *download.pytorch.org/whl/cpu* ]] || { echo "none"; exit 1; }\n'
    (environment / "python").write_text(script + refuse)
    done = machine.shell("TRIPTYCH_TORCH=cpu ensure_environment run")
    assert done.returncode == 0, done.stderr
    calls = [line for line in (environment / "calls").read_text().splitlines() if "torch==" in line]
    assert ["--extra-index-url" in call for call in calls] == [False, True]

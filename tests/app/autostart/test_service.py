"""Files for launchd and systemd, and what is said to both; nothing of this machine is changed."""

import plistlib
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from app.autostart import install as installing
from app.autostart.install import install, read_status, this_system, uninstall
from app.autostart.launchd import Launchd
from app.autostart.programs import Said, run_program
from app.autostart.systemd import Systemd
from app.autostart.unit import Unit, make_unit
from app.cli.service import service_command
from app.settings import Settings
from models.errors import InvalidInput, Unsupported, UserError


class System:
    """Stands in for launchctl and systemctl: runs what was started, notes what was said."""

    def __init__(self, *, works: bool = True) -> None:
        self.said: list[str] = []
        self.works = works
        self.runs = False

    def __call__(
        self, program: str, *arguments: str, must_exist: bool = False, must_succeed: bool = False
    ) -> Said:
        del must_succeed
        words = [word for word in arguments if word != "--user"]
        self.said.append(f"{program} {words[0]}")
        if must_exist and not self.works:
            raise Unsupported("no service can be installed here: no bus")
        if words[0] in ("restart", "bootstrap"):
            self.runs = True
        elif words[0] in ("disable", "bootout"):
            self.runs = False
        elif words[0] in ("is-active", "print"):
            return Said(self.runs, "state = running")
        return Said(True, "")


@pytest.fixture
def unit(tmp_path: Path) -> Unit:
    environ = {"LOCALLLM_HOST": "127.0.0.1:1", "LOCALLLM_API_KEY": "secret", "PATH": "/bin"}
    return make_unit(Settings(home=tmp_path / "a home"), environ)


def test_a_unit_is_absolute_and_holds_our_variables_but_no_secret(unit: Unit) -> None:
    assert unit.environment == {"LOCALLLM_HOST": "127.0.0.1:1"}
    assert Path(unit.command[0]).is_absolute()
    assert Path(unit.command[3]).name == "localllm.py"
    assert unit.command[4] == "serve"
    with pytest.raises(InvalidInput, match="LOCALLLM_DRAFT"):
        make_unit(Settings(), {"LOCALLLM_DRAFT": "a\nExecStart=/bin/evil"})


def test_launchd_reads_what_is_written_for_it(unit: Unit) -> None:
    agent = plistlib.loads(Launchd(System(), Path("/x")).render(unit).encode())
    assert agent["ProgramArguments"] == list(unit.command)
    assert agent["EnvironmentVariables"] == {"LOCALLLM_HOST": "127.0.0.1:1"}
    assert agent["RunAtLoad"] is True
    assert agent["KeepAlive"] == {"SuccessfulExit": False}
    assert agent["StandardErrorPath"] == str(unit.log_file)


def test_a_systemd_unit_survives_spaces_quotes_and_percents(unit: Unit) -> None:
    odd = Unit(('/a b/py"thon', "100%", "$HOME"), {"A": 'x "y" \\ 5%'}, unit.log_file)
    text = Systemd(System(), Path("/x")).render(odd)
    assert 'ExecStart="/a b/py\\"thon" "100%%" "$$HOME"\n' in text
    assert 'Environment="A=x \\"y\\" \\\\ 5%%"\n' in text
    assert "Restart=on-failure\n" in text


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze")
def test_systemd_finds_no_fault_in_the_unit(unit: Unit, tmp_path: Path) -> None:
    system = Systemd(System(), tmp_path)
    system.path.write_text(system.render(unit))
    command = ["systemd-analyze", "--user", "verify", str(system.path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    ours = [line for line in done.stderr.splitlines() if system.path.name in line]
    assert ours == []


@pytest.mark.parametrize("kind", [Launchd, Systemd])
def test_install_twice_is_install_once_and_uninstall_leaves_nothing(
    kind: type[Launchd] | type[Systemd], unit: Unit, tmp_path: Path
) -> None:
    fake = System()
    system = kind(fake, tmp_path / "deep" / "down")
    assert install(system, unit) is True
    assert (fake.runs, unit.log_file.parent.is_dir()) == (True, True)
    num_said = len(fake.said)
    assert install(system, unit) is False
    assert not {"restart", "bootstrap"} & {each.split()[1] for each in fake.said[num_said:]}
    status = read_status(system, unit)
    assert (status.is_installed, status.is_current, status.is_running) == (True, True, True)
    changed = replace(unit, environment={})
    assert read_status(system, changed).is_current is False
    assert install(system, changed) is True
    assert (uninstall(system), uninstall(system)) == (True, False)
    assert list(system.path.parent.iterdir()) == []
    assert fake.runs is False


def test_without_a_systemd_nothing_is_written(unit: Unit, tmp_path: Path) -> None:
    system = Systemd(System(works=False), tmp_path / "units")
    with pytest.raises(Unsupported, match="no bus"):
        install(system, unit)
    assert not system.path.parent.exists()


def test_a_program_that_is_missing_or_fails_says_so() -> None:
    with pytest.raises(Unsupported, match="no-such-program is not installed"):
        run_program("no-such-program", must_exist=True)
    with pytest.raises(UserError, match="`false` failed"):
        run_program("false", must_succeed=True)
    assert run_program("true").is_good
    with pytest.raises(Unsupported, match="win32"):
        this_system("win32")


def test_the_commands_install_show_and_remove(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = System()
    system = Systemd(fake, tmp_path / "units")
    monkeypatch.setattr("app.cli.service.this_system", lambda: system)
    monkeypatch.setenv("LOCALLLM_HOME", str(tmp_path))
    monkeypatch.setenv("LOCALLLM_HOST", "127.0.0.1:1")
    run = CliRunner().invoke
    dry = run(service_command, ["install", "--dry-run"])
    assert dry.output.startswith("[Unit]\n")
    assert fake.said == []
    assert run(service_command, ["status"]).exit_code == 1
    assert "installed: " in run(service_command, ["install"]).output
    status = run(service_command, ["status"])
    assert (status.exit_code, "process  runs" in status.output) == (0, True)
    assert "removed" in run(service_command, ["uninstall"]).output
    assert not system.path.exists()
    assert installing.this_system("darwin").path.suffix == ".plist"

import json
import stat
from pathlib import Path

import pytest

from app.keys import add_key, find_key, read_keys, remove_key
from models.errors import InvalidInput, NotFound, StorageError


def test_a_key_is_found_by_what_was_shown_once_and_by_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "home" / "keys.json"
    secret, other = add_key(path, "laptop", "infer"), add_key(path, "admin", "manage")
    keys = read_keys(path)
    assert [(key.name, key.scope) for key in keys] == [("laptop", "infer"), ("admin", "manage")]
    for text, name in ((secret, "laptop"), (other, "admin")):
        found = find_key(keys, text)
        assert found is not None
        assert found.name == name
    assert find_key(keys, secret[:-1]) is None
    assert find_key(keys, "") is None
    assert find_key(keys, "\udcff") is None


def test_the_file_is_its_owners_and_holds_no_key(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    secret = add_key(path, "laptop", "infer")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert secret not in path.read_text()
    assert [child.name for child in tmp_path.iterdir()] == ["keys.json"]


def test_manage_includes_infer_and_not_the_other_way(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    add_key(path, "a", "infer")
    add_key(path, "b", "manage")
    asking, managing = read_keys(path)
    assert asking.may("infer")
    assert not asking.may("manage")
    assert managing.may("infer")
    assert managing.may("manage")


def test_names_are_unique_and_removed_keys_are_gone(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    secret = add_key(path, "a", "infer")
    with pytest.raises(InvalidInput, match="there is a key 'a'"):
        add_key(path, "a", "manage")
    remove_key(path, "a")
    assert find_key(read_keys(path), secret) is None
    with pytest.raises(NotFound, match="there is no key 'a'"):
        remove_key(path, "a")
    with pytest.raises(InvalidInput, match="not a name"):
        add_key(path, " ", "infer")


@pytest.mark.parametrize("text", ["{", "[{}]", '[{"name": 1, "what": 2}]'])
def test_a_damaged_file_lets_nobody_in(tmp_path: Path, text: str) -> None:
    path = tmp_path / "keys.json"
    path.write_text(text)
    with pytest.raises(StorageError, match="cannot be read"):
        read_keys(path)


def test_the_command_prints_a_key_once_and_lists_names(tmp_path: Path, monkeypatch) -> None:
    from click.testing import CliRunner

    from app.cli.root import root

    monkeypatch.setenv("LOCALLLM_HOME", str(tmp_path))
    runner = CliRunner()
    secret = runner.invoke(root, ["key", "add", "laptop", "--scope", "manage"]).output.strip()
    assert find_key(read_keys(tmp_path / "keys.json"), secret) is not None
    listed = runner.invoke(root, ["key", "list", "--json"]).output
    assert [each["name"] for each in json.loads(listed)] == ["laptop"]
    assert secret not in listed
    assert runner.invoke(root, ["key", "rm", "laptop"]).exit_code == 0
    assert read_keys(tmp_path / "keys.json") == ()

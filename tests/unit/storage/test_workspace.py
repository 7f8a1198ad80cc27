"""A workspace's settings: what is wrong with them is said, with the file's name."""

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imprint.errors import WorkspaceError
from imprint.storage.workspace import KEY_NAMES, MAX_SETTINGS, load_workspace, settings_text

GOOD = settings_text(organization='A "quoted" \\ name', origin="example.com/log").decode()


def write(folder: Path, text: str | bytes) -> Path:
    (folder / "imprint.toml").write_bytes(text if isinstance(text, bytes) else text.encode())
    return folder


def test_settings_are_read_as_they_were_made(tmp_path: Path) -> None:
    workspace = load_workspace(write(tmp_path, GOOD))
    assert (workspace.organization, workspace.origin) == ('A "quoted" \\ name', "example.com/log")
    assert workspace.keys == {name: f"file:keys/{name}.pem" for name in KEY_NAMES}
    assert workspace.checkpoint_copy is None
    assert workspace.database == tmp_path / "imprint.db"
    assert workspace.public_key("ledger") == tmp_path / "keys" / "ledger.pub.pem"
    assert workspace.journal("bench-1") == tmp_path / "station" / "bench-1.journal"


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=64))
def test_any_printable_organization_is_read_back(name: str) -> None:
    found = tomllib.loads(settings_text(organization=name, origin="o").decode())
    assert found["workspace"]["organization"] == name


@pytest.mark.parametrize(
    ("written", "meant"), [("copy", "{}/copy"), ("../copy", "{}/../copy"), ("/mnt/copy", "/mnt/copy")]
)
def test_the_copy_of_the_checkpoint_may_be_elsewhere(tmp_path: Path, written: str, meant: str) -> None:
    text = GOOD.replace('# checkpoint-copy = "/mnt/elsewhere/imprint-checkpoint"', f'checkpoint-copy = "{written}"')
    assert load_workspace(write(tmp_path, text)).checkpoint_copy == Path(meant.format(tmp_path))


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (GOOD.replace("version = 1", "version = 2"), "version 2; this program knows 1"),
        (GOOD.replace("version = 1", 'version = "one"'), "workspace.version"),
        (GOOD.replace("version = 1\n", ""), "workspace.version"),
        (GOOD.replace("[workspace]", "[workplace]"), "workspace: Field required"),
        (GOOD.replace("origin =", "orgin ="), "workspace.origin"),
        (GOOD.replace('ledger = "file', 'leger = "file'), "keys.leger"),
        (GOOD.replace('ledger = "file:keys/ledger.pem"\n', ""), "[keys] lacks ledger"),
        (GOOD + '\ncheckpoint_copy = "x"\n', "ledger.checkpoint_copy"),
        (GOOD + "\n[colours]\n", "colours"),
        ("", "workspace: Field required"),
        ("version = ", "not TOML"),
        ("a = " + "[" * 20_000, "not TOML"),
        (b"\xff\xfe", "not TOML"),
        (b"\x00", "not TOML"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_settings_that_are_wrong(tmp_path: Path, text: str | bytes, what: str) -> None:
    with pytest.raises(WorkspaceError) as caught:
        load_workspace(write(tmp_path, text))
    assert what in caught.value.what
    assert caught.value.subject == str(tmp_path / "imprint.toml")


def test_settings_without_end(tmp_path: Path) -> None:
    with pytest.raises(Exception, match="longer than"):
        load_workspace(write(tmp_path, "#" * (MAX_SETTINGS + 1)))


def test_a_folder_that_is_no_workspace(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "missing"):
        with pytest.raises(WorkspaceError, match="not a workspace") as caught:
            load_workspace(folder)
        assert "imprint init" in caught.value.next_step

"""Settings: where they come from, and the secrets that are made when there are none."""

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pydantic import ValidationError

from app.settings import Settings


def test_networks_are_a_comma_separated_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAILDELTA_ALLOWED_PRIVATE_NETWORKS", "10.0.0.0/8, fd00::/8")
    assert [str(network) for network in Settings().allowed_private_networks] == ["10.0.0.0/8", "fd00::/8"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATABASE_URL", "mysql://x"),
        ("ALLOWED_PRIVATE_NETWORKS", "lan"),
        ("PORT", "99999"),
        ("LOG_LEVEL", "loud"),
    ],
)
def test_a_value_that_makes_no_sense_is_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(f"MAILDELTA_{name}", value)
    with pytest.raises(ValidationError):
        Settings()


def test_a_secret_may_come_from_a_file_and_the_environment_wins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "maildelta_api_key").write_text("a-key-out-of-a-file\n")
    assert Settings(_secrets_dir=tmp_path).first_api_key() == "a-key-out-of-a-file"
    monkeypatch.setenv("MAILDELTA_API_KEY", "a-key-of-the-environment")
    assert Settings(_secrets_dir=tmp_path).first_api_key() == "a-key-of-the-environment"


def test_the_embedded_default_is_a_file_in_the_data_folder(tmp_path: Path) -> None:
    assert Settings(data_dir=tmp_path).effective_database_url == f"sqlite:///{tmp_path}/maildelta.sqlite"


def test_a_secret_is_made_once_and_is_ours_alone(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "data")
    key = settings.first_api_key()
    assert Settings(data_dir=tmp_path / "data").first_api_key() == key
    assert stat.S_IMODE(settings.api_key_file.stat().st_mode) == 0o600
    assert settings.make_secret_key() != key
    assert stat.S_IMODE(settings.secret_key_file.stat().st_mode) == 0o600
    assert settings.secret_keys() == (settings.make_secret_key(),)


def test_no_secret_key_is_made_by_looking_for_one(tmp_path: Path) -> None:
    assert Settings(data_dir=tmp_path).secret_keys() == ()
    assert not list(tmp_path.iterdir())


def test_a_key_file_that_lost_its_key_is_no_reason_to_go_on(tmp_path: Path) -> None:
    (tmp_path / "secret-key").write_text("\n")
    with pytest.raises(ValueError, match="put the key back"):
        Settings(data_dir=tmp_path).secret_keys()


def test_a_new_key_stands_in_front_of_the_older_ones_however_many_add_one_at_once(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    first = settings.make_secret_key()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: settings.add_secret_key(), range(4)))
    keys = settings.secret_keys()
    assert len(set(keys)) == 5
    assert keys[-1] == first
    assert stat.S_IMODE(settings.secret_key_file.stat().st_mode) == 0o600
    with pytest.raises(ValueError, match="MAILDELTA_SECRET_KEY"):
        Settings(data_dir=tmp_path, secret_key="a-key-of-the-environment").add_secret_key()


def test_processes_that_start_together_agree_on_the_secret(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        keys = set(pool.map(lambda _: Settings(data_dir=tmp_path).make_secret_key(), range(8)))
    assert len(keys) == 1


def test_several_secret_keys_come_newest_first(tmp_path: Path) -> None:
    settings = Settings(secret_key="newest-key-0123456, older-key-01234567")
    assert settings.secret_keys() == ("newest-key-0123456", "older-key-01234567")


def test_a_short_key_is_refused_without_being_shown() -> None:
    with pytest.raises(ValueError, match="16 characters") as raised:
        Settings(secret_key="hunter2").secret_keys()
    assert "hunter2" not in str(raised.value)


def test_no_secret_is_in_the_settings_text() -> None:
    settings = Settings(api_key="a-key-to-be-hidden", database_url="postgresql://u:pw-hidden@h/n")
    assert "hidden" not in repr(settings)


@pytest.mark.parametrize("name", ["database_url", "listen_url"])
def test_a_database_whose_port_is_no_number_is_refused_without_its_password(name: str) -> None:
    for wrong in ("u:hidden@h:port/n", "u:hid@den@h:/n", "h:1:2", "u:hidden@[::1/n"):
        with pytest.raises(ValueError, match="port must be a number") as raised:
            Settings.model_validate({name: f"postgresql://{wrong}"})
        assert isinstance(raised.value, ValidationError)
        assert "hid" not in raised.value.errors()[0]["msg"]
    for right in (
        "",
        "postgresql:///n?host=/run/postgresql",
        "postgresql://u:a/b?c@h:5432/n",
        "postgresql://[::1]:1/n",
    ):
        assert Settings.model_validate({name: right})


def test_headers_to_index_are_names_of_headers_whatever_their_case_and_not_many() -> None:
    assert Settings(indexed_headers="X-B, list-id,x-b,").indexed_headers == ("list-id", "x-b")
    assert Settings().indexed_headers == ()
    many = ",".join(f"x-{number}" for number in range(21))
    for wrong in ("a:b", "a b", "ü", "x" * 101, many):
        with pytest.raises(ValueError, match=r"name of a header|at most 20"):
            Settings(indexed_headers=wrong)

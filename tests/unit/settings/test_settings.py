"""Where settings come from, which one counts, and what is said of those that cannot be."""

from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from atoll.model.domain_pattern import DomainPattern
from atoll.settings import (
    DESCRIPTIONS,
    Loaded,
    Machine,
    Settings,
    SettingsError,
    client_base_url,
    first_api_key,
    is_size,
    load,
    parse,
    render,
)

ROOT = Machine(is_root=True, home=Path("/root"))
ANN = Machine(is_root=False, home=Path("/home/ann"))
NO_FILE = Path("/nonexistent/atoll.toml")


def loaded(
    command_line: dict[str, object] | None = None,
    environ: dict[str, str] | None = None,
    config: Path | None = None,
    machine: Machine = ROOT,
) -> Loaded:
    return load(command_line, environ or {}, config=config, machine=machine, default_config=NO_FILE)


def refusal(command_line: dict[str, object] | None = None, environ: dict[str, str] | None = None) -> str:
    with pytest.raises(SettingsError) as caught:
        loaded(command_line, environ)
    return str(caught.value)


@pytest.fixture
def toml(tmp_path: Path) -> Path:
    path = tmp_path / "atoll.toml"
    path.write_text('port = 3\nhost = "file"\nimage = "file"\ndisk_bytes = "1GiB"\n')
    return path


def test_the_command_line_beats_the_environment_beats_the_file_beats_the_default(toml: Path) -> None:
    result = loaded({"port": "1", "user": None}, {"ATOLL_PORT": "2", "ATOLL_HOST": "environment"}, toml)
    assert (result.settings.port, result.settings.host, result.settings.image) == (1, "environment", "file")
    assert result.settings.user == "atoll"
    origins = {name: result.origins[name] for name in ("port", "host", "image", "user")}
    assert origins == {"port": "--port", "host": "ATOLL_HOST", "image": str(toml), "user": "default"}
    assert set(result.origins) == {item.name for item in fields(Settings)}


def test_the_file_is_named_on_the_command_line_then_by_the_environment_then_by_default(
    toml: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other.toml"
    other.write_text("port = 4")
    assert load({}, {"ATOLL_CONFIG": str(other)}, config=toml, machine=ROOT).settings.port == 3
    assert load({}, {"ATOLL_CONFIG": str(other)}, machine=ROOT, default_config=toml).settings.port == 4
    assert load({}, {}, machine=ROOT, default_config=toml).settings.port == 3


def test_a_named_file_must_be_there() -> None:
    with pytest.raises(SettingsError, match=r"nonexistent/atoll\.toml cannot be read: No such file"):
        loaded(config=NO_FILE)


def test_a_file_that_is_not_toml_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bad.toml"
    path.write_text("port 1")
    with pytest.raises(SettingsError, match=r"bad\.toml is not TOML"):
        loaded(config=path)
    path.write_bytes(b'host = "\xff"')
    with pytest.raises(SettingsError, match=r"bad\.toml is not TOML"):
        loaded(config=path)


def test_defaults_depend_on_who_asks() -> None:
    assert loaded().settings.data_dir == Path("/var/lib/atoll")
    assert loaded().settings.run_dir == Path("/run/atoll")
    settings = loaded(machine=ANN).settings
    assert settings.data_dir == Path("/home/ann/.local/share/atoll")
    assert settings.run_dir == settings.data_dir / "run"


def test_places_follow_the_data_folder() -> None:
    settings = loaded({"data_dir": "/x"}).settings
    assert settings.images_dir == Path("/x/images")
    assert settings.database_url == "sqlite:////x/atoll.db"
    assert loaded({"data_dir": "/x", "images_dir": "/y"}).settings.images_dir == Path("/y")


def test_paths_become_absolute_without_following_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    monkeypatch.chdir(tmp_path)
    assert loaded({"data_dir": "link/../link/x"}).settings.data_dir == tmp_path / "link/x"


@pytest.mark.parametrize(
    ("given_as", "said"),
    [
        ({"ATOLL_PROT": "1"}, "Unknown setting ATOLL_PROT in the environment; did you mean ATOLL_PORT?"),
        ({"ATOLL_APIKEY": "1"}, "Unknown setting ATOLL_APIKEY in the environment; did you mean ATOLL_API_KEY?"),
        ({"ATOLL_port": "1"}, "Unknown setting ATOLL_port in the environment; did you mean ATOLL_PORT?"),
        ({"ATOLL_ZZZZZZZ": "1"}, "Unknown setting ATOLL_ZZZZZZZ in the environment; `atoll config` lists them all."),
        ({"ATOLL_": "1"}, "Unknown setting ATOLL_ in the environment"),
    ],
)
def test_an_unknown_variable_is_an_error_that_names_the_nearest(given_as: dict[str, str], said: str) -> None:
    assert refusal(environ=given_as).startswith(said)


def test_an_unknown_key_of_the_file_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "atoll.toml"
    path.write_text("disk_byte = 5")
    with pytest.raises(SettingsError, match=r"Unknown setting disk_byte in .*atoll\.toml; did you mean disk_bytes\?"):
        loaded(config=path)
    path.write_text("[server]\nport = 5")
    with pytest.raises(SettingsError, match="Unknown setting server in"):
        loaded(config=path)


def test_others_variables_are_left_alone() -> None:
    environ = {"PATH": "/bin", "ATOLLS": "1", "ATOLL_API_KEY": "x", "ATOLL_BASE_URL": "y"}
    assert set(loaded(environ=environ).origins.values()) == {"default"}


def test_an_empty_variable_counts_as_not_set() -> None:
    assert loaded(environ={"ATOLL_PORT": ""}).origins["port"] == "default"


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("port", "http", "port: 'http' (from --port) cannot be used; expected a whole number from 0 to 65535."),
        ("port", "65536", "expected a whole number from 0 to 65535."),
        ("port", "-1", "expected a whole number from 0 to 65535."),
        ("port", "1.5", "expected a whole number"),
        ("port", "1KiB", "expected a whole number"),
        ("port", True, "expected a whole number"),
        ("port", 1.5, "expected a whole number"),
        ("runtime", "docker", "expected `oci` or `plain`."),
        ("log_level", "INFO", "expected `debug` or `info` or `warning` or `error`."),
        ("disk_bytes", "8 elephants", "expected a size in bytes (`8GiB`, `512MiB`), at least 64MiB."),
        ("disk_bytes", "1MiB", "at least 64MiB."),
        ("disk_bytes", ["8GiB"], "expected a size in bytes"),
        ("cpus", "nan", "expected a number, at least 0.05."),
        ("cpus", "inf", "expected a number"),
        ("cpus", [], "expected a number"),
        ("data_dir", "", "expected a path."),
        ("data_dir", "a\0b", "expected a path."),
        ("data_dir", 5, "expected a path."),
        ("host", {"a": 1}, "expected text."),
    ],
)
def test_a_bad_value_is_an_error_that_says_what_was_expected_and_where_it_came_from(
    name: str, value: object, said: str
) -> None:
    message = refusal({name: value})
    assert said in message
    assert f"(from --{name.replace('_', '-')})" in message


def test_a_bad_value_of_the_environment_or_the_file_names_that(tmp_path: Path) -> None:
    assert "(from ATOLL_PORT)" in refusal(environ={"ATOLL_PORT": "x"})
    path = tmp_path / "atoll.toml"
    path.write_text('port = "x"')
    with pytest.raises(SettingsError, match=r"\(from .*atoll\.toml\)"):
        loaded(config=path)


def test_a_secret_is_not_repeated_in_an_error() -> None:
    assert "hunter2" not in refusal({"database_url": "hunter2\0"})


def test_values_that_contradict_each_other_are_refused_with_their_origin() -> None:
    message = refusal(environ={"ATOLL_TIMEOUT_MS_MAX": "5"})
    assert message == "timeout_ms_default (120000) cannot be more than timeout_ms_max (5). (from ATOLL_TIMEOUT_MS_MAX)"
    assert "expires_after_minutes_default" in refusal({"expires_after_minutes_max": "5"})


@pytest.mark.parametrize("path", ["atoll", "/a/../b", ""])
def test_a_cgroup_stays_below_the_root(path: str) -> None:
    assert "cgroup_parent" in refusal({"cgroup_parent": path})


def test_keys_and_addresses_are_no_settings() -> None:
    assert first_api_key({"ATOLL_API_KEY": "a"}) == "a"
    assert first_api_key({"ATOLL_API_KEY": ""}) is None
    assert client_base_url({"ATOLL_BASE_URL": "b"}) == "b"
    assert client_base_url({}) is None


SIZES = [name for name in DESCRIPTIONS if is_size(name)]


@given(number=st.integers(1, 1000), unit=st.sampled_from(["MiB", "M", "m", "MB", "GiB", "g", "TiB"]))
def test_sizes_take_binary_units(number: int, unit: str) -> None:
    factor = {"m": 1 << 20, "g": 1 << 30, "t": 1 << 40}[unit[0].lower()]
    assert parse("upload_bytes_max", f"{number}{unit}", "test") == number * factor
    assert parse("upload_bytes_max", f" {number} {unit} ", "test") == number * factor


@given(st.sampled_from(SIZES), st.integers(1 << 26, 1 << 50))
def test_a_size_reads_back_as_it_was_written(name: str, size: int) -> None:
    assert parse(name, render(name, size), "test") == size
    assert parse(name, str(size), "test") == size
    assert parse(name, size, "test") == size


@example("data_dir", "~nobody of that name")
@given(st.sampled_from(sorted(DESCRIPTIONS)), st.text())
def test_any_text_is_a_value_or_a_settings_error(name: str, text: str) -> None:
    try:
        value = parse(name, text, "test")
    except SettingsError:
        return
    assert parse(name, render(name, value), "test") == value


@given(st.dictionaries(st.text(alphabet="ATOL_PRHS", min_size=1), st.text(max_size=5), max_size=5))
def test_any_environment_gives_settings_or_a_settings_error(environ: dict[str, str]) -> None:
    try:
        loaded(environ=environ)
    except SettingsError:
        assert any(name.startswith("ATOLL_") for name in environ)


def test_defaults_are_possible_values() -> None:
    settings = loaded().settings
    for name in DESCRIPTIONS:
        value = getattr(settings, name)
        assert value is None or parse(name, render(name, value), "test") == value


def test_every_number_has_its_unit_in_its_name() -> None:
    units = (
        "_bytes",
        "_bytes_max",
        "_bytes_min",
        "_ms_default",
        "_ms_max",
        "_s",
        "_minutes_default",
        "_minutes_max",
        "_s_max",
    )
    counted = {"port", "pids_max", "cpus", "sandboxes_max", "files_per_container_max", "commands_max"}
    counted |= {
        "event_streams_max",
        "terminals_max",
        "terminals_per_container_max",
        "containers_per_project_max",
        "calls_waiting_max",
        "processes_max",
        "archive_entries_max",
        "egress_connections_max",
        "egress_connections_per_s_max",
        "pool_min",
        "pool_max",
        "expired_retention_days",
        "memory_overcommit",
        "disk_overcommit",
        "traces_sampled",
    }
    for name in DESCRIPTIONS:
        if isinstance(getattr(loaded().settings, name), (int, float)):
            assert name.endswith(units) or name in counted


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("egress_allowed_domains", "example.com, https://example.org"),
        ("egress_allowed_domains", "*"),
        ("egress_ports", "8443, http"),
        ("egress_ports", "53"),
        ("egress_ports", "70000"),
        ("egress_ports", ",".join(str(port) for port in range(1000, 1020))),
        ("dangerous_egress_resolver", "ns.example.com:53"),
        ("dangerous_egress_public", "10.0.0.0/40"),
    ],
)
def test_network_settings_that_cannot_be_are_errors(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=name):
        loaded({name: value})


def test_network_settings_are_read() -> None:
    settings = loaded(
        {"egress_allowed_domains": "example.com, *.Example.org:8443", "egress_ports": "8443, 443"}
    ).settings
    assert settings.egress_outer_domains == (
        DomainPattern("example.com"),
        DomainPattern("example.org", is_wildcard=True, port=8443),
    )
    assert settings.egress_tcp_ports == (80, 443, 8443)
    assert loaded().settings.egress_outer_domains is None


@pytest.mark.parametrize("name", ["dangerous_egress_resolver", "dangerous_egress_public"])
@pytest.mark.parametrize(
    ("host", "taken"),
    [
        ("127.0.0.1", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),  # noqa: S104 - refused
        ("192.168.1.5", False),
        ("example.com", False),
    ],
)
def test_what_is_dangerous_needs_a_loopback_address(name: str, host: str, taken: bool) -> None:
    value = "127.0.0.1:53" if name.endswith("resolver") else "127.0.0.0/8"
    if taken:
        assert getattr(loaded({name: value, "host": host}).settings, name) == value
        return
    with pytest.raises(SettingsError, match="others reach"):
        loaded({name: value, "host": host})

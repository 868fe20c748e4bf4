"""What a body that does not fit is told, word for word."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atoll.api.body import parse_json
from atoll.api.wire import CodeInterpreterCallBody, CreateContainerBody, ShellCallBody
from atoll.model.errors import InvalidRequestError


def refusal(body: Any, kind: type[Any] = CreateContainerBody) -> InvalidRequestError:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    with pytest.raises(InvalidRequestError) as raised:
        parse_json(raw, kind)
    return raised.value


@pytest.mark.parametrize(
    ("body", "message", "param", "code"),
    [
        ({}, "Missing required parameter: 'name'.", "name", "missing_required_parameter"),
        ({"name": "a", "nope": 1}, "Unknown parameter: 'nope'.", "nope", "unknown_parameter"),
        (
            {"name": 3},
            "Invalid type for 'name': expected a string, but got an integer instead.",
            "name",
            "invalid_type",
        ),
        (
            {"name": None},
            "Invalid type for 'name': expected a string, but got null instead.",
            "name",
            "invalid_type",
        ),
        (
            {"name": ""},
            "Invalid 'name': empty string. Expected a string with minimum length 1, but got an empty string instead.",
            "name",
            "empty_string",
        ),
        (
            {"name": "a", "expires_after": {"anchor": "last_active_at", "minutes": "5"}},
            "Invalid type for 'expires_after.minutes': expected an integer, but got a string instead.",
            "expires_after.minutes",
            "invalid_type",
        ),
        (
            {"name": "a", "expires_after": {"anchor": "last_active_at", "minutes": 1.5}},
            "Invalid type for 'expires_after.minutes': expected an integer, but got a decimal number instead.",
            "expires_after.minutes",
            "invalid_type",
        ),
        (
            {"name": "a", "expires_after": {"anchor": "last_active_at", "minutes": True}},
            "Invalid type for 'expires_after.minutes': expected an integer, but got a boolean instead.",
            "expires_after.minutes",
            "invalid_type",
        ),
        (
            {"name": "a", "expires_after": {"anchor": "last_active_at", "minutes": 0}},
            "Invalid 'expires_after.minutes': integer below minimum value. Expected a value >= 1, but got 0 instead.",
            "expires_after.minutes",
            "integer_below_min_value",
        ),
        (
            {"name": "a", "expires_after": {"minutes": 5}},
            "Missing required parameter: 'expires_after.anchor'.",
            "expires_after.anchor",
            "missing_required_parameter",
        ),
        (
            {"name": "a", "expires_after": {"anchor": "created_at", "minutes": 5}},
            "Invalid value: 'created_at'. Supported values are: 'last_active_at'.",
            "expires_after.anchor",
            "invalid_value",
        ),
        (
            {"name": "a", "expires_after": {"anchor": "last_active_at", "minutes": 5, "hours": 1}},
            "Unknown parameter: 'expires_after.hours'.",
            "expires_after.hours",
            "unknown_parameter",
        ),
        (
            {"name": "a", "expires_after": 20},
            "Invalid type for 'expires_after': expected an object, but got an integer instead.",
            "expires_after",
            "invalid_type",
        ),
        (
            {"name": "a", "memory_limit": "2g"},
            "Invalid value: '2g'. Supported values are: '1g', '4g', '16g', and '64g'.",
            "memory_limit",
            "invalid_value",
        ),
        (
            {"name": "a", "memory_limit": 4},
            "Invalid type for 'memory_limit': expected one of '1g', '4g', '16g', or '64g', but got an integer instead.",
            "memory_limit",
            "invalid_type",
        ),
        (
            {"name": "a", "file_ids": "file-1"},
            "Invalid type for 'file_ids': expected an array, but got a string instead.",
            "file_ids",
            "invalid_type",
        ),
        (
            {"name": "a", "file_ids": ["file-1", None]},
            "Invalid type for 'file_ids[1]': expected a string, but got null instead.",
            "file_ids[1]",
            "invalid_type",
        ),
        (
            {"name": "a", "network_policy": {}},
            "Missing required parameter: 'network_policy.type'.",
            "network_policy.type",
            "missing_required_parameter",
        ),
        (
            {"name": "a", "network_policy": {"type": "open"}},
            "Invalid value: 'open'. Supported values are: 'disabled' and 'allowlist'.",
            "network_policy.type",
            "invalid_value",
        ),
        (
            {"name": "a", "network_policy": {"type": 3}},
            (
                "Invalid type for 'network_policy.type': expected one of 'disabled' or 'allowlist', "
                "but got an integer instead."
            ),
            "network_policy.type",
            "invalid_type",
        ),
        (
            {"name": "a", "network_policy": {"type": "disabled", "allowed_domains": ["a.com"]}},
            "Unknown parameter: 'network_policy.allowed_domains'.",
            "network_policy.allowed_domains",
            "unknown_parameter",
        ),
        (
            {"name": "a", "network_policy": {"type": "allowlist"}},
            "Missing required parameter: 'network_policy.allowed_domains'.",
            "network_policy.allowed_domains",
            "missing_required_parameter",
        ),
        (
            {"name": "a", "network_policy": {"type": "allowlist", "allowed_domains": []}},
            (
                "Invalid 'network_policy.allowed_domains': empty array. Expected an array with minimum length 1, "
                "but got an empty array instead."
            ),
            "network_policy.allowed_domains",
            "empty_array",
        ),
        (
            {
                "name": "a",
                "network_policy": {
                    "type": "allowlist",
                    "allowed_domains": ["a.com"],
                    "domain_secrets": [{"domain": "a.com", "name": "A", "secret": "x"}],
                },
            },
            "Unknown parameter: 'network_policy.domain_secrets[0].secret'.",
            "network_policy.domain_secrets[0].secret",
            "unknown_parameter",
        ),
        (
            {"name": "a\0b"},
            "Invalid 'name': the string holds the NUL character (U+0000), which cannot be used.",
            "name",
            "invalid_value",
        ),
        ([], "Invalid body: expected a JSON object, but got an array instead.", None, "invalid_type"),
        (b"null", "Invalid body: expected a JSON object, but got null instead.", None, "invalid_type"),
    ],
)
def test_says_what_is_wrong(body: Any, message: str, param: str | None, code: str) -> None:
    found = refusal(body)
    assert (found.message, found.param, found.code) == (message, param, code)


@pytest.mark.parametrize(
    "raw",
    [
        b"{",
        b"{'name': 'a'}",
        b'{"name": NaN}',
        b'{"name": Infinity}',
        b'{"name": "a"} x',
        b'{"name": "\\ud800"}',
        b'{"name": "\\ud800abc"}',
        b'{"name": "\xff"}',
        b'\xef\xbb\xbf{"name": "a"}',
        b'{"name": "a\x00"}',
        b'{"file_ids": ' + b"[" * 200_000,
        b'{"name": 1e999}',
        b'{"name": 1' + b"0" * 5000 + b"}",
    ],
)
def test_malformed_json_is_an_invalid_request(raw: bytes) -> None:
    assert refusal(raw).message


def test_a_huge_number_is_not_written_out() -> None:
    found = refusal({"name": "a", "expires_after": {"anchor": "last_active_at", "minutes": -(10**60)}})
    assert found.code == "integer_below_min_value"
    assert "more than 30 digits" in found.message


def test_null_means_left_out() -> None:
    body = parse_json(b'{"name": "a", "expires_after": null, "memory_limit": null}', CreateContainerBody)
    assert body == CreateContainerBody(name="a")


def test_the_text_of_an_escape_is_not_the_character() -> None:
    code = r"print('\u0000')"
    assert parse_json(json.dumps({"code": code}).encode(), CodeInterpreterCallBody).code == code


def test_limits_of_a_string_at_and_past() -> None:
    body = parse_json(json.dumps({"commands": ["x"], "call_id": "c" * 64}).encode(), ShellCallBody)
    assert body.call_id == "c" * 64
    found = refusal({"commands": ["x"], "call_id": "c" * 65}, ShellCallBody)
    assert found.code == "string_above_max_length"
    assert "maximum length 64, but got a string with length 65" in found.message


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda children: st.lists(children) | st.dictionaries(st.text(), children),
    max_leaves=20,
)


@given(_JSON, st.sampled_from(["name", "expires_after", "file_ids", "memory_limit", "network_policy", "skills"]))
def test_every_body_fits_or_is_explained(value: Any, key: str) -> None:
    raw = json.dumps({"name": "a", key: value}).encode()
    codes = ["fits"]
    try:
        parse_json(raw, CreateContainerBody)
    except InvalidRequestError as error:
        codes = [error.code or ""]
    assert codes != [""]

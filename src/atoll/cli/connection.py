"""The way to the server: where it is, with which key, and what is said when it does not work."""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from atoll.cli.exit_codes import ExitCode, code_of_status
from atoll.cli.failure import fail
from atoll.settings import client_base_url, first_api_key

if TYPE_CHECKING:
    import httpx

DEFAULT_BASE_URL: Final = "http://127.0.0.1:8484/v1"
PAGE_LIMIT: Final = 100
_CONNECT_TIMEOUT_S: Final = 10.0
_LOOK_TIMEOUT_S: Final = 60.0  # looking waits for nobody's turn: a server that is so long silent is gone
_SENDABLE_KEY: Final = re.compile(r"[!-~]+")  # what a header takes, without blanks
_SEGMENT: Final = re.compile(r"[A-Za-z0-9_-]+")
_CONTAINER_ID: Final = re.compile(r"cntr_[0-9a-f]{48}")


@dataclass(frozen=True, slots=True)
class Local:
    """What can be found out on the server's own machine; all ``None`` elsewhere."""

    base_url: str | None = None
    """Where its Atoll listens; ``None`` when none runs."""
    api_key: str | None = None
    usual_base_url: str | None = None
    """Where one would listen, by the settings."""


@dataclass(frozen=True, slots=True)
class Target:
    """What the command line's own options say, and how to look for the rest on this machine."""

    base_url: str | None
    api_key: str | None
    find_local: Callable[[], Local]

    def resolve(self) -> tuple[str, str]:
        """Give base URL and key: from options, then the environment, then this machine's own Atoll."""
        given = self.base_url or client_base_url()
        base_url = None if given is None else _whole(given)
        api_key = self.api_key or first_api_key()
        if api_key is not None and not _SENDABLE_KEY.fullmatch(api_key):
            fail(
                "The API key holds a character that no key has (… from a shortened one, a blank or a line's end?): "
                "give the whole key as it was printed, in ATOLL_API_KEY or --api-key.",
                code=ExitCode.NO_ACCESS,
            )
        if base_url is not None and api_key is not None:
            return base_url, api_key
        local = self.find_local()
        # A key found here belongs to the Atoll here: it is never sent to another.
        if base_url is None:
            base_url, api_key = (
                _whole(local.base_url or local.usual_base_url or DEFAULT_BASE_URL),
                (api_key or local.api_key),
            )
        elif api_key is None and local.base_url is not None and base_url == _whole(local.base_url):
            api_key = local.api_key
        if api_key is None:
            fail(_no_key(base_url, local), code=ExitCode.NO_ACCESS)
        return base_url, api_key


def _whole(base_url: str) -> str:
    """Give a base URL as requests need it; one that names only the server is meant with the API's path.

    One that cannot be ends the command.
    """
    try:
        parts = urlsplit(base_url)
        problem = (
            None if parts.scheme in {"http", "https"} and parts.hostname else "it is no http:// or https:// address"
        )
        _ = parts.port  # is read only when it is asked for
    except ValueError as error:
        problem = str(error)
    if problem is not None:
        fail(f"The base URL {base_url!r} cannot be used: {problem}.", code=ExitCode.USAGE)
    return base_url.rstrip("/?#") + "/v1" if parts.netloc and parts.path in {"", "/"} else base_url.rstrip("/")


def _no_key(base_url: str, local: Local) -> str:
    if local.api_key is None:
        return (
            "No API key. Set ATOLL_API_KEY or give --api-key. On the server's machine, run this as root (sudo), "
            "and set ATOLL_DATA_DIR if the server was started with --data-dir."
        )
    here = f"only to {local.base_url}" if local.base_url else "nowhere, because no Atoll runs here"
    return (
        f"No API key for {base_url}. Set ATOLL_API_KEY or give --api-key. "
        f"The one that is kept on this machine is sent {here}."
    )


class NotNowError(Exception):
    """The server has no room or failed (429, 5xx): another try may go well. The message is the server's."""

    def __init__(self, response: "httpx.Response") -> None:
        super().__init__(explain(response))
        self.code = code_of_status(response.status_code)


class Connection:
    """An open way to one server. Every method ends the command with a message when the server says no.

    What may go well later is a ``NotNowError``, which ends the command likewise unless somebody tries again.
    """

    def __init__(self, client: "httpx.Client") -> None:
        self._client = client

    def get(self, path: str, **query: Any) -> Any:
        """GET, give the JSON answer."""
        wanted = {name: value for name, value in query.items() if value is not None}
        return self._answer(self._look(path, wanted))

    def find(self, path: str) -> Any | None:
        """GET, give the JSON answer; ``None`` for what is not there, or not now."""
        response = self._look(path, {})
        return None if response.is_client_error else self._answer(response)

    def post(self, path: str, **body: Any) -> Any:
        """POST JSON, leaving out what is ``None``, and give the JSON answer."""
        return self._answer(
            self._client.post(path, json={name: value for name, value in body.items() if value is not None})
        )

    def upload(self, path: str, name: str, content: Any, texts: Mapping[str, str] | None = None) -> Any:
        """POST a file as multipart form, give the JSON answer. ``content`` is an open binary file."""
        return self._answer(self._client.post(path, files={"file": (name, content)}, data=texts))

    def put(self, path: str, content: Iterator[bytes], media_type: str, query: dict[str, str]) -> Any:
        """PUT a body that comes bit by bit, give the JSON answer."""
        headers = {"Content-Type": media_type}
        return self._answer(self._client.put(path, content=content, headers=headers, params=query))

    def delete(self, path: str) -> Any:
        """DELETE, give the JSON answer."""
        return self._answer(self._client.delete(path))

    @contextmanager
    def stream(self, method: str, path: str, **options: Any) -> "Iterator[httpx.Response]":
        """Open an answer whose body comes bit by bit."""
        with self._client.stream(method, path, **options) as response:
            if response.is_error:
                response.read()
                self._answer(response)
            yield response

    def pages(
        self, path: str, limit: int | None = None, *, after: str | None = None, **query: Any
    ) -> Iterator[dict[str, Any]]:
        """Give a list's items, fetching page after page, up to ``limit``."""
        left = limit
        while left is None or left > 0:
            page = self.get(path, limit=min(left or PAGE_LIMIT, PAGE_LIMIT), after=after, **query)
            yield from page["data"]
            if not page["has_more"] or not page["data"]:
                return
            after = page["data"][-1]["id"]
            left = None if left is None else left - len(page["data"])

    def find_container(self, name_or_id: str) -> str:
        """Give a container's id. A name must belong to one container only; expired ones do not count."""
        if _CONTAINER_ID.fullmatch(name_or_id):
            return name_or_id
        named = list(self.pages("/containers", name=name_or_id))
        found = [item for item in named if item["status"] != "expired"]
        if not found:
            expired = f" One of that name has expired: {named[0]['id']}." if named else ""
            fail(f"There is no container with the id or name {name_or_id!r}.{expired}", code=ExitCode.NOT_THERE)
        if len(found) > 1:
            ids = "\n  ".join(item["id"] for item in found[:10])
            fail(f"{len(found)} containers are named {name_or_id!r}; give an id:\n  {ids}")
        return str(found[0]["id"])

    def _look(self, path: str, query: dict[str, Any]) -> "httpx.Response":
        import httpx  # noqa: PLC0415 - slow to load, and loaded with the client

        timeout = httpx.Timeout(_LOOK_TIMEOUT_S, connect=_CONNECT_TIMEOUT_S)
        return self._client.get(path, params=query, timeout=timeout)

    def _answer(self, response: "httpx.Response") -> Any:
        if response.status_code == HTTPStatus.TOO_MANY_REQUESTS or response.is_server_error:
            raise NotNowError(response)
        if response.is_error:
            fail(explain(response), code=code_of_status(response.status_code))
        try:
            return response.json()
        except ValueError:
            fail(f"{response.url} did not answer with JSON: is this Atoll?", code=ExitCode.UNREACHABLE)


def segment(name: str, noun: str) -> str:
    """Give an id that leads nowhere else in a path, as `..` would; another one ends the command."""
    if not _SEGMENT.fullmatch(name):
        fail(f"{name!r} is no {noun}'s id.", code=ExitCode.NOT_THERE)
    return name


@contextmanager
def connect(target: Target) -> Iterator[Connection]:
    """Open a connection. What breaks on the way ends the command with a message."""
    import httpx  # noqa: PLC0415 - slow to load, and `--help` needs none of it

    options = http_options(target)
    base_url = options["base_url"]
    try:
        with httpx.Client(**options) as client:
            yield Connection(client)
    except NotNowError as error:
        fail(str(error), code=error.code)
    except KeyboardInterrupt:
        raise SystemExit(ExitCode.INTERRUPTED) from None
    except (httpx.ConnectError, httpx.ConnectTimeout) as error:
        is_it = "Does it speak TLS there (https), or plain http?" if "[SSL" in str(error) else "Is it running?"
        fail(f"Cannot reach Atoll at {base_url}: {error}. {is_it}", code=ExitCode.UNREACHABLE)
    except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
        fail(f"The base URL {base_url!r} cannot be used: {str(error).rstrip('.')}.", code=ExitCode.USAGE)
    except UnicodeEncodeError:
        # Not what it is: there may be a secret beside it.
        fail(
            "Something that was given (a name, a path or code) is no UTF-8 text, which the API cannot take.",
            code=ExitCode.USAGE,
        )
    except httpx.HTTPError as error:
        fail(f"The connection to {base_url} broke: {str(error) or type(error).__name__}.", code=ExitCode.UNREACHABLE)


def http_options(target: Target) -> dict[str, Any]:
    """Give what a client of ``httpx`` is made with."""
    import httpx  # noqa: PLC0415 - as above

    base_url, api_key = target.resolve()
    return {
        "base_url": base_url,
        "headers": {"Authorization": f"Bearer {api_key}"},
        "timeout": httpx.Timeout(None, connect=_CONNECT_TIMEOUT_S),  # calls may wait for their turn
        "trust_env": _is_remote(base_url),
    }


def _is_remote(base_url: str) -> bool:
    """Proxies of the environment are for other machines."""
    return re.match(r"https?://(127\.|localhost[:/]|\[::1\])", base_url) is None


def explain(response: "httpx.Response") -> str:
    """Say what an error answer says: message, field, request id."""
    try:
        error = response.json()["error"]
        message, param = str(error["message"]), error.get("param")
    except (ValueError, KeyError, TypeError, AttributeError):
        message, param = response.text[:1000].strip() or response.reason_phrase, None
    request_id = response.headers.get("x-request-id")
    details = [f"status {response.status_code}"]
    details += [f"param {param}"] if param else []
    details += [f"request {request_id}"] if request_id else []
    return f"{message} ({', '.join(details)})"

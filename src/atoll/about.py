"""What is being worked on: the ids that lines of the log and spans are about, wherever in the process they come from.

The edge begins an ``About`` for each request; whoever finds out more (which container it is) notes it there. It is kept
in a context variable, so tasks that a request starts are about the same.
"""

import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Final

from atoll.spans import NO_SPAN, Span

_NAMES_REMEMBERED_MAX: Final = 10_000


@dataclass(slots=True)
class About:
    """Ids, empty where there is none or none is known; ``span`` is the request's own."""

    request_id: str = ""
    container_id: str = ""
    span: Span = field(default=NO_SPAN)


_ABOUT: Final[ContextVar[About | None]] = ContextVar("atoll_about", default=None)
_names: Final["OrderedDict[str, str]"] = OrderedDict()
_names_lock: Final = threading.Lock()


def current() -> About | None:
    """Give what is being worked on here; ``None`` outside of requests."""
    return _ABOUT.get()


def begin(about: About) -> About:
    """Let all that this task does from now on be about it."""
    _ABOUT.set(about)
    return about


@contextmanager
def concerning(*, request_id: str, container_id: str) -> Iterator[None]:
    """Let what the body does be about these."""
    token = _ABOUT.set(About(request_id, container_id))
    try:
        yield
    finally:
        _ABOUT.reset(token)


def note_container(container_id: str) -> None:
    """Say which container the request is about, once it was found."""
    about = _ABOUT.get()
    if about is not None:
        about.container_id = container_id
        about.span.set("atoll.container.id", container_id)


@contextmanager
def spanned(name: str) -> Iterator[Span]:
    """Make the body a span of the request's, where it has one."""
    about = _ABOUT.get()
    if about is None or about.span is NO_SPAN:
        yield NO_SPAN
        return
    span = about.span.begin(name)
    if about.container_id:
        span.set("atoll.container.id", about.container_id)
    try:
        yield span
    except BaseException as error:
        span.fail(type(error).__name__)
        raise
    finally:
        span.end()


def name_sandbox(sandbox_id: str, container_id: str) -> bool:
    """Remember, for lines that name the sandbox only, whose it was when it was last asked for; tells whether that is
    news.
    """
    with _names_lock:
        is_news = _names.get(sandbox_id) != container_id
        _names[sandbox_id] = container_id
        _names.move_to_end(sandbox_id)
        if len(_names) > _NAMES_REMEMBERED_MAX:
            _names.popitem(last=False)
    return is_news


def container_of(sandbox_id: str) -> str:
    """Give the container that a sandbox was last asked for for; empty when none is known."""
    return _names.get(sandbox_id, "")

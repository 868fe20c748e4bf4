"""An entry of ``allowed_domains``: a name, or all names below one, and which ports of it."""

import re
from dataclasses import dataclass
from typing import Final

import idna

DEFAULT_PORTS: Final = frozenset({80, 443})

_TEXT_CHARS_MAX: Final = 300
_NAME_CHARS_MAX: Final = 253
# Underscores are in no host's name by the book and in many a real one.
_NAME: Final = re.compile(r"(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)+[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_PORT: Final = re.compile(r"[1-9][0-9]{0,4}")


class DomainRefusedError(ValueError):
    """The text is no entry; the message says why, as the end of a sentence."""


@dataclass(frozen=True, slots=True)
class DomainPattern:
    """``name`` is in lower case, in its ASCII form and without a final dot.

    A wildcard stands for every name below ``name``, however deep, and not for ``name`` itself. Without a ``port`` it
    is 80 and 443.
    """

    name: str
    is_wildcard: bool = False
    port: int | None = None

    @property
    def ports(self) -> frozenset[int]:
        """The ports that it stands for."""
        return DEFAULT_PORTS if self.port is None else frozenset({self.port})

    @property
    def text(self) -> str:
        """An entry that stands for the same, in ASCII: of up to 261 characters, whatever it was made of."""
        return ("*." if self.is_wildcard else "") + self.name + ("" if self.port is None else f":{self.port}")

    def covers(self, other: "DomainPattern") -> bool:
        """Tell whether everything that ``other`` stands for is also in this one."""
        if not other.ports <= self.ports:
            return False
        if self.is_wildcard:
            return other.name.endswith(f".{self.name}") or (other.is_wildcard and other.name == self.name)
        return not other.is_wildcard and other.name == self.name


def parse_domain(text: str) -> DomainPattern:
    """Read an entry: ``example.com``, ``*.example.com``, ``bücher.example``, ``example.com:8443``.

    Raises ``DomainRefusedError``.
    """
    if not text.strip():
        raise DomainRefusedError("it is empty")
    if len(text) > _TEXT_CHARS_MAX:
        raise DomainRefusedError("it is longer than a domain name can be")
    if any(character.isspace() for character in text):
        raise DomainRefusedError("it has whitespace in it")
    if "/" in text or "@" in text or "?" in text or "#" in text:
        raise DomainRefusedError("it is a URL or has a path, and a domain name alone was expected")
    if text.startswith("[") or text.count(":") > 1:
        raise DomainRefusedError("it is an address, and only names can be allowed")
    name, colon, port = text.partition(":")
    number = _port(port) if colon else None
    if name in ("*", "*."):
        raise DomainRefusedError("a bare '*' would allow everything")
    is_wildcard = name.startswith("*.")
    return DomainPattern(_name(name.removeprefix("*.")), is_wildcard, number)


def host_name(text: str) -> str:
    """Give a name as a program sent it (in a query, a TLS hello, a header) in the form that patterns have."""
    return text.removesuffix(".").lower()


def _port(text: str) -> int:
    if not _PORT.fullmatch(text) or int(text) > 65_535:
        raise DomainRefusedError("its port is not a number from 1 to 65535")
    return int(text)


def _name(text: str) -> str:
    if "*" in text:
        raise DomainRefusedError("'*' can only stand for everything below a domain, as in '*.example.com'")
    name = host_name(text)
    if not name.isascii():
        try:
            name = host_name(idna.encode(name, uts46=True).decode())
        except idna.IDNAError as error:
            raise DomainRefusedError("it is not a domain name that exists in an ASCII form") from error
    if len(name) > _NAME_CHARS_MAX:
        raise DomainRefusedError("it is longer than a domain name can be")
    if _is_number(name.rpartition(".")[2]):
        raise DomainRefusedError("it is an address, and only names can be allowed")
    if not _NAME.fullmatch(name):
        raise DomainRefusedError("it is not a domain name such as 'example.com'")
    return name


def _is_number(label: str) -> bool:
    """Tell whether programs would take a name that ends so for an IPv4 address, as ``127.1`` and ``0x7f000001``."""
    return label.isdigit() or re.fullmatch(r"0x[0-9a-f]*", label) is not None

"""The OpenAPI document as one page for people: plain HTML, no script, nothing loaded from anywhere."""

import json
from collections.abc import Iterable
from html import escape
from typing import Any, Final

from atoll.api.openapi import Document

_STYLE: Final = """
:root { color-scheme: light dark; --line: #8884; --soft: #8882; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
code, pre { font: 14px/1.45 ui-monospace, monospace; }
pre { background: var(--soft); padding: .8rem; overflow-x: auto; border-radius: 6px; }
details { border: 1px solid var(--line); border-radius: 6px; margin: .5rem 0; padding: .4rem .8rem; }
summary { cursor: pointer; }
.method { display: inline-block; width: 4.2rem; font-weight: 700; }
.path { font-family: ui-monospace, monospace; }
.note { opacity: .75; }
table { border-collapse: collapse; width: 100%; }
td, th { text-align: left; vertical-align: top; border-top: 1px solid var(--line); padding: .3rem .6rem .3rem 0; }
"""


def render_page(document: Document) -> bytes:
    """Give the page."""
    info = document["info"]
    schemas = document["components"]["schemas"]
    parts = [
        "<!doctype html><html lang=en><head><meta charset=utf-8>",
        "<meta name=viewport content='width=device-width, initial-scale=1'>",
        f"<title>{escape(info['title'])} API</title><style>{_STYLE}</style></head><body>",
        f"<h1>{escape(info['title'])} <small>{escape(info['version'])}</small></h1>",
        f"<p>{_text(info['description'])}</p>",
        "<p>Send your key as <code>Authorization: Bearer …</code> or <code>api-key: …</code>. ",
        "The same for programs: <a href='openapi.json'>openapi.json</a>.</p>",
        *_operations(document),
        "<h2>Types</h2>",
        *(_schema(name, schema) for name, schema in sorted(schemas.items())),
        "</body></html>",
    ]
    return "\n".join(parts).encode("utf-8")


def _operations(document: Document) -> Iterable[str]:
    tags: dict[str, list[tuple[str, str, dict[str, Any]]]] = {}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            tags.setdefault(operation["tags"][0], []).append((path, method, operation))
    for tag, entries in tags.items():
        yield f"<h2>{escape(tag)}</h2>"
        for path, method, operation in entries:
            yield _operation(path, method, operation)


def _operation(path: str, method: str, operation: dict[str, Any]) -> str:
    parts = [
        f"<details id='{escape(operation['operationId'])}'><summary><span class=method>{method.upper()}</span>",
        f"<span class=path>{escape(path)}</span> <span class=note>{escape(operation['summary'])}</span></summary>",
    ]
    if "description" in operation:
        parts.append(f"<p>{_text(operation['description'])}</p>")
    if "parameters" in operation:
        rows = [
            (item["name"], item["in"], _kind(item["schema"]), item.get("description", ""))
            for item in operation["parameters"]
        ]
        parts.append(_table(("parameter", "in", "type", ""), rows))
    if "requestBody" in operation:
        parts += [_content("Body", operation["requestBody"]["content"])]
    rows = [
        (status, " ".join(response.get("content", {})), _kinds(response), response["description"])
        for status, response in operation["responses"].items()
    ]
    parts += [_table(("status", "content", "type", ""), rows), "</details>"]
    return "".join(parts)


def _content(title: str, content: dict[str, Any]) -> str:
    rows = [(media_type, _kind(entry["schema"])) for media_type, entry in content.items()]
    return _table((title, "type"), rows)


def _table(heads: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    head = "".join(f"<th>{escape(text)}</th>" for text in heads)
    body = "".join(
        "<tr>" + "".join(f"<td>{cell if cell.startswith('<a ') else _text(cell)}</td>" for cell in row) + "</tr>"
        for row in rows
    )
    return f"<table><tr>{head}</tr>{body}</table>"


def _kinds(response: dict[str, Any]) -> str:
    kinds = (_kind(entry["schema"]) for entry in response.get("content", {}).values())
    return next((kind for kind in kinds if kind), "")


def _kind(schema: dict[str, Any]) -> str:
    """Name a schema in a few words, as a link when it has a name of its own."""
    if "$ref" in schema:
        name = escape(schema["$ref"].rsplit("/", 1)[-1])
        return f"<a href='#type-{name}'>{name}</a>"
    if "contentSchema" in schema.get("properties", {}).get("data", {}):
        return "events"
    if "properties" in schema:
        return "form: " + ", ".join(
            name + ("" if name in schema.get("required", ()) else "?") for name in schema["properties"]
        )
    if "enum" in schema:
        return " | ".join(f"`{value}`" for value in schema["enum"])
    bounds = f" {schema['minimum']}..{schema['maximum']}" if {"minimum", "maximum"} <= schema.keys() else ""
    return str(schema.get("type", "")) + bounds


def _schema(name: str, schema: dict[str, Any]) -> str:
    text = json.dumps({key: value for key, value in schema.items() if key != "title"}, indent=2)
    return (
        f"<details id='type-{escape(name)}'><summary><code>{escape(name)}</code></summary>"
        f"<pre>{escape(text)}</pre></details>"
    )


def _text(text: str) -> str:
    """Escape, and set what stands in backticks as code."""
    return "".join(
        f"<code>{escape(piece)}</code>" if index % 2 else escape(piece) for index, piece in enumerate(text.split("`"))
    )

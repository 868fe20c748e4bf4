"""The HTTP surface: requests in, one service call, answers out.

A request passes ``edge`` (ids, headers, counting, the last resort), Litestar's router, ``auth`` (a guard), and then
one handler in ``routes``. A handler reads its body (``body``, ``multipart``) or query (``query``, ``paging``) into
values of ``atoll.model``, calls one service, and answers with a struct of ``wire``, with bytes (``content``) or with
server-sent events (``sse``). Whatever is raised on the way becomes an answer in ``errors``, by one table.
"""

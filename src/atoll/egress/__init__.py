"""The only way out of a sandbox with an allowlist: an unprivileged process of its own.

The supervisor opens listening sockets inside a sandbox's network namespace, where every address is the sandbox's own,
and hands them over with the sandbox's policy (``handover``). Each sandbox has a ``gate`` here:

- ``name_server`` answers its DNS queries: an allowed name gets an address that stands for it (``address_pool``), any
  other does not exist. No query goes anywhere.
- ``connection`` decides about one TCP connection: by the name that its address stands for, and by the TLS hello
  (``tls_hello``) or the HTTP requests (``http_relay``) in it; then ``dialling`` resolves the name, leaves out every
  address that is not public (``public_addresses``), connects to one that it has looked at, and ``relay`` copies bytes.
- For the domain of a secret ``opened_relay`` ends TLS, so that ``substitution`` can put its value into requests:
  ``http_relay`` for HTTP/1.1, ``http2_relay`` for HTTP/2 with an ``http2_peer`` to each side.
- ``bounds``, ``buffers`` and ``crowd`` keep one sandbox from taking the others' part.
- ``audit`` notes each decision; ``feed`` tells them to the server.

What decides is pure: values in, values out. ``main`` is the process.
"""

"""The one privileged process, and the server's way to it.

``main.run`` is the process: it gives itself a mount namespace of its own, takes up what runs (``runtime.oci.engine``)
and serves a small fixed set of requests (``wire``) on a Unix socket (``server``) to the one user it was told to serve.
``client.SupervisorClient`` is the other end: the ``Runtime`` that the rest of the house uses. No byte of code, output
or file passes through here: ``dial`` hands over a connected socket.
"""

"""The commands that touch this machine: starting and ending Atoll, its keys, its images, its settings.

``atoll serve`` is a small *launcher* (``launcher``). It holds the instance's lock (``instance_lock``), prepares the
folders (``folders``), takes the port, and starts two children (``child``): as root the supervisor, and the server,
which becomes an ordinary system user (``system_user``) before it reads its first request. Either is started again
when it dies. All three end together; sandboxes live on.

The commands that only speak HTTP are ``atoll.cli``'s; ``main`` joins both.
"""

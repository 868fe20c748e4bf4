"""Sandboxes behind the kernel's own walls, made by an OCI runtime (runc, crun) from one OCI spec.

``engine`` makes, finds and ends them; everything else here is one part of that work. The pure parts decide
(``spec``, ``seccomp``, ``admission``, ``slots``, ``record``), the acting ones touch the kernel (``system_calls``,
``loop_device``, ``disk``, ``rootfs``, ``cgroup``, ``init_process``, ``oci_binary``). All of it runs as root, in the
supervisor, and never reads a byte that a sandbox wrote.
"""

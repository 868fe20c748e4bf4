"""The host's side of the guest protocol: every word of the agent is bounded and checked before anyone sees it.

A sandbox is hostile, and so is the agent once people's code has had a chance at it. The way of a call:
``client`` dials and sends the request; ``exchange`` cuts the answer into frames within deadlines; a reader
(``python``, ``shell``, ``files``) checks order, counts, types and sizes and gives values; the call ends with exactly
one final value or with one of ``errors``.
"""

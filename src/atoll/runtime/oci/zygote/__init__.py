"""Zygotes: a preloaded Python for each image, from which agents are forked into sandboxes.

``keeper`` has one ready for the image that new sandboxes are made of and says when there is none; ``process`` is one
of them; ``birth`` is one fork, and looks at it from outside before it is believed. ``namespace_maker`` makes the user
namespaces that forks may enter, ``bpf`` the filter that they load, ``account`` finds whom all of them run as.
"""

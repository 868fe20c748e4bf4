"""The command line: everything here speaks the public HTTP API and nothing else.

``app`` holds the commands; each noun or verb has its module. ``connection`` finds the server and the key and turns
every failure into one line on stderr. What a container says is hostile: ``terminal`` takes the teeth out of it.
"""

"""The guest agent: what runs inside every sandbox.

Standard library only (the Python child also uses the image's IPython), because the image's Python runs it. The
host imports ``atoll.guest.protocol`` and nothing else of this package.
"""

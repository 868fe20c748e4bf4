"""Bytes of uploaded files, by the file's id, in a local folder or any object store."""

"""Rows: what Atoll knows about containers, files, projects and keys.

``database.Database`` runs pieces of work, each a transaction of its own; the modules named after a noun hold the
queries. They take and give values of ``atoll.model``. SQLite and PostgreSQL run the same code. Nothing in here
talks to a sandbox or to the blobs, so no transaction ever waits for one.
"""

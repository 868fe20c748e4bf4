"""Scripts that measure what Atoll promises, over HTTP, with failures counted and results written to files."""

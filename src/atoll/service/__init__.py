"""The use cases, one file a noun: the only code that changes what Atoll keeps.

A service takes and gives values of ``atoll.model`` and raises ``atoll.model.errors``; it knows neither HTTP nor how
a sandbox is made. ``app.open_services`` puts all of them together.
"""

"""The nouns of Atoll as frozen values.

Everything else in the project imports from here and nothing here imports anything of the project: a value in
this package knows neither HTTP nor SQL nor namespaces.
"""

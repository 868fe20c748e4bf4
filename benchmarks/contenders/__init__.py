"""What `compare.py` holds against each other: Atoll and what people would otherwise pick, one module each.

A contender says whether it can run on this machine and why not (`why_not`), is opened once, starts isolated Pythons
and gets the output of a first piece of code (`start`), and ends everything that it has started. What cannot be had
is said, never made up.
"""

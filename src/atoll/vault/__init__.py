"""Domain secrets at rest, and the authorities that let the egress process see where they are to go.

Everything follows from one key, which lives in a file beside the database and never in it: ``sealing`` encrypts values
with it, ``authority`` derives each sandbox's own certificate authority from it, so that neither has to be stored.
"""

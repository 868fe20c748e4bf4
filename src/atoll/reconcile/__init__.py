"""What puts right, again and again, what time and crashes leave behind.

Each reconciler is a function that looks at what is there and needs no other input; running it once more does no harm.
``loop`` runs all of them, on timers and when a service signals that there is something to do.
"""

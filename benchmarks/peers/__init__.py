"""Programs that run in the peers' own Python; nothing of the project imports them, and they import nothing of it."""

"""What makes sandboxes: one contract, several runtimes behind it."""

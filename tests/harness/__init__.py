"""What tests of a running Atoll share: a real server, a thin HTTP client, and a look at the machine around it."""

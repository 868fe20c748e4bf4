"""Steps from one shape of the tables to the next; the server takes the missing ones when it starts."""

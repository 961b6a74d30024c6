"""HTTP, sockets, the command line, settings and processes: the ways to reach taskql."""

"""How it is reached: HTTP, command line, settings, processes."""

"""`python -m api` is the command `taskql`."""

from api.cli import main

main()

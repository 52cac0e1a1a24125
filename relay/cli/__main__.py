"""Runs the command line as `python -m relay.cli`, which is how `relay dev` starts its parts."""

from relay.cli import main

if __name__ == "__main__":
    main()

"""The program ``clary``: nothing is imported before a Ctrl-C gets one line instead of a traceback."""

import sys


def main() -> None:
    try:
        from clary.cli.main import main as run

        run()
    # While modules are loaded; once a verb runs, cli.main sees to it.
    except KeyboardInterrupt:
        sys.stderr.write("clary: stopped\n")
        sys.exit(130)


if __name__ == "__main__":
    main()

"""The entry of the ``gradscope`` command. ``--version`` is answered before anything is imported."""

import sys


def main() -> None:
    """Run the command line and leave with its exit code."""
    if sys.argv[1:] == ["--version"]:
        from gradscope import __version__

        sys.stdout.write(f"gradscope {__version__}\n")
        sys.exit(0)
    from gradscope.cli.app import run

    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()

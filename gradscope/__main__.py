"""The entry of the ``gradscope`` command. ``--version`` is answered before anything is imported."""

import sys

EXIT_INTERRUPTED = 130


def main() -> None:
    """Run the command line and leave with its exit code."""
    if sys.argv[1:] == ["--version"] and sys.stdout is not None and _show_version():
        sys.exit(0)
    try:
        from gradscope.cli.app import run
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)
    sys.exit(run(sys.argv[1:]))


def _show_version() -> bool:
    """Write the version; False where stdout cannot take it, which ``run`` then explains."""
    from gradscope import __version__

    try:
        sys.stdout.write(f"gradscope {__version__}\n")
        sys.stdout.flush()
    except OSError:
        return False
    return True


if __name__ == "__main__":
    main()

"""The generated part of the README: ``python -m tests.readme`` checks it, ``--write`` renews it."""

import os
import subprocess
import sys
from pathlib import Path

TOP = Path(__file__).parents[1]
README = TOP / "README.md"
BEGIN, END = "<!-- help:begin (make docs) -->\n", "<!-- help:end -->"


def help_page(*arguments: str) -> str:
    """Return what ``gradscope ARGUMENTS --help`` prints in a plain terminal of 80 columns."""
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("GRADSCOPE_")},
        "COLUMNS": "80",
        "NO_COLOR": "1",
        "TERM": "dumb",
        "PYTHONIOENCODING": "utf-8",
    }
    done = subprocess.run(
        [sys.executable, "-m", "gradscope", *arguments, "--help"],
        cwd=TOP,
        env=environment,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=True,
    )
    return done.stdout.strip()


def renewed(text: str) -> str:
    """Return the README with the list of commands as ``gradscope --help`` prints it now."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n```text\n{help_page()}\n```\n\n{END}{after}"


def main() -> int:
    """Check or renew the README."""
    text = README.read_text(encoding="utf-8")
    new = renewed(text)
    if "--write" in sys.argv:
        README.write_text(new, encoding="utf-8")
    elif new != text:
        sys.stderr.write("the README's list of commands is out of date; run make docs\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""The help pages inside the README: ``python -m tests.readme`` checks them, ``--write`` renews."""

import os
import subprocess
import sys
from pathlib import Path

TOP = Path(__file__).parents[1]
README = TOP / "README.md"
BEGIN, END = "<!-- help:begin (make docs) -->\n", "<!-- help:end -->"
COMMANDS = (
    "",
    "analyze",
    "compare",
    "train",
    "spectrum",
    "sweep",
    "export",
    "report",
    "merge",
    "check",
    "show-config",
)


def help_page(command: str) -> str:
    """Return what ``gradscope COMMAND --help`` prints in a plain terminal of 80 columns."""
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("GRADSCOPE_")},
        "COLUMNS": "80",
        "NO_COLOR": "1",
        "TERM": "dumb",
        "PYTHONIOENCODING": "utf-8",
    }
    arguments = [sys.executable, "-m", "gradscope", *command.split(), "--help"]
    done = subprocess.run(
        arguments, cwd=TOP, env=environment, capture_output=True, text=True, check=True
    )
    return "\n".join(line.rstrip() for line in done.stdout.strip().splitlines())


def help_section() -> str:
    """Return the help pages of all commands, as Markdown."""
    pages = []
    for command in COMMANDS:
        typed = f"gradscope {command}".strip()
        pages.append(f"```text\n$ {typed} --help\n{help_page(command)}\n```\n")
    return "\n" + "\n".join(pages) + "\n"


def renewed(text: str) -> str:
    """Return the README with its help pages as the commands print them now."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return before + BEGIN + help_section() + END + after


def main() -> int:
    """Check or renew the README."""
    text = README.read_text(encoding="utf-8")
    new = renewed(text)
    if "--write" in sys.argv:
        README.write_text(new, encoding="utf-8")
    elif new != text:
        sys.stderr.write("the README's help pages are not those of the commands; run make docs\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

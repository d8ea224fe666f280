"""``gradscope explain``: the lessons, a saved run's verdict, and every term of a report."""

from pathlib import Path
from typing import Annotated, Any

import typer

from gradscope.cli.command import takes_place
from gradscope.cli.help import Command, CommandGroup
from gradscope.cli.options import DATA, EXECUTION, MODEL, TRAINING
from gradscope.cli.output import Place, prepare_files, require_stdout, show
from gradscope.names import ActivationName

EXAMPLES = """\
gradscope explain bptt --steps 3
gradscope explain verdict run.npz
gradscope explain memory horizon
"""

HELP = "Teach with numbers: backprop, bptt, vanishing, the verdict of a run, or any term."


class Topics(CommandGroup):
    """The topics of ``explain``: nothing named lists them, any other word is a term."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put ``topics`` first where no topic was named."""
        if not args or (args[0].startswith("-") and args[0] not in ("-h", "--help")):
            args = ["topics", *args]
        return super().parse_args(ctx, args)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Take a word that is no topic, with all that follows, as a term."""
        return super().resolve_command(ctx, args if args[0] in self.commands else ["term", *args])


topics_app = typer.Typer(cls=Topics, rich_markup_mode="rich")

Steps = Annotated[int, typer.Option("--steps", help="Steps T.", rich_help_panel=DATA, metavar="N")]
Units = Annotated[
    int, typer.Option("--hidden", help="Hidden units H.", rich_help_panel=MODEL, metavar="N")
]
Seed = Annotated[
    int,
    typer.Option(
        "--seed", help="Source of every random draw.", rich_help_panel=EXECUTION, metavar="N"
    ),
]
Phi = Annotated[
    ActivationName,
    typer.Option(
        "--activation",
        help=f"The nonlinearity φ: {', '.join(ActivationName)}.",
        rich_help_panel=MODEL,
        metavar="WORD",
    ),
]
Gain = Annotated[
    float, typer.Option("--gain", help="Factor on W.", rich_help_panel=MODEL, metavar="X")
]
Leaf = Annotated[float, typer.Option(help="A leaf of f = (x − y) z.", metavar="X")]
Rate = Annotated[
    float,
    typer.Option("--learning-rate", help="Learning rate η.", rich_help_panel=TRAINING, metavar="X"),
]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.add_typer(topics_app, name="explain", help=HELP, epilog=EXAMPLES)


def _prepare(place: Place) -> None:
    if place.to_stdout:
        require_stdout()
    prepare_files((place.output,), force=place.force)


@topics_app.command("topics", cls=Command)
@takes_place
def topics(place: Place) -> None:
    """List all topics and terms."""
    _prepare(place)
    from gradscope.explain.pages.terms import topics_document, topics_page, topics_table

    show(place, topics_page, topics_document, topics_table)


@topics_app.command("term", cls=Command)
@takes_place
def term(
    place: Place,
    name: Annotated[list[str], typer.Argument(help="A word of a report.", metavar="TERM")],
) -> None:
    """Explain a term: definition, formula, how to read it, source."""
    _prepare(place)
    from gradscope.explain.glossary import find_term
    from gradscope.explain.pages.terms import term_document, term_page, term_table

    found = find_term(" ".join(name))
    show(
        place,
        lambda screen: term_page(found, screen),
        lambda: term_document(found),
        lambda: term_table(found),
    )


@topics_app.command("backprop", cls=Command)
@takes_place
def backprop(
    place: Place, x: Leaf = 4.0, y: Leaf = 1.0, z: Leaf = 3.0, learning_rate: Rate = 0.1
) -> None:
    """Walk through the graph f = (x − y) z: forward, backward, one step downhill."""
    _prepare(place)
    from gradscope.explain.backprop import backprop_lesson
    from gradscope.explain.documents import backprop_document, backprop_table
    from gradscope.explain.pages.backprop import backprop_answer, backprop_sections
    from gradscope.explain.pages.page import lesson_page

    lesson = backprop_lesson(x, y, z, learning_rate)
    show(
        place,
        lambda screen: lesson_page(backprop_answer(lesson), backprop_sections(lesson), screen),
        lambda: backprop_document(lesson),
        lambda: backprop_table(lesson),
    )


@topics_app.command("bptt", cls=Command)
@takes_place
def bptt(
    place: Place,
    steps: Steps = 3,
    hidden: Units = 2,
    activation: Phi = ActivationName.TANH,
    seed: Seed = 0,
) -> None:
    """Take ∂E_T/∂V, ∂E_T/∂W and ∂E_T/∂U of a small RNN apart, term by term."""
    _prepare(place)
    from gradscope.explain.bptt import draw_bptt_lesson
    from gradscope.explain.documents import bptt_document, bptt_table
    from gradscope.explain.pages.bptt import bptt_answer, bptt_sections
    from gradscope.explain.pages.page import lesson_page

    settings = {"steps": steps, "hidden": hidden, "activation": str(activation), "seed": seed}
    lesson = draw_bptt_lesson(steps, hidden, activation, seed)
    show(
        place,
        lambda screen: lesson_page(bptt_answer(lesson), bptt_sections(lesson), screen),
        lambda: bptt_document(lesson, settings),
        lambda: bptt_table(lesson),
    )


@topics_app.command("vanishing", cls=Command)
@takes_place
def vanishing(
    place: Place, steps: Steps = 600, hidden: Units = 8, gain: Gain = 1.0, seed: Seed = 0
) -> None:
    """Multiply the Jacobians, tanh against sigmoid, factor by factor beside the bound."""
    _prepare(place)
    from gradscope.explain.documents import vanishing_document, vanishing_table
    from gradscope.explain.pages.page import lesson_page
    from gradscope.explain.pages.vanishing import vanishing_answer, vanishing_sections
    from gradscope.explain.vanishing import product_lessons

    settings = {"steps": steps, "hidden": hidden, "gain": gain, "seed": seed}
    lessons = product_lessons(steps, hidden, gain, seed)
    show(
        place,
        lambda screen: lesson_page(vanishing_answer(lessons), vanishing_sections(lessons), screen),
        lambda: vanishing_document(lessons, settings),
        lambda: vanishing_table(lessons),
    )


@topics_app.command("verdict", cls=Command)
@takes_place
def verdict(
    place: Place,
    run: Annotated[
        Path, typer.Argument(help="A run (.npz) or an analysis (.json).", metavar="RUN")
    ],
) -> None:
    """Say how each number of a saved run was reached."""
    _prepare(place)
    from gradscope.explain.documents import verdict_document, verdict_table
    from gradscope.explain.pages.page import lesson_page
    from gradscope.explain.pages.verdict import verdict_answer, verdict_sections
    from gradscope.explain.verdict import verdict_lesson

    lesson = verdict_lesson(run)
    show(
        place,
        lambda screen: lesson_page(verdict_answer(lesson), verdict_sections(lesson), screen),
        lambda: verdict_document(lesson),
        lambda: verdict_table(lesson),
    )

"""``gradscope explain``: lessons, a saved run's verdict, topics, and every term of a report."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gradscope.cli.command import takes_place
from gradscope.cli.help import Command, CommandGroup
from gradscope.cli.options import DATA, EXECUTION, MODEL, TRAINING
from gradscope.cli.output import Place, show
from gradscope.names import ActivationName

if TYPE_CHECKING:
    from gradscope.explain.pages.page import Page
    from gradscope.report.formats import Document

EXAMPLES = """\
gradscope explain bptt --steps 3
gradscope explain verdict run.npz
gradscope explain memory horizon
gradscope explain store
"""

HELP = "Teach with numbers: lessons, the verdict of a run, a sweep's store, clusters, any term."


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


def _option(flag: str, text: str, panel: str, metavar: str = "N") -> Any:
    return typer.Option(flag, help=text, rich_help_panel=panel, metavar=metavar)


PHI = f"The nonlinearity φ: {', '.join(ActivationName)}."
Steps = Annotated[int, _option("--steps", "Steps T.", DATA)]
Units = Annotated[int, _option("--hidden", "Hidden units H.", MODEL)]
Seed = Annotated[int, _option("--seed", "Source of every random draw.", EXECUTION)]
Phi = Annotated[ActivationName, _option("--activation", PHI, MODEL, "WORD")]
Gain = Annotated[float, _option("--gain", "Factor on W.", MODEL, "X")]
Leaf = Annotated[float, typer.Option(help="A leaf of f = (x − y) z.", metavar="X")]
Rate = Annotated[float, _option("--learning-rate", "Learning rate η.", TRAINING, "X")]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.add_typer(topics_app, name="explain", help=HELP, epilog=EXAMPLES)


def _show_lesson(place: Place, page: "Page", document: "Document") -> None:
    show(place, page.render, lambda: document)


@topics_app.command("topics", cls=Command)
@takes_place
def topics(place: Place) -> None:
    """List all lessons, topics and terms."""
    place.prepare()
    from gradscope.explain.glossary import TERMS
    from gradscope.explain.pages.reference import listing_document, listing_page, terms_table

    show(place, listing_page().render, listing_document, lambda: terms_table(*TERMS))


@topics_app.command("term", cls=Command)
@takes_place
def term(
    place: Place,
    name: Annotated[list[str], typer.Argument(help="A word of a report.", metavar="TERM")],
) -> None:
    """Explain a term: definition, formula, how to read it, source."""
    place.prepare()
    from gradscope.explain.glossary import find_term
    from gradscope.explain.pages.reference import term_document, term_page, terms_table

    found = find_term(" ".join(name))
    page = term_page(found)
    show(place, page.render, lambda: term_document(found), lambda: terms_table(found))


@topics_app.command("store", cls=Command)
@takes_place
def store(place: Place) -> None:
    """Describe a sweep's store: tables, columns, queries (sqlite3, pandas, datasette)."""
    place.prepare()
    from gradscope.explain.pages.reference import columns_table, topic_document, topic_page

    show(place, topic_page("store").render, lambda: topic_document("store"), columns_table)


@topics_app.command("cluster", cls=Command)
@takes_place
def cluster(place: Place) -> None:
    """Run many analyses: xargs, GNU parallel, SLURM, dask; shards and merge."""
    place.prepare()
    from gradscope.explain.pages.reference import topic_document, topic_page

    _show_lesson(place, topic_page("cluster"), topic_document("cluster"))


@topics_app.command("backprop", cls=Command)
@takes_place
def backprop(
    place: Place, x: Leaf = 4.0, y: Leaf = 1.0, z: Leaf = 3.0, learning_rate: Rate = 0.1
) -> None:
    """Walk through the graph f = (x − y) z: forward, backward, one step downhill."""
    place.prepare()
    from gradscope.explain.backprop import backprop_lesson
    from gradscope.explain.pages.backprop import backprop_page

    lesson = backprop_lesson(x, y, z, learning_rate)
    _show_lesson(place, backprop_page(lesson), lesson.document())


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
    place.prepare()
    from gradscope.explain.bptt import draw_bptt_lesson
    from gradscope.explain.pages.bptt import bptt_page

    settings = {"steps": steps, "hidden": hidden, "activation": str(activation), "seed": seed}
    lesson = draw_bptt_lesson(steps, hidden, activation, seed)
    _show_lesson(place, bptt_page(lesson), lesson.document(settings))


@topics_app.command("vanishing", cls=Command)
@takes_place
def vanishing(
    place: Place, steps: Steps = 600, hidden: Units = 8, gain: Gain = 1.0, seed: Seed = 0
) -> None:
    """Multiply the Jacobians, tanh against sigmoid, factor by factor beside the bound."""
    place.prepare()
    from gradscope.explain.pages.vanishing import vanishing_page
    from gradscope.explain.vanishing import product_lessons, vanishing_document

    settings = {"steps": steps, "hidden": hidden, "gain": gain, "seed": seed}
    lessons = product_lessons(steps, hidden, gain, seed)
    _show_lesson(place, vanishing_page(lessons), vanishing_document(lessons, settings))


@topics_app.command("verdict", cls=Command)
@takes_place
def verdict(
    place: Place,
    run: Annotated[Path, typer.Argument(help="A saved run (.npz).", metavar="RUN")],
) -> None:
    """Say how each number of a saved run was reached."""
    place.prepare()
    from gradscope.explain.pages.verdict import verdict_page
    from gradscope.explain.verdict import verdict_lesson

    lesson = verdict_lesson(run)
    _show_lesson(place, verdict_page(lesson), lesson.document())

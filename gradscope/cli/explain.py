"""``gradscope explain``: lessons, a saved run's verdict, topics, and every term of a report."""

from collections.abc import Callable
from functools import partial, wraps
from inspect import Parameter, signature
from pathlib import Path
from typing import Annotated, Any

import typer

from gradscope.cli.command import takes_place
from gradscope.cli.help import Command, CommandGroup
from gradscope.cli.options import DATA, EXECUTION, MODEL, TRAINING, Figure, Html, option
from gradscope.cli.output import Place, show, write_figures, write_file
from gradscope.names import ActivationName

Answer = tuple[Any, dict[str, Any], Any]
"""What a topic says: a page, a document, and columns with rows, None for a text, or a lesson."""


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


explain = typer.Typer(
    cls=Topics,
    help="Lessons with numbers, the verdict of a run, a sweep's store, clusters, any term.",
    rich_markup_mode="rich",
)


SHOWN = {"show_default": True}
PHI = f"The nonlinearity φ: {', '.join(ActivationName)}."
Steps = Annotated[int, option("--steps", "Steps T.", DATA, "N", **SHOWN)]
Units = Annotated[int, option("--hidden", "Hidden units H.", MODEL, "N", **SHOWN)]
Seed = Annotated[int, option("--seed", "Seed of all random numbers.", EXECUTION, "N", **SHOWN)]
Phi = Annotated[ActivationName, option("--activation", PHI, MODEL, "WORD", **SHOWN)]
Gain = Annotated[float, option("--gain", "Factor on W.", MODEL, "X", **SHOWN)]
Leaf = Annotated[float, typer.Option(help="A leaf of f = (x − y) z.", metavar="X")]
Rate = Annotated[float, option("--learning-rate", "Learning rate η.", TRAINING, "X", **SHOWN)]


def _topic(answer: Callable[..., Answer], **drawn: Any) -> None:
    """Make a topic of a function that answers it; of a lesson, with the options that draw it."""

    @wraps(answer)
    def command(
        place: Place, png: list[Path] | None = None, html: Path | None = None, **options: Any
    ) -> None:
        place.prepare(html, figures=png)
        page, document, table = answer(**options)
        rows = None if table is None or drawn else lambda: table
        show(place, (), page.render, lambda: document, rows)
        if png or html:
            from gradscope.explain.shown import lesson_file

            made_by = {name.replace("_", "-"): value for name, value in options.items()}
            made_by = {"command": f"explain {answer.__name__}", **made_by}
            draw = partial(lesson_file, page, table, made_by)
            write_figures(place, png, draw)
            if html:
                write_file(html, draw(".html"), force=place.force)

    own = signature(answer)
    more = [Parameter(n, Parameter.KEYWORD_ONLY, default=None, annotation=drawn[n]) for n in drawn]
    vars(command)["__signature__"] = own.replace(parameters=[*own.parameters.values(), *more])
    command.__annotations__ = {**answer.__annotations__, **drawn}
    explain.command(answer.__name__, cls=Command)(takes_place(command))


_lesson = partial(_topic, png=Figure, html=Html)


@_topic
def topics() -> Answer:
    """List all lessons, topics and terms."""
    from gradscope.explain.glossary import listing

    return listing()


@_topic
def term(
    name: Annotated[list[str], typer.Argument(help="A term used in a report.", metavar="TERM")],
) -> Answer:
    """Explain a term: definition, formula, how to read it, source."""
    from gradscope.explain.glossary import term_answer

    return term_answer(" ".join(name))


@_topic
def store() -> Answer:
    """Describe a sweep's store: tables, columns, queries (sqlite3, pandas, datasette)."""
    from gradscope.explain.glossary import topic

    return topic("store")


@_topic
def cluster() -> Answer:
    """Run many analyses: xargs, GNU parallel, SLURM, dask; shards and merge."""
    from gradscope.explain.glossary import topic

    return topic("cluster")


@_topic
def integrations() -> Answer:
    """Watch a training: PyTorch, loggers, Lightning, Hugging Face, Optuna, pytest."""
    from gradscope.explain.glossary import topic

    return topic("integrations")


@_lesson
def backprop(x: Leaf = 4.0, y: Leaf = 1.0, z: Leaf = 3.0, learning_rate: Rate = 0.1) -> Answer:
    """Walk through the graph f = (x − y) z: forward, backward, one step downhill."""
    from gradscope.explain.backprop import backprop_lesson, backprop_page

    lesson = backprop_lesson(x, y, z, learning_rate)
    return backprop_page(lesson), lesson.document(), lesson


@_lesson
def bptt(
    steps: Steps = 3, hidden: Units = 2, activation: Phi = ActivationName.TANH, seed: Seed = 0
) -> Answer:
    """Take ∂E_T/∂V, ∂E_T/∂W and ∂E_T/∂U of a small RNN apart, term by term."""
    from gradscope.explain.bptt import bptt_page, draw_bptt_lesson

    settings = {"steps": steps, "hidden": hidden, "activation": str(activation), "seed": seed}
    lesson = draw_bptt_lesson(steps, hidden, activation, seed)
    return bptt_page(lesson), lesson.document(settings), lesson


@_lesson
def vanishing(steps: Steps = 600, hidden: Units = 8, gain: Gain = 1.0, seed: Seed = 0) -> Answer:
    """Multiply the Jacobians, tanh against sigmoid, factor by factor beside the bound."""
    from gradscope.explain.vanishing import product_lessons, vanishing_document, vanishing_page

    settings = {"steps": steps, "hidden": hidden, "gain": gain, "seed": seed}
    lessons = product_lessons(steps, hidden, gain, seed)
    return vanishing_page(lessons), vanishing_document(lessons, settings), lessons


@_topic
def verdict(
    run: Annotated[Path, typer.Argument(help="A saved run (.npz).", metavar="RUN")],
) -> Answer:
    """Say how each number of a saved run was reached."""
    from gradscope.explain.verdict import verdict_lesson, verdict_page

    lesson = verdict_lesson(run)
    return verdict_page(lesson), lesson.document(), None

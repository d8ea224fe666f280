"""Pages of many networks: of a comparison, of a trial of remedies, of a store of a sweep."""

from collections.abc import Mapping
from typing import Any

from gradscope.analysis.results import Comparison
from gradscope.remedy.trial import Trial
from gradscope.report.documents.networks import comparison_numbers, store_numbers
from gradscope.report.documents.page import table
from gradscope.report.documents.remedy import trial_made_by, trial_rows, winner_command
from gradscope.report.documents.rows import comparison_made_by, median_rows
from gradscope.report.documents.sweep import group_rows
from gradscope.report.figures import sweep_axes
from gradscope.report.html import bullet_list, figure, html_table, whole_page
from gradscope.report.terminal import remedy as trial_words
from gradscope.report.words import headline as words
from gradscope.sweep.query import Rows as StoreRows
from gradscope.sweep.summary import Summary, grid_of_values, shared_settings

WORDS = {
    "trial": ("By change", "Held-out error in parts of the baseline's, each seed a dot."),
    "reach": (
        "How far each reaches",
        "A bar to the median horizon, a dot per seed, a line: needed.",
    ),
    "profiles": ("How much arrives, by lag", "Of the one pointed at above: its median."),
}
"""Title of each figure, and how to read it."""


def trial_html(trial: Trial) -> str:
    """Return what came of a trial as HTML."""
    command = winner_command(trial)
    sections = {
        "whether": ("Errors", [figure("trial", *WORDS["trial"])]),
        "ranking": ("Ranking", html_table(trial_words.TITLES, trial_words.trial_table(trial))),
        "left": ("Not tried", bullet_list(trial_words.not_tried(trial))),
        "use": ("Use it", bullet_list([""], [command]) if command else ""),
        "decision": ("How it was decided", bullet_list(trial_words.decision(trial))),
    }
    numbers = {"tables": {"trial": table(*trial_rows(trial))}}
    heads = trial_words.trial_answer(trial), trial_words.trial_about(trial)
    settings = trial.plan.settings.as_dict()
    return whole_page(*heads, settings, trial_made_by(trial), sections, numbers)


def comparison_html(comparison: Comparison) -> str:
    """Return how far each network of a comparison reaches, and the profile pointed at, as HTML."""
    sections = {
        "whether": ("Reach", [figure(name, *WORDS[name]) for name in ("reach", "profiles")]),
        "numbers": ("In numbers", html_table(*median_rows(comparison))),
    }
    heads = words.comparison_headline(comparison), words.seeds_of(comparison)
    settings, made_by = comparison.analyses[0].settings.as_dict(), comparison_made_by(comparison)
    return whole_page(*heads, settings, made_by, sections, comparison_numbers(comparison))


def store_html(rows: StoreRows, summary: Summary, made_by: Mapping[str, Any]) -> str:
    """Return a phase diagram of the rate for each network of a store, and the profile of the cell
    pointed at, as HTML; SettingError where there are no two swept settings.
    """
    x, y = (each and each.replace("-", "_") for each in (made_by["x"], made_by["y"]))
    grid = grid_of_values(rows, x, y, "rate_nats_per_step")
    reading = "Growth, median: blue −0.5 nats per step or less, white 0, orange 0.5 or more."
    panels = [figure("phase", each, reading, of=each) for each in grid.panels]
    panels.append(figure("profiles", *WORDS["profiles"]))
    sections = {
        "whether": ("Where gradients vanish or explode", panels),
        "numbers": ("In numbers", html_table(*group_rows(summary))),
    }
    title = sweep_axes.finding(grid.measure, grid.panels, grid.x, grid.y, medians=grid.mixed)
    settings = shared_settings(rows)
    about = sweep_axes.subtitle(f"{len(rows.values)} cells", settings)
    made_by = {**made_by, "kind": "phase"}
    return whole_page(title, about, settings, made_by, sections, store_numbers(rows, grid))

"""How each number of a saved run's verdict was reached, measured again from the file."""

import math
from dataclasses import asdict, dataclass
from pathlib import Path

from gradscope.analysis.analyze import analyze
from gradscope.analysis.archive import settings_of_saved
from gradscope.analysis.fields import ZERO_PRODUCT
from gradscope.analysis.results import Stage
from gradscope.analysis.settings import Settings
from gradscope.analysis.stage import learned_by, thresholds
from gradscope.arrays import plain
from gradscope.diagnosis.verdict import Learned, Thresholds
from gradscope.errors import ArchiveError
from gradscope.report.formats import Document, head
from gradscope.report.words.cells import has_textbook_bound


@dataclass(frozen=True, eq=False, slots=True)
class VerdictLesson:
    """A verdict with what it was made from.

    ``stage`` has the lag profile, its bound and the causes; ``rate`` is the growth rate in nats per
    step, −inf where every product is exactly zero at the end, ``bound_rate`` its bound:
    log(γ σ_max(W)) for a vanilla RNN. ``slope_ceiling`` is γ, ``log_weight_norm`` the bound less
    log γ: log σ_max(W) in nats; None where the bound has other terms.
    """

    settings: Settings
    stage: Stage
    learned: Learned | None
    thresholds: Thresholds
    rate: float
    bound_rate: float
    slope_ceiling: float
    log_weight_norm: float | None

    def document(self) -> Document:
        """Return each number of the verdict with those behind it, as JSON has them."""
        stage, norm, tail = self.stage, self.log_weight_norm, self.stage.growth.tail
        no_norm = "the bound has other terms: a leak, or gates" if norm is None else "W is zero"
        points = tail and {
            "lags": tail.lags,
            "nats": tail.log_norms,
            "sequences": tail.sequences,
            "of": tail.of,
        }
        content = {
            "stage": stage.name,
            "regime": stage.verdict.regime,
            "rate_nats_per_step": self.rate,
            "rate_between": points,
            "rate_null_because": None if tail else ZERO_PRODUCT,
            "horizon": stage.verdict.horizon,
            "required_lag": stage.verdict.required_lag,
            "causes": asdict(stage.causes),
            "bound_rate_nats_per_step": self.bound_rate,
            "log_slope_ceiling": math.log(self.slope_ceiling),
            "log_weight_norm": norm,
            "log_weight_norm_null_because": no_norm if plain(norm) is None else None,
            "error": self.learned and self.learned.error,
            "baseline": self.learned and self.learned.baseline,
            "thresholds": asdict(self.thresholds),
            # Once filled for analysis documents, which are no longer explained.
            "in_the_file": None,
        }
        return {**head("explain.verdict", self.settings.as_dict()), **plain(content)}


def verdict_lesson(path: Path) -> VerdictLesson:
    """Measure a saved run (``.npz``) again.

    Raises ArchiveError if the file cannot be read or is no saved run, SettingError if it holds
    settings outside their limits.
    """
    if path.suffix.lower() == ".json":
        raise ArchiveError(
            f"{path} holds no network to measure; give the saved run, which "
            f"gradscope rerun {path} --save run.npz writes"
        )
    settings = settings_of_saved(str(path), {})
    analysis = analyze(settings)
    stage, gamma = analysis.last, analysis.params.activation.slope_ceiling
    bound_rate = float(stage.profile.log_bound[0])
    return VerdictLesson(
        settings,
        stage,
        learned_by(stage.error, analysis.task_info),
        thresholds(settings),
        rate=stage.growth.tail.rate if stage.growth.tail else -math.inf,
        bound_rate=bound_rate,
        slope_ceiling=gamma,
        log_weight_norm=bound_rate - math.log(gamma) if has_textbook_bound(settings) else None,
    )

"""A trial whose network forgets is pruned, in a real study."""

from typing import Any

import pytest

from gradscope.watch.replay import Snapshot

torch = pytest.importorskip("torch", reason="PyTorch is what is watched")
optuna = pytest.importorskip("optuna", reason="Optuna prunes the trials")
pytestmark = pytest.mark.torch

LAG = 30


def objective(trial: Any) -> float:
    from gradscope.integrations.optuna import prune_if_forgets
    from gradscope.torch import watch

    torch.manual_seed(0)
    gain = trial.suggest_categorical("gain", [0.5, 1.0])
    model = torch.nn.RNN(1, 16)
    torch.nn.init.orthogonal_(model.weight_hh_l0, gain)
    torch.nn.init.zeros_(model.weight_ih_l0)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-6)

    def look(snapshot: Snapshot) -> None:
        prune_if_forgets(trial, snapshot, LAG)

    with watch(model, 2, LAG, share=None, on_snapshot=look):
        for _ in range(5):
            loss = model(torch.randn(40, 3, 1))[0].square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return float(loss.detach())


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_a_trial_that_forgets_is_pruned_and_one_that_does_not_goes_on() -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.GridSampler({"gain": [0.5, 1.0]}))
    study.optimize(objective, n_trials=2)

    states = {each.params["gain"]: each.state for each in study.trials}
    assert states[0.5] == optuna.trial.TrialState.PRUNED
    assert states[1.0] == optuna.trial.TrialState.COMPLETE
    pruned = next(each for each in study.trials if each.params["gain"] == 0.5)
    assert pruned.user_attrs["gradscope/rnn/reach_steps"] == 10  # ln 1000 / ln 2
    assert pruned.user_attrs["gradscope/rnn/lags_measured"] == LAG

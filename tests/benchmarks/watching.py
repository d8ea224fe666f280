"""The row of the live hook: a PyTorch training loop alone against the same loop watched.

H = 128, T = 100, B = 32, 8 inputs, float32, a look every 50 steps as far as the default share of
the time allows. A ratio of 1/1.10 is an overhead of 10 %. Without PyTorch there is no row.
"""

import importlib.util
from collections.abc import Callable, Iterator

from tests.benchmarks.measure import Row, Side, compare

STEPS, SEQUENCES, INPUTS, HIDDEN = 100, 32, 8, 128
UPDATES, EVERY = 300, 50
MAX_OVERHEAD = 0.10


def rows() -> Iterator[Row]:
    """Yield a row for each kind of layer, where PyTorch is installed."""
    if importlib.util.find_spec("torch") is None:
        return
    for kind in ("RNN", "GRU", "LSTM"):
        yield compare(
            f"training loop of nn.{kind}, H = {HIDDEN}, watched every {EVERY}, vs unwatched",
            1.0 / (1.0 + MAX_OVERHEAD),
            Side(_loop(kind, watched=True)),
            Side(_loop(kind, watched=False)),
            note=f"T = {STEPS}, B = {SEQUENCES}, {UPDATES} updates",
        )


def _loop(kind: str, *, watched: bool) -> Callable[[], None]:
    """Return a loop that trains a fresh model."""
    import torch

    from gradscope.torch import watch

    torch.set_num_threads(1)

    def run() -> None:
        torch.manual_seed(0)
        layer = getattr(torch.nn, kind)(INPUTS, HIDDEN)
        readout = torch.nn.Linear(HIDDEN, 1)
        model = torch.nn.ModuleList([layer, readout])
        optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
        x, y = torch.randn(STEPS, SEQUENCES, INPUTS), torch.randn(STEPS, SEQUENCES, 1)
        watching = watch(model, every=EVERY) if watched else None
        for _ in range(UPDATES):
            optimizer.zero_grad()
            loss = torch.square(readout(layer(x)[0]) - y).mean()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
        if watching is not None:
            watching.close()

    return run

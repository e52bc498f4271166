"""Deaths of worker processes are noticed within a moment: a test need not wait for five seconds."""

import pytest
from torch.utils.data.dataloader import _MultiProcessingDataLoaderIter

OFTEN_S = 0.2


def notice_deaths_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the loader look for dead workers several times a second while it waits for a job."""
    wait = _MultiProcessingDataLoaderIter._try_get_data
    assert wait.__defaults__ is not None
    assert len(wait.__defaults__) == 1, "the loader waits in another way now"
    monkeypatch.setattr(wait, "__defaults__", (OFTEN_S,))

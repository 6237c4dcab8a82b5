"""How a command hears of a signal that ends it, whenever that comes."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from worker.cli.signals import ENDING, EndedBySignal, EndingSignals


@pytest.mark.parametrize("number", ENDING)
def test_a_signal_just_before_a_wait_ends_the_wait(number: signal.Signals) -> None:
    """Python has been told of it, and the call that blocks began before it told anybody."""
    listens = EndingSignals()
    with listens.caught():
        wake = signal.set_wakeup_fd(-1)
        signal.set_wakeup_fd(wake)

        def told_and_blocked() -> None:
            os.write(wake, bytes([number]))
            threading.Event().wait(30)

        with pytest.raises(EndedBySignal) as ended, listens.waiting():
            told_and_blocked()
    assert ended.value.number == number

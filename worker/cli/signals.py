"""How SIGINT, SIGTERM and SIGHUP end a command: after the current request, a second one at once.

A signal is noted, and the command ends at the next point where nothing is under way: before a
request, while it sleeps, while it asks a person. An exception at any other moment could leave a
create in doubt that would have been answered a second later.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

from worker.clock import SystemClock
from worker.errors import Interrupted

ENDING: Final = tuple(
    signal.Signals[name] for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)
_LONGEST_PIECE: Final = 0.25
"""Seconds of a sleep after which it looks whether a signal came."""
_SAME_HANGUP: Final = 1.0
"""A terminal that closes sends SIGHUP twice within this time: by its shell, and by the system."""
_HEARD_WITHIN: Final = 0.02
"""Seconds within which a main thread that waits has heard of a signal, as a rule."""
_SHOW_CURSOR: Final = b"\x1b[?25h"


class EndedBySignal(KeyboardInterrupt):
    """A signal ends the command; ``error`` is what a person is told about it."""

    def __init__(self, number: int) -> None:
        name = signal.Signals(number).name
        super().__init__(name)
        self.number = number
        self.error = Interrupted(f"Interrupted by {name}.")


def interruption_of(ended: BaseException) -> Interrupted | None:
    """What a person is told about an interrupt, whoever raised it; None for any other error."""
    if isinstance(ended, EndedBySignal):
        return ended.error
    return Interrupted("Interrupted.") if isinstance(ended, KeyboardInterrupt) else None


def exit_code(ended: KeyboardInterrupt) -> int:
    """The exit code of a command that a signal ended: 129, 130 or 143."""
    return 128 + (ended.number if isinstance(ended, EndedBySignal) else signal.SIGINT)


class EndingSignals:
    """The signals that this process was sent to end it. ``caught`` makes it listen."""

    def __init__(self) -> None:
        self._first: int | None = None
        self._waits = False
        self._before_the_end: Callable[[], object] = lambda: None
        self._terminals: list[int] = []

    @contextmanager
    def caught(self) -> Iterator[None]:
        """Note the signals while inside. One that is ignored (``nohup``) stays ignored."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        self._first, self._waits = None, False
        self._terminals = [stream for stream in (1, 2) if os.isatty(stream)]
        heard = [number for number in ENDING if signal.getsignal(number) is not signal.SIG_IGN]
        before = {number: signal.signal(number, self._note) for number in heard}
        try:
            with _wakes(self._end_at_the_second):
                yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def check(self) -> None:
        """Raises EndedBySignal if a signal came."""
        if self._first is not None:
            raise EndedBySignal(self._first)

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """The main thread waits inside, with nothing under way: a signal ends it there at once."""
        self._waits = True
        try:
            self.check()
            yield
        finally:
            self._waits = False

    def wait(self) -> None:
        """Wait for a signal. Raises EndedBySignal."""
        with self.waiting():
            threading.Event().wait()

    @contextmanager
    def at_the_second(self, do: Callable[[], object]) -> Iterator[None]:
        """What is done, in a thread of its own, before a second signal ends the process."""
        self._before_the_end = do
        try:
            yield
        finally:
            self._before_the_end = lambda: None

    # --- when a signal comes

    def _note(self, number: int, _: FrameType | None) -> None:
        if self._first is None:
            self._first = number
        self._leave_closed_terminal()
        if self._waits:
            self._waits = False
            raise EndedBySignal(self._first)

    def _leave_closed_terminal(self) -> None:
        """What is still to be said goes nowhere; writing to it would be an error."""
        for stream in self._terminals:
            if not os.isatty(stream):
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, stream)
                os.close(nowhere)

    def _end_at_the_second(self, wake: int) -> None:
        """Ends the process although its main thread may be deep in a call that nothing wakes."""
        first: tuple[int, float] | None = None
        while numbers := os.read(wake, 64):
            for number in (number for number in numbers if number in ENDING):
                now = time.monotonic()
                if first is None:
                    first = (number, now)
                    self._wake_main(number, wake)
                elif (number, first[0]) != (signal.SIGHUP,) * 2 or now - first[1] > _SAME_HANGUP:
                    self._before_the_end()
                    if os.isatty(2):
                        os.write(2, _SHOW_CURSOR)
                    os._exit(128 + number)

    def _wake_main(self, number: int, wake: int) -> None:
        """Send the signal again while the main thread still waits: it came just before that began.

        Python hears of it between two of its own steps, and a call that then begins is not
        interrupted by what came before it.
        """
        time.sleep(_HEARD_WITHIN)
        while self._waits:
            signal.pthread_kill(threading.main_thread().ident or 0, number)
            os.read(wake, 64)  # what this one wrote there is not a second signal
            time.sleep(_HEARD_WITHIN)


@contextmanager
def _wakes(listen: Callable[[int], None]) -> Iterator[None]:
    """Have a thread told of each signal as it comes, through the read end of a pipe."""
    read, write = os.pipe()
    os.set_blocking(write, False)
    before = signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    listener = threading.Thread(target=listen, args=(read,), daemon=True)
    listener.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        os.close(write)
        listener.join()
        os.close(read)


ending: Final = EndingSignals()
"""Signals belong to the process, so there is one of these."""


class InterruptibleClock(SystemClock):
    """The machine's clock; a sleep ends within a moment of a signal, with EndedBySignal."""

    def sleep(self, seconds: float) -> None:
        left = seconds
        ending.check()
        while left > 0:
            super().sleep(min(left, _LONGEST_PIECE))
            ending.check()
            left -= _LONGEST_PIECE

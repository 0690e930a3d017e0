"""What ends a command: bad input with one clear line and exit status 2, crashed runs with a list
and exit status 1, Ctrl-C."""

import signal
import threading


class BadInput(Exception):
    """Something a person has to change. The message says what is wrong, what was expected, and
    what to do."""


class RunsCrashed(Exception):
    """Something raised or its worker died, while everything else was done. Holds what it was and
    why, and whether to try `again` may help."""

    def __init__(self, crashed: dict[str, str], consequence: str, again: bool = True) -> None:
        super().__init__(f"{len(crashed)} could not be done, {consequence}")
        self.crashed, self.again = crashed, again


class Interrupts:
    """Remembers that Ctrl-C was pressed: Python prints and forgets a KeyboardInterrupt that is
    raised inside a destructor."""

    def __init__(self) -> None:
        self.pressed = False

    def watch(self) -> None:
        """From now on, unless interrupts are ignored (as in a shell's background job) or this is
        not the main thread."""
        if (
            threading.current_thread() is threading.main_thread()
            and signal.getsignal(signal.SIGINT) is signal.default_int_handler
        ):
            signal.signal(signal.SIGINT, self._remember)

    def _remember(self, *_: object) -> None:
        self.pressed = True
        raise KeyboardInterrupt

    def check(self) -> None:
        if self.pressed:
            raise KeyboardInterrupt


INTERRUPTS = Interrupts()

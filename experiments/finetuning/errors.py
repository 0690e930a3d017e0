"""What ends a command: bad input with one clear line and exit status 2, crashed runs with a list and exit status 1."""


class BadInput(Exception):
    """Something a person has to change. The message says what is wrong, what was expected, and what to do."""


class RunsCrashed(Exception):
    """Something raised or its worker died, while everything else was done. Holds what it was, and why."""

    def __init__(self, crashed: dict[str, str], consequence: str) -> None:
        super().__init__(f"{len(crashed)} crashed, {consequence}")
        self.crashed = crashed

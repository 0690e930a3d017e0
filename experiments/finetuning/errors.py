"""Bad input: one clear line and exit status 2."""


class BadInput(Exception):
    """Something a person has to change. The message says what is wrong, what was expected, and what to do."""

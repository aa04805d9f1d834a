"""What is wrong with a state file. ``message`` says what, ``advice`` what to do; both hold no secret."""

from __future__ import annotations


class StateFileError(Exception):
    """A state file that cannot be used; nothing of it was."""

    def __init__(self, code: str, message: str, advice: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.advice = advice


def not_a_state_file() -> StateFileError:
    """These bytes are something else."""
    return StateFileError("not-a-state-file", "This is no file that gf hgs export-state wrote.")


def damaged() -> StateFileError:
    """What comes after the beginning is not what was written."""
    return StateFileError(
        "state-file-damaged",
        "The file is damaged or cut off: a part of it is not what was written.",
        "Use another copy of it.",
    )


def unsound(problem: str) -> StateFileError:
    """The file is whole and says what cannot be."""
    return StateFileError("state-file-unsound", f"The file contradicts itself: {problem}")

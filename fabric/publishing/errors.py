"""What can go wrong while a template disk is built or signed."""


class PublishingError(Exception):
    """`code` is stable, `message` a sentence, `advice` says what to do."""

    def __init__(self, code: str, message: str, advice: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.advice = advice

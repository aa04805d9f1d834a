"""A real token for whoever asks for it."""

from tests.hgs.tokens import made_token, second_token_key_uri, token, token_folder, token_key_uri

__all__ = ["made_token", "second_token_key_uri", "token", "token_folder", "token_key_uri"]

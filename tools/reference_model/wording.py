"""How word lists are written down."""


def words(text: str) -> tuple[str, ...]:
    """Split a list of words written as one text."""
    return tuple(text.split())

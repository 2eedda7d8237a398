"""What a search looks for: how a word is written for the database.

PostgreSQL is told every case of each letter, in a regular expression of plain characters and sets of them, so that it
has nothing to fold itself. Its `upper`, `lower` and `ILIKE` answer otherwise from one provider of collations and one
version to the next (ß, İ, letters of a newer Unicode), and `lower` of a Σ is one letter within a word and another at
its end. SQLite's LIKE folds ASCII letters and no others.
"""

import re
from functools import cache


def fold(character: str) -> str:
    """One character that stands for all cases of this one.

    They are those of Unicode that are one character: ß is ẞ, and not SS. The way leads over the capital, since that
    is all that a final sigma and another one have in common. The I of Turkish, with a dot or without, is any other I.
    """
    capital = character.upper()
    return (capital if len(capital) == 1 else character).lower()[0]  # Of İ it is i and a dot, of others one character.


@cache
def _sets() -> dict[str, str]:
    """For each character that has several cases the set of them, as a regular expression; made by the first search."""
    cases: dict[str, str] = {}
    for character in map(chr, range(0x20000)):  # Beyond are no letters with cases.
        if not character.lower() == character == character.upper():
            cases[fold(character)] = cases.get(fold(character), "") + character
    return {character: f"[{every}]" for every in cases.values() if len(every) > 1 for character in every}


def regex_pattern(word: str) -> str:
    """A regular expression, for PostgreSQL as for Python, that finds the word in whatever case."""
    sets = _sets()
    return "".join(sets.get(character) or re.escape(character) for character in word)


def like_pattern(word: str) -> str:
    r"""A pattern for LIKE with `\` as its escape that finds the word anywhere."""
    return "%" + re.sub(r"([\\%_])", r"\\\1", word) + "%"

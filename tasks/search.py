"""Search patterns: how a word is written for the database.

PostgreSQL gets every case of each letter, in a regular expression of plain characters and character sets, so that it
need not fold case itself. Its `upper`, `lower` and `ILIKE` differ between collation providers and versions (ß, İ,
letters of a newer Unicode), and `lower` of a Σ depends on whether it ends a word. SQLite's LIKE folds only ASCII
letters.
"""

import re
from functools import cache


def fold(character: str) -> str:
    """Return one character that stands for all cases of this one.

    Only cases of a single character count: ß matches ẞ, not SS. The character is capitalized first, because the final
    sigma and the other one share only their capital. The Turkish I, dotted or dotless, matches any other I.
    """
    capital = character.upper()
    # The lower case of İ is i and a combining dot; of any other character it is one.
    return (capital if len(capital) == 1 else character).lower()[0]


@cache
def _sets() -> dict[str, str]:
    """Map each character that has several cases to a regular expression for all of them; built by the first search."""
    cases: dict[str, str] = {}
    for character in map(chr, range(0x20000)):  # No character beyond these has cases.
        if not character.lower() == character == character.upper():
            cases[fold(character)] = cases.get(fold(character), "") + character
    return {character: f"[{every}]" for every in cases.values() if len(every) > 1 for character in every}


def regex_pattern(word: str) -> str:
    """Return a regular expression, for PostgreSQL and Python alike, that finds the word in any case."""
    sets = _sets()
    return "".join(sets.get(character) or re.escape(character) for character in word)


def like_pattern(word: str) -> str:
    r"""Return a LIKE pattern, escaped with `\`, that finds the word anywhere."""
    return "%" + re.sub(r"([\\%_])", r"\\\1", word) + "%"

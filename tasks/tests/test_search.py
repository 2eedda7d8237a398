"""`search=`: which characters count as one, on whatever server is there."""

import sys
import unicodedata
from urllib.parse import quote

import pytest
from django.db import Error, connection, transaction
from model_bakery import baker

from conftest import Actor
from tasks.models import Task
from tasks.search import fold, regex_pattern

on_postgresql = pytest.mark.skipif("connection.vendor != 'postgresql'", reason="SQLite folds ASCII letters only.")

# What a server may have. Those of ICU and of the C library fold by the Unicode of their own version.
COLLATIONS = {
    "default": None,
    "builtin": "provider = builtin, locale = 'C.UTF-8'",
    "builtin, whole mappings": "provider = builtin, locale = 'PG_UNICODE_FAST'",
    "ICU": "provider = icu, locale = 'und'",
    "ICU, Turkish": "provider = icu, locale = 'tr'",
    "ICU, not deterministic": "provider = icu, locale = 'und-u-ks-level2', deterministic = false",
    "libc": "provider = libc, locale = 'C.UTF-8'",
    "libc, C": "provider = libc, locale = 'C'",
}
SAME = [
    ("Éclair", "éCLAIR"),
    ("ПРИВЕТ", "привет"),
    ("straße", "STRAßE"),
    ("STRAẞE", "straße"),
    ("οδος ερμου", "ΟΔΟΣ"),  # ς ends a word, and σ does not: Σ is the capital of both.
    ("ΟΔΟΣ ΕΡΜΟΥ", "οδοσ ερμου"),
    ("οδός", "οδόσ"),
    ("οδος", "ΟΔΟσ"),
    ("ΌΔΥΣΣΕΎΣ", "όδυσσεύς"),
    ("İstanbul, ISPARTA", "istanbul, ısparta"),
    ("istanbul, ısparta", "İSTANBUL, ISPARTA"),
    ("5 \N{MICRO SIGN}m", "5 \N{GREEK CAPITAL LETTER MU}M"),
    ("300 \N{KELVIN SIGN}, 1 \N{ANGSTROM SIGN}, 50 \N{OHM SIGN}", "300 k, 1 å, 50 ω"),
    ("ſchloß", "Schloß"),
    ("ǅungla", "ǆUNGLA"),
    ("თბილისი", "ᲗᲑᲘᲚᲘᲡᲘ"),
    ("ᏣᎳᎩ", "ꮳꮃꭹ"),
    ("𐐔𐐯𐑅", "𐐼𐐯𐐝"),  # Beyond the first 65,536 characters.
    ("ﬁne ŉ ǰ", "ﬁNE ŉ ǰ"),  # Their capitals are two characters: each is found as itself.
    ("ᾳ ᾼ", "ᾼ ᾳ"),
]
OTHERS = [
    ("Straße", "STRASSE"),
    ("fine", "ﬁne"),
    ("eclair", "éclair"),
    ("οδος", "όδος"),
]


@pytest.fixture
def found(alice: Actor):
    """How many of Alice's tasks a search finds."""

    def count(word: str) -> int:
        response = alice.get(f"{alice.tasks}?search={quote(word)}")
        assert response.status_code == 200
        return len(response.json())

    return count


@pytest.fixture
def collation(db, request):
    """The name of a collation of this server's; without one of that kind the test is skipped."""
    if made := COLLATIONS[request.param]:
        try:
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.execute(f"CREATE COLLATION tried ({made})")
        except Error as error:
            pytest.skip(str(error))
    # What was prepared fits no column of another collation, and inside a transaction nothing is sent again.
    with connection.execute_wrapper(lambda execute, *arguments: execute(*arguments)):  # So it takes Django's cursor.
        yield "tried" if made else "default"


every_collation = pytest.mark.parametrize("collation", COLLATIONS, indirect=True)


@pytest.mark.promise("P-44")
@on_postgresql
@every_collation
def test_every_case_of_a_letter_is_found_whatever_the_collation(collation: str, found) -> None:
    with connection.cursor() as cursor:
        for column in ("title", "description"):
            cursor.execute(f'ALTER TABLE tasks_task ALTER {column} TYPE text COLLATE "{collation}"')
    for stored, word in SAME:
        baker.make(Task, user_id="alice", title=f"<{stored}>", description=None)
        baker.make(Task, user_id="alice", title="x", description=f"first\n{stored}")
        assert (stored, found(word)) == (stored, 2)
        assert (stored, found(stored)) == (stored, 2)
        Task.objects.all().delete()
    for stored, word in OTHERS:
        baker.make(Task, user_id="alice", title=stored, description=stored)
        assert (stored, found(word)) == (stored, 0)
        assert (stored, found(stored)) == (stored, 1)


@pytest.mark.promise("P-44")
@on_postgresql
@every_collation
def test_every_character_that_the_server_takes_for_the_same_is_found(collation: str) -> None:
    """Those aside that this Python's Unicode does not know yet, and cases of several characters."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT letter, folded FROM "
            f'(SELECT chr(i) COLLATE "{collation}" FROM generate_series(1, 1114111) i WHERE i NOT BETWEEN 55296 AND 57343) '
            "AS every (letter) CROSS JOIN LATERAL (VALUES (upper(letter)), (lower(letter))) AS cases (folded) "
            'WHERE folded COLLATE "C" <> letter AND length(folded) = 1'
        )
        pairs = cursor.fetchall()
        known = [pair for pair in pairs if "Cn" not in map(unicodedata.category, pair)]
        assert len(known) >= 52
        cursor.execute(
            'SELECT letter FROM unnest(%s::text[], %s::text[]) AS pairs (letter, pattern) WHERE letter COLLATE "C" !~ pattern',
            [[letter for letter, _ in known], [regex_pattern(folded) for _, folded in known]],
        )
        assert cursor.fetchall() == []


@pytest.mark.promise("P-44")
@pytest.mark.parametrize("letter", "azAZ")
def test_ascii_letters_are_found_in_either_case_on_both_databases(db, found, letter: str) -> None:
    baker.make(Task, user_id="alice", title=f"<{letter}>", description=letter.swapcase())
    assert found(letter) == found(letter.swapcase()) == 1


@pytest.mark.promise("P-44")
@pytest.mark.skipif("connection.vendor != 'sqlite'", reason="These are the answers of SQLite alone.")
@pytest.mark.parametrize(
    ("stored", "word"), [("Éclair", "éclair"), ("ПРИВЕТ", "привет"), ("οδος", "ΟΔΟΣ"), ("k", "\N{KELVIN SIGN}")]
)
def test_on_sqlite_a_letter_beyond_ascii_is_found_only_in_the_case_it_was_written_in(
    db, found, stored: str, word: str
) -> None:
    baker.make(Task, user_id="alice", title=f"MILK {stored}", description=None)
    assert found(f"milk {stored}") == 1
    assert found(word) == 0


def test_a_character_counts_as_each_of_its_cases_and_no_case_is_left_out() -> None:
    for character in map(chr, range(sys.maxunicode + 1)):
        for case in (character.lower(), character.upper(), character.title(), character.casefold()):
            if len(case) == 1 and case != character:
                assert character in regex_pattern(case), character
                assert case in regex_pattern(character), character
        assert len(fold(character)) == 1
        assert fold(fold(character)) == fold(character)


@pytest.mark.promise("P-44")
@pytest.mark.parametrize(
    "word", ["***=a", "(?i)A", "(?x) a b", "\\y", "\\A", "[[:<:]]", "a{2}", "a|b", "(", "[ß", "É\\", "\n", "\t#"]
)
def test_nothing_in_a_word_is_read_as_a_pattern(db, found, word: str) -> None:
    baker.make(Task, user_id="alice", title="found", description=f"aa {word}")
    baker.make(Task, user_id="alice", title="aab", description="other: A ab aa b ß")
    assert found(word) == 1

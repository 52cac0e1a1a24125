import random
import sys
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.errors import Ambiguous, Invalid, NotFound, RelayError, TooShort
from relay.rules import ids, resolver
from relay.rules.names import bare_hostname, fold
from relay.rules.resolver import Candidate, Match, candidate, matches, resolve, search
from tests.rules.samples import number, registered

quick = settings(derandomize=True, deadline=None, max_examples=60)


def machine(n: int, name: str, hostname: str | None = None, **about: Any) -> Candidate:
    """A machine whose id ends in `n` and whose hostname is its name unless another is given."""
    about.setdefault("name_held", True)
    return Candidate(id=about.pop("id", number(n)), name=name, hostname=hostname or f"host-{n}", **about)


STUDIO = machine(1, "mac-studio", "mac-studio.local", id="8f23c1d2-0000-4000-8000-000000000001")
API_1 = machine(2, "prod-api-1", "ip-10-0-0-1", id="a1420000-0000-4000-8000-000000000002")
API_2 = machine(3, "prod-api-2", "ip-10-0-0-2", id="a1430000-0000-4000-8000-000000000003")
DB = machine(4, "prod-db-1", "ip-10-0-1-1", id="c0ffee00-0000-4000-8000-000000000004")
TEAM = (STUDIO, API_2, DB, API_1)


def found(query: str, *among: Candidate) -> tuple[str, str]:
    """The name of what a query means, and the tier."""
    match = resolve(query, among or TEAM)
    return match.candidate.name, match.matched_by


def refused(query: str, *among: Candidate) -> str:
    """The sentence with which a query is refused."""
    with pytest.raises(RelayError) as caught:
        resolve(query, among or TEAM)
    return caught.value.message


# --- tier 1: a whole id -------------------------------------------------------------------------------------------


def test_a_whole_id_in_any_case_is_that_machine() -> None:
    assert found(STUDIO.id) == found(STUDIO.id.upper()) == ("mac-studio", "id")


def test_a_whole_id_never_falls_through_to_a_machine_of_that_name() -> None:
    stranger = "00000000-0000-4000-8000-00000000dead"
    posing = machine(9, stranger, stranger, former=(stranger,))
    assert refused(stranger, posing, STUDIO) == f'no machine matches "{stranger}"'
    assert not matches(stranger, posing)


# --- tier 2: the hostname -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "query", ["mac-studio.local", "MAC-Studio.LOCAL", "mac-studio.local.", "mac-studio", "mac-studio.", " mac-studio\t"]
)
def test_a_hostname_is_found_in_any_case_with_or_without_dot_and_local(query: str) -> None:
    assert found(query) == ("mac-studio", "hostname")


def test_a_hostname_as_it_is_written_wins_over_one_that_differs_by_local() -> None:
    bare, local, dotted = machine(1, "a", "mac"), machine(2, "b", "mac.local"), machine(3, "c", "mac.")
    assert found("mac", bare, local, dotted) == ("a", "hostname")
    assert found("mac.local", bare, local, dotted) == ("b", "hostname")
    assert found("MAC.", bare, local, dotted) == ("c", "hostname")
    assert refused("mac.local.", bare, local, dotted) == 'ambiguous machine "mac.local." — matches: a, b, c'


def test_only_one_local_is_ignored() -> None:
    twice = machine(1, "a", "mac.local.local")
    assert found("mac.local.local.", twice) == ("a", "hostname")
    assert found("mac.local", twice) == found("mac", twice) == ("a", "fuzzy")


def test_composed_and_decomposed_letters_are_the_same() -> None:
    assert found("BU\u0308RO", machine(1, "desk", "büro")) == ("desk", "hostname")
    assert found("büro", machine(1, "Bu\u0308ro")) == ("Bu\u0308ro", "name")


def test_a_hostname_wins_over_a_name() -> None:
    assert found("box", machine(1, "box"), machine(2, "other", "box")) == ("other", "hostname")


# --- tier 3: the name ---------------------------------------------------------------------------------------------


def test_a_whole_name_wins_over_longer_ones() -> None:
    assert found("PROD", *TEAM, machine(9, "Prod")) == ("Prod", "name")


def test_a_single_letter_is_found_when_it_is_a_whole_name_or_hostname() -> None:
    assert found("p", *TEAM, machine(9, "P")) == ("P", "name")
    assert found("p", *TEAM, machine(9, "x", "p")) == ("x", "hostname")
    assert found("p", *TEAM, machine(9, "x", former=("P",))) == ("x", "former")


def test_two_machines_of_one_name_are_told_apart_by_short_ids() -> None:
    mine = machine(1, "box", id="8f23c1d2-0000-4000-8000-000000000001")
    yours = machine(2, "Box", id="8f23c000-0000-4000-8000-000000000002")
    assert refused("box", yours, mine) == 'ambiguous machine "box" — matches: Box (8f23c0), box (8f23c1)'
    assert found("8f23c0", yours, mine) == ("Box", "fuzzy")


def test_a_short_id_in_a_message_finds_its_machine_among_all_others() -> None:
    twins = (API_1, machine(5, "prod-api-1", id="b0000000-0000-4000-8000-000000000005"))
    near = machine(6, "elsewhere", id="a1420001-0000-4000-8000-000000000006")
    assert refused("prod-api-1", *twins, near) == (
        'ambiguous machine "prod-api-1" — matches: prod-api-1 (a1420000), prod-api-1 (b000)'
    )
    assert found("a1420000", *twins, near) == ("prod-api-1", "fuzzy")


# --- the tier of former names -------------------------------------------------------------------------------------


def test_a_name_given_up_today_still_resolves_and_loses_to_any_current_name() -> None:
    renamed = machine(1, "new", former=("Old", "old-host.local"))
    assert found("old", renamed) == found("old-host", renamed) == found("OLD-HOST.local.", renamed) == ("new", "former")
    assert found("old", renamed, machine(2, "old")) == ("old", "name")
    assert found("old", renamed, machine(2, "x", "old.local")) == ("x", "hostname")
    assert found("old", renamed, machine(2, "old-but-longer")) == ("new", "former")


def test_a_former_name_is_matched_whole_only() -> None:
    assert refused("ol", machine(1, "new", former=("old",))) == 'no machine matches "ol"'


def test_two_machines_that_gave_up_the_same_name_are_ambiguous() -> None:
    gone = (machine(1, "a", former=("old",)), machine(2, "b", former=("old",)))
    assert refused("old", *gone) == 'ambiguous machine "old" — matches: a, b'


# --- tier 4: parts ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("query", ["mac", "studio", "STUD", "io.lo", "8f23", "8F23C1d2-0", "ac"])
def test_a_part_of_name_hostname_or_the_beginning_of_an_id_is_enough_if_only_one_has_it(query: str) -> None:
    assert found(query) == ("mac-studio", "fuzzy")


def test_a_machine_counts_once_however_often_it_matches() -> None:
    assert found("beef", machine(1, "beef-1", "beef-2", id="beef0000-0000-4000-8000-000000000001")) == (
        "beef-1",
        "fuzzy",
    )


def test_three_digits_or_the_middle_of_an_id_find_nothing() -> None:
    assert refused("8f2") == 'no machine matches "8f2"'
    assert refused("23c1d2") == 'no machine matches "23c1d2"'


def test_names_and_ids_that_match_are_one_union() -> None:
    named = machine(9, "a142-rack")
    assert refused("a142", *TEAM, named) == 'ambiguous machine "a142" — matches: a142-rack, prod-api-1'


def test_nothing_is_found_across_the_end_of_a_name() -> None:
    assert refused("ab", machine(1, "bx", "xa")) == 'no machine matches "ab"'


# --- more than one, none, or not a query --------------------------------------------------------------------------


def test_an_ambiguous_query_names_what_it_could_mean_in_order() -> None:
    with pytest.raises(Ambiguous) as caught:
        resolve("prod", TEAM)
    assert caught.value.message == 'ambiguous machine "prod" — matches: prod-api-1, prod-api-2, prod-db-1'
    assert caught.value.extra["total"] == 3
    assert caught.value.extra["candidates"][0] == {"id": API_1.id, "name": "prod-api-1", "hostname": "ip-10-0-0-1"}


def test_ten_candidates_are_named_and_the_rest_counted() -> None:
    many = [machine(n, f"prod-{n:02}") for n in range(13)]
    with pytest.raises(Ambiguous, match=r"prod-08, prod-09, \+3 more$") as caught:
        resolve("prod", iter(many))
    assert (len(caught.value.extra["candidates"]), caught.value.extra["total"]) == (10, 13)
    assert refused("prod", *many[:10]).endswith("prod-08, prod-09")


def test_the_tenth_gets_a_short_id_when_the_eleventh_bears_its_name() -> None:
    many = [machine(n, f"prod-{min(n, 9)}") for n in range(11)]
    assert refused("prod", *many).endswith(f"prod-8, prod-9 ({number(9)}), +1 more")


def test_one_letter_is_too_short_and_so_is_none() -> None:
    assert refused("p") == '"p" is too short: use at least two characters'
    assert refused("\u0065\u0301") == '"é" is too short: use at least two characters'
    assert refused("  ") == '"" is too short: use at least two characters'
    with pytest.raises(TooShort):
        resolve("z", ())


def test_nothing_matches() -> None:
    assert refused("prodx") == 'no machine matches "prodx"'
    with pytest.raises(NotFound):
        resolve("prodx", ())


def test_what_was_typed_is_escaped_in_every_answer() -> None:
    assert refused('a"b\u202e') == r'no machine matches "a\"b\u202e"'
    assert refused("\u200b") == r'"\u200b" is too short: use at least two characters'
    odd = machine(1, "twin", "evil\u202e-1"), machine(2, "twi\u202en", "evil\u202e-2")
    assert refused("evil\u202e", *odd) == r'ambiguous machine "evil\u202e" — matches: twin, twi\u202en'


def test_a_query_has_at_most_255_characters() -> None:
    assert refused("x" * 255) == f'no machine matches "{"x" * 255}"'
    with pytest.raises(Invalid, match="at most 255 characters, this one has 256"):
        resolve("x" * 256, TEAM)
    assert refused(" " * 300 + "xx" + " " * 300) == 'no machine matches "xx"'


@pytest.mark.parametrize("query", ["a\nb", "a\x00b", "a\x1b[2J", "a\x85b", "a\ud800b"])
def test_a_query_has_no_control_characters(query: str) -> None:
    with pytest.raises(Invalid, match="no control characters") as caught:
        resolve(query, TEAM)
    assert caught.value.code == "invalid"
    assert caught.value.message.isprintable()


# --- shadowed machines --------------------------------------------------------------------------------------------


def test_a_shadowed_machine_is_found_by_id_and_hostname_and_not_by_the_name_that_it_lost() -> None:
    older = machine(1, "prod", "rack-1", name_held=False, former=("prod", "rack-0"))
    newer = machine(2, "prod", "rack-2")
    assert resolve("prod", (older, newer)).candidate is newer
    assert resolve("rack-1", (older, newer)).candidate is older
    assert resolve("rack-0", (older, newer)).candidate is older
    assert resolve(older.id, (older, newer)).candidate is older
    assert resolve("pro", (older, newer)).candidate is newer
    assert refused("prod", older) == refused("prod", older) == 'no machine matches "prod"'


def test_both_machines_of_a_name_are_told_apart_where_both_match() -> None:
    older, newer = machine(1, "prod", "rack-1", name_held=False), machine(2, "prod", "rack-2")
    assert refused("rack", older, newer) == (
        f'ambiguous machine "rack" — matches: prod ({older.id}), prod ({newer.id})'
    )


# --- the picker's search ------------------------------------------------------------------------------------------


def test_the_picker_searches_by_the_same_rules() -> None:
    assert search("prod", TEAM) == [API_2, DB, API_1]
    assert search(STUDIO.id, TEAM) == [STUDIO]
    assert search("8f23", iter(TEAM)) == [STUDIO]
    assert search("old", [machine(1, "new", former=("old",))])
    assert search("p", TEAM) == [], "too short for parts, and no error while one is typing"


def test_an_empty_search_shows_everybody_and_a_bad_one_is_invalid() -> None:
    assert search("  ", iter(TEAM)) == list(TEAM)
    with pytest.raises(Invalid):
        search("a\nb", TEAM)


def test_a_candidate_is_made_from_what_the_registry_keeps() -> None:
    row = registered(name="box", hostname="box.local", name_held=False)
    assert candidate(row, ("old",)) == Candidate(row.id, "box", "box.local", False, ("old",))


# --- against a model that is slow and plain -----------------------------------------------------------------------


def tiers(query: str) -> list[tuple[str, Callable[[Candidate], bool]]]:
    """The contract's tiers, word by word; none follows a whole id."""
    key = fold(query.strip())
    bare = bare_hostname(key)

    def parts(each: Candidate) -> bool:
        texts = [each.hostname, each.name] if each.name_held else [each.hostname]
        inside = any(key in fold(text) for text in texts)
        return len(query) >= 2 and (inside or (ids.is_prefix(key) and each.id.startswith(key)))

    def given_up(each: Candidate) -> list[str]:
        return [fold(old) for old in each.former if each.name_held or fold(old) != fold(each.name)]

    if ids.canonical(key):
        return [("id", lambda each: each.id == key)]
    return [
        ("hostname", lambda each: fold(each.hostname) == key),
        ("hostname", lambda each: bare_hostname(fold(each.hostname)) == bare),
        ("name", lambda each: each.name_held and fold(each.name) == key),
        ("former", lambda each: any(old == key or bare_hostname(old) == bare for old in given_up(each))),
        ("fuzzy", parts),
    ]


# Few words, so that machines and queries meet often.
NAMES = ["a", "b", "A", "ab", "prod", "prod-a", "prod-b", "PROD", "bü", "bu\u0308"]
HOSTNAMES = ["a.", "a.local", "A.local.", "ab.local", "a.local.local", ".", ".local", "-"]
IDS = ["0000", "00000000-", "00000000-0000-4000-8000-000000000001"]
WORDS = st.sampled_from(NAMES + HOSTNAMES + IDS)
FLEETS = st.lists(st.tuples(WORDS, WORDS, st.booleans(), WORDS | st.none()), max_size=5).map(
    lambda rows: [
        machine(n, name, hostname, name_held=held, former=(former,) if former else ())
        for n, (name, hostname, held, former) in enumerate(rows, start=1)
    ]
)


@quick
@given(query=WORDS, fleet=FLEETS)
def test_the_resolver_agrees_with_the_tiers_as_the_contract_words_them(query: str, fleet: list[Candidate]) -> None:
    expected: list[Candidate] = []
    matched_by = ""
    for name, considers in tiers(query):
        expected = [each for each in fleet if considers(each)]
        if expected:
            matched_by = name
            break
    try:
        match = resolve(query, fleet)
    except Ambiguous as error:
        named = {each["id"] for each in error.extra["candidates"]}
        assert len(expected) > 1
        assert named == {each.id for each in expected}
    except (NotFound, TooShort):
        assert expected == []
    else:
        assert match == Match(expected[0], matched_by)  # type: ignore[arg-type]
    wide = [each for each in fleet if any(considers(each) for _, considers in tiers(query))]
    assert search(query, fleet) == wide == [each for each in fleet if matches(query, each)]


@quick
@given(query=WORDS, fleet=FLEETS, seed=st.integers(0, 9))
def test_the_answer_does_not_depend_on_the_order_of_machines(query: str, fleet: list[Candidate], seed: int) -> None:
    def answer(among: list[Candidate]) -> object:
        try:
            return resolve(query, among)
        except RelayError as error:
            return error.body()

    shuffled = random.Random(seed).sample(fleet, len(fleet))
    assert answer(shuffled) == answer(fleet)


@quick
@given(query=st.text(st.sampled_from('ab\n\x1b\u202e\u0301ßİ\ud800" \\'), max_size=6))
def test_no_text_at_all_breaks_the_resolver_or_escapes_into_its_answer(query: str) -> None:
    if search(query.replace("\n", "").replace("\x1b", "").replace("\ud800", ""), TEAM):
        return
    message = refused(query)
    assert message.isprintable()
    assert message.encode()


# --- ten thousand machines ----------------------------------------------------------------------------------------


def calls_while(work: Callable[[], object]) -> int:
    """How many Python functions are called, comprehensions included; built-in ones are not counted."""
    count = 0

    def note(frame: object, event: str, argument: object) -> None:
        nonlocal count
        count += event == "call"

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(before)
    return count


@pytest.mark.parametrize("query", ["prod-77", "rod-77.", "xx", "p", "prod", "0000-", number(7)])
def test_no_function_is_called_per_machine(query: str) -> None:
    """What makes ten thousand machines fit into two milliseconds, said without a clock."""

    def ask(fleet: list[Candidate]) -> Callable[[], object]:
        def work() -> object:
            try:
                return resolve(query, fleet)
            except RelayError as error:
                return error

        return work

    few = [machine(n, f"prod-{n}") for n in range(60, 90)]
    many = [machine(n, f"prod-{n}") for n in range(60, 90)] + [machine(n, f"node-{n}") for n in range(1_000, 2_000)]
    assert calls_while(ask(many)) <= calls_while(ask(few)) + 3


def test_machines_are_folded_when_they_are_made_and_not_when_they_are_searched(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folded: list[str] = []

    def note(text: str) -> str:
        folded.append(text)
        return fold(text)

    monkeypatch.setattr(resolver, "fold", note)
    resolve("mac", TEAM)
    assert folded == ["mac"]

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.errors import BadToken, Misconfigured
from relay.rules import ids, tokens
from relay.rules.tokens import MachineToken, Secrets
from tests.rules.samples import ACME, number

OLD, NEW = "the-old-secret-of-acme", "the-new-secret-of-acme"
SECRETS = Secrets.parse(OLD)
TOKEN = tokens.make("pat", bytes(range(32)))
CHARACTERS = st.sampled_from("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_- é\n\0\ud800²ß")
quick = settings(derandomize=True, deadline=None, max_examples=30)


@pytest.mark.parametrize("kind", tokens.KINDS)
def test_every_kind_of_token_says_its_kind(kind: tokens.Kind) -> None:
    token = tokens.make(kind, bytes(32))
    assert token.startswith(f"rly_{kind}_")
    assert len(token) == len(f"rly_{kind}_") + 32 + 6
    assert tokens.parse(token) == (kind, token)


@pytest.mark.parametrize("text", ["", "hello", "rly_", "rly_xyz_" + "0" * 38, "rly_mach_" + "0" * 103])
def test_what_is_no_stored_token_is_refused(text: str) -> None:
    with pytest.raises(BadToken, match="not a token of ours"):
        tokens.parse(text)


@pytest.mark.parametrize("text", [TOKEN[:-1], TOKEN + "0", TOKEN[:-1] + "é"])
def test_a_token_of_another_length_or_alphabet_is_refused(text: str) -> None:
    with pytest.raises(BadToken, match="cut short"):
        tokens.parse(text)


def test_right_check_characters_do_not_make_up_for_a_wrong_alphabet() -> None:
    with pytest.raises(BadToken, match="damaged"):
        tokens.parse(tokens._checked("rly_pat_" + "-" * 32))


def test_different_randomness_gives_different_tokens() -> None:
    assert len({tokens.make("team", bytes([value]) * 32) for value in range(256)}) == 256


@quick
@given(random=st.binary(min_size=32, max_size=32), at=st.integers(8, 45), character=CHARACTERS)
def test_one_wrong_character_never_passes(random: bytes, at: int, character: str) -> None:
    token = tokens.make("pat", random)
    assert tokens.parse(token).text == token
    wrong = token[:at] + character + token[at + 1 :]
    if wrong != token:
        with pytest.raises(BadToken):
            tokens.parse(wrong)


@quick
@given(text=st.text(CHARACTERS, max_size=150))
def test_no_text_at_all_breaks_the_readers_of_tokens(text: str) -> None:
    for each in (text, f"rly_pat_{text}", f"rly_mach_{text}"):
        with pytest.raises(BadToken):
            tokens.parse(each)
        with pytest.raises(BadToken):
            tokens.read_machine(SECRETS, each)


@quick
@given(
    workspace=st.binary(min_size=16, max_size=16),
    machine=st.binary(min_size=16, max_size=16),
    version=st.integers(0, 2**32 - 1),
)
def test_a_machine_token_says_what_was_signed(workspace: bytes, machine: bytes, version: int) -> None:
    claims = MachineToken(ids.text(workspace), ids.text(machine), version, SECRETS.first.id)
    signed = tokens.sign_machine(SECRETS, claims.workspace, claims.machine, claims.token_version)
    assert tokens.read_machine(SECRETS, signed) == claims


@quick
@given(at=st.integers(9, 105), character=CHARACTERS)
def test_a_machine_token_with_one_wrong_character_is_refused(at: int, character: str) -> None:
    token = tokens.sign_machine(SECRETS, ACME, number(1), 7)
    wrong = token[:at] + character + token[at + 1 :]
    if wrong != token:
        with pytest.raises(BadToken, match="damaged"):
            tokens.read_machine(SECRETS, wrong)


def test_a_machine_token_of_another_cluster_is_refused() -> None:
    with pytest.raises(BadToken, match="not signed here"):
        tokens.read_machine(Secrets.parse(NEW), tokens.sign_machine(SECRETS, ACME, number(1), 1))


def test_a_machine_token_with_other_claims_under_the_same_signature_is_refused() -> None:
    token = tokens.sign_machine(SECRETS, ACME, number(1), 1)
    value = tokens._number(token[9:-6]) ^ (1 << 256)  # the lowest bit of the token version
    forged = tokens._checked("rly_mach_" + tokens._base62(value, 97))
    with pytest.raises(BadToken, match="not signed here"):
        tokens.read_machine(SECRETS, forged)


def test_a_number_too_large_for_a_machine_token_is_refused() -> None:
    with pytest.raises(BadToken, match="damaged"):
        tokens.read_machine(SECRETS, tokens._checked("rly_mach_" + "z" * 97))


def test_another_kind_of_token_is_no_machine_token() -> None:
    with pytest.raises(BadToken, match="not a machine token"):
        tokens.read_machine(SECRETS, TOKEN)


def test_after_a_change_of_secret_old_tokens_hold_and_new_ones_use_the_new_secret() -> None:
    both = Secrets.parse(f"{NEW}, {OLD}")
    old, new = tokens.sign_machine(SECRETS, ACME, number(1), 1), tokens.sign_machine(both, ACME, number(1), 1)
    assert old != new
    assert tokens.read_machine(both, old)[:3] == tokens.read_machine(both, new)[:3]
    assert [tokens.read_machine(both, each).secret for each in (old, new)] == [SECRETS.first.id, both.first.id]
    assert both.hashes(TOKEN) == [both.hash(TOKEN), SECRETS.hash(TOKEN)]
    assert both.hash(TOKEN) == Secrets.parse(NEW).hash(TOKEN)


def test_a_hash_names_the_secret_that_made_it_and_not_the_token() -> None:
    id, _, digest = SECRETS.hash(TOKEN).partition(":")
    assert id == SECRETS.first.id == "42a004ce"
    assert len(digest) == 64
    assert TOKEN not in SECRETS.hash(TOKEN)


def test_a_text_that_is_no_utf8_can_be_looked_up_and_be_a_secret() -> None:
    assert SECRETS.hash("\udc80") != SECRETS.hash("\udc81")
    assert Secrets.parse("\udc80" * 16).first.id != SECRETS.first.id


@pytest.mark.parametrize("text", ["", " , ,", "short", f"{OLD},short"])
def test_missing_or_short_secrets_are_a_configuration_error_that_shows_none(text: str) -> None:
    with pytest.raises(Misconfigured, match="at least 16 characters") as caught:
        Secrets.parse(text)
    assert "short" not in str(caught.value)


def test_secrets_are_known_by_their_ids_in_their_order() -> None:
    old, new = SECRETS.first.id, Secrets.parse(NEW).first.id
    assert Secrets.parse(f"{NEW},{OLD}").ids == (new, old)


def test_secrets_are_never_shown() -> None:
    assert repr(SECRETS) == f"Secrets({SECRETS.first.id})"
    assert repr(SECRETS.first) == f"Secret({SECRETS.first.id})"

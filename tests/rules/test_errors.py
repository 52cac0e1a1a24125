from relay import errors
from relay.errors import Close, Exit, RelayError, from_body

FAMILY = sorted(errors._BY_CODE.values(), key=lambda each: each.code)


def test_close_codes_tell_the_peer_what_to_do() -> None:
    assert {code for code in Close if code.final} == {code for code in Close if 4000 <= code < 4100}
    assert {code for code in Close if code.back_off} == {
        Close.OVER_CAPACITY,
        Close.RATE_LIMITED,
        Close.SLOW_CONSUMER,
        Close.UNAVAILABLE,
    }
    assert not Close.DRAINING.final
    assert not Close.TOO_BIG.final


def test_close_codes_and_reasons_are_those_of_the_contract() -> None:
    final = ["machine-revoked", "bad-token", "forbidden", "replaced", "protocol-error", "unsupported-version"]
    back_off = ["over-capacity", "rate-limited", "slow-consumer", "unavailable"]
    come_back = ["draining", "no-pong", "bus-gap", "kicked"]
    for first, reasons in ((4001, final), (4100, back_off), (4200, come_back)):
        assert [Close(code).reason for code in range(first, first + len(reasons))] == reasons


def test_exit_codes_are_those_of_the_contract() -> None:
    codes = {64: "USAGE", 65: "AMBIGUOUS", 66: "NOT_FOUND", 69: "OFFLINE", 75: "UNAVAILABLE", 76: "REPLACED"}
    codes |= {77: "DENIED", 78: "CONFIGURATION", 124: "TIMED_OUT", 0: "OK", 1: "FAILURE"}
    assert {code.value: code.name for code in Exit} == codes


def test_an_error_says_the_same_wherever_it_is_shown() -> None:
    error = errors.Ambiguous("which one?", candidates=[{"id": "1"}], total=2)
    assert error.body() == {"code": "ambiguous", "message": "which one?", "candidates": [{"id": "1"}], "total": 2}
    assert str(error) == "which one?"


def test_an_error_without_a_sentence_says_its_code() -> None:
    assert str(errors.NotFound()) == errors.NotFound().message == "not-found"
    assert RelayError().body() == {"code": "internal", "message": "internal"}


def test_every_error_survives_the_wire() -> None:
    for kind in FAMILY:
        sent = kind("a sentence", limit="RING_BYTES")
        received = from_body(sent.body() | {"type": "error", "ref": 4})
        assert type(received) is kind
        assert received.body() == sent.body()
        assert (received.status, received.close, received.exit) == (kind.status, kind.close, kind.exit)


def test_an_error_of_a_later_version_keeps_its_code() -> None:
    later = from_body({"code": "on-fire", "message": "run"})
    assert (type(later), later.code, later.status) == (RelayError, "on-fire", 500)
    assert RelayError.code == "internal"


def test_an_error_without_code_or_message_is_internal() -> None:
    assert from_body({}).body() == {"code": "internal", "message": "internal"}


def test_no_two_errors_share_a_code() -> None:
    def all_of(base: type[RelayError]) -> list[type[RelayError]]:
        return [base, *(each for child in base.__subclasses__() for each in all_of(child))]

    ours = [each for each in all_of(RelayError) if each.__module__ == "relay.errors"]
    assert len({each.code for each in ours}) == len(ours) == len(FAMILY)
    assert all(400 <= each.status <= 599 for each in ours)


def test_an_error_that_is_final_on_a_socket_is_denied_or_final_on_the_command_line() -> None:
    assert errors.MachineRevoked().close is Close.MACHINE_REVOKED
    assert errors.BadToken().exit is Exit.DENIED
    assert errors.Misconfigured().exit is Exit.CONFIGURATION

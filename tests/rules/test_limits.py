from relay.rules import frames, limits


def test_every_limit_is_a_positive_whole_number() -> None:
    named = {name: value for name, value in vars(limits).items() if name.isupper()}
    assert len(named) > 30
    assert all(isinstance(value, int) and value > 0 for value in named.values())


def test_one_frame_fits_wherever_frames_wait() -> None:
    assert frames.HEADER_BYTES + limits.CHUNK_BYTES <= limits.FRAME_BYTES
    assert limits.FRAME_BYTES <= limits.BATCH_BYTES <= limits.OUTBOX_BYTES
    assert limits.CONTROL_BYTES <= limits.FRAME_BYTES <= limits.RING_BYTES


def test_no_window_fills_an_outbox() -> None:
    assert limits.REPLAY_WINDOW_BYTES + limits.WATCHER_WINDOW_BYTES < limits.OUTBOX_BYTES
    assert limits.DRIVER_WINDOW_BYTES < limits.WATCHER_WINDOW_BYTES < limits.RING_BYTES


def test_a_browser_reports_before_its_window_is_full() -> None:
    assert limits.SEEN_EVERY_BYTES < limits.REPLAY_WINDOW_BYTES <= limits.DRIVER_WINDOW_BYTES


def test_attachment_numbers_fit_their_header_field() -> None:
    assert limits.ATTACHMENTS_PER_SESSION < 2**16


def test_a_script_takes_no_more_ids_than_lua_unpacks() -> None:
    assert limits.SCRIPT_IDS < 5_000

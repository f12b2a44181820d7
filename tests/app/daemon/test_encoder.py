from app.daemon.encoder import compact


def test_half_a_surrogate_pair_is_no_reason_to_fail() -> None:
    assert compact({"text": "a\ud83d \U0001f600"}) == b'{"text":"a? \xf0\x9f\x98\x80"}'

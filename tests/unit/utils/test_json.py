from __future__ import annotations

from app.utils.json import dump_json


def test_json_is_compact_utf_8() -> None:
    assert dump_json({"a": ["ü", 1]}) == '{"a":["ü",1]}'.encode()


def test_integers_over_64_bits_keep_their_digits() -> None:
    assert dump_json({"a": 123456789012345678901234567890, "b": "ü"}) == '{"a":123456789012345678901234567890,"b":"ü"}'.encode()

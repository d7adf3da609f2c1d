from __future__ import annotations

import pickle

from hypothesis import given
from hypothesis import strategies as st

from monitor.errors import ModelError
from monitor.inference.protocol import Answer, Failed, Order, Ready, unpacked

numbers = st.integers(0, 2**64 - 1)


@given(numbers, st.lists(st.integers(0, 2**32 - 1), max_size=300).map(tuple))
def test_orders_arrive_as_they_were_sent(batch: int, slots: tuple[int, ...]) -> None:
    assert Order.unpacked(Order(batch, slots).packed()) == Order(batch, slots)


@given(numbers, st.binary(max_size=64))
def test_answers_arrive_as_they_were_sent(batch: int, scores: bytes) -> None:
    assert unpacked(Answer(batch, scores).packed()) == Answer(batch, scores)


def test_first_words_are_told_from_answers() -> None:
    assert unpacked(pickle.dumps(Ready(3))) == Ready(3)
    failed = unpacked(pickle.dumps(Failed(ModelError("broken", where="m", remedy="mend it"))))
    assert isinstance(failed, Failed)
    assert failed.error.remedy == "mend it"

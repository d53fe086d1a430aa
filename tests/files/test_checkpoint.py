"""Reading a checkpoint: every byte that is asked for, however few come at a time."""

import io

from weightspace.files.formats import fill


class Slow(io.RawIOBase):
    """At most three bytes a call, as a system gives at most two gibibytes."""

    def __init__(self, content: bytes) -> None:
        self.content = io.BytesIO(content)

    def readinto(self, buffer) -> int:
        return self.content.readinto(memoryview(buffer)[:3])


def test_a_read_that_stops_short_is_continued_and_one_past_the_end_is_refused() -> None:
    content, buffer = bytes(range(10)), bytearray(10)
    assert fill(Slow(content), memoryview(buffer))
    assert buffer == content
    assert not fill(Slow(content), memoryview(bytearray(11)))

"""Texts that come in pieces, cut as if they had come whole, with a bounded part in memory.

A piece may end in the middle of a word, of a special string, or of a surrogate pair. So the end of
what has come is held back until it is certain that nothing behind it changes how it is cut.
"""

import regex

CHUNK = 1 << 16  # characters that are looked at together
AROUND = 64  # characters before and behind a word at which a pattern may look


def valid_unicode(text):
    """Replace lone surrogates, half characters that no UTF-8 can hold, as tiktoken does."""
    try:
        text.encode("utf-8")
        return text
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def special_pattern(special_strings):
    """A regular expression, in a group, for these strings; of two at one place the longer one."""
    longest_first = sorted(special_strings, key=len, reverse=True)
    return "(" + "|".join(map(regex.escape, longest_first)) + ")"


def word_ends(pattern, text, end=0):
    """The places where words end, from the place `end` on, and so do the stretches between words,
    so that nothing is lost.

    `pattern` is compiled. Behind a match of nothing the search goes on one character later, as in
    `tokenizers`.
    """
    start = end
    while start <= len(text) and (match := pattern.search(text, start)):
        for place in match.span():
            if place > end:
                yield place
                end = place
        start = end if match[0] else end + 1
    if end < len(text):
        yield len(text)


def stream_parts(pieces, special_strings):
    """Split a text in pieces at special strings: yields (ordinary text, the special string behind
    it or None where the ordinary text goes on).
    """
    pattern = regex.compile(special_pattern(special_strings)) if special_strings else None
    longest, held = max(map(len, special_strings), default=1), ""

    def split(safe):
        """Give out what begins before the place `safe`; returns where the rest begins."""
        place = 0
        while pattern and (match := pattern.search(held, place)) and match.start() < safe:
            yield held[place : match.start()], match[0]
            place = match.end()
        if place < safe:
            yield held[place:safe], None
        return max(place, safe)

    for piece in pieces:
        for start in range(0, len(piece), CHUNK):
            held += piece[start : start + CHUNK]
            # A special string that begins before this place has come to its end.
            rest = yield from split(max(len(held) - longest + 1, 0))
            held = held[rest:]
    yield from split(len(held))


class OpenText:
    """Ordinary text that is still coming in: gives out the words that nothing behind them can
    change.

    The last two words are held back, and at least `AROUND` characters. That is enough for every
    pattern that looks no further than `AROUND` characters beyond the word behind the next: those of
    GPT-2, GPT-4 and Qwen look one character beyond a word, or three for a short form such as 'll.
    """

    def __init__(self, pattern):
        self.pattern = pattern  # compiled
        self.text, self.done, self.half, self.wait = "", 0, "", CHUNK

    def add(self, text):
        """Take the next text; yields the words that are certain now."""
        text = self.half + text
        self.half = text[-1:] if "\ud800" <= text[-1:] <= "\udbff" else ""  # of a surrogate pair
        self.text += valid_unicode(text.removesuffix(self.half))
        if len(self.text) < self.wait:
            return
        ends = list(word_ends(self.pattern, self.text, self.done))
        yield from self._words(end for end in ends[:-2] if end <= len(self.text) - AROUND)
        begin = max(self.done - AROUND, 0)
        self.text, self.done = self.text[begin:], self.done - begin
        self.wait = 2 * len(self.text) + CHUNK  # a long word is not searched for each new piece

    def close(self):
        """Yields the words that were held back; the text is at its end."""
        self.text += valid_unicode(self.half)
        yield from self._words(list(word_ends(self.pattern, self.text, self.done)))
        self.__init__(self.pattern)

    def _words(self, ends):
        for end in ends:
            yield self.text[self.done : end]
            self.done = end

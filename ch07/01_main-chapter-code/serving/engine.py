"""One model, one thread, many requests: they take turns, a token each.

A request is a `Job`. The engine goes round the jobs it has begun and lets each write one token, so
a short answer does not wait for a long one. Each job has its own cache of keys and values and its
own random numbers: what it writes is what it would write alone.
"""

import threading
from collections import deque

from ch07_01_main_chapter_code.previous_chapters import make_generator, stream_ids

AT_ONCE = 8  # jobs that take turns: each holds keys and values of its tokens
QUEUE = 64  # jobs that wait for one of these places


class QueueFull(Exception):
    """So many requests are waiting that one more would only wait too long."""


class AnswerText:
    """Token ids in, text out, as soon as it is certain.

    A character may be made of several tokens: the first of them wait for the others. What could be
    the beginning of a stop string waits until it is one, or is none. `stopped` tells that a stop
    string came; it is not part of the text.
    """

    def __init__(self, tokenizer, stops=()):
        self.tokenizer, self.stops = tokenizer, tuple(stops)
        self.waiting_ids, self.held, self.stopped = [], "", False

    def add(self, number):
        """The text that is certain now that this token came; often none."""
        self.waiting_ids.append(number)
        text = self.tokenizer.decode(self.waiting_ids)
        if text.endswith("\ufffd"):  # perhaps half a character
            return ""
        self.waiting_ids = []
        return self._release(self.held + text)

    def finish(self):
        """The rest, when no token follows; half a character becomes the replacement character."""
        text, self.waiting_ids = self.tokenizer.decode(self.waiting_ids), []
        return self._release(self.held + text, last=True)

    def _release(self, text, last=False):
        places = [text.index(stop) for stop in self.stops if stop in text]
        if places:
            self.stopped, self.held = True, ""
            return text[: min(places)]
        lengths = range(max(map(len, self.stops), default=1) - 1, 0, -1)
        beginnings = (
            n
            for n in lengths
            if n <= len(text) and any(stop.startswith(text[-n:]) for stop in self.stops)
        )
        kept = 0 if last else next(beginnings, 0)
        self.held = text[len(text) - kept :]
        return text[: len(text) - kept]


class Job:
    """A prompt to be continued. `deliver(piece, reason)` is called, in the engine's thread, for
    each piece of text; with the last one `reason` is `stop`, `length`, `cancelled` or an exception,
    and None before."""

    def __init__(self, ids, max_tokens, deliver, stops=(), seed=None, **sampling):
        self.ids, self.max_tokens, self.deliver = list(ids), max_tokens, deliver
        self.stops, self.seed, self.sampling = stops, seed, sampling
        self.n_tokens, self.cancelled, self.turns = 0, False, None

    def write(self, model):
        """Yield (piece, reason) for each token."""
        text = AnswerText(model.tokenizer, self.stops)
        generator = make_generator(self.seed, next(model.parameters()).device)
        for step in stream_ids(
            model, [self.ids], self.max_tokens, generator=generator, **self.sampling
        ):
            if step.item() == model.tokenizer.end_of_text:
                yield text.finish(), "stop"
                return
            self.n_tokens += 1
            piece = text.add(step.item())
            if text.stopped:
                yield piece, "stop"
                return
            yield piece, None
        piece = text.finish()
        yield piece, "stop" if text.stopped else "length"

    def turn(self, model):
        """Write one token and deliver what is certain. Returns whether there is more to come."""
        try:
            self.turns = self.turns or self.write(model)
            piece, reason = ("", "cancelled") if self.cancelled else next(self.turns)
        except Exception as error:  # this request fails; the others, and the engine, go on
            piece, reason = "", error
        if reason is not None:
            self.turns = None
        if piece or reason is not None:
            self.deliver(piece, reason)
        return reason is None


class Engine:
    """The thread that writes. `submit` and `cancel` may be called from any other."""

    def __init__(self, model, at_once=AT_ONCE, queue=QUEUE):
        self.model, self.at_once, self.queue = model.eval(), at_once, queue
        self.writing, self.waiting = deque(), deque()
        self.current, self.closed = None, False
        self.bell = threading.Condition()
        self.thread = threading.Thread(target=self._work, name="engine", daemon=True)
        self.thread.start()

    def submit(self, job):
        """Put a job at the end of the queue. Raises QueueFull."""
        with self.bell:
            if self.closed or sum(self._counts()) >= self.at_once + self.queue:
                raise QueueFull(
                    f"{len(self.waiting)} requests are waiting already; try again in a moment"
                )
            self.waiting.append(job)
            self.bell.notify()

    def cancel(self, job):
        """Stop writing for a job; one that has ended stays as it is. Its place is free after the
        current token.
        """
        with self.bell:
            job.cancelled = True
            if job in self.waiting:
                self.waiting.remove(job)
                job.deliver("", "cancelled")

    def counts(self):
        """How many jobs are being written, and how many wait for that."""
        with self.bell:
            return self._counts()

    def _counts(self):
        return len(self.writing) + (self.current is not None), len(self.waiting)

    def close(self, seconds=10):
        """End all jobs as cancelled, and the thread."""
        with self.bell:
            self.closed = True
            for job in (*self.writing, *self.waiting):
                job.cancelled = True
            self.bell.notify()
        self.thread.join(seconds)

    def _work(self):
        while (job := self._next()) is not None:
            more = job.turn(self.model)
            with self.bell:
                self.current = None
                if more:
                    job.cancelled = job.cancelled or self.closed
                    self.writing.append(job)

    def _next(self):
        """The job whose turn it is; waits for one, and gives None when the engine is closed and all
        have ended.
        """
        with self.bell:
            self.bell.wait_for(lambda: self.closed or self.writing or self.waiting)
            while self.waiting and (self.closed or len(self.writing) < self.at_once):
                self.writing.append(self.waiting.popleft())
            self.current = self.writing.popleft() if self.writing else None
            return self.current

"""Our SmolLM2 against llama.cpp, another program that reads the same file: do both choose the same
first token?

`python against_llama_cpp.py` asks both for 100 prompts and prints the disagreements;
`against_llama_cpp.txt` is what it printed. It needs `pip install xllamacpp`, which carries
llama.cpp. The server listens on this machine only.
"""

import json
import re
import urllib.request
from pathlib import Path

import torch

FOLDER = Path(__file__).parent
STORY = FOLDER.parents[1] / "ch02" / "01_main-chapter-code" / "the-verdict.txt"


def some_prompts(count):
    """`count` short texts to continue: our list of 49, then beginnings of sentences from chapter
    2's story.
    """
    prompts = (FOLDER / "prompts.txt").read_text(encoding="utf-8").splitlines()
    sentences = re.split(r"(?<=[.!?])\s+", STORY.read_text(encoding="utf-8"))
    beginnings = [
        " ".join(sentence.split()[: 3 + number % 9]) for number, sentence in enumerate(sentences)
    ]
    prompts += [text for text in dict.fromkeys(beginnings) if len(text.split()) > 2]
    return prompts[:count]


class LlamaCpp:
    """llama.cpp behind a server on the loopback address."""

    def __init__(self, path, threads=1):
        from xllamacpp import CommonParams, Server

        settings = CommonParams()
        settings.model.path = str(path)
        settings.cpuparams.n_threads = settings.cpuparams_batch.n_threads = threads
        settings.n_ctx, settings.n_parallel, settings.warmup, settings.verbosity = (
            1024,
            1,
            False,
            -1,
        )
        self.server = Server(settings)

    def ask(self, place, **question):
        data = json.dumps(question).encode()
        request = urllib.request.Request(
            self.server.listening_address + place, data, {"Content-Type": "application/json"}
        )
        # No proxy: the address is this machine's own.
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(
            request, timeout=60
        ) as answer:
            return json.load(answer)

    def tokenize(self, text):
        return self.ask("/tokenize", content=text, parse_special=False)["tokens"]

    def first_token(self, ids, count=5):
        """The greedy next token after `ids`, and {id: log-probability} of the `count` likeliest."""
        answer = self.ask(
            "/completion", prompt=ids, n_predict=1, temperature=0, n_probs=count, cache_prompt=False
        )
        (first,) = answer["completion_probabilities"]
        return first["id"], {entry["id"]: entry["logprob"] for entry in first["top_logprobs"]}

    def speed(self, ids, n_new):
        """Tokens/s of reading the prompt `ids` and of writing `n_new` tokens, as llama.cpp measures
        itself.
        """
        timings = self.ask(
            "/completion", prompt=ids, n_predict=n_new, temperature=0, cache_prompt=False
        )["timings"]
        return timings["prompt_per_second"], timings["predicted_per_second"]


@torch.inference_mode()
def compare(model, other, prompts):
    """Rows (prompt, our log-probabilities (vocab,), our choice, llama.cpp's choice, its
    log-probabilities).
    """
    rows = []
    for prompt in prompts:
        ids = model.tokenizer.encode(prompt)
        log_probs = model(torch.tensor([ids]))[0, -1].log_softmax(-1)
        rows.append((prompt, log_probs, log_probs.argmax().item(), *other.first_token(ids)))
    return rows


def typical_difference(rows):
    """Root mean square difference of the two log-probabilities, over the tokens that llama.cpp
    finds likeliest.
    """
    differences = [
        ours[token].item() - value
        for _, ours, _, _, theirs in rows
        for token, value in theirs.items()
    ]
    return torch.tensor(differences).square().mean().sqrt().item()


def report(rows, tokenizer):
    """The lines to print: how many agree, and for each disagreement how close the two candidates
    are to each other.
    """
    wrong = [row for row in rows if row[2] != row[3]]
    lines = [
        f"same first token on {len(rows) - len(wrong)} of {len(rows)} prompts; "
        f"log-probabilities of likely tokens differ by {typical_difference(rows):.2f} nats (root mean square)"
    ]
    for prompt, log_probs, ours, theirs, _ in wrong:
        gap = (log_probs[ours] - log_probs[theirs]).item()
        choices = f"ours {tokenizer.decode([ours])!r}, llama.cpp {tokenizer.decode([theirs])!r}"
        lines.append(f"  {prompt!r}: {choices}; ours finds its own likelier by {gap:.2f} nats")
    return lines


def main():
    """Compare over 100 prompts and print the report."""
    from ch05_05_bonus_gpt_to_llama.smollm2 import fetch_smollm2, find_smollm2, load_smollm2

    path = find_smollm2() or fetch_smollm2()
    model = load_smollm2(path)
    print("\n".join(report(compare(model, LlamaCpp(path), some_prompts(100)), model.tokenizer)))


if __name__ == "__main__":
    main()

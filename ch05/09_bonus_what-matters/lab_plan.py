"""Which runs the laboratory makes, in which order, and how long they are: a function of its settings
and of the rows that are there, so that it goes on wherever it was stopped.

1. **Pilot.** The default run at several lengths with the judging seeds. It decides the length of all
   other runs: the shortest at which five seeds can tell a choice that is worth a fifth more tales. At
   that length a longer training changes the loss by more than the luck of a seed does; early on
   little is learned, and all losses are alike.
2. **Rates.** Every variant with one seed and three rates, each twice the one before. Where the best
   is the lowest or the highest of them, the next one beyond is tried, until the best lies inside.
3. **Seeds.** Every variant at its best rate with five other seeds. First come the variants that could
   matter: those that the one seed saw further from the default run than its seeds are from each
   other. The rest follows, because that a choice does not matter must be shown, too.
"""

import math
from dataclasses import asdict

from lab_runs import Job, settings_sum
from lab_settings import LOG, Lab
from variants import BASELINE, all_variants, default_recipe
from verdicts import (
    CHOOSING_SEED,
    JUDGING_SEEDS,
    WORTH,
    best_rate,
    bound_of,
    can_tell,
    find,
    judge_all,
    paired,
    paired_in_time,
    score,
    slope,
    spread,
)

from ch05_01_main_chapter_code.run_folders import read_results

KIND = "laboratory"  # under this name the settings stand in the log's first line
MOST_RATES = 6
CHOOSING_STORIES = 200  # that a run writes which only chooses a rate
STEPS_PER_SECOND, JUDGING_SECONDS = 8, 20  # before anything was measured


class Plan:
    """The jobs of a laboratory. `rows`: those of its log; the list may grow."""

    def __init__(self, lab, rows):
        sizes = {"emb_dim": lab.emb_dim, "n_layers": lab.n_layers}
        self.lab, self.rows, self.base = lab, rows, default_recipe(**sizes)
        self.variants = all_variants(self.base)
        if lab.choices:
            there = sorted({variant.choice for variant in self.variants})
            if wrong := [name for name in lab.choices if name not in there]:
                raise ValueError(f"no choice is called {wrong[0]!r}; there are {', '.join(there)}")
            self.variants = [one for one in self.variants if one.choice in lab.choices]

    @property
    def settings(self):
        """What the log's first line keeps: rows of other settings are not to be mixed with these."""
        return asdict(self.lab) | {"rate": self.rate, "settings": settings_sum(self.base)}

    @property
    def rate(self):
        return rounded(self.base.train.lr)

    def done(self, job):
        return bool(find(self.rows, **job.key))

    # --- The three stages -------------------------------------------------------------------------

    def pilot(self):
        return [
            Job(self.base, BASELINE, self.rate, seed, tales, self.lab.stories)
            for tales in self.lab.lengths
            for seed in JUDGING_SEEDS
        ]

    def length(self):
        """The tales of a run, as the pilot decides, or None before it is done: the shortest length
        at which a choice worth `WORTH` times as many tales can be told, or else the one that tells
        most, of those that fit into the hours.
        """
        if not all(map(self.done, self.pilot())):
            return None
        fitting = [n for n in self.lab.lengths if self.total_hours(n) <= self.lab.hours]
        fitting = fitting or self.lab.lengths[:1]
        telling = [n for n in fitting if self.resolution(n) <= WORTH]
        return telling[0] if telling else min(fitting, key=self.resolution)

    def resolution(self, tales):
        """How many times as many tales a choice must be worth to be told at this length."""
        steep = slope(self.rows, tales, self.rate)
        told = can_tell(spread(self.rows, tales, self.rate), len(JUDGING_SEEDS))
        return math.exp(min(told / steep, 99)) if steep > 0 else math.inf

    def total_hours(self, tales):
        """About what the whole takes on two cores, if all runs have this length."""
        pilot = sum(map(self.seconds_of, self.pilot()))
        one = Job(self.base, BASELINE, self.rate, JUDGING_SEEDS[0], tales, self.lab.stories)
        runs = (1 + len(self.variants)) * (
            3.5 + len(JUDGING_SEEDS)
        )  # half of them get a fourth rate
        return (pilot + runs * self.seconds_of(one)) / 2 / 3600

    def rates_of(self, variant, tales):
        """The rates to try for a variant, lowest first: those that are done, and what they ask for."""
        centre, powers = self.base.train.lr * variant.rate, [-1, 0, 1]
        while True:
            rates = [rounded(centre * 2**power) for power in powers]
            key = dict(variant=variant.name, seed=CHOOSING_SEED, tales=tales)
            rows = [find(self.rows, **key, lr=lr) for lr in rates]
            if len(rates) == MOST_RATES or not all(rows):
                return rates
            scores = [score(row[0]) for row in rows]
            best = scores.index(min(scores))
            if best == 0:
                powers.insert(0, powers[0] - 1)
            elif best == len(rates) - 1:
                powers.append(powers[-1] + 1)
            else:
                return rates

    def choosing(self, variant, tales):
        return [
            Job(self.base, variant, lr, CHOOSING_SEED, tales, CHOOSING_STORIES)
            for lr in self.rates_of(variant, tales)
        ]

    def judging(self, variant, tales):
        lr = best_rate(self.rows, variant.name, tales)
        return [
            Job(self.base, variant, lr, seed, tales, self.lab.stories) for seed in JUDGING_SEEDS
        ]

    def could_matter(self, variant, tales):
        """True for a variant that the choosing seed saw further from the default run than the
        default run's seeds are from each other.
        """
        ours, theirs = (
            min(
                score(row) for row in find(self.rows, variant=name, seed=CHOOSING_SEED, tales=tales)
            )
            for name in (variant.name, BASELINE.name)
        )
        return abs(ours - theirs) >= spread(self.rows, tales, self.rate)

    def jobs(self):
        """All jobs that are known by now, done ones included, in the order in which they are made."""
        jobs, tales = self.pilot(), self.length()
        if tales is None:
            return jobs
        stages = {v.name: self.choosing(v, tales) for v in (BASELINE, *self.variants)}
        jobs += [job for stage in stages.values() for job in stage]
        settled = [v for v in self.variants if all(map(self.done, stages[v.name]))]
        if all(map(self.done, stages[BASELINE.name])):
            jobs += self.judging(BASELINE, tales)
            for variant in sorted(settled, key=lambda v: not self.could_matter(v, tales)):
                jobs += self.judging(variant, tales)
        return jobs

    def next_job(self, running=()):
        """The first job that is neither done nor running, or None."""
        keys = [job.key for job in running]
        return next((j for j in self.jobs() if j.key not in keys and not self.done(j)), None)

    def bound(self):
        """The difference of scores that is worth `WORTH` times as many tales, once the pilot is done."""
        return bound_of(self.rows, self.length(), self.rate)

    # --- What comes of it -------------------------------------------------------------------------

    def verdicts(self, same_seconds=False):
        """{variant: `Comparison`} for all variants, as far as they are measured: beside the default
        run after as many tales, or after as many seconds.
        """
        tales, names = self.length(), [variant.name for variant in self.variants]
        if tales is None:
            return judge_all({name: [] for name in names}, 0.0)
        if same_seconds:
            found = {n: paired_in_time(self.rows, n, tales, self.rate) for n in names}
        else:
            found = {n: paired(self.rows, n, tales) for n in names}
        return judge_all(found, self.bound())

    # --- Time -------------------------------------------------------------------------------------

    def seconds_of(self, job):
        """About how long a job takes on a core: as long as the same variant, or the default run, took
        for a tale; what a run's own stories take is not told apart.
        """
        rows = find(self.rows, variant=job.variant.name, tales=job.tales)
        rows = rows or find(self.rows, variant=BASELINE.name, tales=job.tales)
        measured = [row["seconds"] for row in rows if row["nats"] is not None]
        if measured:
            return sum(measured) / len(measured)
        steps = job.tales / self.base.train.batch_size
        return steps / STEPS_PER_SECOND + JUDGING_SECONDS

    def remaining(self):
        """The runs that are known to be left, and about how many hours they take on two cores."""
        left = [job for job in self.jobs() if not self.done(job)]
        return len(left), sum(map(self.seconds_of, left)) / 2 / 3600


def rounded(rate):
    """A rate with three digits, so that a line of the log says all of it."""
    return float(f"{rate:.3g}")


def read_log(log=LOG):
    """The plan of a log with its rows, and the log's first line; where no log is begun yet, a plan
    without rows, and None. Nothing is written.
    """
    if not log.exists():
        return Plan(Lab(), []), None
    head, rows = read_results(log, KIND)
    settings = {k: v for k, v in head[KIND].items() if k not in ("rate", "settings")}
    return Plan(Lab(**settings), rows), head

"""A request at work: progress while it runs, and afterwards its texts with how they came to be."""

from dataclasses import dataclass
from time import perf_counter

from cdlm.output import Output
from cdlm.pipeline import Pipeline
from cdlm.service.jobs import Step
from cdlm.service.replay import Recorder, Trajectory, with_curves
from cdlm.service.request import Request
from cdlm.watching import BatchStep


@dataclass(frozen=True)
class Result:
    """What a request gave.

    Attributes:
        output: the texts and verdicts. recorder: every step of every text. seconds: of wall-clock time.
    """

    request: Request
    output: Output
    recorder: Recorder
    seconds: float

    def trajectory(self, text: str, pipe: Pipeline) -> Trajectory | None:
        """How one of the texts came to be; None for a text that was left as it was."""
        return self.recorder.trajectory(text, pipe.tokenizer)

    def judged(self, trajectory: Trajectory, pipe: Pipeline, step: Step) -> Trajectory:
        """The same with each wish judged at every step, which may take as long as the writing did.

        Raises:
            Stopped: the job is to end.
        """
        return with_curves(trajectory, pipe, self.request.judged(), step)


def perform(request: Request, pipe: Pipeline, step: Step) -> Result:
    """Run a request; ``step`` is told how far it is.

    Raises:
        Stopped: the job is to end. ValueError: a request or wish that cannot be met.
    """
    recorder, started = Recorder(), perf_counter()

    def watch(seen: BatchStep) -> None:
        recorder(seen)
        within = seen.texts * seen.frame.step / seen.frame.steps
        share = min(1.0, (recorder.finished() + within) / request.texts)
        step(share, seen.read(0, seen.frame.tokens[0].tolist()))

    step(0.0, "reading the wishes")
    output = request.run(pipe, watch)
    return Result(request, output, recorder, perf_counter() - started)


class Pace:
    """Expected seconds of a request, learnt from those that have run on this machine."""

    START = 0.004

    def __init__(self) -> None:
        self._per_evaluation: dict[tuple[str, ...], float] = {}

    def expect(self, request: Request) -> float:
        """Seconds that a request will take."""
        rate = self._per_evaluation.get(self._key(request)) or self._nearest(request)
        return rate * self._evaluations(request)

    def learn(self, request: Request, seconds: float) -> None:
        """Take a finished request into account."""
        rate, old = seconds / self._evaluations(request), self._per_evaluation.get(self._key(request))
        self._per_evaluation[self._key(request)] = rate if old is None else (rate + old) / 2

    @staticmethod
    def _key(request: Request) -> tuple[str, ...]:
        return (request.model, request.verb, *sorted(w.name for w in request.wishes))

    @staticmethod
    def _evaluations(request: Request) -> int:
        asked = 1 if request.guidance_scale in {0, 1} else 2  # guided, the network is asked with and without the source
        return request.texts * request.steps_of(request.controllers()) * asked

    def _nearest(self, request: Request) -> float:
        """The slowest of what this model has done with some of these wishes."""
        mine = set(self._key(request))
        near = [rate for key, rate in self._per_evaluation.items() if set(key) <= mine]
        learned = sum(2.0 for w in request.controllers() if w.soft)
        return max(near, default=self.START * (1 + learned))

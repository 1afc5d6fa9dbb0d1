"""Many requests one after another: what is done stays done, so that a stopped batch can go on."""

from dataclasses import dataclass, field
from typing import Any

from cdlm.service.jobs import Step, Stopped, message_of
from cdlm.service.models import ModelStore
from cdlm.service.request import Request
from cdlm.service.tables import rows_of
from cdlm.service.work import perform


@dataclass
class Batch:
    """Requests and the rows of those that are finished.

    Attributes:
        done: for each finished request its rows; a request that was refused has one row with its error.
    """

    requests: list[Request]
    done: list[list[dict[str, Any]]] = field(default_factory=list)

    @property
    def finished(self) -> bool:
        """Whether nothing is left."""
        return len(self.done) == len(self.requests)

    @property
    def rows(self) -> list[dict[str, Any]]:
        """One row a text so far."""
        ids = [{"id": request.id} if request.id else {} for request in self.requests]
        return [{"request": n + 1, **ids[n], **row} for n, rows in enumerate(self.done) for row in rows]

    def run(self, store: ModelStore, step: Step) -> None:
        """Do what is left, from the first request that is not finished.

        Raises:
            Stopped: the job is to end; what is finished is kept.
        """
        for request in self.requests[len(self.done) :]:
            step(len(self.done) / len(self.requests), f"at request {len(self.done) + 1}")
            self.done.append(self._rows(request, store, step))
        step(1.0)

    def _rows(self, request: Request, store: ModelStore, step: Step) -> list[dict[str, Any]]:
        try:
            store.check_wishes(request.wishes)
            result = perform(request, store.get(request.model), lambda share=None, note=None: step())
        except Stopped:
            raise
        except Exception as error:  # noqa: BLE001 - one bad request does not end the others
            return [{"text": "", "satisfied": False, "error": message_of(error), "seed": request.seed}]
        return rows_of(request, result.output, result.output.remarks)

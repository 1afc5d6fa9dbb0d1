"""Requests on Ray Data: one callable for ``map_batches``, a pipeline a worker. Ray itself is imported by the caller.

ds = ray.data.from_items([{"row": n, "request": json.dumps(r.plain())} for n, r in enumerate(seeded(requests, 0))])
ds.map_batches(Answers, concurrency=2, batch_size=4, fn_constructor_kwargs={"device": "cpu"}).write_json("out")
"""

import json
from functools import cache
from typing import Any

import numpy as np

from cdlm.pipeline import Pipeline
from cdlm.service.request import Request
from cdlm.service.shards import answer


class Answers:
    """Called with a batch of columns ``row`` and ``request`` (a request as JSON); gives ``row`` and ``texts`` (rows as JSON).

    A text depends on its request alone, so neither the batches nor the number of workers matter.
    """

    def __init__(self, device: str = "auto", dtype: str = "auto") -> None:
        self.open = cache(lambda name: Pipeline.from_pretrained(name, device=device, dtype=dtype))

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        asked = [Request.from_plain(json.loads(str(text))) for text in batch["request"]]
        texts = [json.dumps(answer(request, self.open), ensure_ascii=False) for request in asked]
        return {"row": np.asarray(batch["row"]), "texts": np.array(texts, dtype=object)}

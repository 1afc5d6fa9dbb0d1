"""Examples to start from: name -> model and request."""

from typing import Any

GENERATE: dict[str, dict[str, Any]] = {
    "Twenty words, two of them yours": {
        "wishes": [
            {"name": "length", "fields": {"low": 20}},
            {"name": "keywords", "fields": {"include": ["pub", "riverside"]}},
        ]
    },
    "Italian food, nothing cheap": {
        "wishes": [
            {"name": "attribute", "fields": {"attribute": "food", "value": "Italian"}},
            {"name": "keywords", "fields": {"exclude": ["cheap"]}},
        ]
    },
    "A grammar of your own": {"wishes": [{"name": "pos", "fields": {"tags": "DET PROPN AUX DET ADJ? NOUN+ * PUNCT"}}]},
    "The grammar of a sentence": {
        "wishes": [{"name": "tree", "fields": {"like": "The Eagle is a cheap pub near the river."}}]
    },
    "A good mood": {
        "model": "english",
        "wishes": [
            {"name": "sentiment", "fields": {"label": "positive"}},
            {"name": "length", "fields": {"low": 8}},
        ],
    },
}

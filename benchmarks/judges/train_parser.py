"""Train the second syntax judge: a small spaCy pipeline (universal tags, dependencies) on the English Web Treebank.

python benchmarks/judges/train_parser.py ../shared/data/ud_ewt runs/judges/ud_ewt [--max-minutes 60] [--core]

It starts from nothing: no vectors, no word of `en_core_web_sm`. `parse_texts(texts, parser="runs/judges/ud_ewt")` reads
it. The state that is best on dev is kept, and its figures on test are printed and written to figures.json.

What may be compared with `en_core_web_sm`: tags, and heads (UAS), never labels (LAS): that parser says "pobj" where this
one says "obl". Even heads follow two conventions: here a preposition hangs on its noun and "is" on its predicate, there
it is the other way round. So two heads are compared only where both conventions agree (determiners, adjectives, subjects
of full verbs, ...), or each judge's parse of a text with the same judge's parse of the reference. Phrase spans follow
from the other parser's labels and are not for this one.
"""

import argparse
import json
import logging
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import spacy
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example
from spacy.training.batchers import minibatch_by_words
from spacy.util import load_model_from_config
from thinc.api import Config, fix_random_seed

from cdlm.files import write_json

SPLITS = ("train", "dev", "test")
LOG = logging.getLogger(__name__)
CONFIG = """
[nlp]
lang = "en"
pipeline = ["tok2vec", "morphologizer", "parser"]

[components]

[components.tok2vec]
factory = "tok2vec"

[components.tok2vec.model]
@architectures = "spacy.HashEmbedCNN.v2"
pretrained_vectors = null
width = 96
depth = 4
embed_size = 5000
window_size = 1
maxout_pieces = 3
subword_features = true

[components.morphologizer]
factory = "morphologizer"

[components.morphologizer.model]
@architectures = "spacy.Tagger.v2"

[components.morphologizer.model.tok2vec]
@architectures = "spacy.Tok2VecListener.v1"
width = ${components.tok2vec.model.width}

[components.parser]
factory = "parser"

[components.parser.model]
@architectures = "spacy.TransitionBasedParser.v2"
state_type = "parser"
extra_state_tokens = false
hidden_width = 64
maxout_pieces = 2
use_upper = true

[components.parser.model.tok2vec]
@architectures = "spacy.Tok2VecListener.v1"
width = ${components.tok2vec.model.width}

[training]

[training.optimizer]
@optimizers = "Adam.v1"
learn_rate = 0.001
use_averages = true
"""
BATCH_WORDS = 800
UPDATES = 150  # between two looks at dev
PATIENCE = 30
DROPOUT = 0.1


@dataclass(frozen=True)
class Sentence:
    """A gold sentence; heads are distances to the own place, so that sentences may be strung together."""

    words: tuple[str, ...]
    spaces: tuple[bool, ...]
    tags: tuple[str, ...]
    heads: tuple[int, ...]
    labels: tuple[str, ...]


def main() -> None:
    """Train, keep the best, report on test."""
    arguments = _arguments()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    fix_random_seed(arguments.seed)
    splits = {name: read_conllu(arguments.corpus / f"{name}.conllu", core=arguments.core) for name in SPLITS}
    nlp = load_model_from_config(Config().from_str(CONFIG), auto_fill=True)
    examples = {name: make_examples(nlp, found) for name, found in splits.items()}
    best = train(nlp, examples["train"], examples["dev"], arguments.output, 60 * arguments.max_minutes)
    judge = spacy.load(arguments.output)
    figures = {"core_labels": arguments.core, **best, "test": score(judge, make_examples(judge, splits["test"]))}
    write_json(arguments.output / "figures.json", figures)
    print(json.dumps(figures, indent=2))


def read_conllu(path: Path, *, core: bool) -> list[Sentence]:
    """The sentences of a treebank; with `core` the labels lose their subtypes ("nsubj:pass" is "nsubj")."""
    blocks = path.read_text(encoding="utf-8").strip().split("\n\n")
    return [_sentence([line.split("\t") for line in b.splitlines() if line[0] != "#"], core=core) for b in blocks]


def _sentence(lines: list[list[str]], *, core: bool) -> Sentence:
    joined, closed = set(), {}
    for row in lines:
        if "-" in row[0]:  # a line "2-3 don't": its words stand together, and the blank is the whole's
            first, last = map(int, row[0].split("-"))
            joined |= set(range(first, last))
            closed[last] = row[9]
    rows = [row for row in lines if row[0].isdigit()]
    glued = [int(row[0]) in joined or "SpaceAfter=No" in closed.get(int(row[0]), row[9]) for row in rows]
    return Sentence(
        words=tuple(row[1] for row in rows),
        spaces=tuple(not glue for glue in glued),
        tags=tuple(row[3] for row in rows),
        heads=tuple(int(row[6]) - int(row[0]) if row[6] != "0" else 0 for row in rows),
        labels=tuple("ROOT" if row[6] == "0" else row[7].partition(":" if core else "\n")[0] for row in rows),
    )


def make_examples(nlp: Language, sentences: list[Sentence]) -> list[Example]:
    """Gold documents of one to four neighbouring sentences: the judge has to find where a sentence ends, too."""
    chance, documents, at = random.Random(0), [], 0
    while at < len(sentences):
        size = chance.randint(1, 4)
        documents.append(_example(nlp, sentences[at : at + size]))
        at += size
    return documents


def _example(nlp: Language, sentences: list[Sentence]) -> Example:
    words = [word for s in sentences for word in s.words]
    spaces = [space for s in sentences for space in s.spaces]
    shifts = [shift for s in sentences for shift in s.heads]
    gold = Doc(
        nlp.vocab,
        words=words,
        spaces=spaces,
        pos=[tag for s in sentences for tag in s.tags],
        heads=[word + shift for word, shift in enumerate(shifts)],
        deps=[label for s in sentences for label in s.labels],
    )
    return Example(_bare(nlp, gold), gold)


def train(nlp: Language, examples: list[Example], dev: list[Example], out: Path, seconds: float) -> dict[str, Any]:
    """Learn until the time is over or dev stands still; the folder then holds the best state, the answer its figures."""
    optimizer, began = nlp.initialize(lambda: examples), time.monotonic()
    best: dict[str, Any] = {}
    for step, batch in enumerate(_batches(examples), start=1):
        nlp.update(batch, sgd=optimizer, drop=DROPOUT)
        passed = time.monotonic() - began
        if step % UPDATES and passed < seconds:
            continue
        with nlp.use_params(optimizer.averages):
            figures = score(nlp, dev)
            if not best or sum(figures.values()) > sum(best["dev"].values()):
                best = {"step": step, "minutes": round(passed / 60, 1), "dev": figures}
                nlp.to_disk(out)
        LOG.info("step %d, %.0f s: %s", step, passed, figures)
        if passed >= seconds or step - best["step"] >= PATIENCE * UPDATES:
            break
    return best


def _batches(examples: list[Example]) -> Iterator[list[Example]]:
    while True:
        random.shuffle(examples)
        yield from minibatch_by_words(examples, BATCH_WORDS)


def score(nlp: Language, examples: list[Example]) -> dict[str, float]:
    """Tag accuracy, UAS and LAS, the last two without punctuation, and F of sentence starts; words as in the treebank."""
    found = nlp.evaluate([Example(_bare(nlp, e.reference), e.reference) for e in examples], batch_size=128)
    names = {"upos": "pos_acc", "uas": "dep_uas", "las": "dep_las", "sentences": "sents_f"}
    return {name: round(found[key], 4) for name, key in names.items()}


def _bare(nlp: Language, gold: Doc) -> Doc:
    return Doc(nlp.vocab, words=[t.text for t in gold], spaces=[bool(t.whitespace_) for t in gold])


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Train the second syntax judge.")
    parser.add_argument("corpus", type=Path, help="folder with train.conllu, dev.conllu and test.conllu")
    parser.add_argument("output", type=Path, help="where the pipeline and figures.json go")
    parser.add_argument("--max-minutes", type=float, default=60)
    parser.add_argument("--core", action="store_true", help='labels without subtypes: "nsubj" for "nsubj:pass"')
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


if __name__ == "__main__":
    main()

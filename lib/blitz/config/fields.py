"""The types of the config's values, and what all its sections have in common (docs/contract.md, section 1)."""

from datetime import date
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from blitz.config.values import (
    check_ascending,
    check_input_file,
    check_input_path,
    check_list_path,
    check_optional_path,
    check_output_file,
    check_output_path,
    check_time_format,
    matching,
    parse_date,
    parse_number,
    parse_spark_value,
    parse_store_code,
)

_T = TypeVar("_T")
Name = Annotated[str, StringConstraints(min_length=1)]
Filled = Annotated[list[_T], Field(min_length=1)]
Number = Annotated[float, BeforeValidator(parse_number)]
Day = Annotated[date, BeforeValidator(parse_date)]
InputPath = Annotated[str, AfterValidator(check_input_path)]
OptionalPath = Annotated[str, AfterValidator(check_optional_path)]
OutputPath = Annotated[str, AfterValidator(check_output_path)]
ListPath = Annotated[str, AfterValidator(check_list_path)]
InputFile = Annotated[str, AfterValidator(check_input_file)]
OutputFile = Annotated[str, AfterValidator(check_output_file)]
StoreCode = Annotated[str, BeforeValidator(parse_store_code)]
SparkValue = Annotated[str, BeforeValidator(parse_spark_value)]
Sha256 = Annotated[
    str, AfterValidator(matching("[0-9a-fA-F]{64}", "the 64 hex digits of a SHA-256")), AfterValidator(str.lower)
]
Memory = Annotated[str, AfterValidator(matching("[1-9][0-9]*[mgMG]", "a size such as 12g or 800m"))]
TimeFormat = Annotated[str, AfterValidator(check_time_format)]
DayStart = Annotated[str, AfterValidator(matching("([01][0-9]|2[0-3]):[0-5][0-9]", 'a time of day such as "04:00"'))]
CutPoints = Annotated[list[Number], Field(min_length=4, max_length=4), AfterValidator(check_ascending)]
Url = Annotated[str, AfterValidator(matching(r"https?://[^\s/@]+/?", "a URL such as http://localhost:9000"))]
CatalogPart = Annotated[str, AfterValidator(matching(r"\w[\w-]*", "letters, digits, _ and -"))]
Region = Annotated[str, AfterValidator(matching("[a-z0-9-]+", "a region such as ap-south-1"))]


class Section(BaseModel):
    """A frozen section of the config, which also reads like the dict that it came from."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", protected_namespaces=())

    def __getitem__(self, key: str) -> Any:
        """The value of a key of the JSON object, its default where the file leaves it out; KeyError for other keys."""
        if key not in type(self).model_fields:
            raise KeyError(key)
        return getattr(self, key)

    def __contains__(self, key: object) -> bool:
        """Whether ``config[key]`` has a value."""
        return key in type(self).model_fields

    def get(self, key: str, default: Any = None) -> Any:
        """The value of a key, or ``default`` where the object has no such key."""
        try:
            return self[key]
        except KeyError:
            return default

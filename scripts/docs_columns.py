"""Write the column tables of docs/data.md: inputs from blitz.tables, outputs from the schemas that a run published.

Run by ``make docs`` on a small sample of its own; a test fails where the page is not what this writes. A column without
a meaning in docs_meanings.py or blitz.pipelines.meanings, or a meaning without a column, is an error: whoever adds a
column says what it is.
"""

import json
import re
import sys
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(CHECKOUT / "lib"))

import pyarrow.parquet as pq  # noqa: E402
from pyspark.sql.pandas.types import from_arrow_schema  # noqa: E402

from blitz.pipelines.meanings import FAMILIES  # noqa: E402
from blitz.raw import specs as tables  # noqa: E402
from blitz.raw.channels import CHANNELS  # noqa: E402
from blitz.raw.specs import Kind, TableSpec  # noqa: E402
from docs_meanings import INPUTS, RAW  # noqa: E402

PAGE = CHECKOUT / "docs/data.md"
READ_AS = {
    Kind.ID: "bigint",
    Kind.CODE: "string",
    Kind.TEXT: "string",
    Kind.NUMBER: "double",
    Kind.FLAG: "boolean",
    Kind.INSTANT: "timestamp, UTC",
    Kind.LOCAL: "timestamp, local",
    Kind.AS_IS: "as in the file",
}
_PART = re.compile(r"(<!-- columns: (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)


def schema_of(folder: str) -> dict[str, str]:
    """The columns of a published Parquet table and their Spark types, whichever engine wrote it."""
    file = sorted(Path(folder).glob("*.parquet"))[0]
    schema = from_arrow_schema(pq.read_schema(file), prefer_timestamp_ntz=True)
    return {field.name: field.dataType.simpleString() for field in schema.fields}


def outputs(config: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """The schemas of a run's outputs by step."""
    features, segmentation = config["feature_pipeline"], config["segmentation"]
    paths = {name: features[name]["output_path"] for name in CHANNELS}
    paths |= {
        "customers": features["customer"]["output_path"],
        "scores": str(Path(features["customer"]["output_path"]).parent / "users_scores.parquet"),
        "segments": segmentation["output_segments_path"],
        "microsegments": segmentation["output_microsegments_path"],
    }
    return {step: schema_of(path) for step, path in paths.items()}


def table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A Markdown table."""
    names = list(header)
    lines = [names, ["---"] * len(names), *map(list, rows)]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def input_part(name: str) -> str:
    """The columns that are read of one raw table."""
    spec: TableSpec = getattr(tables, name)
    rows = []
    for field in spec.fields:
        unit, meaning = INPUTS[name].get(field.name) or RAW[field.name]
        needed = "yes" if field.required else "order time" if field.name == spec.time else ""
        rows.append((f"`{field.name}`", field.kind.name.lower(), READ_AS[field.kind], needed, unit, meaning))
    return table(("Column", "Kind", "Read as", "Needed", "Unit", "Meaning"), rows)


def output_part(step: str, schema: Mapping[str, str]) -> str:
    """The families of an output's columns, and below them all its columns in order."""
    left, rows = dict(schema), []
    for pattern, shown, unit, meaning in FAMILIES[step]:
        found = [name for name in left if re.fullmatch(pattern, name)]
        if not found:
            raise SystemExit(f"lib/blitz/pipelines/meanings.py: {step}: no column is {pattern!r}; take it out")
        kinds = dict.fromkeys(left.pop(name) for name in found)
        label = f"`{shown or found[0]}`" + (f" ({len(found)})" if len(found) > 1 else "")
        rows.append((label, f"`{'`, `'.join(kinds)}`", unit, meaning))
    if left:
        raise SystemExit(f"lib/blitz/pipelines/meanings.py: {step}: say what these columns are: {', '.join(left)}")
    text = table(("Column", "Type", "Unit", "Meaning"), rows)
    if len(rows) == len(schema):
        return text
    every = "\n".join(f"{name}  {kind}" for name, kind in schema.items())
    return (
        f"{text}\n<details><summary>All {len(schema)} columns in order</summary>\n\n```\n{every}\n```\n\n</details>\n"
    )


def written(page: str, config: Mapping[str, Any]) -> str:
    """The page with every column table as it must be, for the outputs of a config's run."""
    schemas = outputs(config)

    def part(match: re.Match[str]) -> str:
        name = match[2]
        if name in CHANNELS and name != "ownapp" and schemas[name] == schemas["ownapp"]:
            text = "The same columns and types as the own-app order features.\n"
        else:
            text = output_part(name, schemas[name]) if name in schemas else input_part(name)
        return match[1] + text + match[3]

    missing = [name for name in (*INPUTS, *schemas) if f"<!-- columns: {name} -->" not in page]
    if missing:
        raise SystemExit(f"docs/data.md: no table for {', '.join(missing)}")
    return _PART.sub(part, page)


def main() -> None:
    """Run the pipeline on a sample and write the page."""
    from blitz.cli.main import main as run
    from blitz_sample.generate import FEWEST_ORDERS, write_sample

    with tempfile.TemporaryDirectory(prefix="blitz-docs-") as folder:
        write_sample(FEWEST_ORDERS, 11, f"{folder}/sample")
        text = (CHECKOUT / "conf/local.json").read_text()
        text = text.replace("data/sample/", f"{folder}/sample/").replace("data/out/", f"{folder}/out/")
        conf = Path(folder) / "conf.json"
        conf.write_text(text)
        if code := run("run_all", argv=["--conf", str(conf)]):
            sys.exit(code)
        PAGE.write_text(written(PAGE.read_text(), json.loads(text)))
    print(f"Written: {PAGE.relative_to(CHECKOUT)}")


if __name__ == "__main__":
    main()

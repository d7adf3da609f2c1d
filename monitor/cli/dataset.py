"""`dataset …`: lists of pictures to train on and to measure with."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from monitor.cli.output import Format, FormatOption, print_rows

app = typer.Typer(no_args_is_help=True)

COLUMNS = (
    "source",
    "pictures",
    "train_nobody",
    "train_someone",
    "val_nobody",
    "val_someone",
    "unlabelled",
    "left_out_small_person",
)


@app.callback()
def dataset() -> None:
    """Make lists of pictures from annotated collections.

    Example: `run_monitor.py dataset build --source coco --annotations instances.json
    --images train2017 --output dataset/person_exists`
    """


@app.command()
def build(
    *,
    config: Annotated[
        Path | None, typer.Option("--config", "-c", help="YAML with `sources` and the rules.")
    ] = None,
    source_format: Annotated[
        str | None,
        typer.Option("--source", help="One source: coco, objects365, voc, yolo or folders."),
    ] = None,
    annotations: Annotated[
        Path | None, typer.Option("--annotations", help="Its JSON file, or folder of XML or text.")
    ] = None,
    images: Annotated[Path | None, typer.Option("--images", help="Its folder of pictures.")] = None,
    person: Annotated[
        list[str] | None, typer.Option("--person", help="Its categories that are persons.")
    ] = None,
    unlabelled: Annotated[
        list[Path] | None, typer.Option("--unlabelled", help="Folder of pictures to distil with.")
    ] = None,
    output: Annotated[Path | None, typer.Option("--output", help="Folder for the lists.")] = None,
    override: Annotated[
        list[str] | None,
        typer.Option("--override", "-o", help="Set a key, e.g. -o min_share=0.05."),
    ] = None,
    output_format: FormatOption = Format.TABLE,
) -> None:
    """Make PULC's list files from COCO, Objects365, VOC, YOLO or plain folders.

    A picture whose largest person box covers more than a tenth of it is someone, one without
    any person is nobody, what lies between is left out. Broken pictures and copies are left out
    and named; near-duplicates never come to lie on both sides of the split. Beside the lists:
    a report (JSON and text) and a contact sheet.

    Example: `run_monitor.py dataset build --source folders --images my_pictures
    --output dataset/mine`, with `my_pictures/nobody` and `my_pictures/someone`
    """
    from monitor.training.build import build_dataset
    from monitor.training.build_config import BuildConfig
    from monitor.training.build_report import summary
    from monitor.training.loading import apply_override, check_config, read_yaml
    from monitor.training.progress import Terminal

    tree: dict[str, Any] = read_yaml(config) if config is not None else {}
    if source_format is not None:
        source = {"format": source_format, "annotations": annotations, "images": images}
        given: dict[str, Any] = {key: value for key, value in source.items() if value is not None}
        if person:
            given["persons"] = person
        tree["sources"] = [*tree.get("sources", []), given]
    if unlabelled:
        tree["unlabelled"] = [*tree.get("unlabelled", []), *unlabelled]
    if output is not None:
        tree["output_dir"] = output
    for text in override or ():
        apply_override(tree, text)
    checked = check_config(BuildConfig, tree, str(config or "command line"))
    counts = summary(checked, build_dataset(checked, Terminal()))
    sources = counts.pop("sources")
    if output_format is Format.JSON:
        sys.stdout.write(json.dumps({**counts, "sources": sources}, ensure_ascii=False) + "\n")
        return
    rows = [{"source": name, **numbers} for name, numbers in sources.items()]
    print_rows(rows, COLUMNS, output_format, title="Sources")
    if output_format is Format.TABLE:
        table = Table("what", "value", title=f"Lists in {checked.output_dir}")
        for name, value in counts.items():
            table.add_row(name.replace("_", " "), str(value))
        Console().print(table)

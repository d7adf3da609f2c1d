"""A found setting as a piece of configuration: printed, or written into the file itself."""

from __future__ import annotations

from collections.abc import Mapping
from io import StringIO
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import YAMLError

from monitor.config import CameraConfig, MonitorConfig, check_config
from monitor.config.document import read_document
from monitor.config.root import merge
from monitor.errors import ConfigError
from monitor.messages import WHOLE_FRAME
from monitor.storage.files import whole_path

Tree = dict[str, Any]


def patch_of(camera: str, config: CameraConfig, zones: Mapping[str, Tree]) -> Tree:
    """The part of a configuration that gives each zone its `presence` keys."""
    if not config.zones:
        return {"cameras": {camera: {"presence": zones[WHOLE_FRAME]}}}
    named = {zone: {"presence": keys} for zone, keys in zones.items()}
    return {"cameras": {camera: {"zones": named}}}


def to_yaml(patch: Tree, comment: str) -> str:
    """The patch as YAML with a comment above it."""
    stream = StringIO()
    yaml = YAML()
    yaml.indent(mapping=2)
    yaml.dump(_flowing(patch), stream)
    head = "".join(f"# {line}\n" for line in comment.splitlines())
    return head + stream.getvalue()


def merged_config(file: Path, patch: Tree) -> MonitorConfig:
    """The configuration with the patch laid upon it. Raises ConfigError if that is no good one."""
    document = read_document(file)
    try:
        return MonitorConfig.model_validate(merge(document.data or {}, patch))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise ConfigError(
            f"with the new settings this is no good configuration: {first['msg']}",
            where=f"{file}: {'.'.join(map(str, first['loc']))}",
        ) from error


def apply_patch(file: Path, patch: Tree) -> Path:
    """Write the patch into the file, comments and order kept; the file as it was, with `.before`.

    It is checked first and then replaced at once. Raises ConfigError if the file cannot be
    written, or if the result would not be good.
    """
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 4096
    before = file.with_name(f"{file.name}.before")
    try:
        old = file.read_bytes()
        rights = file.stat().st_mode & 0o777
        tree = yaml.load(old.decode("utf-8-sig"))
        _lay_upon(tree, patch)
        with whole_path(file) as fresh:
            with fresh.open("w", encoding="utf-8") as stream:
                yaml.dump(tree, stream)
            fresh.chmod(rights)
            _require_good(fresh, file)
            with whole_path(before) as copy:
                copy.write_bytes(old)
                copy.chmod(rights)
    except (OSError, UnicodeDecodeError, YAMLError) as error:
        said = error.strerror if isinstance(error, OSError) else "it is no YAML that can be kept"
        raise ConfigError(
            f"the patch cannot be put in: {said}", where=str(file), remedy="put it in by hand"
        ) from error
    return before


def _require_good(fresh: Path, file: Path) -> None:
    config, problems = check_config(fresh, look=False)
    if config is None:
        raise ConfigError(
            f"the result would not be good: {problems[0].what}",
            where=str(file),
            remedy="put the patch in by hand",
        )


def _lay_upon(tree: Any, patch: Mapping[str, Any]) -> None:
    for key, value in patch.items():
        below = tree.get(key) if isinstance(tree, Mapping) else None
        if isinstance(value, Mapping) and isinstance(below, Mapping) and key != "calibration":
            _lay_upon(below, value)
        else:
            tree[key] = _flowing(value)


def _flowing(value: Any) -> Any:
    """Rows of tables on one line each."""
    if isinstance(value, Mapping):
        return CommentedMap((key, _flowing(item)) for key, item in value.items())
    if isinstance(value, list):
        row = CommentedSeq(_flowing(item) for item in value)
        if not any(isinstance(item, list) for item in value):
            row.fa.set_flow_style()
        return row
    return value

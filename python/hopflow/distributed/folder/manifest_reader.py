"""Reading the manifests of a partition, field by field."""

from __future__ import annotations

from pathlib import Path

from hopflow.distributed.folder.manifest import (
    FORMAT,
    PART,
    VERSION,
    Manifest,
    part_json,
    part_name,
)
from hopflow.storage.array_files import ArrayRecord
from hopflow.storage.manifests import (
    MANIFEST,
    as_columns,
    as_count,
    as_counts,
    as_flag,
    as_name,
    as_record,
    check_layout,
    digest,
    load_fields,
    read_idtype,
    read_schema,
    read_splits,
    shown,
)


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a folder.

    Raises
    ------
    FileNotFoundError
        There is none.
    ValueError
        It is of another format or of a newer version, or a field of it is not what it must be.
    """
    file = folder / MANIFEST
    if not file.is_file():
        raise FileNotFoundError(
            f"{folder}: expected a folder that `hopflow partition` wrote, {MANIFEST} is missing"
        )
    fields = load_fields(file, FORMAT, VERSION, "hopflow partition")
    num_parts = fields.count("num_parts", 1)
    ntypes, relations = read_schema(fields)
    idtype = read_idtype(fields)
    counts = as_counts(num_parts)
    num_nodes = fields.by_name("num_nodes", as_count, ntypes)
    num_edges = dict(zip(relations, fields.listed("num_edges", as_count, len(relations))))
    part_nodes = fields.by_name("part_nodes", counts, ntypes)
    part_edges = dict(zip(relations, fields.listed("part_edges", counts, len(relations))))
    for ntype in ntypes:
        if sum(part_nodes[ntype]) != num_nodes[ntype]:
            raise fields.wrong("part_nodes", f"{num_nodes[ntype]} of {ntype!r} in all")
    for relation in relations:
        if sum(part_edges[relation]) != num_edges[relation]:
            raise fields.wrong("part_edges", f"{num_edges[relation]} of {relation!r} in all")
    splits = read_splits(fields, ntypes)
    topology = None
    if fields.values.get("topology") is not None:
        topology = tuple(fields.listed("topology", as_flag, len(relations)))
    report = fields.values.get("report")
    if report is not None and not isinstance(report, dict):
        raise fields.wrong("report", "an object or null")
    num_classes = None
    if fields.values.get("num_classes") is not None:
        num_classes = fields.count("num_classes")
    edge_columns = fields.listed("edge_columns", as_columns, len(relations))
    made = Manifest(
        partition_id=fields.text("partition_id"),
        num_parts=num_parts,
        idtype=idtype,
        ntypes=ntypes,
        relations=relations,
        num_nodes=num_nodes,
        num_edges=num_edges,
        part_nodes=part_nodes,
        part_edges=part_edges,
        node_columns=fields.by_name("node_columns", as_columns, ntypes),
        edge_columns=dict(zip(relations, edge_columns)),
        splits=splits,
        num_classes=num_classes,
        topology=topology,
        report=report,
        assignment=fields.text("assignment"),
        parts=tuple(fields.listed("parts", as_name, num_parts)),
        files=fields.by_name("files", as_record),
    )
    check_layout(fields, made.files, made.root_layout())
    # Whatever has been changed since, so that the fields still fit one another.
    if made.made_id() != made.partition_id:
        raise ValueError(
            f"{file}: partition_id: expected {made.made_id()}, which its fields have, got"
            f" {made.partition_id}; the file has been changed"
        )
    return made


def read_part(folder: Path, manifest: Manifest, part: int) -> dict[str, ArrayRecord]:
    """What a part's own manifest says of its files.

    Raises
    ------
    FileNotFoundError
        There is none.
    ValueError
        It is of another part, partitioning, format or newer version, or has been changed.
    """
    name = part_name(part)
    file = folder / name / PART
    if not file.is_file():
        raise FileNotFoundError(f"{file}: no such file; {name} is not in this folder")
    fields = load_fields(file, FORMAT, VERSION, "hopflow partition")
    if fields.values.get("partition_id") != manifest.partition_id:
        raise ValueError(
            f"{file}: {name} is of another partitioning: expected partition_id"
            f" {manifest.partition_id}, got {shown(fields.values.get('partition_id'))}"
        )
    number = fields.count("part")
    if number != part:
        raise ValueError(f"{file}: part: expected {part}, got {number}; folders are mixed up")
    files = fields.by_name("files", as_record)
    check_layout(fields, files, manifest.part_layout(part))
    if digest(part_json(part, files)) != manifest.parts[part]:
        raise ValueError(f"{file}: does not fit {MANIFEST}; the file has been changed")
    return files

"""The manifest of the recordings: what each file is, written beside it, and checked against it."""

import ast
import datetime
import hashlib
import importlib.machinery
import importlib.util
import itertools
import json
import pathlib
import re
import subprocess
import tomllib

import pcapfile

HERE = pathlib.Path(__file__).resolve().parent
NAME = "manifest.toml"
LIMIT = 8 * 1024 * 1024
COUNTED = ("packets", "connections", "requests", "responses", "informational")

HEAD = """# Written by ci/record-corpus; change the recipes in ci/record/recipes, not this file.
# Counts are tshark's, with tcp.reassemble_out_of_order on. `responses` are final ones (101 too), `informational` are
# 1xx. Where `same_messages_as` names another file, both must give the same messages, direction by direction.

version = 1
"""

# How each program says its version.
VERSIONS = {
    "curl": ["curl", "-V"], "wget": ["wget", "-V"], "chromium": ["chromium", "--version"], "nginx": ["nginx", "-v"],
    "apache2": ["apache2", "-v"], "haproxy": ["haproxy", "-v"], "varnish": ["varnishd", "-V"],
    "lighttpd": ["lighttpd", "-v"], "caddy": ["caddy", "version"], "aria2": ["aria2c", "--version"],
    "ab": ["ab", "-V"], "python": ["/usr/bin/python3", "--version"],
}


def docstring(path):
    return ast.get_docstring(ast.parse(path.read_text())) or ""


def first_sentence(path):
    return re.split(r"(?<=[.;:])\s", docstring(path).replace("\n", " "))[0]


def version_of(program):
    if program not in VERSIONS:
        return None
    done = subprocess.run(VERSIONS[program], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    found = re.search(r"\d+\.\d+[\d.]*", done.stdout.replace("caddy_", ""))
    return found.group() if found else None


def count(path, decode_as=()):
    """Counts with tshark, in one pass."""
    command = ["tshark", "-n", "-r", str(path), "-o", "tcp.reassemble_out_of_order:TRUE", "-T", "fields"]
    for rule in decode_as:
        command += ["-d", rule]
    for field in ("frame.number", "tcp.stream", "http.request.method", "http.response.code"):
        command += ["-e", field]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if not line.startswith("Running as")]
        raise RuntimeError(f"{path.name}: {' '.join(said)}")
    counts = dict.fromkeys(COUNTED, 0)
    streams = set()
    for line in done.stdout.splitlines():
        _, stream, methods, codes = (line.split("\t") + ["", "", ""])[:4]
        counts["packets"] += 1
        streams.update(part for part in stream.split(",") if part)
        counts["requests"] += len([part for part in methods.split(",") if part])
        for code in filter(None, codes.split(",")):
            counts["informational" if code.startswith("1") and code != "101" else "responses"] += 1
    counts["connections"] = len(streams)
    return counts


def describe(path, name, recipe, made):
    """The manifest's entry for one file."""
    form, packets = pcapfile.read(path)
    text = docstring(recipe)
    contains, _, why = text.partition("\nWhy:")
    about = made.get("about", {}).get(path.name, {})
    entry = {
        "file": path.name,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "bytes": path.stat().st_size,
        "format": form.kind,
        "byte_order": {"<": "little", ">": "big"}[form.order],
        "time_resolution": form.resolution,
        "link_types": [pcapfile.LINK_NAMES.get(link, str(link)) for link in form.links],
        "contains": about.get("contains") or " ".join(contains.split()),
        "why": about.get("why") or " ".join(why.split()),
        "captured_at": about.get("captured_at") or made.get("captured_at", "the loopback interface of a network namespace"),
        "licence": "Apache-2.0, made by this project",
        "command": f"ci/record-corpus --only {name}",
        "recorded": datetime.datetime.fromtimestamp(packets[0].time // 10**9, datetime.timezone.utc).date(),
        **count(path, made.get("decode_as", ())),
    }
    for key in ("derived_from", "transformation", "same_messages_as", "tshark_differs"):
        if key in about:
            entry[key] = about[key]
    if made.get("decode_as"):
        entry["decode_as"] = made["decode_as"]
    entry["peer"] = []
    for peer in made.get("peers", []):
        software = peer["software"]
        version = peer.get("version") or version_of(software)
        entry["peer"].append({
            "role": peer["role"], "software": software, **({"version": version} if version else {}),
            "addresses": peer["addresses"],
        })
    return entry


def derive(entry, source):
    """Adds to a derived file's entry what it has from its source's."""
    entry["peer"] = source["peer"]
    entry["recorded"] = source["recorded"]
    entry["source_sha256"] = source["sha256"]


def load(directory):
    path = directory / NAME
    return tomllib.loads(path.read_text()).get("recording", []) if path.exists() else []


def value(item):
    if isinstance(item, list):
        return "[" + ", ".join(map(value, item)) + "]"
    if isinstance(item, (datetime.date, int)):
        return str(item)
    return json.dumps(item, ensure_ascii=False)


def write(directory, entries):
    text = HEAD
    for entry in sorted(entries, key=lambda entry: entry["file"]):
        text += "\n[[recording]]\n"
        plain = {key: item for key, item in entry.items() if key != "peer"}
        text += "".join(f"{key} = {value(item)}\n" for key, item in plain.items())
        for peer in entry["peer"]:
            text += "\n[[recording.peer]]\n" + "".join(f"{key} = {value(item)}\n" for key, item in peer.items())
    (directory / NAME).write_text(text)


def messages(path):
    """What tshark makes of a capture: for each direction of each connection, its messages in order."""
    loader = importlib.machinery.SourceFileLoader("tshark_transactions", str(HERE / "tshark-transactions"))
    tool = importlib.util.module_from_spec(importlib.util.spec_from_loader(loader.name, loader))
    loader.exec_module(tool)
    directions = {}
    for found in tool.messages(str(path)):
        content = [found[key] for key in ("start", "fields", "trailers", "body_length", "body_sha256")]
        directions.setdefault(f"{found['from']} to {found['to']}", []).append(content)
    return directions


def unequal(path, other):
    """Whether two captures of the same traffic give the same messages; a sentence with the first difference if not."""
    ours, theirs = messages(path), messages(other)
    differ = [key for key in sorted(ours.keys() | theirs.keys()) if ours.get(key) != theirs.get(key)]
    if not differ:
        return []
    pairs = itertools.zip_longest(ours.get(differ[0], []), theirs.get(differ[0], []))
    number, (mine, its) = next((number, pair) for number, pair in enumerate(pairs, 1) if pair[0] != pair[1])
    return [
        f"{path.name}: tshark finds other messages than in {other.name} in {len(differ)} directions; first, from {differ[0]}, "
        f"message {number}: {json.dumps(mine)} here, {json.dumps(its)} there"
    ]


def verify(directory):
    """Every disagreement between the manifest and the files, as a sentence each."""
    problems, entries = [], load(directory)
    if not entries:
        problems.append(f"{directory / NAME}: no recordings listed")
    present = {path.name for path in directory.iterdir() if path.suffix in (".pcap", ".pcapng")}
    listed = {entry["file"] for entry in entries}
    problems += [f"{name}: not in the manifest; run its recipe, or remove it" for name in sorted(present - listed)]
    problems += [f"{name}: in the manifest, but there is no such file" for name in sorted(listed - present)]
    by_name = {entry["file"]: entry for entry in entries}
    if (directory / "README.md").exists():
        readme = (directory / "README.md").read_text()
        problems += [f"{name}: README.md does not tell what it is" for name in sorted(listed) if name not in readme]
    for entry in entries:
        path = directory / entry["file"]
        source = by_name.get(entry.get("derived_from"), {})
        if "derived_from" in entry and source.get("sha256") != entry.get("source_sha256"):
            problems.append(f"{path.name}: made from another {entry['derived_from']} than the one here; run {entry['command']}")
        if entry["file"] not in present:
            continue
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        if digest != entry["sha256"]:
            problems.append(f"{path.name}: SHA-256 is {digest}, the manifest says {entry['sha256']}")
        try:
            counts = count(path, entry.get("decode_as", ()))
        except RuntimeError as error:
            problems.append(str(error))
            continue
        problems += [
            f"{path.name}: tshark counts {counts[key]} {key}, the manifest says {entry[key]}"
            for key in COUNTED if counts[key] != entry[key]
        ]
        if "same_messages_as" in entry and entry["same_messages_as"] in present:
            problems += unequal(path, directory / entry["same_messages_as"])
    total = sum((directory / name).stat().st_size for name in present)
    if total >= LIMIT:
        problems.append(f"{directory}: {total} bytes, the limit is {LIMIT}")
    return problems

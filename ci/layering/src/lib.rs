//! What the workspace promises about itself, as facts from `cargo metadata`; `tests/` holds the promises.

#![forbid(unsafe_code)]

use cargo_metadata::{CargoOpt, DependencyKind, Metadata, MetadataCommand, Package, PackageId};
use std::collections::{BTreeMap, BTreeSet};

/// The resolved workspace on the platform we build for, all features on.
///
/// # Panics
/// Where `cargo metadata` fails; its message is in the panic.
pub fn metadata() -> Metadata {
    MetadataCommand::new()
        .manifest_path(concat!(env!("CARGO_MANIFEST_DIR"), "/../../Cargo.toml"))
        .features(CargoOpt::AllFeatures)
        .other_options(["--locked".into(), "--filter-platform=x86_64-unknown-linux-gnu".into()])
        .exec()
        .unwrap_or_else(|error| panic!("cargo metadata: {error}"))
}

/// For each crate of ours: those of ours it depends on, apart from what only its tests use (`dev` adds those).
pub fn ours(metadata: &Metadata, dev: bool) -> BTreeMap<String, BTreeSet<String>> {
    let names: BTreeSet<_> = metadata.workspace_packages().iter().map(|p| p.name.to_string()).collect();
    metadata
        .workspace_packages()
        .iter()
        .map(|package| {
            let uses = package.dependencies.iter().filter(|d| dev || d.kind != DependencyKind::Development);
            let uses = uses.map(|d| d.name.to_string()).filter(|n| names.contains(n)).collect();
            (package.name.to_string(), uses)
        })
        .collect()
}

/// Every package that is built into `root`: its dependencies and theirs, without what only tests use.
pub fn built_into<'a>(metadata: &'a Metadata, root: &str) -> Vec<&'a Package> {
    let Some(root) = metadata.workspace_packages().into_iter().find(|p| p.name.as_str() == root) else {
        panic!("the workspace has no crate named {root}");
    };
    reach(metadata, vec![root.id.clone()])
}

/// Every package that any crate of ours is built from, tests' own left out.
pub fn built(metadata: &Metadata) -> Vec<&Package> {
    reach(metadata, metadata.workspace_packages().iter().map(|p| p.id.clone()).collect())
}

fn reach(metadata: &Metadata, mut open: Vec<PackageId>) -> Vec<&Package> {
    let Some(graph) = &metadata.resolve else { panic!("cargo metadata gave no resolved graph") };
    let mut seen = BTreeSet::new();
    while let Some(id) = open.pop() {
        if !seen.insert(id.clone()) {
            continue;
        }
        let node = graph.nodes.iter().find(|n| n.id == id);
        open.extend(node.iter().flat_map(|n| &n.deps).filter_map(|dep| {
            let needed = dep.dep_kinds.iter().any(|k| k.kind != DependencyKind::Development);
            needed.then(|| dep.pkg.clone())
        }));
    }
    metadata.packages.iter().filter(|p| seen.contains(&p.id)).collect()
}

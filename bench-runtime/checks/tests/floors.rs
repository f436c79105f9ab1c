//! The floors of the runtime's source, file by file: no circle of imports.
//!
//! An import is a `use`, or a path that begins with `crate`, `super`, `self`, a child module or a
//! name that a `use` gives. It leads through re-exports to the file that defines the name. Calls of
//! methods need no import, so the second test checks that each inherent `impl` is in the file of
//! its type.
//!
//! `cargo test -p bench-runtime-checks --test floors -- --nocapture` prints the floors.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{Item, UseTree, Visibility};

mod common;

/// The names of a path.
type Names = Vec<String>;

#[derive(Debug, Default)]
struct Module {
    file: String,
    names: Names,
    uses: Vec<Names>,
    /// The names that a `use` gives to items of the crate.
    aliases: BTreeMap<String, Names>,
    /// Paths as written, which begin with none of `crate`, `super` and `self`.
    paths: Vec<Names>,
    reexports: BTreeMap<String, Names>,
    types: BTreeSet<String>,
    impls: Vec<String>,
}

/// Reads the module of a file. Inline modules are read as part of the file, except tests.
struct Reader<'a> {
    module: &'a mut Module,
    all_modules: &'a BTreeSet<Names>,
}

fn is_test(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let syn::Meta::List(list) = &attribute.meta else {
            return false;
        };
        let words = list.tokens.to_string();
        list.path.is_ident("cfg")
            && (words == "test" || words.starts_with("all (test") || words.starts_with("all(test"))
    })
}

fn attributes_of(item: &Item) -> &[syn::Attribute] {
    match item {
        Item::Const(i) => &i.attrs,
        Item::Enum(i) => &i.attrs,
        Item::Fn(i) => &i.attrs,
        Item::Impl(i) => &i.attrs,
        Item::Mod(i) => &i.attrs,
        Item::Static(i) => &i.attrs,
        Item::Struct(i) => &i.attrs,
        Item::Trait(i) => &i.attrs,
        Item::Use(i) => &i.attrs,
        _ => &[],
    }
}

impl Reader<'_> {
    /// The path from the root of the crate; `None` for names of other crates and of this file.
    fn absolute(&self, names: &[String]) -> Option<Names> {
        let mut base = self.module.names.clone();
        let mut remaining = names;
        match names.first()?.as_str() {
            "crate" => return Some(names[1..].to_vec()),
            "self" => remaining = &names[1..],
            "super" => {
                while remaining.first().is_some_and(|name| name == "super") {
                    base.pop();
                    remaining = &remaining[1..];
                }
            }
            first => {
                let mut child = base.clone();
                child.push(first.to_owned());
                if !self.all_modules.contains(&child) {
                    return None;
                }
            }
        }
        base.extend_from_slice(remaining);
        Some(base)
    }

    fn add_use(&mut self, tree: &UseTree, prefix: &mut Names, is_public: bool) {
        let (names, alias) = match tree {
            UseTree::Path(path) => {
                prefix.push(path.ident.to_string());
                self.add_use(&path.tree, prefix, is_public);
                prefix.pop();
                return;
            }
            UseTree::Group(group) => {
                for tree in &group.items {
                    self.add_use(tree, prefix, is_public);
                }
                return;
            }
            UseTree::Glob(_) => (prefix.clone(), None),
            UseTree::Name(name) if name.ident == "self" => (prefix.clone(), prefix.last().cloned()),
            UseTree::Name(name) => {
                let name = name.ident.to_string();
                (
                    [prefix.as_slice(), std::slice::from_ref(&name)].concat(),
                    Some(name),
                )
            }
            UseTree::Rename(name) => {
                let names = [prefix.as_slice(), &[name.ident.to_string()]].concat();
                (names, Some(name.rename.to_string()))
            }
        };
        let Some(names) = self.absolute(&names) else {
            return;
        };
        if let Some(alias) = &alias {
            self.module.aliases.insert(alias.clone(), names.clone());
        }
        match alias {
            Some(alias) if is_public => drop(self.module.reexports.insert(alias, names)),
            _ => self.module.uses.push(names),
        }
    }

    /// Paths inside a macro's arguments: `crate::a::b`.
    fn add_tokens(&mut self, tokens: TokenStream) {
        let mut path: Names = Vec::new();
        let mut colons = 0;
        for token in tokens {
            match token {
                TokenTree::Ident(name) if path.is_empty() || colons == 2 => {
                    path.push(name.to_string());
                    colons = 0;
                    continue;
                }
                TokenTree::Punct(mark) if mark.as_char() == ':' && !path.is_empty() => {
                    colons += 1;
                    continue;
                }
                TokenTree::Group(group) => self.add_tokens(group.stream()),
                TokenTree::Ident(name) => {
                    self.add_path(&path);
                    (path, colons) = (vec![name.to_string()], 0);
                    continue;
                }
                _ => {}
            }
            self.add_path(&path);
            (path, colons) = (Vec::new(), 0);
        }
        self.add_path(&path);
    }

    fn add_path(&mut self, names: &[String]) {
        if names.len() < 2 {
            return;
        }
        match names[0].as_str() {
            "crate" | "super" | "self" => self.module.uses.extend(self.absolute(names)),
            _ => self.module.paths.push(names.to_vec()),
        }
    }
}

impl Visit<'_> for Reader<'_> {
    fn visit_item(&mut self, item: &Item) {
        if is_test(attributes_of(item)) {
            return;
        }
        match item {
            Item::Use(item) => {
                let is_public = !matches!(item.vis, Visibility::Inherited);
                self.add_use(&item.tree, &mut Vec::new(), is_public);
                return;
            }
            Item::Struct(item) => drop(self.module.types.insert(item.ident.to_string())),
            Item::Enum(item) => drop(self.module.types.insert(item.ident.to_string())),
            Item::Impl(item) if item.trait_.is_none() => {
                if let syn::Type::Path(path) = &*item.self_ty
                    && let Some(name) = path.path.last_name()
                {
                    self.module.impls.push(name);
                }
            }
            _ => {}
        }
        visit::visit_item(self, item);
    }

    // `pub(in crate::a)` is no import.
    fn visit_visibility(&mut self, _: &Visibility) {}

    fn visit_path(&mut self, path: &syn::Path) {
        let names: Names = path.segments.iter().map(|s| s.ident.to_string()).collect();
        self.add_path(&names);
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, item: &syn::Macro) {
        let names: Names = item
            .path
            .segments
            .iter()
            .map(|s| s.ident.to_string())
            .collect();
        self.add_path(&names);
        self.add_tokens(item.tokens.clone());
    }
}

trait LastName {
    fn last_name(&self) -> Option<String>;
}

impl LastName for syn::Path {
    fn last_name(&self) -> Option<String> {
        self.segments
            .last()
            .map(|segment| segment.ident.to_string())
    }
}

/// The modules of the crate that are compiled without `cfg(test)`, by their paths.
fn modules() -> BTreeMap<Names, Module> {
    let (root, paths) = common::source_files();
    let name_of = |file: &str| -> Names {
        let stem = file.trim_end_matches(".rs");
        let mut names: Names = stem.split('/').map(str::to_owned).collect();
        if matches!(names.last().map(String::as_str), Some("mod" | "lib")) {
            names.pop();
        }
        names
    };
    let files: Vec<(String, syn::File)> = paths
        .iter()
        .map(|path| {
            let file = path.strip_prefix(&root).expect("below src");
            let text = fs::read_to_string(path).expect("a source file");
            let parsed = syn::parse_file(&text).expect("Rust");
            (file.to_string_lossy().into_owned(), parsed)
        })
        .collect();
    // Files that are declared by `#[cfg(test)] mod name;`, and modules below them.
    let mut tests: Vec<Names> = Vec::new();
    for (file, parsed) in &files {
        for item in &parsed.items {
            if let Item::Mod(item) = item
                && item.content.is_none()
                && is_test(&item.attrs)
            {
                let mut names = name_of(file);
                names.push(item.ident.to_string());
                tests.push(names);
            }
        }
    }
    let all_modules: BTreeSet<Names> = files.iter().map(|(file, _)| name_of(file)).collect();
    files
        .iter()
        .filter(|(file, _)| !tests.iter().any(|test| name_of(file).starts_with(test)))
        .map(|(file, parsed)| {
            let mut module = Module {
                file: file.clone(),
                names: name_of(file),
                ..Module::default()
            };
            let mut reader = Reader {
                module: &mut module,
                all_modules: &all_modules,
            };
            reader.visit_file(parsed);
            (module.names.clone(), module)
        })
        .collect()
}

/// The module in which a path ends, through re-exports.
fn resolve(modules: &BTreeMap<Names, Module>, path: &[String]) -> Option<Names> {
    for length in (0..=path.len()).rev() {
        let Some(module) = modules.get(&path[..length]) else {
            continue;
        };
        let next = path.get(length).and_then(|name| module.reexports.get(name));
        return match next {
            Some(next) => {
                let remaining = [next.as_slice(), &path[length + 1..]].concat();
                resolve(modules, &remaining)
            }
            None => Some(module.names.clone()),
        };
    }
    None
}

fn imports(modules: &BTreeMap<Names, Module>) -> BTreeMap<&Names, BTreeSet<Names>> {
    let of = |module: &Module| {
        let by_alias = module.paths.iter().filter_map(|path| {
            let first = module.aliases.get(&path[0])?;
            Some([first.as_slice(), &path[1..]].concat())
        });
        let by_child = module.paths.iter().filter_map(|path| {
            let child = [module.names.as_slice(), &path[..1]].concat();
            let is_child = modules.contains_key(&child);
            is_child.then(|| [child.as_slice(), &path[1..]].concat())
        });
        let uses = module.uses.iter().cloned().chain(by_alias).chain(by_child);
        let found = uses.filter_map(|path| resolve(modules, &path));
        found.filter(|other| *other != module.names).collect()
    };
    modules
        .iter()
        .map(|(names, module)| (names, of(module)))
        .collect()
}

/// A module is one floor above the highest from which it imports. Files in a circle, and files that
/// import them, have no floor.
fn floors(imports: &BTreeMap<&Names, BTreeSet<Names>>) -> BTreeMap<Names, usize> {
    let mut floors: BTreeMap<Names, usize> = BTreeMap::new();
    loop {
        let before = floors.len();
        for (names, imported) in imports {
            let below = imported.iter().map(|other| floors.get(other).copied());
            let highest = below.clone().max().flatten().map_or(0, |floor| floor + 1);
            if !floors.contains_key(*names) && below.clone().all(|floor| floor.is_some()) {
                floors.insert((*names).clone(), highest);
            }
        }
        if floors.len() == before {
            return floors;
        }
    }
}

fn circles(imports: &BTreeMap<&Names, BTreeSet<Names>>) -> Vec<Names> {
    let leads_back = |start: &Names| {
        let mut seen = BTreeSet::new();
        let mut open: Vec<&Names> = vec![start];
        while let Some(names) = open.pop() {
            for other in &imports[names] {
                if other == start {
                    return true;
                }
                if seen.insert(other) {
                    open.push(other);
                }
            }
        }
        false
    };
    let all = imports.keys().filter(|names| leads_back(names));
    all.map(|names| (*names).clone()).collect()
}

#[test]
fn no_files_import_each_other_in_a_circle() {
    let modules = modules();
    assert!(modules.len() > 150, "only {} files", modules.len());
    let imports = imports(&modules);
    let found: Vec<String> = circles(&imports)
        .iter()
        .map(|names| names.join("::"))
        .collect();
    assert!(found.is_empty(), "in circles:\n{}", found.join("\n"));
    let mut by_floor: BTreeMap<usize, Vec<&str>> = BTreeMap::new();
    for (names, floor) in floors(&imports) {
        by_floor
            .entry(floor)
            .or_default()
            .push(&modules[&names].file);
    }
    for (floor, files) in by_floor {
        println!("{floor:3}  {}", files.join(" "));
    }
}

#[test]
fn inherent_impls_are_beside_their_types() {
    let modules = modules();
    let mut wrong = Vec::new();
    for module in modules.values() {
        for name in &module.impls {
            let elsewhere = modules.values().any(|other| other.types.contains(name));
            if elsewhere && !module.types.contains(name) {
                wrong.push(format!("{}: impl {name}", module.file));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

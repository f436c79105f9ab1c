//! Every public item has an example that runs, also the items that macros generate.
//!
//! An item that is declared `pub` is public, as the lint `unreachable_pub` checks. Items that
//! lib.rs re-exports as `#[doc(hidden)]`, and tests, are left out.
//!
//! # Which items may share an example
//!
//! A method whose only parameter is `self`, or a function of a type that returns `Self`, may share
//! the type's example, if the example calls it. Variants, fields and methods of std's traits need
//! none.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{Attribute, Expr, ImplItemFn, Item, Lit, Meta, ReturnType, Type, UseTree, Visibility};

mod common;

struct Public {
    /// The type, if the item is a method.
    of: Option<String>,
    name: String,
    docs: String,
    /// Whether an example of its type is enough.
    may_share: bool,
    file: PathBuf,
}

impl Public {
    fn path(&self) -> String {
        match &self.of {
            Some(of) => format!("{of}::{}", self.name),
            None => self.name.clone(),
        }
    }

    fn example(&self) -> &str {
        self.docs
            .split_once("# Examples")
            .map(|(_, rest)| rest)
            .filter(|rest| rest.contains("```"))
            .unwrap_or("")
    }

    fn is_called_in(&self, example: &str) -> bool {
        let of = self.of.as_deref().unwrap_or("");
        let forms = [
            format!(".{}(", self.name),
            format!(".{}::<", self.name),
            format!("{of}::{}(", self.name),
            format!("{of}::{})", self.name),
        ];
        forms.iter().any(|form| example.contains(form.as_str()))
    }
}

/// The text of the `doc` attributes; of a `concat!` only its literals.
fn docs_of(attributes: &[Attribute]) -> String {
    fn literals(tokens: TokenStream, out: &mut String) {
        for token in tokens {
            match token {
                TokenTree::Group(group) => literals(group.stream(), out),
                TokenTree::Literal(literal) => {
                    if let Lit::Str(text) = Lit::new(literal) {
                        out.push_str(&text.value());
                    }
                }
                _ => {}
            }
        }
    }
    let mut docs = String::new();
    for attribute in attributes {
        if let Meta::NameValue(pair) = &attribute.meta
            && pair.path.is_ident("doc")
        {
            match &pair.value {
                Expr::Lit(lit) => {
                    if let Lit::Str(text) = &lit.lit {
                        docs.push_str(&text.value());
                    }
                }
                Expr::Macro(call) => literals(call.mac.tokens.clone(), &mut docs),
                _ => {}
            }
            docs.push('\n');
        }
    }
    docs
}

fn has_attribute(attributes: &[Attribute], name: &str, list: &str) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident(name)
            && matches!(&attribute.meta, Meta::List(l) if l.tokens.to_string().contains(list))
    })
}

fn is_public(visibility: &Visibility) -> bool {
    matches!(visibility, Visibility::Public(_))
}

fn name_of(ty: &Type) -> String {
    match ty {
        Type::Path(path) => path.path.segments.last().map(|s| s.ident.to_string()),
        _ => None,
    }
    .unwrap_or_default()
}

struct Walk {
    file: PathBuf,
    hidden: BTreeSet<String>,
    found: Vec<Public>,
}

impl Walk {
    fn add(&mut self, of: Option<&str>, name: String, attributes: &[Attribute], may_share: bool) {
        if !has_attribute(attributes, "doc", "hidden") && !self.hidden.contains(&name) {
            self.found.push(Public {
                of: of.map(str::to_owned),
                name,
                docs: docs_of(attributes),
                may_share,
                file: self.file.clone(),
            });
        }
    }

    fn method(&mut self, of: &str, method: &ImplItemFn) {
        if is_public(&method.vis) {
            let inputs = &method.sig.inputs;
            let only_self = inputs.len() == 1 && method.sig.receiver().is_some();
            let returns_self =
                matches!(&method.sig.output, ReturnType::Type(_, ty) if name_of(ty) == "Self");
            let share = only_self || (returns_self && method.sig.receiver().is_none());
            self.add(Some(of), method.sig.ident.to_string(), &method.attrs, share);
        }
    }

    /// Reads the methods of `impl $type { … }` in a macro as methods of a type `$type`.
    fn macro_body(&mut self, tokens: TokenStream) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        for (at, token) in tokens.iter().enumerate() {
            let TokenTree::Group(group) = token else {
                continue;
            };
            let before: String = tokens[at.saturating_sub(3)..at]
                .iter()
                .map(ToString::to_string)
                .collect();
            if before.starts_with("impl$") {
                self.macro_methods(group.stream());
            } else {
                self.macro_body(group.stream());
            }
        }
    }

    /// Reads attributes that a `pub fn` follows, at any depth of repetitions.
    fn macro_methods(&mut self, tokens: TokenStream) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let mut docs = String::new();
        for (at, token) in tokens.iter().enumerate() {
            match token {
                TokenTree::Group(group) => {
                    match tokens[at.saturating_sub(1)].to_string().as_str() {
                        "#" => {
                            let text = format!("#[{}]", group.stream()).replace('$', "");
                            if let Ok(parsed) = syn::parse_str::<OuterAttributes>(&text) {
                                docs.push_str(&docs_of(&parsed.0));
                            }
                        }
                        "$" => self.macro_methods(group.stream()),
                        _ => {}
                    }
                }
                TokenTree::Ident(ident) if ident == "fn" => {
                    if at > 0 && tokens[at - 1].to_string() == "pub" {
                        let name: String = tokens[at + 1..]
                            .iter()
                            .take_while(|t| !matches!(t, TokenTree::Group(_)))
                            .map(ToString::to_string)
                            .collect();
                        let inputs = tokens[at + 1..].iter().find_map(|t| match t {
                            TokenTree::Group(group) => Some(group.stream().to_string()),
                            _ => None,
                        });
                        self.found.push(Public {
                            of: Some("$type".into()),
                            name,
                            docs: std::mem::take(&mut docs),
                            may_share: inputs.is_some_and(|i| i.replace(' ', "") == "&self"),
                            file: self.file.clone(),
                        });
                    }
                    docs.clear();
                }
                _ => {}
            }
        }
    }
}

struct OuterAttributes(Vec<Attribute>);

impl syn::parse::Parse for OuterAttributes {
    fn parse(input: syn::parse::ParseStream<'_>) -> syn::Result<Self> {
        input.call(Attribute::parse_outer).map(Self)
    }
}

impl<'ast> Visit<'ast> for Walk {
    fn visit_item(&mut self, item: &'ast Item) {
        match item {
            Item::Mod(m) if has_attribute(&m.attrs, "cfg", "test") => return,
            Item::Struct(i) if is_public(&i.vis) => {
                self.add(None, i.ident.to_string(), &i.attrs, false);
            }
            Item::Enum(i) if is_public(&i.vis) => {
                self.add(None, i.ident.to_string(), &i.attrs, false);
            }
            Item::Fn(i) if is_public(&i.vis) => {
                self.add(None, i.sig.ident.to_string(), &i.attrs, false);
            }
            Item::Trait(i) if is_public(&i.vis) => {
                self.add(None, i.ident.to_string(), &i.attrs, false);
            }
            Item::Macro(i) => {
                if let Some(ident) = &i.ident {
                    if i.attrs.iter().any(|a| a.path().is_ident("macro_export")) {
                        self.add(None, format!("{ident}!"), &i.attrs, false);
                    }
                    self.macro_body(i.mac.tokens.clone());
                }
            }
            Item::Impl(i) if i.trait_.is_none() => {
                let of = name_of(&i.self_ty);
                if !self.hidden.contains(&of) {
                    for inner in &i.items {
                        if let syn::ImplItem::Fn(method) = inner {
                            self.method(&of, method);
                        }
                    }
                }
            }
            _ => {}
        }
        visit::visit_item(self, item);
    }
}

/// The names that lib.rs re-exports in hidden modules.
fn hidden_names(lib: &syn::File) -> BTreeSet<String> {
    fn names(tree: &UseTree, out: &mut BTreeSet<String>) {
        match tree {
            UseTree::Path(path) => names(&path.tree, out),
            UseTree::Group(group) => group.items.iter().for_each(|tree| names(tree, out)),
            UseTree::Name(name) => {
                out.insert(name.ident.to_string());
            }
            UseTree::Rename(name) => {
                out.insert(name.ident.to_string());
            }
            UseTree::Glob(_) => {}
        }
    }
    let mut hidden = BTreeSet::new();
    for item in &lib.items {
        if let Item::Mod(module) = item
            && has_attribute(&module.attrs, "doc", "hidden")
            && let Some((_, items)) = &module.content
        {
            for item in items {
                if let Item::Use(used) = item {
                    names(&used.tree, &mut hidden);
                }
            }
        }
    }
    hidden
}

fn parse(path: &Path) -> syn::File {
    let text = fs::read_to_string(path).expect("a source file");
    syn::parse_file(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn public_items() -> Vec<Public> {
    let (root, paths) = common::source_files();
    let mut walk = Walk {
        file: PathBuf::new(),
        hidden: hidden_names(&parse(&root.join("lib.rs"))),
        found: Vec::new(),
    };
    for path in paths {
        walk.file = path.strip_prefix(&root).expect("below src").to_owned();
        walk.visit_file(&parse(&path));
    }
    walk.found
}

#[test]
fn every_public_item_has_an_example() {
    let items = public_items();
    let mut of_type: BTreeMap<String, String> = BTreeMap::new();
    for item in &items {
        let name = item.of.as_ref().unwrap_or(&item.name);
        of_type
            .entry(name.clone())
            .or_default()
            .push_str(item.example());
    }
    let bare: Vec<String> = items
        .iter()
        .filter(|item| item.example().is_empty())
        .filter(|item| {
            let shown = item.of.as_ref().and_then(|of| of_type.get(of));
            !(item.may_share && shown.is_some_and(|example| item.is_called_in(example)))
        })
        .map(|item| format!("{}: {}", item.file.display(), item.path()))
        .collect();
    assert!(
        bare.is_empty(),
        "{} of {} public items have no example:\n{}",
        bare.len(),
        items.len(),
        bare.join("\n")
    );
}

#[test]
fn the_walk_sees_items_of_each_kind() {
    let paths: BTreeSet<String> = public_items().iter().map(Public::path).collect();
    for known in [
        "go",
        "select!",
        "Runtime::run",
        "Mutex::lock",
        "RecvOperand",
        "$type::close",
        "$type::$read",
    ] {
        assert!(paths.contains(known), "{known} is not seen among {paths:?}");
    }
    assert!(
        !paths.contains("RecvCase::new"),
        "hidden items are left out"
    );
}

#[test]
fn an_item_without_an_example_is_found() {
    let file = "
        pub struct Shown;
        impl Shown {
            /// # Examples
            ///
            /// ```
            /// Shown::new().get();
            /// ```
            pub fn set(&self, to: u8) {}
            pub fn get(&self) -> u8 { 0 }
            pub fn new() -> Self { Self }
            pub fn unseen(&self) {}
            pub(crate) fn inner(&self, a: u8) {}
        }";
    let mut walk = Walk {
        file: PathBuf::new(),
        hidden: BTreeSet::new(),
        found: Vec::new(),
    };
    walk.visit_file(&syn::parse_file(file).expect("Rust"));
    let names: Vec<&str> = walk.found.iter().map(|item| item.name.as_str()).collect();
    assert_eq!(names, ["Shown", "set", "get", "new", "unseen"]);
    let example = walk.found[1].example().to_owned();
    let shared: Vec<bool> = walk.found[2..]
        .iter()
        .map(|item| item.may_share && item.is_called_in(&example))
        .collect();
    assert_eq!(shared, [true, true, false]);
}

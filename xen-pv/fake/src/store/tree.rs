//! The tree of nodes and who may do what with them.

use std::collections::BTreeMap;

use xen_pv::xenstore::{Permission, Rights};
use xen_sys::types::Domid;

/// One node.
#[derive(Debug, Clone)]
struct Node {
    value: Vec<u8>,
    permissions: Vec<Permission>,
}

/// All nodes by their absolute path; the root is the empty path.
#[derive(Debug, Clone)]
pub(super) struct Tree {
    nodes: BTreeMap<String, Node>,
    /// Grows with every change.
    pub(super) generation: u64,
}

type Outcome<T> = Result<T, &'static str>;

/// The path without its last part.
fn parent(path: &str) -> Option<&str> {
    path.rfind('/').map(|end| &path[..end])
}

/// Whether `path` is `base` or below it.
pub(super) fn is_below(path: &str, base: &str) -> bool {
    path.strip_prefix(base).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

impl Tree {
    pub(super) fn new() -> Self {
        let permissions = vec![Permission { domain: Domid(0), rights: Rights::None }];
        let root = Node { value: Vec::new(), permissions };
        Self { nodes: BTreeMap::from([(String::new(), root)]), generation: 0 }
    }

    /// The node, if `domain` may use it for that.
    fn node(&self, domain: Domid, path: &str, write: bool) -> Outcome<&Node> {
        let Some(node) = self.nodes.get(path) else {
            // Who may not read the nearest parent does not learn what is missing.
            let mut above = parent(path);
            while let Some(path) = above {
                if self.nodes.contains_key(path) {
                    return Err(self.node(domain, path, false).map_or("EACCES", |_| "ENOENT"));
                }
                above = parent(path);
            }
            return Err("ENOENT");
        };
        let owner = node.permissions.first().is_some_and(|first| first.domain == domain);
        let named = node.permissions.iter().skip(1).find(|permission| permission.domain == domain);
        let rights = named.or(node.permissions.first()).map_or(Rights::None, |permission| permission.rights);
        let allowed = match rights {
            Rights::Both => true,
            Rights::Read => !write,
            Rights::Write => write,
            Rights::None => false,
        };
        if domain == Domid(0) || owner || allowed { Ok(node) } else { Err("EACCES") }
    }

    pub(super) fn read(&self, domain: Domid, path: &str) -> Outcome<&[u8]> {
        Ok(&self.node(domain, path, false)?.value)
    }

    pub(super) fn exists(&self, path: &str) -> bool {
        self.nodes.contains_key(path)
    }

    pub(super) fn list(&self, domain: Domid, path: &str) -> Outcome<Vec<String>> {
        self.node(domain, path, false)?;
        let prefix = format!("{path}/");
        let below = self.nodes.range(prefix.clone()..).map(|(path, _)| path);
        let names = below.map_while(|path| path.strip_prefix(&prefix)).filter(|name| !name.contains('/'));
        Ok(names.map(String::from).collect())
    }

    pub(super) fn write(&mut self, domain: Domid, path: &str, value: &[u8]) -> Outcome<()> {
        self.make(domain, path)?;
        self.node(domain, path, true)?;
        if let Some(node) = self.nodes.get_mut(path) {
            node.value = value.to_vec();
        }
        self.generation += 1;
        Ok(())
    }

    /// Creates a node and its parents, unless it exists. A new node is like its parent, and belongs to who made it.
    pub(super) fn make(&mut self, domain: Domid, path: &str) -> Outcome<()> {
        if self.exists(path) {
            return Ok(());
        }
        let above = parent(path).ok_or("EINVAL")?.to_owned();
        self.make(domain, &above)?;
        let mut permissions = self.node(domain, &above, true)?.permissions.clone();
        if domain != Domid(0)
            && let Some(first) = permissions.first_mut()
        {
            first.domain = domain;
        }
        self.nodes.insert(path.to_owned(), Node { value: Vec::new(), permissions });
        self.generation += 1;
        Ok(())
    }

    pub(super) fn remove(&mut self, domain: Domid, path: &str) -> Outcome<()> {
        self.node(domain, path, true)?;
        self.nodes.retain(|other, _| !is_below(other, path));
        self.generation += 1;
        Ok(())
    }

    pub(super) fn permissions(&self, domain: Domid, path: &str) -> Outcome<&[Permission]> {
        Ok(&self.node(domain, path, false)?.permissions)
    }

    pub(super) fn set_permissions(&mut self, domain: Domid, path: &str, permissions: Vec<Permission>) -> Outcome<()> {
        let owner = self.node(domain, path, false)?.permissions.first().is_some_and(|first| first.domain == domain);
        if domain != Domid(0) && !owner {
            return Err("EACCES");
        }
        if let Some(node) = self.nodes.get_mut(path) {
            node.permissions = permissions;
        }
        self.generation += 1;
        Ok(())
    }
}

//! Operation inversion: what the tree was before a commit, from the commit's own blocks
//! ("atproto sync" spec, "Commit Validation").

use std::collections::HashSet;

use super::mst::{MstError, Tree, load_partial};
use super::{Action, BlockMap, RepoOp};
use crate::data::{Cid, Link};
use crate::syntax::RecordPath;

/// Why operations do not fit the tree they are said to have led to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InvertError {
    /// The partial tree is malformed or too small.
    #[error(transparent)]
    Tree(#[from] MstError),
    /// Two operations on one path.
    #[error("`{0}` has two operations in one commit")]
    DuplicatePath(RecordPath),
    /// An operation lacks the CID its action needs.
    #[error("the {action} of `{path}` lacks its {field}")]
    MissingField {
        /// The action.
        action: &'static str,
        /// Its path.
        path: RecordPath,
        /// `cid` or `prev`.
        field: &'static str,
    },
    /// The tree does not hold what the operation says it wrote.
    #[error("the tree does not hold what the {action} of `{path}` says")]
    Mismatch {
        /// The action.
        action: &'static str,
        /// Its path.
        path: RecordPath,
    },
}

/// Undoes `ops` on the tree `data`, of which `blocks` hold a part, and answers the root before them.
///
/// # Errors
/// [`InvertError`] when the operations do not fit the tree, or the blocks do not suffice.
pub fn invert(blocks: &BlockMap, data: Cid, ops: &[RepoOp]) -> Result<Cid, InvertError> {
    // A commit that changes nothing needs no blocks of the tree.
    if ops.is_empty() && !blocks.contains_key(&data) {
        return Ok(data);
    }
    let mut tree = load_partial(blocks, data)?;
    let mut keyed: Vec<(String, &RepoOp)> =
        ops.iter().map(|op| (op.path.to_string(), op)).collect();
    // Deletes first: what they put back gives the removals the neighbours they need.
    keyed.sort_by(|(a, first), (b, second)| {
        let rank = |op: &RepoOp| op.action != Action::Delete;
        rank(first).cmp(&rank(second)).then_with(|| a.cmp(b))
    });
    if keyed.len() > 1 {
        let mut seen = HashSet::with_capacity(keyed.len());
        if let Some((_, twice)) = keyed.iter().find(|(key, _)| !seen.insert(key.as_str())) {
            return Err(InvertError::DuplicatePath(twice.path.clone()));
        }
    }
    for (key, op) in &keyed {
        undo(&mut tree, key.as_bytes(), op)?;
    }
    Ok(tree.root())
}

fn undo(tree: &mut Tree, key: &[u8], op: &RepoOp) -> Result<(), InvertError> {
    let action = op.action.as_str();
    let need = |cid: Option<Cid>, field| {
        cid.map(Link::Known).ok_or(InvertError::MissingField {
            action,
            path: op.path.clone(),
            field,
        })
    };
    let (found, expected) = match op.action {
        Action::Create => {
            let cid = need(op.cid, "cid")?;
            (
                tree.edit_partial(|edit, root| edit.remove(root, key))?,
                Some(cid),
            )
        }
        Action::Update => {
            let (cid, prev) = (need(op.cid, "cid")?, need(op.prev, "prev")?);
            (
                tree.edit_partial(|edit, root| edit.update(root, key, prev))?,
                Some(cid),
            )
        }
        Action::Delete => {
            let prev = need(op.prev, "prev")?;
            (
                tree.edit_partial(|edit, root| edit.insert(root, key, prev))?,
                None,
            )
        }
    };
    if found == expected {
        Ok(())
    } else {
        Err(InvertError::Mismatch {
            action,
            path: op.path.clone(),
        })
    }
}

#[cfg(test)]
mod tests;

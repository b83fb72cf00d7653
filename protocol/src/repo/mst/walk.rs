//! Walking the leaves of a tree in order, holding one node per height.

use super::MstError;
use super::cursor::{Cursor, Here};
use super::load::Loader;
use super::node::Subtree;
use crate::data::Link;
use crate::repo::BlockSource;

/// A key and its value.
pub type Leaf = (Box<[u8]>, Link);

/// The leaves of a tree in order of key. Ends after the first error.
#[derive(Debug)]
pub struct Walk<'s, S: ?Sized> {
    loader: Loader<'s, S>,
    /// Where to start; `None` once there.
    from: Option<Vec<u8>>,
    cursor: Cursor,
}

impl<'s, S: BlockSource + ?Sized> Walk<'s, S> {
    pub(super) fn new(source: &'s S, root: Subtree, from: &[u8]) -> Self {
        Self {
            loader: Loader::new(source),
            from: Some(from.to_vec()),
            cursor: Cursor::new(root),
        }
    }

    fn advance(&mut self) -> Result<Option<Leaf>, MstError> {
        if let Some(from) = self.from.take() {
            self.cursor.seek(&mut self.loader, &from)?;
        }
        loop {
            match self.cursor.here() {
                Here::Child(..) => self.cursor.enter(&mut self.loader)?,
                Here::Leaf(_) => return Ok(self.cursor.take_leaf()),
                Here::End => return Ok(None),
            }
        }
    }
}

impl<S: BlockSource + ?Sized> Iterator for Walk<'_, S> {
    type Item = Result<Leaf, MstError>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.advance();
        if next.is_err() {
            self.cursor = Cursor::ended();
        }
        next.transpose()
    }
}

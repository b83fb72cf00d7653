//! A second way to undo operations, with nothing in common with the first but the rules: the partial
//! tree as a flat list of leaves and unknown subtrees, changed as a list, and built anew.

use crate::data::cbor;
use crate::data::{Cid, Link, Map, Value};
use crate::repo::mst::{common_prefix, empty_root, key_depth};
use crate::repo::{Action, BlockMap, RepoOp};

#[derive(Clone)]
enum Item {
    Leaf(Vec<u8>, Link),
    Opaque(Cid, i32),
}

type Result<T> = std::result::Result<T, &'static str>;

pub(super) fn invert(blocks: &BlockMap, data: Cid, ops: &[RepoOp]) -> Result<Cid> {
    if ops.is_empty() && !blocks.contains_key(&data) {
        return Ok(data);
    }
    let mut items = Vec::new();
    if blocks.contains_key(&data) {
        flatten(blocks, data, None, &mut items)?;
    } else if data != empty_root() {
        return Err("no root");
    }
    let mut order: Vec<&RepoOp> = ops.iter().collect();
    order.sort_by_key(|op| (op.action != Action::Delete, op.path.to_string()));
    for op in order {
        undo(&mut items, op)?;
    }
    let height = items.iter().filter_map(|item| match item {
        Item::Leaf(key, _) => Some(i32::from(key_depth(key))),
        Item::Opaque(..) => None,
    });
    match (height.max(), &items[..]) {
        (Some(height), _) => build(&items, height)?.ok_or("no root"),
        (None, []) => Ok(empty_root()),
        (None, [Item::Opaque(cid, _)]) => Ok(*cid),
        (None, _) => Err("two unknown subtrees side by side"),
    }
}

fn flatten(blocks: &BlockMap, cid: Cid, height: Option<i32>, out: &mut Vec<Item>) -> Result<()> {
    let node = cbor::decode(&blocks[&cid]).map_err(|_| "cbor")?;
    let entries = node.get("e").and_then(Value::as_array).ok_or("e")?;
    let mut key = Vec::new();
    let mut leaves = Vec::new();
    for entry in entries {
        let shared = entry.get("p").and_then(Value::as_integer).ok_or("p")?;
        key.truncate(shared as usize);
        key.extend_from_slice(entry.get("k").and_then(Value::as_bytes).ok_or("k")?);
        leaves.push((key.clone(), entry));
    }
    let own = leaves
        .first()
        .map(|(key, _)| i32::from(key_depth(key)))
        .or(height)
        .unwrap_or(0);
    let child = |value: Option<&Value>, out: &mut Vec<Item>| -> Result<()> {
        let Some(cid) = value.and_then(Value::as_link).and_then(Link::as_cid) else {
            return Ok(());
        };
        if blocks.contains_key(&cid) {
            return flatten(blocks, cid, Some(own - 1), out);
        }
        out.push(Item::Opaque(cid, own - 1));
        Ok(())
    };
    child(node.get("l"), out)?;
    for (key, entry) in leaves {
        let value = entry.get("v").and_then(Value::as_link).ok_or("v")?;
        out.push(Item::Leaf(key, value.clone()));
        child(entry.get("t"), out)?;
    }
    Ok(())
}

fn undo(items: &mut Vec<Item>, op: &RepoOp) -> Result<()> {
    let key = op.path.to_string().into_bytes();
    // The first leaf that is not before the key, and whether nothing unknown stands before it.
    let place = items
        .iter()
        .position(|item| matches!(item, Item::Leaf(other, _) if *other >= key))
        .unwrap_or(items.len());
    let here = match items.get(place) {
        Some(Item::Leaf(other, value)) if *other == key => Some(value.clone()),
        _ => None,
    };
    match (op.action, here) {
        (Action::Delete, None) => {
            if place > 0 && matches!(items[place - 1], Item::Opaque(..)) {
                return Err("the place is within an unknown subtree");
            }
            items.insert(place, Item::Leaf(key, op.prev.ok_or("prev")?.into()));
        }
        (Action::Create, Some(value)) if Some(value.clone()) == op.cid.map(Link::from) => {
            items.remove(place);
        }
        (Action::Update, Some(value)) if Some(value.clone()) == op.cid.map(Link::from) => {
            items[place] = Item::Leaf(key, op.prev.ok_or("prev")?.into());
        }
        _ => return Err("the tree does not hold what the operation says"),
    }
    Ok(())
}

fn build(items: &[Item], height: i32) -> Result<Option<Cid>> {
    match items {
        [] => return Ok(None),
        [Item::Opaque(cid, own)] if *own == height => return Ok(Some(*cid)),
        _ if height < 0 => return Err("an unknown subtree beside leaves"),
        _ => {}
    }
    let mut gaps: Vec<&[Item]> = Vec::new();
    let mut here: Vec<(&Vec<u8>, &Link)> = Vec::new();
    let mut start = 0;
    for (place, item) in items.iter().enumerate() {
        match item {
            Item::Leaf(key, value) if i32::from(key_depth(key)) == height => {
                gaps.push(&items[start..place]);
                here.push((key, value));
                start = place + 1;
            }
            Item::Opaque(_, own) if *own >= height => {
                return Err("an unknown subtree beside leaves");
            }
            Item::Leaf(..) | Item::Opaque(..) => {}
        }
    }
    gaps.push(&items[start..]);
    let mut children = Vec::new();
    for gap in gaps {
        children.push(build(gap, height - 1)?.map_or(Value::Null, |cid| Value::Link(cid.into())));
    }
    let mut entries = Vec::new();
    let mut previous: &[u8] = &[];
    for ((key, value), right) in here.into_iter().zip(&children[1..]) {
        let shared = common_prefix(previous, key);
        entries.push(Value::Map(Map::from_iter([
            ("k".to_owned(), Value::Bytes(key[shared..].to_vec())),
            ("p".to_owned(), Value::Integer(shared as i64)),
            ("t".to_owned(), right.clone()),
            ("v".to_owned(), Value::Link(value.clone())),
        ])));
        previous = key;
    }
    let node = Map::from_iter([
        ("e".to_owned(), Value::Array(entries)),
        ("l".to_owned(), children[0].clone()),
    ]);
    Ok(Some(Cid::dag_cbor(&cbor::encode(&Value::Map(node)))))
}

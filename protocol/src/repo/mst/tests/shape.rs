//! Nodes of hostile shape.

use bytes::Bytes;

use crate::data::Cid;
use crate::data::cbor::Encoder;
use crate::repo::BlockMap;
use crate::repo::mst::*;

/// Entry fields for a hand-made node.
struct Raw<'a> {
    k: &'a [u8],
    p: i64,
    t: Option<Cid>,
}

fn raw_node(entries: &[Raw<'_>], l: Option<Cid>) -> Vec<u8> {
    let mut out = Encoder::new();
    out.map(2).text("e").array(entries.len());
    for entry in entries {
        out.map(4)
            .text("k")
            .bytes(entry.k)
            .text("p")
            .int(entry.p)
            .text("t");
        out.cid_or_null(entry.t.as_ref())
            .text("v")
            .cid(&Cid::dag_cbor(b"v"));
    }
    out.text("l").cid_or_null(l.as_ref());
    out.into_bytes()
}

/// Why a block is refused as the root of a tree.
fn refused(block: &[u8]) -> &'static str {
    let cid = Cid::dag_cbor(block);
    let blocks = BlockMap::from([(cid, Bytes::copy_from_slice(block))]);
    match Tree::load(cid).get(&blocks, b"a/b").unwrap_err() {
        MstError::Malformed { reason, .. } => reason,
        other => panic!("{other}"),
    }
}

/// The reason for a root of one entry.
fn one(k: &[u8], p: i64, t: Option<Cid>) -> &'static str {
    refused(&raw_node(&[Raw { k, p, t }], None))
}

/// The reason for a root with this entry after `C0/451630`.
fn second(k: &[u8], p: i64) -> &'static str {
    let first = Raw {
        k: b"C0/451630",
        p: 0,
        t: None,
    };
    refused(&raw_node(&[first, Raw { k, p, t: None }], None))
}

// The second character of these keys is their depth.

#[test]
fn a_node_with_bad_keys_is_refused_for_what_is_wrong_with_them() {
    let too_long = "a prefix is longer than the key before it";
    assert_eq!(second(b"E0/670489", 40), too_long);
    assert_eq!(one(b"A0/374913", 1, None), too_long);
    assert_eq!(second(b"B0/601692", 0), "keys do not ascend");
    assert_eq!(second(b"", 9), "keys do not ascend");
    assert_eq!(second(b"", 3), "keys do not ascend");
    assert_eq!(second(b"C0/451630", 0), "a prefix is not maximal");
    assert_eq!(
        second(b"E1/091396", 0),
        "a key does not belong at this height"
    );
    assert_eq!(one(b"A0374913", 0, None), "a key is not a repository path");
}

#[test]
fn a_node_with_bad_children_is_refused_for_what_is_wrong_with_them() {
    let child = Some(Cid::dag_cbor(b"child"));
    assert_eq!(
        one(b"A0/374913", 0, child),
        "a node of height 0 with children"
    );
    assert_eq!(
        refused(&raw_node(&[], child)),
        "the root holds nothing but one child"
    );
    let no_link = "a child is not a dag-cbor sha-256 link";
    assert_eq!(one(b"B1/986427", 0, Some(Cid::raw(b"child"))), no_link);
    assert_eq!(refused(b"\xa2\x61e\x80\x61l\x60"), no_link);
}

#[test]
fn a_node_in_other_than_its_canonical_form_is_refused() {
    let good = raw_node(
        &[Raw {
            k: b"A0/374913",
            p: 0,
            t: None,
        }],
        None,
    );
    let cid = Cid::dag_cbor(&good);
    let blocks = BlockMap::from([(cid, Bytes::from(good))]);
    assert!(
        Tree::load(cid)
            .get(&blocks, b"A0/374913")
            .unwrap()
            .is_some()
    );

    let no_node = "not a map with the keys e and l";
    let no_entry = "an entry is not a map with the keys k, p, t and v";
    let cases: [(&[u8], &str); 11] = [
        (b"\xa2\x61e\x80\x61l\xf6\x00", "bytes after the end"),
        (b"\xa2\x61e\x80", no_node),
        (b"\xa1\x61e\x80", no_node),
        (b"", no_node),
        (b"\xa2\x61e\x98\x01", "a number is not in its shortest form"),
        (b"\xa2\x61e\x9a\x00\x10\x00\x00", "more than 2048 entries"),
        (b"\xa2\x61e\x9f\xff\x61l\xf6", "a length out of range"),
        (b"\xa2\x61e\x60\x61l\xf6", "a value of the wrong type"),
        (b"\xa2\x61e\x81", no_entry),
        (b"\xa2\x61e\x81\xa4\x61k\x58\xff", "ends too early"),
        (&[0; MAX_NODE_BYTES + 1], "larger than 1 MiB"),
    ];
    for (block, reason) in cases {
        assert_eq!(refused(block), reason);
    }
}

#[test]
fn nodes_in_the_wrong_place_are_refused() {
    let mut blocks = BlockMap::new();
    let mut put = |block: Vec<u8>| {
        let cid = Cid::dag_cbor(&block);
        blocks.insert(cid, Bytes::from(block));
        cid
    };
    let low = put(raw_node(
        &[Raw {
            k: b"A0/374913",
            p: 0,
            t: None,
        }],
        None,
    ));
    let empty = put(raw_node(&[], None));
    let two = b"D2/269196";
    let skipping = put(raw_node(
        &[Raw {
            k: two,
            p: 0,
            t: None,
        }],
        Some(low),
    ));
    let one = b"B1/986427";
    let outside = put(raw_node(
        &[Raw {
            k: one,
            p: 0,
            t: Some(low),
        }],
        None,
    ));
    let hollow = put(raw_node(
        &[Raw {
            k: one,
            p: 0,
            t: Some(empty),
        }],
        None,
    ));
    let read = |root: Cid| {
        let walked = Tree::load(root)
            .walk(&blocks, b"")
            .find_map(Result::err)
            .unwrap();
        let last = b"Z/z";
        let loaded = load_partial(&blocks, root).unwrap_err();
        assert_eq!(walked.to_string(), loaded.to_string());
        let _ = Tree::load(root).insert(&blocks, last, root.into());
        walked.to_string()
    };
    assert!(read(skipping).contains("a key does not belong at this height"));
    assert!(read(outside).contains("its keys belong elsewhere"));
    assert!(read(hollow).contains("an empty node that is not the root"));
}

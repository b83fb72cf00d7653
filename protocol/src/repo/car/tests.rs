use bytes::Bytes;

use super::*;
use crate::data::Link;

fn interop(path: &str) -> Vec<u8> {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/interop/");
    std::fs::read(format!("{root}{path}")).unwrap()
}

fn base64(text: &serde_json::Value) -> Vec<u8> {
    data_encoding::BASE64_NOPAD
        .decode(text.as_str().unwrap().as_bytes())
        .unwrap()
}

const MAX_BLOCK_BYTES: usize = 1 << 20;

/// All blocks of a file that arrives in pieces of this size.
fn stream(file: &[u8], piece: usize) -> Result<Vec<(Option<Cid>, Bytes)>, CarError> {
    let limits = StreamLimits {
        block_bytes: MAX_BLOCK_BYTES,
        total_bytes: 1 << 30,
    };
    let mut reader = StreamReader::new(limits);
    let mut blocks = Vec::new();
    for piece in file.chunks(piece) {
        reader.feed(piece)?;
        while let Some(block) = reader.next_block()? {
            blocks.push(block);
        }
    }
    reader.finish()?;
    Ok(blocks)
}

#[test]
fn the_reference_car_file_is_read_and_written_back_to_the_byte() {
    let file = interop("atproto-ts/repo/car-file-fixtures.json");
    let cases: Vec<serde_json::Value> = serde_json::from_slice(&file).unwrap();
    assert_eq!(cases.len(), 1);
    for case in cases {
        let car = Bytes::from(base64(&case["car"]));
        let root: Cid = case["root"].as_str().unwrap().parse().unwrap();
        let read = read(&car, MAX_BLOCK_BYTES).unwrap();
        assert_eq!(read.roots, [Link::Known(root)]);
        let blocks = case["blocks"].as_array().unwrap();
        assert_eq!(read.blocks.len(), blocks.len());
        let mut writer = Writer::new(&[root]);
        for block in blocks {
            let cid: Cid = block["cid"].as_str().unwrap().parse().unwrap();
            let bytes = base64(&block["bytes"]);
            assert_eq!(read.blocks[&cid], bytes);
            writer.block(&cid, &bytes);
        }
        assert_eq!(writer.into_bytes(), car);
    }
}

#[test]
fn car_files_of_old_repositories_are_read_whole_and_in_pieces() {
    let files = [
        ("fakermaker.repo.car", 690),
        ("paul_staging.repo.car", 458),
        (
            "bafyreieovfuizojpw3zresz7sx3nk4trm2by23pt5rxbey3jme4uo5ogiu.car",
            10,
        ),
        ("divy.repo", 9),
        ("repo_slice.car", 5),
        ("greenground.repo.car", 4),
    ];
    for (name, count) in files {
        let file = interop(&format!("indigo/repo-cars/{name}"));
        let mut reader = Reader::new(&file, MAX_BLOCK_BYTES).unwrap();
        assert_eq!(reader.roots().len(), 1, "{name}");
        let mut blocks = Vec::new();
        while let Some(block) = reader.next_block().unwrap() {
            assert!(block.cid.is_some(), "{name}");
            crate::data::cbor::decode(block.bytes).unwrap();
            blocks.push((block.cid, Bytes::copy_from_slice(block.bytes)));
        }
        assert_eq!(blocks.len(), count, "{name}");
        for piece in [1, 7, 4096, file.len()] {
            assert_eq!(stream(&file, piece).unwrap(), blocks, "{name}");
        }
    }
}

fn sample() -> Vec<u8> {
    let mut writer = Writer::new(&[Cid::dag_cbor(b"one")]);
    for block in [&b"one"[..], b"", b"two", b"one", &[7; 300]] {
        writer.block(&Cid::dag_cbor(block), block);
    }
    writer.into_bytes()
}

#[test]
fn repeated_and_foreign_blocks_are_let_through_but_not_trusted() {
    let mut file = sample();
    let v0 = [&[0x12, 0x20][..], &[1; 32], b"old"].concat();
    let other_hash = [&[0x01, 0x71, 0x13, 0x02, 9, 9][..], b"other"].concat();
    for section in [v0, other_hash] {
        append_varint(&mut file, section.len());
        file.extend_from_slice(&section);
    }
    let mut reader = Reader::new(&file, 400).unwrap();
    let mut foreign = Vec::new();
    while let Some(block) = reader.next_block().unwrap() {
        if block.cid.is_none() {
            foreign.push(block.bytes);
        }
    }
    assert_eq!(foreign, [&b"old"[..], b"other"]);
    assert_eq!(read(&file.into(), 400).unwrap().blocks.len(), 4);
}

#[test]
fn every_truncation_is_noticed() {
    let file = sample();
    let mut ends = vec![header(&[Cid::dag_cbor(b"one")]).len()];
    for block in [3, 0, 3, 3, 300] {
        ends.push(ends[ends.len() - 1] + block_section_bytes(block));
    }
    for end in 0..=file.len() {
        let whole = read(&Bytes::copy_from_slice(&file[..end]), 400);
        let pieces = stream(&file[..end], 5);
        if ends.contains(&end) {
            assert!(whole.is_ok() && pieces.is_ok(), "at {end}");
        } else {
            assert_eq!(whole.unwrap_err(), CarError::Truncated, "at {end}");
            assert_eq!(pieces.unwrap_err(), CarError::Truncated, "at {end}");
        }
    }
}

#[test]
fn hostile_files_are_refused_for_what_is_wrong_with_them() {
    let root = Cid::dag_cbor(b"one");
    let with = |tail: &[u8]| [&header(&[root])[..], tail].concat();
    let refused = |file: Vec<u8>| {
        let whole = read(&Bytes::from(file.clone()), 400).unwrap_err();
        let limits = StreamLimits {
            block_bytes: 400,
            total_bytes: 1 << 20,
        };
        let mut reader = StreamReader::new(limits);
        reader.feed(&file).unwrap();
        let pieces = loop {
            match reader.next_block() {
                Ok(Some(_)) => {}
                Ok(None) => break reader.finish().unwrap_err(),
                Err(error) => break error,
            }
        };
        assert_eq!(whole, pieces);
        whole
    };
    let mut lie = header(&[root]);
    append_block(&mut lie, &root, b"not one");
    assert_eq!(refused(lie), CarError::Hash(root));
    let mut large = header(&[root]);
    append_block(&mut large, &Cid::dag_cbor(&[0; 501]), &[0; 501]);
    assert!(matches!(
        refused(large),
        CarError::TooLarge { bytes: 537, .. }
    ));
    assert!(matches!(refused(with(&[0xff; 9])), CarError::Varint(_)));
    assert!(matches!(refused(with(&[0x80, 0x00])), CarError::Varint(_)));
    assert!(matches!(
        refused(with(&[0xff, 0xff, 0xff, 0xff, 0x0f])),
        CarError::TooLarge { .. }
    ));
    assert!(matches!(refused(with(&[0])), CarError::Cid(_)));
    assert!(matches!(
        refused(with(&[3, 1, 0x71, 0x12])),
        CarError::Cid(_)
    ));
    assert!(matches!(
        refused(with(&[5, 1, 0x71, 0x12, 0x20, 1])),
        CarError::Cid(_)
    ));
    assert!(matches!(
        refused(vec![0xff, 0xff, 0x7f]),
        CarError::TooLarge { .. }
    ));
    assert!(matches!(refused(vec![1, 0xa0]), CarError::Version));
    let old = header(&[root]);
    let newer = [&old[..old.len() - 1], &[2]].concat();
    assert_eq!(refused(newer), CarError::Version);
    assert!(matches!(refused(vec![2, 0xff, 0xff]), CarError::Header(_)));
}

#[test]
fn a_file_longer_than_its_limit_is_refused_while_it_arrives() {
    let mut reader = StreamReader::new(StreamLimits {
        block_bytes: 400,
        total_bytes: 100,
    });
    reader.feed(&sample()[..100]).unwrap();
    assert_eq!(reader.feed(b"x").unwrap_err(), CarError::TooLong(100));
}

#[test]
fn a_file_without_roots_is_read() {
    let car = read(&Writer::new(&[]).into_bytes().into(), 400).unwrap();
    assert!(car.roots.is_empty() && car.blocks.is_empty());
}

#[test]
fn records_of_old_repositories_are_read_and_written_back_to_the_byte() {
    for name in ["feedpost_record.cbor", "post_richtext_link.cbor"] {
        let block = interop(&format!("indigo/repo-cars/{name}"));
        let record = crate::data::cbor::decode(&block).unwrap();
        assert_eq!(crate::data::cbor::encode(&record), block, "{name}");
        assert!(record.get("$type").is_some(), "{name}");
    }
    let slice = interop("indigo/repo-cars/repo_slice.car").into();
    let slice = read(&slice, MAX_BLOCK_BYTES).unwrap();
    let json = interop("indigo/repo-cars/repo_slice_record.json");
    let view = crate::data::json::parse(&json).unwrap();
    let cid: Cid = view.get("cid").unwrap().as_text().unwrap().parse().unwrap();
    let record = crate::data::cbor::encode(view.get("value").unwrap());
    assert_eq!(slice.blocks[&cid], record);
}

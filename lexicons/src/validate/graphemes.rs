//! How many graphemes a text has: extended grapheme clusters (Unicode Standard Annex 29).
//!
//! To cut by the tables takes about 60 ns a character. But between two characters that join nothing
//! there is a boundary whatever stands around them, and a mark goes with what it follows. So only
//! what is between the nearest two such boundaries, and more than that, is cut by the tables.

use unicode_segmentation::UnicodeSegmentation as _;

/// What can be told of a character without the tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Joins nothing: between two of these there is always a boundary.
    Alone,
    /// Belongs to what it follows and joins nothing to it.
    Mark,
    /// Anything else.
    Other,
}

impl Kind {
    /// Letters and signs of the most used writings; which others there are, the tables say.
    const fn of(character: char) -> Self {
        match character {
            ' '..='~'
            | '\u{a0}'..='\u{ac}'
            | '\u{ae}'..='\u{2ff}'
            | '\u{370}'..='\u{377}'
            | '\u{391}'..='\u{482}'
            | '\u{48a}'..='\u{52f}'
            | '\u{5d0}'..='\u{5ea}'
            | '\u{620}'..='\u{64a}'
            | '\u{904}'..='\u{939}'
            | '\u{e01}'..='\u{e30}'
            | '\u{e40}'..='\u{e46}'
            | '\u{1e00}'..='\u{1eff}'
            | '\u{2010}'..='\u{2027}'
            | '\u{3001}'..='\u{3029}'
            | '\u{3041}'..='\u{3096}'
            | '\u{30a1}'..='\u{30fc}'
            | '\u{3400}'..='\u{4dbf}'
            | '\u{4e00}'..='\u{9fff}'
            | '\u{ac00}'..='\u{d7a3}'
            | '\u{ff01}'..='\u{ff60}'
            | '\u{1f300}'..='\u{1f3fa}'
            | '\u{1f400}'..='\u{1faff}' => Self::Alone,
            '\u{300}'..='\u{36f}'
            | '\u{64b}'..='\u{65f}'
            | '\u{900}'..='\u{903}'
            | '\u{93e}'..='\u{94c}'
            | '\u{e31}'
            | '\u{e34}'..='\u{e3a}'
            | '\u{e47}'..='\u{e4e}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{1f3fb}'..='\u{1f3ff}' => Self::Mark,
            _ => Self::Other,
        }
    }
}

/// Whether `text` has more than `count` graphemes; looks no further than it takes to tell.
pub(super) fn more_than(text: &str, count: usize) -> bool {
    // No text has more graphemes than characters, nor those than bytes: counting these is cheap.
    if text.len() <= count || text.chars().nth(count).is_none() {
        return false;
    }
    let (mut graphemes, mut from) = (0, 0);
    // Whether the piece from `from` on is one character and its marks.
    let mut is_plain = true;
    let mut before = Kind::Other;
    for (at, character) in text.char_indices() {
        let kind = Kind::of(character);
        let boundary = match (before, kind) {
            (Kind::Alone, Kind::Alone) => true,
            (Kind::Mark, Kind::Alone) => is_plain,
            _ => false,
        };
        if boundary {
            graphemes += in_piece(text.get(from..at), is_plain);
            if graphemes >= count {
                // What begins here is at least one more.
                return true;
            }
            (from, is_plain) = (at, true);
        }
        is_plain &= match kind {
            Kind::Alone => at == from,
            Kind::Mark => at > from,
            Kind::Other => false,
        };
        before = kind;
    }
    graphemes + in_piece(text.get(from..), is_plain) > count
}

fn in_piece(piece: Option<&str>, is_plain: bool) -> usize {
    match piece {
        Some(piece) if !is_plain => piece.graphemes(true).count(),
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn count(characters: &[char]) -> usize {
        let text: String = characters.iter().collect();
        text.graphemes(true).count()
    }

    #[test]
    fn what_is_told_without_the_tables_is_what_they_say() {
        let (mut alone, mut marks) = (0, 0);
        // A letter, a syllable, one that marks join to the next, and one that ZWJ joins.
        let neighbours = ['a', '한', 'क', '👩'];
        for character in '\0'..=char::MAX {
            let pairs = neighbours.map(|other| (count(&[other, character]), other));
            match Kind::of(character) {
                Kind::Alone => {
                    alone += 1;
                    assert_eq!(count(&[character, character]), 2, "{character:?}");
                    for (after, other) in pairs {
                        let behind = count(&[character, other]);
                        assert_eq!((after, behind), (2, 2), "{character:?} {other:?}");
                    }
                }
                Kind::Mark => {
                    marks += 1;
                    for (after, other) in pairs {
                        assert_eq!(after, 1, "{other:?} {character:?}");
                        let twice = count(&[other, character, character]);
                        let between = count(&[other, character, other]);
                        assert_eq!((twice, between), (1, 2), "{other:?} {character:?}");
                    }
                }
                Kind::Other => {}
            }
        }
        assert!(alone > 40_000 && marks > 150, "{alone} {marks}");
        // A syllable joins the vowel that it is followed by, a sign of numbers what follows it.
        assert_eq!(Kind::of('\u{1161}'), Kind::Other);
        assert_eq!(Kind::of('\u{600}'), Kind::Other);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]
        #[test]
        fn any_text_has_as_many_as_the_tables_say(
            text in "[ab 한\u{1100}\u{1161}\u{11a8}\r\n\0\u{200d}👩👦🇩🇪\u{1f3fd}\u{fe0f}\u{301}\u{308}क\u{94d}\u{93c}\u{93f}\u{600}ำก่]{0,24}"
        ) {
            let count = text.graphemes(true).count();
            prop_assert!(!more_than(&text, count));
            prop_assert!(count == 0 || more_than(&text, count - 1));
            prop_assert!(count == 0 || more_than(&text, 0));
        }
    }
}
